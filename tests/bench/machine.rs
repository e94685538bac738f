//! The machine on which instructions are counted: the same for every PID 1.

use ::tests::{Failure, Result};
use qemu::{Machine, Vm};
use std::path::Path;
use std::time::Duration;

/// No chance in it: no random addresses, and no calibration of clocks against the
/// emulated ones.
pub const WORDS: &str = "console=ttyS0 nokaslr quiet no_timer_check tsc_early_khz=1000000";

/// How far two runs of the same may be apart: a longer command line alone is 0.07 %.
const APART: f64 = 0.003;

/// An emulated second may take a few real ones; the whole of a boot comes in well below.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Starts one.
pub fn start(kernel: &Path, initramfs: &Path, memory: u32) -> Result<Vm> {
    let machine = Machine::microvm().memory(memory).counted().patience(PATIENCE);
    Ok(machine.kernel(kernel, initramfs, WORDS).start()?)
}

/// Measures twice and gives the first result; an error when `count` of the second
/// is not the same within 0.3 %.
pub fn repeated<T>(what: &str, measure: impl Fn() -> Result<T>, count: impl Fn(&T) -> u64) -> Result<T> {
    let (one, other) = (measure()?, measure()?);
    let (first, second) = (count(&one), count(&other));
    let apart = first.abs_diff(second);
    if apart as f64 > first as f64 * APART {
        let words = format!("{what}: {first} instructions, then {second}: this cannot be repeated");
        return Err(Failure::new(words));
    }
    println!("{what}: {first} instructions; a repeat is {apart} off");
    Ok(one)
}

/// The hexadecimal numbers of a line of the benchmark's own programs.
pub fn numbers(line: &str, begin: &str) -> Vec<u64> {
    let text = line.split_once(begin).map_or("", |(_, text)| text);
    text.split_whitespace().map_while(|word| u64::from_str_radix(word, 16).ok()).collect()
}

/// The memory at the end of such a line, `… 1234 kB`, in bytes.
pub fn memory(line: &str) -> Option<u64> {
    let kib: u64 = line.strip_suffix(" kB")?.rsplit(' ').next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_numbers() {
        assert_eq!(numbers("x bench: 0f 10", "bench: "), [15, 16]);
        assert_eq!(numbers("nothing", "bench: "), [0; 0]);
    }

    #[test]
    fn what_cannot_be_repeated_is_an_error() {
        let next = std::cell::Cell::new(1000);
        let measure = || Ok(next.replace(next.get() + 4));
        assert!(repeated("x", measure, |&count| count).is_err());
        assert_eq!(repeated("x", || Ok(7), |&count| count).unwrap(), 7);
    }
}
