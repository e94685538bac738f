//! Static pods: files of the node with a pod each, YAML or JSON, and their mirrors at the API server, by which
//! `kubectl` sees them. A mirror is a picture: deleting it ends nothing, and it comes back.
//!
//! ```text
//! FOLDER/web.yaml ─▶ pod web-NODE, its UID a hash of the file ─▶ a worker
//!                                   └─▶ mirror pod (annotation kubernetes.io/config.mirror = that hash)
//! ```

use crate::api;
use crate::manifest;
use crate::pods::{Known, Static};
use crate::say::{Trouble, say};
use crate::worker::Context;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, PostParams, Preconditions};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
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

/// Reads the folder for ever, and tells which pods there are.
pub async fn read(context: &Context, found: &watch::Sender<Static>) {
    let Some(folder) = context.own.cluster.static_pods.clone() else { return };
    let folder = Path::new(&folder);
    let mut trouble = Trouble::default();
    loop {
        let opened = crate::folder::watch(folder);
        let Some(mut changes) = trouble.of(&format!("watch {}", folder.display()), opened) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        loop {
            found.send_replace(Arc::new(pods(folder, &context.own.name)));
            if changes.changed().await.is_err() {
                break;
            }
        }
    }
}

/// The pods of a folder, by UID. A file that is none is told, and no reason to end others.
fn pods(folder: &Path, node: &str) -> BTreeMap<String, Arc<Pod>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || !entry.metadata().is_ok_and(|own| own.is_file() && own.len() <= LONGEST) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| cause(&error));
        match text.and_then(|text| pod(&path.display().to_string(), &text, node)) {
            Ok(pod) => drop(found.insert(pod.metadata.uid.clone().unwrap_or_default(), Arc::new(pod))),
            Err(reason) => say(format_args!("{}: {reason}", path.display())),
        }
    }
    found
}

/// The pod of a file.
fn pod(path: &str, text: &str, node: &str) -> Result<Pod, String> {
    let mut pod: Pod = manifest::read(text)?;
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

/// Keeps pictures of static pods at the API server, for ever; `known` are those that are there.
pub async fn keep_mirrors(
    context: &Context,
    owner: &watch::Receiver<Option<OwnerReference>>,
    mut found: watch::Receiver<Static>,
    mut known: watch::Receiver<Known>,
) {
    let mut trouble = Trouble::default();
    loop {
        let (pods, there) = (found.borrow_and_update().clone(), known.borrow_and_update().clone());
        let owner = owner.borrow().clone();
        let mut again = false;
        if let (Some(owner), Some(there)) = (owner, there) {
            for step in steps(&pods, &there) {
                let done = perform(context, &step, &owner).await.map_err(|error| api::words(&error));
                again |= trouble.of("mirror static pods", done).is_none();
            }
        } else {
            again = true;
        }
        let change = async {
            tokio::select! {
                one = found.changed() => one.is_ok(),
                one = known.changed() => one.is_ok(),
            }
        };
        let goes_on = if again { timeout(PAUSE, change).await.unwrap_or(true) } else { change.await };
        if !goes_on {
            return;
        }
    }
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
        let json = r#"{ "metadata": { "name": "j", "namespace": "k" }, "spec": { "containers": [{ "name": "m" }] } }"#;
        assert_eq!(pod("/m/j", json, "n1").unwrap().metadata.namespace.as_deref(), Some("k"));
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
