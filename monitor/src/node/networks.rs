//! Networks of the containers' own: joined before an instance is made, left when it is gone.

use super::{Monitor, Work};
use crate::etc::Connection;
use crate::image::Image;
use crate::kernel;
use crate::life::{End, Event, State};
use crate::network::{self, Verb, Way};
use spec::network::Attach;
use spec::node::{Container, Name};

impl Monitor {
    /// Where the packets of a new instance go.
    pub(super) fn find_way(&self, index: usize, container: &Container, image: &Image) -> Result<Way, String> {
        let cell = &self.cells[index];
        let before = network::answer(&cell.key);
        network::way(&cell.key, &cell.name, container, &image.defaults.exposed, before.as_ref())
    }

    /// Begins to attach an instance that is being made.
    pub(super) fn attach_network(&mut self, index: usize, asked: &Attach) {
        match network::attach(&self.cells[index].key, asked) {
            Ok(pid) => self.network_begun(index, Verb::Attach, pid),
            Err(reason) => self.tell(index, &Event::Created(Err(End::NotStarted(reason)))),
        }
    }

    /// Begins to detach an instance whose container is deleted.
    pub(super) fn detach_network(&mut self, index: usize) {
        match network::detach(&self.cells[index].key) {
            Ok(pid) => self.network_begun(index, Verb::Detach, pid),
            Err(reason) => self.tell(index, &Event::Deleted(Err(reason))),
        }
    }

    fn network_begun(&mut self, index: usize, verb: Verb, pid: i32) {
        self.work.insert(pid, Work::Network(index, verb));
        self.tell(index, &Event::Busy);
    }

    pub(super) fn network_verb_ended(&mut self, index: usize, verb: Verb, status: i32) {
        let key = self.cells[index].key.clone();
        match verb {
            Verb::Attach if status == 0 => self.attached(index, &key),
            Verb::Attach => self.not_attached(index, network::reason(&key, status)),
            Verb::Detach => {
                let gone = if status == 0 { self.clean(index) } else { Err(network::reason(&key, status)) };
                self.tell(index, &Event::Deleted(gone));
            }
        }
    }

    fn attached(&mut self, index: usize, key: &Name) {
        let attached = match network::take_answer(key) {
            Ok(attached) => attached,
            Err(reason) => return self.not_attached(index, reason),
        };
        let name = self.cells[index].name.clone();
        attached.warnings.iter().for_each(|warning| self.console.say(&format!("{name}: {warning}")));
        self.cells[index].attached = Some(Box::new(attached));
        let Some((container, image)) = self.materials(index) else { return };
        match self.find_way(index, &container, &image) {
            Ok(way) => self.make(index, &container, &image, &way),
            Err(reason) => self.not_attached(index, reason),
        }
    }

    fn not_attached(&mut self, index: usize, reason: String) {
        self.tell(index, &Event::Created(Err(End::NotStarted(reason))));
    }

    /// What an instance joins, when all of it is there.
    pub(super) fn connection(&self, index: usize, way: &Way) -> Result<Connection, String> {
        match way {
            Way::Node | Way::Nowhere => Ok(Connection::None),
            Way::Own(_) => {
                let attached = self.cells[index].attached.clone();
                attached.map(Connection::Own).ok_or_else(|| "its network is not there".to_owned())
            }
            Way::Other(other) => self.shared(other),
        }
    }

    /// The network of another container, which must run.
    fn shared(&self, other: &Name) -> Result<Connection, String> {
        let cell = self.cells.find(other).and_then(|index| self.cells.get(index));
        let cell = cell.ok_or_else(|| format!("network container:{other}: there is no such container"))?;
        let process = match cell.observed.state {
            State::Running { process, .. } if kernel::process(process.pid) == Some(process) => process,
            _ => return Err(format!("network container:{other}: it does not run")),
        };
        Ok(Connection::Other(cell.key.clone(), format!("/proc/{}/ns/net", process.pid)))
    }
}
