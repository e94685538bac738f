//! Removes images that nothing needs when the data disk is full ("Garbage collection of unused images"): the longest
//! unused go first. An image that a container is made of is needed, ended or not, a pod's or `node.toml`'s or a
//! person's; so is one that a pod of this node names, or has as a volume.

use crate::say::{Trouble, say};
use crate::server::stats::snapshot::files;
use crate::volume::{image, place};
use crate::worker::Context;
use spec::monitor::{Reply, Request, Summary};
use spec::node::Cluster;
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};
use store::{Digest, Listed, Store};
use tokio::sync::Mutex;

/// When each image was needed last, or seen first: what an agent that begins anew learns anew.
#[derive(Debug, Default)]
pub struct Collector {
    needed: Mutex<(BTreeMap<String, Instant>, Trouble)>,
}

/// An image that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unused {
    names: Vec<String>,
    since: Duration,
}

/// The bytes that are to become free; none while there is room.
fn excess(cluster: &Cluster, all: u64, used: u64) -> u64 {
    let share = |percent: u8| all / 100 * u64::from(percent.min(100));
    if used < share(cluster.image_gc_high) { 0 } else { used.saturating_sub(share(cluster.image_gc_low)) }
}

/// Those that may go, the longest unused first.
fn order(mut unused: Vec<Unused>, age: Duration) -> Vec<Unused> {
    unused.retain(|image| image.since >= age);
    unused.sort_by_key(|image| std::cmp::Reverse(image.since));
    unused
}

impl Collector {
    /// Looks at the images, and removes some when the disk is full, or all that may go when `all`; says whether
    /// anything became free.
    pub async fn collect(&self, context: &Context, all: bool) -> bool {
        let mut kept = self.needed.lock().await;
        let (since, trouble) = &mut *kept;
        let collected = collect(context, since, all).await;
        trouble.of("remove images that nothing needs", collected).unwrap_or(false)
    }
}

async fn collect(
    context: &Context,
    since: &mut BTreeMap<String, Instant>,
    all: bool,
) -> Result<bool, String> {
    let containers = match context.monitor.ask(&Request::List).await {
        Ok(Reply::Containers { containers }) => containers,
        Ok(other) => return Err(format!("the monitor answered {other:?} to \"list\"")),
        Err(error) => return Err(error.to_string()),
    };
    let volumes = image::all(Path::new(place::PODS));
    let needed = needed(context, &containers, &volumes);
    let store = Store::open(Path::new(paths::DATA_STORE)).map_err(|error| error.to_string())?;
    let listed = store.list().map_err(|error| error.to_string())?;
    let unused = unused(&listed, &needed, since);
    let cluster = &context.own.cluster;
    let space = files(Path::new(paths::DATA)).unwrap_or_default().bytes;
    let mut excess = if all { u64::MAX } else { excess(cluster, space[0], space[2]) };
    // That of a container whose name has moved on among them.
    let kept = needed.iter().map(|digest| digest.parse()).collect::<Result<_, String>>()?;
    let mut freed = false;
    for image in order(unused, cluster.image_gc_age.0) {
        if excess == 0 {
            break;
        }
        let bytes = remove(&store, &image.names, &kept).await?;
        say(format_args!(
            "image {} is removed: {} MiB of the disk are free again",
            image.names.join(", "),
            bytes >> 20
        ));
        excess = excess.saturating_sub(bytes);
        freed |= bytes > 0;
    }
    Ok(freed)
}

/// Digests of manifests that somebody needs.
fn needed(context: &Context, containers: &[Summary], volumes: &[image::Image]) -> BTreeSet<String> {
    let shown = context.board.all();
    let of_pods = shown.iter().flat_map(|pod| pod.containers.iter().map(|own| own.image.as_str()));
    let names = containers.iter().map(|own| own.image.as_str()).chain(of_pods);
    let found = names.filter_map(|name| context.images.find(name)).map(|found| found.digest);
    let mounted = volumes.iter().map(|own| own.digest.clone());
    containers.iter().filter_map(|own| own.digest.clone()).chain(mounted).chain(found).collect()
}

/// Images of the store that nobody needs, by their digests, each with how long.
fn unused(
    listed: &[Listed],
    needed: &BTreeSet<String>,
    since: &mut BTreeMap<String, Instant>,
) -> Vec<Unused> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for image in listed.iter().filter(|image| !image.read_only) {
        names.entry(image.digest.to_string()).or_default().push(image.name.to_string());
    }
    since.retain(|digest, _| names.contains_key(digest));
    let mut unused = Vec::new();
    for (digest, names) in names {
        let last = since.entry(digest.clone()).or_insert_with(Instant::now);
        if needed.contains(&digest) {
            *last = Instant::now();
        } else {
            unused.push(Unused { names, since: last.elapsed() });
        }
    }
    unused
}

/// Removes an image and what of it no other needs; gives the bytes. A thread of its own waits for the disk.
async fn remove(store: &Store, names: &[String], kept: &BTreeSet<Digest>) -> Result<u64, String> {
    let (store, names, kept) = (store.clone(), names.to_vec(), kept.clone());
    let removed = tokio::task::spawn_blocking(move || {
        names.iter().try_for_each(|name| store.remove(name))?;
        store.collect(&kept).map(|collected| collected.bytes)
    });
    removed.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_once_the_disk_is_full_until_it_is_not() {
        let cluster = Cluster::default();
        assert_eq!(excess(&cluster, 1000, 849), 0);
        assert_eq!(excess(&cluster, 1000, 850), 50);
        assert_eq!(excess(&cluster, 1000, 1000), 200);
    }

    #[test]
    fn what_is_needed_or_new_stays() {
        let image = |name: &str, digit: char| Listed {
            name: name.parse().unwrap(),
            digest: format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap(),
            read_only: digit == 'f',
        };
        let listed = [image("a", '1'), image("a-too", '1'), image("b", '2'), image("root", 'f')];
        let mut since = BTreeMap::new();
        let digest = |image: &Listed| image.digest.to_string();
        let gone = unused(&listed, &BTreeSet::from([digest(&listed[2])]), &mut since);
        let names = ["docker.io/library/a:latest", "docker.io/library/a-too:latest"];
        assert_eq!((gone.len(), &gone[0].names[..]), (1, &names.map(str::to_owned)[..]));
        assert_eq!(order(gone.clone(), Duration::from_secs(60)), []);
        let old = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        since.insert(digest(&listed[2]), old);
        let gone = unused(&listed, &BTreeSet::new(), &mut since);
        let first = &order(gone, Duration::ZERO)[0].names;
        assert_eq!(first, &["docker.io/library/b:latest"], "the longest unused first");
    }
}
