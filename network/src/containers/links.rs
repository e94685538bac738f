//! What is to be done to the node's links so that they are as the records say:
//! a bridge for every network in use, an end of a pair for every interface of a
//! container, and nothing of ours beside those.

use super::grant::mac;
use super::record::Record;
use crate::netlink::link::Link;
use spec::network::{Mac, Network};
use spec::node::Cidr;
use std::net::IpAddr;

/// How our bridges' names begin; a number follows, and for a port of one `pNUMBER`.
pub const PREFIX: &str = "skerry";

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take an interface of ours away that no record knows.
    Delete {
        /// The kernel's number of it.
        index: u32,
        /// Its name.
        name: String,
    },
    /// Make a bridge.
    Bridge {
        /// Its name.
        name: String,
        /// Its hardware address.
        mac: Mac,
        /// Its greatest packet.
        mtu: u32,
    },
    /// Give a bridge the address of a subnet's gateway.
    Address {
        /// The bridge.
        bridge: String,
        /// The address.
        address: Cidr,
    },
    /// Make a container's interface a port of its bridge again.
    Join {
        /// The interface.
        port: String,
        /// The bridge.
        bridge: String,
        /// It speaks to the bridge alone, not to other ports.
        isolated: bool,
    },
}

/// What is there: links, and addresses by the link's number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every link.
    pub links: Vec<Link>,
    /// Every address.
    pub addresses: Vec<(u32, IpAddr, u8)>,
}

impl Observed {
    /// The link of a name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// The networks that a container is on.
pub fn in_use<'a>(networks: &'a [Network], records: &'a [Record]) -> impl Iterator<Item = &'a Network> {
    networks.iter().filter(|network| records.iter().any(|record| record.on(&network.name).is_some()))
}

/// The steps from what is there to what the records want, in order.
pub fn steps(networks: &[Network], records: &[Record], observed: &Observed) -> Vec<Step> {
    let known = |name: &str| {
        in_use(networks, records).any(|network| network.bridge == name)
            || records.iter().flat_map(|record| &record.interfaces).any(|one| one.host_name == name)
    };
    let stray = observed.links.iter().filter(|link| ours(link) && !known(&link.name));
    let mut steps: Vec<Step> =
        stray.map(|link| Step::Delete { index: link.index, name: link.name.clone() }).collect();
    for network in in_use(networks, records) {
        steps.extend(bridge(network, records, observed));
    }
    steps
}

/// Bridges and pairs whose names only we give.
fn ours(link: &Link) -> bool {
    let Some(rest) = link.name.strip_prefix(PREFIX) else { return false };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match link.kind.as_deref() {
        Some("bridge") => number(rest),
        Some("veth") => rest.split_once('p').is_some_and(|(bridge, port)| number(bridge) && number(port)),
        _ => false,
    }
}

fn bridge(network: &Network, records: &[Record], observed: &Observed) -> Vec<Step> {
    let name = &network.bridge;
    let there = observed.link(name);
    let mtu = records.iter().filter_map(|record| record.on(&network.name)).map(|interface| interface.mtu);
    let mac = mac(network.subnets.first().map(|subnet| subnet.address));
    let make = Step::Bridge { name: name.clone(), mac, mtu: mtu.max().unwrap_or(1500) };
    let has = |subnet: &Cidr| {
        there.is_some_and(|link| observed.addresses.contains(&(link.index, subnet.address, subnet.prefix)))
    };
    let missing = network.subnets.iter().filter(|&subnet| !has(subnet));
    let addresses = missing.map(|&address| Step::Address { bridge: name.clone(), address });
    let lost = records
        .iter()
        .filter_map(|record| record.on(&network.name))
        .filter(|interface| observed.link(&interface.host_name).is_some_and(|link| !link.port));
    let isolated = network.cluster.is_some();
    let joins = lost.map(|interface| Step::Join {
        port: interface.host_name.clone(),
        bridge: name.clone(),
        isolated,
    });
    there.is_none().then_some(make).into_iter().chain(addresses).chain(joins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::{network, record};
    use crate::netlink::link::Link;

    fn link(index: u32, name: &str, kind: &str) -> Link {
        Link {
            index,
            name: name.into(),
            mac: Default::default(),
            ethernet: true,
            up: true,
            carrier: true,
            kind: Some(kind.into()),
            port: kind == "veth",
            mtu: 1500,
        }
    }

    #[test]
    fn a_network_in_use_gets_its_bridge_and_gateways_and_no_other_does() {
        let networks = [network("bridge", "skerry0"), network("back", "skerry1")];
        let records = [record("web", "bridge", "skerry0p1")];
        let expected = [
            Step::Bridge { name: "skerry0".into(), mac: Mac([2, 0, 10, 210, 0, 1]), mtu: 1400 },
            Step::Address { bridge: "skerry0".into(), address: "10.210.0.1/22".parse().unwrap() },
            Step::Address { bridge: "skerry0".into(), address: "fd00::1/64".parse().unwrap() },
        ];
        assert_eq!(steps(&networks, &records, &Observed::default()), expected);
        let half = Observed {
            links: vec![link(7, "skerry0", "bridge")],
            addresses: vec![(7, [10, 210, 0, 1].into(), 22), (8, "fd00::1".parse().unwrap(), 64)],
        };
        assert_eq!(steps(&networks, &records, &half), expected[2..]);
    }

    #[test]
    fn a_port_without_a_bridge_joins_the_new_one() {
        let networks = [network("bridge", "skerry0")];
        let records = [record("web", "bridge", "skerry0p1")];
        let mut port = link(3, "skerry0p1", "veth");
        port.port = false;
        let observed = Observed { links: vec![port], addresses: Vec::new() };
        let join = Step::Join { port: "skerry0p1".into(), bridge: "skerry0".into(), isolated: false };
        let steps = steps(&networks, &records, &observed);
        assert!(matches!(steps[0], Step::Bridge { .. }) && steps.last() == Some(&join), "{steps:?}");
    }

    #[test]
    fn what_no_record_knows_goes_and_what_is_not_ours_stays() {
        let links = vec![
            link(2, "skerry0", "bridge"),
            link(3, "skerry0p1", "veth"),
            link(4, "skerry0p2", "veth"),
            link(5, "skerry9", "bridge"),
            link(6, "docker0", "bridge"),
            link(7, "skerryp", "veth"),
            link(8, "skerry3", "vlan"),
            link(9, "skerrynet", "bridge"),
        ];
        let addresses = vec![(2, [10, 210, 0, 1].into(), 22), (2, "fd00::1".parse().unwrap(), 64)];
        let observed = Observed { links, addresses };
        let networks = [network("bridge", "skerry0")];
        let gone = |records: &[Record]| -> Vec<u32> {
            let index = |step| match step {
                Step::Delete { index, .. } => index,
                other => panic!("{other:?}"),
            };
            steps(&networks, records, &observed).into_iter().map(index).collect()
        };
        assert_eq!(gone(&[record("web", "bridge", "skerry0p1")]), [4, 5]);
        assert_eq!(gone(&[]), [2, 3, 4, 5]);
    }
}
