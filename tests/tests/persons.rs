//! Containers that a person asks for, on a node: what outlives the monitor and the boot.

use tests::{Disk, Image, Node, Result, Running, Scratch, programs};

const NAMED: &str = "[data]\ndisk = \"serial:data\"\n";

/// An image with the command that a person types; made again when that is.
fn image() -> Result<Image> {
    let command = programs().join("skerry");
    let age =
        std::fs::metadata(&command)?.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let file = format!(
        "# {}\n\"/usr/libexec/skerry\" = {{ source = {command:?}, mode = \"0755\" }}\n",
        age.as_nanos()
    );
    Ok(Image::empty().container("busybox").with("", &file).probe())
}

fn skerry(node: &Running, words: &str) -> Result<String> {
    node.run(&format!("/usr/libexec/skerry {words}"))
}

#[test]
fn a_persons_container_outlives_monitor_and_boot_with_what_it_wrote() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(256)?;
    let node = || Node::new().image(image()?).config(NAMED).disk(Disk::new(&file).serial("data")).boot();
    let first = node()?;
    skerry(
        &first,
        "run -d --name kept --restart unless-stopped busybox sh -c 'echo begun >>/log; exec sleep 1000000'",
    )?;
    skerry(&first, "run -d --name over --memory 16m busybox sh -c 'exit 5'")?;
    assert_eq!(skerry(&first, "wait over")?, "5\n");
    first.end_service("skerry-monitor", "KILL")?;
    assert_eq!(skerry(&first, "exec kept cat /log")?, "begun\n");
    assert_eq!(skerry(&first, "run --rm --memory 24m busybox cat /sys/fs/cgroup/memory.max")?, "25165824\n");
    first.power_off()?;
    let second = node()?;
    second.console().wait_for("kept: running")?;
    assert_eq!(skerry(&second, "exec kept cat /log")?, "begun\nbegun\n");
    assert_eq!(
        skerry(&second, "ps -a --filter name=over --format '{{.Names}} {{.State}}'")?,
        "over exited\n"
    );
    assert_eq!(skerry(&second, "wait over")?, "5\n");
    second.power_off()?;
    Ok(())
}
