//! Debian's podman, as root: what its options ask of the runtime.

use crate::engine::Engine;
use tests::Result;

fn said(options: &str, script: &str) -> Result<String> {
    Engine::podman()?.says(&format!("run --rm --network none {options} busybox sh -c '{script}' 2>&1"))
}

#[test]
#[ignore = "long"]
fn a_read_only_root_has_writable_places_and_mounts() -> Result {
    let options = "--read-only --tmpfs /t:size=1m --shm-size 16m -v /etc:/e:ro";
    let script =
        "touch /x /e/x; touch /t/x && df -m /dev/shm /t | tail -n 2 | tr -s \" \" | cut -d \" \" -f 2";
    let said = said(options, script)?;
    assert_eq!(said.matches("Read-only file system").count(), 2, "{said}");
    assert!(said.ends_with("16\n1\n"), "{said}");
    Ok(())
}

#[test]
#[ignore = "long"]
fn capabilities_limits_and_sysctls_are_as_asked() -> Result {
    let options = "--cap-drop all --cap-add CHOWN --ulimit nofile=100:200 --oom-score-adj 300 \
        --sysctl net.ipv4.ip_forward=1 --group-add 5 --hostname named";
    let script = "grep CapEff /proc/self/status; ulimit -Sn; ulimit -Hn; cat /proc/1/oom_score_adj \
        /proc/sys/net/ipv4/ip_forward; hostname; id -G";
    assert_eq!(said(options, script)?, "CapEff:\t0000000000000001\n100\n200\n300\n1\nnamed\n0 5\n");
    Ok(())
}

#[test]
#[ignore = "long"]
fn an_init_of_podmans_is_the_first_process() -> Result {
    assert_eq!(said("--init", "cat /proc/1/comm")?, "podman-init\n");
    Ok(())
}

#[test]
#[ignore = "long"]
fn a_device_is_there_for_what_was_asked_and_no_other_is() -> Result {
    // Both streams in one pipe, or a line of one would stand within a line of the other.
    let script = "exec 2>&1; (: </dev/lc) && echo read; (: >/dev/lc) || echo not written; mknod /tmp/kmsg c 1 11; \
        (: </tmp/kmsg) || echo not opened";
    let said = said("--cap-add MKNOD --device /dev/loop-control:/dev/lc:r", script)?;
    let order: Vec<_> = said.lines().filter(|line| !line.contains(": ")).collect();
    assert_eq!(order, ["read", "not written", "not opened"], "{said}");
    assert_eq!(said.matches("Operation not permitted").count(), 2, "{said}");
    Ok(())
}

#[test]
fn a_seccomp_profile_of_the_user_s_is_in_force() -> Result {
    let podman = Engine::podman()?;
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    podman.debian.run(&format!("echo '{profile}' >/tmp/profile.json"))?;
    let ran =
        podman.tries("run --rm --network none --security-opt seccomp=/tmp/profile.json busybox mkdir /d")?;
    assert!(ran.status == 1 && ran.text.contains("No space left on device"), "{ran:?}");
    Ok(())
}

#[test]
fn users_are_mapped_and_files_follow() -> Result {
    let script =
        "tr -s \" \" <\"/proc/self/uid_map\"; id -u; stat -c %u /etc/passwd; touch /etc/mine && echo wrote";
    assert_eq!(said("--uidmap 0:100000:1000", script)?, " 0 100000 1000\n0\n0\nwrote\n");
    Ok(())
}

#[test]
#[ignore = "long"]
fn keys_of_the_cgroup_pass_through() -> Result {
    let options = "--memory 100m --cgroup-conf memory.high=50331648";
    let script = "cat /sys/fs/cgroup/memory.high /sys/fs/cgroup/memory.max";
    assert_eq!(said(options, script)?, "50331648\n104857600\n");
    Ok(())
}
