//! What a container has of another's: looked up anew for each instance, because another instance of the other has
//! other namespaces.

use super::Monitor;
use crate::cells::Cell;
use crate::life::{Process, State};
use crate::{kernel, place};
use spec::bundle::{Namespace, NamespaceKind};
use spec::node::{Container, Ipc, Name, Pid};

impl Monitor {
    /// The container of this key whose `what` a new instance is to have, and its first process.
    pub(super) fn that_runs(&self, what: &str, key: &Name) -> Result<(&Cell, Process), String> {
        let cell = self.cells.find_key(key).and_then(|index| self.cells.get(index));
        let cell = cell.ok_or_else(|| format!("{what} container:{key}: there is no such container"))?;
        match cell.observed.state {
            State::Running { process, .. } if kernel::process(process.pid) == Some(process) => {
                Ok((cell, process))
            }
            _ => Err(format!("{what} container:{}: it does not run", cell.name)),
        }
    }

    /// The namespaces of others' that a new instance joins, beside a network's, and its `/dev/shm`, if that lies on the
    /// node.
    pub(super) fn of_others(
        &self,
        key: &Name,
        container: &Container,
    ) -> Result<(Vec<Namespace>, String), String> {
        let namespace = |kind: NamespaceKind, process: Process| Namespace {
            kind,
            path: Some(format!("/proc/{}/ns/{}", process.pid, kind.name())),
        };
        let (mut joined, mut shm) = (Vec::new(), place::shm(key));
        if let Pid::Container(other) = &container.pid {
            joined.push(namespace(NamespaceKind::Pid, self.that_runs("pid", other)?.1));
        }
        if let Ipc::Container(other) = &container.ipc {
            let (cell, process) = self.that_runs("ipc", other)?;
            let wrong = match cell.container.as_ref().map(|its| &its.ipc) {
                Some(Ipc::Shareable) => None,
                Some(Ipc::Container(_)) => Some("it has another container's: name that one"),
                _ => Some("its own is not shareable (--ipc shareable)"),
            };
            if let Some(wrong) = wrong {
                return Err(format!("ipc container:{}: {wrong}", cell.name));
            }
            joined.push(namespace(NamespaceKind::Ipc, process));
            shm = place::shm(&cell.key);
        }
        Ok((joined, shm.display().to_string()))
    }
}
