//! A container's record: what it asked for and what it was given. It is written
//! before anything is made, so it is what every verb and the service go by.

use serde::{Deserialize, Serialize};
use spec::network::{Attach, Attached, Interface, Network};
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
    /// Its ports are served by the relay alone, because another program's table drops
    /// forwarded packets.
    #[serde(default)]
    pub relayed: bool,
}

impl Record {
    /// Its interface on a network.
    pub fn on(&self, network: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| &*interface.network == network)
    }

    /// Names by which it is found on the network of an interface, its own first.
    pub fn names<'a>(&'a self, network: &str) -> impl Iterator<Item = &'a str> {
        let ours = self.asked.networks.iter().filter(move |membership| &*membership.network == network);
        let aliases: Vec<&str> =
            ours.flat_map(|membership| membership.aliases.iter().map(|name| &**name)).collect();
        std::iter::once(&*self.container).chain(aliases)
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
        let gateway = network.and_then(|network| network.subnets.first());
        Attached {
            netns: self.netns.clone(),
            interfaces: self.interfaces.clone(),
            dns: gateway.map(|gateway| gateway.address).into_iter().collect(),
            warnings,
        }
    }
}
