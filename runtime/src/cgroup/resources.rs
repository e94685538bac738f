//! `linux.resources` from its beginning to its end, and the smaller parts of it.

use super::{Absent, Write, block_io, cpu, devices, limit, memory, refused, set};
use crate::error::{Error, Result};
use spec::bundle::{HugepageLimit, NetworkClass, Pids, Rdma, Resources};
use std::collections::BTreeMap;

/// What is written to the cgroup's folder, in this order.
///
/// # Errors
/// A value that cannot be had, by its JSON path.
pub fn writes(resources: &Resources) -> Result<Vec<Write>> {
    resources.network.as_ref().map_or(Ok(()), no_network)?;
    let parts = [
        resources.pids.as_ref().map(pids),
        resources.memory.as_ref().map(memory::writes),
        resources.block_io.as_ref().map(block_io::writes),
        resources.cpu.as_ref().map(cpu::writes),
        Some(hugepages(&resources.hugepage_limits)),
        Some(rdma(&resources.rdma)),
        Some(unified(&resources.unified)),
    ];
    let parts: Vec<Vec<Write>> = parts.into_iter().flatten().collect::<Result<_>>()?;
    Ok(parts.concat())
}

/// What is asked for and left out.
pub fn warnings(resources: &Resources) -> Vec<Error> {
    let of_memory = resources.memory.iter().flat_map(memory::warnings);
    of_memory.chain(devices::warnings(&resources.devices)).collect()
}

/// Processes and threads. A container of none could not be started with
/// CLONE_INTO_CGROUP: 0 is the one that is there and no more, as with runc.
fn pids(pids: &Pids) -> Result<Vec<Write>> {
    let most = pids.limit.map(|most| limit("pids.limit", if most == 0 { 1 } else { most })).transpose()?;
    Ok(most.map(|most| Write::new("pids.max", most)).into_iter().collect())
}

/// Bytes that are used, and bytes that are reserved where the kernel counts those.
fn hugepages(limits: &[HugepageLimit]) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (place, HugepageLimit { page_size, limit }) in limits.iter().enumerate() {
        if !is_page_size(page_size) {
            let path = format!("hugepageLimits[{place}].pageSize");
            return Err(refused(&path, format!("{page_size:?}"), "not a size such as 2MB"));
        }
        writes.push(Write::new(format!("hugetlb.{page_size}.max"), limit));
        writes.push(Write::new(format!("hugetlb.{page_size}.rsvd.max"), limit).if_absent(Absent::Skip));
    }
    Ok(writes)
}

/// It becomes part of a file's name: a number and `KB`, `MB` or `GB`.
fn is_page_size(text: &str) -> bool {
    let number = ["KB", "MB", "GB"].into_iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// A line for each device.
fn rdma(devices: &BTreeMap<String, Rdma>) -> Result<Vec<Write>> {
    let line = |(device, limits): (&String, &Rdma)| {
        let path = format!("linux.resources.rdma[{device:?}]");
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Error(format!("{path}: not a device")));
        }
        let keys = [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)];
        let pairs = keys.into_iter().filter_map(|(key, most)| Some(format!(" {key}={}", countable(most?))));
        let pairs: String = pairs.collect();
        if pairs.is_empty() {
            return Err(Error(format!("{path}: it has neither hcaHandles nor hcaObjects")));
        }
        Ok(Write::new("rdma.max", format!("{device}{pairs}")))
    };
    devices.iter().map(line).collect()
}

/// The kernel counts to `i32::MAX`, which it calls `max`, and takes no more.
fn countable(most: u32) -> String {
    if most < i32::MAX as u32 { most.to_string() } else { "max".to_owned() }
}

/// The hierarchy's own files that limit something. The others freeze, kill or move processes, the runtime's among them.
const LIMITS: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// Files as they are. Those of many devices take one line at a time.
fn unified(files: &BTreeMap<String, String>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (file, value) in files {
        let named = file.split_once('.').is_some_and(|(start, rest)| !start.is_empty() && !rest.is_empty());
        if !named || file.contains(['/', '\0']) {
            return Err(Error(format!("linux.resources.unified[{file:?}]: not a file such as memory.high")));
        }
        if file.starts_with("cgroup.") && !LIMITS.contains(&&**file) {
            return Err(Error(format!("linux.resources.unified[{file:?}]: is no limit")));
        }
        if value.contains('\n') {
            let lines = value.lines().filter(|line| !line.is_empty());
            writes.extend(lines.map(|line| Write::new(file, line)));
        } else {
            writes.push(Write::new(file, value));
        }
    }
    Ok(writes)
}

/// Packet classes are cgroup v1's alone; class 0 is none.
fn no_network(network: &NetworkClass) -> Result<()> {
    let why = "cgroup v2 has no packet classes";
    if let Some(class) = set(network.class_id) {
        return Err(refused("network.classID", class, why));
    }
    match network.priorities.first() {
        Some(first) => Err(refused("network.priorities[0]", &first.name, why)),
        None => Ok(()),
    }
}
