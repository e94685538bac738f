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
    /// At the first instruction of the program that waits for the page.
    pub services: u64,
    /// The console's line when the container could not be started.
    pub container: Result<Served, String>,
}

/// The end of the road.
#[derive(Debug, PartialEq, Eq)]
pub struct Served {
    /// The container's program runs.
    pub running: u64,
    /// The page is there.
    pub page: u64,
    /// PID 1's resident memory then, in bytes.
    pub memory: u64,
}

/// `served` is the last line of the program on the node, or why there is none.
pub fn read(first: &str, served: Result<String, String>, console: &str) -> Option<Road> {
    let [pid1, services, clock] = numbers(first, "bench: ")[..] else { return None };
    let steps = steps(console);
    let took = |name: &str| took(&steps, name);
    let container = match served {
        Ok(line) => {
            let page = *numbers(&line, "served: ").first()?;
            let (time, _) = steps.iter().find(|(_, words)| words.starts_with("web: running"))?;
            Ok(Served { running: (time + services).checked_sub(clock)?, page, memory: memory(&line)? })
        }
        Err(words) => Err(words),
    };
    let modules = took("modules to reach the root")? + took("modules")?;
    Some(Road { pid1, modules, root: took("root")?, services, container })
}

/// Each line of PID 1, `[SECONDS] WORDS`, with its time in nanoseconds.
fn steps(console: &str) -> Vec<(u64, &str)> {
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
        let road = read(first, Ok(last.into()), CONSOLE).unwrap();
        assert_eq!((road.modules, road.root), (20_000 + 40_000, 30_000));
        let served = Served { running: 1_000_301_000, page: 0x3ba0_0000, memory: 1400 * 1024 };
        assert_eq!(road.container, Ok(served));
    }

    #[test]
    fn a_road_without_a_container_ends_at_the_services() {
        let first = "bench: 3b9acdd0 3b9bb820 3b9bb438";
        let road = read(first, Err("web: not started".into()), CONSOLE).unwrap();
        assert_eq!((road.services, road.container), (0x3b9b_b820, Err("web: not started".into())));
        assert_eq!(read(first, Err(String::new()), ""), None);
    }
}
