//! Keeps the Node object true: written when something has changed, else every five minutes.

use super::eviction::Pressures;
use super::facts::{self, Machine};
use super::object::{self, State};
use super::rival;
use crate::api::{self, Api};
use crate::events::Events;
use crate::say::{Trouble, say};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use spec::node::Cluster;
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
    /// Why pods cannot run yet.
    pub unready: Option<String>,
    /// Images in the store: names and size in bytes.
    pub images: Vec<(Vec<String>, u64)>,
    /// Features that the API server asks for by name.
    pub features: Vec<&'static str>,
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

/// Makes the Node object, or takes over the one that is there; gives it.
pub async fn register(own: &Own, api: &Api, standing: &Standing) -> Node {
    let mut trouble = Trouble::default();
    loop {
        let made = once(own, api, standing).await;
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

async fn once(own: &Own, api: &Api, standing: &Standing) -> Result<Node, kube::Error> {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    let now = Time(Timestamp::now());
    match nodes.create(&PostParams::default(), &object::new(&state(own, standing), &now)).await {
        Err(error) if api::is_conflict(&error) => {
            rival::wait(own, api, &nodes.get(&own.name).await?).await?;
            let labels = json!({ "metadata": { "labels": object::labels(&own.cluster, &own.name) } });
            nodes.patch(&own.name, &PatchParams::default(), &Patch::Merge(&labels)).await
        }
        made => made,
    }
}

fn state<'a>(own: &'a Own, standing: &'a Standing) -> State<'a> {
    State {
        cluster: &own.cluster,
        name: &own.name,
        addresses: &own.addresses,
        machine: &own.machine,
        left: facts::left(),
        pressures: standing.pressures,
        unready: standing.unready.as_deref(),
        images: &standing.images,
        features: &standing.features,
    }
}

/// Reports for ever, at once when `standing` changes.
pub async fn keep(
    own: &Arc<Own>,
    api: &Api,
    events: &Events,
    node: &Node,
    standing: &mut watch::Receiver<Standing>,
) {
    let before = node.status.clone().unwrap_or_default();
    events.say_of_node(&own.name, true, "Starting", "Starting kubelet.");
    let boot = before.node_info.map(|info| info.boot_id).filter(|boot| !boot.is_empty());
    if boot.is_some_and(|boot| boot != own.machine.boot_id) {
        let words = format!("Node {} has been rebooted, boot id: {}", own.name, own.machine.boot_id);
        events.say_of_node(&own.name, false, "Rebooted", words);
    }
    let mut conditions = before.conditions.unwrap_or_default();
    let mut sent: Option<(NodeStatus, Instant)> = None;
    let mut trouble = Trouble::default();
    loop {
        let now = Time(Timestamp::now());
        let status = object::status(&state(own, &standing.borrow_and_update().clone()), &conditions, &now);
        let is_due =
            sent.as_ref().is_none_or(|(last, when)| when.elapsed() >= STALE || differ(last, &status));
        if is_due {
            let patched = patch(own, api, &status).await.map_err(|error| api::words(&error));
            if trouble.of("report the node's status", patched).is_none() {
                trouble.pause().await;
                continue;
            }
            let next = status.conditions.clone().unwrap_or_default();
            for reason in changes(&conditions, &next) {
                let words = format!("Node {} status is now: {reason}", own.name);
                events.say_of_node(&own.name, true, reason, words);
            }
            conditions = next;
            sent = Some((status, Instant::now()));
        }
        let _ = timeout(LOOK, standing.changed()).await;
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

async fn patch(own: &Own, api: &Api, status: &NodeStatus) -> Result<(), kube::Error> {
    let nodes: kube::Api<Node> = kube::Api::all(api.client());
    let params = PatchParams::default();
    nodes.patch_status(&own.name, &params, &Patch::Strategic(&changed(status))).await.map(drop)
}

/// A strategic merge patch. Addresses would be merged by their type, of which two may be alike, one per family: the list
/// goes in place of what is there, as a kubelet's.
fn changed(status: &NodeStatus) -> Value {
    let mut patch = json!({ "status": status });
    if let Some(addresses) = patch.pointer_mut("/status/addresses").and_then(Value::as_array_mut) {
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
    use k8s_openapi::api::core::v1::NodeAddress;

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
    fn addresses_go_in_place_of_those_that_are_there() {
        let address = |text: &str| NodeAddress { type_: "InternalIP".to_owned(), address: text.to_owned() };
        let addresses = Some(vec![address("192.0.2.1"), address("fd00::1")]);
        let patch = changed(&NodeStatus { addresses, ..NodeStatus::default() });
        let list = &patch["status"]["addresses"];
        assert_eq!(
            (list[1]["address"].as_str(), list[2]["$patch"].as_str()),
            (Some("fd00::1"), Some("replace"))
        );
        assert_eq!(changed(&NodeStatus::default()), json!({ "status": NodeStatus::default() }));
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
