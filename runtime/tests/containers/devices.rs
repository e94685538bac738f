//! `/dev`: the default nodes and links, and those that are asked for.

use crate::support::{Bundle, Peer, fails, finish, leftovers, runtime, sh};
use serde_json::{Value, json};

#[test]
fn the_default_nodes_are_there_and_work() {
    let names = "null zero full random urandom tty";
    let bundle = Bundle::new().sh(&format!(
        "cd /dev; stat -c '%n %F %t:%T %a %u:%g' {names}; echo x > null; head -c 2 zero | od -An -tx1"
    ));
    let expected = [
        "null character special file 1:3 666 0:0",
        "zero character special file 1:5 666 0:0",
        "full character special file 1:7 666 0:0",
        "random character special file 1:8 666 0:0",
        "urandom character special file 1:9 666 0:0",
        "tty character special file 5:0 666 0:0",
        " 00 00",
    ];
    assert_eq!(bundle.says().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_default_links_are_there() {
    let said =
        Bundle::new().sh("for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done").says();
    let links: Vec<&str> = said.lines().collect();
    assert_eq!(links[..4], ["/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"]);
    assert!(["pts/ptmx", "/dev/pts/ptmx"].contains(&links[4]), "{}", links[4]);
}

#[test]
fn devpts_is_the_containers_own() {
    assert_eq!(Bundle::new().sh("ls /dev/pts; stat -c %a /dev/pts/ptmx").says(), "ptmx\n666\n");
}

/// A node that is asked for: type, path, major, minor.
fn node(kind: &str, path: &str, major: u32, minor: u32) -> Value {
    json!({ "type": kind, "path": path, "major": major, "minor": minor, "fileMode": 0o640, "uid": 7, "gid": 8 })
}

#[test]
fn a_node_that_is_asked_for_has_its_number_mode_and_owner() {
    let bundle = Bundle::new()
        .set(
            "/linux/devices",
            json!([
                node("c", "/dev/mine", 1, 3),
                node("b", "/dev/sub/block", 7, 9),
                node("p", "/dev/pipe", 0, 0)
            ]),
        )
        .set("/process/user/umask", json!(0o77))
        .sh("cd /dev; stat -c '%n %F %t:%T %a %u:%g' mine sub/block pipe");
    let expected = [
        "mine character special file 1:3 640 7:8",
        "sub/block block special file 7:9 640 7:8",
        "pipe fifo 0:0 640 7:8",
    ];
    assert_eq!(bundle.says().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_node_outside_dev_through_a_link_stays_in_the_rootfs() {
    let bundle = Bundle::new()
        .link("out", "/run")
        .folder("run")
        .set("/linux/devices", json!([node("c", "/out/escaped", 1, 3)]));
    bundle.run();
    assert!(!std::path::Path::new("/run/escaped").exists());
}

#[test]
fn a_node_of_no_known_type_is_refused() {
    if fails(Peer::Crun, "1.8.1 leaves it out") {
        return;
    }
    Bundle::new().set("/linux/devices", json!([node("x", "/dev/x", 1, 3)])).try_create().error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn the_container_may_make_nodes_but_not_use_them() {
    if fails(Peer::Crun, "1.8.1 raises RLIMIT_MEMLOCK, which root is not everywhere allowed") {
        return;
    }
    // Docker's rule: everything is denied but mknod and the default nodes.
    let rules = json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "access": "m" },
        { "allow": true, "type": "c", "major": 1, "minor": 8, "access": "r" },
    ]);
    let bundle = Bundle::new()
        .set("/linux/resources", json!({ "devices": rules }))
        .sh("mknod /tmp/kmsg c 1 11; head -c 1 /tmp/kmsg 2>&1; mknod /tmp/r c 1 8 && head -c 1 /tmp/r | wc -c; echo x > /dev/null && echo null");
    let said = bundle.says();
    assert!(said.contains("not permitted") && said.ends_with("1\nnull\n"), "{said}");
}

#[test]
fn tun_is_open_to_who_makes_its_node() {
    if fails(Peer::Crun, "1.8.1 raises RLIMIT_MEMLOCK, which root is not everywhere allowed") {
        return;
    }
    let rules = json!([{ "allow": false, "access": "rwm" }]);
    let script = "for number in '10 200' '10 229'; do
            mknod /tmp/node c $number; true 2>&1 </tmp/node | grep -o 'not permitted' || echo open; rm /tmp/node
        done";
    let said = Bundle::new().set("/linux/resources", json!({ "devices": rules })).sh(script).says();
    assert_eq!(said, "open\nnot permitted\n");
}

#[test]
fn what_stands_in_a_devices_place_must_be_it() {
    if fails(Peer::Runc, "1.1.5 takes whatever is there")
        || fails(Peer::Crun, "1.8.1 takes whatever is there")
    {
        return;
    }
    let asked = |path: &str| {
        let path = format!("/{path}");
        Bundle::new().set("/linux/devices", json!([node("c", &path, 1, 3), node("c", &path, 1, 3)]))
    };
    let there = asked("there").sh("echo x >/there && stat -c %t:%T /there");
    assert_eq!(there.says(), "1:3\n");
    assert_eq!(there.set("/linux/devices", json!([node("c", "/there", 1, 3)])).says(), "1:3\n");
    for bundle in [asked("file").file("file", ""), asked("link").link("link", "/dev/null")] {
        let error = bundle.try_create().error();
        assert!(error.contains("linux.devices: /"), "{error}");
    }
    let other =
        asked("other").set("/linux/devices", json!([node("c", "/other", 1, 3), node("b", "/other", 1, 3)]));
    other.try_create().error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn ptmx_is_the_containers_own_though_the_hosts_is_asked_for() {
    let bundle = Bundle::new().set("/linux/devices", json!([node("c", "/dev/ptmx", 5, 2)]));
    let said = bundle.sh("readlink /dev/ptmx").says();
    assert!(said.contains("pts/ptmx"), "{said}");
}

#[test]
fn rules_that_do_not_hold_are_warned_of() {
    if fails(Peer::Runc, "1.1.5 needs cgroups") || fails(Peer::Crun, "1.8.1 needs cgroups") {
        return;
    }
    let bundle = Bundle::new().sh("echo runs");
    let runs = |bundle: &Bundle, log: &str| {
        bundle.write();
        let mut command = runtime(["--log", log, "run", "--bundle"]);
        command.arg(bundle.path()).arg(&bundle.id);
        assert_eq!(finish(command).ok().stdout, "runs\n");
        std::fs::read_to_string(log).unwrap_or_default()
    };
    let ruled =
        bundle.clone().set("/linux/resources", json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
    assert_eq!(runs(&ruled, "/run/log-with"), "");
    sh("umount /sys/fs/cgroup");
    assert_eq!(runs(&bundle, "/run/log-none"), "");
    let warned = runs(&ruled, "/run/log-without");
    assert!(warned.contains("level=warning") && warned.contains("linux.resources.devices"), "{warned}");
    assert_eq!(warned.lines().count(), 1, "{warned}");
}
