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

/// What the kernel holds a container to.
fn limits(node: &Running) -> Result<String> {
    let files = ["memory.max", "memory.swap.max", "memory.low", "cpu.max", "cpu.weight", "pids.max"];
    skerry(node, &format!("exec held sh -c 'cd /sys/fs/cgroup; cat {}'", files.join(" ")))
        .map(|text| text.lines().collect::<Vec<_>>().join(", "))
}

#[test]
fn update_changes_what_a_running_container_may_use_at_once_and_for_good() -> Result {
    let node = Node::new().image(image()?).boot()?;
    skerry(
        &node,
        "run -d --name held --memory 48m --cpus 0.5 --pids-limit 20 --stop-signal KILL busybox sleep 1000000",
    )?;
    assert_eq!(limits(&node)?, "50331648, max, 0, 50000 100000, 100, 20");
    assert_eq!(
        skerry(&node, "update --memory 64m --memory-swap 80m --memory-reservation 16m held")?,
        "held\n"
    );
    assert_eq!(limits(&node)?, "67108864, 16777216, 16777216, 50000 100000, 100, 20");
    skerry(&node, "update --cpus 1.5 --cpu-shares 2048 --pids-limit 30 held")?;
    assert_eq!(limits(&node)?, "67108864, 16777216, 16777216, 150000 100000, 174, 30");
    // The kernel would have to kill to come down to so little: it is refused, and nothing has changed.
    let refused = node.try_run("/usr/libexec/skerry update --memory 4k --pids-limit 40 held 2>&1")?;
    assert!(refused.status == 1 && refused.text.contains("memory"), "{refused:?}");
    let unchanged = "67108864, 16777216, 16777216, 150000 100000, 174, 30";
    assert_eq!(limits(&node)?, unchanged);
    skerry(&node, "restart held")?;
    assert_eq!(limits(&node)?, unchanged);
    node.power_off()
}
