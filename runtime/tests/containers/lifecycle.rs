//! From `create` to `delete`.

use crate::support::{
    Bundle, Console, Container, Peer, Running, STATE, begin, eventually, fails, finish, leftovers, read,
    runtime, stop_reaping,
};
use serde_json::{Value, json};
use std::fs::create_dir_all;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;

/// A signal that is ignored stays so over an exec.
#[test]
fn a_caller_may_ignore_the_end_of_its_children() {
    if fails(Peer::Crun, "1.8.1 waits for ever") {
        return;
    }
    let deaf = |inner: Command| {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' CHLD; exec \"$@\"", "sh"])
            .arg(inner.get_program())
            .args(inner.get_args());
        finish(command)
    };
    let bundle =
        Bundle::new().sh("exit 3").hook_sh("createRuntime", "true").hook_sh("startContainer", "true");
    assert_eq!(deaf(bundle.command("run", &[])).code, 3);
    let container = Bundle::new().long().start();
    let mut exec = container.command("exec", &[]);
    exec.args(["sh", "-c", "exit 4"]);
    assert_eq!(deaf(exec).code, 4);
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

/// "REQUIRED when start is called" (config.md, Process).
#[test]
fn who_has_no_process_is_created_and_cannot_be_started() {
    let bundle = Bundle::new().set("/process", serde_json::Value::Null);
    if fails(Peer::Runc, "1.1.5 refuses it in create") || fails(Peer::Crun, "1.8.1 refuses it in create") {
        return;
    }
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    let error = finish(container.command("start", &[])).error();
    assert!(error.contains("process: is missing"), "{error}");
    container.delete_force().ok();
}

#[test]
fn a_container_goes_from_created_to_running_to_stopped_to_nothing() {
    let bundle = Bundle::new().sh("echo here; until [ -e /go ]; do sleep 0.02; done; exit 3");
    let container = bundle.create();
    assert_eq!(container.status(), "created");
    assert_eq!(container.stdout(), "", "the program waits for start");
    container.start().ok();
    assert_eq!(container.status(), "running");
    std::fs::write(bundle.rootfs().join("go"), "").unwrap();
    container.wait();
    assert_eq!(container.stdout(), "here\n");
    container.delete().ok();
    finish(runtime(["state", &bundle.id])).error();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn the_state_has_the_fields_of_the_specification() {
    let bundle = Bundle::new().long().set("/annotations", json!({ "org.example.key": "value" }));
    let container = bundle.create();
    let state = container.state();
    assert_eq!(state["id"], *bundle.id);
    assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
    assert_eq!(state["annotations"]["org.example.key"], "value");
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."), "{state}");
    let parent = read(container.proc("status"));
    assert!(parent.contains("\nPPid:\t1\n"), "an orphan, as its creator has ended: {parent}");
    container.start().ok();
    container.kill("KILL").ok();
    container.wait();
    let pid = &container.state()["pid"];
    assert!(pid.is_null() || pid == 0, "a stopped container has no process: {pid}");
}

#[test]
fn a_zombie_is_stopped() {
    let container = Bundle::new().long().start();
    container.says("ready");
    stop_reaping();
    container.kill("TERM").ok();
    container.wait();
    assert!(read(container.proc("stat")).contains(") Z "), "it is still there");
    container.delete().ok();
}

#[test]
fn an_id_that_is_taken_is_refused_and_the_container_stays() {
    let bundle = Bundle::new().long();
    let container = bundle.start();
    let error = bundle.try_create().error();
    assert!(error.contains("exist") || error.contains(&bundle.id), "{error}");
    assert_eq!(container.status(), "running");
    bundle.run().error();
    assert_eq!(container.status(), "running");
}

#[test]
fn an_id_that_is_no_file_name_is_refused() {
    let bundle = Bundle::new();
    for id in ["", "..", "../x", "a/b", "a b"] {
        if !id.contains('/') && fails(Peer::Crun, "1.8.1 looks for slashes alone") {
            continue;
        }
        bundle.write();
        let mut command = runtime(["create", "--bundle", bundle.path().to_str().unwrap()]);
        command.arg(id);
        finish(command).error();
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_container_is_started_once() {
    let container = Bundle::new().long().start();
    container.start().error();
    assert_eq!(container.status(), "running");
    container.kill("KILL").ok();
    container.wait();
    container.start().error();
}

#[test]
fn a_signal_is_a_name_a_name_with_sig_or_a_number() {
    let trap = "trap 'echo usr1' USR1; trap 'echo hup' HUP; trap 'echo 36' 36; echo ready; while :; do sleep 0.02; done";
    let container = Bundle::new().sh(trap).start();
    container.says("ready");
    for signal in ["USR1", "SIGUSR1", "10"] {
        let before = container.stdout().matches("usr1").count();
        container.kill(signal).ok();
        eventually(signal, || container.stdout().matches("usr1").count() > before);
    }
    container.kill("36").ok();
    container.says("36");
    if fails(Peer::Crun, "1.8.1 takes a name that it does not know for signal 0") {
        return;
    }
    container.kill("hup").ok();
    container.says("hup");
    for wrong in ["NOTHING", "SIGSIG", "-1", "1000"] {
        container.kill(wrong).error();
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn kill_without_a_signal_is_term() {
    let container = Bundle::new().long().start();
    container.says("ready");
    finish(container.command("kill", &[])).ok();
    container.wait();
}

#[test]
fn kill_all_reaches_every_process() {
    let container =
        Bundle::new().sh("sleep 100 & sleep 100 & trap '' TERM; echo ready; wait; sleep 100").start();
    container.says("ready");
    let mut command = container.command("kill", &["--all"]);
    command.arg("KILL");
    finish(command).ok();
    container.wait();
    container.delete().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn kill_ends_what_no_pid_namespace_does() {
    let bundle = Bundle::new().namespace("pid", None).sh("sleep 1000 & sleep 1000 & echo ready; wait");
    let left = |container: &Container| read(format!("/sys/fs/cgroup/{}/cgroup.procs", container.id));
    let ends = |container: Container| {
        eventually("all end", || left(&container).is_empty());
        container.delete_force().ok();
    };
    let container = bundle.start();
    container.says("ready");
    container.kill("TERM").ok();
    eventually("two are left", || left(&container).lines().count() == 2);
    container.delete_force().ok();
    let words = "kills the first process alone";
    if fails(Peer::Runc, words) || fails(Peer::Crun, words) {
        return;
    }
    let container = bundle.start();
    container.says("ready");
    container.kill("KILL").ok();
    ends(container);
    // Also those that are born all the time.
    let many = "while :; do sh -c 'sleep 1000 & sleep 1000 &'; done & echo ready; sleep 0.1; wait";
    let container = Bundle::new().namespace("pid", None).sh(many).start();
    container.says("ready");
    let mut kill = container.command("kill", &["--all"]);
    kill.arg("KILL");
    finish(kill).ok();
    ends(container);
}

#[test]
fn a_created_container_can_be_killed() {
    let container = Bundle::new().long().create();
    container.kill("KILL").ok();
    container.wait();
    container.delete().ok();
    let left = leftovers();
    let known = !left.is_empty() && fails(Peer::Runc, "1.1.5 leaves the cgroup now and then");
    assert!(known || left.is_empty(), "{left:?}");
}

#[test]
fn a_created_container_ends_by_what_ends_programs() {
    // The kernel drops what the first process of a PID namespace does not handle.
    if fails(Peer::Crun, "1.8.1 is deaf to them") {
        return;
    }
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        let mut blocked = Command::new("python3");
        let code = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32)); os.execvp(sys.argv[1], sys.argv[1:])";
        let bundle = Bundle::new().long();
        let create = bundle.command("create", &[]);
        blocked.args(["-c", code]).arg(create.get_program()).args(create.get_args());
        let container = bundle.created(begin(blocked));
        container.kill(signal).ok();
        container.wait();
        container.delete().ok();
    }
    let left = leftovers();
    let known = !left.is_empty() && fails(Peer::Runc, "1.1.5 leaves the cgroup now and then");
    assert!(known || left.is_empty(), "{left:?}");
}

#[test]
fn a_stopped_container_cannot_be_killed() {
    let container = Bundle::new().start();
    container.wait();
    container.kill("KILL").error();
    container.delete().ok();
}

#[test]
fn a_running_container_is_deleted_by_force_alone() {
    let container = Bundle::new().sh("sleep 100 & trap '' TERM; while :; do sleep 1; done").start();
    container.delete().error();
    assert_eq!(container.status(), "running");
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_created_container_is_deleted_by_force() {
    Bundle::new().create().delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn an_unknown_container_is_deleted_by_force_alone() {
    finish(runtime(["delete", "nobody"])).error();
    finish(runtime(["delete", "--force", "nobody"])).ok();
    for verb in ["state", "start", "kill"] {
        let error = finish(runtime([verb, "nobody"])).error();
        assert!(error.contains("exist") || error.contains("nobody"), "{error}");
    }
}

#[test]
fn a_container_whose_record_cannot_be_read_is_not_forgotten() {
    if fails(Peer::Runc, "has other records") || fails(Peer::Crun, "has other records") {
        return;
    }
    let container = Bundle::new().long().start();
    let path = format!("{STATE}/{}/state.json", container.id);
    let config = format!("{STATE}/{}/config.json", container.id);
    let (record, known) = (read(&path), read(&config));
    std::fs::write(&path, &record[..20]).unwrap();
    std::fs::write(&config, "{").unwrap();
    let error = container.delete_force().error();
    assert!(error.contains("state.json"), "{error}");
    assert_eq!(read(&path), record[..20]);
    std::fs::write(&path, &record).unwrap();
    assert_eq!(container.status(), "running");
    // Its processes are found by what the configuration says.
    std::fs::write(&path, &record[..20]).unwrap();
    std::fs::write(&config, known).unwrap();
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
    // None that was ever written whole.
    for id in ["none", "empty"] {
        std::fs::create_dir_all(format!("{STATE}/{id}")).unwrap();
        std::fs::write(
            format!("{STATE}/{id}/{}", if id == "none" { "state.json.new" } else { "state.json" }),
            "",
        )
        .unwrap();
        finish(runtime(["delete", "--force", id])).ok();
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_pid_that_belongs_to_another_process_now_is_not_the_container() {
    let container = Bundle::new().long().start();
    container.kill("KILL").ok();
    eventually("gone", || !Path::new(&container.proc("")).exists());
    // Processes of a PID namespace are numbered on from ns_last_pid. The kernel tells when a
    // process was started in hundredths of a second: one later, it is another time.
    let script = format!(
        "sleep 0.03; echo {} > /proc/sys/kernel/ns_last_pid; sleep 1234 > /dev/null 2>&1 & echo $!",
        container.pid - 1
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]);
    assert_eq!(finish(shell).ok().stdout.trim(), container.pid.to_string());
    assert_eq!(container.status(), "stopped");
    container.kill("KILL").error();
    container.delete_force().ok();
    // Until its exec it is called as its shell.
    eventually("and it lives", || read(container.proc("comm")) == "sleep\n");
}

#[test]
fn the_list_has_every_container() {
    let (one, two) = (Bundle::new().long(), Bundle::new().long());
    let running = one.start();
    two.create();
    let quiet = finish(runtime(["list", "--quiet"])).ok().stdout;
    let mut ids: Vec<&str> = quiet.lines().collect();
    ids.sort_unstable();
    let mut expected = [&*one.id, &*two.id];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    let text = finish(runtime(["list", "--format", "json"])).ok().stdout;
    let places = ["ociVersion", "id", "pid", "status", "bundle"].map(|key| text.find(&format!("\"{key}\":")));
    let known = fails(Peer::Crun, "1.8.1 has an order of its own");
    assert!(known || places.is_sorted() && places[0].is_some(), "runc's order: {text}");
    let listed: Value = serde_json::from_str(&text).unwrap();
    let entry = |id: &str| listed.as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap().clone();
    assert_eq!(entry(&one.id)["status"], "running");
    assert_eq!(entry(&two.id)["status"], "created");
    assert_eq!(entry(&one.id)["pid"], running.pid);
    assert_eq!(entry(&one.id)["bundle"], one.path().to_str().unwrap());
    assert!(entry(&one.id)["created"].as_str().unwrap().contains('T'));
    let table = finish(runtime(["list"])).ok().stdout;
    let (heading, rows) = table.split_once('\n').unwrap();
    for word in ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] {
        assert!(heading.contains(word), "{table}");
    }
    assert!(rows.contains(&one.id) && rows.contains("running"), "{table}");
}

#[test]
fn without_containers_the_list_is_empty() {
    let names = runtime(["list", "--quiet"]);
    create_dir_all(STATE).unwrap();
    assert_eq!(finish(names).ok().stdout, "");
    let json = finish(runtime(["list", "--format", "json"])).ok().stdout;
    let list: Value = serde_json::from_str(&json).unwrap();
    assert!(list.is_null() || list == json!([]), "{json}");
}

#[test]
fn without_the_root_that_is_named_there_is_no_list() {
    if fails(Peer::Runc, "1.1.5 has an empty one") || fails(Peer::Crun, "1.8.1 has an empty one") {
        return;
    }
    finish(runtime(["--root", "/run/no/such", "list"])).error();
    // The usual one is there from the first container on.
    let mut usual = Command::new(Peer::program());
    usual.arg("list");
    finish(usual).ok();
}

#[test]
fn twenty_containers_at_once() {
    let bundles: Vec<Bundle> = (0..20).map(|_| Bundle::new().long()).collect();
    let creators: Vec<_> = bundles.iter().map(|bundle| begin(bundle.command("create", &[]))).collect();
    let containers: Vec<_> =
        bundles.iter().zip(creators).map(|(bundle, creator)| bundle.created(creator)).collect();
    for container in &containers {
        container.start().ok();
    }
    let deleters: Vec<_> =
        containers.iter().map(|container| begin(container.command("delete", &["--force"]))).collect();
    for mut deleter in deleters {
        deleter.wait().ok();
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_started_container_is_seen_as_running_at_once() {
    for _ in 0..40 {
        let container = Bundle::new().long().start();
        assert_eq!(container.status(), "running");
        container.delete_force().ok();
    }
}

#[test]
fn two_who_ask_at_once_get_the_same_answer() {
    let container = Bundle::new().long().start();
    // Where nothing is locked nothing can be mistaken.
    if let Ok(lock) = std::fs::File::open(format!("/run/state/{}/created", container.id)) {
        lock.lock_shared().unwrap();
        assert_eq!(container.status(), "running", "another asks too");
    }
}

/// A process in the cgroup that a bundle names.
fn lodger(bundle: &Bundle) -> Running {
    let mut lodger = Command::new("sh");
    let script = "mkdir /sys/fs/cgroup/$0/below -p && echo $$ >/sys/fs/cgroup/$0/below/cgroup.procs && exec sleep 1000";
    lodger.args(["-ec", script, &bundle.id]);
    let lodger = begin(lodger);
    let members = format!("/sys/fs/cgroup/{}/below/cgroup.procs", bundle.id);
    eventually("it is in", || std::fs::read_to_string(&members).is_ok_and(|text| !text.is_empty()));
    lodger
}

#[test]
fn a_cgroup_that_others_live_in_is_refused_and_left_alone() {
    if fails(Peer::Crun, "1.8.1 takes it over and kills them") || fails(Peer::Runc, "1.1.5 warns of it alone")
    {
        return;
    }
    let bundle = Bundle::new();
    let mut lodger = lodger(&bundle);
    let error = bundle.try_create().error();
    assert!(error.contains("container's cgroup is not empty"), "{error}");
    // A create that was killed before it saw them.
    let place = format!("{STATE}/{}", bundle.id);
    create_dir_all(&place).unwrap();
    let record = json!({
        "id": bundle.id, "process": null, "complete": false, "bundle": bundle.path(), "rootfs": bundle.rootfs(),
        "cgroup": bundle.id, "created": "", "owner": 0, "annotations": {},
    });
    if Peer::tested() == Peer::Ours {
        std::fs::write(format!("{place}/state.json"), record.to_string()).unwrap();
        finish(runtime(["kill", "--all", &bundle.id, "KILL"])).error();
    }
    finish(runtime(["delete", "--force", &bundle.id]));
    assert!(lodger.child.try_wait().unwrap().is_none(), "it lives");
    lodger.child.kill().unwrap();
    lodger.child.wait().unwrap();
}

#[test]
fn a_cgroup_that_is_empty_is_taken() {
    let bundle = Bundle::new().sh("cat /sys/fs/cgroup/cgroup.procs");
    std::fs::create_dir(format!("/sys/fs/cgroup/{}", bundle.id)).unwrap();
    assert!(bundle.says().starts_with("1\n"));
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_cgroup_that_is_empty_outlives_a_creation_that_fails() {
    if fails(Peer::Crun, "1.8.1 removes it") || fails(Peer::Runc, "1.1.5 removes it") {
        return;
    }
    let bundle = Bundle::new();
    let folder = format!("/sys/fs/cgroup/{}", bundle.id);
    std::fs::create_dir(&folder).unwrap();
    bundle.clone().set("/linux/resources", json!({ "unified": { "no.such": "1" } })).try_create().error();
    bundle.clone().args(["nosuch"]).try_create().error();
    bundle
        .clone()
        .hook_sh("createContainer", "sleep 1000 & exit 1")
        .namespace("pid", None)
        .try_create()
        .error();
    assert_eq!(read(format!("{folder}/cgroup.events")).lines().next(), Some("populated 0"));
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_cgroup_that_is_frozen_is_refused() {
    if fails(Peer::Crun, "1.8.1 waits in it for ever") {
        return;
    }
    let bundle = Bundle::new();
    let folder = format!("/sys/fs/cgroup/{}", bundle.id);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(format!("{folder}/cgroup.freeze"), "1").unwrap();
    let error = bundle.try_create().error();
    let old = fails(Peer::Runc, "1.1.5 has other words");
    assert!(
        error.contains("container's cgroup unexpectedly frozen") || old && error.contains("frozen"),
        "{error}"
    );
    std::fs::remove_dir(&folder).unwrap();
}

#[test]
fn a_cgroup_is_one_containers_whoever_else_is_made_meanwhile() {
    let words = "takes what another is made in";
    if fails(Peer::Crun, words) || fails(Peer::Runc, words) {
        return;
    }
    for _ in 0..20 {
        let one = Bundle::new().long();
        let path = one.config["linux"]["cgroupsPath"].clone();
        let other = Bundle::new().set("/linux/cgroupsPath", path).long();
        let mut both = [&one, &other].map(|bundle| begin(bundle.command("run", &["--detach"])));
        let ran = both.each_mut().map(Running::wait);
        let refused: Vec<_> = ran.into_iter().filter(|ran| ran.code != 0).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].stderr.contains("cgroupsPath"), "{refused:?}");
        let left = [&one, &other].map(|bundle| finish(runtime(["delete", "--force", &bundle.id])));
        left.into_iter().for_each(|ran| drop(ran.ok()));
        assert_eq!(leftovers(), [""; 0]);
    }
}

#[test]
fn a_cgroup_that_another_container_is_made_in_is_refused_and_left_alone() {
    let words = "takes what another is made in";
    if fails(Peer::Crun, words) || fails(Peer::Runc, words) {
        return;
    }
    let bundle = Bundle::new();
    let folder = format!("/sys/fs/cgroup/{}", bundle.id);
    std::fs::create_dir(&folder).unwrap();
    let lock = std::fs::File::open(&folder).unwrap();
    lock.lock().unwrap();
    let error = bundle.try_create().error();
    assert!(error.contains("another container is made in it"), "{error}");
    assert!(Path::new(&folder).exists());
    // Said, since another test's child may hold the descriptor until its exec.
    lock.unlock().unwrap();
    bundle.run().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_created_container_that_is_paused_is_started_once_it_goes_on() {
    if fails(Peer::Crun, "1.8.1 waits for ever") {
        return;
    }
    let container = Bundle::new().long().create();
    finish(container.command("pause", &[])).ok();
    assert_eq!(container.status(), "paused");
    let error = container.start().error();
    assert!(error.contains("paused"), "{error}");
    finish(container.command("resume", &[])).ok();
    assert_eq!(container.status(), "created");
    container.start().ok();
    container.says("ready");
}

#[test]
fn the_processes_of_a_stopped_container_are_none() {
    if fails(Peer::Crun, "1.8.1 has no ps") {
        return;
    }
    let container = Bundle::new().start();
    container.wait();
    let said = finish(container.command("ps", &[])).ok().stdout;
    assert!(said.lines().count() == 1 && said.contains("PID"), "{said}");
    let said = finish(container.command("ps", &["--format", "json"])).ok().stdout;
    assert!(["[]", "null"].contains(&said.trim()), "{said}");
}

#[test]
fn a_descriptor_of_the_process_is_sent_where_it_is_asked_for() {
    if fails(Peer::Runc, "1.1.5 has no such option") || fails(Peer::Crun, "1.8.1 has no such option") {
        return;
    }
    let (socket, other) = (Console::new(), Console::new());
    let container = Bundle::new().long().create_with(&["--pidfd-socket", &socket.path]);
    let (word, first) = socket.message();
    container.start().ok();
    container.exec_with(&["--detach", "--pidfd-socket", &other.path], ["sleep", "1000"]).ok();
    let (other_word, added) = other.message();
    assert_eq!((&*word, &*other_word), ("standard", "setns"));
    let ends = |held: &OwnedFd| sys::pidfd::signal(held.as_fd(), nix::libc::SIGKILL).unwrap();
    ends(&added);
    eventually("it ends", || container.sh("pidof sleep | wc -w") == "0\n");
    assert_eq!(container.status(), "running");
    ends(&first);
    container.wait();
    let error = finish(Bundle::new().command("create", &["--pidfd-socket", "/no/such"])).error();
    assert!(error.contains("--pidfd-socket"), "{error}");
}
