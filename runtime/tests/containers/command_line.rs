//! Options, exit codes, the log, what is wrong with a bundle.

use crate::support::{Bundle, Peer, begin, eventually, fails, finish, leftovers, read, runtime};
use serde_json::{Value, json};
use std::process::Command;

fn json_of(command: Command) -> Value {
    let text = finish(command).ok().stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn run_gives_what_the_program_says_and_its_exit_code() {
    let ran = Bundle::new().sh("echo out; echo err >&2; exit 42").run();
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (42, "out\n", "err\n"));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn run_gives_128_and_the_signal_that_killed_the_program() {
    // Signals that the first process of a PID namespace sends itself are dropped.
    let ran = Bundle::new().namespace("pid", None).sh("kill -KILL $$").run();
    assert_eq!(ran.code, 128 + 9, "{ran:?}");
    let ran = Bundle::new().namespace("pid", None).sh("kill -TERM $$").run();
    assert_eq!(ran.code, 128 + 15, "{ran:?}");
}

#[test]
fn run_passes_signals_on() {
    let bundle = Bundle::new().sh("trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.02; done");
    let mut running = begin(bundle.command("run", &[]));
    eventually("ready", || read(&running.stdout).contains("ready"));
    let pid = running.child.id().cast_signed();
    sys::process::kill(pid, nix::libc::SIGTERM).unwrap();
    let ran = running.wait();
    assert_eq!((ran.code, &*ran.stdout), (5, "ready\nterm\n"));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_detached_run_returns_and_the_container_stays() {
    let bundle = Bundle::new().long();
    let container = bundle.created(begin(bundle.command("run", &["--detach"])));
    assert_eq!(container.status(), "running");
    container.says("ready");
    container.kill("TERM").ok();
    container.wait();
    container.delete().ok();
}

#[test]
fn run_can_keep_the_stopped_container() {
    if fails(Peer::Crun, "1.8.1 has no --keep") {
        return;
    }
    let bundle = Bundle::new();
    finish(bundle.command("run", &["--keep"])).ok();
    let state = json_of(runtime(["state", &bundle.id]));
    assert_eq!(state["status"], "stopped");
    finish(runtime(["delete", &bundle.id])).ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn options_stand_before_or_after_the_id() {
    // Callers of either peer put them before; a mistake here is hard to see.
    if fails(Peer::Runc, "takes them before alone") || fails(Peer::Crun, "takes them before alone") {
        return;
    }
    let bundle = Bundle::new().long();
    bundle.write();
    let mut command = runtime(["create", &bundle.id, "--bundle"]);
    command.arg(bundle.path());
    finish(command).ok();
    finish(runtime(["delete", &bundle.id, "--force"])).ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn an_option_is_joined_by_an_equals_sign_or_is_short() {
    let bundle = Bundle::new();
    bundle.write();
    finish(runtime(["run", &format!("--bundle={}", bundle.path().display()), &bundle.id])).ok();
    finish(runtime(["run", "-b", bundle.path().to_str().unwrap(), &bundle.id])).ok();
}

#[test]
fn the_bundle_is_the_working_directory_unless_named() {
    let bundle = Bundle::new();
    bundle.write();
    let mut command = runtime(["run", &bundle.id]);
    command.current_dir(bundle.path());
    finish(command).ok();
}

#[test]
fn an_unknown_option_or_verb_is_an_error() {
    finish(runtime(["frobnicate"])).error();
    let bundle = Bundle::new();
    finish(bundle.command("create", &["--frobnicate"])).error();
    finish(runtime(["state"])).error();
    finish(runtime(["state", "one", "two"])).error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn another_file_may_stand_for_config_json() {
    if fails(Peer::Runc, "has no such option") {
        return;
    }
    let bundle = Bundle::new().args(["echo", "other"]);
    let command = bundle.command("run", &["--config", "other.json"]);
    std::fs::rename(bundle.path().join("config.json"), "/run/other.json").unwrap();
    let in_run = |mut command: Command| {
        finish({
            command.current_dir("/run");
            command
        })
    };
    assert_eq!(in_run(command).ok().stdout, "other\n");
    // By that name it is the bundle's.
    let command = bundle.command("run", &["-f", "config.json"]);
    assert_eq!(in_run(command).ok().stdout, "other\n");
}

#[test]
fn a_container_may_have_no_cgroup() {
    if fails(Peer::Runc, "has no such option") {
        return;
    }
    let without = |bundle: &Bundle| {
        bundle.write();
        let mut command = runtime(["--cgroup-manager", "disabled", "run", "--bundle"]);
        command.arg(bundle.path()).arg(&bundle.id);
        finish(command)
    };
    let bundle = Bundle::new().namespace("cgroup", None).args(["cat", "/proc/self/cgroup"]);
    let said = without(&bundle).ok().stdout;
    assert!(!said.contains(&bundle.id), "{said}");
    let error = without(&bundle.clone().set("/linux/resources", json!({ "pids": { "limit": 9 } })));
    if !fails(Peer::Crun, "does without the limit") {
        assert!(error.error().contains("pids.max needs a cgroup, and --cgroup-manager is disabled"));
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_flag_may_be_switched_off() {
    if fails(Peer::Crun, "takes no value") {
        return;
    }
    let bundle = Bundle::new().args(["echo", "here"]);
    assert_eq!(finish(bundle.command("run", &["--detach=false", "--no-pivot=False"])).ok().stdout, "here\n");
}

#[test]
fn an_error_is_told_as_one() {
    assert!(finish(runtime(["state", "nobody"])).error().contains("error"));
    let unknown = finish(runtime(["fly", "-h"])).error();
    assert!(unknown.contains("No help topic for 'fly'") || fails(Peer::Crun, "has other words"), "{unknown}");
}

#[test]
fn the_pid_file_has_the_programs_pid_and_nothing_else() {
    let container = Bundle::new().long().create_with(&["--pid-file", "/run/pid"]);
    assert_eq!(read("/run/pid"), container.pid.to_string());
}

#[test]
fn the_log_is_json_and_its_last_line_says_what_went_wrong() {
    let bundle = Bundle::new().args(["/no/such/program"]);
    bundle.write();
    let mut command = runtime(["--log", "/run/log", "--log-format", "json", "create", "--bundle"]);
    command.arg(bundle.path()).arg(&bundle.id);
    let ran = finish(command);
    assert_ne!(ran.code, 0);
    let log = read("/run/log");
    let entry: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(entry["level"], "error", "{log}");
    assert!(entry["msg"].as_str().unwrap().contains("/no/such/program"), "{log}");
    assert!(entry["time"].as_str().unwrap().starts_with("20"), "{log}");
}

#[test]
fn the_log_is_appended_to() {
    for _ in 0..2 {
        finish(runtime(["--log=/run/log", "--log-format=json", "state", "nobody"])).error();
    }
    let log = read("/run/log");
    assert_eq!(log.lines().filter(|line| line.contains("\"error\"")).count(), 2, "{log}");
}

#[test]
fn the_log_has_mistakes_of_the_command_line() {
    // containerd's shim tells its user the last line.
    if fails(Peer::Crun, "1.8.1 tells them on standard error alone") {
        return;
    }
    let log = ["--log", "/run/log", "--log-format", "json"];
    for (words, mistake) in
        [(["create", "--fly"], "fly"), (["delete", "../abc"], "ID"), (["--fly", "state"], "fly")]
    {
        finish(runtime(log.into_iter().chain(words))).error();
        if words[0] == "--fly" && fails(Peer::Runc, "1.1.5 has no log yet") {
            return;
        }
        let log = read("/run/log");
        let entry: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert!(entry["msg"].as_str().unwrap().contains(mistake), "{log}");
    }
}

#[test]
fn the_log_may_be_text() {
    finish(runtime(["--log", "/run/log", "--log-format", "text", "state", "nobody"])).error();
    assert!(
        read("/run/log").contains("nobody") || read("/run/log").contains("not exist"),
        "{}",
        read("/run/log")
    );
    finish(runtime(["--log", "/run/log", "--log-format", "poem", "state", "nobody"])).error();
}

#[test]
fn spec_writes_a_config_json_that_runs() {
    let bundle = Bundle::new();
    let mut command = runtime(["spec"]);
    command.current_dir(bundle.path());
    finish(command).ok();
    let text = read(bundle.path().join("config.json"));
    let mut config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["process"]["args"], json!(["sh"]));
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["id", "-u"]);
    config["linux"]["resources"] = json!({});
    let mut runs = Bundle::new();
    runs.config = config;
    assert_eq!(runs.says(), "0\n");
    let mut again = runtime(["spec"]);
    again.current_dir(bundle.path());
    finish(again).error();
}

#[test]
fn features_say_what_the_runtime_can() {
    if fails(Peer::Crun, "1.8.1 has no features") {
        return;
    }
    let features = json_of(runtime(["features"]));
    assert_eq!(features["ociVersionMin"], "1.0.0");
    let has = |pointer: &str, value: &str| {
        let list = features.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {features}"));
        assert!(list.as_array().unwrap().iter().any(|entry| entry == value), "{value} in {list}");
    };
    for hook in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] {
        has("/hooks", hook);
    }
    for option in ["rbind", "ro", "rro", "private", "nosuid"] {
        has("/mountOptions", option);
    }
    for namespace in ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"] {
        has("/linux/namespaces", namespace);
    }
    has("/linux/capabilities", "CAP_SYS_ADMIN");
    has("/linux/seccomp/actions", "SCMP_ACT_ERRNO");
    has("/linux/seccomp/operators", "SCMP_CMP_MASKED_EQ");
    has("/linux/seccomp/archs", "SCMP_ARCH_X86_64");
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    has("/mountOptions", "tmpcopyup");
    let version = |key: &String| key.ends_with(".version");
    assert!(features["annotations"].as_object().is_some_and(|all| all.keys().any(version)), "{features}");
}

#[test]
fn version_and_help_are_printed() {
    assert!(finish(runtime(["--version"])).ok().stdout.contains("version"));
    let help = finish(runtime(["--help"])).ok().stdout;
    for verb in ["create", "start", "delete", "exec"] {
        assert!(help.contains(verb), "{help}");
    }
}
