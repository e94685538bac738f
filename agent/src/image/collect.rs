//! Removes images that nothing needs when the data disk is full ("Garbage collection of unused images"): the longest
//! unused go first; and, if the configuration says so, those that nothing has needed for long. An image that a container is made of is needed, ended or not, a pod's or `node.toml`'s or a
//! person's; so is one that a pod of this node names that is not over, or has as a volume.

use crate::monitor::Monitor;
use crate::pod::{next, status};
use crate::pods::recorded;
use crate::say::{Trouble, say};
use crate::server::pods::Pods;
use crate::server::stats::snapshot::files;
use crate::volume::{image, place};
use crate::worker::Context;
use k8s_openapi::api::core::v1::Pod;
use spec::monitor::Summary;
use spec::node::Cluster;
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Digest, Listed, Store, Stores};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// How long after a check of the store another one may begin.
const CHECK: Duration = Duration::from_secs(60 * 60);

/// What is known of the images.
#[derive(Debug, Default)]
pub struct Collector {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// What an agent that begins anew learns anew; none before its first look.
    seen: Option<BTreeMap<Digest, Seen>>,
    trouble: Trouble,
    /// Why the last look failed, if it did.
    failed: Option<String>,
    /// When the store was checked because an image could not be read.
    checked: Option<Instant>,
}

/// When an image was needed last, or seen first.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// None of one that was here before.
    first: Option<Instant>,
    last: Instant,
}

/// An image that nothing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unused {
    digest: Digest,
    names: Vec<String>,
    /// How long it is here; none of one that was here before this agent.
    age: Option<Duration>,
    /// How long nothing has needed it.
    since: Duration,
}

/// Who tells what is needed.
struct Needs {
    monitor: Monitor,
    board: Pods,
    stores: Arc<Stores>,
}

/// Why nothing more is removed.
#[derive(Debug)]
enum Failure {
    Store(store::Error),
    /// Nobody tells what is needed, and why.
    Needs(String),
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// The bytes that are to become free; none while there is room.
fn excess(cluster: &Cluster, all: u64, used: u64) -> u64 {
    let share = |percent: u8| all / 100 * u64::from(percent.min(100));
    if used < share(cluster.image_gc_high) { 0 } else { used.saturating_sub(share(cluster.image_gc_low)) }
}

/// Those that may go, the longest unused first. One that has just come is spared: whoever had it fetched may need it next.
fn order(mut unused: Vec<Unused>, least: Duration) -> Vec<Unused> {
    unused.retain(|image| image.age.is_none_or(|age| age >= least));
    unused.sort_by_key(|image| std::cmp::Reverse(image.since));
    unused
}

/// What is to go of images that nothing needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Goal {
    /// As many as it takes until so many bytes are free again.
    excess: u64,
    /// And all that have been of no use for longer.
    most: Option<Duration>,
}

impl Goal {
    fn is_old(&self, image: &Unused) -> bool {
        self.most.is_some_and(|most| image.since > most)
    }
}

impl Collector {
    /// Looks at the images, and removes some when the disk is full or they are old, or all that may go when `all`; says whether
    /// anything became free.
    pub async fn collect(&self, context: &Context, all: bool) -> bool {
        let mut known = self.known.lock().await;
        let collected = collect(context, &mut known, all).await;
        if let Some(reason) = known.news(collected.as_ref().err()) {
            context.events.say_of_node(&context.own.name, false, "ImageGCFailed", reason);
        }
        known.trouble.of("remove images that nothing needs", collected).unwrap_or(false)
    }
}

async fn collect(context: &Context, known: &mut Known, all: bool) -> Result<bool, String> {
    let stores = context.images.stores.clone();
    let needs = Needs { monitor: context.monitor.clone(), board: context.board.clone(), stores };
    let needed = needs.ask().await?;
    let store = Store::open(Path::new(paths::DATA_STORE)).map_err(|error| error.to_string())?;
    let listed = store.list().map_err(|error| error.to_string())?;
    let unused = unused(&listed, &needed, &mut known.seen);
    let cluster = &context.own.cluster;
    let space = files(Path::new(paths::DATA)).unwrap_or_default().bytes;
    let excess = if all { u64::MAX } else { excess(cluster, space[0], space[2]) };
    let goal = Goal { excess, most: cluster.image_gc_max_age.map(|most| most.0) };
    let unused = order(unused, cluster.image_gc_age.0);
    if excess == 0 && !unused.iter().any(|image| goal.is_old(image)) {
        return Ok(false);
    }
    // A thread of its own waits for the disk.
    let handle = Handle::current();
    let freed =
        tokio::task::spawn_blocking(move || make_room(&store, unused, || handle.block_on(needs.ask()), goal));
    match freed.await.map_err(|error| error.to_string())? {
        Ok(bytes) => Ok(bytes > 0),
        Err(Failure::Needs(reason)) => Err(reason),
        Err(Failure::Store(error)) => {
            known.mend();
            Err(error.to_string())
        }
    }
}

impl Known {
    /// What people are told of a look: why it failed, unless the one before failed alike. Under pressure there is a look every
    /// ten seconds, and the node has other events.
    fn news(&mut self, failed: Option<&String>) -> Option<String> {
        let before = std::mem::replace(&mut self.failed, failed.cloned());
        failed.filter(|reason| before.as_ref() != Some(*reason)).cloned()
    }

    /// Has the store checked, for an image that cannot be read keeps the files of all others there. Nobody waits for it.
    fn mend(&mut self) {
        if self.checked.is_none_or(|last| last.elapsed() >= CHECK) {
            self.checked = Some(Instant::now());
            tokio::spawn(super::mend());
        }
    }
}

impl Needs {
    /// Digests of manifests that somebody needs, that of a container whose name has moved on among them.
    async fn ask(&self) -> Result<BTreeSet<Digest>, String> {
        let containers = self.monitor.list().await.map_err(|error| error.to_string())?;
        self.needed(&containers, &image::all(Path::new(place::PODS)))
    }

    fn needed(&self, containers: &[Summary], volumes: &[image::Image]) -> Result<BTreeSet<Digest>, String> {
        let shown = self.board.all();
        let others = shown.iter().filter(|pod| !pod.object.as_deref().is_some_and(status::is_terminal));
        let of_pods = others.flat_map(|pod| pod.containers.iter().map(|own| own.image.as_str()));
        let recorded = recorded();
        let before = named_before(&recorded, |uid| shown.iter().any(|pod| pod.uid == uid));
        let names = containers.iter().map(|own| own.image.as_str()).chain(of_pods).chain(before);
        let found = names.filter_map(|name| self.stores.digest(name).ok().flatten());
        let digests = containers.iter().flat_map(|own| own.digest.iter().chain(&own.images));
        let told = digests.chain(volumes.iter().map(|own| &own.digest)).map(|digest| digest.parse());
        told.chain(found.map(Ok)).collect()
    }
}

/// Images that pods of this node name which an agent that begins anew has not shown yet: it may wait for the disk first.
fn named_before(recorded: &[Pod], is_shown: impl Fn(&str) -> bool) -> impl Iterator<Item = &str> {
    let is_new = move |pod: &&Pod| !is_shown(pod.metadata.uid.as_deref().unwrap_or_default());
    let others = recorded.iter().filter(is_new).filter(|pod| !status::is_terminal(pod));
    let containers = others.filter_map(|pod| pod.spec.as_ref()).flat_map(next::containers);
    containers.filter_map(|(_, own)| own.image.as_deref())
}

/// Images of the store that nobody needs, by their digests, each with how long.
fn unused(
    listed: &[Listed],
    needed: &BTreeSet<Digest>,
    seen: &mut Option<BTreeMap<Digest, Seen>>,
) -> Vec<Unused> {
    let now = Instant::now();
    let first = seen.is_some().then_some(now);
    let seen = seen.get_or_insert_default();
    let mut names: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    for image in listed.iter().filter(|image| !image.read_only) {
        names.entry(image.digest.clone()).or_default().push(image.name.to_string());
    }
    seen.retain(|digest, _| names.contains_key(digest));
    let mut unused = Vec::new();
    for (digest, names) in names {
        let own = seen.entry(digest.clone()).or_insert(Seen { first, last: now });
        if needed.contains(&digest) {
            own.last = now;
        } else {
            let age = own.first.map(|first| now.saturating_duration_since(first));
            unused.push(Unused { digest, names, age, since: now.saturating_duration_since(own.last) });
        }
    }
    unused
}

/// Makes room: first what has no name, which shows, too, that everything that stays can be read; then
/// one image after the other. This may take minutes: what somebody has come to need meanwhile, by the word of
/// `needed`, stays. Gives the bytes that are free again.
fn make_room(
    store: &Store,
    unused: Vec<Unused>,
    needed: impl Fn() -> Result<BTreeSet<Digest>, String>,
    goal: Goal,
) -> Result<u64, Failure> {
    let needed = || needed().map_err(Failure::Needs);
    let is_damaged = |image: &Unused| image.names.iter().any(|name| store.resolve(name).is_err());
    let (damaged, whole): (Vec<_>, Vec<_>) = unused.into_iter().partition(is_damaged);
    for image in &damaged {
        if forget(store, image, &needed()?)? {
            say(format_args!("image {} is removed: it is damaged", image.names.join(", ")));
        }
    }
    let mut freed = store.collect_but(needed)?.bytes;
    for image in whole {
        // The longest unused come first.
        if freed >= goal.excess && !goal.is_old(&image) {
            break;
        }
        if !forget(store, &image, &needed()?)? {
            continue;
        }
        let bytes = store.collect_but(needed)?.bytes;
        say(format_args!(
            "image {} is removed: {} MiB of the disk are free again",
            image.names.join(", "),
            bytes >> 20
        ));
        freed += bytes;
    }
    Ok(freed)
}

/// Takes an image its names, unless it is needed.
fn forget(store: &Store, image: &Unused, needed: &BTreeSet<Digest>) -> store::Result<bool> {
    let may_go = !needed.contains(&image.digest);
    if may_go {
        image.names.iter().try_for_each(|name| store.remove(name))?;
    }
    Ok(may_go)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::path::PathBuf;
    use store::Platform;

    const ALL: Goal = Goal { excess: u64::MAX, most: None };

    #[test]
    fn images_go_once_the_disk_is_full_until_it_is_not() {
        let cluster = Cluster::default();
        assert_eq!(excess(&cluster, 1000, 849), 0);
        assert_eq!(excess(&cluster, 1000, 850), 50);
        assert_eq!(excess(&cluster, 1000, 1000), 200);
    }

    #[test]
    fn what_fails_again_and_again_is_told_once() {
        let mut known = Known::default();
        let (down, full) = ("down".to_owned(), "full".to_owned());
        let looks = [Some(&down), Some(&down), Some(&full), None, Some(&full)];
        let told = looks.map(|failed| known.news(failed).is_some());
        assert_eq!(told, [true, false, true, false, true]);
    }

    #[test]
    fn what_a_pod_names_stays_before_the_pod_is_shown() {
        let pod = |uid: &str, phase: &str| -> Pod {
            let named = |name: &str| json!([{ "name": "m", "image": format!("{name}-{uid}") }]);
            serde_json::from_value(json!({
                "metadata": { "uid": uid },
                "spec": { "initContainers": named("init"), "containers": named("main") },
                "status": { "phase": phase },
            }))
            .unwrap()
        };
        let recorded = [pod("a", "Pending"), pod("b", "Failed"), pod("c", "Running")];
        let names: Vec<&str> = named_before(&recorded, |uid| uid == "c").collect();
        assert_eq!(names, ["init-a", "main-a"], "one is over, and what another needs is known");
    }

    #[test]
    fn what_is_needed_or_new_stays() {
        let image = |name: &str, digit: char| Listed {
            name: name.parse().unwrap(),
            digest: format!("sha256:{}", digit.to_string().repeat(64)).parse().unwrap(),
            index: None,
            read_only: digit == 'f',
        };
        let listed = [image("a", '1'), image("a-too", '1'), image("b", '2'), image("root", 'f')];
        let mut seen = None;
        let digest = |image: &Listed| image.digest.clone();
        let needed = BTreeSet::from([digest(&listed[2])]);
        let least = Duration::from_secs(60);
        let gone = unused(&listed[..1], &needed, &mut seen);
        assert_eq!(order(gone, least).len(), 1, "it was here before");
        seen = Some(BTreeMap::new());
        let gone = unused(&listed, &needed, &mut seen);
        let names = ["docker.io/library/a:latest", "docker.io/library/a-too:latest"];
        assert_eq!((gone.len(), &gone[0].names[..]), (1, &names.map(str::to_owned)[..]));
        assert_eq!(order(gone.clone(), least), []);
        let old = Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let all = seen.as_mut().unwrap();
        all.insert(digest(&listed[0]), Seen { first: Some(old), last: Instant::now() });
        all.insert(digest(&listed[2]), Seen { first: Some(old), last: old });
        let gone = unused(&listed, &BTreeSet::new(), &mut seen);
        assert_eq!(
            order(gone.clone(), least).len(),
            2,
            "what was needed just now may go once it is old enough"
        );
        let first = &order(gone, Duration::ZERO)[0].names;
        assert_eq!(first, &["docker.io/library/b:latest"], "the longest unused first");
    }

    /// An image without layers, as an OCI layout has it; gives its digest.
    fn import(store: &Store, name: &str) -> Digest {
        let layout = store.root().with_file_name(name);
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let blob = |kind: &str, value: Value| {
            let bytes = value.to_string();
            let digest = Digest::sha256(bytes.as_bytes());
            std::fs::write(layout.join("blobs/sha256").join(digest.hex()), &bytes).unwrap();
            let media_type = format!("application/vnd.oci.image.{kind}.v1+json");
            (json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }), digest)
        };
        let own =
            json!({ "os": "linux", "architecture": "amd64", "author": name, "rootfs": { "diff_ids": [] } });
        let (config, _) = blob("config", own);
        let (entry, digest) = blob("manifest", json!({ "schemaVersion": 2, "config": config, "layers": [] }));
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        std::fs::write(layout.join("index.json"), index.to_string()).unwrap();
        store.import(&layout, name).unwrap();
        digest
    }

    fn store_in(name: &str) -> (PathBuf, Store) {
        let folder = std::env::temp_dir().join(format!("skerry-make-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        let store = Store::open(&folder.join("store")).unwrap().for_platform(platform);
        (folder, store)
    }

    fn unused_one(name: &str, digest: &Digest) -> Unused {
        Unused { digest: digest.clone(), names: vec![name.into()], age: None, since: Duration::ZERO }
    }

    #[test]
    fn what_is_needed_by_the_time_its_turn_comes_stays() {
        let (folder, store) = store_in("turn");
        let [first, second, third] = ["first", "second", "third"].map(|name| import(&store, name));
        let is_here = |digest: &Digest| store.root().join("blobs/sha256").join(digest.hex()).exists();
        // Containers are made of the second while the first goes, and of the third when its name has just gone.
        let needed = || {
            let named = store.list().unwrap();
            let has_gone = |digest: &Digest| named.iter().all(|image| image.digest != *digest);
            let of_second = has_gone(&first).then(|| second.clone());
            let of_third = has_gone(&third).then(|| third.clone());
            Ok(of_second.into_iter().chain(of_third).collect())
        };
        let unused = [("first", &first), ("second", &second), ("third", &third)];
        let unused = unused.map(|(name, digest)| unused_one(name, digest)).into();
        assert!(make_room(&store, unused, needed, ALL).unwrap() > 0);
        assert!(!is_here(&first) && is_here(&second) && is_here(&third));
        let names: Vec<String> = store.list().unwrap().iter().map(|image| image.name.to_string()).collect();
        assert_eq!(names, ["docker.io/library/second:latest"]);
        let nobody_tells = make_room(&store, Vec::new(), || Err("away".into()), ALL);
        assert!(matches!(nobody_tells, Err(Failure::Needs(_))) && is_here(&third));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_has_been_of_no_use_for_long_goes_though_there_is_room() {
        let (folder, store) = store_in("age");
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let mut unused: Vec<Unused> = [("old", 30), ("older", 40), ("new", 1)]
            .map(|(name, age)| Unused { since: hours(age), ..unused_one(name, &import(&store, name)) })
            .into();
        unused = order(unused, Duration::ZERO);
        let names = || store.list().unwrap().iter().map(|image| image.name.to_string()).collect::<Vec<_>>();
        let make_room = |excess, most| {
            make_room(&store, unused.clone(), || Ok(BTreeSet::new()), Goal { excess, most }).unwrap()
        };
        make_room(0, None);
        assert_eq!(names().len(), 3);
        assert!(make_room(0, Some(hours(24))) > 0);
        assert_eq!(names(), ["docker.io/library/new:latest"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_name_goes_while_no_file_can() {
        let (folder, store) = store_in("room");
        let (needed, idle) = (import(&store, "needed"), import(&store, "idle"));
        let kept = BTreeSet::from([needed.clone()]);
        let make_room = || {
            make_room(&store, vec![unused_one("idle", &idle)], || Ok(kept.clone()), ALL)
                .ok()
                .map(|bytes| bytes > 0)
        };
        let names = || store.list().unwrap().len();
        let path = |digest: &Digest| store.root().join("blobs/sha256").join(digest.hex());
        let whole = std::fs::read(path(&needed)).unwrap();
        std::fs::write(path(&needed), b"{}").unwrap();
        assert_eq!((make_room(), names()), (None, 2), "nobody knows what the damaged one needs");
        std::fs::write(path(&needed), whole).unwrap();
        assert_eq!((make_room(), names()), (Some(true), 1));
        import(&store, "idle");
        std::fs::write(path(&idle), b"{}").unwrap();
        assert_eq!(
            (make_room(), names()),
            (Some(true), 1),
            "one that nobody needs and can use stops nothing"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
