//! Mounts whose owners are seen as others.

use crate::support::{Bundle, Peer, fails, finish, leftovers};
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

/// A folder of the host with a file of root's and one of user 1000, and another file system
/// in it.
fn with_source(bundle: Bundle) -> Bundle {
    let script = "mkdir -p /run/source/sub && mount -t tmpfs sub /run/source/sub && cd /run/source && \
        touch root user sub/root && chown 1000:1000 user";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]);
    finish(shell).ok();
    bundle
}

fn mapped(bundle: Bundle, options: &[&str], user: u32, group: u32) -> Bundle {
    let map = |first: u32| json!([{ "containerID": 0, "hostID": first, "size": 65_536 }]);
    let mut mount =
        json!({ "destination": "/bound", "type": "bind", "source": "/run/source", "options": options });
    if user > 0 {
        (mount["uidMappings"], mount["gidMappings"]) = (map(user), map(group));
    }
    with_source(bundle).add("/mounts", mount)
}

#[test]
fn owners_are_seen_by_the_mounts_own_mappings() {
    if fails(Peer::Runc, "1.1.5 does not know them") {
        return;
    }
    let bundle = mapped(Bundle::new(), &["rbind", "idmap"], 100_000, 200_000)
        .sh("cd /bound; stat -c '%n %u %g' root user; stat -c '%n %u %g' sub/root || true");
    let said = bundle.says();
    assert!(said.starts_with("root 100000 200000\nuser 101000 201000\n"), "{said}");
    let below = said.ends_with("\nsub/root 0 0\n");
    assert!(below || fails(Peer::Crun, "1.8.1 leaves out what is mounted below"), "{said}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn ridmap_is_for_what_is_mounted_below_too() {
    if fails(Peer::Runc, "1.1.5 does not know it")
        || fails(Peer::Crun, "1.8.1 leaves out what is mounted below")
    {
        return;
    }
    let bundle = mapped(Bundle::new(), &["rbind", "ridmap", "ro"], 100_000, 100_000)
        .sh("cd /bound; stat -c '%n %u' root sub/root; touch new 2>/dev/null || echo refused");
    assert_eq!(bundle.says(), "root 100000\nsub/root 100000\nrefused\n");
}

#[test]
fn a_container_with_users_of_its_own_has_the_hosts_files_as_its_own() {
    if fails(Peer::Runc, "1.1.5 does not know it") {
        return;
    }
    let bundle = mapped(Bundle::new().user_namespace(), &["bind", "idmap"], 0, 0)
        .sh("cd /bound; stat -c '%n %u' root user; touch new");
    assert_eq!(bundle.says(), "root 0\nuser 1000\n");
    assert_eq!(std::fs::metadata("/run/source/new").unwrap().uid(), 0, "root's on the file system");
}

#[test]
fn a_container_in_anothers_user_namespace_maps_by_that() {
    if fails(Peer::Runc, "1.1.5 does not know it") {
        return;
    }
    let first = Bundle::new().user_namespace().long().start();
    let mut second =
        mapped(Bundle::new().user_namespace().join("user", &first.proc("ns/user")), &["bind", "idmap"], 0, 0)
            .sh("stat -c %u /bound/root");
    for mapping in ["uidMappings", "gidMappings"] {
        second.config["linux"].as_object_mut().unwrap().remove(mapping);
    }
    assert_eq!(second.says(), "0\n");
}

#[test]
fn a_source_may_be_what_an_earlier_mount_has_put_there() {
    if fails(Peer::Runc, "1.1.5 does not know it")
        || fails(Peer::Crun, "1.8.1 opens it before anything is mounted")
    {
        return;
    }
    for (bundle, first) in [(Bundle::new(), 100_000), (Bundle::new().user_namespace(), 0)] {
        let bundle = bundle.bind("/run/source", "/data", &["rbind"]);
        let source = bundle.rootfs().join("data");
        let mut mount = json!({ "destination": "/bound", "type": "bind", "source": source, "options": ["rbind", "ridmap"] });
        if first > 0 {
            let map = json!([{ "containerID": 0, "hostID": first, "size": 65_536 }]);
            (mount["uidMappings"], mount["gidMappings"]) = (map.clone(), map);
        }
        let bundle =
            with_source(bundle).add("/mounts", mount).sh("cd /bound && stat -c '%n %u' root user sub/root");
        assert_eq!(bundle.says(), format!("root {first}\nuser {}\nsub/root {first}\n", first + 1000));
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn what_cannot_be_idmapped_is_named() {
    if fails(Peer::Runc, "1.1.5 mounts it as it is") {
        return;
    }
    // procfs has no owners that could be mapped.
    let map = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
    let mount = json!({ "destination": "/bound", "type": "bind", "source": "/proc", "options": ["bind", "idmap"],
        "uidMappings": map, "gidMappings": map });
    let error = Bundle::new().add("/mounts", mount).try_create().error();
    if fails(Peer::Crun, "1.8.1 names none and leaves the cgroup") {
        return;
    }
    assert!(error.contains("mounts[7]"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}
