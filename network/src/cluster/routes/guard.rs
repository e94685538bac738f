//! Who may send what by the tunnel: a table of nftables, `inet skerry-vxlan`.
//!
//! A tunnel takes in what comes to its UDP port from anybody, and what was inside has whatever source was written
//! there; policies would believe it. So it is looked at while it is wrapped still:
//!
//! ```text
//! input     to port 4789, of our network's number: not by a bridge of ours; and the source of the packet with
//!           the source of the one inside is in heard44, heard46, heard64 or heard66. Anything else is dropped
//! forward   to port 4789 of another node: not from a bridge of ours, and not by a published port or Service;
//!           the other would take it for this node's own word
//!
//! heard44, heard46, heard64, heard66   node . its pods' subnet, or an address of its own, by the families of both
//! nodes4, nodes6                       other nodes' addresses
//! ```

use super::plan::Plan;
use super::{ID, Routes};
use crate::containers::links::PREFIX;
use crate::netlink::address::octets;
use crate::netlink::nft::Table;
use crate::netlink::nft::design::{Chain, Design, Elements};
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::*;
use crate::ranges;
use spec::network::TUNNEL_PORT;
use sys::netlink::wire::Nest;

/// What never changes of it.
pub const DESIGN: Design = Design { table: Table::inet("skerry-vxlan"), shapes: &SHAPES, chains };

const V4: u8 = libc::NFPROTO_IPV4 as u8;
const V6: u8 = libc::NFPROTO_IPV6 as u8;

const SHAPES: [Shape<'static>; 6] = [
    Shape::set("nodes4", &[Field::V4]),
    Shape::set("nodes6", &[Field::V6]),
    heard("heard44", &[Field::V4, Field::V4]),
    heard("heard46", &[Field::V4, Field::V6]),
    heard("heard64", &[Field::V6, Field::V4]),
    heard("heard66", &[Field::V6, Field::V6]),
];

const fn heard(name: &'static str, key: &'static [Field]) -> Shape<'static> {
    Shape { ranges: true, ..Shape::set(name, key) }
}

/// What the plan wants; nothing without a tunnel.
pub fn wanted(routes: &Routes, plan: &Plan) -> Elements {
    let mut elements = Elements::new();
    let mut put = |set: &'static str, key: Vec<u8>, data: Vec<u8>| {
        elements.entry(set).or_default().insert(Element { key, data, end: false });
    };
    if plan.tunnel.is_none() {
        return elements;
    }
    for &node in routes.others.iter().flat_map(|other| &other.addresses) {
        put(if node.is_ipv4() { "nodes4" } else { "nodes6" }, octets(node).1, Vec::new());
    }
    for (&node, subnets) in &plan.heard {
        for v4 in [true, false] {
            let set = match (node.is_ipv4(), v4) {
                (true, true) => "heard44",
                (true, false) => "heard46",
                (false, true) => "heard64",
                (false, false) => "heard66",
            };
            let inside = subnets.iter().filter(|subnet| subnet.address.is_ipv4() == v4);
            for (first, last) in ranges::merged(inside.map(|&subnet| ranges::of(subnet)).collect()) {
                let [key, data] =
                    [first, last].map(|end| [octets(node).1, octets(ranges::address(end, v4)).1].concat());
                put(set, key, data);
            }
        }
    }
    elements
}

fn chains() -> Vec<Chain> {
    let hook = |number| Some(Hook { kind: "filter", number, priority: -10 });
    vec![("input", hook(1), input()), ("forward", hook(2), forward())]
}

/// By a bridge of ours, or the tunnel itself.
fn by_ours() -> [Nest; 2] {
    [meta(Meta::InName, FIRST), equal(FIRST, PREFIX.as_bytes())]
}

fn input() -> Vec<Vec<Nest>> {
    /// From the UDP header on: VXLAN's number, the type of what is in the frame, and its packet.
    const NUMBER: u32 = 8 + 4;
    const ETHER_TYPE: u32 = 8 + 8 + 12;
    const INSIDE: u32 = ETHER_TYPE + 2;
    let accept = [verdict(Verdict::Accept)];
    let drop = [verdict(Verdict::Drop)];
    let from = |family: u8, inside: u8, set: &str| {
        // Where the source is in a header, its length, and the type of a frame with such a packet.
        let at = |family| if family == V4 { (12, 4, libc::ETH_P_IP) } else { (8, 16, libc::ETH_P_IPV6) };
        let ((outer, length, _), (inner, bytes, ether)) = (at(family), at(inside));
        all([
            &[meta(Meta::Family, FIRST), equal(FIRST, &[family])],
            &[transport_header(ETHER_TYPE, 2, FIRST), equal(FIRST, &(ether as u16).to_be_bytes())],
            &[network_header(outer, length, FIRST)],
            &[transport_header(INSIDE + inner, bytes, FIRST + length / 4), in_set(set, FIRST)],
            &accept,
        ])
    };
    vec![
        all([&[meta(Meta::Protocol, FIRST), differs(FIRST, &[libc::IPPROTO_UDP as u8])], &accept]),
        all([&[destination_port(FIRST), differs(FIRST, &TUNNEL_PORT.to_be_bytes())], &accept]),
        all([&[transport_header(NUMBER, 3, FIRST), differs(FIRST, &ID.to_be_bytes()[1..])], &accept]),
        all([&by_ours(), &drop]),
        from(V4, V4, "heard44"),
        from(V4, V6, "heard46"),
        from(V6, V4, "heard64"),
        from(V6, V6, "heard66"),
        drop.to_vec(),
    ]
}

fn forward() -> Vec<Vec<Nest>> {
    let drop = [verdict(Verdict::Drop)];
    let udp = [meta(Meta::Protocol, FIRST), equal(FIRST, &[libc::IPPROTO_UDP as u8])];
    let port = [destination_port(FIRST), equal(FIRST, &TUNNEL_PORT.to_be_bytes())];
    let to = |family, offset, length, set| {
        let family = [meta(Meta::Family, FIRST), equal(FIRST, &[family])];
        let node = [network_header(offset, length, FIRST), in_set(set, FIRST)];
        [
            all([&family, &udp, &port, &node, &by_ours(), &drop]),
            // That connections are tracked also has fragments put together before anybody looks at them.
            all([&family, &udp, &port, &node, &through_a_port(), &drop]),
        ]
    };
    [to(V4, 16, 4, "nodes4"), to(V6, 24, 16, "nodes6")].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Other;
    use super::*;
    use std::collections::BTreeMap;
    use std::net::IpAddr;

    #[test]
    fn a_node_is_heard_with_its_own_pods_subnets_alone() {
        let other = |address: &str| Other {
            name: "two".into(),
            subnets: Vec::new(),
            addresses: vec![address.parse().unwrap(), "2001:db8::3".parse().unwrap()],
        };
        let routes = Routes { others: vec![other("192.0.2.3")], ..Routes::default() };
        // The two halves are one range: elements of such a set may not touch each other.
        let subnets = ["10.244.2.0/25", "10.244.2.128/25", "fd44::/64"].map(|text| text.parse().unwrap());
        let node: IpAddr = [192, 0, 2, 3].into();
        let plan = Plan {
            tunnel: Some([192, 0, 2, 2].into()),
            heard: BTreeMap::from([(node, subnets.to_vec())]),
            ..Plan::default()
        };
        let elements = wanted(&routes, &plan);
        let counts = SHAPES.map(|shape| elements.get(shape.name).map_or(0, |set| set.len()));
        assert_eq!(counts, [1, 1, 1, 1, 0, 0]);
        let pair = &elements["heard44"].first().unwrap();
        assert_eq!(pair.key, [192, 0, 2, 3, 10, 244, 2, 0]);
        assert_eq!(pair.data, [192, 0, 2, 3, 10, 244, 2, 255]);
        assert!(wanted(&routes, &Plan::default()).is_empty());
    }
}
