//! Networks of the containers' own: what a caller asks `skerry-network` for on
//! standard input, and what it answers on standard output, both JSON.
//! `docs/networking.md` tells callers the same.

mod port;

pub use port::{Port, Protocol};

use crate::node::{Cidr, Name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The network of containers that name none.
pub const DEFAULT_NETWORK: &str = "bridge";

/// The network of a cluster's pods.
pub const PODS: &str = "pods";

/// The UDP port of the tunnel between a cluster's nodes (RFC 7348, section 8).
pub const TUNNEL_PORT: u16 = 4789;

/// What `attach` reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Attach {
    /// What people call the container, when that is not the name by which it is attached: it is
    /// found by both, and spoken of by this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The networks, in the order of the interfaces `eth0`, `eth1`, …; none gives a
    /// namespace with a loopback interface alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Membership>,
    /// Ports of the node that lead to the container.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Name servers that are asked for what is no container's name, in place of the node's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
}

/// One network of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Membership {
    /// The network's name.
    pub network: Name,
    /// Addresses that the container must have, at most one per family; others are chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Addresses that it had before, and gets again if they are free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferred: Vec<IpAddr>,
    /// Names beside its own by which other containers of the network find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
}

impl Membership {
    /// One of a network of which nothing else is said.
    pub fn of(network: Name) -> Self {
        Self { network, addresses: Vec::new(), preferred: Vec::new(), aliases: Vec::new() }
    }
}

/// What `attach` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attached {
    /// The network namespace, to be joined by path.
    pub netns: String,
    /// What was made in it.
    pub interfaces: Vec<Interface>,
    /// Published ports, those that were left to the node as it has chosen them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Name servers for the container's `resolv.conf`.
    pub dns: Vec<IpAddr>,
    /// What the caller should tell its user: nothing of it kept the container from being attached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An interface of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    /// Its name in the container.
    pub name: String,
    /// The network it is on.
    pub network: Name,
    /// Its other end, a port of the network's bridge.
    pub host_name: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its addresses with the network's prefix length, IPv4 first.
    pub addresses: Vec<Cidr>,
    /// The routers of the default routes through it.
    pub gateways: Vec<IpAddr>,
    /// Its greatest packet in bytes.
    pub mtu: u32,
}

/// A network: what `networks inspect` prints and what its file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Its name.
    pub name: Name,
    /// The bridge's name while a container is attached.
    pub bridge: String,
    /// The gateway's address in each subnet, at most one per family, IPv4 first.
    pub subnets: Vec<Cidr>,
    /// No way out of it and none in: no default route, no published ports.
    #[serde(default, skip_serializing_if = "is_false")]
    pub internal: bool,
    /// Greatest packet in bytes; without it the one of the interface with the default route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// It comes from `node.toml`, and goes with it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub configured: bool,
    /// Its containers are a cluster's pods: everything between two of them is routed by the node, they
    /// are reached by their addresses from everywhere, and keep them towards these subnets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Vec<Cidr>>,
    /// Free words, for people and programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A hardware address, `02:00:0a:d2:00:02`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a hardware address");
        let bytes: Result<Vec<u8>, _> = text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect();
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(wrong)
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_a_caller_writes_it() {
        let text = r#"{
            "networks": [{"network": "bridge", "addresses": ["10.210.0.9"], "aliases": ["db"]}, {"network": "back"}],
            "ports": ["127.0.0.1:8080:80", "[::1]:53:53/udp"]
        }"#;
        let request: Attach = serde_json::from_str(text).unwrap();
        assert_eq!(request.networks.len(), 2);
        assert_eq!(request.ports[1].to_string(), "[::1]:53:53/udp");
        assert_eq!(serde_json::from_str::<Attach>("{}").unwrap(), Attach::default());
        assert!(serde_json::from_str::<Attach>(r#"{"port": []}"#).is_err());
    }

    #[test]
    fn a_network_reads_back_as_it_was_written() {
        let text = r#"{"name":"back","bridge":"skerry1","subnets":["10.210.4.1/22","fd00::1/64"],"internal":true,"labels":{"a":"b"}}"#;
        let network: Network = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&network).unwrap(), text);
    }

    #[test]
    fn a_hardware_address_reads_back_as_it_was_written() {
        let mac = Mac([2, 0, 10, 210, 0, 2]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert!("02:00".parse::<Mac>().is_err());
    }
}
