//! What containers use now, from their cgroups' files, and their processes.

use super::Monitor;
use super::talk::{Outcome, Talk, Then, failure};
use crate::kernel;
use crate::life::{State, Time};
use spec::monitor::{Code, Reply, Stats};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Between two rounds for those who follow.
const ROUND: Duration = Duration::from_secs(1);

impl Monitor {
    pub(super) fn stats(&mut self, names: Vec<String>, follow: bool) -> Outcome {
        for name in &names {
            self.which(name)?;
        }
        let reply = self.round(&names);
        if !follow {
            return Ok(Then::Reply(reply));
        }
        self.round.get_or_insert(kernel::now());
        Ok(Then::Talk(Talk::Stats(names)))
    }

    fn round(&self, names: &[String]) -> Reply {
        let asked: Vec<usize> = names.iter().filter_map(|name| self.which(name).ok()).collect();
        let runs =
            |index: &usize| matches!(self.known(*index).map(|own| own.state), Some(State::Running { .. }));
        let wanted = if names.is_empty() { self.cells.indices() } else { asked };
        let containers = wanted.into_iter().filter(runs).map(|index| self.usage(index)).collect();
        Reply::Stats { containers }
    }

    fn usage(&self, index: usize) -> Stats {
        let cell = &self.cells[index];
        let read = |file: &str| fs::read_to_string(cell.cgroup().join(file)).unwrap_or_default();
        let number = |file: &str| read(file).trim().parse::<u64>().ok();
        let io = read("io.stat");
        let cache = field(&read("memory.stat"), "inactive_file").unwrap_or(0);
        let whole = || {
            field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or(0) << 10
        };
        // One in the node's network has no interfaces of its own.
        let own_network =
            cell.container.as_ref().is_some_and(|own| own.network() != spec::node::ContainerNetwork::Host);
        let process = cell.observed.state.process().filter(|_| own_network);
        let network = process.map(|process| fs::read_to_string(format!("/proc/{}/net/dev", process.pid)));
        Stats {
            name: cell.name.to_string(),
            id: cell.id(),
            time: kernel::nanoseconds(),
            cpu: field(&read("cpu.stat"), "usage_usec").unwrap_or(0),
            memory: number("memory.current").unwrap_or(0).saturating_sub(cache),
            memory_limit: number("memory.max").unwrap_or_else(whole),
            pids: number("pids.current").unwrap_or_else(|| kernel::members(&cell.cgroup()).len() as u64),
            block: (sum(&io, "rbytes="), sum(&io, "wbytes=")),
            network: network.and_then(Result::ok).map_or((0, 0), |text| traffic(&text)),
        }
    }

    /// The next round for those who follow, when its time has come; gives that of the one after.
    pub(super) fn stats_due(&mut self) -> Option<Time> {
        let due = self.round?;
        let follows = |(number, (client, talk)): (&usize, &(crate::client::Client, Talk))| match talk {
            Talk::Stats(names) if !client.ending => Some((*number, names.clone(), client.is_empty())),
            _ => None,
        };
        let all: Vec<_> = self.clients.iter().filter_map(follows).collect();
        if all.is_empty() {
            self.round = None;
            return None;
        }
        if kernel::now() < due {
            return Some(due);
        }
        for (number, names, reads) in all {
            // Who has not read the last round gets none.
            let reply = self.round(&names);
            if let Some(client) = self.client(number).filter(|_| reads) {
                client.say(&reply);
            }
        }
        self.round = Some(kernel::now() + ROUND);
        self.round
    }

    pub(super) fn top(&mut self, index: usize) -> Outcome {
        let cell = &self.cells[index];
        if !matches!(cell.observed.state, State::Running { .. } | State::Stopping { .. }) {
            let message = format!("top of container {:?}: it does not run", &*cell.name);
            return Err(failure(Code::State, message));
        }
        let mut pids = Vec::new();
        processes(&cell.cgroup(), &mut pids);
        pids.sort_unstable();
        Ok(Then::Reply(Reply::Processes { pids }))
    }
}

/// Those of a cgroup and of all below it.
fn processes(cgroup: &Path, pids: &mut Vec<i32>) {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    pids.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes(&entry.path(), pids);
        }
    }
}

/// The number behind a word at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The sum of `KEY=NUMBER` over all lines.
fn sum(text: &str, key: &str) -> u64 {
    text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
}

/// Bytes received and sent by all interfaces but the loopback (`/proc/PID/net/dev`).
fn traffic(text: &str) -> (u64, u64) {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let own = lines.filter(|(name, _)| name.trim() != "lo");
    let counts = own.filter_map(|(_, rest)| {
        let words: Vec<&str> = rest.split_whitespace().collect();
        Some((words.first()?.parse::<u64>().ok()?, words.get(8)?.parse::<u64>().ok()?))
    });
    counts.fold((0, 0), |(received, sent), (more, out)| (received + more, sent + out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel_are_read() {
        assert_eq!(field("usage_usec 1234\nuser_usec 5\n", "usage_usec"), Some(1234));
        assert_eq!(field("MemTotal:       24 kB\n", "MemTotal:"), Some(24));
        assert_eq!(field("", "usage_usec"), None);
        let io = "8:0 rbytes=100 wbytes=7 rios=1\n8:16 rbytes=1 wbytes=0 rios=9\n";
        assert_eq!((sum(io, "rbytes="), sum(io, "wbytes=")), (101, 7));
        let dev =
            "Inter-|   Receive\n face |bytes\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 70 1\n";
        assert_eq!(traffic(dev), (100, 70));
    }
}
