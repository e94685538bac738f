//! Networks of the containers' own: joined before an instance is made, left when it is gone, changed
//! while it runs.

use super::talk::{Outcome, Talk, Then, failure};
use super::waiting::What;
use super::{Monitor, Work};
use crate::etc::{self, Connection};
use crate::image::Image;
use crate::life::{End, Event, State};
use crate::network::{self, Verb, Way};
use crate::place;
use spec::monitor::{Code, Happening, Object, Reply};
use spec::network::{Attach, Attached, Membership};
use spec::node::{Container, ContainerNetwork, Name};
use std::collections::BTreeSet;
use sys::cause::cause;

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
            Verb::Mend => {
                let done =
                    if status == 0 { self.take_mended(index) } else { Err(network::reason(&key, status)) };
                self.mended(index, done);
            }
            Verb::Detach => {
                if status == 0 {
                    self.tell_networks(index, None);
                }
                let gone = if status == 0 { self.clean(index) } else { Err(network::reason(&key, status)) };
                self.tell(index, &Event::Deleted(gone));
            }
        }
    }

    fn attached(&mut self, index: usize, key: &Name) {
        let way = self.take_attached(index, key).and_then(|()| {
            let (container, image) = self.materials(index)?;
            self.find_way(index, &container, &image).map(|way| (container, image, way))
        });
        match way {
            Ok((container, image, way)) => self.make(index, &container, &image, &way),
            Err(reason) => self.not_attached(index, reason),
        }
    }

    fn take_attached(&mut self, index: usize, key: &Name) -> Result<(), String> {
        let attached = network::take_answer(key)?;
        let name = self.cells[index].name.clone();
        attached.warnings.iter().for_each(|warning| {
            self.console.say(&format!("{name}: {warning}"));
            self.warn(index, &format!("container {:?}: {warning}", &*name));
        });
        self.tell_networks(index, Some(attached));
        Ok(())
    }

    /// Takes in what a container has been given, and tells which networks it is on now, and which no longer.
    fn tell_networks(&mut self, index: usize, now: Option<Attached>) {
        let on = |attached: Option<&Attached>| {
            let interfaces = attached.into_iter().flat_map(|own| &own.interfaces);
            interfaces.map(|interface| interface.network.clone()).collect::<BTreeSet<Name>>()
        };
        let cell = &mut self.cells[index];
        let (id, before, after) = (cell.id(), on(cell.attached.as_deref()), on(now.as_ref()));
        cell.attached = now.map(Box::new);
        let left = before.difference(&after).map(|network| (network, "disconnect"));
        for (network, action) in left.chain(after.difference(&before).map(|network| (network, "connect"))) {
            let pairs = [("container", id.as_str()), ("name", &**network), ("type", "bridge")];
            self.happened(Happening {
                object: Object::Network,
                id: network.to_string(),
                action: action.to_owned(),
                attributes: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            });
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
        let (cell, process) = self.that_runs("network", other)?;
        let its = cell.container.as_ref().map(|container| etc::hostname(&cell.key, container));
        let hostname = its.unwrap_or_else(|| cell.key.to_string());
        Ok(Connection::Other {
            key: cell.key.clone(),
            netns: format!("/proc/{}/ns/net", process.pid),
            hostname,
        })
    }

    /// Puts a container on one more network, at once if it runs.
    pub(super) fn connect(&mut self, index: usize, network: Membership) -> Outcome {
        let name = network.network.clone();
        self.change_networks(index, "connect", |on| match on.iter().any(|one| one.network == name) {
            true => Err(format!("it is on network {:?} already", &*name)),
            false => {
                on.push(network);
                Ok(())
            }
        })
    }

    /// Takes a container off a network, at once if it runs.
    pub(super) fn disconnect(&mut self, index: usize, network: &Name) -> Outcome {
        self.change_networks(index, "disconnect", |on| {
            let before = on.len();
            on.retain(|one| one.network != *network);
            match on.len() == before {
                true => Err(format!("it is not on network {:?}", &**network)),
                false => Ok(()),
            }
        })
    }

    fn change_networks(
        &mut self,
        index: usize,
        verb: &str,
        change: impl FnOnce(&mut Vec<Membership>) -> Result<(), String>,
    ) -> Outcome {
        self.must_be_a_persons(index, verb)?;
        let cell = &self.cells[index];
        let refuse =
            |reason: String| failure(Code::State, format!("{verb} container {:?}: {reason}", &*cell.name));
        let Some(before) = cell.container.clone() else {
            return Err(refuse("it is being removed".to_owned()));
        };
        let ContainerNetwork::On(mut on) = before.network() else {
            return Err(refuse("it has no network of its own".to_owned()));
        };
        if cell.observed.busy {
            return Err(refuse("it is being started, stopped or changed".to_owned()));
        }
        change(&mut on).map_err(refuse)?;
        let count = cell.mending.ended;
        let after = Container { network: Some(ContainerNetwork::On(on)), ..before.clone() };
        self.cells[index].container = Some(after);
        if !self.write_definition(index, true) {
            self.cells[index].container = Some(before);
            let message = format!("{verb}: write {}", place::definitions().display());
            return Err(failure(Code::Internal, message));
        }
        self.cells[index].mending.before = Some(Box::new(before));
        match self.mend(index) {
            true => Ok(Then::Talk(Talk::Waiting(self.waiting(index, What::Mended(count))))),
            false => Ok(Then::Reply(Reply::Done)),
        }
    }

    /// Begins to make a running container's networks what they are to be by now; says whether there is
    /// anything to be made.
    pub(super) fn mend(&mut self, index: usize) -> bool {
        let cell = &self.cells[index];
        let runs = matches!(cell.observed.state, State::Running { .. }) && !cell.observed.busy;
        let Some(asked) = self.asks(index).filter(|_| runs) else { return false };
        match network::attach(&self.cells[index].key, &asked) {
            Ok(pid) => self.network_begun(index, Verb::Mend, pid),
            Err(reason) => self.mended(index, Err(reason)),
        }
        true
    }

    /// A monitor that was killed may have left a change half made.
    pub(super) fn mend_if_cut_short(&mut self, index: usize) {
        let key = &self.cells[index].key;
        if self.asks(index).is_some_and(|asked| !network::is_settled(key, &asked)) {
            self.mend(index);
        }
    }

    /// What a running container asks its networks for.
    fn asks(&self, index: usize) -> Option<Attach> {
        let runs = matches!(self.cells[index].observed.state, State::Running { .. });
        let (container, image) = self.materials(index).ok().filter(|_| runs)?;
        match self.find_way(index, &container, &image).ok()? {
            Way::Own(asked) => Some(asked),
            _ => None,
        }
    }

    fn take_mended(&mut self, index: usize) -> Result<(), String> {
        let key = self.cells[index].key.clone();
        self.take_attached(index, &key)?;
        let cell = &self.cells[index];
        let (Some(container), Some(attached)) = (&cell.container, &cell.attached) else { return Ok(()) };
        etc::write(&key, &etc::hostname(&key, container), container, &Connection::Own(attached.clone()))
            .map(drop)
            .map_err(|error| format!("write its hosts and resolv.conf: {}", cause(&error)))
    }

    fn mended(&mut self, index: usize, done: Result<(), String>) {
        let cell = &mut self.cells[index];
        let (before, name) = (cell.mending.before.take(), cell.name.clone());
        cell.mending.ended += 1;
        cell.mending.refused = done.err();
        let refused = cell.mending.refused.clone();
        if let Some(reason) = refused {
            self.console.say(&format!("{name}: {reason}"));
            if let Some(before) = before {
                self.cells[index].container = Some(*before);
                self.write_definition(index, true);
            }
        }
        self.tell(index, &Event::Idle);
    }
}
