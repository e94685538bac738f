//! Hooks that fail, and what becomes of the container then.

use crate::hooks::{KINDS, shared};
use crate::support::{Bundle, Peer, fails, finish, leftovers};
use serde_json::json;
use std::path::Path;
use std::time::Instant;

#[test]
fn one_that_takes_too_long_is_killed() {
    let hook = json!({ "path": "/usr/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 });
    let begin = Instant::now();
    Bundle::new().hook("createRuntime", hook).try_create().error();
    assert!(begin.elapsed().as_secs() < 100, "{:?}", begin.elapsed());
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn one_that_fails_before_the_program_ends_the_creation() {
    for kind in &KINDS[..3] {
        let ran = shared(Bundle::new()).hook_sh(kind, "echo the reason >&2; exit 3").try_create();
        assert_ne!(ran.code, 0, "{kind}");
        // As callers of runc look for it.
        let words = format!("error running {kind} hook #0: ");
        let old =
            fails(Peer::Runc, "1.1.5 does not name every kind") || fails(Peer::Crun, "1.8.1 has other words");
        assert!(ran.stderr.contains(&words) || old && ran.stderr.contains("hook"), "{kind}: {ran:?}");
        assert_eq!(leftovers(), [""; 0], "{kind}");
    }
    let bundle = Bundle::new().hook("createRuntime", json!({ "path": "/no/such/hook" }));
    let error = bundle.try_create().error();
    assert!(error.contains("/no/such/hook") || fails(Peer::Crun, "1.8.1 does not name it"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn one_that_is_killed_is_told_in_the_words_of_gos() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL" }],
    });
    let bundle = Bundle::new()
        .set("/linux/seccomp", profile)
        .hook("startContainer", json!({ "path": "/bin/mkdir", "args": ["mkdir", "/dev/shm/new"] }));
    let ran = bundle.run();
    assert!(ran.code != 0, "{ran:?}");
    let words = ["error running startContainer hook", "signal: bad system call"];
    let old =
        fails(Peer::Runc, "1.1.5 does not name every kind") || fails(Peer::Crun, "1.8.1 has other words");
    assert!(old || words.iter().all(|words| ran.stderr.contains(words)), "{ran:?}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn poststop_hooks_run_after_a_creation_that_failed() {
    if fails(Peer::Crun, "1.8.1 leaves them out") {
        return;
    }
    // runtime.md: when a hook fails, "continue the lifecycle at step 12": destroy, then poststop.
    for kind in &KINDS[..3] {
        let undone = format!("/run/undone-{kind}");
        let bundle = Bundle::new().hook_sh("poststop", &format!("touch {undone}")).hook_sh(kind, "exit 3");
        assert_ne!(bundle.try_create().code, 0, "{kind}");
        assert!(Path::new(&undone).exists(), "{kind}");
    }
}

#[test]
fn a_failing_start_container_hook_keeps_the_program_from_running() {
    let bundle = shared(Bundle::new())
        .sh("touch /shared/program")
        .hook_sh("startContainer", "exit 1")
        .hook_sh("startContainer", "touch /shared/second")
        .hook_sh("poststop", "touch /run/shared/gone");
    let container = bundle.create();
    let ran = container.start();
    let early = "returns from start before the hooks have run";
    if fails(Peer::Runc, early) || fails(Peer::Crun, early) {
        container.wait();
    } else {
        // runtime.md: "continue the lifecycle at step 12".
        ran.error();
        finish(container.command("state", &[])).error();
        assert!(Path::new("/run/shared/gone").exists());
    }
    assert!(!Path::new("/run/shared/program").exists());
    assert!(!Path::new("/run/shared/second").exists());
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_failing_poststart_hook_ends_the_container() {
    if fails(Peer::Runc, "1.1.5 runs poststart in create") {
        return;
    }
    let container = Bundle::new()
        .sh("sleep 100")
        .hook_sh("poststart", "exit 1")
        .hook_sh("poststart", "touch /run/second")
        .hook_sh("poststop", "touch /run/gone")
        .create();
    // runtime.md 1.3: "the runtime MUST generate an error, stop the container, and continue the lifecycle at step 12".
    let started = container.start();
    if fails(Peer::Crun, "1.8.1 warns, as the text had it until 1.3") {
        return;
    }
    started.error();
    finish(container.command("state", &[])).error();
    assert!(Path::new("/run/gone").exists() && !Path::new("/run/second").exists());
    container.delete_force().ok();
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_failing_poststop_hook_only_warns() {
    let bundle = Bundle::new().hook_sh("poststop", "exit 1").hook_sh("poststop", "touch /run/second");
    let container = bundle.start();
    container.wait();
    let deleted = container.delete();
    if !fails(Peer::Runc, "1.1.5 goes no further after a failed poststop hook, and fails") {
        // Without a log people are told.
        let said = deleted.ok().stderr;
        assert!(said.contains("poststop") || fails(Peer::Crun, "1.8.1 does not say which"), "{said}");
        assert!(Path::new("/run/second").exists());
    }
    assert_eq!(leftovers(), [""; 0]);
}
