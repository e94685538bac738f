//! What a config.json may say, and what is said when it may not.

use crate::support::{Bundle, Peer, fails, finish, leftovers, runtime};
use serde_json::{Value, json};

#[test]
fn a_bundle_without_config_json_is_an_error_that_names_it() {
    let bundle = Bundle::new();
    let mut command = runtime(["create", "--bundle"]);
    command.arg(bundle.path()).arg(&bundle.id);
    let error = finish(command).error();
    assert!(error.contains("config.json"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn a_config_json_that_is_not_json_is_an_error() {
    let bundle = Bundle::new();
    for text in ["", "{", "[]", "{\"process\": 7}"] {
        std::fs::write(bundle.path().join("config.json"), text).unwrap();
        let mut command = runtime(["create", "--bundle"]);
        command.arg(bundle.path()).arg(&bundle.id);
        finish(command).error();
    }
    assert_eq!(leftovers(), [""; 0]);
}

#[test]
fn unknown_fields_are_ignored() {
    let bundle = Bundle::new()
        .set("/solaris", json!({ "milestone": "x" }))
        .set("/process/future", json!([1, 2]))
        .set("/linux/future", json!(true));
    bundle.run().ok();
}

#[test]
fn null_stands_for_an_absent_value() {
    let mut bundle = Bundle::new().set("/process/rlimits", Value::Null).set("/linux/devices", Value::Null);
    for field in ["hooks", "annotations"] {
        bundle.config[field] = Value::Null;
    }
    bundle.set("/linux/sysctl", Value::Null).set("/linux/seccomp", Value::Null).run().ok();
}

#[test]
fn a_value_that_nobody_knows_is_an_error() {
    let wrong: [(&str, Value); 4] = [
        ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "colour" }])),
        ("/process/rlimits", json!([{ "type": "RLIMIT_COLOUR", "soft": 1, "hard": 1 }])),
        ("/linux/rootfsPropagation", json!("colour")),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_COLOUR" })),
    ];
    for (pointer, value) in wrong {
        if pointer.ends_with("Propagation") && fails(Peer::Crun, "1.8.1 ignores an unknown propagation") {
            continue;
        }
        let error = Bundle::new().set(pointer, value).try_create().error();
        assert!(error.to_lowercase().contains("colour"), "{pointer}: {error}");
    }
    if !fails(Peer::Crun, "1.8.1 leaves the cgroup") {
        assert_eq!(leftovers(), [""; 0]);
    }
}

#[test]
fn a_version_of_the_specification_that_is_not_1_is_refused() {
    // Neither peer looks: they read what they know, as of whatever version.
    if fails(Peer::Runc, "1.1.5 does not look") || fails(Peer::Crun, "1.8.1 does not look") {
        return;
    }
    Bundle::new().set("/ociVersion", json!("2.0.0")).try_create().error();
    Bundle::new().set("/ociVersion", json!("1.99.0")).run().ok();
}

#[test]
fn a_program_that_is_missing_is_named() {
    for program in ["/no/such/program", "nosuchprogram"] {
        let bundle = Bundle::new().args([program]);
        let error = bundle.run().error();
        assert!(error.contains(program), "{error}");
    }
    if fails(Peer::Crun, "1.8.1 does not name one that it may not execute") {
        return;
    }
    let error = Bundle::new().file("bin/notexecutable", "#!/bin/sh\n").args(["notexecutable"]).run().error();
    assert!(error.contains("notexecutable"), "{error}");
    let error = Bundle::new().args(["/bin"]).run().error();
    assert!(error.contains("/bin"), "{error}");
    assert_eq!(leftovers(), [""; 0]);
}
