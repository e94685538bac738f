//! Which sockets there should be, as the records say.

use crate::containers::links::in_use;
use crate::containers::networks::has_pods;
use crate::containers::record::Record;
use spec::network::{Network, Port, Protocol};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port of names (RFC 1035, 4.2).
pub const DNS: u16 = 53;

/// Where a socket listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
}

/// What it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// What comes goes to this port of a container.
    Relay {
        /// The container's address and port.
        to: SocketAddr,
        /// Its address of the other family, for a program that listens there alone.
        other: Option<SocketAddr>,
        /// The container asked for this very address: not to have it is worth a word.
        named: bool,
    },
    /// Names are answered.
    Names,
}

/// Every socket that the records want.
pub fn wanted(networks: &[Network], records: &[Record]) -> BTreeMap<Place, Role> {
    let named = in_use(networks, records).filter(|network| network.cluster.is_none());
    let gateways = named.flat_map(|network| &network.subnets);
    let names = gateways.flat_map(|gateway| {
        let address = SocketAddr::new(gateway.address, DNS);
        [Protocol::Tcp, Protocol::Udp].map(|protocol| (Place { protocol, address }, Role::Names))
    });
    let relays = records.iter().flat_map(|record| {
        let served = served(networks, record);
        record.ports.iter().flat_map(move |port| relays(record, *port, served))
    });
    names.chain(relays).collect()
}

/// Whether nftables serves ports of all but the loopback's addresses, IPv4 and IPv6. It leads to none of a
/// family that the container has no address of, for which the relay reaches it by the other one: not to a
/// pod, whose policies would take the client for the node.
fn served(networks: &[Network], record: &Record) -> [bool; 2] {
    let pod = record.interfaces.iter().any(|interface| has_pods(networks, &interface.network));
    [true, false].map(|v4| !record.relayed && (pod || record.published_at(v4).is_some()))
}

/// The relay knows TCP and UDP.
fn relays(record: &Record, port: Port, served: [bool; 2]) -> Vec<(Place, Role)> {
    if port.protocol == Protocol::Sctp {
        return Vec::new();
    }
    let each = port.pairs().flat_map(|(outside, inside)| {
        addresses(port.address, served).into_iter().filter_map(move |address| {
            // The container may have no address of this family, and the relay does not mind.
            let targets = [address.is_ipv4(), address.is_ipv6()].map(|v4| record.published_at(v4));
            let mut targets = targets.into_iter().flatten().map(|target| SocketAddr::new(target, inside));
            let (to, other) = (targets.next()?, targets.next());
            let place = Place { protocol: port.protocol, address: SocketAddr::new(address, outside) };
            Some((place, Role::Relay { to, other, named: port.address.is_some() }))
        })
    });
    each.collect()
}

/// Of an address that is published, those that nftables does not serve.
fn addresses(published: Option<IpAddr>, [v4_served, v6_served]: [bool; 2]) -> Vec<IpAddr> {
    let v4: IpAddr = if v4_served { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED }.into();
    let v6: IpAddr = if v6_served { Ipv6Addr::LOCALHOST } else { Ipv6Addr::UNSPECIFIED }.into();
    match published {
        None => vec![v4, v6],
        Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => vec![v4],
        Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => vec![v6],
        Some(address) if address.is_loopback() => vec![address],
        Some(IpAddr::V4(_)) if v4_served => Vec::new(),
        Some(IpAddr::V6(_)) if v6_served => Vec::new(),
        Some(address) => vec![address],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::{network, record};

    fn places(port: &str, relayed: bool) -> Vec<String> {
        let record = Record { relayed, ..record("web", "bridge", "skerry0p1") };
        places_of(&network("bridge", "skerry0"), record, port)
    }

    fn places_of(network: &Network, mut record: Record, port: &str) -> Vec<String> {
        record.ports = vec![port.parse().unwrap()];
        let all = wanted(std::slice::from_ref(network), &[record]);
        let relay = |(place, role): (Place, Role)| match role {
            Role::Relay { to, .. } => Some(format!("{} {} to {to}", place.protocol, place.address)),
            Role::Names => None,
        };
        all.into_iter().filter_map(relay).collect()
    }

    #[test]
    fn the_relay_serves_what_nftables_does_not() {
        assert_eq!(
            places("8080:80", false),
            ["tcp 127.0.0.1:8080 to 10.210.0.2:80", "tcp [::1]:8080 to [fd00::2]:80"]
        );
        assert_eq!(
            places("8080:80/udp", true),
            ["udp 0.0.0.0:8080 to 10.210.0.2:80", "udp [::]:8080 to [fd00::2]:80"]
        );
        assert_eq!(places("192.0.2.1:8080:80", false), Vec::<String>::new());
        assert_eq!(places("192.0.2.1:8080:80", true), ["tcp 192.0.2.1:8080 to 10.210.0.2:80"]);
        assert_eq!(places("127.0.0.2:8080-8081:80-81", false).len(), 2);
        assert_eq!(places("5060:5060/sctp", true), Vec::<String>::new());
    }

    #[test]
    fn a_container_without_ipv6_is_reached_by_ipv4_at_every_address_and_a_pod_at_the_loopback() {
        let mut record = record("web", "bridge", "skerry0p1");
        record.interfaces[0].addresses.truncate(1);
        record.interfaces[0].gateways.truncate(1);
        let bridge = network("bridge", "skerry0");
        let places = |network, port| places_of(network, record.clone(), port);
        let v4 = "tcp 127.0.0.1:8080 to 10.210.0.2:80";
        assert_eq!(places(&bridge, "8080:80"), [v4, "tcp [::]:8080 to 10.210.0.2:80"]);
        assert_eq!(places(&bridge, "[2001:db8::2]:8080:80"), ["tcp [2001:db8::2]:8080 to 10.210.0.2:80"]);
        assert_eq!(places(&bridge, "192.0.2.1:8080:80"), Vec::<String>::new());
        let pods = Network { cluster: Some(Vec::new()), ..bridge.clone() };
        assert_eq!(places(&pods, "8080:80"), [v4, "tcp [::1]:8080 to 10.210.0.2:80"]);
    }

    #[test]
    fn names_are_answered_at_the_gateways_of_networks_in_use() {
        let networks = [network("bridge", "skerry0"), network("back", "skerry1")];
        let all = wanted(&networks, &[record("web", "bridge", "skerry0p1")]);
        let names: Vec<String> = all.keys().map(|place| place.address.to_string()).collect();
        assert_eq!(names, ["10.210.0.1:53", "[fd00::1]:53", "10.210.0.1:53", "[fd00::1]:53"]);
        assert!(wanted(&networks, &[]).is_empty());
        let pods = [Network { cluster: Some(Vec::new()), ..network("pods", "skerry0") }];
        assert!(wanted(&pods, &[record("web", "pods", "skerry0p1")]).is_empty(), "pods ask the cluster's");
    }
}
