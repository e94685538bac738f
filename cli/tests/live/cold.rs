//! A workstation on which nothing was set up before: no keeper, no folder, no image.

use super::said::{Terminal, fails, says};
use super::support::{Place, archive, eventually, programs};
use nix::mount::{MntFlags, umount2};
use std::path::Path;
use std::process::Command;

#[test]
fn the_first_command_starts_all_that_it_needs() {
    let busybox = archive("busybox");
    programs();
    let _place = Place::enter(&format!("skerry-cold-{}", std::process::id()), "/tmp");
    umount2("/var/lib/skerry/store", MntFlags::MNT_DETACH).unwrap();
    for folder in ["/var/lib/skerry", "/run/skerry"] {
        std::fs::remove_dir_all(folder).unwrap();
    }
    // What cannot be done needs no keeper.
    let told = fails("tag busybox x", 1);
    assert_eq!(told, "skerry: image \"busybox\" is not here");
    assert!(!Path::new("/run/skerry").exists());
    says(&format!("import {}", busybox.display()));
    let mut terminal = Terminal::of("run -it --rm busybox");
    terminal.wait_for("/ # ");
    terminal.types("echo up and run''ning\r");
    terminal.wait_for("up and running\r\n");
    terminal.types("exit 4\r");
    assert_eq!(terminal.end().1, 4);
    // The keeper stays for the next one, whatever becomes of who was first: of its cgroup, or its folder.
    let line = "for pid in $(cat /sys/fs/cgroup/system/keeper/cgroup.procs); do readlink /proc/$pid/exe /proc/$pid/cwd; done";
    let found = Command::new("sh").args(["-c", line]).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    let found: Vec<&str> = found.lines().collect();
    assert!(found.len() >= 2, "{found:?}");
    assert!(found.chunks(2).all(|one| one[0].ends_with("/skerry-keeper") && one[1] == "/"), "{found:?}");
    assert_eq!(says("run -d --name stays busybox sleep 1000").len(), 64);
    eventually("it runs", || says("ps --format '{{.Names}}'") == "stays");
}
