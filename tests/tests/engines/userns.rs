//! Containers whose users are others outside: docker's userns-remap, podman's `--userns=auto`. runc passes
//! both; under docker, crun 1.8.1 of Debian 12 leaves `memory.max` at `max`.

use crate::engine::{Cgroups, Engine, LONG, crun_fails};
use tests::{Debian, Result};

/// The first user outside, and how many there are, of a container's root.
fn mapped(map: &str) -> (u32, u32) {
    let words: Vec<u32> = map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match words[..] {
        [0, outside, count] => (outside, count),
        _ => panic!("no map of one line that begins with root: {map:?}"),
    }
}

/// Whose process it is, as the machine sees it.
fn owner(debian: &Debian, pid: &str) -> Result<String> {
    Ok(debian.run(&format!("stat -c %u:%g /proc/{}", pid.trim()))?.trim().to_owned())
}

#[test]
#[ignore = "long"]
fn docker_maps_roots_of_all_containers_to_a_user_of_its_own() -> Result {
    if crun_fails("makes a cgroup of its own below the scope, and limits that") {
        return Ok(());
    }
    let docker = Engine::docker_remapped(Cgroups::Systemd)?;
    let map = docker.says("run --rm --network none busybox cat /proc/self/uid_map")?;
    assert_eq!(mapped(&map), (200_000, 65536));
    let id = docker.says(&format!("run -d --name mapped --memory 64m busybox {LONG}"))?;
    let pid = docker.says("inspect -f '{{.State.Pid}}' mapped")?;
    assert_eq!(owner(&docker.debian, &pid)?, "200000:200000");
    assert_eq!(docker.limit(&id, "memory.max")?, "67108864");
    // Inside it is root: it owns its files, makes others another's, and has a network.
    let said = docker.says(
        "exec mapped sh -c 'touch /file && chown 7:8 /file && stat -c %u:%g /file && id -u && cat /sys/class/net/eth0/operstate'",
    )?;
    assert_eq!(said, "7:8\n0\nup\n");
    let said = docker.says("exec --user 1000:5 mapped sh -c 'id -u; id -g'")?;
    assert_eq!(said, "1000\n5\n");
    // What is root's outside is nobody's inside, and out of reach.
    let refused = docker.tries("exec mapped sh -c 'echo 1 >/proc/sys/kernel/panic'")?;
    assert_ne!(refused.status, 0, "{refused:?}");
    docker.says("stop mapped")?;
    assert_eq!(docker.says("inspect -f '{{.State.ExitCode}}' mapped")?, "7\n");
    docker.says("rm mapped")?;
    assert!(!docker.has_cgroup(&id)?);
    Ok(())
}

#[test]
fn podman_gives_each_container_users_of_its_own() -> Result {
    let podman = Engine::podman()?;
    podman.debian.run(
        "grep -q ^containers: /etc/subuid || \
        { echo containers:300000:100000 >>/etc/subuid; echo containers:300000:100000 >>/etc/subgid; }",
    )?;
    let mut maps = Vec::new();
    for name in ["auto-1", "auto-2"] {
        podman.says(&format!("run -d --name {name} --userns=auto --memory 64m busybox {LONG}"))?;
        let (outside, count) = mapped(&podman.says(&format!("exec {name} cat /proc/self/uid_map"))?);
        let pid = podman.says(&format!("inspect -f '{{{{.State.Pid}}}}' {name}"))?;
        assert_eq!(owner(&podman.debian, &pid)?, format!("{outside}:{outside}"));
        let said = podman.says(&format!(
            "exec {name} sh -c 'touch /file && chown 7:8 /file && stat -c %u:%g /file /bin'"
        ))?;
        assert_eq!(said, "7:8\n0:0\n");
        maps.push((outside, outside + count));
    }
    let [first, second] = maps[..] else { unreachable!("there are two") };
    assert!(first.0 >= 300_000 && second.1 <= 400_000, "{maps:?}");
    assert!(first.1 <= second.0 || second.1 <= first.0, "they share users: {maps:?}");
    podman.says("stop auto-1 auto-2")?;
    podman.says("rm auto-1 auto-2")?;
    Ok(())
}
