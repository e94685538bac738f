//! Debian's containerd, through its own command line.

use crate::engine::{Engine, LONG, crun_fails};
use tests::{Debian, Output, Result};

const IMAGE: &str = "docker.io/library/busybox:latest";

/// `ctr run` with the runtime under test.
fn run(options: &str, rest: &str) -> String {
    format!("run --runc-binary {} {options} {IMAGE} {rest}", Debian::runtime())
}

#[test]
fn a_container_says_something_and_its_exit_status_is_ctrs() -> Result {
    let containerd = Engine::containerd()?;
    let ran = containerd.tries(&run("--rm", "one sh -c 'echo here; exit 3'"))?;
    assert_eq!(ran, Output { status: 3, text: "here\n".into() });
    let ran = containerd.at_a_terminal(&run("--rm -t", "two sh -c 'tty; exit 5'"))?;
    assert_eq!(ran, Output { status: 5, text: "/dev/pts/0\n".into() });
    Ok(())
}

#[test]
fn a_task_is_limited_paused_measured_killed_and_gone() -> Result {
    let containerd = Engine::containerd()?;
    containerd.says(&run("--detach --memory-limit 67108864", &format!("task {LONG}")))?;
    assert_eq!(containerd.limit("task", "memory.max")?, "67108864");
    let ran = containerd.tries("task exec --exec-id x task sh -c 'echo in; exit 9'")?;
    assert_eq!(ran, Output { status: 9, text: "in\n".into() });
    containerd.says("task pause task")?;
    assert_eq!(containerd.limit("task", "cgroup.freeze")?, "1");
    containerd.says("task resume task")?;
    assert_eq!(containerd.limit("task", "cgroup.freeze")?, "0");
    let metrics = containerd.says("task metrics task")?;
    assert!(metrics.contains("memory.usage_limit") && metrics.contains("67108864"), "{metrics}");
    let processes = containerd.says("task ps task")?;
    assert!(processes.lines().count() >= 2, "{processes}");
    containerd.says("task kill -s TERM task")?;
    containerd.debian.run("until ctr task ls | grep task | grep -q STOPPED; do sleep 0.2; done")?;
    let deleted = containerd.says("task delete task")?;
    assert!(deleted.contains("exit code 7"), "{deleted}");
    containerd.says("container delete task")?;
    assert!(!containerd.has_cgroup("task")?);
    Ok(())
}

/// `systemd_cgroup` of containerd's settings, which Kubernetes' nodes have.
#[test]
fn a_task_in_a_scope_of_systemds_is_limited_measured_and_gone() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    let containerd = Engine::containerd()?;
    let options = "--detach --memory-limit 67108864 --runc-systemd-cgroup --cgroup machine.slice:ctr:scoped";
    containerd.says(&run(options, &format!("scoped {LONG}")))?;
    let debian = &containerd.debian;
    let folder = "/sys/fs/cgroup/machine.slice/ctr-scoped.scope";
    let told = "systemctl show --value -p MemoryMax ctr-scoped.scope";
    assert_eq!(debian.run(&format!("cat {folder}/memory.max; {told}"))?, "67108864\n67108864\n");
    let metrics = containerd.says("task metrics scoped")?;
    let of = |name: &str| {
        let line = metrics.lines().find(|line| line.split_whitespace().next() == Some(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        number.unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    assert_eq!(of("memory.usage_limit"), 67_108_864);
    assert!(of("memory.usage") > 0 && of("cpu.usage_usec") > 0 && of("pids.current") > 0, "{metrics}");
    containerd.says("task kill -s KILL scoped")?;
    debian.run("until ctr task ls | grep scoped | grep -q STOPPED; do sleep 0.2; done")?;
    containerd.says("task delete scoped || true; ctr container delete scoped")?;
    let forgotten =
        "until [ $(systemctl show --value -p LoadState ctr-scoped.scope) = not-found ]; do sleep 0.2; done";
    debian.run(&format!("timeout 60 sh -c '{forgotten}'; test ! -e {folder}")).map(drop)
}

#[test]
fn the_reason_of_a_failure_reaches_the_user() -> Result {
    if crun_fails("has words of its own: executable file `nosuchprogram` not found in $PATH") {
        return Ok(());
    }
    let containerd = Engine::containerd()?;
    let ran = containerd.tries(&run("--rm", "three nosuchprogram"))?;
    assert!(ran.status == 1, "{ran:?}");
    assert!(ran.text.contains("exec: \"nosuchprogram\": executable file not found in $PATH"), "{ran:?}");
    Ok(())
}
