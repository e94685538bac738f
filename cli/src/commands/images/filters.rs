//! `images --filter`: of each key, one value must fit; of labels all.

use super::{familiar, find, split};
use crate::commands::Node;
use crate::error::Result;
use crate::filter::{Given, NO_BOOLEAN, boolean};
use std::collections::BTreeMap;
use store::{Digest, Reference, Stores};

const KEYS: [&str; 5] = ["before", "dangling", "label", "reference", "since"];

/// What a list is to have.
#[derive(Debug)]
pub struct Filters {
    given: Given,
    /// When the images of `before` and `since` were made.
    before: Vec<u64>,
    since: Vec<u64>,
}

impl Filters {
    /// Reads `KEY=VALUE`.
    ///
    /// # Errors
    /// There is no such key, or it has no such value; an image is not here.
    pub fn new(node: &Node<'_>, words: &[String]) -> Result<Self> {
        let given = Given::read(words, &KEYS, |key, value| match key {
            "dangling" => boolean(value).map(drop).ok_or_else(|| NO_BOOLEAN.to_owned()),
            _ => Ok(()),
        })?;
        let stores = node.stores();
        let made = |name: &str| find(node, name).map(|image| created(&stores, &image.digest).unwrap_or(0));
        let all = |key| given.of(key).map(made).collect::<Result<Vec<u64>>>();
        let (before, since) = (all("before")?, all("since")?);
        Ok(Self { given, before, since })
    }

    /// Those that have names, or those that have lost them, may be among what is asked for.
    pub fn takes_kind(&self, nameless: bool) -> bool {
        self.given.one("dangling", |value| boolean(value) == Some(nameless))
            && !(nameless && self.given.of("reference").next().is_some())
    }

    /// An image, by its name if it has one.
    pub fn take(&self, stores: &Stores, name: Option<&Reference>, digest: &Digest) -> bool {
        let name = name.map(ToString::to_string);
        self.given.one("reference", |pattern| name.as_ref().is_some_and(|name| is_like(pattern, name)))
            && self.is_between(stores, digest)
            && (self.given.of("label").next().is_none() || self.given.labels(&labels(stores, digest)))
    }

    fn is_between(&self, stores: &Stores, digest: &Digest) -> bool {
        if self.before.is_empty() && self.since.is_empty() {
            return true;
        }
        let own = created(stores, digest).unwrap_or(0);
        self.before.iter().all(|before| own < *before) && self.since.iter().all(|since| own > *since)
    }
}

/// When an image was made, as it says, in nanoseconds since 1970.
pub fn created(stores: &Stores, digest: &Digest) -> Option<u64> {
    spec::timestamp::parse(&stores.details_by_digest(digest).ok()?.created?)
}

/// Those of an image; none of one that is damaged.
pub fn labels(stores: &Stores, digest: &Digest) -> BTreeMap<String, String> {
    let image = stores.resolve_digest("none", digest);
    image.map(|image| image.config.labels).unwrap_or_default()
}

/// A name with or without its tag is as a pattern says, in which `*` and `?` stand for letters other than `/`.
pub fn is_like(pattern: &str, name: &str) -> bool {
    let name = familiar(name);
    fits(pattern.as_bytes(), name.as_bytes()) || fits(pattern.as_bytes(), split(name).0.as_bytes())
}

fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            let most = text.iter().position(|letter| *letter == b'/').unwrap_or(text.len());
            (0..=most).any(|length| fits(rest, &text[length..]))
        }
        ([b'?', rest @ ..], [letter, text @ ..]) => *letter != b'/' && fits(rest, text),
        ([own, rest @ ..], [letter, text @ ..]) => own == letter && fits(rest, text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_name_or_a_pattern_of_one() {
        for (pattern, name, is) in [
            ("busybox", "docker.io/library/busybox:latest", true),
            ("busybox:latest", "docker.io/library/busybox:latest", true),
            ("busybox:1", "docker.io/library/busybox:latest", false),
            ("busy*", "docker.io/library/busybox:latest", true),
            ("*:l?test", "docker.io/library/busybox:latest", true),
            ("*", "reg.local:5000/team/app:1", false),
            ("*/*/app", "reg.local:5000/team/app:1", true),
            ("reg.local:5000/team/*:1", "reg.local:5000/team/app:1", true),
            ("app", "reg.local:5000/team/app:1", false),
        ] {
            assert_eq!(is_like(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let node = Node { socket: "/nowhere".as_ref(), store: "/nowhere".as_ref() };
        let new = |word: &str| Filters::new(&node, &[word.to_owned()]).map_err(|error| error.message);
        assert_eq!(new("dangling=maybe").unwrap_err(), "--filter \"dangling=maybe\": neither true nor false");
        assert!(new("colour=red").unwrap_err().contains("one of before, dangling, label, reference, since"));
        assert!(new("before=none").unwrap_err().contains("is not here"));
        let like = new("reference=app*").unwrap();
        assert!(like.takes_kind(false) && !like.takes_kind(true));
    }
}
