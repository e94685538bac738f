//! PID 1 and the programs that it keeps alive.

use std::time::{Duration, Instant};
use tests::{Node, Result};

#[test]
fn pid_1_is_ours_and_reaps_500_orphans() -> Result {
    let node = Node::new().boot()?;
    assert_eq!(node.run("cat /proc/1/comm")?, "init\n");
    // Each subshell ends before the sleep that it started: an orphan for PID 1.
    node.run("for i in $(seq 500); do (sleep 0.1 &); done")?;
    node.run_until("! pidof sleep")?;
    assert_eq!(node.run("grep -l '^State:.Z' /proc/[0-9]*/status | wc -l")?, "0\n");
    Ok(())
}

#[test]
fn a_monitor_that_is_killed_comes_back_and_no_container_notices() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.count]
            image = "busybox"
            args = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.05; done"]
            "#,
        )
        .boot()?;
    node.console().wait_for("count: running")?;
    let before = node.container("count")?;
    let later = node.console().from_now();
    node.run("kill -KILL $(pidof skerry-monitor)")?;
    later.wait_for("monitor: ready")?;
    node.run_until("pidof skerry-monitor")?;
    assert_eq!(node.container("count")?, before);
    lines_are_whole(&node, "count")
}

#[test]
fn every_service_killed_at_random_for_a_minute_disturbs_no_container() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.web]
            image = "nginx"

            [containers.count]
            image = "busybox"
            args = ["sh", "-c", "i=0; while :; do echo line $i; i=$((i + 1)); sleep 0.05; done"]
            "#,
        )
        .boot()?;
    node.console().wait_for("web: running")?;
    node.console().wait_for("count: running")?;
    node.page("/")?;
    let before = (node.container("web")?, node.container("count")?);
    // The minute is the node's; a slow machine kills less often, not shorter.
    node.run(
        "end=$(($(cut -d. -f1 /proc/uptime) + 60))
        while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
            kill -KILL $(pidof skerry-monitor skerry-network) 2>/dev/null
            usleep $((RANDOM * 60))
        done; true",
    )?;
    node.run_until("pidof skerry-monitor && pidof skerry-network")?;
    node.page("/")?;
    assert_eq!((node.container("web")?, node.container("count")?), before);
    lines_are_whole(&node, "count")
}

/// The container's log counts up without a hole or a repetition.
fn lines_are_whole(node: &tests::Running, name: &str) -> Result {
    let log = format!("/var/log/skerry/containers/{name}.log");
    let check = "{ sub(/.*line /, \"\"); if ($0 != NR - 1) { print NR, $0; exit 1 } }";
    node.run(&format!("awk '{check}' {log}"))?;
    Ok(())
}

#[test]
fn a_service_waits_for_those_before_it_and_is_restarted_with_a_pause() -> Result {
    let node = Node::new()
        .config(
            r#"
            [services.slow]
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "sleep 1; echo >&$SKERRY_READY_FD; exec sleep 1000000"]
            ready = true

            [services.late]
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "echo late is here; exit 1"]
            after = ["slow"]
            restart = "on-failure:2"
            "#,
        )
        .boot()?;
    node.console().wait_for("late: late is here")?;
    node.console().wait_for("late: starts again in")?;
    node.console().wait_for("late: down")?;
    let log = node.console().text();
    assert!(log.find("slow: ready") < log.find("late: late is here"), "late did not wait for slow");
    assert_eq!(log.matches("late: late is here").count(), 3);
    Ok(())
}

#[test]
fn a_cycle_among_services_keeps_only_them_down() -> Result {
    let command = "command = [\"/usr/libexec/probe/busybox\", \"sleep\", \"1000000\"]";
    let node = Node::new()
        .config(format!(
            "[services.a]\n{command}\nafter = [\"b\"]\n[services.b]\n{command}\nafter = [\"a\"]\n\
             [services.free]\n{command}\n"
        ))
        .boot()?;
    node.console().wait_for("free: ready")?;
    node.console().wait_for("a: stays down")?;
    node.console().wait_for("b: stays down")?;
    Ok(())
}

#[test]
fn a_service_that_dies_takes_what_it_started_along() -> Result {
    let node = Node::new()
        .config(
            r#"
            [services.parent]
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "sleep 7654321 & exit 0"]
            restart = "no"
            "#,
        )
        .boot()?;
    node.console().wait_for("parent: ended")?;
    node.run_until("! grep -q 7654321 /proc/[0-9]*/cmdline 2>/dev/null")
}

#[test]
fn a_watchdog_resets_a_node_whose_pid_1_stands_still() -> Result {
    let node = Node::new().watchdog().ends_at_reset().config("[watchdog]\ntimeout = \"10s\"\n").boot()?;
    node.console().wait_for("probe: ready")?;
    // SIGSTOP does not reach PID 1; the freezer does.
    let begin = Instant::now();
    node.run("mkdir /sys/fs/cgroup/frozen && echo 1 >/sys/fs/cgroup/frozen/cgroup.procs && echo 1 >/sys/fs/cgroup/frozen/cgroup.freeze")?;
    node.machine().wait_for_reset(1)?;
    assert!(begin.elapsed() > Duration::from_secs(3), "that was no watchdog");
    Ok(())
}
