//! A program more in a running container.

use crate::support::{
    Bundle, Peer, begin, capabilities, eventually, fails, finish, lacks, read, runtime, sh,
};
use serde_json::json;
use std::fs::write;

#[test]
fn it_joins_every_namespace_the_cgroup_and_the_root() {
    let bundle = Bundle::new().user_namespace().file("marker", "mine\n").long();
    let container = bundle.start();
    container.says("ready");
    let kinds = "pid mnt ipc uts cgroup net user";
    let script = format!("for kind in {kinds}; do readlink /proc/$WHO/ns/$kind; done; cat /proc/$WHO/cgroup");
    let first = container.sh(&format!("WHO=1; {script}"));
    assert_eq!(container.sh(&format!("WHO=self; {script}")), first);
    assert_eq!(container.sh("cat /marker; hostname"), "mine\nskerry\n");
}

#[test]
fn it_gives_what_the_program_says_and_its_exit_code() {
    let container = Bundle::new().long().start();
    let ran = container.exec(["sh", "-c", "echo out; echo err >&2; exit 42"]);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (42, "out\n", "err\n"));
    assert_eq!(container.exec(["sh", "-c", "kill -KILL $$"]).code, 128 + 9);
    // A real-time signal, which has no name.
    assert_eq!(container.exec(["sh", "-c", "kill -40 $$"]).code, 128 + 40);
    assert_eq!(container.exec(["true"]).code, 0);
}

#[test]
fn a_program_that_is_missing_is_named() {
    let container = Bundle::new().long().start();
    let error = container.exec(["nosuchprogram"]).error();
    assert!(error.contains("nosuchprogram"), "{error}");
    assert_eq!(container.status(), "running");
}

#[test]
fn words_after_the_program_are_its_own() {
    let container = Bundle::new().long().start();
    assert_eq!(container.exec(["echo", "--cwd", "-e", "x"]).ok().stdout, "--cwd -e x\n");
    assert_eq!(container.exec(["echo", "--", "x"]).ok().stdout, "-- x\n");
}

#[test]
fn user_directory_and_environment_are_options() {
    let bundle = Bundle::new().long().set("/process/env", json!(["PATH=/bin", "FROM=config"]));
    let container = bundle.start();
    assert_eq!(container.sh("id -u; pwd; echo $FROM"), "0\n/\nconfig\n");
    let options = [
        "--user",
        "1000:2000",
        "--cwd",
        "/tmp",
        "--env",
        "ONE=1",
        "--env",
        "TWO=2=2",
        "--env",
        "FROM=option",
        "--env",
        "PATH=/bin",
    ];
    let said =
        container.exec_with(&options, ["sh", "-c", "id -u; id -g; pwd; echo $ONE $TWO $FROM"]).ok().stdout;
    assert_eq!(said, "1000\n2000\n/tmp\n1 2=2 option\n");
    // A name is there once, whoever looks for it.
    let said = container.exec_with(&["--env", "FROM=option"], ["/bin/cat", "/proc/self/environ"]).ok().stdout;
    assert_eq!(
        said.split('\0').filter(|entry| entry.starts_with("FROM=")).collect::<Vec<_>>(),
        ["FROM=option"]
    );
}

#[test]
fn a_cgroup_below_the_containers_is_an_option() {
    let container = Bundle::new().args(["sleep", "1000"]).start();
    std::fs::create_dir(format!("/sys/fs/cgroup/{}/below", container.id)).unwrap();
    let said = container.exec_with(&["--cgroup", "/below"], ["cat", "/proc/self/cgroup"]).ok().stdout;
    assert!(said.ends_with("0::/below\n"), "{said}");
    for name in ["../..", "cpu:/below", "nothing"] {
        let error = container.exec_with(&["--cgroup", name], ["true"]).error();
        assert!(error.contains(name.split(':').next().unwrap()), "{error}");
        let words = name != "../.." || error.contains("bad sub cgroup path");
        let old = || fails(Peer::Runc, "1.1.5 has other words") || fails(Peer::Crun, "1.8.1 has other words");
        assert!(words || old(), "{error}");
    }
    if lacks(&["hugetlb"]) {
        return;
    }
    // One that has given a controller on to those below it takes no process.
    let script =
        format!("echo {} > below/cgroup.procs; echo +hugetlb > cgroup.subtree_control", container.pid);
    sh(&format!("cd /sys/fs/cgroup/{}; {script}", container.id));
    let ran = container.exec_with(&["--cgroup", "/"], ["true"]);
    let words = [" adding pid ", " to cgroups", "busy"];
    let is_runcs = ran.code != 0 && words.into_iter().all(|word| ran.stderr.contains(word));
    assert!(is_runcs || fails(Peer::Crun, "1.8.1 has other words, or goes into one below"), "{ran:?}");
}

#[test]
fn it_follows_the_first_process_when_the_containers_cgroup_is_gone() {
    let words = "wants the one that it made";
    if fails(Peer::Runc, words) || fails(Peer::Crun, words) {
        return;
    }
    let container = Bundle::new().args(["sleep", "1000"]).start();
    let id = &container.id;
    let script = format!("mkdir {id}-other; echo {} > {id}-other/cgroup.procs; rmdir {id}", container.pid);
    sh(&format!("cd /sys/fs/cgroup; {script}"));
    container.exec(["true"]).ok();
    container.exec_with(&["--detach"], ["sleep", "1000"]).ok();
    assert_eq!(read(format!("/sys/fs/cgroup/{id}-other/cgroup.procs")).lines().count(), 2);
}

#[test]
fn a_file_describes_the_process() {
    let container = Bundle::new().long().start();
    let process = json!({
        "args": ["sh", "-c", "id -u; id -G; pwd; echo $KEY; umask; grep -E 'Max open|CapEff' /proc/self/limits /proc/self/status"],
        "cwd": "/tmp",
        "env": ["PATH=/bin", "KEY=file"],
        "user": { "uid": 1000, "gid": 1000, "additionalGids": [2000], "umask": 0o27 },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 50, "hard": 60 }],
        "noNewPrivileges": true,
    });
    write("/run/process.json", process.to_string()).unwrap();
    let said = finish(container.command("exec", &["--process", "/run/process.json"])).ok().stdout;
    assert!(said.starts_with("1000\n1000 2000\n/tmp\nfile\n"), "{said}");
    assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
    assert!(
        said.contains("\n0027\n") || fails(Peer::Runc, "1.1.5 takes the umask in create alone"),
        "{said}"
    );
    let limits: Vec<&str> =
        said.lines().find(|line| line.contains("Max open")).unwrap().split_whitespace().collect();
    assert_eq!(limits[4], "60");
    // The race is Go's (golang/go#46279).
    assert!(limits[3] == "50" || fails(Peer::Runc, "1.1.5 raises the soft limit now and then"), "{said}");
}

#[test]
fn what_a_file_leaves_out_is_the_containers() {
    let names = ["CAP_CHOWN", "CAP_KILL"];
    let container = Bundle::new()
        .set("/process/capabilities", capabilities(&names))
        .set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 70, "hard": 80 }]))
        .set("/process/oomScoreAdj", json!(500))
        .set("/process/user/umask", json!(0o77))
        .long()
        .start();
    let process = json!({
        "args": ["sh", "-c", "ulimit -Hn; umask; cat /proc/self/oom_score_adj; grep CapEff /proc/self/status"],
        "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
    });
    write("/run/process.json", process.to_string()).unwrap();
    let said = finish(container.command("exec", &["--process", "/run/process.json"])).ok().stdout;
    let (limit, said) = said.split_once('\n').unwrap();
    let words = "leaves the caller's";
    let (known, said) =
        (fails(Peer::Runc, words) || fails(Peer::Crun, words), said.split_once("CapEff:").unwrap());
    assert_eq!(said.1, "\t0000000000000021\n");
    assert!(said.0 == "0077\n500\n" || known, "{}", said.0);
    assert!(limit == "80" || fails(Peer::Runc, words) || fails(Peer::Crun, words), "{limit}");
}

#[test]
fn the_personality_is_the_containers() {
    if fails(Peer::Runc, "1.1.5 does not know linux.personality") {
        return;
    }
    let container = Bundle::new().set("/linux/personality", json!({ "domain": "LINUX32" })).long().start();
    assert_eq!(container.exec(["uname", "-m"]).ok().stdout, "i686\n");
}

#[test]
fn scheduler_io_priority_and_processors_are_its_own() {
    if fails(Peer::Runc, "1.1.5 follows 1.0") || fails(Peer::Crun, "1.8.1 follows 1.0") {
        return;
    }
    let container = Bundle::new().long().start();
    let process = json!({
        "args": ["sh", "-c", "cut -d' ' -f19,41 /proc/self/stat; ionice -p $$; grep Cpus_allowed_list /proc/self/status"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": { "uid": 1000, "gid": 1000 },
        "scheduler": { "policy": "SCHED_BATCH", "nice": -5 },
        "ioPriority": { "class": "IOPRIO_CLASS_RT", "priority": 3 },
        "execCPUAffinity": { "initial": "0-1023", "final": "0" },
    });
    write("/run/process.json", process.to_string()).unwrap();
    let said = finish(container.command("exec", &["--process", "/run/process.json"])).ok().stdout;
    assert_eq!(said, "-5 3\nrealtime: prio 3\nCpus_allowed_list:\t0\n");
}

#[test]
fn a_detached_one_goes_on_and_its_pid_is_in_the_file() {
    let container = Bundle::new().long().start();
    let options = ["--detach", "--pid-file", "/run/exec-pid"];
    container.exec_with(&options, ["tail", "-f", "/dev/null"]).ok();
    let pid = read("/run/exec-pid");
    // A detached one may still be on its way to execve.
    eventually("tail", || read(format!("/proc/{pid}/comm")) == "tail\n");
    assert_eq!(container.sh("pidof tail | wc -w").trim(), "1");
    container.delete_force().ok();
    eventually("it ends too", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn one_that_fails_late_leaves_no_program() {
    let container = Bundle::new().long().start();
    let error =
        container.exec_with(&["--detach", "--pid-file", "/no/such/pid"], ["tail", "-f", "/dev/null"]).error();
    assert!(error.contains("/no/such/"), "{error}");
    let process = json!({
        "args": ["tail", "-f", "/dev/null"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 },
        "oomScoreAdj": 5000,
    });
    write("/run/process.json", process.to_string()).unwrap();
    let words = "takes it from config.json alone";
    if !fails(Peer::Runc, words) && !fails(Peer::Crun, words) {
        finish(container.command("exec", &["--detach", "--process", "/run/process.json"])).error();
    }
    let left = container.sh("pidof tail | wc -w");
    assert!(left == "0\n" || fails(Peer::Crun, "1.8.1 leaves it"), "{left}");
}

#[test]
fn a_container_that_does_not_run_is_refused() {
    let container = Bundle::new().start();
    container.wait();
    container.exec(["true"]).error();
    finish(runtime(["exec", "nobody", "true"])).error();
}

#[test]
fn a_program_without_words_is_refused() {
    let container = Bundle::new().long().start();
    finish(container.command("exec", &[])).error();
}

#[test]
fn it_shows_nothing_of_the_host_from_its_birth_on() {
    if fails(Peer::Crun, "1.8.1 has a descriptor that leads to the host") {
        return;
    }
    sh("mount -t tmpfs of-the-host /mnt; touch /mnt/marker");
    // Its first process keeps whoever comes from going on, and looks.
    let script = r#"
        echo ready
        while :; do
            for one in /proc/[0-9]*; do
                pid=${one#/proc/}
                [ $pid = 1 ] && continue
                kill -STOP $pid
                while read line; do
                    case "$line" in *of-the-host*) echo seen in mountinfo;; esac
                done < $one/mountinfo
                for way in $one/root $one/cwd $one/fd/*; do
                    [ -e $way/../../../../mnt/marker ] && echo seen by $way
                done
                kill -CONT $pid
            done
        done 2>/dev/null"#;
    let container =
        Bundle::new().set("/process/capabilities", capabilities(&["CAP_SYS_PTRACE"])).sh(script).start();
    container.says("ready");
    for _ in 0..100 {
        container.exec(["true"]).ok();
    }
    assert_eq!(container.stdout(), "ready\n");
}

#[test]
fn preserved_descriptors_are_handed_over() {
    let container = Bundle::new().long().start();
    let mut inner = container.command("exec", &["--preserve-fds", "1"]);
    inner.args(["sh", "-c", "cat <&3; ls /proc/self/fd | tr '\\n' ' '"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo three > /run/3; exec 3< /run/3 4< /run/3; exec \"$@\"", "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    assert_eq!(finish(command).ok().stdout, "three\n0 1 2 3 4 ");
}

#[test]
fn the_inheritable_and_ambient_sets_are_empty() {
    // CVE-2022-29162
    let container = Bundle::new().long().start();
    let said = container.sh("grep -E 'Cap(Inh|Amb)' /proc/self/status");
    assert_eq!(said, "CapInh:\t0000000000000000\nCapAmb:\t0000000000000000\n");
}

#[test]
fn its_capabilities_are_the_containers_and_those_asked_for() {
    let container = Bundle::new().long().start();
    let set =
        |options: &[&str]| container.exec_with(options, ["grep", "CapEff", "/proc/self/status"]).ok().stdout;
    assert_eq!(set(&[]).trim_start_matches("CapEff:\t").trim(), "00000000a80425fb");
    if fails(Peer::Crun, "1.8.1 gives those alone") {
        return;
    }
    // CAP_SYS_ADMIN is 21.
    assert_eq!(set(&["--cap", "CAP_SYS_ADMIN"]).trim_start_matches("CapEff:\t").trim(), "00000000a82425fb");
}

#[test]
fn one_that_is_asked_for_is_ambient_where_the_container_has_inheritable_ones() {
    // The program is not root's: it has what is ambient.
    let caps = |names: &[&str]| json!(names);
    let container = Bundle::new()
        .set("/process/user", json!({ "uid": 1000, "gid": 1000 }))
        .set("/process/capabilities", json!({
            "bounding": caps(&["CAP_KILL", "CAP_CHOWN", "CAP_SYSLOG"]), "permitted": caps(&["CAP_KILL", "CAP_CHOWN"]),
            "inheritable": caps(&["CAP_CHOWN", "CAP_SYSLOG"]), "effective": caps(&["CAP_KILL"]), "ambient": caps(&["CAP_CHOWN"]),
        }))
        .long()
        .start();
    let said =
        |options: &[&str]| container.exec_with(options, ["grep", "CapAmb", "/proc/self/status"]).ok().stdout;
    assert_eq!(said(&[]), "CapAmb:\t0000000000000001\n");
    if fails(Peer::Crun, "1.8.1 gives those alone") {
        return;
    }
    // CAP_SYSLOG is 34. One that is not inheritable cannot be.
    assert_eq!(said(&["--cap", "CAP_SYSLOG"]), "CapAmb:\t0000000400000001\n");
    assert_eq!(said(&["--cap", "CAP_NET_RAW"]), "CapAmb:\t0000000000000001\n");
}

#[test]
fn no_new_privileges_is_an_option() {
    let container = Bundle::new().long().start();
    let set = |options: &[&str]| {
        container.exec_with(options, ["grep", "NoNewPrivs", "/proc/self/status"]).ok().stdout
    };
    assert_eq!(set(&[]), "NoNewPrivs:\t0\n");
    assert_eq!(set(&["--no-new-privs"]), "NoNewPrivs:\t1\n");
}

#[test]
fn additional_groups_are_an_option() {
    if fails(Peer::Crun, "1.8.1 has no such option") {
        return;
    }
    let container = Bundle::new().long().start();
    let options = ["--user", "1000:1000", "-g", "2000", "-g", "2001"];
    assert_eq!(container.exec_with(&options, ["id", "-G"]).ok().stdout, "1000 2000 2001\n");
}

#[test]
fn groups_that_are_not_named_are_the_containers() {
    if fails(Peer::Crun, "1.8.1 has no such option") {
        return;
    }
    let user = json!({ "uid": 0, "gid": 3000, "additionalGids": [3001] });
    let container = Bundle::new().set("/process/user", user).long().start();
    let groups = |options: &[&str]| container.exec_with(options, ["id", "-G"]).ok().stdout;
    assert_eq!(groups(&["--user", "1000"]), "3000 3001\n");
    assert_eq!(groups(&["--user", "1000:2000", "-g", "2001"]), "2000 2001 3001\n");
}

#[test]
fn many_at_once() {
    let container = Bundle::new().long().start();
    let running: Vec<_> = (0..20)
        .map(|number| {
            let mut command = container.command("exec", &[]);
            command.args(["sh", "-c", &format!("echo {number}; exit {number}")]);
            begin(command)
        })
        .collect();
    for (number, mut running) in running.into_iter().enumerate() {
        let ran = running.wait();
        assert_eq!((ran.code, ran.stdout), (i32::try_from(number).unwrap(), format!("{number}\n")));
    }
}
