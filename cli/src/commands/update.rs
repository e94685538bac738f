//! `update`: other limits, another restart policy.

use super::{Node, containers};
use crate::arguments::Update;
use crate::error::{Error, Result};
use spec::monitor::{self, Request};
use spec::node::Container;

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
        node.done(&Request::Update(Box::new(monitor::Update { name, ..change.clone() })))
    })
}
