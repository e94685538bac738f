//! Services: what is sent to one gets to one of its endpoints, by nftables alone.
//!
//! ```text
//! apply ─┬─ content   pure: a Service and its slices → which addresses and ports lead where
//!        │   └─ choose  which endpoints, by readiness, node, zone and policy
//!        ├─ claims    pure: whose an address is that several ask for
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
mod claims;
mod content;
mod kernel;
mod place;
mod stale;
mod table;
mod tracking;

pub use content::Front;

use crate::containers::modules;
use crate::netlink::nft::standing::Standing;
use crate::ranges;
use claims::Claims;
use content::{Content, content};
use kernel::Held;
use place::{Elements, Placed};
use serde::Deserialize;
use spec::node::Cidr;
use std::collections::BTreeSet;
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
    /// Some of them cannot be read: a family without any is for nobody.
    pub source_ranges_incomplete: bool,
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
    /// Its addresses, by which it may be among those who may come to a load balancer's address.
    pub addresses: Vec<IpAddr>,
    /// The cluster's pod CIDRs, or those of all its nodes: who comes from elsewhere is seen by endpoints as the
    /// node that led him there.
    pub pods: Vec<Cidr>,
    /// Where Services' addresses in the cluster are, `ServiceCIDR`s: what is for one that no Service has goes nowhere.
    pub service_ranges: Vec<Cidr>,
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
    claims: Claims,
    /// The table's chains that pick.
    kinds: BTreeSet<Kind>,
    /// What the kernel holds is what was placed.
    known: bool,
    standing: Standing,
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
                self.claims.names().filter(|name| !named.contains(name)).cloned().collect();
            contents.extend(gone.into_iter().map(|name| (name, None)));
        }
        let found = self.found().map_err(failed)?;
        let numbers = found.as_ref().map(|found| place::read(&found.elements)).unwrap_or_default();
        let (before, after) = self.claims.place(contents, &numbers);
        let kinds = self.claims.kinds();
        let known = std::mem::replace(&mut self.known, false);
        let quick = known && {
            let held = |placed: &Placed, here: &Here, kinds: &BTreeSet<Kind>| Held {
                elements: with_ranges(placed.elements(), here),
                kinds: kinds.clone(),
            };
            let before = held(&before, &self.here, &self.kinds);
            kernel::write(Some(&before), &held(&after, here, &kinds)).is_ok()
        };
        self.here = here.clone();
        self.kinds = kinds;
        match quick {
            true => self.forget(&before, &after),
            false => self.make_whole(found),
        }
    }

    /// Looks whether the table is still there with all of its rules, and makes it whole when somebody has flushed or
    /// deleted it; tells whether. To be called now and then: it costs next to nothing while nobody changes nftables.
    ///
    /// # Errors
    /// What the kernel refused, in words. The next change, or look, tries it again.
    pub fn look(&mut self) -> Result<bool, String> {
        let wanted = || table::counts(&self.kinds);
        if self.known && self.standing.is_whole(TABLE, wanted).map_err(failed)? {
            return Ok(false);
        }
        self.known = false;
        self.make_whole(None).map(|()| true)
    }

    /// Makes all of the table as it should be, from what it holds, which is read if it is not given.
    fn make_whole(&mut self, found: Option<Held>) -> Result<(), String> {
        let (before, after) = self.replace(found).map_err(failed)?;
        stale::sweep(&after).map_err(forgetting)?;
        self.forget(&before, &after)
    }

    /// What was decided by what was before is forgotten: that is the last step of a change.
    fn forget(&mut self, before: &Placed, after: &Placed) -> Result<(), String> {
        stale::forget(before, after).map_err(forgetting)?;
        self.known = true;
        Ok(())
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

    /// Brings the table from what it holds to what it should; makes it anew if the kernel refuses that.
    fn replace(&self, found: Option<Held>) -> io::Result<(Placed, Placed)> {
        let found = if found.is_some() { found } else { kernel::read()? };
        let all = self.claims.all();
        let wanted = Held { elements: with_ranges(all.elements(), &self.here), kinds: self.kinds.clone() };
        kernel::write(found.as_ref(), &wanted).or_else(|_| kernel::write(None, &wanted))?;
        Ok((found.map(|found| place::read(&found.elements)).unwrap_or_default(), all))
    }
}

fn failed(error: io::Error) -> String {
    format!("change table inet {TABLE} of nftables: {}", cause(&error))
}

fn forgetting(error: io::Error) -> String {
    format!("forget connections of before: {}", cause(&error))
}

/// With what is in the table whatever Services there are.
fn with_ranges(mut elements: Elements, here: &Here) -> Elements {
    for v4 in [true, false] {
        for (map, list) in [(Map::Pods, &here.pods), (Map::Ranges, &here.service_ranges)] {
            elements.insert((map, v4), ranges::elements(list.iter().copied(), v4).into_iter().collect());
        }
    }
    elements
}
