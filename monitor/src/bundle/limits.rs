//! `resources` and `rlimits`: how much the container may have.

use spec::bundle::{Cpu, Memory, Pids, RLIMITS, Resources, Rlimit};
use spec::node::Container;
use spec::quantity::Bytes;

/// The period in which processor time is shared out, in microseconds.
const PERIOD: u64 = 100_000;

/// Open files: a modest soft limit, because some programs walk all up to it, and how far a
/// program may raise it.
const FILES: (u64, u64) = (1024, 524_288);

/// Limits of its cgroup.
pub fn resources(container: &Container) -> Result<Resources, String> {
    Ok(Resources {
        memory: memory(container)?,
        cpu: cpu(container)?,
        pids: container.pids.map(|pids| Pids { limit: Some(i64::from(pids)) }),
        ..Resources::default()
    })
}

fn memory(container: &Container) -> Result<Option<Memory>, String> {
    let bytes = |amount: Option<Bytes>| amount.map(|bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX));
    let (limit, swap) = (bytes(container.memory), bytes(container.memory_swap));
    let reservation = bytes(container.memory_reservation);
    match (limit, swap) {
        (None, Some(_)) => return Err("memory-swap without memory".to_owned()),
        (Some(limit), Some(swap)) if swap < limit => {
            return Err(format!("memory-swap = {swap}: below memory, which is a part of it"));
        }
        _ => {}
    }
    if let (Some(limit), Some(reservation)) = (limit, reservation)
        && reservation > limit
    {
        return Err(format!("memory-reservation = {reservation}: above memory"));
    }
    let any = limit.is_some() || reservation.is_some();
    Ok(any.then(|| Memory { limit, swap, reservation, ..Memory::default() }))
}

fn cpu(container: &Container) -> Result<Option<Cpu>, String> {
    let Container { cpus, cpu_shares: shares, cpuset_cpus, .. } = container;
    // The kernel's least quota is a millisecond.
    if let Some(cpus) = cpus.filter(|cpus| !(0.01..=8192.0).contains(cpus)) {
        return Err(format!("cpus = {cpus}: not between 0.01 and 8192"));
    }
    if let Some(shares) = shares.filter(|shares| !(2..=262_144).contains(shares)) {
        return Err(format!("cpu-shares = {shares}: not between 2 and 262144"));
    }
    let quota = cpus.map(|cpus| (cpus * PERIOD as f64).round() as i64);
    let period = quota.map(|_| PERIOD);
    let set = cpuset_cpus.clone().unwrap_or_default();
    let any = quota.is_some() || shares.is_some() || !set.is_empty();
    Ok(any.then(|| Cpu { quota, period, shares: *shares, cpus: set, ..Cpu::default() }))
}

/// Limits of each of its processes; `most_files` is what this node can give, if it cannot
/// give all.
pub fn rlimits(container: &Container, most_files: Option<u64>) -> Result<Vec<Rlimit>, String> {
    let mut limits = Vec::new();
    for (name, limit) in &container.ulimits {
        let upper = name.to_ascii_uppercase();
        if !RLIMITS.contains(&upper.as_str()) {
            return Err(format!("ulimits.{name}: there is no such limit"));
        }
        limits.push(Rlimit { kind: format!("RLIMIT_{upper}"), soft: limit.soft, hard: limit.hard });
    }
    if !limits.iter().any(|limit| limit.kind == "RLIMIT_NOFILE") {
        let hard = most_files.map_or(FILES.1, |most| most.min(FILES.1));
        limits.push(Rlimit { kind: "RLIMIT_NOFILE".into(), soft: FILES.0.min(hard), hard });
    }
    Ok(limits)
}
