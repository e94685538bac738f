//! NetworkPolicies: selectors become the addresses of pods, for those policies that are about pods of this node.
//!
//! A node may see only its own pods by itself; the rights that this needs are in `examples/nodes.yaml`. Pods and
//! namespaces of the whole cluster are watched only while there is a policy. The node's own pods are known before the
//! API server tells of their addresses: their containers wait until policies are about them ([`Isolation`]).

mod isolation;
mod resolve;

pub use isolation::Isolation;

use crate::api::Api;
use crate::cluster_network::{GUARD, protocol};
use crate::legacy;
use crate::node::report::Own;
use crate::pods::mirror;
use crate::say::{Trouble, say};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::watcher;
use network::cluster::policies::{self, NamedPort, Policies};
use resolve::{faults, resolve};
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

/// Policies by their names, with the addresses of the pods that they are about.
type Resolved = BTreeMap<String, policies::Policy>;

/// All that is looked at.
#[derive(Clone, Default)]
struct Seen {
    policies: Arc<All<Arc<NetworkPolicy>>>,
    namespaces: Arc<All<Labels>>,
    pods: Arc<All<Arc<Known>>>,
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
    let pods = watch::Sender::new(Arc::new(All::<Arc<Known>>::new()));
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
            mirror(api, "watch all pods", config(), |pod: Pod| known(&pod, &own.name).map(Arc::new), &pods),
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
    mut pods: watch::Receiver<Arc<All<Arc<Known>>>>,
    isolation: &Isolation,
) {
    let held = Arc::new(Mutex::new(Policies::new()));
    let mut before = Resolved::new();
    let (mut trouble, mut first) = (Trouble::default(), true);
    let mut own = isolation.own.subscribe();
    // Nothing is ever taken as seen by these: they tell whether the API server has listed what they are about.
    let listed = (namespaces.clone(), pods.clone());
    if first_policies(&mut policies, &mut own, isolation).await.is_err() {
        return;
    }
    loop {
        let own_pods = own.borrow_and_update().clone();
        let seen = Seen {
            policies: policies.borrow_and_update().clone(),
            namespaces: namespaces.borrow_and_update().clone(),
            pods: overlaid(pods.borrow_and_update().clone(), &own_pods),
        };
        let has = |changed: Result<bool, _>| changed.unwrap_or(true);
        if seen.policies.is_empty() || (has(listed.0.has_changed()) && has(listed.1.has_changed())) {
            let now = resolve(&seen);
            let changes = changes(&before, &now);
            if first || !changes.is_empty() {
                if trouble.of("apply network policies", write(&held, changes).await).is_none() {
                    sleep(PAUSE).await;
                    continue;
                }
                (before, first) = (now, false);
            }
            keep_note(seen.policies.is_empty());
            isolation.held.send_replace(Some(own_pods));
        }
        let is_quiet = seen.policies.is_empty();
        // Held no longer, what changes in it is changed in its place and not in a copy.
        drop(seen);
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
        if !is_quiet {
            sleep(GATHER).await;
        }
    }
}

/// Returns once the API server has told of policies: what the kernel holds from before stays until then. Meanwhile pods go on
/// where there was none.
async fn first_policies(
    policies: &mut watch::Receiver<Arc<All<Arc<NetworkPolicy>>>>,
    own: &mut watch::Receiver<Arc<All<Arc<Known>>>>,
    isolation: &Isolation,
) -> Result<(), watch::error::RecvError> {
    let there_were = note().exists();
    loop {
        if !there_were {
            isolation.held.send_replace(Some(own.borrow_and_update().clone()));
        }
        tokio::select! {
            one = policies.changed() => return one,
            one = own.changed() => one?,
        }
    }
}

/// What is to be written in place of what was before; a policy that is gone is none.
fn changes(before: &Resolved, now: &Resolved) -> Vec<(String, Option<policies::Policy>)> {
    let written = now.iter().filter(|(name, one)| before.get(*name) != Some(*one));
    let gone = before.keys().filter(|name| !now.contains_key(*name));
    let written = written.map(|(name, one)| (name.clone(), Some(one.clone())));
    written.chain(gone.map(|name| (name.clone(), None))).collect()
}

/// Writes changes on a thread that may wait for the kernel.
async fn write(
    held: &Arc<Mutex<Policies>>,
    changes: Vec<(String, Option<policies::Policy>)>,
) -> Result<(), String> {
    let held = held.clone();
    let apply = move || held.lock().unwrap_or_else(PoisonError::into_inner).apply(changes);
    tokio::task::spawn_blocking(apply).await.unwrap_or_else(|error| Err(error.to_string()))
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
fn overlaid(mut pods: Arc<All<Arc<Known>>>, own: &All<Arc<Known>>) -> Arc<All<Arc<Known>>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub fn pod(
        namespace: &str,
        name: &str,
        app: &str,
        address: &str,
        node: &str,
    ) -> ((String, String), Arc<Known>) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "app": app } },
            "spec": { "nodeName": node, "containers": [{ "name": "m", "ports": [{ "name": "http", "containerPort": 80 }] }] },
            "status": { "podIPs": [{ "ip": address }] },
        }))
        .unwrap();
        ((namespace.to_owned(), name.to_owned()), Arc::new(known(&pod, "here").unwrap()))
    }

    #[test]
    fn only_what_differs_is_written() {
        let policy =
            |is_open: bool| policies::Policy { ingress: (!is_open).then(Vec::new), ..Default::default() };
        let all = |own: &[(&str, bool)]| -> Resolved {
            own.iter().map(|(name, is_open)| ((*name).to_owned(), policy(*is_open))).collect()
        };
        let before = all(&[("same", true), ("other", true), ("gone", true)]);
        let now = all(&[("same", true), ("other", false), ("new", true)]);
        let written = [("new", Some(policy(true))), ("other", Some(policy(false))), ("gone", None)];
        assert_eq!(changes(&before, &now), written.map(|(name, own)| (name.to_owned(), own)));
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn a_nodes_own_pods_are_as_it_knows_them() {
        let told: All<Arc<Known>> =
            [pod("n", "a", "a", "10.1.0.2", "here"), pod("n", "b", "b", "10.1.0.3", "there")].into();
        let of_uid = |uid: &str, ((namespace, _), known): ((String, String), Arc<Known>)| {
            ((namespace, uid.to_owned()), known)
        };
        let own: All<Arc<Known>> = [of_uid("1", pod("n", "a", "a", "10.1.0.9", "here"))].into();
        let told = Arc::new(told);
        let all = overlaid(told.clone(), &own);
        let of = |name: &str| all[&("n".to_owned(), name.to_owned())].pod.addresses[0].to_string();
        assert_eq!((of("a"), of("b")), ("10.1.0.9".into(), "10.1.0.3".into()));
        assert!(Arc::ptr_eq(&overlaid(all.clone(), &own), &all), "nothing is copied for what is known");
        // Those that end here while their names are others' by now, at another node and at this one.
        let ends = [("2", "b", "10.1.0.7"), ("3", "a", "10.1.0.8")];
        let ends = ends.map(|(uid, name, address)| of_uid(uid, pod("n", name, name, address, "here")));
        let own: All<Arc<Known>> = own.into_iter().chain(ends).collect();
        let all = overlaid(told, &own);
        let mut addresses: Vec<String> = all.values().map(|own| own.pod.addresses[0].to_string()).collect();
        addresses.sort();
        assert_eq!(addresses, ["10.1.0.3", "10.1.0.7", "10.1.0.8", "10.1.0.9"]);
        assert!(Arc::ptr_eq(&overlaid(all.clone(), &own), &all));
    }
}
