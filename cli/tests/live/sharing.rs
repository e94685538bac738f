//! Namespaces of another container's: `--pid`, `--ipc`.

use super::said::{fails, says, skerry};
use super::support::{Node, eventually};
use std::process::Command;

const LOOK: &str = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; cat /dev/shm/word";

#[test]
fn another_containers_processes_and_memory_are_shared_while_it_runs() {
    let node = Node::boot();
    says(
        "run -d --name db --ipc shareable --shm-size 2m busybox sh -c 'echo kept >/dev/shm/word; exec sleep 1000'",
    );
    eventually("it has written", || skerry("exec db cat /dev/shm/word").out == "kept\n");
    let guest = "--pid container:db --ipc container:db busybox sh -c";
    let own = says(&format!("exec db sh -c '{LOOK}'"));
    assert_eq!(says(&format!("run --name guest {guest} '{LOOK}'")), own);
    assert_eq!(says(&format!("run --rm {guest} 'ps | grep -c [s]leep'")), "1");
    let key = &says("ps --no-trunc -q -f name=db")[..12];
    let modes = says("inspect -f '{{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}' guest");
    assert_eq!(modes, format!("container:{key} container:{key}"));
    assert_eq!(says("inspect -f '{{.HostConfig.IpcMode}}' db"), "shareable");
    // With the other's first process all others of its namespace end, and another instance has another one.
    says(&format!("run -d --name stays {guest} 'exec sleep 1000'"));
    node.kill_monitor();
    says("restart -t 0 db");
    assert_eq!(says("wait stays"), "137");
    eventually("it has written", || skerry("exec db cat /dev/shm/word").out == "kept\n");
    let again = says(&format!("exec db sh -c '{LOOK}'"));
    assert_eq!(says("start -a guest"), again);
    says("rename db store");
    says("stop -t 0 store");
    assert!(fails("start guest", 1).ends_with("pid container:store: it does not run"));
    eventually("its memory is gone", || {
        let mounts = Command::new("cat").arg("/proc/mounts").output().unwrap();
        !String::from_utf8_lossy(&mounts.stdout).contains(&format!("{key}/shm "))
    });
}

#[test]
fn whose_namespaces_cannot_be_shared_is_told() {
    let _node = Node::boot();
    says("run -d --name plain busybox sleep 1000");
    let told = fails("run --ipc container:plain busybox true", 125);
    assert!(told.ends_with("ipc container:plain: its own is not shareable (--ipc shareable)"), "{told}");
    assert!(
        fails("run --pid container:none busybox true", 125).contains("container \"none\": there is none")
    );
    let told = fails("run --pid shareable busybox true", 125);
    assert!(told.contains("--pid: \"shareable\" is none of private, host and container:NAME"), "{told}");
    assert!(skerry("run --rm --ipc none busybox ls /dev/shm").err.contains("No such file"));
}
