//! Programs run at moments of a container's life (`config.md`, POSIX-platform hooks).

use crate::support::{Bundle, Peer, fails, finish, leftovers, read, runtime, sh};
use serde_json::{Value, json};
use std::path::Path;

pub const KINDS: [&str; 6] =
    ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// Where a hook of this kind can write and the test can read: its own mount
/// namespace decides what `/shared` is.
pub fn shared(bundle: Bundle) -> Bundle {
    std::fs::create_dir_all("/run/shared").unwrap();
    bundle.bind("/run/shared", "/shared", &["rbind", "rw"])
}

/// `/run/shared` for all but the hook that runs after `pivot_root`.
fn place(kind: &str) -> &'static str {
    if kind == "startContainer" { "/shared" } else { "/run/shared" }
}

#[test]
fn all_six_run_once_and_in_order() {
    let mut bundle = shared(Bundle::new()).sh("echo program >> /shared/order");
    for kind in KINDS {
        bundle = bundle.hook_sh(kind, &format!("echo {kind} >> {}/order", place(kind)));
    }
    let order = || read("/run/shared/order").lines().map(str::to_owned).collect::<Vec<_>>();
    let container = bundle.create();
    if fails(Peer::Runc, "1.1.5 runs poststart in create") {
        return;
    }
    assert_eq!(order(), KINDS[..3]);
    container.start().ok();
    container.wait();
    if fails(Peer::Crun, "1.8.1 runs poststart before startContainer has ended") {
        return;
    }
    let mut started = order();
    // The program runs while poststart does: which comes first is chance.
    assert_eq!(started[3], "startContainer");
    started[4..].sort_unstable();
    assert_eq!(started[4..], ["poststart", "program"]);
    container.delete().ok();
    assert_eq!(order().last().unwrap(), "poststop");
    assert_eq!(order().len(), 7);
}

#[test]
fn one_that_says_nothing_of_it_begins_in_its_folder_with_the_environment_around_it() {
    let mut bundle = shared(Bundle::new()).set("/process/env", json!(["PATH=/bin", "OWN=program"]));
    for kind in KINDS {
        let script = format!("cat >/dev/null; echo $PWD ${{OWN:-none}} $HOME >{}/{kind}", place(kind));
        bundle = bundle.hook(kind, json!({ "path": "/bin/sh", "args": ["sh", "-c", script] }));
    }
    let folder = bundle.path().display().to_string();
    let mut run = bundle.command("run", &[]);
    run.env("OWN", "runtime").env("HOME", "/home");
    finish(run).ok();
    let said = |kind: &str| read(format!("/run/shared/{kind}")).trim().to_owned();
    for kind in ["prestart", "createRuntime", "poststart", "poststop"] {
        assert_eq!(said(kind), format!("{folder} runtime /home"), "{kind}");
    }
    // A program of the host, and root: the image's variables would have it load what they name (CVE-2025-23266).
    if !fails(Peer::Runc, "1.1.5 gives it the program's environment")
        && !fails(Peer::Crun, "1.8.1 has it begin in the bundle")
    {
        assert_eq!(said("createContainer"), format!("{folder}/rootfs runtime /home"));
    }
    // With the home of its user, which the environment does not name.
    let said = said("startContainer");
    assert!(said.ends_with(" program /root") || fails(Peer::Runc, "1.1.5 leaves HOME out"), "{said}");
}

#[test]
fn several_of_a_kind_run_in_the_order_listed() {
    let mut bundle = Bundle::new();
    for number in 1..=3 {
        bundle = bundle.hook_sh("createRuntime", &format!("echo {number} >> /run/order"));
    }
    bundle.run().ok();
    assert_eq!(read("/run/order"), "1\n2\n3\n");
}

#[test]
fn each_reads_the_state_on_its_standard_input() {
    let mut bundle = shared(Bundle::new().set("/annotations", json!({ "key": "value" })));
    for kind in KINDS {
        bundle = bundle.hook_sh(kind, &format!("echo \"$state\" > {}/{kind}", place(kind)));
    }
    let container = bundle.create();
    container.start().ok();
    container.wait();
    container.delete().ok();
    let state = |kind: &str| -> Value { serde_json::from_str(&read(format!("/run/shared/{kind}"))).unwrap() };
    for kind in KINDS {
        let state = state(kind);
        assert_eq!(state["id"], *bundle.id, "{kind}");
        let unknown = kind == "startContainer" && fails(Peer::Crun, "1.8.1 says that it is /");
        assert!(unknown || state["bundle"] == bundle.path().to_str().unwrap(), "{kind}: {state}");
        assert_eq!(state["annotations"]["key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
    }
    if !fails(Peer::Runc, "1.1.5 calls it creating until all is made") {
        assert_eq!(state("createRuntime")["status"], "created");
        assert_eq!(state("createContainer")["status"], "created");
    }
    for kind in ["prestart", "createRuntime"] {
        assert_eq!(state(kind)["pid"], container.pid, "{kind}");
    }
    if !fails(Peer::Runc, "1.1.5 says 0") && !fails(Peer::Crun, "1.8.1 says the host's number") {
        assert_eq!(state("createContainer")["pid"], 1);
    }
    assert_eq!(state("poststop")["status"], "stopped");
    if !fails(Peer::Runc, "1.1.5 runs poststart in create") {
        let poststart = state("poststart")["status"].as_str().unwrap().to_owned();
        assert!(["running", "stopped"].contains(&&*poststart), "{poststart}");
    }
    if !fails(Peer::Crun, "1.8.1 hands startContainer the state as it was in create") {
        assert_eq!(state("startContainer")["status"], "created");
    }
    // "For hooks executed in the container namespace, it is the pid as seen by the container."
    if !fails(Peer::Crun, "1.8.1 says 0") {
        assert_eq!(state("startContainer")["pid"], 1);
    }
}

#[test]
fn each_runs_in_its_namespaces() {
    let kinds = &KINDS[..5];
    let mut bundle = shared(Bundle::new()).long();
    for kind in kinds {
        let spaces = "for kind in mnt net pid uts; do readlink /proc/self/ns/$kind; done; ls /";
        bundle = bundle.hook_sh(kind, &format!("({spaces}) > {}/{kind}", place(kind)));
    }
    let container = bundle.start();
    container.says("ready");
    let link = |pid: &str, kind: &str| {
        std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
    };
    let inside = ["mnt", "net", "pid", "uts"].map(|kind| link(&container.pid.to_string(), kind));
    let outside = ["mnt", "net", "pid", "uts"].map(|kind| link("1", kind));
    let said = |kind: &str| read(format!("/run/shared/{kind}"));
    let spaces = |kind: &str| said(kind).lines().take(4).map(str::to_owned).collect::<Vec<_>>();
    for kind in ["prestart", "createRuntime", "poststart"] {
        assert_eq!(spaces(kind), outside, "{kind} runs in the runtime's");
    }
    assert_eq!(spaces("createContainer")[..2], inside[..2], "createContainer runs in the container's");
    assert!(said("createContainer").ends_with(&sh("ls /")), "before pivot_root");
    assert_eq!(spaces("startContainer"), inside, "startContainer runs in the container's");
    assert!(said("startContainer").contains("\nshared\n"), "after pivot_root");
}

#[test]
fn each_can_be_sent_signals() {
    let mut bundle = shared(Bundle::new());
    for kind in KINDS {
        bundle = bundle.hook_sh(kind, &format!("grep SigBlk /proc/self/status > {}/{kind}", place(kind)));
    }
    bundle.run().ok();
    for kind in KINDS {
        assert_eq!(read(format!("/run/shared/{kind}")), "SigBlk:\t0000000000000000\n", "{kind}");
    }
}

#[test]
fn create_hooks_see_the_mounts_of_the_container() {
    // Nvidia's hook depends on this: it changes the rootfs of a container that is mounted but not entered.
    let bundle = Bundle::new().sh("cat /tmp/fromhook /late");
    let rootfs = bundle.rootfs().display().to_string();
    let bundle = bundle
        .mount("/tmp", "tmpfs", "tmpfs", &[])
        .hook_sh("createContainer", &format!("echo tmpfs > {rootfs}/tmp/fromhook"))
        .hook_sh("createRuntime", &format!("echo rootfs > {rootfs}/late"));
    assert_eq!(bundle.says(), "tmpfs\nrootfs\n");
}

#[test]
fn arguments_and_environment_are_its_own() {
    let bundle = Bundle::new().set("/process/env", json!(["PATH=/bin", "SECRET=process"])).hook(
        "createRuntime",
        json!({
            "path": "/usr/bin/sh",
            "args": ["name", "-c", "echo $0 $1 > /run/args; env > /run/env", "first", "second"],
            "env": ["ONE=1", "PATH=/usr/bin"],
        }),
    );
    let mut command = bundle.command("run", &[]);
    command.env("SECRET", "caller");
    finish(command).ok();
    assert_eq!(read("/run/args"), "first second\n");
    let env = read("/run/env");
    assert!(env.contains("ONE=1\n") && !env.contains("SECRET"), "{env}");
}

#[test]
fn one_need_not_read_its_standard_input() {
    if fails(Peer::Crun, "1.8.1 is killed by SIGPIPE now and then") {
        return;
    }
    let large = json!({ "large": "x".repeat(200_000) });
    let mut bundle = Bundle::new().sh("sleep 100").set("/annotations", large);
    for kind in KINDS {
        bundle = bundle.hook(kind, json!({ "path": "/bin/true" }));
    }
    bundle.start().delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn poststop_runs_after_run_and_after_a_forced_delete() {
    Bundle::new().hook_sh("poststop", "touch /run/after-run").run().ok();
    assert!(Path::new("/run/after-run").exists());
    let container = Bundle::new().long().hook_sh("poststop", "touch /run/after-delete").start();
    container.delete_force().ok();
    assert!(Path::new("/run/after-delete").exists());
}

#[test]
fn a_hook_may_ask_the_runtime_for_the_state() {
    if fails(Peer::Runc, "1.1.5 runs poststart in create") {
        return;
    }
    // Hooks of podman and nerdctl do; the container must be known by then.
    let bundle = Bundle::new().long();
    let command = runtime(["state", &bundle.id]);
    let words: Vec<_> = command.get_args().map(|word| word.to_str().unwrap()).collect();
    let program = command.get_program().to_str().unwrap();
    let bundle = bundle.hook_sh("poststart", &format!("{program} {} > /run/state.json", words.join(" ")));
    bundle.start();
    let state: Value = serde_json::from_str(&read("/run/state.json")).unwrap();
    assert_eq!(state["status"], "running");
}
