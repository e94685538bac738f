//! `/stats/summary`: `Summary` of the kubelet's stats API, version v1alpha1.

use super::cgroup::{Pressure, Usage, Waited};
use super::network::Interface;
use super::rates::Rates;
use super::snapshot::{Files, Node, PodUsage, Snapshot, System};
use super::volumes::Claimed;
use crate::storage::Taken;
use serde_json::{Map, Value, json};
use spec::timestamp::rfc3339_seconds;
use std::path::Path;

/// The whole answer, of the pods that use something.
#[must_use]
pub fn summary(all: &Snapshot, name: &str, rates: &Rates) -> Value {
    let here = all.pods.iter().filter(|own| own.usage.is_some());
    let pods: Vec<Value> = here.map(|own| pod(own, all.node.files, rates)).collect();
    json!({ "node": node(&all.node, name, rates), "pods": pods })
}

/// Leaves of an answer what is about processors and memory (`only_cpu_and_memory`).
pub fn only_cpu_and_memory(answer: &mut Value) {
    const OTHERS: [&str; 10] = [
        "ephemeral-storage",
        "fs",
        "io",
        "logs",
        "network",
        "process_stats",
        "rlimit",
        "rootfs",
        "runtime",
        "volume",
    ];
    let lean = |value: &mut Value| {
        let fields = value.as_object_mut();
        fields.into_iter().for_each(|own| own.retain(|key, _| !OTHERS.contains(&key.as_str())));
    };
    let each = |list: &mut Value| list.as_array_mut().into_iter().flatten().for_each(lean);
    lean(&mut answer["node"]);
    each(&mut answer["node"]["systemContainers"]);
    each(&mut answer["pods"]);
    for pod in answer["pods"].as_array_mut().into_iter().flatten() {
        each(&mut pod["containers"]);
    }
}

fn node(own: &Node, name: &str, rates: &Rates) -> Value {
    let mut value = json!({
        "nodeName": name,
        "startTime": rfc3339_seconds(own.booted),
        "rlimit": {
            "time": moment(&own.usage),
            "maxpid": own.processes[0],
            "curproc": own.processes[1],
        },
    });
    let map = value.as_object_mut().into_iter();
    for map in map {
        usage(map, &own.usage, Path::new(""), own.booted, rates);
        if let Some(memory) = map.get_mut("memory").and_then(Value::as_object_mut) {
            memory.insert("availableBytes".into(), own.memory[1].into());
        }
        if let Some(swap) = map.get_mut("swap").and_then(Value::as_object_mut) {
            swap.insert("swapAvailableBytes".into(), own.swap.saturating_sub(own.usage.swap).into());
        }
        let parts = own.system.iter().map(|part| system(part, rates));
        map.insert("systemContainers".into(), parts.collect());
        let (interfaces, default) = &own.network;
        map.insert("network".into(), network(&own.usage, interfaces, default.as_deref()));
        if let Some(files) = own.files {
            let files = file_system(&own.usage, files, files.bytes[2]);
            map.insert("runtime".into(), json!({ "imageFs": files, "containerFs": files }));
            map.insert("fs".into(), files);
        }
    }
    value
}

fn system(own: &System, rates: &Rates) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), own.name.into());
    map.insert("startTime".into(), rfc3339_seconds(own.started).into());
    usage(&mut map, &own.usage, own.cgroup, own.started, rates);
    map.into()
}

fn pod(own: &PodUsage, files: Option<Files>, rates: &Rates) -> Value {
    let containers: Vec<Value> = own
        .containers
        .iter()
        .map(|(container, used, logs)| {
            let started = container.started.unwrap_or(0);
            let mut map = Map::new();
            map.insert("name".into(), container.name.clone().into());
            map.insert("startTime".into(), rfc3339_seconds(started).into());
            usage(&mut map, used, &container.cgroup, started, rates);
            if let Some(files) = files {
                let mut of_logs = file_system(used, files, logs[0]);
                of_logs["inodesUsed"] = logs[1].into();
                map.insert("logs".into(), of_logs);
                if let Some(root) = own.written.as_ref().and_then(|all| all.roots.get(&container.name)) {
                    map.insert("rootfs".into(), taken(used, files, *root));
                }
            }
            map.into()
        })
        .collect();
    let mut map = Map::new();
    let (name, namespace, uid) = (&own.pod.name, &own.pod.namespace, &own.pod.uid);
    map.insert("podRef".into(), json!({ "name": name, "namespace": namespace, "uid": uid }));
    map.insert("startTime".into(), rfc3339_seconds(own.pod.started).into());
    map.insert("containers".into(), containers.into());
    if let Some(used) = &own.usage {
        usage(&mut map, used, &own.pod.cgroup, own.pod.started, rates);
        map.insert("process_stats".into(), json!({ "process_count": used.pids }));
        if let (Some(files), Some(written)) = (files, &own.written) {
            let volume = |(name, own): (&String, &Taken)| {
                let mut value = taken(used, files, *own);
                value["name"] = name.as_str().into();
                value
            };
            let claimed = |own: &Claimed| {
                let mut value = file_system(used, own.files, own.files.bytes[2]);
                value["name"] = own.volume.as_str().into();
                value["pvcRef"] = json!({ "name": own.claim, "namespace": namespace });
                value
            };
            let in_memory = |(name, files): (&String, &Files)| {
                let mut value = file_system(used, *files, files.bytes[2]);
                value["name"] = name.as_str().into();
                value
            };
            let in_memory = written.in_memory.iter().map(in_memory);
            let volumes = written.volumes.iter().map(volume).chain(in_memory);
            let volumes = volumes.chain(own.claimed.iter().map(claimed));
            map.insert("volume".into(), volumes.collect());
            map.insert("ephemeral-storage".into(), taken(used, files, written.all()));
        }
        if !own.network.is_empty() {
            map.insert("network".into(), network(used, &own.network, Some("eth0")));
        }
    }
    map.into()
}

/// Seconds of a reading.
fn moment(usage: &Usage) -> String {
    rfc3339_seconds(usage.time / 1_000_000_000)
}

/// `cpu`, `memory`, `io`, `swap`.
fn usage(map: &mut Map<String, Value>, own: &Usage, cgroup: &Path, started: u64, rates: &Rates) {
    let time = moment(own);
    let pressure = |which: usize| own.pressure[which].map(psi);
    map.insert(
        "cpu".into(),
        without_none(json!({
            "time": time,
            "usageNanoCores": rates.of(cgroup, own.time, own.cpu[0], started),
            "usageCoreNanoSeconds": own.cpu[0] * 1000,
            "psi": pressure(0),
        })),
    );
    map.insert(
        "memory".into(),
        without_none(json!({
            "time": time,
            "availableBytes": own.limits[0].map(|limit| limit.saturating_sub(own.working_set)),
            "usageBytes": own.memory,
            "workingSetBytes": own.working_set,
            "rssBytes": own.anonymous,
            "pageFaults": own.faults[0],
            "majorPageFaults": own.faults[1],
            "psi": pressure(1),
        })),
    );
    map.insert("io".into(), without_none(json!({ "time": time, "psi": pressure(2) })));
    let available = own.limits[1].map(|limit| limit.saturating_sub(own.swap));
    map.insert(
        "swap".into(),
        without_none(json!({ "time": time, "swapAvailableBytes": available, "swapUsageBytes": own.swap })),
    );
}

fn without_none(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, own| !own.is_null());
    }
    value
}

fn psi(own: Pressure) -> Value {
    let of = |waited: Waited| {
        let [avg10, avg60, avg300] = waited.averages;
        // In nanoseconds here, in microseconds in the kernel's files.
        json!({ "total": waited.total * 1000, "avg10": avg10, "avg60": avg60, "avg300": avg300 })
    };
    json!({ "full": of(own.full), "some": of(own.some) })
}

fn network(usage: &Usage, interfaces: &[Interface], default: Option<&str>) -> Value {
    let of = |own: &Interface| {
        json!({
            "name": own.name,
            "rxBytes": own.received[0],
            "rxErrors": own.received[2],
            "txBytes": own.sent[0],
            "txErrors": own.sent[2],
        })
    };
    let own = interfaces.iter().find(|own| Some(own.name.as_str()) == default).or(interfaces.first());
    let mut value = own.map_or_else(|| json!({ "name": "" }), of);
    value["time"] = moment(usage).into();
    value["interfaces"] = interfaces.iter().map(of).collect();
    value
}

/// A part of a file system.
fn taken(usage: &Usage, files: Files, own: Taken) -> Value {
    let mut value = file_system(usage, files, own.bytes);
    value["inodesUsed"] = own.inodes.into();
    value
}

fn file_system(usage: &Usage, files: Files, used: u64) -> Value {
    json!({
        "time": moment(usage),
        "availableBytes": files.bytes[1],
        "capacityBytes": files.bytes[0],
        "usedBytes": used,
        "inodesFree": files.inodes[1],
        "inodes": files.inodes[0],
        "inodesUsed": files.inodes[2],
    })
}
