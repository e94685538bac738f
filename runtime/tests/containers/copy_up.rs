//! `tmpcopyup`: a tmpfs that begins with a copy of what it covers.

use crate::support::{Bundle, Peer, fails, finish};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

#[test]
fn a_copy_is_like_what_it_covers_to_the_last_bit() {
    if fails(Peer::Runc, "1.1.5 stumbles over a device node") || fails(Peer::Crun, "1.8.1 keeps no times") {
        return;
    }
    let bundle = Bundle::new()
        .file("data/tool", "x")
        .folder("data/closed")
        .link("data/link", "/etc/passwd")
        .mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "ro", "nodev"]);
    let root = bundle.rootfs().join("data").display().to_string();
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg(format!(
        "cd {root} && mkfifo -m 620 pipe && mknod -m 604 node c 1 3 && chown 1:2 tool && chmod 6755 tool \
         && chown -h 5:6 link && touch -d @1000000000 tool && chmod 1711 closed && chown 3:4 . && chmod 2750 ."
    ));
    finish(shell).ok();
    let look = "cd /data && stat -c '%n %F %a %u:%g %t:%T %s' . closed link node pipe tool && stat -c %Y tool && readlink link; touch new 2>/dev/null || echo closed";
    let expected = [
        "tool regular file 6755 1:2 0:0 1",
        "node character special file 604 0:0 1:3 0",
        "pipe fifo 620 0:0 0:0 0",
        "link symbolic link 777 5:6 0:0 11",
        "1000000000",
        "/etc/passwd",
        "closed",
    ];
    let said = bundle.sh(look).says();
    for line in expected {
        assert!(said.lines().any(|other| other == line), "{line} in {said}");
    }
    for begin in ["closed directory 1711 0:0", ". directory 2750 3:4"] {
        assert!(said.lines().any(|other| other.starts_with(begin)), "{begin} in {said}");
    }
}

#[test]
fn a_copy_has_the_mode_and_the_owner_that_are_asked_for() {
    if fails(Peer::Runc, "1.1.5 takes the covered folder's mode") {
        return;
    }
    let options = ["tmpcopyup", "mode=1750", "uid=7"];
    let bundle = Bundle::new().file("data/file", "x").mount("/data", "tmpfs", "tmpfs", &options);
    assert_eq!(bundle.sh("stat -c '%a %u' /data; cat /data/file").says(), "1750 7\nx");
}

#[test]
fn a_copy_keeps_extended_attributes() {
    if fails(Peer::Runc, "1.1.5 keeps none") || fails(Peer::Crun, "1.8.1 keeps none") {
        return;
    }
    // CAP_NET_RAW, permitted, as of revision 2 of `struct vfs_cap_data`.
    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let bundle =
        Bundle::new().file("data/sub/ping", "x").mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]).long();
    let file = File::open(bundle.rootfs().join("data/sub/ping")).unwrap();
    sys::xattr::set(file.as_fd(), c"security.capability", &value).unwrap();
    let copy = bundle.start().proc("root/data/sub/ping");
    let copied = sys::xattr::get(Path::new(&copy), "security.capability").unwrap();
    assert_eq!(copied.as_deref(), Some(&value[..]));
}

#[test]
fn a_copy_is_made_in_a_user_namespace_too() {
    let copied = Bundle::new().file("data/sub/file", "kept\n").user_namespace();
    let bundle = copied.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let said =
        bundle.sh("cat /data/sub/file; stat -c %u /data/sub/file; echo changed > /data/sub/file").says();
    assert_eq!(said, "kept\n0\n");
}
