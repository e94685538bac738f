//! `SCMP_ACT_NOTIFY`: an agent decides on system calls.

use crate::support::{Bundle, Peer, Running, begin, eventually, fails, leftovers, read, sh};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Its program.
const AGENT: &str = include_str!("support/agent.py");

/// A bundle whose `calls` are decided by an agent, and the agent.
fn asks(calls: &[&str]) -> (Bundle, Running) {
    let bundle = Bundle::new();
    let mut agent = Command::new("python3");
    std::fs::create_dir("/run/agent").unwrap();
    agent.args(["-c", AGENT, "/run/agent"]);
    let agent = begin(agent);
    eventually("an agent", || read(&agent.stdout) == "listening\n");
    (bundle.set("/linux/seccomp", profile(calls)), agent)
}

fn profile(calls: &[&str]) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": "/run/agent/socket",
        "listenerMetadata": "to whom it may concern",
        "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }],
    })
}

fn told(number: usize) -> Value {
    let file = format!("/run/agent/{number}.json");
    eventually("the agent is told", || Path::new(&file).exists());
    serde_json::from_str(&read(file)).unwrap()
}

#[test]
fn an_agent_decides_on_a_call_with_and_without_new_privileges() {
    let (mut bundle, _agent) = asks(&["mkdir", "mkdirat"]);
    for privileges in [false, true] {
        bundle = bundle
            .set("/process/noNewPrivileges", json!(privileges))
            .sh("mkdir /new 2>&1; test -d /new || echo none; grep Seccomp: /proc/self/status");
        let said = bundle.says();
        assert!(said.contains("No medium found") && said.contains("none\nSeccomp:\t2"), "{said}");
    }
}

#[test]
fn it_is_told_about_the_container() {
    let (bundle, _agent) = asks(&["mkdir", "mkdirat"]);
    let container = bundle.set("/annotations", json!({ "a": "b" })).long().create();
    // Before it is started.
    let told = told(0);
    container.start().ok();
    container.says("ready");
    assert_eq!(told["fds"], json!(["seccompFd"]));
    assert_eq!(told["pid"], json!(container.pid));
    assert_eq!(told["metadata"], json!("to whom it may concern"));
    let state = &told["state"];
    assert_eq!((&state["id"], &state["pid"]), (&json!(container.id), &json!(container.pid)));
    assert_eq!(state["annotations"], json!({ "a": "b" }));
    assert!(state["status"] == "created" || state["status"] == "creating", "{state}");
    assert!(state["bundle"].as_str().unwrap().ends_with(&container.id), "{state}");
}

#[test]
fn it_decides_for_exec_too() {
    let (bundle, _agent) = asks(&["mkdir", "mkdirat"]);
    let container = bundle.long().start();
    let ran = container.exec(["mkdir", "/new"]);
    assert!(ran.code != 0 && ran.stderr.contains("No medium found"), "{ran:?}");
    let told = told(1);
    assert_eq!(told["state"]["id"], json!(container.id));
    assert_ne!(told["pid"], json!(container.pid));
}

#[test]
fn it_may_decide_on_every_call_that_comes_before_the_program() {
    if fails(Peer::Runc, "1.1.5 refuses write") {
        return;
    }
    let calls = [
        "brk",
        "capset",
        "close",
        "execve",
        "exit_group",
        "fcntl",
        "futex",
        "getpid",
        "mmap",
        "munmap",
        "poll",
        "prctl",
        "read",
        "rt_sigprocmask",
        "sched_yield",
        "sendmsg",
        "wait4",
        "write",
        "mkdir",
        "accept",
        "accept4",
        "dup3",
        "recvmsg",
    ];
    let (bundle, _agent) = asks(&calls);
    let bundle = bundle.sh("mkdir /new 2>&1; echo on");
    let said = bundle.says();
    assert!(said.contains("No medium found") && said.ends_with("on\n"), "{said}");
    let container = bundle.start();
    container.says("on");
}

#[test]
fn a_container_whose_agent_has_gone_before_it_is_started_does_not_wait_for_it() {
    if fails(Peer::Runc, "asks about other calls") || fails(Peer::Crun, "asks about other calls") {
        return;
    }
    let (bundle, agent) = asks(&["dup3"]);
    let container = bundle.long().create();
    drop(agent);
    // What decides is the agent's child, a process of the test's place as its `kill` counts them; where there is no such
    // place it may have ended with the agent.
    sh("pgrep -f '^[^ ]*python3 -c # Decides on the system calls' | xargs --no-run-if-empty kill -KILL");
    container.start().error();
    container.wait();
}

#[test]
fn a_container_whose_agent_is_not_there_does_not_run() {
    let bundle = Bundle::new().set("/linux/seccomp", profile(&["mkdir"])).sh("echo ran");
    let ran = bundle.run();
    assert_eq!(ran.stdout, "");
    let error = ran.error();
    assert!(error.contains("/run/agent/socket") || fails(Peer::Crun, "1.8.1 does not name it"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}
