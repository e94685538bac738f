//! What is told of a container.

use super::Monitor;
use super::checks::known;
use super::talk::Then;
use crate::cells::Cell;
use crate::life::{End, State, comes_back};
use crate::{bundle, kernel, place};
use spec::monitor::{self, COMMAND, Checks, Kind, MAX_FRAME, Reply, Status, Summary};
use spec::network::{self, Attached};
use spec::node::{Container, ContainerNetwork, Mount, Name};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

/// Bytes of a message that a list may fill.
const ROOM: usize = MAX_FRAME - 1024;

/// Exposed ports of a container that a list tells at most.
pub(super) const EXPOSED: usize = 64;

/// The label by which it is known who looks after a container: it is short.
const POD: &str = "io.kubernetes.pod.uid";

impl Monitor {
    /// Tells all containers, in as many messages as it takes. The last one is the answer.
    pub(super) fn list(&mut self, number: usize) -> Then {
        let shown = self.cells.iter().filter(|(_, cell)| cell.container.is_some() || cell.damaged);
        let mut parts = parts(shown.map(|(index, _)| self.short(index)).collect());
        let last = parts.pop().unwrap_or_default();
        if let Some(client) = self.client(number) {
            for containers in parts {
                client.say(&Reply::Containers { containers, more: true });
            }
        }
        Then::Reply(Reply::Containers { containers: last, more: false })
    }

    /// A container of a list: what may be long is told by `inspect`.
    fn short(&self, index: usize) -> Summary {
        let mut summary = self.summary(index);
        let known = self.cells[index].definition.as_ref().map(|own| &own.command);
        match known.filter(|command| !command.is_empty()) {
            // The image's words too, which are not looked up for a list.
            Some(command) => summary.command.clone_from(command),
            None => shorten(&mut summary.command, COMMAND),
        }
        summary
    }

    /// Tells all of one, in as many frames as it takes.
    pub(super) fn inspect(&mut self, number: usize, index: usize) -> Then {
        let (reply, rest) = fitting(self.container(index));
        let (Some(rest), Some(client)) = (rest, self.client(number)) else { return Then::Reply(reply) };
        client.say(&reply);
        client.put(Kind::Output, rest.as_bytes());
        Then::Reply(Reply::Done)
    }

    fn container(&self, index: usize) -> Reply {
        let cell = &self.cells[index];
        let there = cell.observed.state != State::Absent;
        let root = place::root(&cell.key).display().to_string();
        let config = fs::read_to_string(place::folder(&cell.key).join("config.json")).ok();
        Reply::Container {
            summary: Box::new(self.whole(index)),
            container: Box::new(cell.container.clone().unwrap_or_else(|| spec::node::Container::of("-"))),
            config: config.filter(|_| there),
            config_follows: false,
            root: there.then_some(root),
            log: place::log(&cell.key).display().to_string(),
            written: place::writable().join(&*cell.key).display().to_string(),
            attached: cell.attached.clone(),
            remove: cell.definition.as_ref().is_some_and(|own| own.remove),
            stdin_once: cell.definition.as_ref().is_some_and(|own| own.stdin_once),
            seccomp: cell.definition.as_ref().and_then(|own| own.seccomp.clone()),
            checks: self.checks(index),
        }
    }

    fn checks(&self, index: usize) -> Option<Box<Checks>> {
        self.status(index).health?;
        Some(Box::new(known(&self.cells[index].key).map(|known| known.checks).unwrap_or_default()))
    }

    /// With the image's words in its command, if that is there.
    fn whole(&self, index: usize) -> Summary {
        let mut summary = self.summary(index);
        if let Ok((container, image)) = self.materials(index) {
            summary.command = bundle::command(&container, &image.defaults);
        }
        summary
    }

    fn summary(&self, index: usize) -> Summary {
        let cell = &self.cells[index];
        let own = cell.container.as_ref();
        let definition = cell.definition.as_ref();
        Summary {
            id: cell.id(),
            name: cell.name.clone(),
            image: own.map_or_else(String::new, |own| own.image.clone()),
            digest: definition.map(|own| own.digest.clone()),
            command: own.map(command).unwrap_or_default(),
            // node.toml's are as old as this boot.
            created: definition.map_or_else(kernel::booted, |own| own.created),
            configured: definition.is_none() && !cell.damaged,
            status: self.status(index),
            ports: cell
                .attached
                .iter()
                .flat_map(|attached| &attached.ports)
                .flat_map(|port| published(*port))
                .collect(),
            exposed: self.exposed(cell),
            networks: own
                .map(|own| networks(&self.named(own.network()), cell.attached.as_deref()))
                .unwrap_or_default(),
            labels: own.map(|own| own.labels.clone()).unwrap_or_default(),
            tty: own.is_some_and(|own| own.tty),
            images: definition.and_then(|own| Some(own.sandbox.as_ref()?.images.clone())).unwrap_or_default(),
            volumes: own.map(|own| own.mounts.iter().filter_map(volume).collect()).unwrap_or_default(),
        }
    }

    /// As with Docker, of one that runs on a network of its own, [`EXPOSED`] at most; of one of `node.toml` what that says.
    fn exposed(&self, cell: &Cell) -> Vec<String> {
        let own = cell.container.as_ref().map(Container::network);
        if !matches!(own, Some(ContainerNetwork::On(_)))
            || !matches!(cell.observed.state, State::Running { .. } | State::Stopping { .. })
        {
            return Vec::new();
        }
        let configured = cell.container.as_ref().map_or(&[][..], |own| &own.expose);
        exposed(cell.definition.as_ref().map_or(configured, |own| &own.exposed))
    }

    /// A network of another container's by the name that this has now.
    fn named(&self, network: ContainerNetwork) -> ContainerNetwork {
        match network {
            ContainerNetwork::Container(key) => {
                let other = self.cells.find_key(&key).map(|index| self.cells[index].name.clone());
                ContainerNetwork::Container(other.unwrap_or(key))
            }
            other => other,
        }
    }

    fn status(&self, index: usize) -> Status {
        let cell = &self.cells[index];
        let observed = &cell.observed;
        let started = match observed.state {
            State::Running { since, .. } | State::Stopping { since, .. } => Some(kernel::wall(since)),
            _ => None,
        };
        let before = cell.definition.as_ref().and_then(|own| own.last.as_ref());
        let last = observed.last.as_ref();
        let last = last.map(|last| (last.end.clone(), kernel::wall(last.at), observed.ran.map(kernel::wall)));
        let last = last.or_else(|| before.map(|last| (last.end.clone(), last.at, last.ran)));
        let error = match &last {
            Some((end @ (End::NotStarted(_) | End::Missing(_)), ..)) => Some(end.to_string()),
            _ => None,
        };
        let health = cell.check.as_ref().filter(|_| started.is_some()).map(|check| check.health);
        Status {
            state: self.word(cell, index, last.is_some()).to_owned(),
            pid: observed.state.process().map(|process| process.pid),
            started,
            ran: last.as_ref().and_then(|(_, _, ran)| *ran),
            finished: last.as_ref().map(|(_, at, _)| *at),
            exit: last.as_ref().map(|(end, ..)| end.code()),
            out_of_memory: self.was_out_of_memory(index),
            restarts: observed.restarts,
            error,
            health,
        }
    }

    fn word(&self, cell: &Cell, index: usize, has_ended: bool) -> &'static str {
        match cell.observed.state {
            State::Running { .. } if kernel::is_frozen(&cell.cgroup()) => "paused",
            State::Running { .. } => "running",
            State::Stopping { .. } => "stopping",
            State::Absent | State::Ended if has_ended && comes_back(&self.desired(index), &cell.observed) => {
                "restarting"
            }
            State::Absent | State::Ended if has_ended => "exited",
            _ => "created",
        }
    }
}

fn volume(mount: &Mount) -> Option<Name> {
    if let Mount::Volume { name, .. } = mount { Some(name.clone()) } else { None }
}

/// The first of these ports: a range may be of all that there are.
fn exposed(ports: &[network::Port]) -> Vec<String> {
    let word = |port: &network::Port| {
        let protocol = port.protocol;
        port.pairs().map(move |(_, inside)| format!("{inside}/{protocol}"))
    };
    ports.iter().flat_map(word).take(EXPOSED).collect()
}

/// A range is as many ports.
fn published(port: network::Port) -> impl Iterator<Item = monitor::Port> {
    let network::Port { address, protocol, .. } = port;
    let one =
        move |(node, container)| monitor::Port { address, node, container, protocol: protocol.to_string() };
    port.pairs().map(one)
}

/// Networks by name, with the addresses that it has there.
fn networks(network: &ContainerNetwork, attached: Option<&Attached>) -> BTreeMap<String, Vec<IpAddr>> {
    let there = attached.map(|attached| &*attached.interfaces).unwrap_or_default();
    let addresses = |name: &Name| {
        let on = there.iter().filter(|interface| interface.network == *name);
        on.flat_map(|interface| interface.addresses.iter().map(|cidr| cidr.address)).collect()
    };
    match network {
        ContainerNetwork::Host => BTreeMap::from([("host".to_owned(), Vec::new())]),
        ContainerNetwork::None => BTreeMap::from([("none".to_owned(), Vec::new())]),
        ContainerNetwork::Container(other) => BTreeMap::from([(format!("container:{other}"), Vec::new())]),
        ContainerNetwork::On(all) => {
            all.iter().map(|one| (one.network.to_string(), addresses(&one.network))).collect()
        }
    }
}

/// A list in pieces that fit into a message each; labels alone may be too long for one.
fn parts(mut containers: Vec<Summary>) -> Vec<Vec<Summary>> {
    let length = serde_json::to_vec(&containers).map_or(0, |text| text.len());
    match containers.len() {
        _ if length < ROOM => vec![containers],
        0 | 1 => {
            containers.iter_mut().for_each(|one| one.labels.retain(|key, _| key == POD));
            vec![containers]
        }
        count => {
            let rest = containers.split_off(count / 2);
            [parts(containers), parts(rest)].concat()
        }
    }
}

/// A container as it fits into a message: what may be long is cut off, and follows. Of the rest the summary's is told
/// twice.
fn fitting(mut reply: Reply) -> (Reply, Option<String>) {
    let is_long = |reply: &Reply| serde_json::to_vec(reply).is_ok_and(|text| text.len() >= MAX_FRAME);
    if !is_long(&reply) {
        return (reply, None);
    }
    let Reply::Container { config, config_follows, .. } = &mut reply else { return (reply, None) };
    let rest = config.take();
    *config_follows = rest.is_some();
    if is_long(&reply)
        && let Reply::Container { summary, checks, .. } = &mut reply
    {
        summary.labels.clear();
        shorten(&mut summary.command, COMMAND);
        checks.iter_mut().for_each(|checks| checks.log.clear());
    }
    (reply, rest)
}

/// Cuts a command after so many bytes.
pub(super) fn shorten(command: &mut Vec<String>, most: usize) {
    let mut left = most;
    let long = command.iter().position(|word| match left.checked_sub(word.len() + 1) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    let Some(long) = long else { return };
    command.truncate(long + 1);
    if let Some(word) = command.last_mut() {
        let end = (0..=left.min(word.len())).rfind(|end| word.is_char_boundary(*end)).unwrap_or(0);
        word.truncate(end);
        word.push('…');
    }
}

/// What was asked for.
fn command(container: &spec::node::Container) -> Vec<String> {
    let words = [&container.entrypoint, &container.args];
    words.into_iter().flatten().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::monitor::{CHECKS, Checked};
    use spec::node::Container;

    fn summary(number: usize, label: &str) -> Summary {
        Summary {
            id: "ab".repeat(32),
            name: format!("c{number}").parse().unwrap(),
            image: "busybox".into(),
            digest: None,
            command: Vec::new(),
            created: 7,
            configured: false,
            status: Status::default(),
            ports: Vec::new(),
            exposed: Vec::new(),
            networks: BTreeMap::new(),
            labels: BTreeMap::from([("label".into(), label.into())]),
            tty: false,
            volumes: Vec::new(),
            images: Vec::new(),
        }
    }

    #[test]
    fn of_ports_that_are_exposed_only_so_many_are_told() {
        let port = |container, count| {
            let (protocol, address) = (network::Protocol::Udp, None);
            network::Port { protocol, address, host: 0, container, count, among: 1 }
        };
        assert_eq!(exposed(&[port(53, 1), port(80, 2)]), ["53/udp", "80/udp", "81/udp"]);
        assert_eq!(exposed(&[port(1, u16::MAX), port(1, u16::MAX)]).len(), EXPOSED);
    }

    #[test]
    fn a_long_list_is_told_in_messages_that_are_not_too_long() {
        let all: Vec<_> = (0..300).map(|number| summary(number, &"\0".repeat(1 << 10))).collect();
        let told = parts(all.clone());
        assert!(told.len() > 1, "{}", told.len());
        for part in &told {
            let reply = Reply::Containers { containers: part.clone(), more: true };
            assert!(serde_json::to_vec(&reply).unwrap().len() < MAX_FRAME);
        }
        assert_eq!(told.concat(), all);
        assert_eq!(parts(Vec::new()).len(), 1);
        let mut long = summary(1, &"x".repeat(MAX_FRAME));
        long.labels.insert(POD.into(), "u-1".into());
        assert_eq!(parts(vec![long])[0][0].labels, [(POD.to_owned(), "u-1".to_owned())].into());
    }

    #[test]
    fn what_is_long_of_a_container_follows_it() {
        let told = |label: &str, text: &str| {
            let container = Container { labels: summary(1, label).labels, ..Container::of("i") };
            let checked = Checked { output: "\0".repeat(4096), ..Checked::default() };
            let checks = Checks { failures: 1, log: vec![checked; CHECKS] };
            let reply = Reply::Container {
                summary: Box::new(summary(1, label)),
                container: Box::new(container),
                config: Some(text.into()),
                config_follows: false,
                root: None,
                log: String::new(),
                written: String::new(),
                attached: None,
                remove: false,
                stdin_once: false,
                seccomp: None,
                checks: Some(Box::new(checks)),
            };
            let (reply, rest) = fitting(reply);
            assert!(serde_json::to_vec(&reply).unwrap().len() < MAX_FRAME);
            let Reply::Container { summary, container, config, config_follows, checks, .. } = reply else {
                panic!()
            };
            assert_eq!((config.is_none(), config_follows), (rest.is_some(), rest.is_some()));
            assert_eq!(container.labels["label"], label);
            assert!(config.or(rest).is_some_and(|config| config == text));
            assert_eq!(checks.unwrap().log.is_empty(), summary.labels.is_empty());
            (config_follows, summary.labels.is_empty())
        };
        let long = "x".repeat(MAX_FRAME * 6 / 10);
        assert_eq!(told("short", "short"), (false, false));
        assert_eq!(told("short", &"x".repeat(MAX_FRAME)), (true, false));
        assert_eq!(told(&long, "short"), (true, true));
    }

    #[test]
    fn a_long_command_is_cut_between_letters() {
        let cut = |words: &[&str]| {
            let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            shorten(&mut words, 8);
            words
        };
        assert_eq!(cut(&["sh", "-c", ":"]), ["sh", "-c", ":"]);
        assert_eq!(cut(&["sh", "-c", "::"]), ["sh", "-c", "::…"]);
        assert_eq!(cut(&["aé", "éé", "b"]), ["aé", "éé…"]);
        assert_eq!(cut(&["äöüß0"]), ["äöüß…"]);
        assert_eq!(cut(&[""; 20]).len(), 9);
    }
}
