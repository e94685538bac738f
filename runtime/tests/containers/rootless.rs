//! A caller without the host root's rights: user 1000, and root of a user namespace.

use crate::support::{Bundle, Peer, Ran, finish, leftovers, read, runtime};
use crate::support::{STATE, eventually, fails, lacks};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The caller.
const USER: u32 = 1000;

/// A bundle of the user's, whose root it is and nobody else is there.
fn bundle() -> Bundle {
    let only = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
    owned(modest(Bundle::new()))
        .set("/linux/uidMappings", only.clone())
        .set("/linux/gidMappings", only)
        .namespace("user", Some(json!({ "type": "user" })))
}

/// Group 5 has no number where only one is mapped, and no cgroup is asked for.
fn modest(mut bundle: Bundle) -> Bundle {
    bundle.config["linux"].as_object_mut().unwrap().remove("cgroupsPath");
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    }
    bundle
}

/// The user can write the bundle and the runtime's state.
fn owned(bundle: Bundle) -> Bundle {
    std::fs::create_dir_all(STATE).unwrap();
    let mut chown = Command::new("chown");
    chown.args(["-hR", &format!("{USER}:{USER}"), STATE]).arg(bundle.path());
    finish(chown).ok();
    bundle
}

/// The command, given by the user. It may not reach the folder that the runtime was built in.
fn by_user(command: Command) -> Command {
    let mut program = command.get_program().to_owned();
    if Path::new(&program).is_absolute() {
        let copy = Path::new("/run").join(Path::new(&program).file_name().unwrap());
        if !copy.exists() {
            let mut copies = Command::new("install");
            copies.args(["-m", "755"]).arg(&program).arg(&copy);
            finish(copies).ok();
        }
        program = copy.into();
    }
    let mut user = Command::new(program);
    user.args(command.get_args()).uid(USER).gid(USER).env_remove("XDG_RUNTIME_DIR");
    user
}

fn does(bundle: &Bundle, verb: &str) -> Ran {
    finish(by_user(bundle.command(verb, &[])))
}

/// A verb about the bundle's container.
fn verb(bundle: &Bundle, words: &[&str], more: &[&str]) -> Ran {
    let mut command = runtime(words.iter().copied());
    command.arg(&bundle.id).args(more);
    finish(by_user(command))
}

#[test]
fn a_user_runs_a_container() {
    let bundle = bundle()
        .sh("id -u; id -g; cat /proc/self/uid_map /proc/self/setgroups; touch /made; echo x > /dev/null");
    let said = does(&bundle, "run").ok().stdout;
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "0", "0", "1000", "1", "deny"]);
    use std::os::unix::fs::MetadataExt;
    let made = std::fs::metadata(bundle.rootfs().join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (USER, USER));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_user_lives_with_a_container() {
    let bundle = bundle().long();
    does(&bundle, "create").ok();
    verb(&bundle, &["start"], &[]).ok();
    let state: Value = serde_json::from_str(&verb(&bundle, &["state"], &[]).ok().stdout).unwrap();
    assert_eq!(state["status"], "running");
    let status = read(format!("/proc/{}/status", state["pid"]));
    assert!(status.contains("\nUid:\t1000\t1000\t1000\t1000\n"), "{status}");
    let said = verb(&bundle, &["exec"], &["sh", "-c", "id -u; echo $$ > /made; readlink /proc/1/ns/user"])
        .ok()
        .stdout;
    let namespace = std::fs::read_link(format!("/proc/{}/ns/user", state["pid"])).unwrap();
    assert_eq!(said, format!("0\n{}\n", namespace.display()));
    verb(&bundle, &["kill"], &["KILL"]).ok();
    eventually("stopped", || verb(&bundle, &["state"], &[]).ok().stdout.contains("\"stopped\""));
    verb(&bundle, &["delete"], &[]).ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_cgroup_that_a_user_cannot_have_is_named() {
    let bundle = bundle().set("/linux/cgroupsPath", json!("/mine"));
    let error = does(&bundle, "create").error();
    assert!(
        error.contains("/sys/fs/cgroup/mine") && error.to_lowercase().contains("permission denied"),
        "{error}"
    );
}

#[test]
fn a_limit_that_a_user_cannot_have_is_named() {
    let bundle = bundle().set("/linux/resources", json!({ "pids": { "limit": 50 } }));
    if fails(Peer::Crun, "1.8.1 runs it without the limit") {
        return;
    }
    let error = does(&bundle, "create").error();
    let named = error.contains("linux.resources: pids.max needs a cgroup, and the caller may not make");
    assert!(named || Peer::tested() != Peer::Ours, "{error}");
    if fails(Peer::Runc, "1.1.5 leaves its state") {
        return;
    }
    assert_eq!(leftovers(), [""; 0]);
}

/// The command, given by the user in a cgroup below one that is the user's.
fn by_user_in(delegated: &str, command: Command) -> Command {
    let user = by_user(command);
    let script =
        "echo 0 >$0/caller/cgroup.procs && exec setpriv --clear-groups --reuid $1 --regid $1 -- \"${@:2}\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", script, delegated, &USER.to_string()]).arg(user.get_program()).args(user.get_args());
    shell.env_remove("XDG_RUNTIME_DIR");
    shell
}

#[test]
fn a_user_has_limits_in_a_cgroup_that_is_the_users() {
    if lacks(&["memory", "pids"]) {
        return;
    }
    let bundle = bundle().sh("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max");
    let delegated = format!("/sys/fs/cgroup/{}own", bundle.id);
    // What systemd hands over with Delegate= (systemd.resource-control(5)).
    std::fs::create_dir_all(format!("{delegated}/caller")).unwrap();
    std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids").unwrap();
    for file in ["", "cgroup.procs", "cgroup.subtree_control", "caller", "caller/cgroup.procs"] {
        std::os::unix::fs::chown(format!("{delegated}/{file}"), Some(USER), Some(USER)).unwrap();
    }
    let path = json!(format!("/{}own/container", bundle.id));
    let bundle = bundle
        .set("/linux/cgroupsPath", path)
        .set("/linux/resources", json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 30 } }));
    let said = finish(by_user_in(&delegated, bundle.command("run", &[]))).ok().stdout;
    assert_eq!(said, "67108864\n30\n");
    for folder in ["caller", ""] {
        std::fs::remove_dir(format!("{delegated}/{folder}")).unwrap();
    }
    assert_eq!(leftovers(), [""; 0]);
}

/// User 1000 may map IDs from 200000 on.
fn allow_more_ids() {
    std::fs::write("/run/ids", format!("{USER}:200000:65536\n")).unwrap();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let mut mount = Command::new("mount");
        mount.args(["--bind", "/run/ids", file]);
        finish(mount).ok();
    }
}

#[test]
fn more_ids_are_mapped_by_newuidmap() {
    let map = json!([
        { "containerID": 0, "hostID": USER, "size": 1 },
        { "containerID": 1, "hostID": 200_000, "size": 65_536 },
    ]);
    let bundle = bundle()
        .set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map)
        .set("/process/user", json!({ "uid": 7, "gid": 8, "additionalGids": [9] }))
        .sh("id -u; id -G; cat /proc/self/uid_map /proc/self/gid_map");
    let error = does(&bundle, "run").error();
    assert!(error.contains("newuidmap") || fails(Peer::Crun, "1.8.1 says nothing"), "{error}");
    allow_more_ids();
    if fails(Peer::Runc, "1.1.5 gives a user's container no groups") {
        return;
    }
    let said = does(&bundle, "run").ok().stdout;
    let words: Vec<&str> = said.split_whitespace().collect();
    let map = ["0", "1000", "1", "1", "200000", "65536"];
    assert_eq!(words, [&["7", "8", "9"], &map[..], &map[..]].concat());
}

#[test]
fn the_config_of_spec_rootless_runs() {
    let bundle = bundle();
    let mut spec = runtime(["spec", "--rootless", "--bundle"]);
    spec.arg(bundle.path());
    finish(by_user(spec)).ok();
    let text = read(bundle.path().join("config.json"));
    let mut written = Bundle { id: bundle.id, config: serde_json::from_str(&text).unwrap() };
    written.config["process"]["terminal"] = json!(false);
    let script = "id -u; mkdir /sys/fs/cgroup/made 2>&1 | grep -o 'Read-only.*'";
    let written = written.sh(script);
    let said = does(&written, "run").ok().stdout;
    assert_eq!(said, "0\nRead-only file system\n");
    assert_eq!(leftovers(), [""; 0]);
}

/// As Podman calls the runtime for a user: root of a user namespace, which the container lives in.
fn by_root_of_users(command: Command) -> Command {
    let user = by_user(command);
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user"]).arg(user.get_program()).args(user.get_args());
    unshare.uid(USER).gid(USER).env_remove("XDG_RUNTIME_DIR");
    unshare
}

#[test]
fn root_of_a_user_namespace_runs_a_container_in_it() {
    let bundle = owned(modest(Bundle::new()));
    let bundle = bundle.sh(
        "id -u; cat /proc/self/uid_map; cd /dev; stat -c '%n %t:%T' null tty; head -c 2 zero | od -An -tx1",
    );
    let said = finish(by_root_of_users(bundle.command("run", &[]))).ok().stdout;
    let expected = ["0", "0 1000 1", "null 1:3", "tty 5:0", "00 00"];
    assert_eq!(
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn the_hosts_cgroups_are_read_only_to_root_of_a_user_namespace() {
    // CVE-2023-25809: the caller's own cgroup, in a container without a cgroup namespace.
    let bundle = owned(modest(Bundle::new())).namespace("cgroup", None);
    let delegated = format!("/sys/fs/cgroup/{}own", bundle.id);
    std::fs::create_dir(&delegated).unwrap();
    std::os::unix::fs::chown(&delegated, Some(USER), Some(USER)).unwrap();
    let mut bundle =
        bundle.sh(&format!("mkdir {delegated}/made 2>&1 && rmdir {delegated}/made && echo made"));
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        mount["options"].as_array_mut().unwrap().retain(|option| option != "ro");
    }
    let said = |options: &[&str]| {
        let command = bundle.command("run", &[]);
        let mut with = Command::new(command.get_program());
        with.args(options).args(command.get_args());
        finish(by_root_of_users(with)).stdout
    };
    let (given, denied) = (said(&["--rootless", "false"]), said(&[]));
    std::fs::remove_dir(&delegated).unwrap();
    assert!(given == "made\n" || Peer::tested() != Peer::Ours, "{given}");
    let words = "leaves it writable where config.json does not say ro";
    let peer = fails(Peer::Runc, words) || fails(Peer::Crun, words);
    assert!(denied.contains("Read-only file system") || peer, "{denied}");
    assert_eq!(leftovers(), [""; 0]);
}
