//! What only some hosts have, refused by its JSON path on all others: neither SELinux's file system
//! nor resctrl is mounted where the tests are.

use crate::support::{Bundle, Peer, fails, finish, leftovers};
use serde_json::json;

#[test]
fn a_label_is_refused_where_selinux_is_off() {
    let label = json!("system_u:system_r:container_t:s0");
    let mounts = Bundle::new().set("/linux/mountLabel", label.clone());
    let process = Bundle::new().set("/process/selinuxLabel", label.clone());
    for (bundle, path) in [(mounts, "linux.mountLabel"), (process, "process.selinuxLabel")] {
        if fails(Peer::Runc, "1.1.5 names the mount that fails") || fails(Peer::Crun, "1.8.1 ignores it") {
            return;
        }
        let error = bundle.try_create().error();
        assert!(error.contains(&format!("{path}: SELinux is not on")), "{error}");
        assert_eq!(leftovers(), [""; 0]);
    }
    let container = Bundle::new().long().start();
    let process =
        json!({ "args": ["true"], "cwd": "/", "user": { "uid": 0, "gid": 0 }, "selinuxLabel": label });
    std::fs::write("/run/process.json", process.to_string()).unwrap();
    let error = finish(container.command("exec", &["--process", "/run/process.json"])).error();
    assert!(error.contains("process.selinuxLabel: SELinux is not on"), "{error}");
}

#[test]
fn a_class_of_service_is_refused_where_there_is_no_resctrl() {
    if fails(Peer::Runc, "1.1.5 ignores it") || fails(Peer::Crun, "1.8.1 ignores it") {
        return;
    }
    let bundle = Bundle::new().set("/linux/intelRdt", json!({ "closID": "gold" }));
    let error = bundle.try_create().error();
    assert!(error.contains("linux.intelRdt: /sys/fs/resctrl is not a resctrl file system"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}
