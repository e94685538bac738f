//! The milestones of a boot, read off its console.
//!
//! The times there are the kernel's clock. The program that waits for the page reads
//! clock and counter together, which tells how far apart they are: both run at
//! 10⁹ a second.

use crate::machine::{memory, numbers};

/// What a boot took, in instructions since reset.
#[derive(Debug, PartialEq, Eq)]
pub struct Road {
    /// At PID 1's first instruction.
    pub pid1: u64,
    /// Which the steps that load modules took.
    pub modules: u64,
    /// Which the step that enters the root took.
    pub root: u64,
    /// At the moment at which the container's program runs.
    pub running: u64,
    /// At the moment at which the page is there.
    pub page: u64,
    /// PID 1's resident memory then, in bytes.
    pub memory: u64,
}

/// `first` and `served` are the lines that the program on the node writes.
pub fn read(first: &str, served: &str, console: &str) -> Option<Road> {
    let [pid1, services, clock] = numbers(first, "bench: ")[..] else { return None };
    let steps = steps(console);
    let took = |name: &str| took(&steps, name);
    let (running, _) = steps.iter().find(|(_, words)| words.starts_with("web: running"))?;
    Some(Road {
        pid1,
        modules: took("modules to reach the root")? + took("modules")?,
        root: took("root")?,
        running: (running + services).checked_sub(clock)?,
        page: *numbers(served, "served: ").first()?,
        memory: memory(served)?,
    })
}

/// Each line of PID 1, `[SECONDS] WORDS`, with its time in nanoseconds.
pub fn steps(console: &str) -> Vec<(u64, &str)> {
    let step = |line| {
        let (time, words) = str::strip_prefix(line, "[")?.split_once("] ")?;
        let (seconds, micros) = time.trim().split_once('.')?;
        let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
        Some(((seconds * 1_000_000 + micros) * 1000, words))
    };
    console.lines().filter_map(step).collect()
}

/// From the line before to the line of the step of this name, `NAME: … (N ms)`.
fn took(steps: &[(u64, &str)], name: &str) -> Option<u64> {
    let is_it = |words: &str| {
        let rest = words.strip_prefix(name).unwrap_or_default();
        words.ends_with(" ms)") && (rest.starts_with(" (") || rest.starts_with(": "))
    };
    let at = steps.iter().position(|(_, words)| is_it(words))?;
    steps[at].0.checked_sub(steps.get(at.checked_sub(1)?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "[    0.5] PCI: x\n[    1.000000] command line (0 ms)\n\
                           [    1.000020] modules to reach the root: 3 loaded (0 ms)\n\
                           [    1.000050] root: in memory (0 ms)\n[    1.000060] image (0 ms)\n\
                           [    1.000100] modules: 2 loaded (0 ms)\n[    1.000300] web: running (pid 9)\n";

    #[test]
    fn milestones_are_read_off_the_console() {
        // The clock is 1000 behind the counter.
        let (first, last) = ("bench: 3b9acdd0 3b9bb820 3b9bb438", "served: 3ba00000 3b9ffc18 1400 kB");
        let road = read(first, last, CONSOLE).unwrap();
        assert_eq!((road.modules, road.root), (20_000 + 40_000, 30_000));
        assert_eq!((road.running, road.page, road.memory), (1_000_301_000, 0x3ba0_0000, 1400 * 1024));
        assert_eq!(read(first, last, ""), None);
    }
}
