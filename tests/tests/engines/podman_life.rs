//! Debian's podman, as root: a container that lives for a while.

use crate::engine::{Cgroups, Engine, LONG, crun_fails};
use tests::Result;

#[test]
fn a_container_lives_in_a_scope_of_systemds() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and freezes that") {
        return Ok(());
    }
    life(&Engine::podman_with(Cgroups::Systemd)?, "scope")
}

#[test]
#[ignore = "long"]
fn a_container_lives_in_a_cgroup_of_the_runtimes() -> Result {
    life(&Engine::podman_with(Cgroups::Folders)?, "folder")
}

/// Paused, listed, counted, stopped, started again, killed, removed.
fn life(podman: &Engine, name: &str) -> Result {
    let id = podman.says(&format!("run -d --name {name} --network none --memory 64m busybox {LONG}"))?;
    podman.says(&format!("pause {name}"))?;
    assert_eq!(podman.limit(&id, "cgroup.freeze")?, "1");
    assert!(podman.tries(&format!("exec {name} true"))?.status != 0, "nothing runs in a paused container");
    podman.says(&format!("unpause {name}"))?;
    assert_eq!(podman.limit(&id, "cgroup.freeze")?, "0");
    let top = podman.says(&format!("top {name} pid user args"))?;
    assert!(top.contains("trap"), "{top}");
    let stats =
        podman.says(&format!("stats --no-stream --format '{{{{.Name}}}} {{{{.MemUsage}}}}' {name}"))?;
    assert!(stats.starts_with(name) && stats.contains("/ 67.11MB"), "{stats}");
    podman.says(&format!("restart -t 30 {name}"))?;
    // Before its trap is set the first process of a container does not see TERM.
    podman.until(&format!("logs {name}"), "grep -c started | grep -qx 2")?;
    podman.says(&format!("stop -t 30 {name}"))?;
    assert_eq!(
        podman.says(&format!("inspect -f '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' {name}"))?,
        "exited 7\n"
    );
    assert_eq!(podman.says(&format!("logs {name}"))?, "started\nstarted\n");
    podman.says(&format!("start {name}"))?;
    podman.says(&format!("kill -s KILL {name}"))?;
    assert_eq!(podman.says(&format!("wait {name}"))?, "137\n");
    podman.says(&format!("rm {name}"))?;
    assert!(!podman.has_cgroup(&id)?);
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_running_container_is_removed_by_force_and_nothing_of_it_stays() -> Result {
    let podman = Engine::podman()?;
    let id = podman
        .says("run -d --name forced --network none busybox sh -c 'trap \"\" TERM; sleep 1000 & wait'")?;
    podman.says("rm -f -t 1 forced")?;
    assert!(!podman.has_cgroup(&id)?);
    // A pattern that does not find itself.
    let pattern = format!("[{}]{}", &id[..1], id[1..].trim());
    let look = format!("grep -ls '{pattern}' /proc/[0-9]*/cmdline /proc/[0-9]*/mountinfo || true");
    assert_eq!(podman.debian.run(&look)?, "");
    Ok(())
}

#[test]
fn limits_are_in_the_scope_and_follow_update() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    limits(&Engine::podman_with(Cgroups::Systemd)?, "limited-scope")
}

#[test]
#[ignore = "long"]
fn limits_are_in_the_cgroup_and_follow_update() -> Result {
    limits(&Engine::podman_with(Cgroups::Folders)?, "limited-folder")
}

fn limits(podman: &Engine, name: &str) -> Result {
    let limits = "--memory 64m --memory-swap 96m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0";
    let id = podman.says(&format!("run -d --name {name} --network none {limits} busybox {LONG}"))?;
    let expected = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "50"),
        ("cpuset.cpus", "0"),
    ];
    for (file, value) in expected {
        assert_eq!(podman.limit(&id, file)?, value, "{file}");
    }
    podman.says(&format!("update --memory 48m --cpus 0.25 {name}"))?;
    assert_eq!(podman.limit(&id, "memory.max")?, "50331648");
    assert_eq!(podman.limit(&id, "cpu.max")?, "25000 100000");
    assert_eq!(podman.limit(&id, "pids.max")?, "50");
    podman.says(&format!("rm -f -t 0 {name}")).map(drop)
}

#[test]
#[ignore = "long"]
fn a_health_check_runs_in_the_container() -> Result {
    let podman = Engine::podman()?;
    let check = "--health-cmd 'test -e /tmp/well' --health-interval disable --health-retries 1";
    podman.says(&format!("run -d --name health --network none {check} busybox {LONG}"))?;
    assert!(podman.tries("healthcheck run health")?.status != 0);
    podman.says("exec health touch /tmp/well")?;
    podman.says("healthcheck run health")?;
    assert_eq!(podman.says("inspect -f '{{.State.Health.Status}}' health")?, "healthy\n");
    podman.says("rm -f -t 0 health").map(drop)
}
