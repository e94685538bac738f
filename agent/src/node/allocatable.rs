//! What all pods together may have (`kubepods`, "Reserve Compute Resources for System Daemons"): memory that is reserved
//! for the node's own programs stays theirs, whatever pods without limits do, and so do processors' time and tasks.

use super::eviction::of_tasks;
use super::facts::{self, KUBEPODS};
use super::object::allocatable_cpus;
use super::report::Own;
use crate::events::Events;
use crate::pod::cgroup;
use crate::say::Trouble;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How often the limits are written: what runs beside pods changes, and pods may have more than they are to have.
const PAUSE: Duration = Duration::from_secs(60);

/// The file of the limit without which nothing is kept from pods.
const MEMORY: &str = "memory.max";

/// Bytes of memory that pods may have together: all but what is reserved, and half of it on the smallest machine; whole
/// pages, as the kernel counts.
fn memory(all: u64, reserved: u64) -> u64 {
    all.saturating_sub(reserved).max(all / 2) / 4096 * 4096
}

/// Tasks that pods may have together: all but those that others have, and a share with which a pod can be ended that has
/// taken all; half of them on the smallest machine.
fn tasks(most: u64, others: u64) -> u64 {
    most.saturating_sub(of_tasks(most)).saturating_sub(others).max(most / 2)
}

/// What the cgroup of all pods is given: a file and its text each. What the kernel does not tell is no limit.
fn limits(own: &Own, most_tasks: u64, others: u64) -> [(&'static str, String); 4] {
    let text = |most: u64| if most == 0 { "max".to_owned() } else { most.to_string() };
    let (cluster, machine) = (&own.cluster, &own.machine);
    let weight = cgroup::weight(Some(allocatable_cpus(cluster, machine).into()));
    [
        ("cpu.weight", weight.to_string()),
        ("pids.max", text(tasks(most_tasks, others))),
        // As a kubelet's NoSwap: memory that a pod has not is nowhere.
        ("memory.swap.max", "0".to_owned()),
        (MEMORY, text(memory(machine.memory, cluster.reserved_memory.0))),
    ]
}

/// Gives pods their limit together, once they have no more than that, and again while the agent runs.
pub async fn enforce(own: &Arc<Own>, events: &Events) {
    let mut trouble = Trouble::default();
    // How it went the last time; none before the first.
    let mut before: Option<Result<(), String>> = None;
    loop {
        let this = own.clone();
        // The kernel takes its time to make memory free.
        let applied = spawn_blocking(move || apply_all(&this)).await.map_err(|error| error.to_string());
        let applied = applied.and_then(|applied| applied);
        if before.as_ref() != Some(&applied) {
            let (well, reason, words) = match &applied {
                Ok(()) => {
                    (true, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods".into())
                }
                Err(why) => {
                    let words = format!("Failed to update Node Allocatable Limits: {why}");
                    (false, "FailedNodeAllocatableEnforcement", words)
                }
            };
            events.say_of_node(&own.name, well, reason, words);
            before = Some(applied.clone());
        }
        trouble.of("limit what all pods have", applied);
        sleep(PAUSE).await;
    }
}

fn apply_all(own: &Own) -> Result<(), String> {
    let at = cgroup::path(KUBEPODS);
    if !at.join(MEMORY).exists() {
        cgroup::make_classes()?;
    }
    let others = facts::tasks().saturating_sub(number(&at, "pids.current"));
    apply(&at, &limits(own, facts::most_tasks(), others))
}

fn apply(at: &Path, limits: &[(&'static str, String)]) -> Result<(), String> {
    if !at.join(MEMORY).exists() {
        return Err(format!("{} has no {MEMORY}: the kernel does not limit memory there", at.display()));
    }
    for (file, text) in limits {
        // What holds stays; pods that are at their limit have a little more for moments.
        if fs::read_to_string(at.join(file)).is_ok_and(|now| now.trim() == text) {
            continue;
        }
        if *file == MEMORY {
            make_room(at, text)?;
        }
        cgroup::put(at, file, text)?;
    }
    Ok(())
}

/// Has no more in use than there is to be. Files' pages go; for the rest the kernel would kill as soon as there is a
/// limit below it.
fn make_room(at: &Path, most: &str) -> Result<(), String> {
    let Ok(most) = most.parse::<u64>() else { return Ok(()) };
    let used = || number(at, "memory.current");
    let excess = used().saturating_sub(most);
    if excess > 0 {
        // It fails when less became free than that; how much it was is seen below.
        let _ = cgroup::put(at, "memory.reclaim", &excess.to_string());
    }
    match used() > most {
        true => Err(format!("pods use more memory than the {most} bytes that they are to have together")),
        false => Ok(()),
    }
}

/// The number in a file of a cgroup, or 0.
fn number(at: &Path, file: &str) -> u64 {
    fs::read_to_string(at.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::facts::Machine;
    use spec::node::Cluster;

    #[test]
    fn what_is_reserved_is_not_the_pods() {
        let own = Own {
            cluster: Cluster::default(),
            name: "n".to_owned(),
            addresses: Vec::new(),
            machine: Machine { cpus: 1, memory: 512 << 20, ..Machine::default() },
        };
        let [weight, pids, swap, most] = limits(&own, 4000, 300);
        assert_eq!(swap, ("memory.swap.max", "0".to_owned()));
        assert_eq!(weight, ("cpu.weight", "100".to_owned()));
        assert_eq!(pids, ("pids.max", "3500".to_owned()));
        assert_eq!(most, ("memory.max", ((512_u64 - 24) << 20).to_string()));
        assert_eq!(memory(40 << 20, 24 << 20), 20 << 20, "a pod fits on the smallest machine");
        assert_eq!([tasks(380, 100), tasks(380, 300), tasks(0, 9)], [265, 190, 0]);
    }

    #[test]
    fn no_limit_is_told_of_that_is_not_there() {
        let at = std::env::temp_dir().join(format!("skerry-allocatable-{}", std::process::id()));
        let _ = fs::remove_dir_all(&at);
        let limits = [("pids.max", "7".to_owned()), (MEMORY, "100".to_owned())];
        assert!(apply(&at, &limits).unwrap_err().contains("has no memory.max"));
        fs::create_dir_all(&at).unwrap();
        assert!(apply(&at, &limits).unwrap_err().contains("has no memory.max"));
        for (file, text) in [(MEMORY, "max\n"), ("memory.current", "101\n"), ("memory.reclaim", "")] {
            fs::write(at.join(file), text).unwrap();
        }
        let read = |file: &str| fs::read_to_string(at.join(file)).unwrap();
        assert!(apply(&at, &limits).unwrap_err().contains("pods use more memory than the 100 bytes"));
        assert_eq!((read("memory.reclaim"), read(MEMORY)), ("1".to_owned(), "max\n".to_owned()));
        fs::write(at.join("memory.current"), "100\n").unwrap();
        fs::write(at.join(MEMORY), "").unwrap();
        assert_eq!((apply(&at, &limits), read(MEMORY)), (Ok(()), "100".to_owned()));
        fs::write(at.join("memory.current"), "101\n").unwrap();
        assert_eq!(apply(&at, &limits), Ok(()), "it holds");
        assert!(!at.join("pids.max").exists(), "a controller that the kernel has not");
        fs::remove_dir_all(&at).unwrap();
    }
}
