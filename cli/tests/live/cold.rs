//! A workstation on which nothing was set up before: no keeper, no folder, no image.

use super::said::{Terminal, fails, says};
use super::support::{Place, archive, eventually, programs};
use nix::mount::{MntFlags, umount2};
use std::path::Path;

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
    // The keeper stays for the next one.
    assert_eq!(says("run -d --name stays busybox sleep 1000").len(), 64);
    eventually("it runs", || says("ps --format '{{.Names}}'") == "stays");
}
