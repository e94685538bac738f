//! Debian's podman, as root: a container's way from its image to its end.

use crate::engine::{Engine, LONG};
use tests::{Output, Result};

#[test]
fn a_container_says_something_and_its_exit_status_is_podmans() -> Result {
    let podman = Engine::podman()?;
    let ran = podman.tries("run --rm --network none busybox sh -c 'echo here; exit 3'")?;
    assert_eq!(ran, Output { status: 3, text: "here\n".into() });
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_program_that_cannot_run_is_told_as_127_or_126() -> Result {
    let podman = Engine::podman()?;
    let missing = podman.tries("run --rm --network none busybox nosuchprogram")?;
    assert_eq!(missing.status, 127, "{missing:?}");
    assert!(missing.text.contains("nosuchprogram"), "{missing:?}");
    let folder = podman.tries("run --rm --network none busybox /tmp")?;
    assert_eq!(folder.status, 126, "{folder:?}");
    Ok(())
}

#[test]
fn a_terminal_is_a_container_s_and_an_exec_s() -> Result {
    let podman = Engine::podman()?;
    let ran = podman.at_a_terminal("run --rm -it --network none busybox sh -c 'tty; exit 5'")?;
    assert_eq!(ran, Output { status: 5, text: "/dev/pts/0\n".into() });
    podman.says(&format!("run -d --name terminal --network none busybox {LONG}"))?;
    let ran = podman.at_a_terminal("exec -it terminal sh -c 'tty; exit 6'")?;
    assert_eq!(ran, Output { status: 6, text: "/dev/pts/0\n".into() });
    podman.says("rm -f -t 0 terminal").map(drop)
}

#[test]
fn a_program_more_has_its_own_user_folder_and_status() -> Result {
    let podman = Engine::podman()?;
    podman.says(&format!("run -d --name exec --network none busybox {LONG}"))?;
    let said = podman.says("exec --user 1000:1000 -w /tmp -e A=b exec sh -c 'id -u; id -g; pwd; echo $A'")?;
    assert_eq!(said, "1000\n1000\n/tmp\nb\n");
    assert_eq!(podman.tries("exec exec sh -c 'exit 9'")?.status, 9);
    let missing = podman.tries("exec exec nosuchprogram")?;
    assert_eq!(missing.status, 127, "{missing:?}");
    podman.says("exec -d exec mkfifo /tmp/fifo")?;
    podman.says("exec -d exec sh -c 'until [ -p /tmp/fifo ]; do sleep 0.1; done; echo behind >/tmp/fifo'")?;
    let said = podman.says("exec exec sh -c 'until [ -p /tmp/fifo ]; do sleep 0.1; done; cat /tmp/fifo'")?;
    assert_eq!(said, "behind\n");
    podman.says("rm -f -t 0 exec").map(drop)
}

#[test]
#[ignore = "long"]
fn what_does_not_fit_into_memory_is_told_as_killed_for_it() -> Result {
    let podman = Engine::podman()?;
    let greedy = "python -c 'x = bytearray(200 << 20)'";
    let ran =
        podman.tries(&format!("run --name greedy --network none --memory 24m --memory-swap 24m {greedy}"))?;
    assert_eq!(ran.status, 137, "{ran:?}");
    // `.State.OOMKilled` is false with runc too: Debian's conmon comes too late to see it.
    let said = podman.debian.run("journalctl -b -k -o cat | grep 'Memory cgroup out of memory'")?;
    assert!(said.contains("(python3)"), "{said}");
    podman.says("rm greedy").map(drop)
}

/// With systemd's cgroups: in folders, podman 4.3.1 forbids a pod every device, and no runtime can
/// make a container's.
#[test]
#[ignore = "long"]
fn two_containers_of_a_pod_share_its_namespaces() -> Result {
    let podman = Engine::podman()?;
    podman.says("pod create --name pod --network none --share net,ipc,uts,pid --hostname inpod")?;
    podman.says("run -d --pod pod --name first busybox sleep 1000")?;
    let said = podman.says("run --rm --pod pod busybox sh -c 'hostname; ps | grep -c \"[s]leep 1000\"'")?;
    assert_eq!(said, "inpod\n1\n");
    podman.says("pod rm -f -t 0 pod").map(drop)
}

#[test]
fn a_published_port_leads_to_a_container_on_a_bridge() -> Result {
    let podman = Engine::podman()?;
    podman.says("run -d --name web -p 8080:80 busybox httpd -f -p 80 -h /etc")?;
    let get = "until busybox wget -qO- http://127.0.0.1:8080/passwd; do sleep 0.2; done";
    assert!(podman.debian.run(get)?.contains("nobody:x:"));
    let address = podman.says("run --rm --network container:web busybox ip -4 -o addr show eth0")?;
    assert!(address.contains("inet 10."), "{address}");
    podman.says("rm -f -t 0 web").map(drop)
}
