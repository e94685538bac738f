//! Events: what people read in `kubectl describe`. What comes again is counted on the event that is there, and a
//! pod that says too much is not heard for a while (as client-go's correlator has it: 25, then one in five
//! minutes).

use crate::api::{self, Api};
use crate::pod::next::{self, Kind};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Events that wait to be sent.
const WAITING: usize = 256;
/// Events that are remembered, to be counted.
const KNOWN: usize = 500;
/// What each object may say at once, and how long until it may say one more.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// Something that happened to a pod, to one of its containers, or to the node.
#[derive(Clone, Debug)]
struct Said {
    about: ObjectReference,
    /// Where the event lies: what is told of has none itself when it is a node.
    namespace: String,
    normal: bool,
    reason: String,
    message: String,
    /// What it says for programs.
    notes: BTreeMap<String, String>,
}

/// Where events are told.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Said>,
}

impl Events {
    /// The place, and what is to be given to [`keep`].
    pub fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, Waiting(receiver))
    }

    /// Tells of a pod; `container` is its name when it is about one. Nothing waits for it, and too much is dropped.
    pub fn say(
        &self,
        pod: &Pod,
        container: Option<&str>,
        normal: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let about = about(pod, container);
        self.send(about, namespace(pod), normal, reason, message.into(), BTreeMap::new());
    }

    /// Warns of a pod, with annotations of the event.
    pub fn warn_with(&self, pod: &Pod, reason: &str, message: &str, notes: BTreeMap<String, String>) {
        self.send(about(pod, None), namespace(pod), false, reason, message.to_owned(), notes);
    }

    /// Tells of the node of this name, whose UID is its name to events, as kubelets have it.
    pub fn say_of_node(&self, node: &str, normal: bool, reason: &str, message: impl Into<String>) {
        let about = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            uid: Some(node.to_owned()),
            ..ObjectReference::default()
        };
        self.send(about, "default".to_owned(), normal, reason, message.into(), BTreeMap::new());
    }

    fn send(
        &self,
        about: ObjectReference,
        namespace: String,
        normal: bool,
        reason: &str,
        message: String,
        notes: BTreeMap<String, String>,
    ) {
        let said = Said { about, namespace, normal, reason: reason.to_owned(), message, notes };
        let _ = self.sender.try_send(said);
    }
}

fn about(pod: &Pod, container: Option<&str>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        field_path: container.map(|name| field_path(pod, name)),
        resource_version: pod.metadata.resource_version.clone(),
    }
}

fn namespace(pod: &Pod) -> String {
    pod.metadata.namespace.clone().unwrap_or_default()
}

/// Where a container stands in its pod.
fn field_path(pod: &Pod, name: &str) -> String {
    let kind = pod.spec.as_ref().and_then(|spec| next::find(spec, name)).map(|(kind, _)| kind);
    let list = match kind {
        Some(Kind::Main) => "containers",
        Some(Kind::Init | Kind::Sidecar) => "initContainers",
        Some(Kind::Ephemeral) | None => "ephemeralContainers",
    };
    format!("spec.{list}{{{name}}}")
}

/// What waits to be sent.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Said>);

struct Known {
    name: String,
    count: i32,
    used: Instant,
}

/// Sends events for ever.
pub async fn keep(api: &Api, node: &str, mut waiting: Waiting) {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut buckets: BTreeMap<String, (f64, Instant)> = BTreeMap::new();
    while let Some(said) = waiting.0.recv().await {
        let uid = said.about.uid.clone().unwrap_or_default();
        if !may_speak(buckets.entry(uid).or_insert((BURST, Instant::now()))) {
            continue;
        }
        let key = format!(
            "{:?} {} {}",
            said.about.field_path.as_ref().or(said.about.name.as_ref()),
            said.about.uid.as_deref().unwrap_or_default(),
            said.reason
        );
        let key = format!("{key} {}", said.message);
        let sent = match known.get_mut(&key) {
            Some(one) => count(api, &said, one).await,
            None => create(api, node, &said).await.map(|one| drop(known.insert(key.clone(), one))),
        };
        // An event is no reason to wait: what the API server does not take now is lost.
        if sent.is_err() {
            known.remove(&key);
        }
        if known.len() > KNOWN {
            known.retain(|_, one| one.used.elapsed() < REFILL);
            buckets.retain(|_, (_, last)| last.elapsed() < REFILL);
        }
    }
}

fn may_speak((left, last): &mut (f64, Instant)) -> bool {
    *left = (*left + last.elapsed().as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
    *last = Instant::now();
    let may = *left >= 1.0;
    if may {
        *left -= 1.0;
    }
    may
}

async fn create(api: &Api, node: &str, said: &Said) -> Result<Known, kube::Error> {
    let events: kube::Api<Event> = kube::Api::namespaced(api.client(), &said.namespace);
    let now = Timestamp::now();
    let name = format!("{}.{:x}", said.about.name.as_deref().unwrap_or_default(), now.as_nanosecond());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(said.namespace.clone()),
            annotations: (!said.notes.is_empty()).then(|| said.notes.clone()),
            ..ObjectMeta::default()
        },
        involved_object: said.about.clone(),
        type_: Some(if said.normal { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(said.reason.clone()),
        message: Some(said.message.chars().take(1024).collect()),
        source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    };
    events.create(&PostParams::default(), &event).await?;
    Ok(Known { name, count: 1, used: Instant::now() })
}

async fn count(api: &Api, said: &Said, known: &mut Known) -> Result<(), kube::Error> {
    let events: kube::Api<Event> = kube::Api::namespaced(api.client(), &said.namespace);
    (known.count, known.used) = (known.count + 1, Instant::now());
    let patch = json!({ "count": known.count, "lastTimestamp": Time(Timestamp::now()) });
    match events.patch(&known.name, &PatchParams::default(), &Patch::Strategic(&patch)).await {
        Err(error) if api::is_missing(&error) => Ok(()),
        patched => patched.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_with_its_list() {
        let spec = json!({ "containers": [{ "name": "m" }], "initContainers": [{ "name": "i" }],
            "ephemeralContainers": [{ "name": "e" }] });
        let pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let paths = ["m", "i", "e"].map(|name| field_path(&pod, name));
        assert_eq!(paths, ["spec.containers{m}", "spec.initContainers{i}", "spec.ephemeralContainers{e}"]);
    }

    #[test]
    fn who_says_too_much_is_not_heard_for_a_while() {
        let mut bucket = (BURST, Instant::now());
        let heard = (0..100).filter(|_| may_speak(&mut bucket)).count();
        assert_eq!(heard, 25);
        bucket.1 -= REFILL;
        assert!(may_speak(&mut bucket) && !may_speak(&mut bucket));
    }
}
