use super::*;

const FULL: &str = r#"{
    "ociVersion": "1.2.0", "unknown": {"deep": [1, null]},
    "process": {
        "terminal": true, "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [5, 6]},
        "args": ["sh"], "env": ["A=b"], "cwd": "/",
        "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": null},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": true, "oomScoreAdj": -5,
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "execCPUAffinity": {"initial": "0", "final": "0-1"}
    },
    "root": {"path": "rootfs", "readonly": true},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": null}],
    "hooks": {"createRuntime": [{"path": "/bin/true", "timeout": 3}]},
    "annotations": {"org.example": "x"},
    "linux": {
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/a"}],
        "resources": {
            "devices": [{"allow": false, "access": "rwm"}],
            "memory": {"limit": -1, "disableOOMKiller": false},
            "blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 600}]},
            "rdma": {"mlx5_1": {"hcaHandles": 3}}
        },
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "syscalls": [{"names": ["clone"], "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 2114060288, "op": "SCMP_CMP_MASKED_EQ"}]}]
        },
        "intelRdt": {"closID": "a", "l3CacheSchema": "L3:0=f"},
        "timeOffsets": {"monotonic": {"secs": -5}}
    }
}"#;

#[test]
fn what_is_written_reads_back_the_same() {
    let config: Config = serde_json::from_str(FULL).unwrap();
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert!(!text.contains("null") && !text.contains("unknown"), "{text}");
}

#[test]
fn names_are_those_of_the_specification() {
    let given: serde_json::Value = serde_json::from_str(FULL).unwrap();
    let config: Config = serde_json::from_str(FULL).unwrap();
    let written = serde_json::to_value(&config).unwrap();
    for path in [
        "/process/execCPUAffinity/final",
        "/process/user/additionalGids",
        "/process/ioPriority/class",
        "/linux/uidMappings/0/containerID",
        "/linux/resources/memory/disableOOMKiller",
        "/linux/resources/blockIO/throttleReadIOPSDevice/0/rate",
        "/linux/resources/rdma/mlx5_1/hcaHandles",
        "/linux/seccomp/syscalls/0/args/0/op",
        "/linux/intelRdt/closID",
        "/linux/intelRdt/l3CacheSchema",
        "/linux/timeOffsets/monotonic/secs",
        "/linux/namespaces/1/path",
        "/hooks/createRuntime/0/timeout",
    ] {
        assert!(given.pointer(path).is_some(), "{path} is not in the sample");
        assert_eq!(written.pointer(path), given.pointer(path), "{path}");
    }
}

#[test]
fn null_is_an_absent_value() {
    let text = r#"{"ociVersion": "1.0.2", "mounts": null, "hooks": null, "hostname": null,
        "annotations": null, "process": null, "linux": {"sysctl": null, "seccomp": null}}"#;
    let config: Config = serde_json::from_str(text).unwrap();
    assert_eq!(
        config,
        Config { oci_version: "1.0.2".into(), linux: Some(Linux::default()), ..Config::default() }
    );
}

#[test]
fn a_value_outside_a_closed_set_is_refused_by_name() {
    for text in [
        r#"{"linux": {"namespaces": [{"type": "mnt"}]}}"#,
        r#"{"linux": {"seccomp": {"defaultAction": "SCMP_ACT_MAYBE"}}}"#,
    ] {
        let error = serde_json::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error.contains("unknown variant"), "{error}");
    }
}

#[test]
fn names_in_other_letters_that_runcs_users_write_are_read() {
    let text = r#"{"CPU": {"Cpus": "0", "Mems": "1"}, "hugepageLimits": [{"pagesize": "2MB", "limit": 3}]}"#;
    let resources: Resources = serde_json::from_str(text).unwrap();
    let written = serde_json::json!({
        "cpu": {"cpus": "0", "mems": "1"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 3}]
    });
    assert_eq!(serde_json::to_value(resources).unwrap(), written);
}
