//! `update`: other limits, another restart policy.

use super::{Node, containers};
use crate::arguments::{Update, swap_that_follows};
use crate::error::{Error, Result};
use spec::monitor::{self, Reply, Request};
use spec::node::Container;
use spec::quantity::Bytes;

/// `skerry update`
pub fn update(node: &Node<'_>, asked: &Update) -> Result<()> {
    let limits = asked.resources.change(Container::of("-"))?;
    let restart =
        asked.restart.as_deref().map(|text| crate::arguments::parse("--restart", text)).transpose()?;
    let change = monitor::Update {
        name: String::new(),
        memory: limits.memory,
        memory_swap: limits.memory_swap,
        memory_reservation: limits.memory_reservation,
        cpus: limits.cpus,
        cpu_shares: limits.cpu_shares,
        cpuset_cpus: limits.cpuset_cpus,
        pids: limits.pids,
        restart,
    };
    if !change.has_limits() && restart.is_none() {
        return Err(Error::new(
            "update: nothing is to be changed; --memory, --cpus, --restart and others say what",
        ));
    }
    containers::each(&asked.containers, |name| {
        let memory_swap = change.memory_swap.or_else(|| swap(node, &name, change.memory?));
        node.done(&Request::Update(Box::new(monitor::Update { name, memory_swap, ..change.clone() })))
    })
}

/// Swap, of which nothing is said, beside other memory: as `run` would have it, if it has it so now.
fn swap(node: &Node<'_>, name: &str, memory: Bytes) -> Option<Bytes> {
    match node.answer(&Request::Inspect { name: name.to_owned() }) {
        Ok(Reply::Container { container, .. }) => swap_that_follows(&container, memory),
        // The update itself says what is wrong with it.
        _ => None,
    }
}
