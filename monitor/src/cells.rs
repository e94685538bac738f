//! The containers that the monitor holds, each under a number that stays the same while
//! others come and go: events of the kernel carry it.

use crate::bundle;
use crate::definition::{self, Definition};
use crate::health::Check;
use crate::life::{Observed, State, Time};
use crate::volume::Until;
use spec::network::Attached;
use spec::node::{Container, Name};
use spec::paths;
use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A container as the monitor holds it.
#[derive(Debug)]
pub struct Cell {
    /// What its folders, its cgroup and its log are called; never changes.
    pub key: Name,
    /// What people call it.
    pub name: Name,
    /// What it is; none for one that is only left over.
    pub container: Option<Container>,
    /// What else lies on disk of one that a person asked for.
    pub definition: Option<Box<Definition>>,
    /// Its definition cannot be read: it stays down until it is removed.
    pub damaged: bool,
    /// What is known of it.
    pub observed: Observed,
    /// A process that is another's child: PID 1's, since a monitor was killed.
    pub adopted: Option<Adopted>,
    /// How many of its ends and failures this monitor has seen.
    pub ends: u64,
    /// It is not removed before this time: somebody may still ask how it ended.
    pub keep_until: Time,
    /// It is removed as soon as nothing of it runs.
    pub removing: bool,
    /// So are its volumes that nobody named.
    pub with_volumes: bool,
    /// The instance whose standard input had ended before it was there.
    pub input_over: u64,
    /// A monitor that was killed over its making has left it: it is made anew, as the next instance.
    pub made_anew: bool,
    /// Who gave it input before the monitor was killed has left, if it is not back by then.
    pub typist_due: Option<Time>,
    /// Signals that came while its program was being started.
    pub early: Vec<i32>,
    /// Its definition could not be written as it is now; the next attempt is due then.
    pub unwritten: Option<Time>,
    /// Nor could its record.
    pub unrecorded: Option<Time>,
    /// When the work began that is under way for it.
    pub busy_since: Time,
    /// A person has asked for another instance, which has not been started yet.
    pub renewed: bool,
    /// Its health check.
    pub check: Option<Box<Check>>,
    /// What its instance was given by the network.
    pub attached: Option<Box<Attached>>,
    /// The latest change of its networks while it runs.
    pub mending: Mending,
}

/// A change of a running container's networks.
#[derive(Debug, Default)]
pub struct Mending {
    /// How many have come to their end.
    pub ended: u64,
    /// Why the latest one could not be made.
    pub refused: Option<String>,
    /// What the container was before, to be put back when it cannot be made.
    pub before: Option<Box<Container>>,
}

impl Cell {
    /// The first of the node's IDs that are its own users and groups, if it has some.
    pub fn users(&self) -> Option<u32> {
        self.definition.as_ref().and_then(|own| own.sandbox.as_ref()?.users)
    }

    /// How long the volumes are looked for that it makes: an agent makes a container of a pod anew in each boot.
    pub fn volumes_until(&self) -> Until {
        let sandbox = self.definition.as_ref().and_then(|own| own.sandbox.as_ref());
        if sandbox.is_some() { Until::Reboot } else { Until::Removed }
    }

    /// One of which nothing is known.
    pub fn new(key: Name) -> Self {
        Self {
            name: key.clone(),
            key,
            container: None,
            definition: None,
            damaged: false,
            observed: Observed::default(),
            adopted: None,
            ends: 0,
            keep_until: Time::ZERO,
            removing: false,
            with_volumes: false,
            input_over: 0,
            made_anew: false,
            typist_due: None,
            early: Vec::new(),
            unwritten: None,
            unrecorded: None,
            busy_since: Time::ZERO,
            renewed: false,
            check: None,
            attached: None,
            mending: Mending::default(),
        }
    }

    /// 64 hexadecimal digits.
    pub fn id(&self) -> String {
        self.definition.as_ref().map_or_else(|| definition::configured_id(&self.key), |own| own.id.clone())
    }

    /// Who was noted to give input to an instance gives it to the one that there is or comes.
    pub fn is_its_typist(&self, noted: u64) -> bool {
        noted == self.its_instance() || (self.made_anew && noted == self.observed.generation)
    }

    /// The number of the instance that there is, or of the next one.
    pub fn its_instance(&self) -> u64 {
        let next = self.made_anew || matches!(self.observed.state, State::Absent | State::Ended);
        self.observed.generation + u64::from(next)
    }

    /// The path of its cgroup.
    pub fn cgroup(&self) -> PathBuf {
        let sandbox = self.definition.as_ref().and_then(|own| own.sandbox.as_deref());
        Path::new(paths::CGROUP).join(bundle::cgroup(&self.key, sandbox))
    }

    /// It comes from `node.toml`.
    pub fn is_configured(&self) -> bool {
        self.container.is_some() && self.definition.is_none()
    }
}

/// Watches a process that the monitor cannot wait for.
#[derive(Debug)]
pub struct Adopted {
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// It has ended; when PID 1 has not told how by then, nobody will.
    pub give_up: Option<Time>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Cells {
    slots: Vec<Option<Box<Cell>>>,
    /// By the names that people use.
    names: BTreeMap<Name, usize>,
}

impl Cells {
    /// Takes one in and gives its number.
    pub fn insert(&mut self, cell: Cell) -> usize {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        self.names.insert(cell.name.clone(), index);
        self.slots[index] = Some(Box::new(cell));
        index
    }

    /// Lets go of one.
    pub fn remove(&mut self, index: usize) {
        if let Some(cell) = self.slots.get_mut(index).and_then(Option::take) {
            self.names.remove(&cell.name);
        }
    }

    /// Gives one another name, which must be free.
    pub fn rename(&mut self, index: usize, to: Name) {
        let before = self[index].name.clone();
        self.names.remove(&before);
        self.names.insert(to.clone(), index);
        self[index].name = to;
    }

    /// One that may be gone.
    pub fn get(&self, index: usize) -> Option<&Cell> {
        self.slots.get(index).and_then(Option::as_deref)
    }

    /// By name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// By key.
    pub fn find_key(&self, key: &str) -> Option<usize> {
        self.iter().find(|(_, cell)| &*cell.key == key).map(|(index, _)| index)
    }

    /// Their numbers, in the order of their names.
    pub fn indices(&self) -> Vec<usize> {
        self.names.values().copied().collect()
    }

    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Cell)> {
        self.names.values().filter_map(|&index| Some((index, self.get(index)?)))
    }
}

impl Index<usize> for Cells {
    type Output = Cell;

    fn index(&self, index: usize) -> &Cell {
        self.slots[index].as_deref().expect("a number is used while its container is there")
    }
}

impl IndexMut<usize> for Cells {
    fn index_mut(&mut self, index: usize) -> &mut Cell {
        self.slots[index].as_deref_mut().expect("a number is used while its container is there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::configured_id;
    use crate::life::Process;
    use serde_json::json;
    use spec::monitor::Sandbox;

    fn cell(name: &str) -> Cell {
        Cell::new(name.parse().unwrap())
    }

    #[test]
    fn numbers_stay_while_others_come_and_go() {
        let mut cells = Cells::default();
        let [b, a, c] = ["b", "a", "c"].map(|name| cells.insert(cell(name)));
        assert_eq!(cells.indices(), [a, b, c]);
        cells.remove(b);
        assert_eq!((cells.find("b"), cells.find("c")), (None, Some(c)));
        assert!(cells.get(b).is_none() && cells.get(99).is_none());
        cells.rename(a, "z".parse().unwrap());
        assert_eq!((&*cells[a].key, &*cells[a].name), ("a", "z"));
        assert_eq!((cells.find_key("a"), cells.find("a"), cells.find_key("z")), (Some(a), None, None));
        assert_eq!(cells.indices(), [c, a]);
        assert_eq!(cells.insert(cell("d")), b, "a free number is given again");
    }

    #[test]
    fn only_volumes_of_pods_end_with_the_boot() {
        let mut own = cell("a");
        assert_eq!(own.volumes_until(), Until::Removed, "it is of node.toml");
        let of = |sandbox: Option<Sandbox>| {
            let id = configured_id(&own.name);
            let definition = json!({ "id": id, "name": "a", "created": 0, "digest": "", "remove": false,
                "wanted": true, "started": false, "last": null, "sandbox": sandbox });
            serde_json::from_value::<Definition>(definition).unwrap()
        };
        for (sandbox, until) in [(None, Until::Removed), (Some(Sandbox::default()), Until::Reboot)] {
            own.definition = Some(Box::new(of(sandbox)));
            assert_eq!(own.volumes_until(), until);
        }
    }

    #[test]
    fn a_typist_is_of_the_instance_that_there_is_or_comes() {
        let at = |state, made_anew| {
            let observed = Observed { state, generation: 3, ..Observed::default() };
            let cell = Cell { observed, made_anew, ..cell("a") };
            (2..6).filter(|noted| cell.is_its_typist(*noted)).collect::<Vec<_>>()
        };
        let process = Process { pid: 7, start_time: 9 };
        assert_eq!(at(State::Running { process, since: Time::ZERO }, false), [3]);
        assert_eq!((at(State::Absent, false), at(State::Ended, false)), (vec![4], vec![4]));
        assert_eq!(at(State::Creating, false), [3]);
        // Of the one that was cut short, and, noted after a kill before, of the one that comes in its place.
        assert_eq!(at(State::Creating, true), [3, 4]);
    }
}
