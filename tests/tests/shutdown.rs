//! The ways in which a node ends: each stops containers first and unmounts all.

use std::path::Path;
use std::process::Command;
use tests::{CONTROL, Disk, Node, Result, Running, Scratch};

const CONTAINERS: &str = r#"
[data]
disk = "serial:data"

[containers.a]
image = "busybox"
args = ["sh", "-c", "trap 'echo a has ended; exit 0' TERM; echo a listens; while :; do sleep 0.1; done"]
console = true

[containers.b]
image = "busybox"
args = ["sh", "-c", "trap 'echo b has ended; exit 0' TERM; echo b listens; while :; do sleep 0.1; done"]
console = true
after = ["a"]
"#;

/// Boots with a data disk, ends the node by `end`, and looks at what is left.
fn ends_cleanly(last_word: &str, end: impl Fn(&Running) -> Result) -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(64)?;
    let node = Node::with_images()
        .config(format!("{CONTAINERS}{CONTROL}"))
        .ends_at_reset()
        .disk(Disk::new(&file).serial("data"))
        .boot()?;
    for line in ["a: a listens", "b: b listens", "control: running"] {
        node.console().wait_for(line)?;
    }
    node.run("echo written >/var/note")?;
    end(&node)?;
    node.console().wait_for(&format!("skerry: all file systems unmounted; {last_word}"))?;
    node.said_in_order(&[
        "b: b has ended",
        "a: a has ended",
        "monitor: ended",
        "network: ended",
        "skerry: ",
    ])?;
    match last_word {
        // The machine stands and stays on.
        "halt" => node.console().wait_for("reboot: System halted").map(drop)?,
        _ => node.machine().wait_off()?,
    }
    is_clean(&file)
}

/// A clean unmount leaves nothing in the journal.
fn is_clean(file: &Path) -> Result {
    let output = Command::new("dumpe2fs").arg("-h").arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Filesystem state:         clean"), "not clean:\n{text}");
    assert!(!text.contains("needs_recovery"), "the journal was not closed");
    Ok(())
}

#[test]
fn the_power_button_switches_off() -> Result {
    ends_cleanly("power off", |node| Ok(node.machine().power_button()?))
}

#[test]
fn a_signal_switches_off() -> Result {
    ends_cleanly("power off", |node| node.begin("kill -USR2 1"))
}

#[test]
fn a_signal_reboots() -> Result {
    ends_cleanly("reboot", |node| node.begin("kill -TERM 1"))
}

#[test]
fn a_signal_halts() -> Result {
    ends_cleanly("halt", |node| node.begin("kill -USR1 1"))
}

#[test]
fn a_request_at_the_control_socket_switches_off() -> Result {
    ends_cleanly("power off", |node| node.begin_request("poweroff"))
}

#[test]
fn a_request_at_the_control_socket_reboots() -> Result {
    ends_cleanly("reboot", |node| node.begin_request("reboot"))
}

#[test]
fn a_request_at_the_control_socket_halts() -> Result {
    ends_cleanly("halt", |node| node.begin_request("halt"))
}

#[test]
fn a_node_that_reboots_comes_up_again() -> Result {
    // Armed for the reboot: the next boot is none that it ends.
    let node = Node::new().watchdog().boot()?;
    node.console().wait_for("probe: ready")?;
    let later = node.console().from_now();
    node.begin("kill -TERM 1")?;
    node.machine().wait_for_reset(1)?;
    later.wait_for("probe: ready")?;
    Ok(())
}

#[test]
fn a_second_request_hurries_a_container_that_does_not_end() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.deaf]
            image = "busybox"
            args = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
            stop-grace = "1h"
            "#,
        )
        .boot()?;
    node.console().wait_for("deaf: running")?;
    node.machine().power_button()?;
    node.console().wait_for("deaf: stopping")?;
    node.power_off()?;
    node.said_in_order(&["deaf: stopping", "shutdown: hurrying", "monitor: ended"])?;
    // Who is not hurried gives the monitor its 60 s, and says so in the end.
    assert!(!node.console().text().contains("did not end in time"));
    Ok(())
}

#[test]
fn what_unmounts_needs_no_dev_null() -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(64)?;
    let node = Node::new()
        .config("[data]\ndisk = \"serial:data\"\n")
        .ends_at_reset()
        .disk(Disk::new(&file).serial("data"))
        .boot()?;
    node.run("echo written >/var/note")?;
    node.begin("rm /dev/null; kill -USR2 1")?;
    node.console().wait_for("start the process that unmounts: ")?;
    node.console().wait_for("skerry: all file systems unmounted; power off")?;
    node.machine().wait_off()?;
    is_clean(&file)
}
