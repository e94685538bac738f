//! PID 1 and the programs that it keeps alive.

use std::time::{Duration, Instant};
use tests::{Node, Result};

#[test]
fn pid_1_is_ours_and_reaps_500_orphans() -> Result {
    let node = Node::new().boot()?;
    assert_eq!(node.run("cat /proc/1/comm")?, "init\n");
    // Each subshell ends before the sleep that it started: an orphan for PID 1.
    node.run("for i in $(seq 500); do (sleep 0.1 & echo $!); done >/run/orphans")?;
    assert_eq!(node.run("sort -u /run/orphans | wc -l")?, "500\n");
    // Each of them goes: a zombie would keep its folder. What else has just ended is nobody's fault.
    node.run_until("! ls -d $(sed 's,^,/proc/,' /run/orphans) 2>/dev/null | grep -q .")?;
    node.run_until("! grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null")
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
    let before = node.life_of("count")?;
    node.end_service("skerry-monitor", "KILL")?;
    node.console().wait_for("count: still running")?;
    assert_eq!(node.life_of("count")?, before);
    node.log_is_whole_and_goes_on("count")
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
    let before = (node.life_of("web")?, node.life_of("count")?);
    // The minute is the node's; a slow machine kills less often, not shorter. PID 1
    // waits longer and longer before it starts them again: what is counted has died.
    node.run(
        "cat >/run/kills.sh <<'END'
        end=$(($(cut -d. -f1 /proc/uptime) + 60))
        while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
            [ $((RANDOM % 2)) = 0 ] && service=monitor || service=network
            kill -KILL $(pidof skerry-$service) && echo $service
            usleep $((RANDOM * 20))
        done
END
        { sh /run/kills.sh >/run/kills 2>/dev/null; : >/run/killed; } &",
    )?;
    while node.try_run("[ -e /run/killed ]")?.status != 0 {
        assert!(node.page("/")?.contains("Skerry"));
    }
    for service in ["monitor", "network"] {
        let kills: u32 = node.run(&format!("grep -c {service} /run/kills"))?.trim().parse()?;
        assert!(kills >= 3, "{service} was killed {kills} times");
        node.end_service(&format!("skerry-{service}"), "KILL")?;
    }
    node.page("/")?;
    assert_eq!((node.life_of("web")?, node.life_of("count")?), before);
    node.log_is_whole_and_goes_on("count")
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
    // "ended with status 1" is said three times, this once.
    node.console().from_start().wait_for_part("late: ended\n")?;
    node.said_in_order(&["slow: starting", "slow: ready", "late: ready", "late: late is here"])?;
    node.said_in_order(&["late: starts again in 0.1 s", "late: starts again in 0.2 s", "late: ended\n"])?;
    assert_eq!(node.console().text().matches("late: late is here").count(), 3);
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
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "sleep 1000000 & echo $! >/run/child; exit 0"]
            restart = "no"
            "#,
        )
        .boot()?;
    node.console().wait_for("parent: ended")?;
    node.run_until("[ ! -d /proc/$(cat /run/child) ]")
}

#[test]
fn a_service_with_cgroups_of_its_own_is_started_again() -> Result {
    let node = Node::new()
        .config(
            r#"
            [services.nest]
            command = ["/usr/libexec/probe/busybox", "sh", "-c", "cd /sys/fs/cgroup/system/nest && echo +pids >../cgroup.subtree_control && mkdir -p own/deeper && echo 0 >own/cgroup.procs && echo +pids >cgroup.subtree_control && echo nest has cgroups; exit 1"]
            restart = "on-failure:2"
            "#,
        )
        .boot()?;
    node.console().from_start().wait_for_part("nest: ended\n")?;
    assert_eq!(node.console().text().matches("nest: nest has cgroups").count(), 3);
    Ok(())
}

#[test]
fn a_watchdog_resets_a_node_whose_pid_1_stands_still() -> Result {
    let node = Node::new().watchdog().config("[watchdog]\ntimeout = \"10s\"\n").boot()?;
    node.console().wait_for("probe: ready")?;
    // SIGSTOP does not reach PID 1; the freezer does.
    let begin = Instant::now();
    node.run("mkdir /sys/fs/cgroup/frozen && echo 1 >/sys/fs/cgroup/frozen/cgroup.procs && echo 1 >/sys/fs/cgroup/frozen/cgroup.freeze")?;
    node.machine().wait_for_reset(1)?;
    assert!(begin.elapsed() > Duration::from_secs(3), "that was no watchdog");
    Ok(())
}
