//! `prune`: what nothing needs goes.

use super::filters::created;
use super::{confirmed, deleted, familiar, kept, tell};
use crate::arguments::{Prune, Pruned};
use crate::commands::containers::{each_of, each_told};
use crate::commands::{Node, list, print, volumes};
use crate::error::{Error, Result};
use crate::filter::{Given, LABELS, NO_BOOLEAN, boolean};
use crate::human::decimal;
use crate::time;
use spec::monitor::{Request, Summary};
use std::collections::BTreeMap;
use store::{Digest, Listed, Store, Stores};

/// `--filter`: what was made before `until`, and has all of these labels, and none of those; of images those without a
/// name alone, or others, too.
struct Filters {
    until: Option<u64>,
    dangling: Option<bool>,
    given: Given,
}

impl Filters {
    fn new(words: &[String], what: Pruned) -> Result<Self> {
        let dangling = (what == Pruned::Images).then_some("dangling");
        let keys: Vec<&str> = LABELS.into_iter().chain(["until"]).chain(dangling).collect();
        let given = Given::read(words, &keys, |key, value| match key {
            "dangling" => boolean(value).map(drop).ok_or_else(|| NO_BOOLEAN.to_owned()),
            _ => Ok(()),
        })?;
        let until =
            given.of("until").map(|text| time::moment("--filter until", text)).collect::<Result<Vec<_>>>()?;
        let dangling = given.of("dangling").filter_map(boolean).last();
        Ok(Self { until: until.into_iter().min(), dangling, given })
    }

    /// Something that was made then, in nanoseconds since 1970.
    fn take(&self, made: u64, own: &BTreeMap<String, String>) -> bool {
        self.until.is_none_or(|until| made < until) && self.given.labels(own)
    }

    /// Who asks for nothing takes one that is damaged, too; of such a one nobody knows whether it fits.
    fn take_image(&self, stores: &Stores, digest: &Digest) -> bool {
        let fits = || {
            let image = stores.resolve_digest("none", digest).ok()?;
            Some(self.take(created(stores, digest).unwrap_or(0), &image.config.labels))
        };
        self.given.0.iter().all(|(key, _)| key == "dangling") || fits().unwrap_or(false)
    }
}

/// `skerry prune`, of containers, of images or of both.
pub fn prune(node: &Node<'_>, asked: &Prune) -> Result<()> {
    let filters = Filters::new(&asked.filter, asked.what)?;
    let all = filters.dangling.map_or(asked.all, |dangling| !dangling);
    if asked.volumes && filters.until.is_some() {
        return Err(Error::new("the \"until\" filter is not supported with \"--volumes\""));
    }
    let is_over = |one: &&Summary| is_over(one) && filters.take(one.created, &one.labels);
    let ended = list::all(node)?.iter().filter(is_over).count();
    let containers = format!("{ended} containers that do not run");
    let images = if all {
        "every image that no container is made of"
    } else {
        "images without a name, and layers that no image has"
    };
    let what = match asked.what {
        Pruned::Everything => format!("{containers}, and {images}"),
        Pruned::Containers => containers,
        Pruned::Images => images.to_owned(),
    };
    let volumes = if asked.volumes { ", and volumes that nobody named and no container uses" } else { "" };
    if !asked.force && !confirmed(&format!("This removes {what}{volumes}."))? {
        return Ok(());
    }
    let removed = if asked.what == Pruned::Images { Ok(()) } else { prune_containers(node, &filters) };
    if asked.what == Pruned::Containers {
        return removed;
    }
    let mut bytes = 0;
    let untagged = prune_images(node, all, &filters, &mut bytes);
    let fits = |labels: &_| filters.given.labels(labels);
    let volumes = if asked.volumes { volumes::prune_nameless(node, fits, &mut bytes) } else { Ok(()) };
    print(&format!("Total reclaimed space: {}", decimal(bytes)));
    each_of([removed, untagged, volumes].into_iter(), |()| ())
}

fn prune_containers(node: &Node<'_>, filters: &Filters) -> Result<()> {
    // Others may be there by now, and run.
    let mut ended = list::all(node)?;
    ended.retain(|one| is_over(one) && filters.take(one.created, &one.labels));
    let names: Vec<String> = ended.iter().map(|one| one.name.to_string()).collect();
    each_told(&names, |name| {
        let id = ended.iter().find(|one| *one.name == *name).map_or(name, |one| &one.id);
        node.done(&Request::Remove { name: id.to_owned(), force: false, volumes: false })?;
        Ok(format!("Deleted: {name}"))
    })
}

/// `bytes` counts the room that is free by it.
fn prune_images(node: &Node<'_>, all: bool, filters: &Filters, bytes: &mut u64) -> Result<()> {
    let store = Store::open(node.store)?;
    let untagged = if all { prune_names(node, &store, filters) } else { Ok(()) };
    // Once more: a container that was made of a name that has just gone is to start again.
    let mut nameless = store.nameless()?;
    let stores = node.stores();
    let spared: Vec<Digest> =
        nameless.iter().filter(|one| !filters.take_image(&stores, one)).cloned().collect();
    let collected =
        store.collect_but(|| kept(node).map(|kept| kept.into_iter().chain(spared.clone()).collect()))?;
    nameless.retain(|digest| !store.has_manifest(digest));
    nameless.iter().for_each(|digest| deleted(node, digest));
    *bytes += collected.bytes;
    untagged
}

fn prune_names(node: &Node<'_>, store: &Store, filters: &Filters) -> Result<()> {
    let (kept, stores) = (kept(node)?, node.stores());
    let goes = |image: &Listed| !kept.contains(&image.digest) && filters.take_image(&stores, &image.digest);
    let images = store.list()?.into_iter().filter(goes);
    let untag = |image: Listed| {
        let name = image.name.to_string();
        store.remove(&name)?;
        tell(node, Some(&image.digest), "untag", &name);
        Ok(format!("Untagged: {}", familiar(&name)))
    };
    each_of(images.map(untag), |untagged| print(&untagged))
}

/// It has ended, and a person asked for it: what `node.toml` has is not over, and pods' are the agent's to remove.
fn is_over(container: &Summary) -> bool {
    let persons = !container.configured && !container.labels.contains_key(POD);
    persons && matches!(container.status.state.as_str(), "exited" | "created")
}

/// The label of a pod's containers.
const POD: &str = "io.kubernetes.pod.uid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_enough_and_labelled_so_goes() {
        let own = BTreeMap::from([("tier".to_owned(), "front".to_owned())]);
        let hour = 3_600_000_000_000;
        for (words, takes) in [
            (&[][..], true),
            (&["until=30m"], true),
            (&["until=2h"], false),
            (&["until=30m", "label=tier=front"], true),
            (&["label=tier=back"], false),
            (&["label!=tier"], false),
            (&["label!=tier=back", "label!=app"], true),
        ] {
            let words: Vec<String> = words.iter().map(|&word: &&str| word.to_owned()).collect();
            let filters = Filters::new(&words, Pruned::Everything).unwrap();
            assert_eq!(filters.take(time::now() - hour, &own), takes, "{words:?}");
        }
        let dangling =
            |word: &str, what| Filters::new(&[word.to_owned()], what).map(|filters| filters.dangling);
        assert!(matches!(dangling("dangling=0", Pruned::Images), Ok(Some(false))));
        assert!(matches!(dangling("dangling=true", Pruned::Images), Ok(Some(true))));
        for (word, what) in [
            ("dangling=maybe", Pruned::Images),
            ("dangling=true", Pruned::Containers),
            ("until=soon", Pruned::Images),
            ("name=x", Pruned::Everything),
        ] {
            assert!(dangling(word, what).is_err(), "{word}");
        }
    }
}
