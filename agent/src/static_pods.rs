//! Static pods: files of the node with a pod each, YAML or JSON, and their mirrors at the API server, by which
//! `kubectl` sees them. A mirror is a picture: deleting it ends nothing, and it comes back.
//!
//! ```text
//! FOLDER/web.yaml ─▶ pod web-NODE, its UID a hash of the file ─▶ a worker
//!                                   └─▶ mirror pod (annotation kubernetes.io/config.mirror = that hash)
//! ```

mod fault;

use crate::api;
use crate::manifest;
use crate::pods::{Known, Static};
use crate::say::{Trouble, say};
use crate::worker::Context;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use sha2::{Digest, Sha256};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use sys::cause::cause;
use tokio::sync::watch;
use tokio::time::timeout;

/// Where a pod comes from.
const SOURCE: &str = "kubernetes.io/config.source";
/// The hash of its file.
const HASH: &str = "kubernetes.io/config.hash";
/// On a mirror: whose picture it is.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// Longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Between two attempts while the API server is away.
const PAUSE: Duration = Duration::from_secs(2);

/// And after many that it has refused.
const REFUSED: Duration = Duration::from_secs(300);

/// How often the folder is read though nothing tells of a change: a link that is made there is no event, and it may
/// be that none comes at all.
const LOOK: Duration = Duration::from_secs(20);

/// Reads the folder for ever, and tells which pods there are.
pub async fn read(context: &Context, found: &watch::Sender<Static>) {
    match &context.own.cluster.static_pods {
        Some(folder) => follow(Path::new(folder), &context.own.name, found).await,
        None => drop(found.send_replace(Some(Arc::default()))),
    }
}

/// Tells which pods a folder has, for ever. What cannot be read says nothing: the pods that are here go on.
async fn follow(folder: &Path, node: &str, found: &watch::Sender<Static>) {
    let (mut watching, mut reading) = (Trouble::default(), Trouble::default());
    let mut faults = BTreeMap::new();
    loop {
        let opened = crate::folder::watch(folder);
        let mut changes = watching.of(&format!("watch {}", folder.display()), opened);
        loop {
            let read = Found::read(folder, node).map_err(|error| cause(&error));
            if let Some(read) = reading.of(&format!("read {}", folder.display()), read) {
                for (path, reason) in read.faults.iter().filter(|(path, own)| faults.get(*path) != Some(*own))
                {
                    say(format_args!("{}: {reason}", path.display()));
                }
                faults = read.faults;
                let pods = Some(Arc::new(read.pods));
                found.send_if_modified(|own| {
                    let changes = *own != pods;
                    *own = pods;
                    changes
                });
            }
            let Some(changes) = &mut changes else {
                tokio::time::sleep(LOOK).await;
                break;
            };
            if let Ok(Err(_)) = timeout(LOOK, changes.changed()).await {
                break;
            }
        }
    }
}

/// What a folder has.
#[derive(Debug, Default)]
struct Found {
    /// By UID.
    pods: BTreeMap<String, Arc<Pod>>,
    /// Files that are no pods, and why: no reason to end others.
    faults: BTreeMap<PathBuf, String>,
}

impl Found {
    fn read(folder: &Path, node: &str) -> io::Result<Self> {
        let mut found = Self::default();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if hidden || !fs::metadata(&path).is_ok_and(|own| own.is_file() && own.len() <= LONGEST) {
                continue;
            }
            let text = match fs::read(&path) {
                // It has just gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            let text = String::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned());
            match text.and_then(|text| pod(&path.display().to_string(), &text, node)) {
                Ok(pod) => {
                    drop(found.pods.insert(pod.metadata.uid.clone().unwrap_or_default(), Arc::new(pod)))
                }
                Err(reason) => drop(found.faults.insert(path, reason)),
            }
        }
        Ok(found)
    }
}

/// The pod of a file.
fn pod(path: &str, text: &str, node: &str) -> Result<Pod, String> {
    let mut pod: Pod = manifest::read(text)?;
    pod.metadata.name.as_ref().ok_or("a pod without a name")?;
    if let Some(reason) = fault::of(&pod) {
        return Err(reason);
    }
    let spec =
        pod.spec.as_mut().filter(|spec| !spec.containers.is_empty()).ok_or("a pod without containers")?;
    spec.node_name = Some(node.to_owned());
    let everything = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    spec.tolerations.get_or_insert_default().push(everything);
    let hash: String = Sha256::digest(format!("{node}\0{path}\0{text}"))[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let metadata = &mut pod.metadata;
    let name = metadata.name.as_ref().ok_or("a pod without a name")?;
    metadata.name = Some(format!("{name}-{node}"));
    metadata.namespace.get_or_insert_with(|| "default".to_owned());
    metadata.uid = Some(hash.clone());
    let notes = metadata.annotations.get_or_insert_default();
    notes.insert(SOURCE.to_owned(), "file".to_owned());
    notes.insert(HASH.to_owned(), hash);
    Ok(pod)
}

/// One pod of each name, as two of a name have one place at the API server and one purpose here: the one that is here
/// already, else the first. The others are given by their names, and wait until it has gone.
pub fn one_of_each(
    pods: &BTreeMap<String, Arc<Pod>>,
    is_here: impl Fn(&str) -> bool,
) -> (BTreeMap<String, Arc<Pod>>, BTreeSet<String>) {
    let name = |pod: &Pod| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name))
    };
    let (mut taken, mut waiting) = (BTreeMap::new(), BTreeSet::new());
    let is_here = &is_here;
    let here = |here: bool| pods.iter().filter(move |(uid, _)| is_here(uid) == here);
    for (uid, pod) in here(true).chain(here(false)) {
        match taken.entry(name(pod)) {
            Entry::Vacant(place) => drop(place.insert((uid.clone(), pod.clone()))),
            Entry::Occupied(place) => drop(waiting.insert(place.key().clone())),
        }
    }
    (taken.into_values().collect(), waiting)
}

/// The hash of the static pod that a pod is the picture of.
pub fn mirrored(pod: &Pod) -> Option<&String> {
    pod.metadata.annotations.as_ref()?.get(MIRROR)
}

/// A pod is the node's own.
pub fn is_static(pod: &Pod) -> bool {
    pod.metadata
        .annotations
        .as_ref()
        .is_some_and(|notes| notes.get(SOURCE).is_some_and(|source| source == "file"))
}

/// A pod of the API server is none of the node's own, whatever it says of itself: people copy what `kubectl` shows of a
/// static one.
pub fn disown(pod: &mut Pod) {
    let source = pod.metadata.annotations.as_mut().and_then(|notes| notes.get_mut(SOURCE));
    source.into_iter().for_each(|source| "api".clone_into(source));
}

/// Keeps pictures of static pods at the API server, for ever; `known` are those that are there.
pub async fn keep_mirrors(
    context: &Context,
    owner: &watch::Receiver<Option<OwnerReference>>,
    mut found: watch::Receiver<Static>,
    mut known: watch::Receiver<Known>,
) {
    let mut trouble = Trouble::default();
    let mut refusals = 0;
    loop {
        let (pods, there) = (found.borrow_and_update().clone(), known.borrow_and_update().clone());
        let owner = owner.borrow().clone();
        let mut pause = None;
        if let (Some(owner), Some(pods), Some(there)) = (owner, pods, there) {
            let mut wrong: Option<kube::Error> = None;
            for step in steps(&pods, &there) {
                // What is tried again soon counts before what is refused.
                if let Err(error) = perform(context, &step, &owner).await
                    && wrong.as_ref().is_none_or(is_refusal)
                {
                    wrong = Some(error);
                }
            }
            let is_refused = wrong.as_ref().is_some_and(is_refusal);
            refusals = if is_refused { refusals + 1 } else { 0 };
            let done = wrong.map_or(Ok(()), |error| Err(api::words(&error)));
            if trouble.of("mirror static pods", done).is_none() {
                pause = Some(later(refusals));
            }
        } else {
            pause = Some(PAUSE);
        }
        let change = async {
            tokio::select! {
                one = found.changed() => one.is_ok(),
                one = known.changed() => one.is_ok(),
            }
        };
        let goes_on = match pause {
            Some(pause) => timeout(pause, change).await.unwrap_or(true),
            None => change.await,
        };
        if !goes_on {
            return;
        }
    }
}

/// How long after so many refusals in a row a picture is asked for again, unless something changes: an API server that has
/// just begun may refuse what it takes a moment later.
fn later(refusals: u32) -> Duration {
    PAUSE.saturating_mul(1 << refusals.min(8)).min(REFUSED)
}

/// It will say the same of the same picture.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(own) if matches!(own.code, 400 | 403 | 422))
}

#[derive(Debug, PartialEq)]
enum Step<'a> {
    Make(&'a Pod),
    Remove(&'a Pod),
}

/// A picture of no pod goes, and one that somebody deletes or that is of another file; a pod without a picture gets one.
fn steps<'a>(pods: &'a BTreeMap<String, Arc<Pod>>, there: &'a BTreeMap<String, Arc<Pod>>) -> Vec<Step<'a>> {
    let good = |mirror: &Pod| {
        mirror.metadata.deletion_timestamp.is_none()
            && mirrored(mirror).is_some_and(|hash| pods.contains_key(hash))
    };
    let mut steps: Vec<Step<'_>> =
        there.values().filter(|mirror| !good(mirror)).map(|mirror| Step::Remove(mirror)).collect();
    let has = |uid: &String| there.values().any(|mirror| good(mirror) && mirrored(mirror) == Some(uid));
    steps.extend(pods.iter().filter(|(uid, _)| !has(uid)).map(|(_, pod)| Step::Make(pod)));
    steps
}

async fn perform(context: &Context, step: &Step<'_>, owner: &OwnerReference) -> Result<(), kube::Error> {
    let (Step::Make(pod) | Step::Remove(pod)) = step;
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let pods: kube::Api<Pod> = kube::Api::namespaced(context.api.client(), &namespace);
    let done = match step {
        Step::Make(pod) => {
            let mut mirror = Pod::clone(pod);
            let hash = mirror.metadata.uid.take().unwrap_or_default();
            mirror.metadata.annotations.get_or_insert_default().insert(MIRROR.to_owned(), hash);
            mirror.metadata.owner_references = Some(vec![owner.clone()]);
            pods.create(&PostParams::default(), &mirror).await.map(drop)
        }
        Step::Remove(mirror) => {
            let preconditions =
                Some(Preconditions { uid: mirror.metadata.uid.clone(), resource_version: None });
            let params =
                DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
            pods.delete(mirror.metadata.name.as_deref().unwrap_or_default(), &params).await.map(drop)
        }
    };
    match done {
        Err(error) if api::is_missing(&error) || api::is_conflict(&error) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: m\n    image: nginx\n";

    #[test]
    fn a_file_is_a_pod_of_this_node() {
        let one = pod("/m/web.yaml", FILE, "n1").unwrap();
        let metadata = &one.metadata;
        assert_eq!(
            (metadata.name.as_deref(), metadata.namespace.as_deref()),
            (Some("web-n1"), Some("default"))
        );
        assert!(is_static(&one) && mirrored(&one).is_none());
        let other = pod("/m/web.yaml", &FILE.replace("nginx", "nginx:2"), "n1").unwrap();
        assert_ne!(metadata.uid, other.metadata.uid, "another file is another pod");
        for text in ["", "a: [", "metadata: { name: x }", "spec: { containers: [{ name: m }] }"] {
            assert!(pod("/m/x", text, "n1").is_err(), "{text:?}");
        }
        let asks = FILE.replace("spec:", "spec:\n  serviceAccountName: web");
        assert_eq!(pod("/m/x", &asks, "n1").unwrap_err(), "static pods may not reference serviceaccounts");
        let json = r#"{ "metadata": { "name": "j", "namespace": "k" }, "spec": { "containers": [{ "name": "m" }] } }"#;
        assert_eq!(pod("/m/j", json, "n1").unwrap().metadata.namespace.as_deref(), Some("k"));
    }

    #[test]
    fn what_is_refused_is_asked_for_later_each_time() {
        assert_eq!([0, 1, 2, 9].map(later), [2, 4, 8, 300].map(Duration::from_secs));
    }

    #[test]
    fn of_two_files_with_one_pod_one_is_taken() {
        let read = |path: &str| {
            let pod = pod(path, FILE, "n1").unwrap();
            (pod.metadata.uid.clone().unwrap(), Arc::new(pod))
        };
        let all = BTreeMap::from([read("/m/web.yaml"), read("/m/copy.yaml")]);
        let (first, last) = (all.keys().next().unwrap(), all.keys().last().unwrap());
        let of = |here: &str| {
            let (taken, waiting) = one_of_each(&all, |uid| uid == here);
            assert_eq!(waiting, ["default/web-n1".to_owned()].into());
            taken.into_keys().collect::<String>()
        };
        assert_eq!(of(last), *last, "the one that runs");
        assert_eq!(of("none"), *first);
        let alone = BTreeMap::from([read("/m/web.yaml")]);
        assert_eq!(one_of_each(&alone, |_| false), (alone.clone(), BTreeSet::new()));
    }

    #[test]
    fn only_a_file_makes_a_static_pod() {
        let mut copied = pod("/m/web.yaml", FILE, "n1").unwrap();
        disown(&mut copied);
        assert!(!is_static(&copied));
        let mut plain = Pod::default();
        disown(&mut plain);
        assert_eq!(plain, Pod::default());
    }

    #[test]
    fn a_folder_is_read_as_a_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("skerry-static-{}", std::process::id()));
        let file = folder.join("elsewhere/web.yaml");
        assert!(Found::read(&folder, "n1").unwrap().pods.is_empty(), "a folder that is not there has none");
        fs::create_dir_all(folder.join("elsewhere")).unwrap();
        fs::write(&file, FILE).unwrap();
        std::os::unix::fs::symlink(&file, folder.join("web.yaml")).unwrap();
        fs::write(folder.join("no.yaml"), b"\xff").unwrap();
        fs::write(folder.join(".web.swp"), FILE).unwrap();
        let found = Found::read(&folder, "n1").unwrap();
        assert_eq!(
            (found.pods.len(), found.faults),
            (1, BTreeMap::from([(folder.join("no.yaml"), "it is not UTF-8".to_owned())]))
        );
        assert!(Found::read(&file, "n1").is_err(), "it cannot be known which pods it has");
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_ends_nothing() {
        let folder = std::env::temp_dir().join(format!("skerry-static-read-{}", std::process::id()));
        // No folder, so there is nothing to be watched either.
        fs::write(&folder, "").unwrap();
        let (sender, mut found) = watch::channel(Static::default());
        let path = folder.clone();
        tokio::spawn(async move { follow(&path, "n1", &sender).await });
        assert!(timeout(3 * LOOK, found.changed()).await.is_err(), "{found:?}");
        fs::remove_file(&folder).unwrap();
        found.changed().await.unwrap();
        assert_eq!(*found.borrow(), Some(Arc::default()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_picture_comes_back_and_goes_with_its_file() {
        let own = Arc::new(pod("/m/web.yaml", FILE, "n1").unwrap());
        let uid = own.metadata.uid.clone().unwrap();
        let pods = BTreeMap::from([(uid.clone(), own.clone())]);
        let mut mirror = Pod::clone(&own);
        mirror.metadata.uid = Some("m1".into());
        mirror.metadata.annotations.get_or_insert_default().insert(MIRROR.into(), uid);
        let there = |mirror: &Pod| BTreeMap::from([("m1".to_owned(), Arc::new(mirror.clone()))]);
        assert_eq!(steps(&pods, &BTreeMap::new()), [Step::Make(&own)]);
        assert_eq!(steps(&pods, &there(&mirror)), []);
        assert_eq!(steps(&BTreeMap::new(), &there(&mirror)), [Step::Remove(&mirror)]);
        mirror.metadata.deletion_timestamp = Some(crate::pod::status::time(1));
        assert_eq!(steps(&pods, &there(&mirror)), [Step::Remove(&mirror), Step::Make(&own)]);
    }
}
