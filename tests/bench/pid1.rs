//! From a PID 1's first instruction to the first one of its service, and its memory at
//! rest: ours and the peers', on the same kernel.

use crate::guest::{Programs, folder};
use crate::machine::{memory, numbers, repeated, start};
use crate::measurement::{Measurement, Table, Unit};
use crate::peers::{self, BUSYBOX, OURS, Peer};
use ::tests::{Failure, Result, programs};
use std::fs;
use std::path::Path;

/// What it costs at most beside busybox init, in instructions.
const AIM: u64 = 3_000_000;
/// Most resident memory, in bytes.
pub const MOST_MEMORY: u64 = 1_500_000;
/// Greatest program, in bytes.
const MOST_PROGRAM: u64 = 14 * 1024 * 1024 / 10;

/// What one PID 1 costs.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    memory: u64,
}

/// Boots all of them.
pub fn measure(guest: &Programs, kernel: &Path) -> Result<Table> {
    let mut costs = Vec::new();
    for peer in peers::all(guest)? {
        let cost = repeated(peer.name, || cost(&peer, kernel), |cost| cost.instructions)?;
        costs.push((peer.name, cost));
    }
    let program = fs::metadata(programs().join("init"))?.len();
    Ok(Table {
        name: "pid1",
        title: "PID 1: from its first instruction to its service's",
        rows: vec![
            compared("instructions", Unit::Instructions, &costs, |cost| cost.instructions)?
                .within("the aim", AIM),
            compared("resident memory", Unit::Memory, &costs, |cost| cost.memory)?
                .within("the bar", MOST_MEMORY),
            Measurement::new("program", Unit::Size, program).within("the bar", MOST_PROGRAM),
        ],
    })
}

fn cost(peer: &Peer, kernel: &Path) -> Result<Cost> {
    let initramfs = folder().join(format!("{}.cpio", peer.name.replace(' ', "-")));
    fs::write(&initramfs, &peer.initramfs)?;
    let vm = start(kernel, &initramfs, 256)?;
    let line = vm.console().wait_for("bench: ")?;
    read(&line).ok_or_else(|| Failure::new(format!("{}: not a measurement: {line}", peer.name)))
}

/// Reads `bench: START END KIB kB`, of which the last number is decimal.
fn read(line: &str) -> Option<Cost> {
    let [start, end, ..] = numbers(line, "bench: ")[..] else { return None };
    Some(Cost { instructions: end.checked_sub(start)?, memory: memory(line)? })
}

fn compared(
    name: &'static str,
    unit: Unit,
    costs: &[(&'static str, Cost)],
    of: impl Fn(&Cost) -> u64,
) -> Result<Measurement> {
    let ours = costs.iter().find(|(name, _)| *name == OURS);
    let (_, ours) = ours.ok_or_else(|| Failure::new("ours was not measured"))?;
    let peers = costs.iter().filter(|(name, _)| *name != OURS);
    Ok(peers.fold(Measurement::new(name, unit, of(ours)), |row, (peer, cost)| {
        match *peer == BUSYBOX && unit == Unit::Instructions {
            true => row.within(peer, of(cost)),
            false => row.beside(peer, of(cost)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_payload_is_read() {
        let line = "bench: 0000000000000010 0000000000000030 1372 kB";
        assert_eq!(read(line), Some(Cost { instructions: 32, memory: 1372 * 1024 }));
        assert_eq!(read("bench: 0000000000000030 0000000000000010 1 kB"), None);
        assert_eq!(read("bench: ..."), None);
    }
}
