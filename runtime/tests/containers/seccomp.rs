//! `linux.seccomp`

use crate::support::{Bundle, Peer, fails, leftovers};
use serde_json::{Value, json};

fn seccomp(rules: Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules })
}

fn refuses(bundle: &Bundle) -> String {
    bundle.run().ok().stdout
}

#[test]
fn a_system_call_gives_the_error_that_a_rule_names() {
    for privileges in [false, true] {
        let rule = |errno: Value| {
            let mut rule =
                json!({ "names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_ERRNO" });
            rule["errnoRet"] = errno;
            Bundle::new()
                .set("/process/noNewPrivileges", json!(privileges))
                .set("/linux/seccomp", seccomp(json!([rule])))
                .sh("mkdir /new 2>&1; grep Seccomp: /proc/self/status")
        };
        let said = refuses(&rule(Value::Null));
        assert!(said.contains("Operation not permitted") && said.contains("Seccomp:\t2"), "{said}");
        let said = refuses(&rule(json!(nix::libc::ENOSPC)));
        assert!(said.contains("No space left on device"), "{said}");
    }
}

#[test]
fn a_rule_may_look_at_an_argument() {
    let rule = |op: &str, value: u64, two: u64| {
        json!({
            "names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
            "args": [{ "index": 1, "op": op, "value": value, "valueTwo": two }],
        })
    };
    let script = "for n in 0 10 12; do kill -$n 1 2>/dev/null && echo $n; done; true";
    let allowed = |rule: Value| {
        let bundle = Bundle::new()
            .set("/linux/seccomp", seccomp(json!([rule])))
            .sh(&format!("trap : 10 12; {script}"));
        refuses(&bundle).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(allowed(rule("SCMP_CMP_EQ", 10, 0)), ["0", "12"]);
    assert_eq!(allowed(rule("SCMP_CMP_NE", 10, 0)), ["10"]);
    assert_eq!(allowed(rule("SCMP_CMP_GT", 10, 0)), ["0", "10"]);
    assert_eq!(allowed(rule("SCMP_CMP_GE", 10, 0)), ["0"]);
    assert_eq!(allowed(rule("SCMP_CMP_LT", 10, 0)), ["10", "12"]);
    assert_eq!(allowed(rule("SCMP_CMP_LE", 10, 0)), ["12"]);
    // 10 is 1010, 12 is 1100: bit 2 decides.
    assert_eq!(allowed(rule("SCMP_CMP_MASKED_EQ", 4, 4)), ["0", "10"]);
}

#[test]
fn a_list_of_what_is_allowed_gives_the_default_error_for_the_rest() {
    let all = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ALLOW" });
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": nix::libc::ENOSYS,
        "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [all],
    });
    // Too little to run anything: the program itself cannot be executed, and the runtime says so.
    let ran = Bundle::new().set("/linux/seccomp", profile).run();
    assert_ne!(ran.code, 0, "{ran:?}");
    // As Docker's refusal of exec is known to be a hard case, nothing may be left.
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_killed_program_dies_of_sigsys() {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" });
    let bundle =
        Bundle::new().set("/linux/seccomp", seccomp(json!([rule]))).sh("busybox mkdir /new; echo $?");
    assert_eq!(refuses(&bundle), "159\n");
}

#[test]
fn seccomp_holds_for_exec_too() {
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" });
    let container = Bundle::new().set("/linux/seccomp", seccomp(json!([rule]))).long().start();
    let ran = container.exec(["mkdir", "/new"]);
    assert!(ran.code != 0 && ran.stderr.contains("not permitted"), "{ran:?}");
}

#[test]
fn a_start_container_hook_is_filtered_too() {
    let early = "returns from start before the hooks have run";
    if fails(Peer::Runc, early) || fails(Peer::Crun, early) {
        return;
    }
    for privileges in [false, true] {
        let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" });
        let container = Bundle::new()
            .set("/process/noNewPrivileges", json!(privileges))
            .set("/linux/seccomp", seccomp(json!([rule])))
            .sh("sleep 100")
            .hook_sh("startContainer", "exec mkdir /new")
            .create();
        let error = container.start().error();
        assert!(error.contains("signal: bad system call"), "{error}");
        container.delete_force().ok();
        assert_eq!(leftovers(), [""; 0]);
    }
}
