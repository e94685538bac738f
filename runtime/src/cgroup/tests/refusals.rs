//! What cannot be had, and the words for it.

use super::super::devices::program;
use super::super::resources::writes;
use super::read;

fn check(table: &[(&str, &str)]) {
    for (json, expected) in table {
        let resources = read(json);
        let error = writes(&resources).map(|_| ()).and_then(|()| program(&resources.devices).map(|_| ()));
        assert_eq!(error.expect_err(json).0, format!("linux.resources{expected}"), "{json}");
    }
}

#[test]
fn memory_and_processes() {
    check(&[
        (r#"{"memory": {"limit": -2}}"#, ".memory.limit: -2: below -1, which is no limit"),
        (r#"{"memory": {"limit": 9, "swap": -2}}"#, ".memory.swap: -2: below -1, which is no limit"),
        (r#"{"memory": {"reservation": -3}}"#, ".memory.reservation: -3: below -1, which is no limit"),
        (r#"{"memory": {"swap": 5}}"#, ".memory.swap: 5: memory and swap together, which needs memory.limit"),
        (
            r#"{"memory": {"limit": 9, "swap": 8}}"#,
            ".memory.swap: 8: memory and swap together, below memory.limit, 9",
        ),
        (
            r#"{"memory": {"disableOOMKiller": true}}"#,
            ".memory.disableOOMKiller: true: cgroup v2 always kills",
        ),
        (r#"{"memory": {"kernel": 5}}"#, ".memory.kernel: 5: cgroup v2 counts it towards memory.limit"),
        (r#"{"memory": {"kernelTCP": 5}}"#, ".memory.kernelTCP: 5: cgroup v2 counts it towards memory.limit"),
        (r#"{"pids": {"limit": -2}}"#, ".pids.limit: -2: below -1, which is no limit"),
    ]);
}

#[test]
fn processors() {
    check(&[
        (r#"{"cpu": {"quota": 999}}"#, ".cpu.quota: 999: not from 1000 to 17592186044415"),
        (r#"{"cpu": {"period": 999}}"#, ".cpu.period: 999: not from 1000 to 1000000"),
        (r#"{"cpu": {"period": 1000001}}"#, ".cpu.period: 1000001: not from 1000 to 1000000"),
        (r#"{"cpu": {"quota": 1000, "burst": 1001}}"#, ".cpu.burst: 1001: above cpu.quota, 1000"),
        (r#"{"cpu": {"idle": 2}}"#, ".cpu.idle: 2: not from 0 to 1"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, ".cpu.realtimeRuntime: 1: cgroup v2 has no such limit"),
        (r#"{"cpu": {"realtimePeriod": 1}}"#, ".cpu.realtimePeriod: 1: cgroup v2 has no such limit"),
    ]);
}

#[test]
fn block_devices() {
    check(&[
        (r#"{"blockIO": {"weight": 9}}"#, ".blockIO.weight: 9: not from 10 to 1000"),
        (r#"{"blockIO": {"weight": 1001}}"#, ".blockIO.weight: 1001: not from 10 to 1000"),
        (r#"{"blockIO": {"leafWeight": 10}}"#, ".blockIO.leafWeight: 10: cgroup v2 has no such weight"),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}"#,
            ".blockIO.weightDevice[0]: it has no weight",
        ),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 5}]}}"#,
            ".blockIO.weightDevice[0].weight: 5: not from 10 to 1000",
        ),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 50, "leafWeight": 50}]}}"#,
            ".blockIO.weightDevice[0].leafWeight: 50: cgroup v2 has no such weight",
        ),
        (
            r#"{"blockIO": {"throttleReadIOPSDevice": [{"major": -1, "minor": 0, "rate": 1}]}}"#,
            ".blockIO.throttleReadIOPSDevice[0].major: -1: not from 0 to 4294967295",
        ),
    ]);
}

#[test]
fn the_rest() {
    check(&[
        (
            r#"{"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]}"#,
            r#".hugepageLimits[0].pageSize: "../2MB": not a size such as 2MB"#,
        ),
        (
            r#"{"hugepageLimits": [{"pageSize": "MB", "limit": 1}]}"#,
            r#".hugepageLimits[0].pageSize: "MB": not a size such as 2MB"#,
        ),
        (r#"{"rdma": {"a": {}}}"#, r#".rdma["a"]: it has neither hcaHandles nor hcaObjects"#),
        (r#"{"rdma": {"a b": {"hcaHandles": 1}}}"#, r#".rdma["a b"]: not a device"#),
        (
            r#"{"unified": {"../memory.max": "1"}}"#,
            r#".unified["../memory.max"]: not a file such as memory.high"#,
        ),
        (r#"{"unified": {"..": "1"}}"#, r#".unified[".."]: not a file such as memory.high"#),
        (r#"{"unified": {"memory": "1"}}"#, r#".unified["memory"]: not a file such as memory.high"#),
        (r#"{"unified": {"cgroup.freeze": "1"}}"#, r#".unified["cgroup.freeze"]: is no limit"#),
        (r#"{"unified": {"cgroup.procs": "0"}}"#, r#".unified["cgroup.procs"]: is no limit"#),
        (r#"{"network": {"classID": 5}}"#, ".network.classID: 5: cgroup v2 has no packet classes"),
        (
            r#"{"network": {"priorities": [{"name": "eth0", "priority": 1}]}}"#,
            ".network.priorities[0]: eth0: cgroup v2 has no packet classes",
        ),
    ]);
}

#[test]
fn devices() {
    check(&[
        (r#"{"devices": [{}, {"type": "u"}]}"#, r#".devices[1].type: "u": not a, b or c"#),
        (r#"{"devices": [{"access": "ax"}]}"#, r#".devices[0].access: "ax": not some of r, w and m"#),
        (r#"{"devices": [{"access": ""}]}"#, r#".devices[0].access: "": not some of r, w and m"#),
        (
            r#"{"devices": [{"type": "c", "major": -2}]}"#,
            ".devices[0].major: -2: not a device number, nor -1 for every one",
        ),
        (
            r#"{"devices": [{"type": "c", "minor": 4294967296}]}"#,
            ".devices[0].minor: 4294967296: not a device number, nor -1 for every one",
        ),
    ]);
}
