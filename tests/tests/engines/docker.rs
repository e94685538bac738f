//! Debian's docker, with the runtime as its default one.

use crate::engine::{Cgroups, Engine, LONG, crun_fails};
use tests::{Output, Result};

#[test]
fn a_container_says_something_and_its_exit_status_is_dockers() -> Result {
    let docker = Engine::docker(Cgroups::Systemd)?;
    let ran = docker.tries("run --rm --network none busybox sh -c 'echo here; exit 3'")?;
    assert_eq!(ran, Output { status: 3, text: "here\n".into() });
    assert_eq!(docker.says("run --rm --runtime tested --user 1000:5 busybox id -u")?, "1000\n");
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_program_that_cannot_run_is_told_as_127_or_126() -> Result {
    if crun_fails("has words of its own: executable file `nosuchprogram` not found in $PATH") {
        return Ok(());
    }
    let docker = Engine::docker(Cgroups::Systemd)?;
    let missing = docker.tries("run --rm --network none busybox nosuchprogram")?;
    assert_eq!(missing.status, 127, "{missing:?}");
    assert!(
        missing.text.contains("exec: \"nosuchprogram\": executable file not found in $PATH"),
        "{missing:?}"
    );
    let folder = docker.tries("run --rm --network none busybox /tmp")?;
    assert_eq!(folder.status, 126, "{folder:?}");
    let folder = docker.tries("run --rm --network none --sysctl kernel.nosuch=1 busybox true")?;
    assert_eq!(folder.status, 125, "{folder:?}");
    Ok(())
}

/// Docker's hook makes the network's interfaces and turns IPv6 off in it.
#[test]
#[ignore = "long"]
fn parameters_of_the_network_are_set_once_docker_has_made_it() -> Result {
    if crun_fails("sets them before the hook that makes the network") {
        return Ok(());
    }
    let docker = Engine::docker(Cgroups::Systemd)?;
    let asked = "--sysctl net.ipv4.conf.lo.rp_filter=2 --sysctl net.ipv6.conf.all.disable_ipv6=0";
    let files = "cat /proc/sys/net/ipv4/conf/lo/rp_filter /proc/sys/net/ipv6/conf/all/disable_ipv6";
    assert_eq!(docker.says(&format!("run --rm --network none {asked} busybox {files}"))?, "2\n0\n");
    Ok(())
}

#[test]
fn a_container_lives_in_a_scope_of_systemds() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    life(&Engine::docker(Cgroups::Systemd)?)
}

#[test]
#[ignore = "long"]
fn a_container_lives_in_a_cgroup_of_the_runtimes() -> Result {
    if crun_fails("refuses docker's updates, which name the kernel's memory: 0") {
        return Ok(());
    }
    life(&Engine::docker(Cgroups::Folders)?)
}

/// From its terminal to its removal, limits included.
fn life(docker: &Engine) -> Result {
    let ran = docker.at_a_terminal("run --rm -it --network none busybox sh -c 'tty; exit 5'")?;
    assert_eq!(ran, Output { status: 5, text: "/dev/pts/0\n".into() });
    let limits = "--memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 50 --cpuset-cpus 0";
    let id = docker.says(&format!("run -d --name life {limits} busybox {LONG}"))?;
    let expected = [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("cpu.max", "50000 100000"),
        ("pids.max", "50"),
        ("cpuset.cpus", "0"),
    ];
    for (file, value) in expected {
        assert_eq!(docker.limit(&id, file)?, value, "{file}");
    }
    docker.says("update --memory 48m --memory-swap 48m --pids-limit 40 life")?;
    assert_eq!(docker.limit(&id, "memory.max")?, "50331648");
    assert_eq!(docker.limit(&id, "pids.max")?, "40");
    let ran = docker.at_a_terminal("exec -it life sh -c 'tty; exit 6'")?;
    assert_eq!(ran, Output { status: 6, text: "/dev/pts/0\n".into() });
    assert_eq!(docker.tries("exec life sh -c 'echo in; exit 9'")?, Output { status: 9, text: "in\n".into() });
    let missing = docker.tries("exec life nosuchprogram")?;
    assert!(missing.status == 126 && missing.text.contains("executable file not found"), "{missing:?}");
    docker.says("pause life")?;
    assert_eq!(docker.limit(&id, "cgroup.freeze")?, "1");
    docker.says("unpause life")?;
    let stats = docker.says("stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' life")?;
    assert!(stats.starts_with("life ") && stats.contains("/ 48MiB"), "{stats}");
    let top = docker.says("top life")?;
    assert!(top.contains("trap"), "{top}");
    docker.says("stop -t 30 life")?;
    assert_eq!(docker.says("inspect -f '{{.State.ExitCode}}' life")?, "7\n");
    assert_eq!(docker.says("logs life")?, "started\n");
    docker.says("rm life")?;
    assert!(!docker.has_cgroup(&id)?);
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_health_check_and_the_profile_of_apparmor_are_in_force() -> Result {
    let docker = Engine::docker(Cgroups::Systemd)?;
    let check = "--health-cmd true --health-interval 1s";
    docker.says(&format!("run -d --name health --network none {check} busybox {LONG}"))?;
    let healthy =
        "until docker inspect -f '{{.State.Health.Status}}' health | grep -x healthy; do sleep 0.5; done";
    docker.debian.run(healthy)?;
    assert_eq!(docker.says("exec health cat /proc/1/attr/current")?, "docker-default (enforce)\n");
    docker.says("rm -f health").map(drop)
}
