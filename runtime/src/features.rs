//! `features`: what this runtime can do (`features.md`), told from the tables
//! that the code itself uses.

use crate::cgroup::annotation::PREFIX;
use crate::error::{Context, Result};
use crate::plan::{memory_policy_flags, memory_policy_modes, mount_option_names};
use crate::seccomp;
use serde_json::json;
use spec::bundle::{CAPABILITIES, NamespaceKind, OCI_VERSION};

/// The features as JSON.
///
/// # Errors
/// None that can happen.
pub fn features() -> Result<String> {
    let namespaces: Vec<&str> = NamespaceKind::ALL.iter().map(|kind| kind.name()).collect();
    let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let flags: Vec<&str> = seccomp::FLAGS.iter().map(|(name, _)| *name).collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": mount_option_names(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": false, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": seccomp::ARCHITECTURES,
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": true },
            "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
            "memoryPolicy": { "modes": memory_policy_modes(), "flags": memory_policy_flags() },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "annotations": { "io.skerry.runtime.version": env!("CARGO_PKG_VERSION") },
        "potentiallyUnsafeConfigAnnotations": [PREFIX],
    });
    serde_json::to_string_pretty(&features).context(|| "write the features".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Given, Plan};
    use serde_json::Value;

    const DOCUMENT: &str = include_str!("../../docs/runtime.md");

    const GIVEN: Given<'_> = Given {
        id: "abc",
        bundle: "/bundle",
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
        listen_fds: 0,
        systemd_cgroup: false,
        is_rootless: || false,
    };

    /// A configuration that asks for one thing more at a JSON pointer.
    fn plan(pointer: &str, value: Value) -> Result<Plan> {
        let mut config = json!({
            "ociVersion": OCI_VERSION,
            "process": { "args": ["true"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
            "root": { "path": "rootfs" },
            "mounts": [],
            "linux": { "namespaces": [{ "type": "mount" }, { "type": "network" }], "resources": {} },
        });
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value;
        Plan::new(&serde_json::from_value(config).unwrap(), &GIVEN)
    }

    /// The JSON paths in the last column of the table of what is refused.
    fn refused() -> Vec<&'static str> {
        let (_, rest) = DOCUMENT.split_once("\n## Refused by its JSON path\n").unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        let last = rows.map(|row| row.trim_end_matches('|').rsplit('|').next().unwrap());
        let paths: Vec<&str> = last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        assert!(!paths.is_empty(), "the table is there");
        paths
    }

    fn told() -> Value {
        serde_json::from_str(&features().unwrap()).unwrap()
    }

    #[test]
    fn what_features_enables_is_planned_and_not_in_the_table_of_what_is_refused() {
        let map = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
        let mount = json!([{ "destination": "/a", "source": "/b", "options": ["bind", "idmap"],
            "uidMappings": map, "gidMappings": map }]);
        let asks = [
            ("/apparmor/enabled", "process.apparmorProfile", "/process/apparmorProfile", json!("x")),
            ("/selinux/enabled", "process.selinuxLabel", "/process/selinuxLabel", json!("x")),
            ("/selinux/enabled", "linux.mountLabel", "/linux/mountLabel", json!("x")),
            ("/intelRdt/enabled", "linux.intelRdt", "/linux/intelRdt", json!({})),
            ("/netDevices/enabled", "linux.netDevices", "/linux/netDevices", json!({ "eth0": {} })),
            ("/mountExtensions/idmap/enabled", "mounts[].uidMappings", "/mounts", mount),
            (
                "/cgroup/v1",
                "linux.resources.network",
                "/linux/resources/network",
                json!({ "priorities": [{ "name": "a", "priority": 1 }] }),
            ),
        ];
        for (feature, path, pointer, value) in asks {
            let enabled = told()["linux"].pointer(feature).and_then(Value::as_bool).unwrap();
            let planned = plan(pointer, value).map(drop);
            assert_eq!(planned.is_ok(), enabled, "{feature}: {planned:?}");
            assert_eq!(refused().contains(&path), !enabled, "{feature}: {path} in docs/runtime.md");
        }
    }

    #[test]
    fn annotations_that_are_obeyed_are_told() {
        let given = Given { systemd_cgroup: true, ..GIVEN };
        let mut config: spec::bundle::Config =
            serde_json::from_str(include_str!("plan/tests/docker.json")).unwrap();
        config.linux.as_mut().unwrap().cgroups_path.clear();
        let properties = |config: &spec::bundle::Config| {
            Plan::new(config, &given).unwrap().cgroup.scope.unwrap().properties
        };
        let before = properties(&config);
        let told = told()["potentiallyUnsafeConfigAnnotations"].clone();
        let prefix = told[0].as_str().filter(|prefix| prefix.ends_with('.')).unwrap().to_owned();
        config.annotations.insert(format!("{prefix}CollectMode"), "'inactive'".to_owned());
        assert_ne!(properties(&config), before);
    }

    #[test]
    fn what_the_table_says_is_refused_by_that_path() {
        let map = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
        let mount = |options: Value| json!([{ "destination": "/a", "type": "proc", "options": options }]);
        let samples = [
            ("mounts[].destination", "/mounts", json!([{ "destination": "/", "type": "tmpfs" }])),
            (
                "mounts[].destination",
                "/mounts",
                json!([{ "destination": "/proc/a", "source": "/b", "type": "bind" }]),
            ),
            (
                "mounts[].type",
                "/mounts",
                json!([{ "destination": "/a", "type": "tmpfs", "uidMappings": map, "gidMappings": map }]),
            ),
            ("process.scheduler.policy", "/process/scheduler", json!({ "policy": "SCHED_ISO" })),
            ("linux.resources.blockIO", "/linux/resources/blockIO", json!({ "leafWeight": 10 })),
            (
                "linux.resources.blockIO",
                "/linux/resources/blockIO",
                json!({ "weightDevice": [{ "major": 8, "minor": 0, "weight": 10, "leafWeight": 10 }] }),
            ),
            ("mounts[].options", "/mounts", mount(json!(["tmpcopyup"]))),
            ("mounts[].options", "/mounts", mount(json!(["idmap=uids=0-1-2"]))),
            ("linux.namespaces", "/linux/namespaces", json!([{ "type": "user" }])),
            ("linux.resources.network", "/linux/resources/network", json!({ "classID": 1 })),
            ("linux.resources.unified", "/linux/resources/unified", json!({ "cgroup.kill": "1" })),
            ("linux.resources.memory", "/linux/resources/memory", json!({ "kernelTCP": 1 })),
            ("linux.resources.cpu", "/linux/resources/cpu", json!({ "realtimeRuntime": 1 })),
        ];
        for path in refused() {
            assert!(samples.iter().any(|(sample, ..)| *sample == path), "{path}: no sample of it");
        }
        for (path, pointer, value) in samples {
            assert!(refused().contains(&path), "{path} is not in docs/runtime.md");
            let error = plan(pointer, value).unwrap_err().0.replace("[0]", "[]");
            assert!(error.starts_with(path), "{path}: {error}");
        }
    }

    #[test]
    fn every_action_operator_mode_and_namespace_that_is_told_is_planned() {
        let linux = &told()["linux"];
        let each = |pointer: &str| linux.pointer(pointer).and_then(Value::as_array).unwrap().clone();
        for action in each("/seccomp/actions") {
            let rule = json!([{ "names": ["read"], "action": action }]);
            let profile =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/agent", "syscalls": rule });
            plan("/linux/seccomp", profile).unwrap();
        }
        for mode in each("/memoryPolicy/modes") {
            let (none, some) = (json!({ "mode": mode }), json!({ "mode": mode, "nodes": "0" }));
            let either =
                plan("/linux/memoryPolicy", none).is_ok() || plan("/linux/memoryPolicy", some).is_ok();
            assert!(either, "{mode}");
        }
        for kind in each("/namespaces").into_iter().filter(|kind| kind != "user") {
            let namespaces = json!([{ "type": "mount", "path": "/a" }, { "type": kind, "path": "/b" }]);
            let namespaces = if kind == "mount" { json!([{ "type": kind }]) } else { namespaces };
            plan("/linux/namespaces", namespaces).unwrap();
        }
    }
}
