//! `process`: who the program is, where it stands, what it may.

use crate::descriptors::after;
use crate::support::{Bundle, Peer, fails, finish, leftovers, runtime};
use serde_json::json;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

#[test]
fn arguments_and_environment_are_handed_over_as_they_are() {
    let bundle = Bundle::new().args(["printf", "%s|", "", "a b", "*", "$HOME", "\"é\n"]);
    assert_eq!(bundle.says(), "|a b|*|$HOME|\"é\n|");
    let said = Bundle::new()
        .set("/process/env", json!(["PATH=/bin", "A=1=2", "B=", "HOME=/home"]))
        .args(["env"])
        .says();
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("PWD=")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1=2", "B=", "HOME=/home", "PATH=/bin"]);
}

#[test]
fn the_program_is_looked_for_in_the_containers_path() {
    let bundle = Bundle::new()
        .folder("opt/here")
        .link("opt/here/echo", "/bin/busybox")
        .set("/process/env", json!(["PATH=/nowhere:/opt/here"]));
    let bundle = bundle.args(["echo", "found"]);
    assert_eq!(bundle.says(), "found\n");
    let error = bundle.args(["ls"]).run().error();
    assert!(error.contains("ls"), "{error}");
}

#[test]
fn who_may_override_files_permissions_runs_what_somebody_may() {
    if fails(Peer::Crun, "1.8.1 asks when it is started") {
        return;
    }
    let bundle = Bundle::new()
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .file("only-roots", "#!/bin/sh\necho ran\n");
    set_permissions(bundle.rootfs().join("only-roots"), Permissions::from_mode(0o744)).unwrap();
    let bundle = bundle.args(["/only-roots"]);
    let with = |names: &[&str]| {
        let sets = json!({ "bounding": names, "effective": names, "permitted": names, "inheritable": names, "ambient": names });
        bundle.clone().set("/process/capabilities", sets)
    };
    assert!(with(&[]).try_create().error().contains("permission denied"));
    assert_eq!(with(&["CAP_DAC_OVERRIDE"]).says(), "ran\n");
}

#[test]
fn an_ambient_capability_that_cannot_be_is_told() {
    let mut bundle = Bundle::new().args(["grep", "CapAmb", "/proc/self/status"]);
    bundle.config["process"]["capabilities"]["inheritable"] = json!(["CAP_KILL"]);
    bundle.config["process"]["capabilities"]["ambient"] = json!(["CAP_KILL", "CAP_CHOWN"]);
    if fails(Peer::Runc, "1.1.5 says nothing") || fails(Peer::Crun, "1.8.1 says nothing") {
        return;
    }
    let ran = bundle.run().ok();
    assert_eq!(ran.stdout, "CapAmb:\t0000000000000020\n");
    assert!(ran.stderr.contains("can't raise ambient capability CAP_CHOWN: "), "{ran:?}");
}

#[test]
fn home_comes_from_the_containers_passwd_when_it_is_not_set() {
    let home = |uid: u32| Bundle::new().set("/process/user/uid", json!(uid)).sh("echo $HOME").says();
    assert_eq!(home(0), "/root\n");
    assert_eq!(home(1000), "/home/user\n");
    if !fails(Peer::Crun, "1.8.1 leaves HOME empty when passwd lacks the user") {
        assert_eq!(home(77), "/\n");
    }
    let known = "leaves it empty";
    if !fails(Peer::Runc, known) && !fails(Peer::Crun, known) {
        let bundle = Bundle::new().set("/process/env", json!(["PATH=/bin", "HOME="]));
        assert_eq!(bundle.args(["cat", "/proc/self/environ"]).says(), "PATH=/bin\0HOME=/root\0");
    }
}

#[test]
fn user_group_and_additional_groups_are_set() {
    let user = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 2000] });
    let said =
        Bundle::new().set("/process/user", user).sh("id -u; id -g; grep Groups: /proc/self/status").says();
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words, ["1000", "1001", "Groups:", "5", "2000"]);
}

#[test]
fn the_callers_groups_are_not_the_containers() {
    let bundle = Bundle::new().sh("grep Groups: /proc/self/status");
    let mut command = Command::new("setpriv");
    command.args(["--groups", "7,8", "--"]);
    let inner = bundle.command("run", &[]);
    command.arg(inner.get_program()).args(inner.get_args());
    assert_eq!(finish(command).ok().stdout.trim(), "Groups:");
}

#[test]
fn the_umask_is_set() {
    let umask = |user| Bundle::new().set("/process/user", user).sh("umask").says();
    assert_eq!(umask(json!({ "uid": 0, "gid": 0, "umask": 0o77 })), "0077\n");
    assert_eq!(umask(json!({ "uid": 0, "gid": 0 })), "0022\n");
}

#[test]
fn the_working_directory_is_set_and_made_when_missing() {
    let cwd = |path: &str| Bundle::new().set("/process/cwd", json!(path)).args(["pwd"]).says();
    assert_eq!(cwd("/tmp"), "/tmp\n");
    assert_eq!(cwd("/not/there/yet"), "/not/there/yet\n");
}

#[test]
fn a_working_directory_that_is_a_file_or_not_absolute_is_an_error() {
    for path in ["/etc/passwd", "tmp", ""] {
        if !path.starts_with('/') && fails(Peer::Crun, "1.8.1 takes a relative one as from the root") {
            continue;
        }
        Bundle::new().set("/process/cwd", json!(path)).run().error();
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_working_directory_that_only_the_user_may_enter_is_entered() {
    let bundle = Bundle::new()
        .folder("home/user")
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/cwd", json!("/home/user"))
        .args(["pwd"]);
    let home = bundle.rootfs().join("home/user");
    chown(&home, Some(1000), Some(1000)).unwrap();
    set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    assert_eq!(bundle.says(), "/home/user\n");
}

#[test]
fn rlimits_are_set() {
    let bundle = Bundle::new()
        .set(
            "/process/rlimits",
            json!([
                { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                { "type": "RLIMIT_STACK", "soft": 1_048_576, "hard": u64::MAX },
            ]),
        )
        .args(["cat", "/proc/self/limits"]);
    let said = bundle.says();
    let limit = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max open files"), ["100", "200"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max stack size"), ["1048576", "unlimited"]);
}

#[test]
fn an_rlimit_is_set_once() {
    if fails(Peer::Runc, "1.1.5 takes the last one") || fails(Peer::Crun, "1.8.1 takes the last one") {
        return;
    }
    // config.md: the runtime MUST generate an error for duplicated entries.
    let twice = json!([
        { "type": "RLIMIT_NOFILE", "soft": 100, "hard": 100 },
        { "type": "RLIMIT_NOFILE", "soft": 200, "hard": 200 },
    ]);
    Bundle::new().set("/process/rlimits", twice).try_create().error();
}

#[test]
fn the_oom_score_is_set_and_otherwise_the_callers() {
    let score = |bundle: Bundle| bundle.args(["cat", "/proc/self/oom_score_adj"]).says();
    assert_eq!(score(Bundle::new().set("/process/oomScoreAdj", json!(300))), "300\n");
    assert_eq!(score(Bundle::new()), "0\n");
}

/// The blocked and the ignored signals of a program whose caller did this before.
fn signals(script: &str) -> (u64, u64) {
    let said = after(script, &Bundle::new().args(["cat", "/proc/self/status"]), &[]).ok().stdout;
    let set = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    (set("SigBlk:"), set("SigIgn:"))
}

#[test]
fn the_runtimes_own_signals_are_not_the_programs() {
    // A program in Rust ignores PIPE, unless it sees to it that its children do not.
    let (blocked, ignored) = signals("true");
    assert_eq!((blocked, ignored & (1 << (nix::libc::SIGPIPE - 1))), (0, 0));
}

#[test]
fn signals_that_the_caller_ignored_are_not_ignored() {
    if fails(Peer::Runc, "1.1.5 hands them on") {
        return;
    }
    let (_, ignored) = signals("trap '' HUP USR1");
    let bits = (1 << (nix::libc::SIGHUP - 1)) | (1 << (nix::libc::SIGUSR1 - 1));
    assert_eq!(ignored & bits, 0);
}

#[test]
fn the_program_leads_a_session_of_its_own() {
    let said = Bundle::new()
        .sh("read pid name state parent group session rest < /proc/self/stat; echo $session")
        .says();
    assert_eq!(said, "1\n");
}

#[test]
fn personality_is_set() {
    if fails(Peer::Runc, "1.1.5 does not know linux.personality") {
        return;
    }
    let bundle =
        Bundle::new().set("/linux/personality", json!({ "domain": "LINUX32" })).args(["uname", "-m"]);
    assert_eq!(bundle.says(), "i686\n");
}

#[test]
fn memory_policy_is_set_in_exec_too() {
    if fails(Peer::Runc, "1.1.5 follows 1.0") || fails(Peer::Crun, "1.8.1 follows 1.0") {
        return;
    }
    let policy = json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    let container = Bundle::new().set("/linux/memoryPolicy", policy).long().start();
    // Of all maps (numa(7)).
    let policies = "cut -d' ' -f2 /proc/self/numa_maps | sort -u";
    assert_eq!(container.sh(policies), "bind=static:0\n");
    container.says("ready");
    assert_eq!(container.sh("cut -d' ' -f2 /proc/1/numa_maps | sort -u"), "bind=static:0\n");
    let nowhere = json!({ "mode": "MPOL_BIND", "nodes": "1023" });
    let error = Bundle::new().set("/linux/memoryPolicy", nowhere).try_create().error();
    assert!(error.contains("linux.memoryPolicy: set mode 0x2 with nodes [1023]"), "{error}");
}

#[test]
fn a_deadline_that_cannot_be_is_told_with_what_stands_against_it() {
    if fails(Peer::Runc, "1.1.5 follows 1.0") || fails(Peer::Crun, "1.8.1 has other words") {
        return;
    }
    let deadline =
        json!({ "policy": "SCHED_DEADLINE", "runtime": 42_000, "deadline": 1_000_000, "period": 1_000_000 });
    let error = Bundle::new().user_namespace().set("/process/scheduler", deadline).try_create().error();
    assert!(error.contains("process scheduler can't be used together with AllowedCPUs"), "{error}");
}

#[test]
fn scheduler_and_io_priority_are_set() {
    // config.md 1.1 brought both; the peers here follow 1.0.
    if fails(Peer::Runc, "1.1.5 follows 1.0") || fails(Peer::Crun, "1.8.1 follows 1.0 but for the scheduler")
    {
        return;
    }
    let said = Bundle::new()
        .set("/process/scheduler", json!({ "policy": "SCHED_OTHER", "nice": 7 }))
        .set("/process/ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 }))
        .sh("cut -d' ' -f19 /proc/self/stat; ionice -p $$")
        .says();
    assert_eq!(said, "7\nbest-effort: prio 6\n");
}

#[test]
fn a_container_without_process_can_be_created_but_not_started() {
    if fails(Peer::Runc, "1.1.5 wants a process") || fails(Peer::Crun, "1.8.1 wants a process") {
        return;
    }
    let mut bundle = Bundle::new();
    bundle.config.as_object_mut().unwrap().remove("process");
    // config.md: process is required by start, not by create. An early refusal is sensible too.
    let created = bundle.try_create();
    if created.code == 0 {
        finish(runtime(["start", &bundle.id])).error();
    }
}

#[test]
fn the_callers_processors_are_not_the_containers() {
    let words = "keeps the caller's";
    if fails(Peer::Runc, words) || fails(Peer::Crun, words) {
        return;
    }
    let status = ["grep", "Cpus_allowed_list", "/proc/self/status"];
    let on_one = |command: &Command| {
        let mut taskset = Command::new("taskset");
        taskset.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
        finish(taskset).ok().stdout
    };
    let bundle = Bundle::new().args(status);
    let all = bundle.says();
    assert_eq!(on_one(&bundle.command("run", &[])), all);
    let container = Bundle::new().long().start();
    let mut exec = container.command("exec", &[]);
    exec.args(status);
    assert_eq!(on_one(&exec), all);
}
