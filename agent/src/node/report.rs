//! Keeps the Node object true: written when something has changed, else every five minutes.

use super::eviction::Pressures;
use super::facts::{self, Machine};
use super::object::{self, State};
use super::rival;
use super::version::version;
use crate::api::{self, Api};
use crate::events::Events;
use crate::pod::allocation::OwnNode;
use crate::say::{Trouble, say};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use spec::node::Cluster;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How often the machine is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long a status may stand that has not changed.
const STALE: Duration = Duration::from_secs(300);

/// Who this node is, for as long as the agent runs.
#[derive(Debug)]
pub struct Own {
    /// The configuration.
    pub cluster: Cluster,
    /// The Node object's name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What the machine is.
    pub machine: Machine,
}

/// What of the node's status changes by what the rest of the agent does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What it is short of.
    pub pressures: Pressures,
    /// Why pods have no network yet.
    pub unready: Option<String>,
    /// Why no container begins.
    pub down: Option<&'static str>,
    /// Images in the store: names and size in bytes.
    pub images: Vec<(Vec<String>, u64)>,
    /// Features that the API server asks for by name.
    pub features: Vec<&'static str>,
}

impl Standing {
    /// Why pods cannot run, if so; of several reasons, as kubelets list them.
    fn why(&self) -> Option<Cow<'_, str>> {
        match (self.down, self.unready.as_deref()) {
            (Some(down), Some(unready)) => Some(format!("[{down}, {unready}]").into()),
            (one, other) => one.or(other).map(Cow::from),
        }
    }
}

/// The Node object as the owner of what is the node's own.
pub fn reference(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// Makes the Node object, with these podCIDRs unless another node has one, or takes over the one that is there; gives it.
pub async fn register(own: &Own, api: &Api, standing: &Standing, subnets: Vec<String>) -> Node {
    let mut trouble = Trouble::default();
    loop {
        let made = once(own, api, standing, &subnets).await;
        if made.as_ref().is_err_and(api::is_unknown) {
            api.doubt();
        }
        let made = made.map_err(|error| api::words(&error));
        if let Some(node) = trouble.of("register this node", made) {
            say(format_args!("{}: is a node of the cluster", own.name));
            return node;
        }
        trouble.pause().await;
    }
}

async fn once(own: &Own, api: &Api, standing: &Standing, subnets: &[String]) -> Result<Node, kube::Error> {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    let subnets = if are_free(&nodes, own, subnets).await? { subnets.to_vec() } else { Vec::new() };
    let new = object::new(&state(own, standing), subnets, &Time(Timestamp::now()));
    match nodes.create(&PostParams::default(), &new).await {
        Err(error) if api::is_conflict(&error) => {
            rival::wait(own, api, &nodes.get(&own.name).await?).await?;
            let labels = json!({ "metadata": { "labels": object::labels(&own.cluster, &own.name) } });
            nodes.patch(&own.name, &PatchParams::default(), &Patch::Merge(&labels)).await
        }
        made => made,
    }
}

/// This node can have these podCIDRs: it has no Node yet, and no other has one of them.
async fn are_free(nodes: &kube::Api<Node>, own: &Own, subnets: &[String]) -> Result<bool, kube::Error> {
    if subnets.is_empty() || nodes.get_metadata_opt(&own.name).await?.is_some() {
        return Ok(false);
    }
    let others = match nodes.list(&ListParams::default()).await {
        // Who leaves pods' networks to others need not see other nodes.
        Err(error) if api::is_forbidden(&error) => return Ok(true),
        others => others?,
    };
    Ok(!others.iter().flat_map(object::subnets).any(|taken| subnets.contains(&taken)))
}

/// Nobody knows this node any more: it is not only that a request has gone astray.
async fn is_gone(own: &Own, api: &Api) -> bool {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    matches!(nodes.get_metadata_opt(&own.name).await, Ok(None))
}

fn state<'a>(own: &'a Own, standing: &'a Standing) -> State<'a> {
    State {
        cluster: &own.cluster,
        name: &own.name,
        addresses: &own.addresses,
        version: version(),
        machine: &own.machine,
        left: facts::left(),
        pressures: standing.pressures,
        unready: standing.why(),
        images: &standing.images,
        features: &standing.features,
    }
}

/// The object as the API server has it: from its answers, and from a watch, which may be behind them.
#[derive(Debug)]
struct Known(Arc<Node>);

impl Known {
    /// Takes a word of the watch's.
    fn see(&mut self, node: Option<&Arc<Node>>) {
        let version = |node: &Node| node.metadata.resource_version.as_ref()?.parse::<u64>().ok();
        if let Some(node) = node.filter(|node| version(node) > version(&self.0)) {
            self.0 = node.clone();
        }
    }

    fn conditions(&self) -> &[NodeCondition] {
        self.0.status.as_ref().and_then(|own| own.conditions.as_deref()).unwrap_or_default()
    }

    fn addresses(&self) -> &[NodeAddress] {
        self.0.status.as_ref().and_then(|own| own.addresses.as_deref()).unwrap_or_default()
    }

    /// Addresses of kinds that this node does not tell: others add them, as a cloud's controller does.
    fn others(&self, status: &NodeStatus) -> Vec<NodeAddress> {
        let is_own = |one: &NodeAddress| status.addresses.iter().flatten().any(|own| own.type_ == one.type_);
        self.addresses().iter().filter(|one| !is_own(one)).cloned().collect()
    }

    /// Somebody else has changed what is this node's to say, as the cluster does with a node that it has not heard of for
    /// a while: a Lease that is renewed takes nothing of it back.
    fn contradicts(&self, status: &NodeStatus) -> bool {
        let has = |own: &NodeCondition| {
            self.conditions().iter().any(|one| one.type_ == own.type_ && one.status == own.status)
        };
        let there = self.addresses();
        !status.conditions.iter().flatten().all(has)
            || !status.addresses.iter().flatten().all(|own| there.contains(own))
    }

    /// Labels that every node has and this one has not, or other ones.
    fn lost_labels(&self, name: &str) -> BTreeMap<String, String> {
        let there = self.0.metadata.labels.as_ref();
        let mut usual = object::usual_labels(name);
        usual.retain(|key, value| there.and_then(|own| own.get(key)) != Some(&*value));
        usual
    }
}

/// Tells people that this node begins, and whether the machine did.
pub fn tell_start(own: &Own, events: &Events, node: &Node) {
    events.say_of_node(&own.name, true, "Starting", "Starting kubelet.");
    let before = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let boot = before.map(|info| &info.boot_id).filter(|boot| !boot.is_empty());
    if boot.is_some_and(|boot| *boot != own.machine.boot_id) {
        let words = format!("Node {} has been rebooted, boot id: {}", own.name, own.machine.boot_id);
        events.say_of_node(&own.name, false, "Rebooted", words);
    }
}

/// Reports until somebody has deleted the object, at once when `standing` changes; `seen` is what the API server says of it.
/// Gives what was known of it last.
pub async fn keep(
    own: &Arc<Own>,
    api: &Api,
    events: &Events,
    node: Node,
    standing: &mut watch::Receiver<Standing>,
    seen: &watch::Sender<OwnNode>,
) -> Arc<Node> {
    let mut deletion = Deletion::of(&node);
    let mut looks = seen.subscribe();
    let mut known = Known(Arc::new(node));
    let mut sent: Option<(NodeStatus, Instant)> = None;
    let (mut trouble, mut labels) = (Trouble::default(), Trouble::default());
    loop {
        let now = Time(Timestamp::now());
        let look = seen.borrow().values().next().cloned();
        if deletion.is_told(look.as_deref()) {
            return known.0;
        }
        known.see(look.as_ref());
        let state = standing.borrow_and_update().clone();
        let status = object::status(&self::state(own, &state), known.conditions(), &now);
        let is_due =
            sent.as_ref().is_none_or(|(last, when)| when.elapsed() >= STALE || differ(last, &status));
        if is_due || known.contradicts(&status) {
            let patched = patch(own, api, changed(&status, known.others(&status))).await;
            if patched.as_ref().is_err_and(api::is_missing) && is_gone(own, api).await {
                return known.0;
            }
            let patched = patched.map_err(|error| api::words(&error));
            let Some(node) = trouble.of("report the node's status", patched) else {
                trouble.pause().await;
                continue;
            };
            let next = status.conditions.as_deref().unwrap_or_default();
            for reason in changes(known.conditions(), next) {
                let words = format!("Node {} status is now: {reason}", own.name);
                events.say_of_node(&own.name, true, reason, words);
            }
            known = Known(Arc::new(node));
            sent = Some((status, Instant::now()));
        }
        let lost = known.lost_labels(&own.name);
        if !lost.is_empty() {
            let patched = label(own, api, &lost).await.map_err(|error| api::words(&error));
            if let Some(node) = labels.of("put the node's labels back", patched) {
                known = Known(Arc::new(node));
            }
        }
        let deleted = looks.wait_for(|all| deletion.is_told(all.values().next().map(Arc::as_ref)));
        tokio::select! {
            _ = timeout(LOOK, standing.changed()) => {}
            Ok(_) = deleted => {}
        }
    }
}

/// Whether the watch tells that an object is there no more: it has told of it before. Another of its name is not it.
#[derive(Debug)]
struct Deletion {
    uid: Option<String>,
    was_there: bool,
}

impl Deletion {
    fn of(node: &Node) -> Self {
        Self { uid: node.metadata.uid.clone(), was_there: false }
    }

    fn is_told(&mut self, seen: Option<&Node>) -> bool {
        let is_there = seen.is_some_and(|node| node.metadata.uid == self.uid);
        self.was_there |= is_there;
        self.was_there && !is_there
    }
}

/// What people are told of conditions that are others than before: the reasons that kubelets have for it.
fn changes(before: &[NodeCondition], now: &[NodeCondition]) -> Vec<&'static str> {
    let is_new =
        |own: &&NodeCondition| !before.iter().any(|one| one.type_ == own.type_ && one.status == own.status);
    let changed = now.iter().filter(is_new);
    changed
        .filter_map(|own| match (own.type_.as_str(), own.status == "True") {
            ("Ready", true) => Some("NodeReady"),
            ("Ready", false) => Some("NodeNotReady"),
            ("MemoryPressure", true) => Some("NodeHasInsufficientMemory"),
            ("MemoryPressure", false) => Some("NodeHasSufficientMemory"),
            ("DiskPressure", true) => Some("NodeHasDiskPressure"),
            ("DiskPressure", false) => Some("NodeHasNoDiskPressure"),
            ("PIDPressure", true) => Some("NodeHasInsufficientPID"),
            ("PIDPressure", false) => Some("NodeHasSufficientPID"),
            _ => None,
        })
        .collect()
}

async fn label(own: &Own, api: &Api, labels: &BTreeMap<String, String>) -> Result<Node, kube::Error> {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    let patch = json!({ "metadata": { "labels": labels } });
    nodes.patch(&own.name, &PatchParams::default(), &Patch::Merge(&patch)).await
}

async fn patch(own: &Own, api: &Api, patch: Value) -> Result<Node, kube::Error> {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    nodes.patch_status(&own.name, &PatchParams::default(), &Patch::Strategic(&patch)).await
}

/// A strategic merge patch. Addresses would be merged by their type, of which two may be alike, one per family: the list
/// goes in place of what is there, as a kubelet's, with what others have added.
fn changed(status: &NodeStatus, others: Vec<NodeAddress>) -> Value {
    let mut patch = json!({ "status": status });
    if let Some(addresses) = patch.pointer_mut("/status/addresses").and_then(Value::as_array_mut) {
        addresses.extend(others.into_iter().map(|other| json!(other)));
        addresses.push(json!({ "$patch": "replace" }));
    }
    patch
}

/// Something but the time differs. What is left of the disk says nothing that has to be told at once.
fn differ(last: &NodeStatus, status: &NodeStatus) -> bool {
    let plain = |status: &NodeStatus| {
        let still = |mut one: NodeCondition| {
            one.last_heartbeat_time = None;
            one
        };
        let conditions: Vec<_> = status.conditions.iter().flatten().cloned().map(still).collect();
        NodeStatus { conditions: Some(conditions), ..status.clone() }
    };
    plain(last) != plain(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_comes_to_is_told_once() {
        let of = |all: &[(&str, &str)]| -> Vec<NodeCondition> {
            let one = |&(kind, status): &(&str, &str)| NodeCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                ..NodeCondition::default()
            };
            all.iter().map(one).collect()
        };
        let well = of(&[("Ready", "True"), ("MemoryPressure", "False")]);
        assert_eq!(changes(&[], &well), ["NodeReady", "NodeHasSufficientMemory"]);
        assert!(changes(&well, &well).is_empty());
        let unknown = of(&[("Ready", "Unknown"), ("MemoryPressure", "Unknown")]);
        assert_eq!(changes(&unknown, &well).len(), 2, "it was not heard for a while");
        let short = of(&[("Ready", "True"), ("MemoryPressure", "True")]);
        assert_eq!(changes(&well, &short), ["NodeHasInsufficientMemory"]);
    }

    #[test]
    fn a_node_has_more_than_one_reason_to_be_unready() {
        let of = |down, unready: Option<&str>| {
            let standing = Standing { down, unready: unready.map(str::to_owned), ..Standing::default() };
            standing.why().map(Cow::into_owned)
        };
        assert_eq!(of(None, None), None);
        assert_eq!(of(Some("down"), None).as_deref(), Some("down"));
        assert_eq!(of(Some("down"), Some("no network")).as_deref(), Some("[down, no network]"));
    }

    #[test]
    fn what_others_say_of_the_node_is_seen() {
        let node = |version: &str, ready: &str, os: &str| -> Node {
            serde_json::from_value(json!({
                "metadata": { "name": "n", "resourceVersion": version, "labels": { "kubernetes.io/os": os } },
                "status": {
                    "conditions": [
                        { "type": "Ready", "status": ready },
                        { "type": "NetworkUnavailable", "status": "False" },
                    ],
                    "addresses": [{ "type": "Hostname", "address": "n" }, { "type": "ExternalIP", "address": "::2" }],
                },
            }))
            .unwrap()
        };
        let own: NodeStatus = serde_json::from_value(json!({
            "conditions": [{ "type": "Ready", "status": "True" }],
            "addresses": [{ "type": "Hostname", "address": "n" }],
        }))
        .unwrap();
        let mut known = Known(Arc::new(node("9", "True", "linux")));
        assert!(!known.contradicts(&own), "what others add is theirs");
        let others: Vec<String> = known.others(&own).into_iter().map(|other| other.type_).collect();
        assert_eq!(others, ["ExternalIP"]);
        assert!(!known.lost_labels("n").contains_key("kubernetes.io/os"));
        known.see(Some(&Arc::new(node("8", "Unknown", "linux"))));
        assert!(!known.contradicts(&own), "the watch is behind");
        known.see(Some(&Arc::new(node("10", "Unknown", "plan9"))));
        assert!(known.contradicts(&own));
        assert_eq!(known.lost_labels("n")["kubernetes.io/os"], "linux");
        let moved = NodeStatus { addresses: Some(vec![NodeAddress::default()]), ..NodeStatus::default() };
        assert!(known.contradicts(&moved));
    }

    #[test]
    fn a_node_is_deleted_when_the_watch_no_longer_has_it() {
        let node =
            |uid: &str| -> Node { serde_json::from_value(json!({ "metadata": { "uid": uid } })).unwrap() };
        let mut deletion = Deletion::of(&node("new"));
        assert!(!deletion.is_told(None) && !deletion.is_told(Some(&node("old"))), "the watch is behind");
        assert!(!deletion.is_told(Some(&node("new"))));
        assert!(deletion.is_told(Some(&node("other"))) && deletion.is_told(None));
    }

    #[test]
    fn addresses_go_in_place_of_those_that_are_there() {
        let address = |text: &str| NodeAddress { type_: "InternalIP".to_owned(), address: text.to_owned() };
        let addresses = Some(vec![address("192.0.2.1"), address("fd00::1")]);
        let others = vec![address("198.51.100.1")];
        let patch = changed(&NodeStatus { addresses, ..NodeStatus::default() }, others);
        let list = &patch["status"]["addresses"];
        let told = [&list[1], &list[2]].map(|own| own["address"].as_str());
        assert_eq!(told, [Some("fd00::1"), Some("198.51.100.1")]);
        assert_eq!(list[3]["$patch"], "replace");
        assert_eq!(changed(&NodeStatus::default(), Vec::new()), json!({ "status": NodeStatus::default() }));
    }

    #[test]
    fn a_heartbeat_alone_is_no_change() {
        let condition = |second, status: &str| NodeCondition {
            type_: "Ready".into(),
            status: status.into(),
            last_heartbeat_time: Some(Time(Timestamp::from_second(second).unwrap())),
            ..NodeCondition::default()
        };
        let status = |second, word: &str| NodeStatus {
            conditions: Some(vec![condition(second, word)]),
            ..NodeStatus::default()
        };
        assert!(!differ(&status(1, "True"), &status(2, "True")));
        assert!(differ(&status(1, "True"), &status(1, "False")));
    }
}
