//! What a plan refuses, each by its JSON path.

use super::{DOCKER, GIVEN, plan};
use crate::plan::{Plan, Step};

fn refusal(from: &str, to: &str) -> String {
    assert!(DOCKER.contains(from), "{from} is not in docker.json");
    plan(&DOCKER.replacen(from, to, 1)).unwrap_err().0
}

#[test]
fn what_is_not_supported_yet_is_refused_by_its_path() {
    let process = "\"noNewPrivileges\"";
    let linux = "\"maskedPaths\"";
    for (from, to, path) in [
        (
            process,
            "\"scheduler\": {\"policy\": \"SCHED_ISO\"}, ",
            "process.scheduler.policy: invalid scheduler policy",
        ),
        (process, "\"ioPriority\": {\"class\": \"X\"}, ", "process.ioPriority.class: invalid"),
        (process, "\"execCPUAffinity\": {\"final\": \"x\"}, ", "process.execCPUAffinity.final: invalid"),
        (linux, "\"intelRdt\": {\"closID\": \"..\"}, ", "linux.intelRdt.closID: \"..\" cannot be"),
        (
            linux,
            "\"memoryPolicy\": {\"mode\": \"X\"}, ",
            "linux.memoryPolicy.mode: invalid memory policy mode",
        ),
        (linux, "\"personality\": {\"domain\": \"SVR4\"}, ", "linux.personality.domain: \"SVR4\" is neither"),
        (
            linux,
            "\"personality\": {\"domain\": \"LINUX\", \"flags\": [\"X\"]}, ",
            "linux.personality.flags: the specification defines none",
        ),
    ] {
        let error = refusal(from, &format!("{to}{from}"));
        assert!(error.starts_with(path), "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_its_path() {
    for (from, to, words) in [
        (
            "\"ociVersion\": \"1.2.0\"",
            "\"ociVersion\": \"2.0.0\"",
            "ociVersion: \"2.0.0\" is not a version 1",
        ),
        (
            "\"ociVersion\": \"1.2.0\"",
            "\"ociVersion\": \"1.x\"",
            "ociVersion: \"1.x\" is not a version 1, such as 1.2.0",
        ),
        (
            "\"hostname\"",
            "\"hooks\": {\"prestart\": [{\"path\": \"/x\", \"timeout\": 0}]}, \"hostname\"",
            "hooks.prestart[0].timeout: 0 is not above 0",
        ),
        ("\"hostname\"", "\"annotations\": {\"\": \"x\"}, \"hostname\"", "annotations: one has no name"),
        (
            "{\"type\": \"ipc\"}",
            "{\"type\": \"ipc\", \"path\": \"proc/1/ns/ipc\"}",
            "linux.namespaces[2].path: \"proc/1/ns/ipc\" is not an absolute path",
        ),
        (
            "\"maskedPaths\": [",
            "\"maskedPaths\": [\"x\", ",
            "linux.maskedPaths[0]: \"x\" is not an absolute path",
        ),
        (
            "\"readonlyPaths\": [",
            "\"readonlyPaths\": [\"x\", ",
            "linux.readonlyPaths[0]: \"x\" is not an absolute path",
        ),
        ("\"cwd\": \"/\"", "\"cwd\": \"tmp\"", "process.cwd: \"tmp\" is not an absolute path"),
        ("RLIMIT_NOFILE", "RLIMIT_FLY", "process.rlimits[0].type: \"RLIMIT_FLY\" is not a limit"),
        ("{\"type\": \"ipc\"}", "{\"type\": \"pid\"}", "linux.namespaces[2]: pid is there twice"),
        ("{\"type\": \"uts\"}", "{\"type\": \"time\"}", "hostname: there is no uts namespace"),
        (
            "\"hostname\"",
            "\"hooks\": {\"poststop\": [{\"path\": \"/x\"}, {\"path\": \"true\"}]}, \"hostname\"",
            "hooks.poststop[1].path: \"true\" is not an absolute path",
        ),
        (
            "{\"type\": \"mount\"}",
            "{\"type\": \"user\"}",
            "linux.namespaces: a user namespace has no right to mount",
        ),
        ("{\"type\": \"ipc\"}", "{\"type\": \"user\"}", "linux.uidMappings: a user namespace has none"),
        (
            "\"maskedPaths\"",
            "\"gidMappings\": [{\"containerID\": 0, \"hostID\": 1, \"size\": 1}], \"maskedPaths\"",
            "linux.gidMappings: there is no user namespace",
        ),
        ("\"/docker/abc\"", "\"/docker/../../x\"", "linux.cgroupsPath: \"docker/../../x\" leads out"),
        (
            "\"memory\": {\"limit\": 67108864",
            "\"memory\": {\"limit\": -7",
            "linux.resources.memory.limit: -7",
        ),
        (
            "\"type\": \"proc\", \"source\": \"proc\", \"options\": [",
            "\"type\": \"proc\", \"source\": \"proc\", \"options\": [\"tmpcopyup\", ",
            "mounts[0].options: tmpcopyup goes with a tmpfs alone",
        ),
        ("\"destination\": \"/dev\"", "\"destination\": \"/a/../.\"", "mounts[1].destination: is the root"),
        ("\"eth1\": {", "\"a b\": {", "linux.netDevices[\"a b\"]: no interface can have this name"),
        (
            "{\"type\": \"network\"}",
            "{\"type\": \"time\"}",
            "linux.netDevices: there is no network namespace",
        ),
        (
            "\"nosuid\", \"strictatime\"",
            "\"idmap\", \"strictatime\"",
            "mounts[1].options: idmap without mappings needs a user namespace",
        ),
        ("\"eth1\": {", "\"a b\": {", "linux.netDevices[\"a b\"]: no interface can have this name"),
        (
            "{\"type\": \"network\"}",
            "{\"type\": \"time\"}",
            "linux.netDevices: there is no network namespace",
        ),
        (
            "\"nosuid\", \"strictatime\"",
            "\"idmap=uids=0-1-2\", \"strictatime\"",
            "mounts[1].options: idmap=uids=0-1-2 is not supported",
        ),
    ] {
        let error = refusal(from, to);
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn a_new_user_namespace_has_users_groups_and_a_root() {
    let with = |mappings: &str| {
        let text = DOCKER.replacen("{\"type\": \"ipc\"}", "{\"type\": \"user\"}", 1);
        plan(&text.replacen("\"maskedPaths\"", &format!("{mappings}, \"maskedPaths\""), 1)).unwrap_err().0
    };
    let one = |key: &str, first: u32| {
        format!("\"{key}Mappings\": [{{\"containerID\": {first}, \"hostID\": 1, \"size\": 1}}]")
    };
    assert_eq!(with(&one("uid", 0)), "linux.gidMappings: a user namespace has none");
    assert_eq!(with(&one("gid", 0)), "linux.uidMappings: a user namespace has none");
    let both = format!("{}, {}", one("uid", 0), one("gid", 1));
    assert_eq!(with(&both), "linux.gidMappings: 0, root of the user namespace, is in none");
}

#[test]
fn a_version_is_semver_and_a_device_has_a_number_that_can_be() {
    for version in ["1.0.0", "1.0.2-dev", "1.0.0-rc.5", "1.1.0+dev", "1.0.2-a.b-c+d"] {
        let text = DOCKER.replacen("\"1.2.0\"", &format!("{version:?}"), 1);
        plan(&text).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    for version in ["", "1", "1.0", "1..0", "1.0.0-", "1.0.0.0", "1.0.0-a..b", "10.0.0", "v1.0.0"] {
        let error = refusal("\"1.2.0\"", &format!("{version:?}"));
        assert!(error.starts_with("ociVersion: "), "{version}: {error}");
    }
    let with = |device: &str| {
        let list = format!("\"devices\": [{{\"path\": \"/dev/x\", {device}}}], \"maskedPaths\"");
        plan(&DOCKER.replacen("\"maskedPaths\"", &list, 1)).map(drop)
    };
    let refused = |device: &str| with(device).unwrap_err().0;
    assert_eq!(refused(r#""type": "c", "minor": 1"#), "linux.devices[0].major: is missing");
    assert_eq!(refused(r#""type": "b", "major": 1"#), "linux.devices[0].minor: is missing");
    let words = "linux.devices[0].major: 4294967297 is not from 0 to 4095";
    assert_eq!(refused(r#""type": "c", "major": 4294967297, "minor": 3"#), words);
    let words = "linux.devices[0].minor: 1048576 is not from 0 to 1048575";
    assert_eq!(refused(r#""type": "c", "major": 4095, "minor": 1048576"#), words);
    with(r#""type": "p""#).unwrap();
}

#[test]
fn a_destination_is_the_same_however_it_is_spelled() {
    let with = |destination: &str, options: &str| {
        let mount =
            format!("{{\"destination\": \"{destination}\", \"source\": \"/dev\", \"options\": [{options}]}}");
        plan(&DOCKER.replacen(
            "{\"destination\": \"/proc\"",
            &format!("{mount}, {{\"destination\": \"/proc\""),
            1,
        ))
    };
    for dev in ["/dev", "dev", "//dev/", "/./dev", "/a/../dev"] {
        let plan = with(dev, "\"rbind\"").unwrap();
        assert!(!plan.steps.iter().any(|step| matches!(step, Step::Device { .. })), "{dev}");
    }
    let error = with("a/../proc/./self", "\"bind\"").unwrap_err().0;
    assert!(error.starts_with("mounts[0].destination: "), "{error}");
    assert!(with("/proc/cpuinfo", "\"bind\"").is_ok());
}

#[test]
fn an_empty_path_makes_a_time_namespace_with_offsets() {
    let text = DOCKER.replacen("{\"type\": \"ipc\"}", "{\"type\": \"time\", \"path\": \"\"}", 1);
    let offsets = "\"timeOffsets\": {\"boottime\": {\"secs\": 5}}, \"maskedPaths\"";
    let plan = plan(&text.replacen("\"maskedPaths\"", offsets, 1)).unwrap();
    assert_eq!(plan.namespaces.time_offsets, "boottime 5 0\n");
}

#[test]
fn a_hint_that_the_kernel_has_not_is_left_out_with_a_warning() {
    let text = DOCKER.replacen("\"limit\": 67108864", "\"limit\": 67108864, \"swappiness\": 7", 1);
    let warned = plan(&text).unwrap().warnings.pop().unwrap().0;
    assert_eq!(
        warned,
        "linux.resources.memory.swappiness: 7: cgroup v2 has none of a cgroup's own, left out"
    );
}

#[test]
fn letters_of_a_devices_access_that_are_none_are_left_out_with_a_warning() {
    let of = |access: &str| {
        let mut config: spec::bundle::Config = serde_json::from_str(DOCKER).unwrap();
        let rule = serde_json::json!({ "type": "c", "major": 1, "minor": 11, "access": access });
        let resources = config.linux.as_mut().and_then(|linux| linux.resources.as_mut()).unwrap();
        resources.devices = vec![serde_json::from_value(rule).unwrap()];
        plan(&serde_json::to_string(&config).unwrap()).unwrap()
    };
    let (odd, plain) = (of("rwa"), of("rw"));
    assert_eq!(odd.cgroup, plain.cgroup);
    let words = odd.warnings.last().unwrap().0.as_str();
    let expected = "linux.resources.devices[0].access: \"rwa\": 'a' is none of r, w and m, left out";
    assert_eq!((words, plain.warnings.len()), (expected, 0));
}

#[test]
fn mappings_of_a_mount_are_whole_and_of_a_bind_mount() {
    let with = |kind: &str, options: &str, mappings: &str| {
        let mount = format!(
            "{{\"destination\": \"/d\", \"type\": \"{kind}\", \"source\": \"/s\", \"options\": [{options}], {mappings}}}"
        );
        refusal("{\"destination\": \"/proc\"", &format!("{mount}, {{\"destination\": \"/proc\""))
    };
    let one = |key: &str| format!("\"{key}\": [{{\"containerID\": 0, \"hostID\": 1, \"size\": 1}}]");
    assert_eq!(with("bind", "", &one("uidMappings")), "mounts[0].uidMappings: there are no gidMappings");
    assert_eq!(with("bind", "", &one("gidMappings")), "mounts[0].gidMappings: there are no uidMappings");
    let both = format!("{}, {}", one("uidMappings"), one("gidMappings"));
    assert_eq!(with("tmpfs", "", &both), "mounts[0].type: an idmapped mount is a bind mount");
}

#[test]
fn a_parameter_of_the_whole_host_is_refused() {
    let with = |key: &str| refusal("\"sysctl\": {", &format!("\"sysctl\": {{\"{key}\": \"1\", "));
    assert_eq!(with("vm.swappiness"), "linux.sysctl[\"vm.swappiness\"]: is not a parameter of a namespace");
    assert_eq!(with("kernel.panic"), "linux.sysctl[\"kernel.panic\"]: is not a parameter of a namespace");
    assert!(with("net/../vm/swappiness").contains("linux.sysctl"), "{}", with("net/../vm/swappiness"));
    let words = "linux.sysctl[\"user.max_pid_namespaces\"]: the container has no user namespace of its own";
    assert_eq!(with("user.max_pid_namespaces"), words);
    let words = "linux.sysctl[\"kernel/hostname\"]: conflicts with hostname, which is for that";
    assert_eq!(with("kernel/hostname"), words);
    let named = |value: &str| {
        let mut config: spec::bundle::Config = serde_json::from_str(DOCKER).unwrap();
        config.domainname = "given".into();
        let linux = config.linux.as_mut().unwrap();
        linux.sysctl.insert("kernel.domainname".into(), value.into());
        Plan::new(&config, &GIVEN).map(drop)
    };
    assert!(named("given").is_ok() && named("other").unwrap_err().0.contains("conflicts with domainname"));
}
