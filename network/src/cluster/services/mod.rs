//! Services: what is sent to one gets to one of its endpoints, by nftables alone.
//!
//! ```text
//! apply ─┬─ content   pure: a Service and its slices → which addresses and ports lead where
//!        │   └─ choose  which endpoints, by readiness, node, zone and policy
//!        ├─ place     pure: what of the table's elements goes and comes
//!        ├─ table     our table, its rules and its maps
//!        ├─ kernel    what the table holds, and the change as one batch
//!        ├─ stale     what was decided by what is no longer so: kept clients, UDP's connections
//!        └─ tracking  how many connections the kernel tracks
//! ```
//!
//! A packet's cost does not grow with the number of Services, and a change's not with the number of those
//! that do not change. An agent that comes anew reads what the table holds and changes what differs;
//! there is no moment without Services.

mod choose;
mod content;
mod kernel;
mod place;
mod stale;
mod table;
mod tracking;

pub use content::Front;

use crate::containers::modules;
use crate::ranges;
use content::{Content, content};
use kernel::Held;
use place::{Elements, Placed};
use serde::Deserialize;
use spec::node::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use sys::cause::cause;
use table::{Kind, Map, TABLE};

/// What has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

impl Protocol {
    /// The one of a number in an IP header.
    fn of(number: u8) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| *protocol as u8 == number)
    }
}

/// A Service, as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Service {
    /// Its addresses in the cluster, `spec.clusterIPs`; none when it is headless.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`, but those of `ipMode: Proxy`.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`: the load balancers' addresses are for these alone.
    pub load_balancer_source_ranges: Vec<Cidr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds`, when its affinity is `ClientIP`.
    pub affinity_seconds: Option<u32>,
    /// `spec.internalTrafficPolicy` is `Local`.
    pub internal_local: bool,
    /// `spec.externalTrafficPolicy` is `Local`.
    pub external_local: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServicePort {
    /// Its name, by which slices have it; empty when it is the only one.
    #[serde(default)]
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
    /// The port of every node that leads there.
    #[serde(default)]
    pub node_port: Option<u16>,
}

/// An EndpointSlice of a Service; its addresses are of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Slice {
    /// Its ports.
    pub ports: Vec<SlicePort>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A port of every endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlicePort {
    /// The name of the Service's port.
    #[serde(default)]
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// An endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoint {
    /// Its first address: all of them are the same endpoint.
    pub address: IpAddr,
    /// `conditions.ready`; nothing said is yes.
    #[serde(default = "yes")]
    pub ready: bool,
    /// `conditions.serving`; nothing said is as `ready`.
    #[serde(default = "yes")]
    pub serving: bool,
    /// `conditions.terminating`.
    #[serde(default)]
    pub terminating: bool,
    /// The node it is on.
    #[serde(default)]
    pub node: Option<String>,
    /// `hints.forZones`.
    #[serde(default)]
    pub for_zones: Vec<String>,
    /// `hints.forNodes`.
    #[serde(default)]
    pub for_nodes: Vec<String>,
}

fn yes() -> bool {
    true
}

/// This node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Here {
    /// Its name.
    pub node: String,
    /// Its zone, `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// The cluster's pod CIDRs, or those of all its nodes: who comes from elsewhere is seen by endpoints as the
    /// node that led him there.
    pub pods: Vec<Cidr>,
}

/// What a Service is now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// `namespace/name`.
    pub name: String,
    /// It and its slices; nothing when it is gone.
    #[serde(default)]
    pub now: Option<Backed>,
}

/// A Service and its slices.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backed {
    /// The Service.
    pub service: Service,
    /// Its EndpointSlices.
    pub slices: Vec<Slice>,
}

/// All Services of the cluster, as this node leads to them.
#[derive(Debug, Default)]
pub struct Services {
    here: Here,
    placed: BTreeMap<String, Placed>,
    /// Who has an address and port that several may ask for.
    holders: BTreeMap<Front, String>,
    /// Services that have lost some to others.
    waiting: BTreeMap<String, Content>,
    /// The table's chains that pick.
    kinds: BTreeSet<Kind>,
    /// What the kernel holds is what was placed.
    known: bool,
}

impl Services {
    /// None so far; the kernel's table stays as it is until they are told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leads to Services as they are now. The first time, after an error and with another `here`, these are all
    /// there are, and others are gone. All of it is done at once, or nothing.
    ///
    /// # Errors
    /// What the kernel refused, in words.
    pub fn apply(&mut self, here: &Here, changes: Vec<Change>) -> Result<(), String> {
        let whole = !self.known || *here != self.here;
        let mut contents: Vec<(String, Option<Content>)> = changes
            .into_iter()
            .map(|Change { name, now }| (name, now.map(|now| content(&now.service, &now.slices, here))))
            .collect();
        if whole {
            let named: BTreeSet<&String> = contents.iter().map(|(name, _)| name).collect();
            let gone: Vec<String> =
                self.placed.keys().filter(|name| !named.contains(name)).cloned().collect();
            contents.extend(gone.into_iter().map(|name| (name, None)));
        }
        let failed = |error: io::Error| format!("change table inet {TABLE} of nftables: {}", cause(&error));
        let found = self.found().map_err(failed)?;
        let numbers = found.as_ref().map(|found| place::read(&found.elements)).unwrap_or_default();
        let (before, after) = self.place(contents, &numbers);
        let kinds: BTreeSet<Kind> = self.placed.values().flat_map(Placed::kinds).collect();
        let known = std::mem::replace(&mut self.known, false);
        let quick = known && {
            let held = |placed: &Placed, pods: &[Cidr], kinds: &BTreeSet<Kind>| Held {
                elements: with_pods(placed.elements(), pods),
                kinds: kinds.clone(),
            };
            let before = held(&before, &self.here.pods, &self.kinds);
            kernel::write(Some(&before), &held(&after, &here.pods, &kinds)).is_ok()
        };
        self.here = here.clone();
        self.kinds = kinds;
        let (before, after) = match quick {
            true => (before, after),
            false => self.replace(found).map_err(failed)?,
        };
        let swept = if quick { Ok(()) } else { stale::sweep(&after) };
        let forgotten = swept.and_then(|()| stale::forget(&before, &after));
        self.known = forgotten.is_ok();
        forgotten.map_err(|error| format!("forget connections of before: {}", cause(&error)))
    }

    /// What the table holds, when that is not known.
    fn found(&self) -> io::Result<Option<Held>> {
        if self.known {
            return Ok(None);
        }
        modules::load()
            .and_then(|()| modules::load_these(&spec::modules::SERVICES))
            .map_err(io::Error::other)?;
        tracking::make_room();
        kernel::read()
    }

    /// Makes all of the table as it should be, from what it holds.
    fn replace(&self, found: Option<Held>) -> io::Result<(Placed, Placed)> {
        let found = if found.is_some() { found } else { kernel::read()? };
        let mut all = Placed::default();
        self.placed.values().for_each(|one| all.merge(one.clone()));
        let wanted = Held { elements: with_pods(all.elements(), &self.here.pods), kinds: self.kinds.clone() };
        kernel::write(found.as_ref(), &wanted)?;
        Ok((found.map(|found| place::read(&found.elements)).unwrap_or_default(), all))
    }

    /// Puts contents in the place of what was there; gives what changed as it was and as it is.
    /// Endpoints keep the numbers that they had, or that they have in the table.
    fn place(&mut self, contents: Vec<(String, Option<Content>)>, numbers: &Placed) -> (Placed, Placed) {
        let mut wanted: BTreeMap<String, Option<Content>> = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(name, content)| (name, Some(content)))
            .collect();
        wanted.extend(contents);
        let mut before = Placed::default();
        for name in wanted.keys() {
            let gone = self.placed.remove(name).unwrap_or_default();
            gone.fronts().for_each(|front| drop(self.holders.remove(&front)));
            before.merge(gone);
        }
        let mut numbers = numbers.clone();
        numbers.merge(before.clone());
        let mut after = Placed::default();
        for (name, content) in wanted {
            let Some(mut content) = content else { continue };
            let asked = content.clone();
            let taken: BTreeSet<Front> =
                content.fronts().filter(|front| self.holders.contains_key(front)).collect();
            content.leave(&taken);
            self.holders.extend(content.fronts().map(|front| (front, name.clone())));
            if !taken.is_empty() {
                self.waiting.insert(name.clone(), asked);
            }
            let placed = Placed::of(content, &numbers);
            after.merge(placed.clone());
            self.placed.insert(name, placed);
        }
        (before, after)
    }
}

fn with_pods(mut elements: Elements, pods: &[Cidr]) -> Elements {
    for v4 in [true, false] {
        elements.insert((Map::Pods, v4), ranges::elements(pods.iter().copied(), v4).into_iter().collect());
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(name: &str, external: &str) -> (String, Option<Content>) {
        let service = Service {
            cluster_ips: vec!["10.96.0.1".parse().unwrap()],
            external_ips: vec![external.parse().unwrap()],
            ports: vec![ServicePort {
                name: String::new(),
                protocol: Protocol::Tcp,
                port: 80,
                node_port: None,
            }],
            ..Service::default()
        };
        let mut content = content(&service, &[], &Here::default());
        content.refused.retain(|front| front.address == Some(external.parse().unwrap()));
        (name.to_owned(), Some(content))
    }

    #[test]
    fn an_address_that_two_claim_is_the_others_when_the_one_leaves_it() {
        let mut services = Services::new();
        let mut place = |contents| {
            services.place(contents, &Placed::default());
            services
                .placed
                .iter()
                .filter(|(_, one)| !one.refused.is_empty())
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(place(vec![change("a", "192.0.2.1"), change("b", "192.0.2.1")]), ["a"]);
        assert_eq!(place(vec![change("c", "192.0.2.2")]), ["a", "c"]);
        assert_eq!(place(vec![("a".to_owned(), None)]), ["b", "c"]);
        assert_eq!(place(vec![("b".to_owned(), None), change("d", "192.0.2.1")]), ["c", "d"]);
    }
}
