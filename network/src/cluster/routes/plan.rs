//! Which way each subnet goes: a value of what is wanted and of this node's interfaces.

use super::Routes;
use crate::containers::links::{Observed, PREFIX};
use crate::containers::subnet::{contains, host, overlap};
use crate::netlink::address::octets;
use crate::netlink::neighbour::Neighbour;
use crate::netlink::route::Way;
use spec::crc32c;
use spec::node::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A destination and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    /// A router on the link of this number.
    Direct(IpAddr, u32),
    /// A router at the tunnel's other end.
    Tunnel(IpAddr),
    /// Nobody.
    Nowhere,
}

/// All that should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The ways, by subnet: its own address and the length of its prefix.
    pub ways: Vec<(IpAddr, u8, To)>,
    /// Where this node's end of the tunnel is, if there is another node that could send by it.
    pub tunnel: Option<IpAddr>,
    /// Who may: other nodes' ends, each with the subnets of its pods and its own addresses.
    pub heard: BTreeMap<IpAddr, Vec<Cidr>>,
    /// The tunnel's entries.
    pub entries: BTreeSet<Neighbour>,
    /// Nodes to which no way leads, in words.
    pub faults: Vec<String>,
}

impl Plan {
    /// Whether a way of this node's goes by the tunnel.
    pub fn is_tunnelled(&self) -> bool {
        self.ways.iter().any(|(_, _, to)| matches!(to, To::Tunnel(_)))
    }
}

/// The hardware address of a node's end of the tunnel.
pub fn mac(address: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => crc32c::update(!0, &v6.octets()).to_be_bytes(),
    };
    [2, 1, a, b, c, d]
}

/// Decides.
pub fn plan(wanted: &Routes, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    plan.ways.extend(wanted.subnets.iter().map(|&subnet| (host(subnet, 0), subnet.prefix, To::Nowhere)));
    let local = tunnel_end(&wanted.addresses);
    let mut taken = BTreeSet::new();
    for other in &wanted.others {
        let addresses: Vec<IpAddr> =
            other.addresses.iter().copied().filter(|&address| is_anothers(address, observed)).collect();
        let end = local.and_then(|local| same_family(local, &addresses));
        for &subnet in &other.subnets {
            if is_ours(subnet, wanted, observed) {
                plan.faults.push(format!("pods {subnet} of node {:?} would be this node itself", other.name));
                continue;
            }
            if !taken.insert((octets(host(subnet, 0)), subnet.prefix)) {
                plan.faults.push(format!("pods {subnet} of node {:?} are another node's", other.name));
                continue;
            }
            let direct = addresses.iter().find_map(|&address| on_link(address, subnet, observed));
            if let Some(node) = end {
                plan.tunnel = local;
                plan.heard.entry(node).or_default().push(subnet);
            }
            let to = match (direct, end) {
                (Some(direct), _) if !wanted.tunnel_only => direct,
                (_, Some(node)) => {
                    let mac = mac(node);
                    let inside = inside(subnet, mac);
                    plan.entries.insert(Neighbour { mac, address: inside, tunnel: false });
                    plan.entries.insert(Neighbour { mac, address: node, tunnel: true });
                    To::Tunnel(inside)
                }
                _ => {
                    plan.faults.push(format!("no way to pods {subnet} of node {:?}", other.name));
                    continue;
                }
            };
            plan.ways.push((host(subnet, 0), subnet.prefix, to));
        }
        // Who speaks under the node's own address there may be bound to it.
        if let Some(heard) = end.and_then(|node| plan.heard.get_mut(&node)) {
            let pods = heard.clone();
            let own =
                addresses.iter().filter(|&&address| !pods.iter().any(|subnet| contains(*subnet, address)));
            heard.extend(
                own.map(|&address| Cidr { address, prefix: if address.is_ipv4() { 32 } else { 128 } }),
            );
        }
    }
    plan
}

/// Whether another machine can have an address: it is none of this node's, as one that moves between nodes may be for
/// a while, and neither the first nor the last of a subnet.
fn is_anothers(address: IpAddr, observed: &Observed) -> bool {
    let is_end = |&(_, own, prefix): &(u32, IpAddr, u8)| match (own, address) {
        (IpAddr::V4(_), IpAddr::V4(v4))
            if prefix < 31 && contains(Cidr { address: own, prefix }, address) =>
        {
            let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            [0, hosts].contains(&(v4.to_bits() & hosts))
        }
        _ => false,
    };
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
        && observed.addresses.iter().all(|there| there.1 != address && !is_end(there))
}

/// Whether a subnet holds pods or addresses of this node: all that it sends would go to the other one.
fn is_ours(subnet: Cidr, wanted: &Routes, observed: &Observed) -> bool {
    let is_bridge =
        |index: u32| observed.links.iter().any(|link| link.index == index && link.name.starts_with(PREFIX));
    let own = observed.addresses.iter().filter(|(index, ..)| !is_bridge(*index)).map(|(_, own, _)| own);
    wanted.subnets.iter().any(|&pods| overlap(pods, subnet))
        || own.chain(&wanted.addresses).any(|&own| contains(subnet, own))
}

/// A router's address at the tunnel's other end. IPv6 wants one that no route leads elsewhere by now.
fn inside(subnet: Cidr, mac: [u8; 6]) -> IpAddr {
    match host(subnet, 1) {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(_) => {
            let number = mac.iter().fold(0, |number, &byte| number << 8 | u128::from(byte));
            Ipv6Addr::from_bits(0xfe80 << 112 | number).into()
        }
    }
}

/// Every node goes by the same rule, so that both ends are of one family.
fn tunnel_end(addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

fn same_family(local: IpAddr, addresses: &[IpAddr]) -> Option<IpAddr> {
    addresses.iter().find(|address| address.is_ipv4() == local.is_ipv4()).copied()
}

/// An address of the subnet's family that one of this node's interfaces reaches without a router.
fn on_link(address: IpAddr, subnet: Cidr, observed: &Observed) -> Option<To> {
    let near = |&&(index, own, prefix): &&(u32, IpAddr, u8)| {
        let named =
            |link: &&crate::netlink::link::Link| link.index == index && !link.name.starts_with(PREFIX);
        contains(Cidr { address: own, prefix }, address) && observed.links.iter().any(|link| named(&link))
    };
    let found = observed.addresses.iter().find(near)?;
    (address.is_ipv4() == subnet.address.is_ipv4()).then_some(To::Direct(address, found.0))
}

/// The ways as routes, once the tunnel's number is known.
pub fn routes(plan: &Plan, tunnel: Option<u32>) -> Vec<Way> {
    let way = |&(network, prefix, to): &(IpAddr, u8, To)| {
        let to = match to {
            To::Direct(router, index) => Some((router, index)),
            To::Tunnel(router) => Some((router, tunnel?)),
            To::Nowhere => None,
        };
        Some(Way { network, prefix, to })
    };
    plan.ways.iter().filter_map(way).collect()
}

/// What is to be removed and set, from the routes there are to those there should be. One that leads
/// elsewhere by now is replaced, without a moment in which there is none.
pub fn difference(there: &[Way], wanted: &[Way]) -> (Vec<Way>, Vec<Way>) {
    let key = |way: &Way| (octets(way.network), way.prefix, way.to.is_some());
    let keys: BTreeSet<_> = wanted.iter().map(key).collect();
    let had: BTreeSet<_> = there.iter().map(|way| (key(way), way.to)).collect();
    let gone = there.iter().filter(|way| !keys.contains(&key(way))).copied().collect();
    (gone, wanted.iter().filter(|way| !had.contains(&(key(way), way.to))).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::super::Other;
    use super::*;
    use crate::netlink::link::Link;

    fn observed() -> Observed {
        let link = |index, name: &str| Link {
            index,
            name: name.into(),
            mac: Default::default(),
            ethernet: true,
            up: true,
            carrier: true,
            kind: None,
            port: false,
            mtu: 1500,
        };
        let address = |index, text: &str, prefix| (index, text.parse().unwrap(), prefix);
        Observed {
            links: vec![link(2, "eth0"), link(3, "skerry0")],
            addresses: vec![
                address(2, "192.0.2.2", 24),
                address(2, "2001:db8::2", 64),
                address(3, "10.244.1.1", 24),
            ],
        }
    }

    fn wanted(other: &[&str], subnets: &[&str]) -> Routes {
        Routes {
            subnets: vec!["10.244.1.0/24".parse().unwrap()],
            addresses: vec!["2001:db8::2".parse().unwrap(), "192.0.2.2".parse().unwrap()],
            others: vec![Other {
                name: "two".into(),
                subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
                addresses: other.iter().map(|text| text.parse().unwrap()).collect(),
            }],
            tunnel_only: false,
        }
    }

    fn ways(wanted: &Routes) -> Vec<To> {
        plan(wanted, &observed()).ways.into_iter().skip(1).map(|(_, _, to)| to).collect()
    }

    #[test]
    fn a_neighbour_is_its_pods_router_and_others_are_behind_the_tunnel() {
        let inside = To::Tunnel([10, 244, 2, 1].into());
        let direct = To::Direct([192, 0, 2, 3].into(), 2);
        let direct6 = To::Direct("2001:db8::3".parse().unwrap(), 2);
        let both = ["10.244.2.0/24", "fd44:0:0:2::/64"];
        let inside6 = |mac: &str| To::Tunnel(format!("fe80::201:{mac}").parse().unwrap());
        for (addresses, expected) in [
            (&["192.0.2.3", "2001:db8::3"][..], [direct, direct6]),
            (&["2001:db8::3", "198.51.100.3"], [inside, direct6]),
            (&["192.0.2.3"], [direct, inside6("c000:203")]),
            (&["198.51.100.3"], [inside, inside6("c633:6403")]),
            (&["10.244.1.7"], [inside, inside6("af4:107")]),
        ] {
            assert_eq!(ways(&wanted(addresses, &both)), expected, "{addresses:?}");
        }
        // The other may see it differently, and send by the tunnel.
        let plan = plan(&wanted(&["192.0.2.3"], &both[..1]), &observed());
        assert_eq!((plan.is_tunnelled(), plan.tunnel), (false, Some([192, 0, 2, 2].into())));
        let only = Routes { tunnel_only: true, ..wanted(&["192.0.2.3"], &both) };
        assert_eq!(ways(&only), [inside, inside6("c000:203")]);
    }

    #[test]
    fn a_tunnel_knows_its_other_ends_by_their_addresses() {
        let plan = plan(&wanted(&["198.51.100.3"], &["10.244.2.0/24"]), &observed());
        assert_eq!(plan.tunnel, Some([192, 0, 2, 2].into()));
        let mac = [2, 1, 198, 51, 100, 3];
        let entries = [([10, 244, 2, 1], false), ([198, 51, 100, 3], true)];
        let expected = entries.map(|(address, tunnel)| Neighbour { mac, address: address.into(), tunnel });
        assert_eq!(plan.entries, BTreeSet::from(expected));
    }

    #[test]
    fn a_node_that_cannot_be_reached_is_named() {
        let plan = plan(&wanted(&["2001:db8:9::3"], &["10.244.2.0/24"]), &observed());
        assert_eq!(plan.faults, ["no way to pods 10.244.2.0/24 of node \"two\""]);
        assert_eq!(plan.ways.len(), 1, "but for the one to nowhere");
    }

    #[test]
    fn what_is_wrong_with_a_node_is_no_trouble_of_the_others() {
        let mut observed = observed();
        // An address that moves between nodes is here at the moment.
        observed.addresses.push((2, [192, 0, 2, 7].into(), 24));
        let mut wanted = wanted(&["192.0.2.7"], &["10.244.2.0/24"]);
        for (name, address, subnet) in [
            ("broadcast", "192.0.2.255", "10.244.3.0/24"),
            ("everything", "192.0.2.4", "0.0.0.0/0"),
            ("ours", "192.0.2.5", "10.244.0.0/16"),
            ("itself", "192.0.2.6", "192.0.2.0/28"),
            ("well", "192.0.2.8", "10.244.8.0/24"),
            ("well's", "192.0.2.9", "10.244.8.0/24"),
        ] {
            let (addresses, subnets) = (vec![address.parse().unwrap()], vec![subnet.parse().unwrap()]);
            wanted.others.push(Other { name: name.into(), addresses, subnets });
        }
        let plan = plan(&wanted, &observed);
        assert_eq!(plan.ways[1..], [([10, 244, 8, 0].into(), 24, To::Direct([192, 0, 2, 8].into(), 2))]);
        assert_eq!((plan.is_tunnelled(), plan.faults.len()), (false, 6), "{:?}", plan.faults);
        let own = ["10.244.8.0/24", "192.0.2.8/32"].map(|text| text.parse().unwrap());
        assert_eq!(Vec::from_iter(&plan.heard), [(&IpAddr::from([192, 0, 2, 8]), &own.to_vec())]);
    }

    #[test]
    fn only_what_differs_is_written() {
        let way = |third, router: Option<u8>| Way {
            network: [10, 244, third, 0].into(),
            prefix: 24,
            to: router.map(|last| (IpAddr::from([192, 0, 2, last]), 2)),
        };
        let there = [way(1, None), way(2, Some(2)), way(3, Some(3)), way(4, Some(4))];
        let wanted = [way(1, None), way(2, Some(2)), way(3, Some(9)), way(5, Some(5))];
        let (gone, new) = difference(&there, &wanted);
        assert_eq!((gone, new), (vec![way(4, Some(4))], vec![way(3, Some(9)), way(5, Some(5))]));
        assert_eq!(difference(&there, &there), (vec![], vec![]));
    }
}
