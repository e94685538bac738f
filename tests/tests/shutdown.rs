//! The ways in which a node ends: each stops containers first and unmounts all.

use std::path::Path;
use std::process::Command;
use tests::{Disk, Node, Result, Running, Scratch};

const CONFIG: &str = r#"
[data]
disk = "serial:data"

[containers.a]
image = "busybox"
args = ["sh", "-c", "trap 'echo a has ended; exit 0' TERM; while :; do sleep 0.1; done"]
console = true

[containers.b]
image = "busybox"
args = ["sh", "-c", "trap 'echo b has ended; exit 0' TERM; while :; do sleep 0.1; done"]
console = true
after = ["a"]

[containers.control]
image = "python"
args = ["-c", "import time; time.sleep(1000000)"]
mounts = [{ type = "bind", source = "/run/skerry", target = "/run/skerry" }]
stop-grace = "1s"
"#;

/// Boots with a data disk, ends the node by `end`, and looks at what is left.
fn ends_cleanly(end: impl Fn(&Running) -> Result) -> Result {
    let folder = Scratch::new()?;
    let file = folder.blank_disk(64)?;
    let node =
        Node::with_images().config(CONFIG).ends_at_reset().disk(Disk::new(&file).serial("data")).boot()?;
    for name in ["a", "b", "control"] {
        node.console().wait_for(&format!("{name}: running"))?;
    }
    node.run("echo written >/var/note")?;
    end(&node)?;
    node.machine().wait_off()?;
    let log = node.console().text();
    assert!(log.find("b: b has ended") < log.find("a: a has ended"), "not in reverse order");
    assert!(log.contains("a: a has ended"), "a was not asked to end");
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

/// Speaks to PID 1's control socket from a container that has `/run/skerry`.
fn ask_pid_1(node: &Running, request: &str) -> Result {
    let program = format!(
        "import socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); \
         s.connect('/run/skerry/init.sock'); s.send(b'{request}'); print(s.recv(65536).decode())"
    );
    let exec = "/sbin/skerry-runtime --root /run/skerry/runtime exec control /usr/bin/python3 -c";
    node.run(&format!("{exec} \"{program}\"")).map(drop)
}

#[test]
fn the_power_button_switches_off() -> Result {
    ends_cleanly(|node| Ok(node.machine().power_button()?))
}

#[test]
fn a_signal_switches_off() -> Result {
    ends_cleanly(|node| node.run("kill -USR2 1").map(drop))
}

#[test]
fn a_request_at_the_control_socket_switches_off() -> Result {
    ends_cleanly(|node| ask_pid_1(node, "poweroff"))
}

#[test]
fn a_request_at_the_control_socket_reboots() -> Result {
    ends_cleanly(|node| {
        ask_pid_1(node, "reboot")?;
        Ok(node.machine().wait_for_reset(1)?)
    })
}

#[test]
fn a_signal_reboots() -> Result {
    ends_cleanly(|node| {
        node.run("kill -TERM 1")?;
        Ok(node.machine().wait_for_reset(1)?)
    })
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
    node.power_off()
}
