//! A transient scope of systemd's as a container's cgroup (systemd.scope(5)): its name, and
//! its properties from the plan. Nothing is asked here.
//!
//! The limits are written to the cgroup's files in any case. systemd is told the same as
//! properties, or it would undo them when it next looks at the unit (`systemctl daemon-reload`).
//! What it has no property for it leaves alone, devices with it: it detaches no filter but its
//! own.

use super::{Absent, Write};
use crate::bus::{Property, Value};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A scope that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewScope {
    /// What it is called.
    pub scope: Scope,
    /// Its properties, all but the process that it begins with.
    pub properties: Vec<Property>,
}

/// A scope, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Such as `docker-abc.scope`.
    pub unit: String,
    /// It is the user's manager's, not the system's.
    pub user: bool,
}

/// What stands before the container's name when `linux.cgroupsPath` is empty.
const PREFIX: &str = "skerry";
/// Longest name of a unit.
const LONGEST: usize = 255;

/// The scope that `linux.cgroupsPath` names as `slice:prefix:name`. Without a slice it lies
/// where systemd puts services.
///
/// # Errors
/// What is wrong with the path.
pub fn plan(path: &str, id: &str, user: bool) -> Result<NewScope> {
    let wrong = |why: &str| Error(format!("linux.cgroupsPath: {path:?} {why}"));
    let parts: Vec<&str> = path.split(':').collect();
    let (slice, prefix, name) = match parts[..] {
        [""] => ("", PREFIX, id),
        [slice, prefix, name] => (slice, prefix, name),
        _ => return Err(wrong("is not slice:prefix:name, which --systemd-cgroup takes")),
    };
    let slice = match slice {
        "" if user => "user.slice",
        "" => "system.slice",
        slice => slice,
    };
    let dash = if prefix.is_empty() { "" } else { "-" };
    let unit = format!("{prefix}{dash}{name}.scope");
    if !is_slice(slice) {
        return Err(wrong("does not begin with the name of a slice"));
    }
    if name.is_empty() || !is_unit(&unit) {
        return Err(wrong("does not make the name of a unit"));
    }
    let properties = properties_of_all(id, slice);
    Ok(NewScope { scope: Scope { unit, user }, properties })
}

fn is_unit(name: &str) -> bool {
    let known = |letter: char| letter.is_ascii_alphanumeric() || ":-_.\\@".contains(letter);
    name.len() <= LONGEST && name.chars().all(known)
}

/// `a-b.slice` lies in `a.slice`, and `-.slice` is the root: every part between dashes is one.
fn is_slice(name: &str) -> bool {
    let parts = name.strip_suffix(".slice").filter(|_| is_unit(name));
    parts.is_some_and(|parts| parts == "-" || parts.split('-').all(|part| !part.is_empty()))
}

/// The container may have cgroups of its own below (`Delegate`), is not stopped before the
/// program that made it is (`DefaultDependencies`), and leaves no failed unit.
fn properties_of_all(id: &str, slice: &str) -> Vec<Property> {
    let texts = [
        ("Description", format!("container {id}")),
        ("Slice", slice.to_owned()),
        ("CollectMode", "inactive-or-failed".to_owned()),
    ];
    let switches = [
        ("Delegate", true),
        ("DefaultDependencies", false),
        ("CPUAccounting", true),
        ("MemoryAccounting", true),
        ("IOAccounting", true),
        ("TasksAccounting", true),
    ];
    let texts = texts.into_iter().map(|(name, text)| (name.to_owned(), Value::Text(text)));
    texts.chain(switches.map(|(name, on)| (name.to_owned(), Value::Bool(on)))).collect()
}

/// What systemd is told of what is written to the cgroup's files.
pub fn properties(writes: &[Write]) -> Vec<Property> {
    writes.iter().flat_map(of).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A value that is not understood here is left to the kernel to refuse.
fn of(write: &Write) -> Vec<(&'static str, Value)> {
    let (file, value) = match &write.absent {
        // systemd knows the weight of `io.weight` alone, and converts it for BFQ.
        Absent::Instead { file, value } => (file, value),
        _ => (&write.file, &write.value),
    };
    let one = |name: &'static str| number(value).map(|number| (name, Value::Uint64(number)));
    let list = |name: &'static str| bits(value).map(|bits| (name, Value::Bytes(bits)));
    let property = match file.as_str() {
        "memory.max" => one("MemoryMax"),
        "memory.high" => one("MemoryHigh"),
        "memory.low" => one("MemoryLow"),
        "memory.min" => one("MemoryMin"),
        "memory.swap.max" => one("MemorySwapMax"),
        "pids.max" => one("TasksMax"),
        "cpu.weight" => one("CPUWeight"),
        // A weight of 0 means idle to systemd.
        "cpu.idle" if value == "1" => Some(("CPUWeight", Value::Uint64(0))),
        "cpu.max" => return bandwidth(value).unwrap_or_default(),
        "cpuset.cpus" => list("AllowedCPUs"),
        "cpuset.mems" => list("AllowedMemoryNodes"),
        "io.weight" => weight(value),
        "io.max" => rate(value),
        _ => None,
    };
    property.into_iter().collect()
}

/// `max` is none to the kernel, and the greatest to systemd.
fn number(text: &str) -> Option<u64> {
    if text == "max" { Some(u64::MAX) } else { text.parse().ok() }
}

/// Microseconds of a second, and the period. systemd counts in whole percents, and the
/// container's own limit must fit into its: up to the next one.
fn bandwidth(text: &str) -> Option<Vec<(&'static str, Value)>> {
    const PERCENT: u64 = 10_000;
    let (quota, period) = text.split_once(' ')?;
    let (quota, period) = (number(quota)?, period.parse::<u64>().ok().filter(|period| *period > 0)?);
    let of_second = match quota {
        u64::MAX => quota,
        quota => quota.checked_mul(1_000_000)?.div_ceil(period).next_multiple_of(PERCENT),
    };
    Some(vec![
        ("CPUQuotaPerSecUSec", Value::Uint64(of_second)),
        ("CPUQuotaPeriodUSec", Value::Uint64(period)),
    ])
}

/// The kernel's files take no more than a page.
const LONGEST_LIST: usize = 4096;

/// A list such as `0-3,7` as bits, the first in the first byte's lowest.
fn bits(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST_LIST {
        return None;
    }
    let mut bits = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
        for bit in usize::from(first)..=usize::from(last) {
            bits.resize(bits.len().max(bit / 8 + 1), 0);
            bits[bit / 8] |= 1 << (bit % 8);
        }
    }
    Some(bits)
}

/// `100`, or `8:0 100` of one device.
fn weight(text: &str) -> Option<(&'static str, Value)> {
    let text = text.strip_prefix("default ").unwrap_or(text);
    match text.split_once(' ') {
        Some((device, weight)) => {
            Some(("IODeviceWeight", Value::Device(node(device)?, weight.parse().ok()?)))
        }
        None => Some(("IOWeight", Value::Uint64(text.parse().ok()?))),
    }
}

/// `8:0 rbps=1024`
fn rate(text: &str) -> Option<(&'static str, Value)> {
    let (device, (key, rate)) =
        text.split_once(' ').and_then(|(device, rest)| Some((device, rest.split_once('=')?)))?;
    let name = match key {
        "rbps" => "IOReadBandwidthMax",
        "wbps" => "IOWriteBandwidthMax",
        "riops" => "IOReadIOPSMax",
        "wiops" => "IOWriteIOPSMax",
        _ => return None,
    };
    Some((name, Value::Device(node(device)?, number(rate)?)))
}

fn node(number: &str) -> Option<String> {
    number.contains(':').then(|| format!("/dev/block/{number}"))
}
