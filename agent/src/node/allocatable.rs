//! What all pods together may have (`kubepods`, "Reserve Compute Resources for System Daemons"): memory that is reserved
//! for the node's own programs stays theirs, whatever pods without limits do, and so do processors' time and tasks.

use super::eviction::of_tasks;
use super::facts;
use super::object::allocatable_cpus;
use super::report::Own;
use crate::events::Events;
use crate::pod::cgroup;
use crate::say::Trouble;
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

/// The cgroup of all pods.
const KUBEPODS: &str = "kubepods";

/// Between two attempts while pods have more than that.
const PAUSE: Duration = Duration::from_secs(60);

/// Bytes of memory that pods may have together: all but what is reserved, and half of it on the smallest machine.
fn memory(all: u64, reserved: u64) -> u64 {
    all.saturating_sub(reserved).max(all / 2)
}

/// What the cgroup of all pods is given: a file and its text each. What the kernel does not tell is no limit.
fn limits(own: &Own, tasks: u64) -> [(&'static str, String); 4] {
    let text = |most: u64| if most == 0 { "max".to_owned() } else { most.to_string() };
    let (cluster, machine) = (&own.cluster, &own.machine);
    let weight = cgroup::weight(Some(allocatable_cpus(cluster, machine).into()));
    [
        ("cpu.weight", weight.to_string()),
        // So that a pod can be ended which has taken all.
        ("pids.max", text(tasks - of_tasks(tasks))),
        // As a kubelet's NoSwap: memory that a pod has not is nowhere.
        ("memory.swap.max", "0".to_owned()),
        ("memory.max", text(memory(machine.memory, cluster.reserved_memory.0))),
    ]
}

/// Gives pods their limit together, once they have no more than that.
pub async fn enforce(own: &Own, events: &Events) {
    let mut trouble = Trouble::default();
    loop {
        let tasks = facts::most_tasks();
        match trouble.of("limit what all pods have", apply(&limits(own, tasks))) {
            Some(()) => {
                let words = "Updated Node Allocatable limit across pods";
                events.say_of_node(&own.name, true, "NodeAllocatableEnforced", words);
                return;
            }
            None => {
                let words = "Failed to update Node Allocatable Limits: see the log of the agent";
                events.say_of_node(&own.name, false, "FailedNodeAllocatableEnforcement", words);
                sleep(PAUSE).await;
            }
        }
    }
}

fn apply(limits: &[(&'static str, String)]) -> Result<(), String> {
    let at = cgroup::path(KUBEPODS);
    for (file, text) in limits {
        // A limit below what is in use would have the kernel kill at once.
        let used = fs::read_to_string(at.join("memory.current")).unwrap_or_default();
        let used: u64 = used.trim().parse().unwrap_or(0);
        if *file == "memory.max" && text.parse::<u64>().is_ok_and(|most| used > most) {
            return Err(format!("pods use {used} bytes of memory, and are to have {text} together"));
        }
        cgroup::put(&at, file, text)?;
    }
    Ok(())
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
        let [weight, tasks, swap, most] = limits(&own, 4000);
        assert_eq!(swap, ("memory.swap.max", "0".to_owned()));
        assert_eq!(weight, ("cpu.weight", "100".to_owned()));
        assert_eq!(tasks, ("pids.max", "3800".to_owned()));
        assert_eq!(most, ("memory.max", ((512_u64 - 24) << 20).to_string()));
        assert_eq!(memory(40 << 20, 24 << 20), 20 << 20, "a pod fits on the smallest machine");
    }
}
