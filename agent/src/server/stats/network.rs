//! Bytes over interfaces, of the node and of pods: `/proc/thread-self/net/dev` (proc(5)), which is of
//! the namespace that its thread is in.

use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::path::PathBuf;

/// The thread's stack, in bytes.
const STACK: usize = 128 * 1024;

/// An interface's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Bytes, packets, errors, drops that it received.
    pub received: [u64; 4],
    /// The same that it sent.
    pub sent: [u64; 4],
}

/// The interfaces of each of these namespaces, without the loopback. One thread enters one after
/// the other and ends; a namespace that cannot be entered has none.
pub fn of(namespaces: Vec<PathBuf>) -> Vec<Vec<Interface>> {
    let count = namespaces.len();
    let look = move || namespaces.into_iter().map(|path| enter(path).unwrap_or_default()).collect();
    let thread = std::thread::Builder::new().name("interfaces".into()).stack_size(STACK).spawn(look);
    let found = thread.ok().and_then(|thread| thread.join().ok());
    found.unwrap_or_else(|| vec![Vec::new(); count])
}

fn enter(path: PathBuf) -> Option<Vec<Interface>> {
    setns(File::open(path).ok()?, CloneFlags::CLONE_NEWNET).ok()?;
    Some(here())
}

/// The interfaces of this thread's namespace, without the loopback.
pub fn here() -> Vec<Interface> {
    parse(&fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default())
}

/// The interface of the default route.
pub fn default() -> Option<String> {
    let routes = fs::read_to_string("/proc/thread-self/net/route").ok()?;
    let is_default = |line: &&str| line.split_whitespace().nth(1) == Some("00000000");
    Some(routes.lines().find(is_default)?.split_whitespace().next()?.to_owned())
}

fn parse(text: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let numbers: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let four = |from: usize| numbers.get(from..from + 4)?.try_into().ok();
        Some(Interface { name: name.trim().to_owned(), received: four(0)?, sent: four(8)? })
    };
    text.lines().filter_map(interface).filter(|interface| interface.name != "lo").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_their_columns() {
        let text = "Inter-|   Receive                            |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n    \
            lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  \
            eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let eth0 = Interface { name: "eth0".into(), received: [10, 2, 3, 4], sent: [50, 6, 7, 8] };
        assert_eq!(parse(text), [eth0]);
        assert_eq!(of(vec!["/nowhere".into(), "/nowhere".into()]), [vec![], vec![]]);
    }
}
