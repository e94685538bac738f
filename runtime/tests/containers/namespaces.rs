//! Namespaces: new, joined by path, or the runtime's own.

use crate::support::{Bundle, Container, Peer, eventually, fails, finish, leftovers, read};
use serde_json::json;
use std::process::Command;

const KINDS: [(&str, &str); 6] = [
    ("pid", "pid"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("network", "net"),
];

fn link(pid: &str, file: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{file}")).unwrap().display().to_string()
}

fn path(container: &Container, file: &str) -> String {
    container.proc(&format!("ns/{file}"))
}

#[test]
fn each_is_new() {
    let container = Bundle::new().long().create();
    for (kind, file) in KINDS {
        assert_ne!(link(&container.pid.to_string(), file), link("1", file), "{kind}");
    }
    assert_eq!(link(&container.pid.to_string(), "user"), link("1", "user"));
}

#[test]
fn one_that_is_not_listed_is_the_runtimes_own() {
    for (kind, file) in KINDS {
        // Of that `mount_namespaces` tells more.
        if kind == "mount" {
            continue;
        }
        let mut bundle = Bundle::new().long().namespace(kind, None);
        if kind == "uts" {
            bundle.config.as_object_mut().unwrap().remove("hostname");
        }
        // sysfs belongs to a network, mqueue to an IPC namespace: all is well for root.
        let container = bundle.create();
        assert_eq!(link(&container.pid.to_string(), file), link("1", file), "{kind}");
    }
}

#[test]
fn each_is_joined_by_path() {
    let first = Bundle::new().long().start();
    for (kind, file) in KINDS {
        if kind == "mount" || (kind == "cgroup" && fails(Peer::Crun, "1.8.1 makes a new one")) {
            continue;
        }
        let second = Bundle::new().long().join(kind, &path(&first, file)).create();
        assert_eq!(link(&second.pid.to_string(), file), link(&first.pid.to_string(), file), "{kind}");
        second.start().ok();
        assert_eq!(second.status(), "running");
        second.delete_force().ok();
    }
    assert_eq!(first.status(), "running");
}

#[test]
fn several_are_joined_as_a_pod_does() {
    let sandbox = Bundle::new().long().start();
    let mut member = Bundle::new().sh("hostname; cat /proc/sys/kernel/shmmax");
    for (kind, file) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")] {
        member = member.join(kind, &path(&sandbox, file));
    }
    member.config.as_object_mut().unwrap().remove("hostname");
    let mut changes = Command::new("nsenter");
    changes.args(["--target", &sandbox.pid.to_string(), "--ipc", "--uts", "sh", "-c"]);
    changes.arg("hostname pod; echo 12345 > /proc/sys/kernel/shmmax");
    finish(changes).ok();
    assert_eq!(member.says(), "pod\n12345\n");
}

#[test]
fn one_that_a_file_keeps_is_joined() {
    // As `ip netns` does: nobody is in it.
    let bundle = Bundle::new();
    let script = "touch /run/net && unshare --net=/run/net sh -c 'echo 77 > /proc/sys/net/core/somaxconn'";
    let mut keeper = Command::new("sh");
    keeper.args(["-c", script]);
    finish(keeper).ok();
    let bundle = bundle.join("network", "/run/net").args(["cat", "/proc/sys/net/core/somaxconn"]);
    assert_eq!(bundle.says(), "77\n");
}

#[test]
fn in_a_joined_pid_namespace_the_program_is_not_the_first() {
    let first = Bundle::new().long().start();
    first.says("ready");
    let second = Bundle::new().join("pid", &path(&first, "pid")).sh("cat /proc/1/cmdline; echo $$");
    let said = second.says();
    assert!(said.contains("trap"), "{said}");
    assert!(!said.ends_with("\n1\n"), "{said}");
}

#[test]
fn a_path_that_is_no_such_namespace_is_an_error() {
    let first = Bundle::new().long().start();
    for path in ["/no/such/namespace".to_owned(), "/etc/passwd".to_owned(), path(&first, "uts")] {
        Bundle::new().join("network", &path).try_create().error();
    }
    first.delete_force().ok();
    let left = leftovers();
    let known = fails(Peer::Crun, "1.8.1 leaves the cgroup")
        || (!left.is_empty() && fails(Peer::Runc, "1.1.5 leaves the cgroup now and then"));
    assert!(known || left.is_empty(), "{left:?}");
}

#[test]
fn one_that_is_listed_twice_is_an_error() {
    if fails(Peer::Crun, "1.8.1 takes the last one") {
        return;
    }
    let twice = Bundle::new().add("/linux/namespaces", json!({ "type": "network" }));
    twice.try_create().error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn host_name_and_domain_name_are_set() {
    let bundle = Bundle::new().set("/hostname", json!("given")).args(["hostname"]);
    assert_eq!(bundle.says(), "given\n");
    assert_ne!(read("/proc/sys/kernel/hostname"), "given\n");
    // Since 1.1 of the specification.
    if !fails(Peer::Runc, "1.1.5 follows 1.0") {
        let bundle =
            bundle.set("/domainname", json!("domain.example")).args(["cat", "/proc/sys/kernel/domainname"]);
        assert_eq!(bundle.says(), "domain.example\n");
    }
}

#[test]
fn a_host_name_without_a_uts_namespace_of_its_own_is_refused() {
    Bundle::new().namespace("uts", None).try_create().error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_new_network_has_a_loopback_that_is_up() {
    let said = Bundle::new().args(["ip", "-o", "address"]).says();
    assert!(said.contains("127.0.0.1/8") && said.lines().all(|line| line.contains("lo")), "{said}");
}

#[test]
fn the_first_process_of_a_pid_namespace_is_the_program() {
    let said = Bundle::new().sh("echo $$; ps -o pid | tr '\\n' ' '").says();
    assert!(said.starts_with("1\n"), "{said}");
}

#[test]
fn a_container_without_a_pid_namespace_ends_with_all_its_processes() {
    let container = Bundle::new().namespace("pid", None).sh("sleep 1000 & sleep 1000 & wait").start();
    eventually("three", || processes(&container) == 3);
    container.delete_force().ok();
    if fails(Peer::Runc, "1.1.5 does not wait for the others and cannot remove the cgroup") {
        return;
    }
    assert_eq!(leftovers(), [""; 0]);
}

fn processes(container: &Container) -> usize {
    read(format!("/sys/fs/cgroup/{}/cgroup.procs", container.id)).lines().count()
}

#[test]
fn sysctls_of_the_containers_namespaces_are_set() {
    let bundle = Bundle::new()
        .set(
            "/linux/sysctl",
            json!({ "net.ipv4.ip_forward": "1", "net.core.somaxconn": "77", "kernel.shmmax": "1234567", "fs.mqueue.msg_max": "9" }),
        )
        .sh("cd /proc/sys; cat net/ipv4/ip_forward net/core/somaxconn kernel/shmmax fs/mqueue/msg_max");
    assert_eq!(bundle.says(), "1\n77\n1234567\n9\n");
    assert_ne!(read("/proc/sys/kernel/shmmax"), "1234567\n");
}

#[test]
fn sysctls_are_set_once_hooks_have_made_the_network() {
    if fails(Peer::Crun, "sets them before") {
        return;
    }
    // As Docker's `prestart` hook does, which brings the interfaces and turns IPv6 off.
    let name = "pid=$(echo \"$state\" | grep -o '\"pid\": *[0-9]*' | grep -o '[0-9]*$')";
    let network = "ip link add d0 type veth peer name d1; echo 0 >/proc/sys/net/ipv4/ip_forward";
    let bundle = Bundle::new()
        .hook_sh("prestart", &format!("{name}; nsenter --target $pid --net sh -c '{network}'"))
        .set("/linux/sysctl", json!({ "net.ipv4.conf.d0.rp_filter": "2", "net.ipv4.ip_forward": "1" }))
        .sh("cd /proc/sys/net/ipv4; cat conf/d0/rp_filter ip_forward");
    assert_eq!(bundle.says(), "2\n1\n");
}

#[test]
fn sysctls_of_the_host_are_refused() {
    let refuse = |bundle: Bundle, key: &str| {
        let error = bundle.set("/linux/sysctl", json!({ key: "1" })).try_create().error();
        assert!(error.contains(key), "{error}");
    };
    for key in ["vm.overcommit_memory", "kernel.panic", "kernel.shmmax/../panic"] {
        if fails(Peer::Crun, "1.8.1 writes them") {
            return;
        }
        refuse(Bundle::new(), key);
    }
    refuse(Bundle::new().namespace("network", None), "net.ipv4.ip_forward");
    refuse(Bundle::new().namespace("ipc", None), "kernel.shmmax");
    // A namespace by path may be the host's all the same.
    let before = read("/proc/sys/net/core/somaxconn");
    refuse(Bundle::new().join("network", "/proc/1/ns/net"), "net.core.somaxconn");
    if !fails(Peer::Runc, "asks about the network alone") {
        refuse(Bundle::new().join("ipc", "/proc/1/ns/ipc"), "kernel.shmmax");
        refuse(Bundle::new().user_namespace().join("ipc", "/proc/1/ns/ipc"), "kernel.shmmax");
    }
    assert_eq!(read("/proc/sys/net/core/somaxconn"), before);
    // Its name has a field of its own.
    refuse(Bundle::new(), "kernel.hostname");
    refuse(Bundle::new(), "user.max_ipc_namespaces");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn sysctls_of_a_user_namespace_are_set() {
    if fails(Peer::Runc, "1.1.5 does not know them") || fails(Peer::Crun, "does not know them") {
        return;
    }
    let file = "/proc/sys/user/max_ipc_namespaces";
    let before = read(file);
    let bundle =
        Bundle::new().user_namespace().set("/linux/sysctl", json!({ "user.max_ipc_namespaces": "7" }));
    assert_eq!(bundle.args(["cat", file]).says(), "7\n");
    assert_eq!(read(file), before);
}

#[test]
fn hooks_of_the_host_do_not_live_in_the_containers_time() {
    if fails(Peer::Runc, "1.1.5 has no time namespaces") || fails(Peer::Crun, "1.8.1 cannot make this one") {
        return;
    }
    let note = "readlink /proc/self/ns/time /proc/self/ns/time_for_children >>/run/times";
    let bundle = Bundle::new()
        .namespace("time", Some(json!({ "type": "time" })))
        .set("/linux/timeOffsets", json!({ "boottime": { "secs": 500_000_000, "nanosecs": 0 } }))
        .hook_sh("createRuntime", note)
        .hook_sh("poststart", note)
        .hook_sh("poststop", note);
    let said = bundle.sh("readlink /proc/self/ns/time; grep -c '^5[0-9]\\{8\\}' /proc/uptime").says();
    let own = std::fs::read_link("/proc/1/ns/time").unwrap().display().to_string();
    assert!(said.ends_with("]\n1\n") && !said.contains(&own), "{said}");
    assert_eq!(read("/run/times"), format!("{own}\n").repeat(6));
}
