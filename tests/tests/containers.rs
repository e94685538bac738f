//! Containers of `node.toml` under the monitor.

use tests::{Node, Result};

#[test]
fn three_containers_start_in_order_and_each_follows_its_restart_policy() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.first]
            image = "busybox"
            args = ["sh", "-c", "echo first is here; exec sleep 1000000"]
            console = true

            [containers.crash]
            image = "busybox"
            args = ["sh", "-c", "exit 3"]
            after = ["first"]

            [containers.once]
            image = "busybox"
            args = ["true"]
            restart = "no"
            after = ["first"]
            "#,
        )
        .boot()?;
    node.console().wait_for("first: first is here")?;
    node.console().wait_for("crash: exited 3, restarting")?;
    node.console().wait_for("once: exited 0, not restarted")?;
    node.run_until("grep -qE '^crash [a-z]+ [0-9-]+ ([2-9]|[0-9]{2}) 3 ' /run/skerry/monitor/status")?;

    // Whoever ends at once may never be seen running.
    for later in ["crash: exited 3", "once: exited 0"] {
        node.said_in_order(&["first: running", later])?;
    }
    assert_eq!(node.container("first")?.restarts, 0);
    assert_eq!(node.container("once")?.restarts, 0);
    Ok(())
}

#[test]
fn a_container_that_ignores_term_is_killed_after_its_grace() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.deaf]
            image = "busybox"
            args = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
            stop-grace = "2s"
            "#,
        )
        .boot()?;
    node.console().wait_for("deaf: running")?;
    node.power_off()?;
    node.console().wait_for("deaf: did not stop in time, killed")?;
    Ok(())
}

#[test]
fn limits_of_memory_processes_and_processors_hold() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.greedy]
            image = "python"
            args = ["-c", "x = bytearray(200 << 20)"]
            memory = "32M"
            restart = "no"

            [containers.limited]
            image = "busybox"
            args = ["sleep", "1000000"]
            memory = "24M"
            pids = 7
            cpus = 0.5
            "#,
        )
        .boot()?;
    node.console().wait_for("greedy: killed by the kernel: out of memory")?;
    node.console().wait_for("limited: running")?;
    let group = "/sys/fs/cgroup/containers/limited";
    let limits = node.run(&format!("cd {group} && cat memory.max pids.max cpu.max"))?;
    assert_eq!(limits, "25165824\n7\n50000 100000\n");
    Ok(())
}

#[test]
fn a_running_container_is_paused_looked_at_and_given_other_limits() -> Result {
    let node = Node::with_images()
        .config("[containers.a]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000000\"]\nmemory = \"24M\"\npids = 7\n")
        .boot()?;
    node.console().wait_for("a: running")?;
    let runtime = |words: &str| node.run(&format!("/sbin/skerry-runtime --root /run/skerry/runtime {words}"));
    let group = "/sys/fs/cgroup/containers/a";
    runtime("update --memory 32M --pids-limit 9 a")?;
    runtime("update --cpu-quota 25000 --cpu-period 50000 --cpu-share 512 a")?;
    let limits = node.run(&format!("cd {group} && cat memory.max pids.max cpu.max cpu.weight"))?;
    assert_eq!(limits, "33554432\n9\n25000 50000\n59\n");
    node.run("echo '{\"memory\": {\"limit\": 1, \"checkBeforeUpdate\": true}}' >/tmp/r")?;
    node.run("! /sbin/skerry-runtime --root /run/skerry/runtime update -r /tmp/r a 2>/tmp/said")?;
    assert!(
        node.run("cat /tmp/said")?
            .contains("linux.resources.memory.limit: rejecting memory limit 1, below the")
    );
    runtime("pause a")?;
    assert!(runtime("state a")?.contains("paused") && !runtime("list")?.contains("running"));
    assert_eq!(node.run(&format!("grep frozen {group}/cgroup.events"))?, "frozen 1\n");
    runtime("resume a")?;
    let pid = node.life_of("a")?.0.pid;
    assert_eq!(runtime("ps --format json a")?, format!("[{pid}]\n"));
    let stats = runtime("events --stats a")?;
    assert!(stats.contains("\"limit\":33554432") && stats.contains("\"limit\":9"), "{stats}");
    Ok(())
}

#[test]
fn a_program_joins_a_container_that_has_given_its_controllers_on() -> Result {
    let node = Node::with_images()
        .config("[containers.a]\nimage = \"busybox\"\nargs = [\"sleep\", \"1000000\"]\n")
        .boot()?;
    let pid = node.life_of("a")?.0.pid;
    // As a container does that runs systemd, or containers of its own: a cgroup whose controllers
    // others below it have takes no process (cgroups(7), no internal processes).
    let below =
        format!("mkdir below && echo {pid} >below/cgroup.procs && echo +pids >cgroup.subtree_control");
    node.run(&format!("cd /sys/fs/cgroup/containers/a && {below}"))?;
    let said = node.run("/sbin/skerry-runtime --root /run/skerry/runtime exec a cat /proc/self/cgroup")?;
    assert!(said.ends_with("/below\n"), "{said}");
    Ok(())
}

#[test]
fn a_container_has_its_own_files_and_sees_the_mounts_it_was_given() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.mounts]
            image = "busybox"
            args = ["sh", "-c", "touch /mine && echo $GREETING >/shared/said; exec sleep 1000000"]
            env = { GREETING = "hello" }
            mounts = [
                { type = "bind", source = "/run/skerry/shared", target = "/shared" },
                { type = "tmpfs", target = "/scratch", size = "1M" },
            ]

            [containers.sealed]
            image = "busybox"
            args = ["sh", "-c", "touch /mine; echo $? >/shared/sealed; exec sleep 1000000"]
            read-only = true
            mounts = [{ type = "bind", source = "/run/skerry/shared", target = "/shared" }]

            [services.folder]
            command = ["/usr/libexec/probe/busybox", "mkdir", "-p", "/run/skerry/shared"]
            restart = "no"
            "#,
        )
        .boot()?;
    node.run_until("[ -s /run/skerry/shared/said ] && [ -s /run/skerry/shared/sealed ]")?;
    assert_eq!(node.run("cat /run/skerry/shared/said")?, "hello\n");
    assert_eq!(node.run("cat /run/skerry/shared/sealed")?, "1\n");
    assert_eq!(node.try_run("ls /mine")?.status, 1);
    Ok(())
}

#[test]
fn an_image_of_many_layers_is_whole_down_to_its_capabilities() -> Result {
    let node = Node::with_images()
        .config("[containers.tricky]\nimage = \"tricky\"\nconsole = true\nrestart = \"no\"\n")
        .boot()?;
    let words = node.console().wait_for("tricky: exited")?;
    let log = node.console().text();
    assert!(words.contains("exited 0") && log.contains(" right, 0 wrong"), "see the console");
    Ok(())
}

#[test]
fn a_containers_log_is_kept_in_a_file_of_bounded_size() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.loud]
            image = "busybox"
            args = ["sh", "-c", "yes 0123456789012345678901234567890 | head -n 20000; echo end; exec sleep 1000000"]
            log-size = "256K"
            "#,
        )
        .boot()?;
    node.run_until("grep -q ' F end$' /var/log/skerry/containers/loud.log")?;
    let sizes = node.run("cd /var/log/skerry/containers && stat -c %s loud.log.1 loud.log && ls | wc -l")?;
    let sizes: Vec<u32> = sizes.lines().map(str::parse).collect::<std::result::Result<_, _>>()?;
    assert!(matches!(sizes[..], [1..=262_144, 1..=262_144, 2]), "{sizes:?}");
    Ok(())
}

#[test]
fn an_image_that_is_not_there_keeps_only_its_containers_down() -> Result {
    let node = Node::with_images()
        .config(
            r#"
            [containers.absent]
            image = "nowhere"

            [containers.present]
            image = "busybox"
            args = ["sleep", "1000000"]
            "#,
        )
        .boot()?;
    let line = node.console().wait_for("absent: ")?;
    assert!(line.contains("nowhere"), "{line}");
    node.console().wait_for("present: running")?;
    node.life_of("present")?;
    let absent = node.container("absent")?;
    assert_eq!((absent.state.as_str(), absent.exit.as_str()), ("absent", "missing"));
    Ok(())
}

#[test]
fn a_cycle_in_after_keeps_only_its_containers_down() -> Result {
    let sleep = "image = \"busybox\"\nargs = [\"sleep\", \"1000000\"]\n";
    let node = Node::with_images()
        .config(format!(
            "[containers.a]\n{sleep}after = [\"b\"]\n[containers.b]\n{sleep}after = [\"a\"]\n\
             [containers.free]\n{sleep}"
        ))
        .boot()?;
    node.console().wait_for("free: running")?;
    node.console().wait_for("a, b: stay down: each comes after the other")?;
    node.life_of("free")?;
    assert_eq!(node.container("a")?.state, "absent");
    assert_eq!(node.container("b")?.state, "absent");
    Ok(())
}
