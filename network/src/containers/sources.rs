//! Who may say what by which port of the pods' bridge: a table of nftables, `bridge skerry`, which every frame passes
//! that a pod sends, before the bridge learns from it.
//!
//! ```text
//! ports         every pod's port
//! own4, own6    port . hardware address . address: what a pod was given, its link-local address, and
//!               nobody's (0.0.0.0, ::), under which is asked whether an address is free
//!
//! a frame by a port          passes when there is in own4, own6
//! IPv4, IPv6                 port . sender of the frame . source
//! ARP                        port . sender of the frame . who it says it is, and the same of the hardware
//!                            address within
//! a neighbour advertisement  port . sender of the frame . the address it is about, too
//! anything else              never
//! ```
//!
//! A policy tells a pod by its address, and so do Services and other pods: a pod that might speak as another is under
//! nobody's policy. Containers' networks are not in the table: who is on one was put there with the others, and no rule
//! tells them apart.

use super::record::Record;
use crate::netlink::address::octets;
use crate::netlink::nft::Table;
use crate::netlink::nft::design::{Chain, Design, Elements};
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::*;
use spec::network::{Interface, Mac, Network};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use sys::netlink::wire::Nest;

/// What never changes of it.
pub const DESIGN: Design = Design { table: Table::bridge("skerry"), shapes: &SHAPES, chains };

const SHAPES: [Shape<'static>; 3] = [
    Shape::set("ports", &[Field::Interface]),
    Shape::set("own4", &[Field::Interface, Field::Mac, Field::V4]),
    Shape::set("own6", &[Field::Interface, Field::Mac, Field::V6]),
];

/// What the records want.
pub fn wanted(networks: &[Network], records: &[Record]) -> Elements {
    let mut elements = Elements::new();
    let mut put = |set: &'static str, key: Vec<u8>| {
        elements.entry(set).or_default().insert(Element { key, data: Vec::new(), end: false });
    };
    for network in networks.iter().filter(|network| network.cluster.is_some()) {
        for interface in records.iter().filter_map(|record| record.on(&network.name)) {
            let mut port = interface.host_name.as_bytes().to_vec();
            port.resize(16, 0);
            for address in own(interface) {
                let set = if address.is_ipv4() { "own4" } else { "own6" };
                put(set, [&*port, &interface.mac.0, &[0; 2], &octets(address).1].concat());
            }
            put("ports", port);
        }
    }
    elements
}

/// The addresses under which a pod speaks.
fn own(interface: &Interface) -> impl Iterator<Item = IpAddr> {
    let given = interface.addresses.iter().map(|cidr| cidr.address);
    let nobodys = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    given.chain(nobodys).chain([link_local(interface.mac).into()])
}

/// The link-local address that is made of a hardware address (RFC 4291, appendix A).
fn link_local(Mac([a, b, c, d, e, f]): Mac) -> Ipv6Addr {
    let own = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(own))
}

fn chains() -> Vec<Chain> {
    /// `NF_BR_PRE_ROUTING`
    const PREROUTING: u32 = 0;
    let hook = Hook { kind: "filter", number: PREROUTING, priority: -300 };
    vec![("from-pods", Some(hook), from_pods())]
}

/// Registers of a key: the port's name, the hardware address, the address.
const PORT: u32 = FIRST;
const MAC: u32 = PORT + 4;
const ADDRESS: u32 = MAC + 2;

fn from_pods() -> Vec<Vec<Nest>> {
    const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    let of = |number: u16| [meta(Meta::EtherType, FIRST), equal(FIRST, &number.to_be_bytes())];
    let [v4, v6, arp] = [libc::ETH_P_IP, libc::ETH_P_IPV6, libc::ETH_P_ARP].map(|number| of(number as u16));
    let sender = [meta(Meta::InName, PORT), link_header(6, 6, MAC)];
    let accept = [verdict(Verdict::Accept)];
    let drop = [verdict(Verdict::Drop)];
    let advertised = [
        meta(Meta::Protocol, FIRST),
        equal(FIRST, &[libc::IPPROTO_ICMPV6 as u8]),
        transport_header(0, 1, FIRST),
        equal(FIRST, &[NEIGHBOUR_ADVERTISEMENT]),
    ];
    vec![
        all([&[meta(Meta::InName, FIRST), not_in_set("ports", FIRST)], &accept]),
        all([&v4, &sender, &[network_header(12, 4, ADDRESS), in_set("own4", PORT)], &accept]),
        all([
            &v6,
            &advertised,
            &sender,
            &[transport_header(8, 16, ADDRESS), not_in_set("own6", PORT)],
            &drop,
        ]),
        all([&v6, &sender, &[network_header(8, 16, ADDRESS), in_set("own6", PORT)], &accept]),
        all([
            &arp,
            &sender,
            &[network_header(14, 4, ADDRESS), in_set("own4", PORT), network_header(8, 6, MAC)],
            &[in_set("own4", PORT)],
            &accept,
        ]),
        drop.to_vec(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::{network, record};

    fn counts(networks: &[Network], records: &[Record]) -> [usize; 3] {
        let elements = wanted(networks, records);
        SHAPES.map(|shape| elements.get(shape.name).map_or(0, |set| set.len()))
    }

    #[test]
    fn a_pod_speaks_under_its_own_addresses_and_containers_are_not_asked() {
        let pods = Network { cluster: Some(Vec::new()), ..network("pods", "skerry0") };
        let other = network("bridge", "skerry1");
        let records = [record("web", "pods", "skerry0p1"), record("box", "bridge", "skerry1p1")];
        assert_eq!(counts(&[pods, other.clone()], &records), [1, 2, 3]);
        assert_eq!(counts(&[other], &records), [0; 3]);
    }

    #[test]
    fn a_pod_that_comes_is_as_many_elements_as_it_has_addresses() {
        let pods = [Network { cluster: Some(Vec::new()), ..network("pods", "skerry0") }];
        let (one, two) = (record("web", "pods", "skerry0p1"), record("db", "pods", "skerry0p2"));
        let before = wanted(&pods, std::slice::from_ref(&one));
        let after = wanted(&pods, &[one, two]);
        assert_eq!(DESIGN.changes(Some(&before), &after).len(), SHAPES.len());
        assert!(DESIGN.changes(Some(&after), &after).is_empty());
    }

    #[test]
    fn a_link_local_address_is_made_as_the_kernel_makes_it() {
        let made = link_local(Mac([2, 0, 10, 244, 1, 7]));
        assert_eq!(made, "fe80::aff:fef4:107".parse::<Ipv6Addr>().unwrap());
    }
}
