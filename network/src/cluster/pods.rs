//! The network of the cluster's pods, `pods`: a container is attached to it as to any other.
//!
//! Its subnets are the node's `podCIDRs`. All that a pod sends goes to the node, which routes it, to
//! another pod of the node, too; so Services and policies see every packet. Pods are reached by their
//! addresses from everywhere, and keep them towards the cluster's other pods. What leaves the cluster
//! gets the node's address.

use super::routes;
use crate::containers::folder::{all_networks, all_records, lock, networks};
use crate::containers::networks::{add, members};
use crate::containers::{forwarding, host::Host, modules, subnet};
use serde::Deserialize;
use spec::network::{Network, PODS};
use spec::node::{Bridge, Cidr, Name};

/// What the pods' network should be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodNetwork {
    /// The node's `podCIDRs`, at most one per family. The first address of each is the node's.
    pub subnets: Vec<Cidr>,
    /// Where pods keep their addresses: the cluster's pod CIDRs, or those of all its nodes. They may
    /// change at any time.
    #[serde(default)]
    pub cluster: Vec<Cidr>,
    /// The greatest packet in bytes; without it what passes every way there is: that of the tunnel to other
    /// nodes, or of the interface with the default route.
    #[serde(default)]
    pub mtu: Option<u32>,
}

/// Makes the network so; that it is already is no work.
///
/// # Errors
/// What could not be done, in words: a subnet that collides, pods that are on other subnets.
pub fn define(wanted: &PodNetwork) -> Result<Network, String> {
    let _lock = lock()?;
    modules::load()?;
    // Privileged pods make interfaces of this kind, and the kernel has nobody to ask for it; an image without it is well.
    let _ = modules::load_these(&["dummy"]);
    // Where a kernel has it as a module, rules about a bridge's ports take it; a kernel that has it not needs it not.
    let _ = modules::load_these(&["nft_meta_bridge"]);
    let name: Name = PODS.parse()?;
    let (mut all, records) = (all_networks()?, all_records()?);
    let position = all.there.iter().position(|network| network.name == name);
    let before = position.map(|position| all.there.remove(position));
    let mut host = Host::look()?;
    host.keeps_strays(all.whole_but(PODS).is_err() || !records.faults.is_empty());
    let records = records.there;
    let network = match before {
        Some(before) if has(&before, &wanted.subnets) => before,
        None if all.faults.contains_key(PODS) && !members(PODS, &records).is_empty() => {
            return Err(all.faults[PODS].clone());
        }
        Some(before) if !members(&before.name, &records).is_empty() => {
            return Err(format!("change the subnets of network {PODS:?}: pods are on it"));
        }
        _ => {
            add(&name, &Bridge { subnets: wanted.subnets.clone(), ..Bridge::default() }, &all, &host, false)?
        }
    };
    let mtu = wanted.mtu.or_else(|| host.mtu_of_routers(routes::TUNNEL));
    let next = Network { cluster: Some(wanted.cluster.clone()), mtu, ..network.clone() };
    if next != network {
        networks().write(&name, &next)?;
    }
    let mut all = all.there;
    all.push(next.clone());
    forwarding::switch_on()?;
    forwarding::leave_bridges_alone()?;
    host.reconcile(&all, &records)?;
    host.filter(&all, &records)?;
    Ok(next)
}

/// The `podCIDRs` that pods of this node have addresses of; none while no pod is on the network.
///
/// # Errors
/// What cannot be read, in words.
pub fn in_use() -> Result<Vec<Cidr>, String> {
    let records = all_records()?.there;
    let there = all_networks()?.there.into_iter().find(|network| &*network.name == PODS);
    let used = there.filter(|network| !members(&network.name, &records).is_empty());
    let subnets = used.map(|network| network.subnets).unwrap_or_default();
    Ok(subnets.into_iter().map(|own| Cidr { address: subnet::host(own, 0), ..own }).collect())
}

/// Lets pods that are attached from now on send what passes the tunnel, if it is less. The lock is held.
pub(super) fn fit(tunnel: u32) -> Result<(), String> {
    let Some(network) = all_networks()?.there.into_iter().find(|network| &*network.name == PODS) else {
        return Ok(());
    };
    match network.mtu {
        Some(mtu) if mtu <= tunnel => Ok(()),
        _ => networks().write(PODS, &Network { mtu: Some(tunnel), ..network }),
    }
}

fn has(network: &Network, subnets: &[Cidr]) -> bool {
    let there = |one: &Cidr| subnet::given(*one, &[]).is_ok_and(|subnet| network.subnets.contains(&subnet));
    network.subnets.len() == subnets.len() && subnets.iter().all(there)
}
