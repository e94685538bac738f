//! `linux.resources.memory`, in bytes.
//!
//! What cgroup v2 cannot do is an error (`config-linux.md`, Unified), as with crun.
//! 0, -1 and `false` ask for nothing: programs that know no better write them.
//! `swappiness` is a hint rather than a limit, and left out with a warning.
//! `useHierarchy` is always so.

use super::{Absent, Write, limit, refused, set};
use crate::error::{Error, Result};
use spec::bundle::Memory;

/// Swap before memory: what a lower limit drives out of memory must not go to
/// swap that the container shall not have.
pub fn writes(memory: &Memory) -> Result<Vec<Write>> {
    no_killer_off(memory)?;
    no_kernel(memory)?;
    let most = set(memory.limit).map(|most| limit("memory.limit", most)).transpose()?;
    let swap = swap(memory.limit.unwrap_or(0), memory.swap.unwrap_or(0))?;
    let low = set(memory.reservation).map(|low| limit("memory.reservation", low)).transpose()?;
    let swap = swap.map(|swap| {
        // Without swap there is none to have.
        let vain = swap == "max" || swap == "0";
        Write::new("memory.swap.max", swap).if_absent(if vain { Absent::Skip } else { Absent::Refuse })
    });
    let rest = [("memory.max", most), ("memory.low", low)];
    let rest = rest.into_iter().filter_map(|(file, value)| Some(Write::new(file, value?)));
    Ok(swap.into_iter().chain(rest).collect())
}

/// What is left out.
pub fn warnings(memory: &Memory) -> Vec<Error> {
    let why = "cgroup v2 has none of a cgroup's own, left out";
    memory.swappiness.iter().map(|value| refused("memory.swappiness", value, why)).collect()
}

fn no_killer_off(memory: &Memory) -> Result<()> {
    match set(memory.disable_oom_killer) {
        Some(off) => Err(refused("memory.disableOOMKiller", off, "cgroup v2 always kills")),
        None => Ok(()),
    }
}

fn no_kernel(memory: &Memory) -> Result<()> {
    let given = [("memory.kernel", memory.kernel), ("memory.kernelTCP", memory.kernel_tcp)];
    match given.into_iter().find_map(|(path, most)| Some((path, most.filter(|most| *most > 0)?))) {
        Some((path, most)) => Err(refused(path, most, "cgroup v2 counts it towards memory.limit")),
        None => Ok(()),
    }
}

/// `swap` is memory and swap together, `memory.swap.max` is swap alone. The same
/// cases as `ConvertMemorySwapToCgroupV2Value` of runc's `cgroups`.
fn swap(memory: i64, both: i64) -> Result<Option<String>> {
    let path = "memory.swap";
    match (memory, both) {
        // As cgroup v1, which has no swap limit either then.
        (-1, 0) => Ok(Some("max".to_owned())),
        (_, 0) => Ok(None),
        (-1, _) | (_, ..0) => limit(path, both).map(Some),
        (0, _) => Err(refused(path, both, "memory and swap together, which needs memory.limit")),
        _ if both < memory => {
            let why = format!("memory and swap together, below memory.limit, {memory}");
            Err(refused(path, both, why))
        }
        _ => Ok(Some((both - memory).to_string())),
    }
}
