//! `linux.resources.blockIO`: weights, and rates in bytes or operations a second.

use super::{Absent, Write, refused, set, within};
use crate::error::{Error, Result};
use spec::bundle::{BlockIo, ThrottleDevice, WeightDevice};
use std::ops::RangeInclusive;

/// Weights of cgroup v1's `blkio`, and of BFQ.
const WEIGHTS: RangeInclusive<u16> = 10..=1000;

/// Files of the controller `io`.
pub fn writes(block_io: &BlockIo) -> Result<Vec<Write>> {
    no_leaf("blockIO", block_io.leaf_weight)?;
    let mut writes = Vec::new();
    if let Some(weight) = set(block_io.weight) {
        let weight = within("blockIO.weight", weight, WEIGHTS)?;
        writes.push(weighted(weight.to_string(), converted(weight).to_string()));
    }
    for (place, device) in block_io.weight_device.iter().enumerate() {
        writes.push(device_weight(&format!("blockIO.weightDevice[{place}]"), device)?);
    }
    let throttles = [
        ("throttleReadBpsDevice", "rbps", &block_io.throttle_read_bps_device),
        ("throttleWriteBpsDevice", "wbps", &block_io.throttle_write_bps_device),
        ("throttleReadIOPSDevice", "riops", &block_io.throttle_read_iops_device),
        ("throttleWriteIOPSDevice", "wiops", &block_io.throttle_write_iops_device),
    ];
    for (name, key, devices) in throttles {
        for (place, device) in devices.iter().enumerate() {
            writes.push(throttle(&format!("blockIO.{name}[{place}]"), key, device)?);
        }
    }
    Ok(writes)
}

/// BFQ's weight, or where the kernel has no BFQ, that of `io.weight`.
fn weighted(bfq: String, io: String) -> Write {
    let instead = Absent::Instead { file: "io.weight".to_owned(), value: io };
    Write::new("io.bfq.weight", bfq).if_absent(instead)
}

/// The weight of `io.weight`, 1 to 10000, of one of 10 to 1000: a straight line,
/// rounded down, as runc and crun draw it.
fn converted(weight: u16) -> u64 {
    1 + u64::from(weight - WEIGHTS.start()) * 9999 / 990
}

/// The weight on one device. With cgroup v1 a 0 gives it back to the cgroup's own.
fn device_weight(path: &str, device: &WeightDevice) -> Result<Write> {
    no_leaf(path, device.leaf_weight)?;
    let number = number(path, device.major, device.minor)?;
    let (bfq, io) = match device.weight {
        None => return Err(Error(format!("linux.resources.{path}: it has no weight"))),
        Some(0) => ("default".to_owned(), "default".to_owned()),
        Some(weight) => {
            let weight = within(&format!("{path}.weight"), weight, WEIGHTS)?;
            (weight.to_string(), converted(weight).to_string())
        }
    };
    Ok(weighted(format!("{number} {bfq}"), format!("{number} {io}")))
}

/// The kernel keeps the other keys of the device's line. With cgroup v1 a rate of
/// 0 is none, which `io.max` refuses (ERANGE).
fn throttle(path: &str, key: &str, device: &ThrottleDevice) -> Result<Write> {
    let number = number(path, device.major, device.minor)?;
    let rate = if device.rate == 0 { "max".to_owned() } else { device.rate.to_string() };
    Ok(Write::new("io.max", format!("{number} {key}={rate}")))
}

fn number(path: &str, major: i64, minor: i64) -> Result<String> {
    let all = 0..=i64::from(u32::MAX);
    within(&format!("{path}.major"), major, all.clone())?;
    within(&format!("{path}.minor"), minor, all)?;
    Ok(format!("{major}:{minor}"))
}

fn no_leaf(path: &str, weight: Option<u16>) -> Result<()> {
    match set(weight) {
        Some(weight) => Err(refused(&format!("{path}.leafWeight"), weight, "cgroup v2 has no such weight")),
        None => Ok(()),
    }
}
