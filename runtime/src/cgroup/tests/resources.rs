//! What is written for which limits.

use super::super::resources::writes;
use super::super::{Absent, Write};
use super::read;

/// The writes as words: `file=value`, `?` when it may be absent, `|` before what
/// is written instead.
fn words(json: &str) -> Vec<String> {
    let word = |Write { file, value, absent }: Write| match absent {
        Absent::Refuse => format!("{file}={value}"),
        Absent::Skip => format!("{file}={value}?"),
        Absent::Instead { file: other, value: instead } => format!("{file}={value}|{other}={instead}"),
    };
    writes(&read(json)).unwrap_or_else(|error| panic!("{json}: {error}")).into_iter().map(word).collect()
}

/// Each line of limits beside its writes.
fn check(table: &[(&str, &[&str])]) {
    for (json, expected) in table {
        assert_eq!(words(json), *expected, "{json}");
    }
}

#[test]
fn nothing_and_zero_write_nothing() {
    check(&[
        ("{}", &[]),
        (r#"{"memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "network": {}, "unified": null}"#, &[]),
        (r#"{"memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0}}"#, &[]),
        (
            r#"{"cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0}}"#,
            &[],
        ),
        (r#"{"blockIO": {"weight": 0, "leafWeight": 0}, "network": {"classID": 0}}"#, &[]),
    ]);
}

#[test]
fn memory() {
    check(&[
        (r#"{"memory": {"limit": 1000}}"#, &["memory.max=1000"]),
        (r#"{"memory": {"limit": -1}}"#, &["memory.swap.max=max?", "memory.max=max"]),
        (r#"{"memory": {"limit": -1, "swap": -1}}"#, &["memory.swap.max=max?", "memory.max=max"]),
        (r#"{"memory": {"limit": -1, "swap": 700}}"#, &["memory.swap.max=700", "memory.max=max"]),
        (r#"{"memory": {"limit": 1000, "swap": 1500}}"#, &["memory.swap.max=500", "memory.max=1000"]),
        (r#"{"memory": {"limit": 1000, "swap": 1000}}"#, &["memory.swap.max=0?", "memory.max=1000"]),
        (r#"{"memory": {"limit": 1000, "swap": -1}}"#, &["memory.swap.max=max?", "memory.max=1000"]),
        (r#"{"memory": {"limit": 1000, "swap": 0}}"#, &["memory.max=1000"]),
        (r#"{"memory": {"swap": -1}}"#, &["memory.swap.max=max?"]),
        (r#"{"memory": {"limit": 9, "reservation": 5}}"#, &["memory.max=9", "memory.low=5"]),
        (r#"{"memory": {"reservation": -1}}"#, &["memory.low=max"]),
        (r#"{"memory": {"limit": 9223372036854775807}}"#, &["memory.max=9223372036854775807"]),
        (r#"{"memory": {"kernel": -1, "kernelTCP": 0, "swappiness": 60, "useHierarchy": true}}"#, &[]),
        (r#"{"memory": {"disableOOMKiller": false, "checkBeforeUpdate": true}}"#, &[]),
    ]);
}

#[test]
fn shares_become_the_weight_of_the_same_rank() {
    let table = [
        (1, 1),
        (2, 1),
        (3, 2),
        (10, 4),
        (100, 17),
        (256, 35),
        (512, 59),
        (1000, 99),
        (1024, 100),
        (1025, 101),
        (2048, 174),
        (4096, 303),
        (10_240, 639),
        (100_000, 4340),
        (262_143, 10_000),
        (262_144, 10_000),
        (u64::MAX, 10_000),
    ];
    for (shares, weight) in table {
        let json = format!(r#"{{"cpu": {{"shares": {shares}}}}}"#);
        assert_eq!(words(&json), [format!("cpu.weight={weight}")], "{shares}");
    }
}

#[test]
fn processor_time() {
    check(&[
        (r#"{"cpu": {"quota": 50000, "period": 200000}}"#, &["cpu.max=50000 200000"]),
        (r#"{"cpu": {"quota": 1000}}"#, &["cpu.max=1000 100000"]),
        (r#"{"cpu": {"quota": -1}}"#, &["cpu.max=max 100000"]),
        (r#"{"cpu": {"quota": -9999}}"#, &["cpu.max=max 100000"]),
        (r#"{"cpu": {"quota": -1, "period": 1000}}"#, &["cpu.max=max 1000"]),
        (r#"{"cpu": {"period": 1000000}}"#, &["cpu.max=max 1000000"]),
        (r#"{"cpu": {"burst": 7}}"#, &["cpu.max.burst=7"]),
        (r#"{"cpu": {"burst": 0}}"#, &["cpu.max.burst=0"]),
        (r#"{"cpu": {"burst": 0, "quota": 1000}}"#, &["cpu.max.burst=0", "cpu.max=1000 100000"]),
        (
            r#"{"cpu": {"burst": 1000, "quota": 1000}}"#,
            &["cpu.max.burst=0", "cpu.max=1000 100000", "cpu.max.burst=1000"],
        ),
    ]);
}

#[test]
fn an_idle_cgroup_gets_no_weight() {
    check(&[
        (r#"{"cpu": {"idle": 1, "shares": 512}}"#, &["cpu.idle=1"]),
        (r#"{"cpu": {"idle": 0, "shares": 512}}"#, &["cpu.idle=0?", "cpu.weight=59"]),
    ]);
}

#[test]
fn processors_and_processes() {
    check(&[
        (r#"{"cpu": {"cpus": "0-3,7", "mems": "0"}}"#, &["cpuset.cpus=0-3,7", "cpuset.mems=0"]),
        (r#"{"cpu": {"mems": "0-1"}}"#, &["cpuset.mems=0-1"]),
        (r#"{"pids": {"limit": 32771}}"#, &["pids.max=32771"]),
        (r#"{"pids": {"limit": -1}}"#, &["pids.max=max"]),
        (r#"{"pids": {"limit": 0}}"#, &["pids.max=1"]),
    ]);
}

#[test]
fn weights_of_block_devices() {
    for (weight, io) in [(10, 1), (11, 11), (100, 910), (500, 4950), (999, 9989), (1000, 10_000)] {
        let json = format!(
            r#"{{"blockIO": {{"weight": {weight},
                "weightDevice": [{{"major": 8, "minor": 16, "weight": {weight}}}]}}}}"#
        );
        let whole = format!("io.bfq.weight={weight}|io.weight={io}");
        let device = format!("io.bfq.weight=8:16 {weight}|io.weight=8:16 {io}");
        assert_eq!(words(&json), [whole, device]);
    }
    let none = r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 0}]}}"#;
    assert_eq!(words(none), ["io.bfq.weight=8:0 default|io.weight=8:0 default"]);
}

#[test]
fn rates_of_block_devices() {
    let json = r#"{"blockIO": {
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}, {"major": 259, "minor": 3, "rate": 7}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 18446744073709551615}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 300}]}}"#;
    let lines =
        ["8:0 rbps=600", "259:3 rbps=7", "8:0 wbps=18446744073709551615", "8:16 riops=max", "8:16 wiops=300"];
    assert_eq!(words(json), lines.map(|line| format!("io.max={line}")));
}

#[test]
fn huge_pages_and_rdma() {
    check(&[
        (
            r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 209715200}, {"pageSize": "64KB", "limit": 0}]}"#,
            &[
                "hugetlb.2MB.max=209715200",
                "hugetlb.2MB.rsvd.max=209715200?",
                "hugetlb.64KB.max=0",
                "hugetlb.64KB.rsvd.max=0?",
            ],
        ),
        (
            r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 2147483646}}}"#,
            &["rdma.max=mlx4_0 hca_object=2147483646", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"],
        ),
        (r#"{"rdma": {"a": {"hcaHandles": 4294967295}}}"#, &["rdma.max=a hca_handle=max"]),
    ]);
}

#[test]
fn unified_comes_last_and_line_by_line() {
    check(&[
        (
            r#"{"unified": {"memory.max": "7", "cpu.max": "max"}, "memory": {"limit": 9}, "rdma": {"a": {"hcaHandles": 1}}}"#,
            &["memory.max=9", "rdma.max=a hca_handle=1", "cpu.max=max", "memory.max=7"],
        ),
        (
            r#"{"unified": {"io.max": "259:0 rbps=2097152 wiops=120\n253:0 rbps=1\n"}}"#,
            &["io.max=259:0 rbps=2097152 wiops=120", "io.max=253:0 rbps=1"],
        ),
        (r#"{"unified": {"cgroup.max.depth": "3"}}"#, &["cgroup.max.depth=3"]),
        (r#"{"unified": {"cpuset.cpus": ""}}"#, &["cpuset.cpus="]),
    ]);
}
