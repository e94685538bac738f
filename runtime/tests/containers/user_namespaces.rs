//! Containers whose root is nobody on the host.

use crate::support::{Bundle, Container, Peer, begin, capabilities, fails, finish, leftovers, read, sh};
use serde_json::json;
use std::io::Write;
use std::process::Command;

#[test]
fn root_is_root_inside_and_100000_outside() {
    let bundle = Bundle::new()
        .user_namespace()
        .sh("id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map; touch /made");
    let said = bundle.says();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["0", "0", "0", "100000", "65536", "0", "100000", "65536"]);
    use std::os::unix::fs::MetadataExt;
    let made = std::fs::metadata(bundle.rootfs().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (100_000, 100_000));
}

#[test]
fn the_process_is_100000_on_the_host() {
    let container = Bundle::new().user_namespace().long().start();
    let status = read(container.proc("status"));
    assert!(status.contains("\nUid:\t100000\t100000\t100000\t100000\n"), "{status}");
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn devices_are_there_and_work() {
    let bundle = Bundle::new()
        .user_namespace()
        .sh("cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty; echo x > null; head -c 2 zero | od -An -tx1");
    let expected = [
        "null 1:3 666",
        "zero 1:5 666",
        "full 1:7 666",
        "random 1:8 666",
        "urandom 1:9 666",
        "tty 5:0 666",
        " 00 00",
    ];
    assert_eq!(bundle.says().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn it_can_mount_and_unmount_with_the_capability() {
    let names = json!(["CAP_SYS_ADMIN"]);
    let mut bundle = Bundle::new().user_namespace();
    for set in ["bounding", "effective", "permitted"] {
        bundle = bundle.set(&format!("/process/capabilities/{set}"), names.clone());
    }
    let script = "mount -t tmpfs mine /tmp && touch /tmp/file && ls /tmp && umount /tmp && ls /tmp";
    assert_eq!(bundle.sh(script).says(), "file\n");
}

#[test]
fn a_read_only_bind_mount_stays_read_only() {
    let bundle = Bundle::new().user_namespace();
    std::fs::create_dir_all("/run/source").unwrap();
    let bundle = bundle
        .bind("/run/source", "/bound", &["rbind", "ro", "nosuid"])
        .sh("touch /bound/new 2>/dev/null || echo refused; mount -o remount,rw /bound 2>/dev/null || echo refused");
    assert_eq!(bundle.says(), "refused\nrefused\n");
}

#[test]
fn a_bind_mount_keeps_the_flags_that_are_locked() {
    if fails(Peer::Runc, "1.1.5 drops them and is refused")
        || fails(Peer::Crun, "1.8.1 drops them and is refused")
    {
        return;
    }
    // A mount that is nosuid, nodev, noexec on the host cannot lose that in a user namespace.
    let bundle = Bundle::new().user_namespace();
    let mut mount = Command::new("sh");
    mount.args(["-c", "mkdir /run/locked && mount -t tmpfs -o nosuid,nodev,noexec locked /run/locked"]);
    finish(mount).ok();
    let bundle =
        bundle.bind("/run/locked", "/bound", &["bind", "ro"]).sh("grep ' /bound ' /proc/self/mountinfo");
    let said = bundle.says();
    assert!(said.contains(" ro,nosuid,nodev,noexec"), "{said}");
}

#[test]
fn a_source_lies_where_its_root_may_not_go() {
    let bundle = Bundle::new().user_namespace();
    sh(
        "mkdir -p /run/closed/data /run/open/late && chmod 700 /run/closed && echo seen >/run/closed/data/file \\
        && ln -s /run/open /run/closed/link && mount --bind /run/open /run/open && mount --make-shared /run/open",
    );
    let bundle = bundle
        .bind("/run/closed/data", "/data", &["rbind", "ro"])
        .bind("/run/closed/data/file", "/file", &["bind"])
        .bind("/run/closed/link", "/link", &["rbind"])
        .set("/process/capabilities", capabilities(&["CAP_SYS_ADMIN"]));
    let script = "cat /data/file /file; touch /data/new 2>/dev/null || echo refused; \
        mount -t tmpfs mine /link/late && touch /link/late/mine && ls /link/late";
    assert_eq!(bundle.sh(script).says(), "seen\nseen\nrefused\nmine\n");
    assert_eq!(sh("ls /run/open/late"), "");
}

#[test]
fn its_own_proc_sys_and_cgroup_are_mounted() {
    let said = Bundle::new()
        .user_namespace()
        .sh("cat /proc/self/comm; ls -d /sys/class/net/lo; cat /sys/fs/cgroup/cgroup.procs | head -n 1")
        .says();
    assert_eq!(said, "cat\n/sys/class/net/lo\n1\n");
}

#[test]
fn a_writable_cgroup_is_the_users_own() {
    if fails(Peer::Runc, "1.1.5 does so with systemd alone")
        || fails(Peer::Crun, "1.8.1 gives it to its root")
    {
        return;
    }
    use std::os::unix::fs::MetadataExt;
    let writable = |mut bundle: Bundle| {
        bundle.config["mounts"][4]["options"] = json!(["nosuid", "noexec", "nodev"]);
        bundle.set("/process/user/uid", json!(1000))
    };
    let owners = |bundle: Bundle, script: &str| {
        let id = bundle.id.clone();
        let container = bundle.long().start();
        container.says("ready");
        assert_eq!(container.sh(script), "");
        let owner = |file: &str| std::fs::metadata(format!("/sys/fs/cgroup/{id}/{file}")).unwrap().uid();
        let owners = ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.freeze"].map(owner);
        container.delete_force().ok();
        owners
    };
    let make = "cd /sys/fs/cgroup && mkdir below && echo 1 >below/cgroup.procs";
    let users = writable(Bundle::new().user_namespace());
    assert_eq!(owners(users, make), [101_000, 101_000, 101_000, 0]);
    assert_eq!(owners(writable(Bundle::new()), make), [1000, 1000, 1000, 0]);
    assert_eq!(owners(Bundle::new().user_namespace(), ""), [0; 4]);
    let hosts = writable(Bundle::new().user_namespace()).namespace("cgroup", None);
    assert_eq!(owners(hosts, ""), [0; 4]);
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn another_user_and_groups_are_mapped() {
    let user = json!({ "uid": 1000, "gid": 1000, "additionalGids": [2000] });
    let container = Bundle::new().user_namespace().set("/process/user", user).long().start();
    let status = read(container.proc("status"));
    assert!(status.contains("\nUid:\t101000\t"), "{status}");
    assert!(status.contains("\nGroups:\t102000 \n"), "{status}");
    if fails(Peer::Crun, "1.8.1 runs exec as root unless asked") {
        return;
    }
    assert_eq!(container.sh("id -u; id -G"), "1000\n1000 2000\n");
}

/// The capability without which no hard limit is raised.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

#[test]
fn hard_limits_above_the_callers_are_set() {
    if sys::capability::permitted().unwrap() & CAP_SYS_RESOURCE == 0 {
        let _ = writeln!(std::io::stderr(), "left out: raised limits: there is no CAP_SYS_RESOURCE here");
        return;
    }
    if fails(Peer::Crun, "1.8.1 sets them without the right to") {
        return;
    }
    let limits = json!([{ "type": "RLIMIT_NOFILE", "soft": 300, "hard": 400 }]);
    let bundle = Bundle::new().user_namespace().set("/process/rlimits", limits).long();
    let low = |command: Command| {
        let mut low = Command::new("prlimit");
        low.arg("--nofile=200:200").arg(command.get_program()).args(command.get_args());
        low
    };
    let container = bundle.created(begin(low(bundle.command("create", &[]))));
    container.start().ok();
    let mut exec = container.command("exec", &[]);
    exec.args(["cat", "/proc/self/limits"]);
    for text in [read(container.proc("limits")), finish(low(exec)).ok().stdout] {
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
        assert_eq!(line.split_whitespace().take(2).collect::<Vec<_>>(), ["300", "400"], "{text}");
    }
}

#[test]
fn exec_joins_it() {
    let container = Bundle::new().user_namespace().long().start();
    container.says("ready");
    let said = container.sh("id -u; cat /proc/self/uid_map; echo x > /dev/null && echo null");
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "0", "100000", "65536", "null"]);
    assert_eq!(container.exec_with(&["--user", "1000:1000"], ["id", "-u"]).ok().stdout, "1000\n");
}

#[test]
fn one_of_another_container_is_joined_by_path() {
    if fails(Peer::Runc, "1.1.5 demands mappings for it, which 1.2 refuses") {
        return;
    }
    let first = Bundle::new().user_namespace().long().start();
    let mut second = Bundle::new().user_namespace().join("user", &first.proc("ns/user"));
    for mapping in ["uidMappings", "gidMappings"] {
        second.config["linux"].as_object_mut().unwrap().remove(mapping);
    }
    let said = second.sh("id -u; cat /proc/self/uid_map").says();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "0", "100000", "65536"]);
}

/// A container in another's user namespace, with the mappings that Podman gives, which
/// mean nothing.
fn joined(first: &Container) -> Bundle {
    let nothing = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    Bundle::new()
        .user_namespace()
        .join("user", &first.proc("ns/user"))
        .set("/linux/uidMappings", nothing.clone())
        .set("/linux/gidMappings", nothing)
}

#[test]
fn one_that_is_joined_is_lived_in_like_a_new_one() {
    let first = Bundle::new().user_namespace().long().start();
    let second = joined(&first).long().start();
    let status = read(second.proc("status"));
    assert!(status.contains("\nUid:\t100000\t100000\t100000\t100000\n"), "{status}");
    assert_eq!(second.sh("echo $$ > /made; id -u; ls -d /sys/class/net/lo"), "0\n/sys/class/net/lo\n");
    let mine = |kind: &str| std::fs::read_link(second.proc(&format!("ns/{kind}"))).unwrap();
    let theirs = |kind: &str| std::fs::read_link(first.proc(&format!("ns/{kind}"))).unwrap();
    assert_eq!(mine("user"), theirs("user"));
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        assert_ne!(mine(kind), theirs(kind));
    }
    second.kill("KILL").ok();
    second.wait();
    second.delete().ok();
    first.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn all_that_another_container_has_is_joined_along() {
    let first = Bundle::new().user_namespace().set("/hostname", json!("first")).long().start();
    let mut second = joined(&first);
    for kind in ["pid", "ipc", "uts"] {
        second = second.join(kind, &first.proc(&format!("ns/{kind}")));
    }
    second = second.join("network", &first.proc("ns/net"));
    second.config.as_object_mut().unwrap().remove("hostname");
    let said =
        second.sh("hostname; tr '\\0' ' ' < /proc/1/cmdline; echo; id -u; readlink /proc/self/ns/net").says();
    let network = std::fs::read_link(first.proc("ns/net")).unwrap();
    assert!(said.starts_with("first\n") && said.contains("trap"), "{said}");
    assert!(said.ends_with(&format!("\n0\n{}\n", network.display())), "{said}");
}

#[test]
fn a_network_of_the_host_is_joined_by_a_container_with_new_users() {
    if fails(Peer::Runc, "1.1.5 mounts a sysfs of it, which root of the container may not") {
        return;
    }
    let bundle = Bundle::new().user_namespace();
    let mut keeper = Command::new("sh");
    let inside = "echo 77 > /proc/sys/net/core/somaxconn; ip link add made0 type veth peer name other0";
    keeper.args(["-c", &format!("touch /run/net && unshare --net=/run/net sh -c '{inside}'")]);
    finish(keeper).ok();
    let ask = "id -u; cat /proc/sys/net/core/somaxconn; ip -o link";
    let container = bundle.join("network", "/run/net").long().start();
    container.says("ready");
    let said = container.sh(ask);
    assert!(said.starts_with("0\n77\n") && said.contains("made0"), "{said}");
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_network_of_other_users_is_joined_by_a_container_with_new_users() {
    if fails(Peer::Runc, "1.1.5 mounts a sysfs of it, which root of the container may not") {
        return;
    }
    let first = Bundle::new().user_namespace().long().start();
    let mut second = Bundle::new().user_namespace();
    for (kind, file) in [("network", "net"), ("uts", "uts")] {
        second = second.join(kind, &first.proc(&format!("ns/{file}")));
    }
    second.config.as_object_mut().unwrap().remove("hostname");
    let said = second.sh("readlink /proc/self/ns/net; readlink /proc/self/ns/user; id -u").says();
    let link =
        |kind: &str| std::fs::read_link(first.proc(&format!("ns/{kind}"))).unwrap().display().to_string();
    assert!(said.starts_with(&format!("{}\n", link("net"))) && said.ends_with("\n0\n"), "{said}");
    assert!(!said.contains(&link("user")), "{said}");
}

#[test]
fn one_that_cannot_be_joined_is_named() {
    // A process cannot enter the user namespace that it is in (setns(2)).
    for path in ["/no/such/namespace", "/etc/passwd", "/proc/self/ns/user", "/proc/self/ns/uts"] {
        let error = Bundle::new().user_namespace().join("user", path).try_create().error();
        assert!(error.contains(path) || fails(Peer::Runc, "1.1.5 names none"), "{error}");
    }
    if fails(Peer::Runc, "1.1.5 leaves the cgroup") || fails(Peer::Crun, "1.8.1 leaves the cgroup") {
        return;
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_user_namespace_without_mappings_is_refused() {
    let error = Bundle::new().namespace("user", Some(json!({ "type": "user" }))).try_create().error();
    let named = error.contains("mapping") || error.contains("user");
    assert!(named || fails(Peer::Crun, "1.8.1 names the first mount that fails"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}
