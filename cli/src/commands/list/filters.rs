//! `ps --filter`: of each key, one value must fit; of labels all.

use crate::commands::{Node, images};
use crate::error::{Error, Result};
use crate::filter::Given;
use spec::monitor::{Health, Reply, Request, Summary};
use spec::node::{Container, Mount};
use std::collections::BTreeSet;
use store::{Digest, Stores};

const KEYS: [&str; 14] = [
    "ancestor", "before", "exited", "expose", "health", "id", "label", "name", "network", "origin",
    "publish", "since", "status", "volume",
];

/// Docker's states, and our own: one that is being stopped runs still.
const STATES: [&str; 8] =
    ["created", "running", "paused", "restarting", "removing", "exited", "dead", "stopping"];

/// What a list is to have. Once settled, the values of `ancestor`, `before`, `since` and `volume` are IDs of those that fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters(Given);

impl Filters {
    /// Reads `KEY=VALUE`.
    ///
    /// # Errors
    /// There is no such key, or it has no such value.
    pub fn new(words: &[String]) -> Result<Self> {
        Given::read(words, &KEYS, check).map(Self)
    }

    /// Those that do not run may be meant, too.
    pub fn asks_for_a_status(&self) -> bool {
        self.0.0.iter().any(|(key, _)| key == "status" || key == "exited")
    }

    /// Finds out which of all containers those are that stand to an image, a volume or another container as is asked.
    ///
    /// # Errors
    /// There is no such container; or nobody can tell.
    pub fn settle(self, node: &Node<'_>, all: &[Summary]) -> Result<Self> {
        let mut settled = Vec::new();
        for (key, value) in self.0.0 {
            let ids = match key.as_str() {
                "ancestor" => made_of(&node.stores(), &value, all)?,
                "before" => around(all, &key, &value, |one, other| one < other)?,
                "since" => around(all, &key, &value, |one, other| one > other)?,
                "volume" => with_volume(node, &value, all)?,
                _ => {
                    settled.push((key, value));
                    continue;
                }
            };
            // No ID is empty: where none fits, none is taken.
            let ids = ids.into_iter().chain([String::new()]);
            settled.extend(ids.map(|id| (key.clone(), id)));
        }
        Ok(Self(Given(settled)))
    }

    /// Whether a list has this one.
    pub fn take(&self, container: &Summary) -> bool {
        KEYS.iter()
            .filter(|key| **key != "label")
            .all(|key| self.0.one(key, |value| fits(container, key, value)))
            && self.0.labels(&container.labels)
    }
}

fn check(key: &str, value: &str) -> std::result::Result<(), String> {
    let one_of = |known: &[&str]| match known.contains(&value) {
        true => Ok(()),
        false => Err(format!("none of {}", known.join(", "))),
    };
    match key {
        "status" => one_of(&STATES),
        "health" => one_of(&["starting", "healthy", "unhealthy", "none"]),
        "origin" => one_of(&["node.toml", "person"]),
        "exited" => value.parse::<i32>().map(|_| ()).map_err(|_| "not an exit status".to_owned()),
        "publish" | "expose" => {
            ports(value).map(|_| ()).ok_or_else(|| "not PORT[-PORT][/PROTOCOL]".to_owned())
        }
        _ => Ok(()),
    }
}

fn fits(container: &Summary, key: &str, value: &str) -> bool {
    let status = &container.status;
    match key {
        "name" => is_named(&container.name, value),
        "id" => container.id.starts_with(value),
        "status" => status.state == value || (value == "running" && status.state == "stopping"),
        "exited" => status.state == "exited" && status.exit.is_some_and(|exit| exit.to_string() == value),
        "network" => container.networks.contains_key(value),
        "origin" => (value == "node.toml") == container.configured,
        "health" => health(status.health) == value,
        "publish" => container.ports.iter().any(|port| is_in(value, port.node, &port.protocol)),
        "expose" => {
            let exposed = container.exposed.iter().filter_map(|text| text.split_once('/'));
            let exposed = exposed.filter_map(|(number, protocol)| Some((number.parse().ok()?, protocol)));
            let published = container.ports.iter().map(|port| (port.container, port.protocol.as_str()));
            exposed.chain(published).any(|(number, protocol)| is_in(value, number, protocol))
        }
        _ => container.id == value,
    }
}

fn health(health: Option<Health>) -> &'static str {
    match health {
        None => "none",
        Some(Health::Starting) => "starting",
        Some(Health::Healthy) => "healthy",
        Some(Health::Unhealthy) => "unhealthy",
    }
}

fn is_in(text: &str, number: u16, protocol: &str) -> bool {
    ports(text).is_some_and(|(first, last, of)| (first..=last).contains(&number) && protocol == of)
}

/// `80`, `53/udp`, `8000-8010/tcp`
fn ports(text: &str) -> Option<(u16, u16, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && ["tcp", "udp", "sctp"].contains(&protocol)).then_some((first, last, protocol))
}

/// A part of the name, as in Docker's patterns: `^` and `/` stand for its beginning, `$` for its end.
fn is_named(name: &str, pattern: &str) -> bool {
    let whole = pattern.strip_suffix('$');
    let text = whole.unwrap_or(pattern);
    let end = text.trim_start_matches(['^', '/']);
    match (end.len() < text.len(), whole.is_some()) {
        (true, true) => name == end,
        (true, false) => name.starts_with(end),
        (false, true) => name.ends_with(end),
        (false, false) => name.contains(end),
    }
}

/// The one that is called so: by its name, its ID, or the beginning of it.
pub fn called<'a>(all: &'a [Summary], text: &str) -> Option<&'a Summary> {
    let name = text.trim_start_matches('/');
    let mut begin = all.iter().filter(|one| !text.is_empty() && one.id.starts_with(text));
    all.iter().find(|one| *one.name == *name).or_else(|| match (begin.next(), begin.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    })
}

/// Those that were made before another, or after it.
fn around(all: &[Summary], key: &str, other: &str, is: fn(u64, u64) -> bool) -> Result<Vec<String>> {
    let other = called(all, other)
        .ok_or_else(|| Error::new(format!("--filter {key}={other}: there is no such container")))?;
    let fit = all.iter().filter(|one| is(one.created, other.created));
    Ok(fit.map(|one| one.id.clone()).collect())
}

/// Those that are made of an image, or of one that has all its layers at its bottom.
fn made_of(stores: &Stores, image: &str, all: &[Summary]) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for name in stores.called(image)? {
        match stores.resolve(&name) {
            Ok(image) => wanted.push(image),
            Err(store::Error::NoImage(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut fit = BTreeSet::new();
    let mut seen: Vec<(Digest, bool)> = Vec::new();
    for one in all {
        let Ok(Some(digest)) = images::digest_of(stores, one) else { continue };
        let known = seen.iter().find(|(known, _)| *known == digest).map(|(_, is)| *is);
        let is = known.unwrap_or_else(|| wanted.iter().any(|image| is_of(stores, one, &digest, image)));
        fit.extend(is.then(|| one.id.clone()));
        seen.push((digest, is));
    }
    Ok(fit.into_iter().collect())
}

fn is_of(stores: &Stores, one: &Summary, digest: &Digest, image: &store::Image) -> bool {
    let diff_ids = |image: &store::Image| -> Vec<Digest> {
        image.layers.iter().map(|layer| layer.diff_id.clone()).collect()
    };
    let below = diff_ids(image);
    *digest == image.digest
        || (!below.is_empty()
            && stores.resolve_digest(&one.image, digest).is_ok_and(|own| diff_ids(&own).starts_with(&below)))
}

/// Those that have a volume of this name, or something mounted from there or at that place.
fn with_volume(node: &Node<'_>, text: &str, all: &[Summary]) -> Result<Vec<String>> {
    if !text.starts_with('/') {
        let has = |one: &&Summary| one.volumes.iter().any(|name| **name == *text);
        return Ok(all.iter().filter(has).map(|one| one.id.clone()).collect());
    }
    let has = |mount: &Mount| match mount {
        Mount::Volume { target, .. } => target == text,
        Mount::Bind { source, target, .. } => source == text || target == text,
        Mount::Tmpfs { .. } => false,
    };
    let mut fit = Vec::new();
    for one in all {
        if more(node, one)?.is_some_and(|(container, _)| container.mounts.iter().any(has)) {
            fit.push(one.id.clone());
        }
    }
    Ok(fit)
}

/// What a list does not tell of a container: its definition, and where its files lie. None: it was removed meanwhile.
///
/// # Errors
/// The monitor does not say.
pub fn more(node: &Node<'_>, one: &Summary) -> Result<Option<(Container, String)>> {
    match node.answer(&Request::Inspect { name: one.id.clone() }) {
        Ok(Reply::Container { container, written, .. }) => Ok(Some((*container, written))),
        Ok(other) => Err(super::unexpected(&other)),
        Err(error) if error.code == Some(spec::monitor::Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::container;
    use super::*;

    fn filters(words: &[&str]) -> Result<Filters> {
        Filters::new(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn filters_choose() {
        for (words, takes) in [
            (&["name=we"][..], true),
            (&["name=db", "name=web"], true),
            (&["label=tier=front", "status=running"], true),
            (&["label=tier=back"], false),
            (&["label=tier", "label=tier=front"], true),
            (&["label=tier=front", "label=stage=test"], false),
            (&["name=^web$"], true),
            (&["name=/web"], true),
            (&["name=^/we", "name=db"], true),
            (&["name=eb$"], true),
            (&["name=^eb"], false),
            (&["name=we$"], false),
            (&["exited=137"], false),
            (&["network=back"], false),
            (&["origin=node.toml"], false),
            (&["health=healthy"], false),
            (&["health=none"], true),
            (&["publish=8080"], true),
            (&["publish=8000-9000/tcp", "publish=1"], true),
            (&["publish=80"], false),
            (&["publish=8080/udp"], false),
            (&["expose=80"], true),
        ] {
            assert_eq!(filters(words).unwrap().take(&container("running")), takes, "{words:?}");
        }
        assert!(filters(&["status=running"]).unwrap().take(&container("stopping")));
    }

    #[test]
    fn a_value_that_nothing_can_have_is_told() {
        for (word, told) in [
            ("colour=red", "--filter \"colour=red\": not KEY=VALUE with one of ancestor, "),
            ("name", "not KEY=VALUE"),
            ("status=runing", "none of created, running"),
            ("health=ill", "none of starting"),
            ("origin=me", "none of node.toml, person"),
            ("exited=x", "not an exit status"),
            ("publish=9-1", "not PORT[-PORT][/PROTOCOL]"),
        ] {
            let error = filters(&[word]).unwrap_err().message;
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn containers_stand_before_and_after_one_another() {
        let one = |name: &str, created| Summary {
            id: format!("{created}{}", "f".repeat(63)),
            name: name.parse().unwrap(),
            created,
            ..container("running")
        };
        let all = [one("a", 1), one("b", 2), one("c", 3)];
        let node = Node { socket: "/none".as_ref(), store: "/none".as_ref() };
        let taken = |words: &[&str]| {
            let filters = filters(words).unwrap().settle(&node, &all).unwrap();
            let names = all.iter().filter(|one| filters.take(one)).map(|one| one.name.to_string());
            names.collect::<String>()
        };
        assert_eq!((taken(&["before=b"]), taken(&["since=b"])), ("a".into(), "c".into()));
        assert_eq!(taken(&["before=a"]), "");
        assert_eq!(taken(&["since=1", "before=c", "name=b"]), "b");
        assert_eq!(taken(&["ancestor=nothing"]), "");
        let error = filters(&["since=d"]).unwrap().settle(&node, &all).unwrap_err().message;
        assert_eq!(error, "--filter since=d: there is no such container");
    }
}
