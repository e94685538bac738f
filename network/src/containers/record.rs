//! A container's record: what it asked for and what it was given. It is written
//! before anything is made, so it is what every verb and the service go by.

use serde::{Deserialize, Serialize};
use spec::network::{Attach, Attached, Interface, Network, Port};
use spec::node::Name;
use std::net::IpAddr;

/// `/run/skerry/network/containers/NAME.json`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The container's name.
    pub container: Name,
    /// Its network namespace.
    pub netns: String,
    /// What it asked for.
    pub asked: Attach,
    /// What it was given, in the order of the networks.
    pub interfaces: Vec<Interface>,
    /// Its published ports, each with a port of the node.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Its ports are served by the relay alone, because another program's table drops
    /// forwarded packets.
    #[serde(default)]
    pub relayed: bool,
}

impl Record {
    /// What people call it.
    pub fn name(&self) -> &Name {
        self.asked.name.as_ref().unwrap_or(&self.container)
    }

    /// Its interface on a network.
    pub fn on(&self, network: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| &*interface.network == network)
    }

    /// Names by which it is found on the network of an interface, the one that people use first.
    pub fn names<'a>(&'a self, network: &str) -> impl Iterator<Item = &'a str> {
        let ours = self.asked.networks.iter().filter(move |membership| &*membership.network == network);
        let aliases: Vec<&str> =
            ours.flat_map(|membership| membership.aliases.iter().map(|name| &**name)).collect();
        let own = self.asked.name.as_deref().filter(|name| **name != *self.container);
        own.into_iter().chain([&*self.container]).chain(aliases)
    }

    /// The address to which its published ports lead, by family: the one of the
    /// interface with the default route.
    pub fn published_at(&self, v4: bool) -> Option<IpAddr> {
        let reached = self
            .interfaces
            .iter()
            .find(|interface| interface.gateways.iter().any(|gateway| gateway.is_ipv4() == v4))?;
        reached.addresses.iter().map(|cidr| cidr.address).find(|address| address.is_ipv4() == v4)
    }

    /// What `attach` prints.
    pub fn answer(&self, networks: &[Network], warnings: Vec<String>) -> Attached {
        let first = self.interfaces.first();
        let network = first.and_then(|first| networks.iter().find(|network| network.name == first.network));
        let named = network.filter(|network| network.cluster.is_none());
        let gateway = named.and_then(|network| network.subnets.first());
        Attached {
            netns: self.netns.clone(),
            interfaces: self.interfaces.clone(),
            ports: self.ports.clone(),
            dns: gateway.map(|gateway| gateway.address).into_iter().collect(),
            warnings,
        }
    }
}
