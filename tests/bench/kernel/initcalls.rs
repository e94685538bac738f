//! Where a kernel's instructions go: its initialisers, as `initcall_debug` tells of them by the
//! kernel's clock, which runs at 10⁹ instructions a second.

use super::{name_of, start};
use crate::measurement::{Measurement, Table, Unit};
use ::tests::{Board, Failure, Result};
use std::path::Path;

/// How many the table has.
const SHOWN: usize = 20;

/// Boots once more and lists the longest.
pub fn measure(board: Board, kernel: &Path, initramfs: &Path) -> Result<Table> {
    let vm = start(board, kernel, initramfs, 256, " initcall_debug log_buf_len=4M")?;
    vm.console().wait_for("end of log")?;
    let log = vm.console().text();
    let mut calls = read(&log);
    if calls.is_empty() {
        return Err(Failure::new("the kernel tells of no initcall"));
    }
    let all = calls.iter().map(|(_, nanoseconds)| nanoseconds).sum();
    calls.sort_by_key(|(_, nanoseconds)| std::cmp::Reverse(*nanoseconds));
    let row = |(name, nanoseconds): &(&str, u64)| Measurement::new(*name, Unit::Instructions, *nanoseconds);
    let mut rows: Vec<_> = calls.iter().take(SHOWN).map(row).collect();
    rows.push(Measurement::new(format!("all {}", calls.len()), Unit::Instructions, all));
    Ok(match name_of(board) {
        "microvm" => Table { name: "initcalls-microvm", title: "Initcalls on a microvm, the longest", rows },
        _ => Table { name: "initcalls-q35", title: "Initcalls on a q35, the longest", rows },
    })
}

/// Each `initcall NAME+OFFSET/LENGTH returned RESULT after N usecs`, in nanoseconds.
fn read(log: &str) -> Vec<(&str, u64)> {
    let call = |line| {
        let (_, rest) = str::split_once(line, "initcall ")?;
        let (name, rest) = rest.split_once('+')?;
        let (_, rest) = rest.split_once(" after ")?;
        let micros: u64 = rest.split_once(" usecs")?.0.parse().ok()?;
        Some((name, micros * 1000))
    };
    log.lines().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initcalls_are_read_off_the_log() {
        let log = "<7>[    0.1] calling  a+0x0/0x10 @ 1\n<7>[    0.2] initcall a+0x0/0x10 returned 0 after 1234 usecs\nx\n";
        assert_eq!(read(log), [("a", 1_234_000)]);
    }
}
