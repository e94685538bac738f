//! NetworkPolicies: selectors become the addresses of pods, for those policies that are about pods of this node.
//!
//! A node may see only its own pods by itself; the rights that this needs are in `examples/nodes.yaml`. Pods and
//! namespaces of the whole cluster are watched only while there is a policy. The node's own pods are known before the
//! API server tells of their addresses: their containers wait until policies are about them ([`Isolation`]).

mod isolation;

pub use isolation::Isolation;

use crate::api::Api;
use crate::cluster_network::{GUARD, protocol};
use crate::legacy;
use crate::node::report::Own;
use crate::pods::mirror;
use crate::say::{Trouble, say};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::runtime::watcher;
use network::cluster::policies::{self, Block, NamedPort, Number, Peers, Policies, Port, Rule};
use network::cluster::services::Protocol;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sys::cause::cause;
use tokio::sync::watch;
use tokio::time::sleep;

/// Changes that come so close together are one.
const GATHER: Duration = Duration::from_millis(20);

/// Between two attempts at what the kernel has refused.
const PAUSE: Duration = Duration::from_secs(2);

type Labels = BTreeMap<String, String>;

/// What of a pod policies are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    name: String,
    labels: Labels,
    here: bool,
    pod: policies::Pod,
}

/// By namespace and name; this node's own pods by namespace and UID, since one may end here whose name is another's by now.
type All<T> = BTreeMap<(String, String), T>;

/// All that is looked at.
#[derive(Clone, Default)]
struct Seen {
    policies: Arc<All<Arc<NetworkPolicy>>>,
    namespaces: Arc<All<Labels>>,
    pods: Arc<All<Known>>,
}

/// There were policies when somebody last knew.
fn note() -> PathBuf {
    Path::new(spec::paths::AGENT).join("policies")
}

/// Keeps them true for ever.
pub async fn keep(api: &Api, own: &Own, isolation: &Isolation) {
    if !isolation.is_ours {
        return;
    }
    let policies = watch::Sender::new(Arc::new(All::<Arc<NetworkPolicy>>::new()));
    let namespaces = watch::Sender::new(Arc::new(All::<Labels>::new()));
    let pods = watch::Sender::new(Arc::new(All::<Known>::new()));
    let config = watcher::Config::default;
    let whole = async {
        let mut there = policies.subscribe();
        // As long as there was none since the start, nobody else's pods matter.
        while there.borrow_and_update().is_empty() {
            let _ = there.changed().await;
        }
        tokio::join!(
            mirror(
                api,
                "watch namespaces",
                config(),
                |own: Namespace| Some(own.metadata.labels.unwrap_or_default()),
                &namespaces
            ),
            mirror(api, "watch all pods", config(), |pod: Pod| known(&pod, &own.name), &pods),
        );
    };
    tokio::join!(
        mirror(
            api,
            "watch network policies",
            config(),
            |own: NetworkPolicy| {
                faults(&own).iter().for_each(|fault| say(format_args!("{fault}")));
                Some(Arc::new(own))
            },
            &policies
        ),
        whole,
        apply(policies.subscribe(), namespaces.subscribe(), pods.subscribe(), isolation),
    );
}

/// A pod that has addresses of its own.
fn known(pod: &Pod, node: &str) -> Option<Known> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref()?;
    if spec.host_network == Some(true) || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let addresses: Vec<_> =
        status.pod_ips.iter().flatten().filter_map(|own| legacy::address(&own.ip)).collect();
    if addresses.is_empty() {
        return None;
    }
    Some(described(pod, addresses, spec.node_name.as_deref() == Some(node)))
}

fn described(pod: &Pod, addresses: Vec<IpAddr>, here: bool) -> Known {
    let ports = pod
        .spec
        .iter()
        .flat_map(crate::pod::next::containers)
        .flat_map(|(_, one)| one.ports.iter().flatten())
        .filter_map(|port| {
            Some(NamedPort {
                name: port.name.clone()?,
                protocol: protocol(port.protocol.as_deref())?,
                port: u16::try_from(port.container_port).ok()?,
            })
        });
    let ports = ports.collect();
    Known {
        name: pod.metadata.name.clone().unwrap_or_default(),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        here,
        pod: policies::Pod { addresses, ports },
    }
}

async fn apply(
    mut policies: watch::Receiver<Arc<All<Arc<NetworkPolicy>>>>,
    mut namespaces: watch::Receiver<Arc<All<Labels>>>,
    mut pods: watch::Receiver<Arc<All<Known>>>,
    isolation: &Isolation,
) {
    let held = Arc::new(Mutex::new(Policies::new()));
    let mut before: BTreeMap<String, policies::Policy> = BTreeMap::new();
    let (mut trouble, mut first) = (Trouble::default(), true);
    let mut own = isolation.own.subscribe();
    // Nothing is ever taken as seen by these: they tell whether the API server has listed what they are about.
    let listed = (namespaces.clone(), pods.clone());
    // What the kernel holds from before stays until all is known. Meanwhile pods go on where there was no policy.
    let there_were = note().exists();
    loop {
        if !there_were {
            isolation.held.send_replace(Some(own.borrow_and_update().clone()));
        }
        tokio::select! {
            one = policies.changed() => if one.is_err() { return } else { break },
            one = own.changed() => if one.is_err() { return },
        }
    }
    loop {
        let own_pods = own.borrow_and_update().clone();
        let seen = Seen {
            policies: policies.borrow_and_update().clone(),
            namespaces: namespaces.borrow_and_update().clone(),
            pods: overlaid(pods.borrow_and_update().clone(), &own_pods),
        };
        let has = |changed: Result<bool, _>| changed.unwrap_or(true);
        let whole = seen.policies.is_empty() || (has(listed.0.has_changed()) && has(listed.1.has_changed()));
        if whole {
            let now = resolve(&seen);
            let mut changes: Vec<_> = now
                .iter()
                .filter(|(name, one)| before.get(*name) != Some(*one))
                .map(|(name, one)| (name.clone(), Some(one.clone())))
                .collect();
            changes.extend(
                before.keys().filter(|name| !now.contains_key(*name)).map(|name| (name.clone(), None)),
            );
            if first || !changes.is_empty() {
                let held = held.clone();
                let done = tokio::task::spawn_blocking(move || {
                    held.lock().unwrap_or_else(PoisonError::into_inner).apply(changes)
                });
                let done = done.await.unwrap_or_else(|error| Err(error.to_string()));
                if trouble.of("apply network policies", done).is_none() {
                    sleep(PAUSE).await;
                    continue;
                }
                (before, first) = (now, false);
            }
            keep_note(seen.policies.is_empty());
            isolation.held.send_replace(Some(own_pods));
        }
        let guarded = async {
            match first || before.is_empty() {
                true => std::future::pending().await,
                false => guard(&held, &mut trouble).await,
            }
        };
        tokio::select! {
            one = policies.changed() => if one.is_err() { return },
            one = namespaces.changed() => if one.is_err() { return },
            one = pods.changed() => if one.is_err() { return },
            one = own.changed() => if one.is_err() { return },
            () = guarded => {}
        }
        if !seen.policies.is_empty() {
            sleep(GATHER).await;
        }
    }
}

/// Looks for ever whether what was written is still there.
async fn guard(held: &Arc<Mutex<Policies>>, trouble: &mut Trouble) {
    loop {
        sleep(GUARD).await;
        let held = held.clone();
        let looked =
            tokio::task::spawn_blocking(move || held.lock().unwrap_or_else(PoisonError::into_inner).look());
        let looked = looked.await.unwrap_or_else(|error| Err(error.to_string()));
        if trouble.of("apply network policies", looked) == Some(true) {
            say(format_args!(
                "network policies: somebody has flushed or deleted their nftables table: it is made anew"
            ));
        }
    }
}

/// Pods as the API server tells of them, but this node's as it knows them itself. One that is told of at another node, or
/// that is another own one, has the name alone in common: both are there.
fn overlaid(mut pods: Arc<All<Known>>, own: &All<Known>) -> Arc<All<Known>> {
    for ((namespace, uid), known) in own {
        let named = (namespace.clone(), known.name.clone());
        let told = pods.get(&named).filter(|told| *told != known);
        let is_another = told.is_some_and(|told| !told.here || own.values().any(|one| one == told));
        let key = if is_another { (namespace.clone(), uid.clone()) } else { named };
        if pods.get(&key) != Some(known) {
            Arc::make_mut(&mut pods).insert(key, known.clone());
        }
    }
    pods
}

/// An agent that comes when the API server is away must know whether to wait for policies.
fn keep_note(is_none: bool) {
    let path = note();
    let kept = match (is_none, path.exists()) {
        (true, true) => fs::remove_file(&path),
        (false, false) => fs::write(&path, ""),
        _ => Ok(()),
    };
    if let Err(error) = kept {
        say(format_args!("{}: {}", path.display(), cause(&error)));
    }
}

/// Policies that select pods of this node, by `namespace/name`.
fn resolve(seen: &Seen) -> BTreeMap<String, policies::Policy> {
    let mut resolved = BTreeMap::new();
    for ((namespace, name), policy) in seen.policies.iter() {
        let Some(spec) = &policy.spec else { continue };
        let all = LabelSelector::default();
        let selector = spec.pod_selector.as_ref().unwrap_or(&all);
        let mine = |((of, _), pod): &(&(String, String), &Known)| {
            of == namespace && pod.here && matches(selector, &pod.labels)
        };
        let pods: Vec<_> = seen.pods.iter().filter(mine).map(|(_, pod)| pod.pod.clone()).collect();
        if pods.is_empty() {
            continue;
        }
        let kinds = spec.policy_types.clone().unwrap_or_else(|| {
            let egress = spec.egress.as_ref().map(|_| "Egress".to_owned());
            std::iter::once("Ingress".to_owned()).chain(egress).collect()
        });
        let is = |kind: &str| kinds.iter().any(|own| own == kind);
        let rule = |peers: Option<&Vec<NetworkPolicyPeer>>, list: Option<&Vec<NetworkPolicyPort>>| {
            let ports: Vec<Port> = list.into_iter().flatten().filter_map(port).collect();
            // A rule without ports would be about all of them.
            let is_about_none = ports.is_empty() && list.is_some_and(|list| !list.is_empty());
            let peers = peers.filter(|list| !list.is_empty()).map(|list| self::peers(seen, namespace, list));
            (!is_about_none).then_some(Rule { peers, ports, named: Vec::new() })
        };
        let ingress = is("Ingress").then(|| {
            let rules = spec.ingress.iter().flatten();
            rules.filter_map(|own| rule(own.from.as_ref(), own.ports.as_ref())).collect()
        });
        let egress = is("Egress").then(|| {
            let rules = spec.egress.iter().flatten();
            let rules = rules.filter_map(|own| rule(own.to.as_ref(), own.ports.as_ref()));
            rules.map(|rule| Rule { named: named(seen, &rule), ..rule }).collect()
        });
        resolved.insert(format!("{namespace}/{name}"), policies::Policy { pods, ingress, egress });
    }
    resolved
}

fn peers(seen: &Seen, namespace: &str, list: &[NetworkPolicyPeer]) -> Peers {
    let mut peers = Peers::default();
    for peer in list {
        if let Some(own) = &peer.ip_block {
            peers.blocks.extend(block(own));
            continue;
        }
        // A peer of a kind that is not known yet.
        if peer.namespace_selector.is_none() && peer.pod_selector.is_none() {
            continue;
        }
        let of = |name: &str| match &peer.namespace_selector {
            None => name == namespace,
            Some(selector) => seen
                .namespaces
                .get(&(String::new(), name.to_owned()))
                .is_some_and(|labels| matches(selector, labels)),
        };
        let is =
            |pod: &Known| peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels));
        let found = seen.pods.iter().filter(|((name, _), pod)| is(pod) && of(name));
        peers.pods.extend(found.map(|(_, pod)| pod.pod.clone()));
    }
    peers
}

/// A block; nothing when its subnet is none, or one that it excepts.
fn block(own: &IPBlock) -> Option<Block> {
    let except: Option<_> = own.except.iter().flatten().map(|text| legacy::cidr(text)).collect();
    Some(Block { cidr: legacy::cidr(&own.cidr)?, except: except? })
}

/// What of a policy cannot be read, and so allows nobody.
fn faults(policy: &NetworkPolicy) -> Vec<String> {
    let own = &policy.metadata;
    let name = [&own.namespace, &own.name].map(|part| part.as_deref().unwrap_or_default()).join("/");
    let spec = policy.spec.as_ref();
    let ingress = spec.and_then(|spec| spec.ingress.as_ref()).into_iter().flatten();
    let egress = spec.and_then(|spec| spec.egress.as_ref()).into_iter().flatten();
    let rules =
        ingress.map(|rule| (&rule.from, &rule.ports)).chain(egress.map(|rule| (&rule.to, &rule.ports)));
    let each = rules.flat_map(|(peers, ports)| {
        let blocks = peers.iter().flatten().filter_map(|peer| peer.ip_block.as_ref());
        let blocks = blocks.filter(|own| block(own).is_none()).map(|own| format!("ipBlock {}", own.cidr));
        let ports = ports.iter().flatten().filter(|own| port(own).is_none());
        blocks.chain(ports.map(|own| match &own.port {
            Some(IntOrString::Int(number)) => format!("port {number}"),
            Some(IntOrString::String(name)) => format!("port {name}"),
            None => format!("protocol {}", own.protocol.as_deref().unwrap_or_default()),
        }))
    });
    each.map(|what| format!("network policy {name}: {what} cannot be read: it allows nobody")).collect()
}

/// When everybody may be spoken to, the pods that have a port of the rule by name.
fn named(seen: &Seen, rule: &Rule) -> Vec<policies::Pod> {
    let meant = |own: &NamedPort| {
        let is = |port: &Port| matches!(&port.port, Some(Number::Name(name)) if *name == own.name);
        rule.ports.iter().any(|port| is(port) && port.protocol == own.protocol)
    };
    let pods = seen.pods.values().map(|known| &known.pod).filter(|_| rule.peers.is_none());
    pods.filter(|pod| pod.ports.iter().any(meant)).cloned().collect()
}

fn port(own: &NetworkPolicyPort) -> Option<Port> {
    let number = match &own.port {
        None => None,
        Some(IntOrString::Int(number)) => Some(Number::Number(u16::try_from(*number).ok()?)),
        Some(IntOrString::String(name)) => Some(Number::Name(name.clone())),
    };
    let protocol: Protocol = protocol(own.protocol.as_deref())?;
    Some(Port { protocol, port: number, end_port: own.end_port.and_then(|last| u16::try_from(last).ok()) })
}

/// A selector selects what has these labels; an empty one selects everything.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let holds = selector.match_expressions.iter().flatten().all(|one| {
        let value = labels.get(&one.key);
        let listed = value.is_some_and(|value| one.values.iter().flatten().any(|own| own == value));
        match one.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal && holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(namespace: &str, name: &str, app: &str, address: &str, node: &str) -> ((String, String), Known) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "app": app } },
            "spec": { "nodeName": node, "containers": [{ "name": "m", "ports": [{ "name": "http", "containerPort": 80 }] }] },
            "status": { "podIPs": [{ "ip": address }] },
        }))
        .unwrap();
        ((namespace.to_owned(), name.to_owned()), known(&pod, "here").unwrap())
    }

    fn seen(policy: serde_json::Value) -> Seen {
        let policy: NetworkPolicy = serde_json::from_value(json!({ "spec": policy })).unwrap();
        let labels = |key: &str| BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
        Seen {
            policies: Arc::new([(("n".to_owned(), "p".to_owned()), Arc::new(policy))].into()),
            namespaces: Arc::new(
                [
                    ((String::new(), "n".to_owned()), labels("own")),
                    ((String::new(), "m".to_owned()), labels("other")),
                ]
                .into(),
            ),
            pods: Arc::new(
                [
                    pod("n", "db", "db", "10.1.0.2", "here"),
                    pod("n", "web", "web", "10.1.0.3", "there"),
                    pod("m", "web", "web", "10.1.0.4", "there"),
                ]
                .into(),
            ),
        }
    }

    fn addresses(rule: &Rule) -> Vec<String> {
        rule.peers.iter().flat_map(|peers| &peers.pods).map(|pod| pod.addresses[0].to_string()).collect()
    }

    #[test]
    fn selectors_become_pods() {
        let of = |from: serde_json::Value| {
            let all = resolve(&seen(
                json!({ "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "from": from, "ports": [{ "port": "http" }] }] }),
            ));
            let policy = all["n/p"].clone();
            assert!(policy.egress.is_none() && policy.pods.len() == 1);
            policy.ingress.unwrap()[0].clone()
        };
        assert_eq!(
            addresses(&of(json!([{ "podSelector": { "matchLabels": { "app": "web" } } }]))),
            ["10.1.0.3"]
        );
        assert_eq!(
            addresses(&of(
                json!([{ "namespaceSelector": { "matchExpressions": [{ "key": "other", "operator": "Exists" }] } }])
            )),
            ["10.1.0.4"]
        );
        assert_eq!(addresses(&of(json!([{ "namespaceSelector": {}, "podSelector": { "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["db"] }] } }]))).len(), 2);
        assert!(of(json!([])).peers.is_none(), "an empty list is everybody");
        let block = of(json!([{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"] } }]));
        assert_eq!(block.peers.unwrap().blocks[0].except.len(), 1);
        assert_eq!(block.ports[0].port, Some(Number::Name("http".into())));
    }

    #[test]
    fn a_nodes_own_pods_are_as_it_knows_them() {
        let told: All<Known> =
            [pod("n", "a", "a", "10.1.0.2", "here"), pod("n", "b", "b", "10.1.0.3", "there")].into();
        let of_uid = |uid: &str, ((namespace, _), known): ((String, String), Known)| {
            ((namespace, uid.to_owned()), known)
        };
        let own: All<Known> = [of_uid("1", pod("n", "a", "a", "10.1.0.9", "here"))].into();
        let told = Arc::new(told);
        let all = overlaid(told.clone(), &own);
        let of = |name: &str| all[&("n".to_owned(), name.to_owned())].pod.addresses[0].to_string();
        assert_eq!((of("a"), of("b")), ("10.1.0.9".into(), "10.1.0.3".into()));
        assert!(Arc::ptr_eq(&overlaid(all.clone(), &own), &all), "nothing is copied for what is known");
        // Those that end here while their names are others' by now, at another node and at this one.
        let ends = [("2", "b", "10.1.0.7"), ("3", "a", "10.1.0.8")];
        let ends = ends.map(|(uid, name, address)| of_uid(uid, pod("n", name, name, address, "here")));
        let own: All<Known> = own.into_iter().chain(ends).collect();
        let all = overlaid(told, &own);
        let mut addresses: Vec<String> = all.values().map(|own| own.pod.addresses[0].to_string()).collect();
        addresses.sort();
        assert_eq!(addresses, ["10.1.0.3", "10.1.0.7", "10.1.0.8", "10.1.0.9"]);
        assert!(Arc::ptr_eq(&overlaid(all.clone(), &own), &all));
    }

    #[test]
    fn a_port_by_name_that_leads_to_everybody_is_that_of_every_pod_that_has_it() {
        let of = |port: &str, to: serde_json::Value| {
            let rule = json!({ "to": to, "ports": [{ "port": port }, { "port": 53, "protocol": "UDP" }] });
            let all =
                resolve(&seen(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] })));
            all["n/p"].egress.as_ref().unwrap()[0].named.len()
        };
        assert_eq!([of("http", json!([])), of("dns", json!([]))], [3, 0]);
        assert_eq!(of("http", json!([{ "podSelector": {} }])), 0, "peers have their own");
        let ingress =
            resolve(&seen(json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": "http" }] }] })));
        assert!(ingress["n/p"].ingress.as_ref().unwrap()[0].named.is_empty());
    }

    #[test]
    fn what_cannot_be_read_allows_nobody() {
        let of = |from: serde_json::Value, ports: serde_json::Value| {
            let seen = seen(json!({ "podSelector": {}, "ingress": [{ "from": from, "ports": ports }] }));
            let policy = seen.policies.values().next().unwrap().clone();
            (resolve(&seen)["n/p"].ingress.clone().unwrap(), faults(&policy))
        };
        let block = |except: &str| json!([{ "ipBlock": { "cidr": "010.0.0.0/8", "except": [except] } }]);
        let (rules, faults) = of(block("10.001.2.0/24"), json!([]));
        let own = &rules[0].peers.as_ref().unwrap().blocks[0];
        assert_eq!(
            (own.cidr.to_string(), own.except[0].to_string()),
            ("10.0.0.0/8".into(), "10.1.2.0/24".into())
        );
        assert!(faults.is_empty());
        let (rules, faults) = of(block("10.1.2"), json!([]));
        assert!(rules[0].peers.as_ref().unwrap().blocks.is_empty(), "a hole would be open");
        assert_eq!(faults, ["network policy /: ipBlock 010.0.0.0/8 cannot be read: it allows nobody"]);
        let (rules, _) = of(json!([{}]), json!([]));
        assert!(rules[0].peers.as_ref().unwrap().pods.is_empty(), "a peer of another kind");
        let (rules, faults) = of(json!([]), json!([{ "port": 70000 }]));
        assert!(rules.is_empty() && faults.len() == 1, "it would be every port");
        let (rules, faults) = of(json!([]), json!([{ "port": 80 }, { "port": 1, "protocol": "DCCP" }]));
        assert_eq!((rules[0].ports.len(), faults.len()), (1, 1));
    }

    #[test]
    fn a_policy_without_rules_closes() {
        let all = resolve(&seen(json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })));
        let policy = &all["n/p"];
        assert_eq!((policy.ingress.as_deref(), policy.egress.as_deref()), (Some(&[][..]), Some(&[][..])));
        assert!(
            resolve(&seen(json!({ "podSelector": { "matchLabels": { "app": "web" } } }))).is_empty(),
            "none of this node"
        );
    }
}
