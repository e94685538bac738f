//! Containers in a mount namespace that is there already: one by path, or the caller's.

use crate::support::{Bundle, Peer, begin, eventually, fails, finish, leftovers, read, sh};
use serde_json::json;
use std::process::Command;

/// Without a mount namespace of its own. runc masks nothing then.
fn shared() -> Bundle {
    let nothing = json!([]);
    Bundle::new()
        .namespace("mount", None)
        .set("/linux/maskedPaths", nothing.clone())
        .set("/linux/readonlyPaths", nothing)
        .file("marker", "mine\n")
}

/// What is mounted in bundles where the test is.
fn mounted() -> Vec<String> {
    let mut cat = Command::new("cat");
    cat.arg("/proc/self/mountinfo");
    finish(cat)
        .ok()
        .stdout
        .lines()
        .filter(|line| line.contains(" /run/bundles/"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn without_one_the_root_is_its_own_all_the_same() {
    let bundle = shared().sh("cat /marker /proc/1/comm; test -e /run/bundles || echo jailed; ls /dev/null");
    let said = bundle.says();
    assert!(said.starts_with("mine\nsh\njailed\n") && said.ends_with("/dev/null\n"), "{said}");
    let container = bundle.long().start();
    let link = |path: &str| std::fs::read_link(path).unwrap();
    assert_eq!(link(&container.proc("ns/mnt")), link("/proc/1/ns/mnt"));
}

#[test]
fn without_one_nothing_stays_mounted() {
    if fails(Peer::Runc, "1.1.5 leaves all of it") || fails(Peer::Crun, "1.8.1 leaves all of it") {
        return;
    }
    shared().says();
    assert_eq!(mounted(), [""; 0]);
    // What the root is itself stays, also when the container could not be created.
    let bundle = shared().sh("cat /marker");
    let mut bind = Command::new("mount");
    bind.args(["--bind"]).arg(bundle.rootfs()).arg(bundle.rootfs());
    finish(bind).ok();
    assert_eq!(bundle.says(), "mine\n");
    assert_eq!(mounted().len(), 1);
    bundle.bind("/no/such", "/bound", &["bind"]).try_create().error();
    assert_eq!(mounted().len(), 1);
    shared().args(["nosuchprogram"]).try_create().error();
    assert_eq!(mounted().len(), 1);
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn without_one_the_root_is_private_where_the_hosts_mounts_are_shared() {
    if fails(Peer::Crun, "1.8.1 mounts all of it shared") {
        return;
    }
    let bundle = shared().long();
    sh("mount --make-rshared /run");
    let container = bundle.start();
    let mounted = mounted();
    assert!(mounted.len() > 1 && !mounted[0].contains(" shared:"), "{mounted:?}");
    container.delete_force().ok();
    assert!(
        self::mounted().is_empty() || fails(Peer::Runc, "1.1.5 leaves all of it"),
        "{:?}",
        self::mounted()
    );
}

#[test]
fn without_one_what_is_mounted_on_the_host_stays_there() {
    if fails(Peer::Runc, "1.1.5 leaves all of it") || fails(Peer::Crun, "1.8.1 leaves all of it") {
        return;
    }
    let bundle = shared();
    let script = "mkdir -p /run/there/sub && mount -t tmpfs there /run/there && mkdir /run/there/sub && \
                  mount -t tmpfs sub /run/there/sub && echo kept >/run/there/sub/file && mount --make-rshared /run/there";
    sh(script);
    bundle.bind("/run/there", "/bound", &["rbind"]).args(["cat", "/bound/sub/file"]).says();
    assert_eq!(read("/run/there/sub/file"), "kept\n");
}

#[test]
fn paths_are_masked_and_closed_without_one_too() {
    if fails(Peer::Runc, "1.1.5 refuses it") {
        return;
    }
    let bundle = shared()
        .set("/linux/maskedPaths", json!(["/marker"]))
        .set("/linux/readonlyPaths", json!(["/tmp"]))
        .sh("cat /marker; touch /tmp/new 2>/dev/null || echo closed");
    assert_eq!(bundle.says(), "closed\n");
}

#[test]
fn exec_is_in_the_same_root_without_one() {
    if fails(Peer::Runc, "1.1.5 cannot where no namespace is the container's own")
        || fails(Peer::Crun, "1.8.1 runs the host's program")
    {
        return;
    }
    let mut bundle = shared();
    for kind in ["pid", "ipc", "uts", "cgroup", "network"] {
        bundle = bundle.namespace(kind, None);
    }
    bundle.config.as_object_mut().unwrap().remove("hostname");
    let container = bundle.long().start();
    container.says("ready");
    assert_eq!(container.sh("cat /marker; test -e /run/bundles || echo jailed"), "mine\njailed\n");
}

#[test]
fn one_of_a_process_is_joined_with_what_is_mounted_there() {
    // One that a file keeps is not to be had without fail: the kernel refuses the file now and then.
    let bundle = Bundle::new();
    let inside = "mount -t tmpfs more /root && echo only there > /root/file && echo $$; exec sleep 1000";
    let mut keeper = Command::new("unshare");
    keeper.args(["--mount", "sh", "-c", inside]);
    let keeper = begin(keeper);
    eventually("a mount namespace", || read(&keeper.stdout).ends_with('\n'));
    let path = format!("/proc/{}/ns/mnt", read(&keeper.stdout).trim());
    let bundle = bundle.join("mount", &path).bind("/root", "/bound", &["bind"]).sh("cat /bound/file");
    assert_eq!(bundle.says(), "only there\n");
    drop(keeper);
    assert_eq!(leftovers(), [""; 0]);
}
