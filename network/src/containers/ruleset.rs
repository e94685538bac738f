//! Our table of nftables, `inet skerry`: its rules never change, what containers
//! come and go with are elements of its sets.
//!
//! ```text
//! prerouting, output    nat      a published port leads to its container; from here too, but not
//!                                from 127.0.0.1 or ::1: that is the relay's
//! forward               filter   what has a source of one link, or none (fe80::/10, ::), goes nowhere;
//!                                between bridges nothing passes but what a published port lets in, and
//!                                to pods what a Service does, which to others leads nowhere;
//!                                to a bridge nothing that was not asked for from it, but to pods';
//!                                through an internal network's nothing
//! postrouting           nat      what leaves a subnet for elsewhere gets the node's address;
//!                                what came from a subnet through a published port, too, so that
//!                                the answer comes back this way; and what a pod has sent to itself
//!                                by way of a port or a Service
//!
//! bridges, closed, same          bridges in use; internal ones; each with itself
//! subnets4, subnets6             subnets with a way out
//! open                           bridges of pods
//! pods4, pods6, kept4, kept6     pods' subnets; where pods keep their addresses
//! self4, self6                   each pod with itself
//! gateways4, gateways6           where names are answered: a container that publishes port 53
//!                                of every address does not get those questions
//! any4, any6, at4, at6           published ports, of every address of the node's and of one:
//!                                [address .] protocol . port : address . port
//! led4, led6                     where they lead: address . protocol . port
//! ```

use super::links::in_use;
use super::record::Record;
use crate::netlink::address;
use crate::netlink::nft::Table;
use crate::netlink::nft::design::{Chain, Design, Elements};
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::*;
use crate::ranges;
use spec::network::{Network, Port};
use spec::node::Cidr;
use std::net::IpAddr;
use sys::netlink::wire::Nest;

/// What never changes of it.
pub const DESIGN: Design = Design { table: Table::inet("skerry"), shapes: &SHAPES, chains };

const V4: u8 = libc::NFPROTO_IPV4 as u8;
const V6: u8 = libc::NFPROTO_IPV6 as u8;
const PORTS: &[Field] = &[Field::Protocol, Field::Port];

const SHAPES: [Shape<'static>; 20] = [
    Shape::set("bridges", &[Field::Interface]),
    Shape::set("closed", &[Field::Interface]),
    Shape::set("same", &[Field::Interface, Field::Interface]),
    Shape::intervals("subnets4", &[Field::V4]),
    Shape::intervals("subnets6", &[Field::V6]),
    Shape::set("open", &[Field::Interface]),
    Shape::intervals("pods4", &[Field::V4]),
    Shape::intervals("pods6", &[Field::V6]),
    Shape::intervals("kept4", &[Field::V4]),
    Shape::intervals("kept6", &[Field::V6]),
    Shape::set("self4", &[Field::V4, Field::V4]),
    Shape::set("self6", &[Field::V6, Field::V6]),
    Shape::set("gateways4", &[Field::V4]),
    Shape::set("gateways6", &[Field::V6]),
    Shape::map("any4", PORTS, &[Field::V4, Field::Port]),
    Shape::map("any6", PORTS, &[Field::V6, Field::Port]),
    Shape::map("at4", &[Field::V4, Field::Protocol, Field::Port], &[Field::V4, Field::Port]),
    Shape::map("at6", &[Field::V6, Field::Protocol, Field::Port], &[Field::V6, Field::Port]),
    Shape::set("led4", &[Field::V4, Field::Protocol, Field::Port]),
    Shape::set("led6", &[Field::V6, Field::Protocol, Field::Port]),
];

/// What the records want.
pub fn wanted(networks: &[Network], records: &[Record]) -> Elements {
    let mut elements = Elements::new();
    let mut put = |set: &'static str, key: Vec<u8>, data: Vec<u8>, end: bool| {
        elements.entry(set).or_default().insert(Element { key, data, end });
    };
    for network in in_use(networks, records) {
        let bridge = interface(&network.bridge);
        put("bridges", bridge.clone(), Vec::new(), false);
        put("same", [&*bridge, &*bridge].concat(), Vec::new(), false);
        let named = network.subnets.iter().filter(|_| network.cluster.is_none());
        for gateway in named.map(|subnet| subnet.address) {
            let set = if gateway.is_ipv4() { "gateways4" } else { "gateways6" };
            put(set, octets(gateway), Vec::new(), false);
        }
        if network.internal {
            put("closed", bridge, Vec::new(), false);
        } else if network.cluster.is_some() {
            put("open", bridge, Vec::new(), false);
        }
    }
    for (set, v4, subnets) in subnets(networks, records) {
        for Element { key, data, end } in ranges::elements(subnets, v4) {
            put(set, key, data, end);
        }
    }
    for address in pods(networks, records) {
        let set = if address.is_ipv4() { "self4" } else { "self6" };
        put(set, [octets(address), octets(address)].concat(), Vec::new(), false);
    }
    for record in records.iter().filter(|record| !record.relayed) {
        for &port in &record.ports {
            for (set, key, data) in [true, false].iter().flat_map(|&v4| leads(record, port, v4)) {
                put(set, key, data, false);
            }
        }
    }
    elements
}

/// The sets of subnets, each with its family and what is in it.
fn subnets(networks: &[Network], records: &[Record]) -> Vec<(&'static str, bool, Vec<Cidr>)> {
    let (mut masked, mut pods, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for network in in_use(networks, records).filter(|network| !network.internal) {
        match &network.cluster {
            None => masked.extend(&network.subnets),
            Some(cluster) => {
                pods.extend(&network.subnets);
                kept.extend(network.subnets.iter().chain(cluster));
            }
        }
    }
    let both = |four, six, subnets: Vec<Cidr>| [(four, true, subnets.clone()), (six, false, subnets)];
    let sets =
        [both("subnets4", "subnets6", masked), both("pods4", "pods6", pods), both("kept4", "kept6", kept)];
    sets.into_iter().flatten().collect()
}

/// The addresses of pods.
fn pods(networks: &[Network], records: &[Record]) -> Vec<IpAddr> {
    let networks = networks.iter().filter(|network| network.cluster.is_some());
    let interfaces =
        networks.flat_map(|network| records.iter().filter_map(|record| record.on(&network.name)));
    interfaces.flat_map(|interface| interface.addresses.iter().map(|cidr| cidr.address)).collect()
}

type Lead = (&'static str, Vec<u8>, Vec<u8>);

/// Where a published port leads, in one family, and what is let in there; 127.0.0.1 and ::1 are the relay's.
fn leads(record: &Record, port: Port, v4: bool) -> Vec<Lead> {
    let Some(target) = record.published_at(v4) else { return Vec::new() };
    let at = port.address.filter(|address| !address.is_unspecified());
    if port.address.is_some_and(|address| address.is_ipv4() != v4 || address.is_loopback()) {
        return Vec::new();
    }
    let set = match (at.is_some(), v4) {
        (false, true) => "any4",
        (false, false) => "any6",
        (true, true) => "at4",
        (true, false) => "at6",
    };
    let number = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
    let protocol = [port.protocol.number(), 0, 0, 0];
    let led = if v4 { "led4" } else { "led6" };
    let lead = |(outside, inside)| {
        let key = [at.map(octets).unwrap_or_default(), protocol.to_vec(), number(outside)].concat();
        let end = [octets(target), protocol.to_vec(), number(inside)].concat();
        [(set, key, [octets(target), number(inside)].concat()), (led, end, Vec::new())]
    };
    port.pairs().flat_map(lead).collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    address::octets(address).1
}

fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

fn chains() -> Vec<Chain> {
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    let jump = || vec![vec![verdict(Verdict::Jump("published"))]];
    vec![
        // After Services, as hostPorts are where kube-proxy leads to those.
        ("prerouting", hook("nat", 0, -99), jump()),
        ("output", hook("nat", 3, -99), jump()),
        ("forward", hook("filter", 2, 0), forward()),
        ("postrouting", hook("nat", 4, 100), leaving()),
        ("published", None, published()),
    ]
}

/// A register behind the first, by bytes.
const fn behind_first(bytes: u32) -> u32 {
    FIRST + bytes / 4
}

fn published() -> Vec<Vec<Nest>> {
    const LOCAL: u32 = libc::RTN_LOCAL as u32;
    let ip = |family| [meta(Meta::Family, FIRST), equal(FIRST, &[family])];
    let to_port = |at: u32| [meta(Meta::Protocol, at), destination_port(at + 1)];
    let local = || [destination_type(FIRST), equal(FIRST, &LOCAL.to_ne_bytes())];
    let nat = |map, family, length: u32| {
        [mapped(map, FIRST, FIRST), destination_nat(family, FIRST, behind_first(length))]
    };
    let back = || [verdict(Verdict::Return)];
    let names = || [destination_port(FIRST), equal(FIRST, &[0, 53])];
    let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
    vec![
        all([&ip(V4), &[network_header(16, 1, FIRST), equal(FIRST, &[127])], &back()]),
        all([&ip(V6), &[network_header(24, 16, FIRST), equal(FIRST, &loopback)], &back()]),
        all([&ip(V4), &[network_header(16, 4, FIRST), in_set("gateways4", FIRST)], &names(), &back()]),
        all([&ip(V6), &[network_header(24, 16, FIRST), in_set("gateways6", FIRST)], &names(), &back()]),
        all([&ip(V4), &[network_header(16, 4, FIRST)], &to_port(behind_first(4)), &nat("at4", V4, 4)]),
        all([&ip(V6), &[network_header(24, 16, FIRST)], &to_port(behind_first(16)), &nat("at6", V6, 16)]),
        all([&local(), &ip(V4), &to_port(FIRST), &nat("any4", V4, 4)]),
        all([&local(), &ip(V6), &to_port(FIRST), &nat("any6", V6, 16)]),
    ]
}

fn forward() -> Vec<Vec<Nest>> {
    const ESTABLISHED_OR_RELATED: u32 = 1 << 1 | 1 << 2;
    let known = [connection(Connection::State, FIRST), mask(ESTABLISHED_OR_RELATED, FIRST), not_zero(FIRST)];
    let by = |key, set| [meta(key, FIRST), in_set(set, FIRST)];
    let accept = || [verdict(Verdict::Accept)];
    let led = |family, offset, length: u32, set| {
        let end = [network_header(offset, length, FIRST), meta(Meta::Protocol, behind_first(length))];
        let port = [destination_port(behind_first(length) + 1), in_set(set, FIRST)];
        all([
            &through_a_port(),
            &[meta(Meta::Family, FIRST), equal(FIRST, &[family])],
            &end,
            &port,
            &accept(),
        ])
    };
    let drop = [verdict(Verdict::Drop)];
    let v6 = [meta(Meta::Family, FIRST), equal(FIRST, &[V6])];
    let of_a_link = [network_header(8, 2, FIRST), within(FIRST, &[0xfe, 0x80], &[0xfe, 0xbf])];
    let of_nobody = [network_header(8, 16, FIRST), equal(FIRST, &[0; 16])];
    let pair = [meta(Meta::InName, FIRST), meta(Meta::OutName, behind_first(16)), in_set("same", FIRST)];
    vec![
        // The kernel passes these on where they leave by the interface they came by: between two pods.
        all([&v6, &of_a_link, &drop]),
        all([&v6, &of_nobody, &drop]),
        all([&known, &accept()]),
        // Packets within a bridge come by here when br_netfilter is loaded.
        all([&pair, &accept()]),
        all([&by(Meta::InName, "closed"), &drop]),
        all([&by(Meta::OutName, "closed"), &drop]),
        led(V4, 16, 4, "led4"),
        led(V6, 24, 16, "led6"),
        all([&by(Meta::OutName, "open"), &through_a_port(), &accept()]),
        all([
            &by(Meta::OutName, "open"),
            &[meta(Meta::InName, FIRST), not_in_set("bridges", FIRST)],
            &accept(),
        ]),
        all([&by(Meta::OutName, "bridges"), &drop]),
    ]
}

fn leaving() -> Vec<Vec<Nest>> {
    let from = |family, offset, length, set| {
        [
            meta(Meta::Family, FIRST),
            equal(FIRST, &[family]),
            network_header(offset, length, FIRST),
            in_set(set, FIRST),
        ]
    };
    let out = [meta(Meta::OutName, FIRST), not_in_set("bridges", FIRST), masquerade()];
    let back = [meta(Meta::OutName, FIRST), in_set("bridges", FIRST), masquerade()];
    let both = [from(V4, 12, 4, "subnets4"), from(V6, 8, 16, "subnets6")];
    let each = |source: &[Nest; 4]| [all([source, &out]), all([source, &through_a_port(), &back])];
    let away = |offset, length, set| [network_header(offset, length, FIRST), not_in_set(set, FIRST)];
    let of_pods = [
        all([&from(V4, 12, 4, "pods4"), &away(16, 4, "kept4"), &out]),
        all([&from(V6, 8, 16, "pods6"), &away(24, 16, "kept6"), &out]),
        // Source and destination follow each other in both headers.
        all([&from(V4, 12, 8, "self4"), &[masquerade()]]),
        all([&from(V6, 8, 32, "self6"), &[masquerade()]]),
    ];
    both.iter().flat_map(each).chain(of_pods).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use sys::netlink::wire::Request;

    fn changes(found: Option<&Elements>, wanted: &Elements) -> Vec<Request> {
        DESIGN.changes(found, wanted)
    }
    use crate::containers::tests::{network, record};

    fn published(ports: &[&str]) -> Record {
        let mut record = record("web", "bridge", "skerry0p1");
        record.ports = ports.iter().map(|text| text.parse().unwrap()).collect();
        record
    }

    fn count(elements: &Elements, set: &str) -> usize {
        elements.get(set).map_or(0, BTreeSet::len)
    }

    #[test]
    fn nothing_is_wanted_without_containers() {
        let networks = [network("bridge", "skerry0")];
        assert!(wanted(&networks, &[]).is_empty());
        let nothing = [table(DESIGN.table, ""), delete_table(DESIGN.table)];
        assert_eq!(changes(None, &Elements::new()), nothing);
    }

    #[test]
    fn a_published_port_leads_to_its_container() {
        let networks = [network("bridge", "skerry0")];
        let elements = wanted(&networks, &[published(&["8080:80"])]);
        let expected = Element {
            key: vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0],
            data: vec![10, 210, 0, 2, 0, 80, 0, 0],
            end: false,
        };
        assert_eq!(elements["any4"], BTreeSet::from([expected]));
        assert_eq!(count(&elements, "any6"), 1);
        let led = Element { key: vec![10, 210, 0, 2, 6, 0, 0, 0, 0, 80, 0, 0], data: Vec::new(), end: false };
        assert_eq!(elements["led4"], BTreeSet::from([led]));
    }

    #[test]
    fn each_way_to_publish_has_its_map() {
        let networks = [network("bridge", "skerry0")];
        for (port, [any4, any6, at4, at6]) in [
            ("8080:80/udp", [1, 1, 0, 0]),
            ("8000-8009:80-89", [10, 10, 0, 0]),
            ("0.0.0.0:80:80", [1, 0, 0, 0]),
            ("[::]:80:80", [0, 1, 0, 0]),
            ("192.0.2.1:80:80", [0, 0, 1, 0]),
            ("[2001:db8::1]:80:80", [0, 0, 0, 1]),
            ("127.0.0.1:80:80", [0, 0, 0, 0]),
            ("[::1]:80:80", [0, 0, 0, 0]),
        ] {
            let elements = wanted(&networks, &[published(&[port])]);
            let counts = ["any4", "any6", "at4", "at6"].map(|set| count(&elements, set));
            assert_eq!(counts, [any4, any6, at4, at6], "{port}");
        }
        let relayed = Record { relayed: true, ..published(&["8080:80"]) };
        assert_eq!(count(&wanted(&networks, &[relayed]), "any4"), 0);
    }

    #[test]
    fn an_internal_network_has_no_way_out() {
        let networks = [Network { internal: true, ..network("bridge", "skerry0") }];
        let elements = wanted(&networks, &[record("web", "bridge", "skerry0p1")]);
        let counts = ["bridges", "closed", "same", "subnets4", "subnets6"].map(|set| count(&elements, set));
        assert_eq!(counts, [1, 1, 1, 0, 0]);
    }

    #[test]
    fn pods_keep_their_addresses_within_the_cluster_alone() {
        let cluster = Some(vec!["10.210.4.0/22".parse().unwrap(), "10.244.0.0/16".parse().unwrap()]);
        let networks = [Network { cluster, ..network("pods", "skerry0") }];
        let elements = wanted(&networks, &[record("web", "pods", "skerry0p1")]);
        let counts = ["open", "pods4", "pods6", "subnets4", "kept4", "kept6", "self4", "self6", "gateways4"];
        // An interval is two elements; the node's own subnet and the one behind it are one.
        assert_eq!(counts.map(|set| count(&elements, set)), [1, 2, 2, 0, 4, 2, 1, 1, 0]);
    }

    #[test]
    fn only_what_differs_is_changed() {
        let networks = [network("bridge", "skerry0")];
        let one = wanted(&networks, &[published(&["8080:80"])]);
        let two = wanted(&networks, &[published(&["8080:80", "53:53/udp"])]);
        assert!(changes(Some(&one), &one).is_empty());
        assert_eq!(
            changes(Some(&one), &two).len(),
            4,
            "one element of two families, where it leads and where it ends"
        );
        assert_eq!(changes(Some(&two), &one).len(), 4);
        let from_nothing = changes(None, &one);
        assert_eq!(from_nothing.iter().filter(|request| **request == delete_table(DESIGN.table)).count(), 1);
    }
}
