//! The root and how it is entered.

use crate::support::{Bundle, Peer, fails, finish, leftovers, read, runtime, sh};
use serde_json::json;

#[test]
fn the_root_is_writable_unless_it_is_read_only() {
    let touch = "touch /new 2>/dev/null && echo written || echo refused; touch /dev/shm/new && echo shm";
    assert_eq!(Bundle::new().sh(touch).says(), "written\nshm\n");
    assert_eq!(Bundle::new().set("/root/readonly", json!(true)).sh(touch).says(), "refused\nshm\n");
}

#[test]
fn a_root_that_is_absolute_or_a_link_is_taken() {
    let other = Bundle::new();
    let absolute = Bundle::new().set("/root/path", json!(other.rootfs())).args(["ls", "/bin/busybox"]);
    assert_eq!(absolute.says(), "/bin/busybox\n");
    std::os::unix::fs::symlink(other.rootfs(), "/run/link").unwrap();
    // runc 1.1.5 wants a path without links.
    if !fails(Peer::Runc, "1.1.5 refuses a root that is a link") {
        absolute.set("/root/path", json!("/run/link")).says();
    }
}

#[test]
fn a_root_that_is_missing_is_an_error_that_names_it() {
    let error = Bundle::new().set("/root/path", json!("no-such-root")).try_create().error();
    assert!(error.contains("no-such-root"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn the_host_is_not_seen() {
    let said = Bundle::new().sh("ls /; cat /proc/self/mountinfo").says();
    assert!(
        !said.contains("boot") && !said.contains("/run/bundles/") || said.matches("rootfs").count() == 1,
        "{said}"
    );
    assert!(!said.contains("/usr/share"), "{said}");
}

#[test]
fn the_propagation_of_the_root_is_set() {
    for (word, optional) in [("private", ""), ("shared", "shared:"), ("unbindable", "unbindable")] {
        if word != "private"
            && fails(Peer::Runc, "1.1.5 makes the parent private and then binds the root anew")
        {
            continue;
        }
        let line = Bundle::new().set("/linux/rootfsPropagation", json!(word)).mountinfo("/");
        let fields: Vec<&str> = line.split(" - ").next().unwrap().split(' ').skip(6).collect();
        assert!(
            fields.concat().starts_with(optional) && fields.is_empty() == optional.is_empty(),
            "{word}: {line}"
        );
    }
}

#[test]
fn the_propagation_of_the_root_is_set_where_the_host_shares_its_mounts() {
    let bundle = Bundle::new();
    let mounts = || std::fs::read_to_string("/proc/1/mountinfo").unwrap().lines().count();
    sh("mount --make-rshared /");
    let (before, mut bundle) = (mounts(), bundle.args(["true"]));
    for word in ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"] {
        let unbindable = word.ends_with("unbindable");
        if unbindable && fails(Peer::Runc, "1.1.5 binds the root once it cannot be bound")
            || word == "runbindable" && fails(Peer::Crun, "1.8.1 binds /dev/null once it cannot be bound")
        {
            continue;
        }
        bundle = bundle.set("/linux/rootfsPropagation", json!(word));
        bundle.run().ok();
        assert_eq!(mounts(), before, "{word}");
        if fails(Peer::Runc, "1.1.5 refuses some of them without pivot_root")
            || fails(Peer::Crun, "1.8.1 mounts the container's root on the host's, too")
        {
            continue;
        }
        finish(bundle.command("run", &["--no-pivot"])).ok();
        assert_eq!(mounts(), before, "{word}: {}", read("/proc/1/mountinfo"));
    }
}

#[test]
fn the_rootfs_need_not_be_a_mount_and_no_pivot_works() {
    let bundle = Bundle::new().args(["ls", "/"]);
    let said = finish(bundle.command("run", &["--no-pivot"])).ok().stdout;
    assert!(said.contains("tmp\n") && !said.contains("boot\n"), "{said}");
    finish(runtime(["list"])).ok();
}
