//! The ways of pods' packets: the node's pod network, other nodes' pods, Services. The API server's objects become
//! the words of [`network::cluster`], which makes the kernel so.

mod health;
mod proxy;

use crate::api::Api;
use crate::legacy;
use crate::node::object;
use crate::node::report::{Own, Standing};
use crate::pods::mirror;
use crate::say::{Trouble, say};
use crate::worker::Services as Known;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use network::cluster::pods::{PodNetwork, define};
use network::cluster::routes::{Other, Routes, settle};
use network::cluster::services::{
    self, Backed, Change, Endpoint, Here, Protocol, ServicePort, Slice, SlicePort,
};
use spec::node::{By, Cidr, Tunnel};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// Between two attempts at what the kernel has refused.
const PAUSE: Duration = Duration::from_secs(2);

/// How often the ways are looked at: with an interface's last address, as when its lease ends, the kernel takes all
/// that lead by it.
const LOOK: Duration = Duration::from_secs(10);

/// How often tables of nftables are looked at: somebody may have flushed or deleted them.
pub const GUARD: Duration = Duration::from_secs(2);

/// Changes of Services that come so close together are one.
const GATHER: Duration = Duration::from_millis(20);

/// The label of Services that another program leads to.
const OTHERS: &str = "service.kubernetes.io/service-proxy-name";

/// The label of slices to which only names lead.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// The taint of nodes that the cluster's autoscaler is about to delete.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// What a node is to the ways: its pods' subnets, its addresses, its zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    subnets: Vec<Cidr>,
    addresses: Vec<IpAddr>,
    zone: Option<String>,
    /// It is being deleted, or is to be.
    leaves: bool,
}

/// How it stands with leading to Services.
#[derive(Clone, Copy, Debug, Default)]
struct Led {
    healthy: bool,
    /// When they were last led to as they should be.
    last: Option<Timestamp>,
}

/// Nodes by name; their namespace is empty.
pub type Places = BTreeMap<(String, String), Place>;

/// Slices, each with the Service that it is of.
type Slices = BTreeMap<(String, String), Arc<(String, Slice)>>;

/// Where Services' addresses are, by the name of the object that says so.
type Ranges = BTreeMap<(String, String), Vec<Cidr>>;

/// Keeps the ways true for ever; `places` are the nodes, `standing` is told whether pods can run.
pub async fn keep(
    api: &Api,
    own: &Own,
    places: &watch::Sender<Arc<Places>>,
    services: &watch::Sender<Arc<Known>>,
    standing: &watch::Sender<Standing>,
) {
    let slices = watch::Sender::new(Arc::new(Slices::new()));
    let ranges = watch::Sender::new(Arc::new(Ranges::new()));
    let led = watch::Sender::new(Led::default());
    let all = watcher::Config::default;
    if [own.cluster.services, own.cluster.pod_network].contains(&By::Cluster) {
        let loaded = tokio::task::spawn_blocking(network::cluster::foreign::load).await;
        if let Err(reason) = loaded.unwrap_or_else(|error| Err(error.to_string())) {
            say(format_args!("{reason}"));
        }
    }
    tokio::join!(
        mirror(api, "watch nodes", all(), |node: Node| Some(place(&node)), places),
        mirror(
            api,
            "watch services",
            all(),
            |service: Service| {
                faults(&service).iter().for_each(|fault| say(format_args!("{fault}")));
                Some(Arc::new(service))
            },
            services
        ),
        async {
            if own.cluster.services == By::Node {
                let slice = |one: EndpointSlice| slice(&one).map(Arc::new);
                tokio::join!(
                    mirror(api, "watch endpoints", all(), slice, &slices),
                    mirror(api, "watch ranges of Services", all(), service_ranges, &ranges),
                );
            }
        },
        pods(own, places.subscribe(), standing),
        async {
            if own.cluster.services == By::Node {
                tokio::join!(
                    lead(
                        own,
                        places.subscribe(),
                        services.subscribe(),
                        slices.subscribe(),
                        ranges.subscribe(),
                        &led
                    ),
                    health::keep(&own.name, services.subscribe(), slices.subscribe(), led.subscribe()),
                    proxy::keep(&own.name, places.subscribe(), led.subscribe()),
                );
            }
        },
    );
}

fn place(node: &Node) -> Place {
    let subnets = object::subnets(node).iter().filter_map(|text| text.parse().ok()).collect();
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let addresses =
        addresses.filter(|own| own.type_ == "InternalIP").filter_map(|own| own.address.parse().ok());
    let labels = node.metadata.labels.as_ref();
    let zone = labels.and_then(|labels| labels.get("topology.kubernetes.io/zone").cloned());
    let taints = node.spec.iter().flat_map(|spec| &spec.taints);
    let leaves = node.metadata.deletion_timestamp.is_some()
        || taints.flatten().any(|taint| taint.key == TO_BE_DELETED);
    Place { subnets, addresses: addresses.collect(), zone, leaves }
}

/// The pods' network of this node and the ways to others'.
async fn pods(own: &Own, places: watch::Receiver<Arc<Places>>, standing: &watch::Sender<Standing>) {
    if own.cluster.pod_network == By::Cluster {
        return crate::cni::keep(standing).await;
    }
    let make = |network: Option<&PodNetwork>, routes: &Routes| {
        network.map_or(Ok(()), |network| define(network).map(drop))?;
        settle(routes)
    };
    follow(own, places, standing, make).await;
}

/// Makes the network and the ways with each change of nodes, and the ways again from time to time.
async fn follow(
    own: &Own,
    mut places: watch::Receiver<Arc<Places>>,
    standing: &watch::Sender<Standing>,
    make: impl Fn(Option<&PodNetwork>, &Routes) -> Result<Vec<String>, String> + Copy + Send + 'static,
) {
    let (mut trouble, mut said) = (Trouble::default(), Vec::new());
    let mut made: Option<(Arc<Places>, Instant)> = None;
    let mut last: Option<Place> = None;
    loop {
        let mut now = places.borrow_and_update().clone();
        match (mine(own, &now), &last) {
            (Some(place), _) => last = Some(place.clone()),
            // A Node that somebody has deleted comes back: it is as if it were there until then.
            (None, Some(last)) => {
                Arc::make_mut(&mut now).insert((String::new(), own.name.clone()), last.clone());
            }
            (None, None) => {}
        }
        let mine = mine(own, &now).cloned().unwrap_or_default();
        let known = made.as_ref().is_some_and(|(before, _)| *before == now);
        let fresh = known && made.as_ref().is_some_and(|(_, when)| when.elapsed() < LOOK);
        if mine.subnets.is_empty() {
            made = None;
            let words = "the cluster has given this node no podCIDR yet".to_owned();
            standing
                .send_if_modified(|standing| standing.unready.replace(words.clone()) != Some(words.clone()));
        } else if !fresh {
            let (network, routes) = wanted(own, &mine, &now);
            let done = tokio::task::spawn_blocking(move || make(Some(&network).filter(|_| !known), &routes));
            let done = done.await.unwrap_or_else(|error| Err(error.to_string()));
            // What was made stays so though it could not be looked at just now.
            let failed = done.as_ref().err().filter(|_| !known);
            let unready = failed.map(|reason| format!("pod network: {reason}"));
            standing.send_if_modified(|standing| {
                std::mem::replace(&mut standing.unready, unready.clone()) != unready
            });
            let Some(faults) = trouble.of("make the pods' network", done) else {
                let _ = timeout(PAUSE, places.changed()).await;
                continue;
            };
            let new = faults.iter().filter(|fault| !said.contains(*fault));
            new.for_each(|fault| say(format_args!("pod network: {fault}")));
            said = faults;
            made = Some((now, Instant::now()));
        }
        let left = made.as_ref().map_or(LOOK, |(_, when)| LOOK.saturating_sub(when.elapsed()));
        if matches!(timeout(left, places.changed()).await, Ok(Err(_))) {
            return;
        }
    }
}

/// What this node is to the ways, while there is such a Node.
fn mine<'a>(own: &Own, places: &'a Places) -> Option<&'a Place> {
    places.get(&(String::new(), own.name.clone()))
}

fn wanted(own: &Own, mine: &Place, all: &Places) -> (PodNetwork, Routes) {
    let others: Vec<Other> = all
        .iter()
        .filter(|((_, name), place)| {
            *name != own.name && !place.subnets.is_empty() && !place.addresses.is_empty()
        })
        .map(|((_, name), place)| Other {
            name: name.clone(),
            subnets: place.subnets.clone(),
            addresses: place.addresses.clone(),
        })
        .collect();
    let network = PodNetwork { subnets: mine.subnets.clone(), cluster: subnets_of(all), mtu: None };
    let routes = Routes {
        subnets: mine.subnets.clone(),
        addresses: own.addresses.clone(),
        others,
        tunnel_only: own.cluster.tunnel == Tunnel::Always,
    };
    (network, routes)
}

/// Where pods are: all nodes' subnets.
fn subnets_of(all: &Places) -> Vec<Cidr> {
    all.values().flat_map(|place| place.subnets.iter().copied()).collect()
}

/// Leads to Services for ever.
async fn lead(
    own: &Own,
    mut places: watch::Receiver<Arc<Places>>,
    mut known: watch::Receiver<Arc<Known>>,
    mut slices: watch::Receiver<Arc<Slices>>,
    mut ranges: watch::Receiver<Arc<Ranges>>,
    led: &watch::Sender<Led>,
) {
    let ruled = Arc::new(Mutex::new(services::Services::new()));
    let (mut trouble, mut before) = (Trouble::default(), None::<(Arc<Known>, Arc<Slices>, Here)>);
    if listed(&mut known, &mut slices, &mut places).await.is_err() {
        return;
    }
    loop {
        let (now, parts) = (known.borrow_and_update().clone(), slices.borrow_and_update().clone());
        let service_ranges: Vec<Cidr> = ranges.borrow_and_update().values().flatten().copied().collect();
        let here = match (here(own, &places.borrow_and_update()), &before) {
            (Some(here), _) => Here { service_ranges, ..here },
            // The Node was deleted, and comes back.
            (None, Some((.., before))) => Here { service_ranges, ..before.clone() },
            (None, None) => Here { node: own.name.clone(), service_ranges, ..Here::default() },
        };
        let changes = match &before {
            Some((old, old_parts, old_here)) if *old_here == here => {
                changed((old, old_parts), (&now, &parts))
            }
            _ => changed((&Arc::default(), &Arc::default()), (&now, &parts)),
        };
        let changes = Some(changes).filter(|changes| !changes.is_empty() || before.is_none());
        let (ruled, at, is_change) = (ruled.clone(), here.clone(), changes.is_some());
        let done = tokio::task::spawn_blocking(move || {
            let mut ruled = ruled.lock().unwrap_or_else(PoisonError::into_inner);
            match changes {
                Some(changes) => ruled.apply(&at, changes).map(|()| false),
                None => ruled.look(),
            }
        });
        let done = done.await.unwrap_or_else(|error| Err(error.to_string()));
        if is_change || done != Ok(false) {
            led.send_modify(|led| {
                led.healthy = done.is_ok();
                led.last = if led.healthy { Some(Timestamp::now()) } else { led.last };
            });
        }
        let Some(made_anew) = trouble.of("lead to Services", done) else {
            before = None;
            sleep(PAUSE).await;
            continue;
        };
        if made_anew {
            say(format_args!(
                "Services: somebody has flushed or deleted their nftables table: it is made anew"
            ));
        }
        before = Some((now, parts, here));
        let changed = async {
            tokio::select! {
                one = known.changed() => one.is_ok(),
                one = slices.changed() => one.is_ok(),
                one = places.changed() => one.is_ok(),
                one = ranges.changed() => one.is_ok(),
            }
        };
        match timeout(GUARD, changed).await {
            Ok(true) => sleep(GATHER).await,
            Ok(false) => return,
            Err(_) => {}
        }
    }
}

/// Waits for the first word of each, which is a whole list: before that nothing is known to be gone, nor who is a pod.
async fn listed(
    known: &mut watch::Receiver<Arc<Known>>,
    slices: &mut watch::Receiver<Arc<Slices>>,
    places: &mut watch::Receiver<Arc<Places>>,
) -> Result<(), watch::error::RecvError> {
    known.changed().await?;
    slices.changed().await?;
    places.changed().await
}

fn here(own: &Own, places: &Places) -> Option<Here> {
    let mine = mine(own, places)?;
    Some(Here {
        node: own.name.clone(),
        zone: mine.zone.clone(),
        addresses: mine.addresses.clone(),
        pods: subnets_of(places),
        ..Here::default()
    })
}

type Both<'a> = (&'a Arc<Known>, &'a Arc<Slices>);

/// Services that are not as they were, themselves or their endpoints.
fn changed(before: Both<'_>, now: Both<'_>) -> Vec<Change> {
    let mut names: BTreeSet<(String, String)> = BTreeSet::new();
    let (old, new) = (before.0, now.0);
    let differs = |key: &(String, String)| match (old.get(key), new.get(key)) {
        (Some(one), Some(other)) => !Arc::ptr_eq(one, other),
        (one, other) => one.is_some() != other.is_some(),
    };
    names.extend(old.keys().chain(new.keys()).filter(|key| differs(key)).cloned());
    let (old, new) = (before.1, now.1);
    for key in old.keys().chain(new.keys()) {
        let (one, other) = (old.get(key), new.get(key));
        let same = matches!((one, other), (Some(one), Some(other)) if Arc::ptr_eq(one, other));
        if !same {
            names.extend([one, other].into_iter().flatten().map(|own| (key.0.clone(), own.0.clone())));
        }
    }
    let mut of: BTreeMap<(String, String), Vec<Slice>> = BTreeMap::new();
    for ((namespace, _), own) in now.1.iter() {
        let key = (namespace.clone(), own.0.clone());
        if names.contains(&key) {
            of.entry(key).or_default().push(own.1.clone());
        }
    }
    let backed = |key: &(String, String)| {
        let service = service(now.0.get(key)?)?;
        let slices = of.get(key).cloned().unwrap_or_default();
        Some(Backed { service, slices })
    };
    names.iter().map(|key| Change { name: format!("{}/{}", key.0, key.1), now: backed(key) }).collect()
}

/// A protocol by its name; TCP without one.
pub fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}

fn addresses(list: Option<&Vec<String>>) -> Vec<IpAddr> {
    list.into_iter().flatten().filter_map(|text| legacy::address(text)).collect()
}

/// What of a Service cannot be read, and so lets nobody in.
fn faults(own: &Service) -> Vec<String> {
    let Some(spec) = &own.spec else { return Vec::new() };
    let [namespace, name] =
        [&own.metadata.namespace, &own.metadata.name].map(|part| part.as_deref().unwrap_or_default());
    let addresses = spec.external_ips.iter().flatten().filter(|text| legacy::address(text).is_none());
    let ranges =
        spec.load_balancer_source_ranges.iter().flatten().filter(|text| legacy::cidr(text).is_none());
    let each = addresses
        .map(|text| ("externalIPs", text))
        .chain(ranges.map(|text| ("loadBalancerSourceRanges", text)));
    each.map(|(what, text)| {
        format!("Service {namespace}/{name}: {what}: {text:?} cannot be read: it lets nobody in")
    })
    .collect()
}

/// Whether a Service or slice has a label, whatever its value.
fn has_label(own: &ObjectMeta, label: &str) -> bool {
    own.labels.as_ref().is_some_and(|labels| labels.contains_key(label))
}

/// Where Services' addresses are.
fn service_ranges(own: ServiceCIDR) -> Option<Vec<Cidr>> {
    let cidrs = own.spec?.cidrs?;
    Some(cidrs.iter().filter_map(|text| legacy::cidr(text)).collect())
}

/// A Service that leads somewhere; headless ones, other names and those that another program leads to do not.
fn service(own: &Service) -> Option<services::Service> {
    let spec = own.spec.as_ref()?;
    let cluster_ips = addresses(spec.cluster_ips.as_ref());
    let elsewhere = spec.type_.as_deref() == Some("ExternalName") || has_label(&own.metadata, OTHERS);
    if elsewhere || cluster_ips.is_empty() {
        return None;
    }
    let ingress = own.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let proxied =
        |one: &&k8s_openapi::api::core::v1::LoadBalancerIngress| one.ip_mode.as_deref() != Some("Proxy");
    let load_balancer_ips =
        ingress.into_iter().flatten().filter(proxied).filter_map(|one| legacy::address(one.ip.as_ref()?));
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let port = |one: &k8s_openapi::api::core::v1::ServicePort| {
        Some(ServicePort {
            name: one.name.clone().unwrap_or_default(),
            protocol: protocol(one.protocol.as_deref())?,
            port: number(one.port)?,
            node_port: one.node_port.and_then(number),
        })
    };
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let ranges: Vec<Option<Cidr>> = ranges.map(|text| legacy::cidr(text)).collect();
    let sticky = spec.session_affinity.as_deref() == Some("ClientIP");
    let seconds =
        spec.session_affinity_config.as_ref().and_then(|own| own.client_ip.as_ref()?.timeout_seconds);
    Some(services::Service {
        cluster_ips,
        external_ips: addresses(spec.external_ips.as_ref()),
        load_balancer_ips: load_balancer_ips.collect(),
        source_ranges_incomplete: ranges.contains(&None),
        load_balancer_source_ranges: ranges.into_iter().flatten().collect(),
        ports: spec.ports.iter().flatten().filter_map(port).collect(),
        affinity_seconds: sticky.then(|| seconds.unwrap_or(10_800).unsigned_abs()),
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
    })
}

/// A slice and the Service that it is of; those of headless Services lead nowhere.
fn slice(own: &EndpointSlice) -> Option<(String, Slice)> {
    let service = own.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?.clone();
    if has_label(&own.metadata, HEADLESS) || !matches!(own.address_type.as_str(), "IPv4" | "IPv6") {
        return None;
    }
    let port = |one: &k8s_openapi::api::discovery::v1::EndpointPort| {
        Some(SlicePort {
            name: one.name.clone().unwrap_or_default(),
            protocol: protocol(one.protocol.as_deref())?,
            port: u16::try_from(one.port?).ok()?,
        })
    };
    let endpoint = |one: &k8s_openapi::api::discovery::v1::Endpoint| {
        let conditions = one.conditions.clone().unwrap_or_default();
        let ready = conditions.ready != Some(false);
        let hints = one.hints.clone().unwrap_or_default();
        Some(Endpoint {
            address: legacy::address(one.addresses.first()?)?,
            ready,
            serving: conditions.serving.unwrap_or(ready),
            terminating: conditions.terminating == Some(true),
            node: one.node_name.clone(),
            for_zones: hints.for_zones.into_iter().flatten().map(|own| own.name).collect(),
            for_nodes: hints.for_nodes.into_iter().flatten().map(|own| own.name).collect(),
        })
    };
    let slice = Slice {
        ports: own.ports.iter().flatten().filter_map(port).collect(),
        endpoints: own.endpoints.iter().flatten().filter_map(endpoint).collect(),
    };
    Some((service, slice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(services: serde_json::Value) -> Arc<Known> {
        let all: Vec<Service> = serde_json::from_value(services).unwrap();
        let key =
            |own: &Service| (own.metadata.namespace.clone().unwrap(), own.metadata.name.clone().unwrap());
        Arc::new(all.into_iter().map(|own| (key(&own), Arc::new(own))).collect())
    }

    fn parts(slices: serde_json::Value) -> Arc<Slices> {
        let all: Vec<EndpointSlice> = serde_json::from_value(slices).unwrap();
        let key = |own: &EndpointSlice| {
            (own.metadata.namespace.clone().unwrap(), own.metadata.name.clone().unwrap())
        };
        Arc::new(all.iter().filter_map(|own| Some((key(own), Arc::new(slice(own)?)))).collect())
    }

    fn web(address: &str) -> serde_json::Value {
        json!({ "metadata": { "namespace": "n", "name": "web" }, "spec": { "clusterIPs": [address], "ports": [{ "port": 80, "nodePort": 30080 }], "sessionAffinity": "ClientIP" } })
    }

    #[test]
    fn what_has_changed_is_told_with_all_that_belongs_to_it() {
        let (none, empty) = (known(json!([])), parts(json!([])));
        let services = known(
            json!([web("10.96.0.7"), { "metadata": { "namespace": "n", "name": "db" }, "spec": { "clusterIPs": ["None"] } }]),
        );
        let first = changed((&none, &empty), (&services, &empty));
        assert_eq!(first.len(), 2);
        let own = first[1].now.as_ref().unwrap();
        assert_eq!(
            (first[0].now.is_none(), own.service.affinity_seconds, own.service.ports[0].node_port),
            (true, Some(10_800), Some(30_080))
        );
        let slices = parts(json!([{
            "metadata": { "namespace": "n", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4", "ports": [{ "port": 8080 }],
            "endpoints": [{ "addresses": ["10.1.0.2"], "conditions": { "ready": false, "terminating": true } }],
        }]));
        let second = changed((&services, &empty), (&services, &slices));
        assert_eq!((second.len(), second[0].name.as_str()), (1, "n/web"));
        let endpoint = &second[0].now.as_ref().unwrap().slices[0].endpoints[0];
        assert_eq!((endpoint.ready, endpoint.serving, endpoint.terminating), (false, false, true));
        assert!(changed((&services, &slices), (&services, &slices)).is_empty());
        let gone = changed((&services, &slices), (&none, &slices));
        assert!(gone.iter().all(|one| one.now.is_none()) && gone.len() == 2);
    }

    #[test]
    fn source_ranges_that_cannot_be_read_let_nobody_in() {
        let of = |ranges: serde_json::Value| {
            let mut own = web("010.096.0.7");
            own["spec"]["loadBalancerSourceRanges"] = ranges;
            let own: Service = serde_json::from_value(own).unwrap();
            let read = service(&own).unwrap();
            assert_eq!(read.cluster_ips, ["10.96.0.7".parse::<IpAddr>().unwrap()]);
            (read.load_balancer_source_ranges.len(), read.source_ranges_incomplete, faults(&own))
        };
        assert_eq!(of(json!([])), (0, false, Vec::new()));
        assert_eq!(of(json!([" 010.1.0.0/16", "::ffff:10.1.0.0/112"])), (2, false, Vec::new()));
        let fault =
            "Service n/web: loadBalancerSourceRanges: \"10.1.0/16\" cannot be read: it lets nobody in";
        assert_eq!(of(json!(["10.1.0/16"])), (0, true, vec![fault.to_owned()]));
    }

    #[test]
    fn what_labels_leave_to_others_leads_nowhere() {
        let labelled = |mut own: serde_json::Value, label: &str| {
            own["metadata"]["labels"][label] = json!("");
            own
        };
        let leads = |own| service(&serde_json::from_value(own).unwrap()).is_some();
        let own = web("10.96.0.7");
        // The one is of Services alone, the other of slices.
        for (label, is) in [(OTHERS, false), (HEADLESS, true), ("other", true)] {
            assert_eq!(leads(labelled(own.clone(), label)), is, "{label}");
        }
        let own = json!({ "metadata": { "namespace": "n", "name": "web-1", "labels": { "kubernetes.io/service-name": "web" } },
            "addressType": "IPv4", "endpoints": [] });
        for (label, is) in [(OTHERS, 1), (HEADLESS, 0), ("other", 1)] {
            assert_eq!(parts(json!([labelled(own.clone(), label)])).len(), is, "{label}");
        }
    }

    #[test]
    fn the_configuration_says_whether_all_goes_by_the_tunnel() {
        for (tunnel, all) in [(Tunnel::Needed, false), (Tunnel::Always, true)] {
            let cluster = spec::node::Cluster { tunnel, ..Default::default() };
            let own = Own { cluster, name: "a".into(), addresses: Vec::new(), machine: Default::default() };
            let (_, routes) = wanted(&own, &Place::default(), &Places::new());
            assert_eq!(routes.tunnel_only, all);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_led_before_nodes_are_known() {
        let (known, slices) = (watch::Sender::default(), watch::Sender::default());
        let places = watch::Sender::<Arc<Places>>::default();
        let receivers = (&mut known.subscribe(), &mut slices.subscribe(), &mut places.subscribe());
        let mut waits = std::pin::pin!(listed(receivers.0, receivers.1, receivers.2));
        known.send_replace(Arc::default());
        slices.send_replace(Arc::default());
        assert!(timeout(PAUSE, &mut waits).await.is_err(), "every pod would be a stranger");
        places.send_replace(Arc::default());
        assert!(waits.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn ways_are_looked_at_again_though_no_node_has_changed() {
        static MADE: Mutex<Vec<bool>> = Mutex::new(Vec::new());
        let own = Own {
            cluster: Default::default(),
            name: "a".into(),
            addresses: Vec::new(),
            machine: Default::default(),
        };
        let place = Place { subnets: vec!["10.1.0.0/24".parse().unwrap()], ..Place::default() };
        let places = watch::Sender::new(Arc::new(Places::from([((String::new(), "a".into()), place)])));
        let standing = watch::Sender::default();
        let make = |network: Option<&PodNetwork>, _: &Routes| {
            MADE.lock().unwrap().push(network.is_some());
            Ok(vec!["no way to pods of node \"b\"".to_owned()])
        };
        let followed = follow(&own, places.subscribe(), &standing, make);
        assert!(timeout(LOOK * 7 / 2, followed).await.is_err());
        assert_eq!(*MADE.lock().unwrap(), [true, false, false, false]);
        assert_eq!(standing.borrow().unready, None, "another node's trouble is not this one's");
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_is_deleted_and_comes_back_is_ready_all_the_time() {
        static MADE: Mutex<Vec<bool>> = Mutex::new(Vec::new());
        let (name, machine) = ("a".to_owned(), Default::default());
        let own = Own { cluster: Default::default(), name, addresses: Vec::new(), machine };
        let all = |name: &str| {
            let place = Place { subnets: vec!["10.1.0.0/24".parse().unwrap()], ..Place::default() };
            Arc::new(Places::from([((String::new(), name.to_owned()), place)]))
        };
        let places = watch::Sender::new(all("a"));
        let (standing, mut told) = watch::channel(Standing::default());
        let make = |network: Option<&PodNetwork>, _: &Routes| {
            MADE.lock().unwrap().push(network.is_some());
            Ok(Vec::new())
        };
        let change = async {
            sleep(LOOK / 2).await;
            places.send_replace(Arc::default());
            sleep(LOOK * 2).await;
            assert_eq!(*MADE.lock().unwrap(), [true, false, false], "the ways are looked at, as ever");
            places.send_replace(all("a"));
            sleep(LOOK / 4).await;
            assert_eq!(MADE.lock().unwrap().len(), 3, "it is as it was");
        };
        tokio::select! {
            () = follow(&own, places.subscribe(), &standing, make) => {}
            () = change => {}
        }
        assert!(!told.has_changed().unwrap() && told.borrow_and_update().unready.is_none());
        assert!(here(&own, &all("a")).is_some() && here(&own, &Places::new()).is_none());
    }

    #[test]
    fn a_nodes_place_is_read_from_its_object() {
        let mut node: Node = serde_json::from_value(json!({
            "metadata": { "name": "a", "labels": { "topology.kubernetes.io/zone": "z" } },
            "spec": { "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"] },
            "status": { "addresses": [{ "type": "Hostname", "address": "a" }, { "type": "InternalIP", "address": "192.0.2.1" }] },
        }))
        .unwrap();
        let own = place(&node);
        assert_eq!((own.subnets.len(), own.addresses.len(), own.zone.as_deref()), (2, 1, Some("z")));
        assert!(!own.leaves);
        let taint = json!([{ "key": TO_BE_DELETED, "effect": "NoSchedule" }]);
        node.spec.as_mut().unwrap().taints = serde_json::from_value(taint).unwrap();
        assert!(place(&node).leaves);
        node.spec = None;
        node.metadata.deletion_timestamp = Some(crate::pod::status::time(1));
        assert!(place(&node).leaves);
    }
}
