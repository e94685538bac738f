//! What is left when something goes wrong: nothing.

use crate::support::{Bundle, Peer, begin, eventually, fails, finish, leftovers, read, runtime};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

#[test]
fn a_creation_that_fails_leaves_nothing() {
    let wrong = [
        Bundle::new().args(["/no/such/program"]),
        Bundle::new().bind("/no/such/source", "/x", &["bind"]),
        Bundle::new().join("network", "/no/such/namespace"),
        Bundle::new().set("/linux/sysctl", json!({ "net.no.such": "1" })),
        Bundle::new().set("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 10, "hard": 1 }])),
        Bundle::new().hook_sh("createContainer", "exit 1"),
        Bundle::new().set("/root/path", json!("nothing")),
        Bundle::new().set("/process/apparmorProfile", json!("no-such-profile")),
    ];
    for bundle in wrong {
        let ran = bundle.try_create();
        assert_ne!(ran.code, 0, "{}", bundle.config);
        let left = leftovers();
        let known = !left.is_empty() && fails(Peer::Crun, "1.8.1 leaves the cgroup after most failures");
        assert!(known || left.is_empty(), "{left:?} after {}", ran.stderr);
        finish(runtime(["state", &bundle.id])).error();
    }
}

#[test]
fn the_name_of_a_failed_container_is_free_again() {
    let bundle = Bundle::new().hook_sh("createRuntime", "test -e /run/ready");
    assert_ne!(bundle.try_create().code, 0);
    std::fs::write("/run/ready", "").unwrap();
    bundle.run().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_creator_killed_at_any_moment_leaves_what_a_forced_delete_removes() {
    const ROUNDS: u32 = 50;
    let begun = Instant::now();
    Bundle::new().run().ok();
    let span = begun.elapsed() * 3 / 2;
    for round in 0..ROUNDS {
        // Each has a moment of its own, spread over the whole creation.
        let bundle = Bundle::new().long();
        let mut running = begin(bundle.command("create", &[]));
        std::thread::sleep(span * round / ROUNDS);
        let _ = running.child.kill();
        running.wait();
        finish(runtime(["delete", "--force", &bundle.id])).ok();
        let left = leftovers();
        let peer = "is not made for this";
        let known = !left.is_empty() && (fails(Peer::Runc, peer) || fails(Peer::Crun, peer));
        if known {
            return;
        }
        assert!(left.is_empty(), "round {round} of {span:?}: {left:?}");
    }
}

#[test]
fn after_a_killed_creator_the_name_is_free_again() {
    let bundle = Bundle::new().hook_sh("createRuntime", "touch /run/reached; test -e /run/go || sleep 1000");
    let mut running = begin(bundle.command("create", &[]));
    eventually("in the hook", || Path::new("/run/reached").exists());
    let _ = running.child.kill();
    running.wait();
    finish(runtime(["delete", "--force", &bundle.id])).ok();
    std::fs::write("/run/go", "").unwrap();
    let created = bundle.try_create();
    let peer = "leaves a folder that takes the name";
    if created.code != 0 && (fails(Peer::Runc, peer) || fails(Peer::Crun, peer)) {
        return;
    }
    created.ok();
}

#[test]
fn a_container_being_created_is_seen_as_creating() {
    let bundle = Bundle::new()
        .hook_sh("createRuntime", "touch /run/reached; while ! test -e /run/go; do sleep 0.02; done");
    let mut running = begin(bundle.command("create", &[]));
    eventually("in the hook", || Path::new("/run/reached").exists());
    let seen = finish(runtime(["state", &bundle.id]));
    std::fs::write("/run/go", "").unwrap();
    running.wait().ok();
    let peer = "knows the container when it was created";
    if seen.code != 0 && (fails(Peer::Runc, peer) || fails(Peer::Crun, peer)) {
        return;
    }
    let state: serde_json::Value = serde_json::from_str(&seen.ok().stdout).unwrap();
    if state["status"] != "creating"
        && (fails(Peer::Runc, "says created") || fails(Peer::Crun, "says created"))
    {
        return;
    }
    assert_eq!(state["status"], "creating");
}

#[test]
fn a_killed_run_leaves_a_container_that_can_be_deleted() {
    let bundle = Bundle::new().sh("echo here; exec sleep 1000");
    let mut running = begin(bundle.command("run", &[]));
    eventually("here", || read(&running.stdout).contains("here"));
    let _ = running.child.kill();
    running.wait();
    finish(runtime(["delete", "--force", &bundle.id])).ok();
    let left = leftovers();
    let known = !left.is_empty() && fails(Peer::Crun, "1.8.1 may know nothing of it yet");
    assert!(known || left.is_empty(), "{left:?}");
}

#[test]
fn two_with_one_name_at_once_make_one_container() {
    for _ in 0..10 {
        let bundle = Bundle::new().long();
        let creators: Vec<_> = (0..4).map(|_| begin(bundle.command("create", &[]))).collect();
        let codes: Vec<i32> = creators.into_iter().map(|mut creator| creator.wait().code).collect();
        let made = codes.iter().filter(|code| **code == 0).count();
        finish(runtime(["delete", "--force", &bundle.id])).ok();
        let peer = "locks nothing";
        let left = leftovers();
        if (made != 1 || !left.is_empty()) && (fails(Peer::Runc, peer) || fails(Peer::Crun, peer)) {
            return;
        }
        assert_eq!(made, 1, "{codes:?}");
        assert_eq!(left, [""; 0]);
    }
}

#[test]
fn a_bundle_that_is_gone_does_not_matter_to_a_running_container() {
    let bundle = Bundle::new().long();
    let container = bundle.start();
    std::fs::remove_file(bundle.path().join("config.json")).unwrap();
    assert_eq!(container.status(), "running");
    if !fails(Peer::Runc, "1.1.5 reads config.json for exec again") {
        container.exec(["true"]).ok();
    }
    container.kill("KILL").ok();
    container.wait();
    container.delete().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_state_that_is_no_state_is_an_error_and_can_be_deleted() {
    let bundle = Bundle::new();
    std::fs::create_dir_all(format!("/run/state/{}", bundle.id)).unwrap();
    finish(runtime(["state", &bundle.id])).error();
    finish(runtime(["delete", "--force", &bundle.id])).ok();
}
