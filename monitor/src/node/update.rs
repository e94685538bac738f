//! Other limits and another restart policy for a container that a person asked for. The limits of
//! a running one are the runtime's to change, by a short-lived process as with any verb; what lies on disk
//! follows once that has worked.

use super::talk::{Outcome, Talk, Then, failure};
use super::{Monitor, Work};
use crate::life::State;
use crate::{bundle, place, verb};
use spec::monitor::{Code, Failure, Reply, Update};
use spec::node::{Container, Name, Restart};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use sys::cause::cause;

impl Monitor {
    pub(super) fn update(&mut self, number: usize, index: usize, update: Update) -> Outcome {
        self.must_be_a_persons(index, "update")?;
        let cell = &self.cells[index];
        let named = format!("update container {:?}", &*cell.name);
        let Some(container) = cell.container.as_ref().map(|own| update.of(own)) else {
            return Err(failure(Code::State, format!("{named}: it is being removed")));
        };
        let once = cell.definition.as_ref().is_some_and(|own| own.remove);
        if once && container.restart != Restart::No {
            let message = format!("{named}: what is removed once it has ended cannot be restarted");
            return Err(failure(Code::Invalid, message));
        }
        let resources = bundle::resources(&container)
            .map_err(|reason| failure(Code::Invalid, format!("{named}: {reason}")))?;
        match cell.observed.state {
            State::Running { .. } if update.has_limits() => {
                let pid = begin(&cell.key, number, &resources)
                    .map_err(|reason| failure(Code::Internal, format!("{named}: {reason}")))?;
                self.work.insert(pid, Work::Update(number));
                self.updates.insert(number, (index, update));
                Ok(Then::Talk(Talk::Updating))
            }
            State::Running { .. } | State::Absent | State::Ended => {
                self.put(index, container).map(|()| Then::Reply(Reply::Done))
            }
            _ => Err(failure(Code::State, format!("{named}: it is being started or stopped"))),
        }
    }

    /// The runtime has changed limits, or says why not.
    pub(super) fn update_ended(&mut self, number: usize, status: i32) {
        let Some((index, update)) = self.updates.remove(&number) else { return };
        let Some(cell) = self.cells.get(index) else { return };
        let folder = folder(&cell.key, number);
        let done = match (status, cell.container.as_ref().map(|own| update.of(own))) {
            (0, Some(container)) => self.put(index, container),
            (0, None) => Ok(()),
            _ => {
                let reason = verb::reason(&folder, status);
                let message = format!("update container {:?}: {reason}", &*cell.name);
                Err(failure(Code::Internal, message))
            }
        };
        let _ = fs::remove_dir_all(folder);
        if let Some(client) = self.client(number) {
            client.finish(&done.map_or_else(Reply::Failed, |()| Reply::Done));
        }
    }

    /// A container is another one from now on, on disk too.
    fn put(&mut self, index: usize, container: Container) -> Result<(), Failure> {
        let before = self.cells[index].container.replace(container);
        if !self.write_definition(index, true) {
            self.cells[index].container = before;
            return Err(failure(Code::Internal, format!("update: write {}", place::definitions().display())));
        }
        self.publish(index, "update", BTreeMap::new());
        Ok(())
    }
}

/// Starts the runtime; its words lie apart from those of the container's own verbs.
fn begin(key: &Name, number: usize, resources: &spec::bundle::Resources) -> Result<i32, String> {
    let folder = folder(key, number);
    let text = serde_json::to_vec(resources).map_err(|error| error.to_string())?;
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("resources.json"), text))
        .map_err(|error| format!("write {}: {}", folder.display(), cause(&error)))?;
    verb::update(key, &folder)
}

fn folder(key: &Name, number: usize) -> PathBuf {
    place::folder(key).join(format!("update-{number}"))
}
