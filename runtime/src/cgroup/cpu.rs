//! `linux.resources.cpu`, times in microseconds. The bounds of times are those
//! of the kernel's `kernel/sched/core.c`.

use super::{Absent, Write, refused, set, within};
use crate::error::Result;
use spec::bundle::Cpu;
use std::ops::RangeInclusive;

/// cgroup v1's `MIN_SHARES` and `MAX_SHARES`.
const SHARES: RangeInclusive<u64> = 2..=1 << 18;
/// A period of `cpu.max`.
const PERIODS: RangeInclusive<u64> = 1_000..=1_000_000;
/// What a period is when nothing is said.
const USUAL_PERIOD: u64 = 100_000;
/// A quota of `cpu.max`.
const QUOTAS: RangeInclusive<i64> = 1_000..=(1 << 44) - 1;

/// Files of the controllers `cpu` and `cpuset`.
pub fn writes(cpu: &Cpu) -> Result<Vec<Write>> {
    no_realtime(cpu)?;
    let mut writes = priority(cpu)?;
    writes.extend(bandwidth(cpu)?);
    writes.extend(processors(cpu));
    Ok(writes)
}

fn no_realtime(cpu: &Cpu) -> Result<()> {
    let why = "cgroup v2 has no such limit";
    if let Some(period) = set(cpu.realtime_period) {
        return Err(refused("cpu.realtimePeriod", period, why));
    }
    match set(cpu.realtime_runtime) {
        Some(runtime) => Err(refused("cpu.realtimeRuntime", runtime, why)),
        None => Ok(()),
    }
}

/// `cpu.idle` and `cpu.weight`. An idle cgroup has no weight: the kernel refuses
/// one (EINVAL) and forgets the one before.
fn priority(cpu: &Cpu) -> Result<Vec<Write>> {
    let idle = cpu.idle.map(|idle| within("cpu.idle", idle, 0..=1)).transpose()?;
    // The nearest, as cgroup v1's kernel and runc take it.
    let shares = set(cpu.shares).map(|shares| shares.clamp(*SHARES.start(), *SHARES.end()));
    let shares = shares.filter(|_| idle != Some(1));
    // Where there is no such file (before Linux 5.15) nothing is idle.
    let idle = idle.map(|idle| {
        Write::new("cpu.idle", idle).if_absent(if idle == 0 { Absent::Skip } else { Absent::Refuse })
    });
    let weight = shares.map(|shares| Write::new("cpu.weight", weight(shares)));
    Ok(idle.into_iter().chain(weight).collect())
}

/// The weight, 1 to 10000, of shares, 2 to 262144.
///
/// The specification has no formula. This is the one of runc since 1.3.2 and
/// crun since 1.23: it leads from the least to the least, from the usual 1024 to
/// the usual 100 and from the most to the most. The older, straight line
/// `1 + (shares - 2) * 9999 / 262142` made 39 of 1024, so that a container with
/// the usual shares had less than half the time of a program beside it.
fn weight(shares: u64) -> u64 {
    if shares <= *SHARES.start() {
        return 1;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    (10_f64.powf(exponent).ceil() as u64).min(10_000)
}

/// `cpu.max` and `cpu.max.burst`. The kernel refuses a burst above the quota at
/// any moment: where both change, the burst goes away first.
fn bandwidth(cpu: &Cpu) -> Result<Vec<Write>> {
    let max = max(cpu)?.map(|max| Write::new("cpu.max", max));
    let burst = |burst: u64| Write::new("cpu.max.burst", burst);
    let (Some(most), quota) = (cpu.burst, cpu.quota.unwrap_or(0)) else {
        return Ok(max.into_iter().collect());
    };
    if quota > 0 && most > quota as u64 {
        return Err(refused("cpu.burst", most, format!("above cpu.quota, {quota}")));
    }
    Ok(match max {
        None => vec![burst(most)],
        Some(max) if most == 0 => vec![burst(0), max],
        Some(max) => vec![burst(0), max, burst(most)],
    })
}

/// Quota and period; where one is given, both are written.
fn max(cpu: &Cpu) -> Result<Option<String>> {
    let quota = match set(cpu.quota) {
        // Whatever is below 0 is no limit to all peers.
        None | Some(..0) => "max".to_owned(),
        Some(quota) => within("cpu.quota", quota, QUOTAS)?.to_string(),
    };
    let period = set(cpu.period).map(|period| within("cpu.period", period, PERIODS)).transpose()?;
    let given = set(cpu.quota).is_some() || period.is_some();
    Ok(given.then(|| format!("{quota} {}", period.unwrap_or(USUAL_PERIOD))))
}

/// Lists such as `0-3,7`, which the kernel reads itself.
fn processors(cpu: &Cpu) -> impl Iterator<Item = Write> {
    let lists = [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)];
    lists.into_iter().filter(|(_, list)| !list.is_empty()).map(|(file, list)| Write::new(file, list))
}
