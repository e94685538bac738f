//! `--systemd-cgroup` with Debian's systemd, of the system and of a user, and a user's podman.

use crate::engine::crun_fails;
use serde_json::{Value, json};
use tests::{Debian, Result};

/// A container of busybox in this cgroup, limited; of user 1000, whose root it is.
fn config(cgroup: &str, of_user: bool) -> Value {
    let mut namespaces = json!([{ "type": "pid" }, { "type": "mount" }, { "type": "cgroup" }]);
    let mut linux = json!({
        "cgroupsPath": cgroup,
        "resources": { "memory": { "limit": 67_108_864 }, "pids": { "limit": 50 } },
    });
    if of_user {
        namespaces.as_array_mut().unwrap().push(json!({ "type": "user" }));
        let only = json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]);
        (linux["uidMappings"], linux["gidMappings"]) = (only.clone(), only);
    } else {
        linux["resources"]["cpu"] = json!({ "quota": 25_000, "period": 50_000, "cpus": "0" });
    }
    linux["namespaces"] = namespaces;
    json!({
        "ociVersion": "1.0.2",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/busybox", "sleep", "1000"], "cwd": "/" },
        "root": { "path": "rootfs" },
        "annotations": { "org.systemd.property.TimeoutStopUSec": "uint64 7000000" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
        ],
        "linux": linux,
    })
}

/// Makes the folder of a bundle.
fn bundle(debian: &Debian, path: &str, config: &Value) -> Result {
    let make = format!("mkdir -p {path}/rootfs/{{dev,proc}} && cp /bin/busybox {path}/rootfs");
    debian.run(&format!("{make} && cat > {path}/config.json <<'END'\n{config}\nEND"))?;
    debian.run(&format!("chown -R 1000:1000 {path}")).map(drop)
}

/// The command, given by user 1000, whose systemd runs.
fn by_user(debian: &Debian, command: &str) -> Result<String> {
    let comes = "until [ -S /run/user/1000/systemd/private ]; do sleep 0.2; done";
    debian.run(&format!("loginctl enable-linger user && timeout 60 sh -c '{comes}'"))?;
    debian.run(&format!("runuser -l user -c 'export XDG_RUNTIME_DIR=/run/user/1000; {command}'"))
}

/// Each of these lines is there.
#[track_caller]
fn says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.lines().any(|one| one == *line), "no {line:?} in {said}");
    }
}

/// Nothing is left of the scope, once systemd has forgotten it.
fn is_gone(debian: &Debian, unit: &str) -> Result {
    let forgotten =
        format!("until [ $(systemctl show --value -p LoadState {unit}) = not-found ]; do sleep 0.2; done");
    debian.run(&format!("timeout 60 sh -c '{forgotten}'"))?;
    assert_eq!(debian.run(&format!("find /sys/fs/cgroup /run/systemd -name '{unit}*'"))?, "");
    Ok(())
}

#[test]
fn systemd_and_the_kernel_know_the_limits_and_a_reload_keeps_them() -> Result {
    if crun_fails("tells systemd no limit") {
        return Ok(());
    }
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    bundle(&debian, "/run/limited", &config("system.slice:test:limited", false))?;
    debian.run(&format!(
        "cd /run/limited && {runtime} --systemd-cgroup run -d limited </dev/null >/dev/null"
    ))?;
    let look = "systemctl show test-limited.scope; cd /sys/fs/cgroup/system.slice/test-limited.scope; \
                grep . memory.max pids.max cpu.max cpuset.cpus";
    let expected = [
        "Slice=system.slice",
        "Delegate=yes",
        "TimeoutStopUSec=7s",
        "MemoryMax=67108864",
        "TasksMax=50",
        "CPUQuotaPerSecUSec=500ms",
        "AllowedCPUs=0",
        "memory.max:67108864",
        "pids.max:50",
        "cpu.max:25000 50000",
        "cpuset.cpus:0",
    ];
    says(&debian.run(look)?, &expected);
    debian.run("systemctl daemon-reload")?;
    says(&debian.run(look)?, &expected);
    debian.run(&format!("{runtime} update --pids-limit 60 limited && systemctl daemon-reload"))?;
    says(&debian.run(look)?, &["TasksMax=60", "pids.max:60", "MemoryMax=67108864", "memory.max:67108864"]);
    assert_eq!(debian.run(&format!("{runtime} exec limited /busybox grep 0:: /proc/self/cgroup"))?, "0::/\n");
    debian.run(&format!("{runtime} delete --force limited"))?;
    is_gone(&debian, "test-limited.scope")
}

#[test]
fn another_container_of_the_same_scope_is_refused_and_harms_nobody() -> Result {
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    bundle(&debian, "/run/twice", &config("system.slice:test:twice", false))?;
    let run = |id: &str| {
        format!("cd /run/twice && {runtime} --systemd-cgroup run -d {id} </dev/null 2>&1 >/dev/null")
    };
    debian.run(&run("first"))?;
    let second = debian.try_run(&run("second"))?;
    let named = second.text.contains("UnitExists") || second.text.contains("already");
    assert!(second.status != 0 && (named || Debian::runtime().ends_with("runc")), "{second:?}");
    assert!(debian.run(&format!("{runtime} state first"))?.contains("\"running\""));
    debian.run(&format!("{runtime} delete --force first"))?;
    is_gone(&debian, "test-twice.scope")
}

#[test]
fn a_runtime_that_is_killed_leaves_what_delete_removes() -> Result {
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    bundle(&debian, "/run/killed", &config("system.slice:test:killed", false))?;
    // Earlier and later in its way, on machines of any speed.
    let script = format!(
        "cd /run/killed; for wait in 0.02 0.05 0.1 0.15 0.2 0.3 0.5; do \
         timeout -s KILL $wait {runtime} --systemd-cgroup create killed </dev/null >/dev/null 2>&1; \
         {runtime} delete --force killed || exit 1; done"
    );
    debian.run(&script)?;
    is_gone(&debian, "test-killed.scope")
}

#[test]
fn a_user_has_scopes_of_the_own_systemd() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    bundle(&debian, "/tmp/own", &config("user.slice:test:own", true))?;
    by_user(&debian, &format!("cd /tmp/own && {runtime} --systemd-cgroup run -d own </dev/null >/dev/null"))?;
    let folder = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/test-own.scope";
    let look = format!("systemctl --user show test-own.scope; cd {folder}; grep . memory.max pids.max");
    let expected = ["MemoryMax=67108864", "TasksMax=50", "memory.max:67108864", "pids.max:50"];
    says(&by_user(&debian, &look)?, &expected);
    by_user(&debian, "systemctl --user daemon-reload")?;
    says(&by_user(&debian, &look)?, &expected);
    by_user(&debian, &format!("{runtime} delete --force own"))?;
    assert_eq!(debian.run("find /sys/fs/cgroup -name 'test-own*'")?, "");
    Ok(())
}

#[test]
fn a_users_podman_runs_containers() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    debian.run("install -m 644 /given/images/busybox.tar /tmp/busybox.tar")?;
    by_user(&debian, "podman image exists busybox || podman load -q -i /tmp/busybox.tar")?;
    let podman = format!("podman --runtime {runtime}");
    let run = |words: &str| by_user(&debian, &format!("{podman} run --network none {words}"));
    assert_eq!(run("--rm busybox sh -c \"id -u; cat /proc/self/cgroup\"")?, "0\n0::/\n");
    assert_eq!(run("--rm --userns keep-id busybox id -u")?, "1000\n");
    run("-d --name limited --memory 64m --pids-limit 77 busybox sleep 1000")?;
    let path = by_user(&debian, "podman inspect limited --format {{.State.CgroupPath}}")?;
    let limits = debian.run(&format!("cd /sys/fs/cgroup{} && cat memory.max pids.max", path.trim()))?;
    assert_eq!(limits, "67108864\n77\n");
    assert!(path.starts_with("/user.slice/user-1000.slice/user@1000.service/"), "{path}");
    by_user(&debian, &format!("{podman} rm -f -t 0 limited"))?;
    assert_eq!(debian.run(&format!("test ! -e /sys/fs/cgroup{} && echo gone", path.trim()))?, "gone\n");
    Ok(())
}

/// Without systemd's help, podman gives a container no cgroup of its own, unless it is told of a folder.
#[test]
#[ignore = "long"]
fn a_users_podman_runs_containers_in_folders() -> Result {
    let (debian, runtime) = (Debian::lent()?, Debian::runtime());
    debian.run("install -m 644 /given/images/busybox.tar /tmp/busybox.tar")?;
    by_user(&debian, "podman image exists busybox || podman load -q -i /tmp/busybox.tar")?;
    let podman = |words: &str| {
        by_user(&debian, &format!("podman --runtime {runtime} --cgroup-manager=cgroupfs {words}"))
    };
    assert_eq!(
        podman("run --rm --network none busybox sh -c \"id -u; cat /proc/self/cgroup\"")?,
        "0\n0::/\n"
    );
    podman("run -d --name plain --network none busybox sleep 1000")?;
    assert_eq!(podman("exec plain sh -c \"id -u; hostname >/dev/null && echo in\"")?, "0\nin\n");
    podman("rm -f -t 0 plain")?;
    // A folder of the user's own systemd, which hands its controllers on.
    let parent = "/user.slice/user-1000.slice/user@1000.service/user.slice/folders";
    let limits = format!("--cgroup-parent {parent} --memory 64m --pids-limit 77");
    let id = podman(&format!("run -d --name limited --network none {limits} busybox sleep 1000"))?;
    let folder = format!("/sys/fs/cgroup{parent}/libpod-{}", id.trim());
    assert_eq!(debian.run(&format!("cd {folder} && cat memory.max pids.max"))?, "67108864\n77\n");
    podman("pause limited")?;
    assert_eq!(debian.run(&format!("cat {folder}/cgroup.freeze"))?, "1\n");
    podman("unpause limited")?;
    podman("rm -f -t 0 limited")?;
    assert_eq!(debian.run(&format!("test ! -e {folder} && echo gone"))?, "gone\n");
    Ok(())
}
