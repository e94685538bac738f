//! What a container is given: addresses that nobody else has, interfaces, ports
//! that nobody else publishes. A value of what it asks for and of what there is.

use super::record::Record;
use super::subnet::{contains, host, longest, size};
use spec::crc32c;
use spec::nearest::nearest;
use spec::network::{Attach, Interface, Mac, Membership, Network, Port};
use spec::node::{Cidr, Name};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// What there is already.
#[derive(Clone, Copy, Debug)]
pub struct There<'a> {
    /// Every network.
    pub networks: &'a [Network],
    /// Every other container.
    pub others: &'a [Record],
    /// What the container itself was given before.
    pub before: Option<&'a Record>,
    /// The greatest packet of the interface with the default route.
    pub mtu: u32,
}

/// The ports of the node among which it chooses.
const OPEN: RangeInclusive<u16> = 49152..=65535;

/// What a container is given; what it had before it keeps. `is_free` says whether the node has a
/// port left to be published.
///
/// # Errors
/// A network that does not exist, an address or port that another has.
pub fn grant(
    container: &Name,
    netns: &str,
    asked: &Attach,
    there: There<'_>,
    is_free: &dyn Fn(Port) -> bool,
) -> Result<Record, String> {
    let mut record = Record {
        container: container.clone(),
        netns: netns.to_owned(),
        asked: asked.clone(),
        interfaces: Vec::new(),
        ports: Vec::new(),
        relayed: false,
    };
    for membership in &asked.networks {
        let network = find(&membership.network, there.networks)?;
        if record.on(&network.name).is_some() {
            return Err(format!("network {:?} is named twice", &*network.name));
        }
        let interface = interface(membership, network, &record, there)?;
        record.interfaces.push(interface);
    }
    // Those that were said come first, so that none of them is chosen for another.
    let (open, said): (Vec<Port>, Vec<Port>) = asked.ports.iter().partition(|port| port.is_open());
    for port in said {
        let own = record.ports.iter().map(|own| (&**record.name(), *own));
        free(port, own.chain(published(there.others)))?;
        record.ports.push(port);
    }
    for port in open {
        let chosen = choose(port, &record, there, is_free)?;
        record.ports.push(chosen);
    }
    let open = [true, false].iter().any(|&v4| record.published_at(v4).is_some());
    match asked.ports.first() {
        Some(port) if !open => Err(format!("publish {port}: no network of the container has a way out")),
        _ => Ok(record),
    }
}

/// A port, or as many in a row, of the node's: those of before, or the first that are free.
fn choose(
    port: Port,
    record: &Record,
    there: There<'_>,
    is_free: &dyn Fn(Port) -> bool,
) -> Result<Port, String> {
    let before = there.before.map(|before| &*before.ports).unwrap_or_default().iter();
    let range = match port.host {
        0 => OPEN,
        first => first..=first + (port.among - 1),
    };
    let like = |other: &&Port| port.may_become(**other) && range.contains(&other.host);
    let last = range.end() - (port.count - 1).min(range.end() - range.start());
    let mut all = (*range.start()..=last).map(|host| Port { host, among: 1, ..port });
    let nobodys = |port: &Port| {
        let own = record.ports.iter().map(|own| ("", *own));
        free(*port, own.chain(published(there.others))).is_ok()
    };
    let kept = before.filter(like).copied().find(nobodys);
    kept.or_else(|| all.find(|port| nobodys(port) && is_free(*port))).ok_or_else(|| match port.host {
        0 => format!("publish {port}: the node has no port left"),
        _ => format!("publish {port}: none of these ports of the node is free"),
    })
}

fn find<'a>(name: &str, networks: &'a [Network]) -> Result<&'a Network, String> {
    let found = networks.iter().find(|network| &*network.name == name);
    found.ok_or_else(|| {
        let names = networks.iter().map(|network| &*network.name);
        let hint = nearest(name, names).map(|near| format!(", but {near:?}")).unwrap_or_default();
        format!("there is no network {name:?}{hint}")
    })
}

fn interface(
    membership: &Membership,
    network: &Network,
    record: &Record,
    there: There<'_>,
) -> Result<Interface, String> {
    let before = there.before.and_then(|before| before.on(&network.name));
    let kept = before.map(|before| &*before.addresses).unwrap_or_default();
    if let Some(stray) = membership.addresses.iter().find(|&&address| !anywhere(network, address)) {
        return Err(format!("{stray} is not in a subnet of network {:?}", &*network.name));
    }
    let each = network.subnets.iter().map(|&subnet| {
        let inside = |address: &&IpAddr| contains(subnet, **address);
        let address = match membership.addresses.iter().find(inside) {
            Some(&wanted) => wanted_one(wanted, subnet, network, there.others)?,
            None => {
                let had = kept.iter().map(|cidr| cidr.address).chain(membership.preferred.iter().copied());
                let mut left = had
                    .filter(|address| inside(&address))
                    .filter_map(|address| wanted_one(address, subnet, network, there.others).ok());
                left.next().map_or_else(|| next(subnet, network, record, there.others), Ok)?
            }
        };
        // A pod has no neighbours: all it says goes to the node.
        let prefix = if network.cluster.is_some() { longest(address) } else { subnet.prefix };
        Ok(Cidr { address, prefix })
    });
    let addresses = each.collect::<Result<Vec<Cidr>, String>>()?;
    let host_name =
        before.map_or_else(|| port_name(network, there.others), |before| before.host_name.clone());
    let name = before.map_or_else(|| interface_name(record, there.before), |before| before.name.clone());
    Ok(Interface {
        name,
        network: network.name.clone(),
        host_name,
        mac: mac(addresses.first().map(|cidr| cidr.address)),
        gateways: gateways(network, record),
        addresses,
        // A pod's interface is not made anew under it.
        mtu: before
            .filter(|_| network.cluster.is_some())
            .map_or_else(|| network.mtu.unwrap_or(there.mtu), |before| before.mtu),
    })
}

fn anywhere(network: &Network, address: IpAddr) -> bool {
    network.subnets.iter().any(|&subnet| contains(subnet, address))
}

/// Default routes lead through the first interface that offers one, by family.
fn gateways(network: &Network, record: &Record) -> Vec<IpAddr> {
    let have = |v4| {
        record
            .interfaces
            .iter()
            .flat_map(|interface| &interface.gateways)
            .any(|gateway| gateway.is_ipv4() == v4)
    };
    let offered = network.subnets.iter().map(|subnet| subnet.address);
    offered.filter(|gateway| !network.internal && !have(gateway.is_ipv4())).collect()
}

fn holder<'a>(address: IpAddr, network: &str, others: &'a [Record]) -> Option<&'a Name> {
    let has = |record: &&Record| {
        record
            .on(network)
            .is_some_and(|interface| interface.addresses.iter().any(|cidr| cidr.address == address))
    };
    others.iter().find(has).map(Record::name)
}

fn wanted_one(wanted: IpAddr, subnet: Cidr, network: &Network, others: &[Record]) -> Result<IpAddr, String> {
    let broadcast = matches!(wanted, IpAddr::V4(v4) if IpAddr::V4(v4) == host(subnet, size(subnet) + 1));
    if let Some(other) = holder(wanted, &network.name, others) {
        return Err(format!("{wanted} is the address of {:?}", &**other));
    }
    match wanted {
        _ if wanted == subnet.address => {
            Err(format!("{wanted} is the gateway of network {:?}", &*network.name))
        }
        _ if broadcast || wanted == host(subnet, 0) => {
            Err(format!("{wanted} is no container's address: it stands for the whole subnet"))
        }
        _ => Ok(wanted),
    }
}

/// The first free one. Pods begin to look somewhere, so that one does not get at once what the last has left:
/// other nodes may still send there.
fn next(subnet: Cidr, network: &Network, record: &Record, others: &[Record]) -> Result<IpAddr, String> {
    let size = size(subnet);
    let start = match &network.cluster {
        Some(_) => crc32c::update(!0, record.container.as_bytes()) % size.max(1),
        None => 0,
    };
    let all = (0..size).map(|step| host(subnet, 1 + (start + step) % size));
    let free =
        |address: &IpAddr| *address != subnet.address && holder(*address, &network.name, others).is_none();
    all.into_iter()
        .find(free)
        .ok_or_else(|| format!("network {:?} has no address left in {subnet}", &*network.name))
}

/// The first free name inside, `eth0`, `eth1`, …; interfaces that it has keep theirs.
fn interface_name(record: &Record, before: Option<&Record>) -> String {
    let all = || before.into_iter().chain([record]).flat_map(|record| &record.interfaces);
    let mut names = (0_u32..).map(|number| format!("eth{number}"));
    names.find(|name| all().all(|one| one.name != *name)).unwrap_or_default()
}

/// The first free name for a port of the network's bridge: `skerry0p1`, `skerry0p2`, …
fn port_name(network: &Network, others: &[Record]) -> String {
    let taken =
        |name: &String| others.iter().flat_map(|record| &record.interfaces).any(|one| one.host_name == *name);
    let mut names = (1_u32..).map(|number| format!("{}p{number}", network.bridge));
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// A hardware address made of an address, so that who takes the address over from
/// another is no stranger to the neighbours' tables.
pub fn mac(address: Option<IpAddr>) -> Mac {
    let [a, b, c, d] = match address {
        Some(IpAddr::V4(v4)) => v4.octets(),
        Some(IpAddr::V6(v6)) => (v6.to_bits() as u32).to_be_bytes(),
        None => [0; 4],
    };
    Mac([2, 0, a, b, c, d])
}

fn published(records: &[Record]) -> impl Iterator<Item = (&str, Port)> {
    records.iter().flat_map(|record| record.ports.iter().map(|port| (&**record.name(), *port)))
}

fn free<'a>(port: Port, mut others: impl Iterator<Item = (&'a str, Port)>) -> Result<(), String> {
    match others.find(|(_, other)| collide(port, *other)) {
        Some((name, other)) => Err(format!("publish {port}: {name:?} has published {other}")),
        None => Ok(()),
    }
}

/// Whether two published ports cannot be told apart.
fn collide(a: Port, b: Port) -> bool {
    let apart = u32::from(a.host) + u32::from(a.count) <= b.host.into()
        || u32::from(b.host) + u32::from(b.count) <= a.host.into();
    a.protocol == b.protocol && !apart && same_address(a.address, b.address)
}

fn same_address(a: Option<IpAddr>, b: Option<IpAddr>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    a == b || a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn network(name: &str, bridge: &str, subnets: &[&str]) -> Network {
        Network {
            name: name.parse().unwrap(),
            bridge: bridge.into(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            internal: false,
            mtu: None,
            configured: false,
            cluster: None,
            labels: Default::default(),
        }
    }

    fn networks() -> Vec<Network> {
        vec![
            network("bridge", "skerry0", &["10.210.0.1/22", "fd00::1/64"]),
            Network { internal: true, ..network("back", "skerry1", &["10.9.0.1/30"]) },
        ]
    }

    fn ask(json: &str) -> Attach {
        serde_json::from_str(json).unwrap()
    }

    const ONE: &str = r#"{"networks": [{"network": "bridge"}], "ports": ["8080:80"]}"#;

    fn give(name: &str, asked: &str, others: &[Record]) -> Result<Record, String> {
        let there = There { networks: &networks(), others, before: None, mtu: 1500 };
        grant(&name.parse().unwrap(), "/run/netns", &ask(asked), there, &|port| port.host != 49153)
    }

    fn addresses(record: &Record) -> Vec<String> {
        let all = record.interfaces.iter().flat_map(|interface| &interface.addresses);
        all.map(ToString::to_string).collect()
    }

    #[test]
    fn two_containers_never_get_the_same() {
        let first = give("a", ONE, &[]).unwrap();
        assert_eq!(addresses(&first), ["10.210.0.2/22", "fd00::2/64"]);
        let interface = &first.interfaces[0];
        assert_eq!((interface.name.as_str(), interface.host_name.as_str()), ("eth0", "skerry0p1"));
        assert_eq!(interface.mac.to_string(), "02:00:0a:d2:00:02");
        let plain = r#"{"networks": [{"network": "bridge"}]}"#;
        let second = give("b", plain, std::slice::from_ref(&first)).unwrap();
        assert_eq!(addresses(&second), ["10.210.0.3/22", "fd00::3/64"]);
        assert_eq!(second.interfaces[0].host_name, "skerry0p2");
        let third = give("c", plain, &[second]).unwrap();
        assert_eq!(addresses(&third), addresses(&first), "a gap is filled");
    }

    #[test]
    fn a_pod_is_alone_at_its_address_and_does_not_get_what_another_has_just_left() {
        let pods = Network {
            cluster: Some(Vec::new()),
            ..network("pods", "skerry0", &["10.244.1.1/24", "fd44::1/64"])
        };
        let asked = ask(r#"{"networks": [{"network": "pods"}]}"#);
        let attach = |name: &str, others: &[Record]| {
            let there = There { networks: std::slice::from_ref(&pods), others, before: None, mtu: 1500 };
            grant(&name.parse().unwrap(), "/run/netns", &asked, there, &|_| true)
        };
        let first = addresses(&attach("a", &[]).unwrap());
        assert!(first[0].ends_with("/32") && first[1].ends_with("/128"), "{first:?}");
        assert_ne!(addresses(&attach("b", &[]).unwrap()), first);
        let mut all = Vec::new();
        while let Ok(record) = attach(&format!("p{}", all.len()), &all) {
            all.push(record);
        }
        assert_eq!(all.len(), 253, "every address but the node's");
    }

    #[test]
    fn what_a_container_has_it_keeps() {
        let first = give("a", ONE, &[]).unwrap();
        let second = give("b", r#"{"networks": [{"network": "bridge"}]}"#, &[first]).unwrap();
        let there = There { networks: &networks(), others: &[], before: Some(&second), mtu: 1500 };
        let again = grant(&second.container, "/run/netns", &second.asked, there, &|_| false).unwrap();
        assert_eq!(again, second);
    }

    #[test]
    fn an_address_of_before_is_given_again_when_it_is_free() {
        let asked = r#"{"networks": [{"network": "bridge", "preferred": ["10.210.0.7", "fd00::7"]}]}"#;
        let first = give("a", asked, &[]).unwrap();
        assert_eq!(addresses(&first), ["10.210.0.7/22", "fd00::7/64"]);
        let second = give("b", asked, &[first]).unwrap();
        assert_eq!(addresses(&second), ["10.210.0.2/22", "fd00::2/64"]);
        let stray = asked.replace("10.210.0.7", "10.9.9.9");
        assert_eq!(addresses(&give("c", &stray, &[]).unwrap()), ["10.210.0.2/22", "fd00::7/64"]);
    }

    #[test]
    fn a_port_that_is_left_to_the_node_is_chosen_and_kept() {
        let asked =
            r#"{"networks": [{"network": "bridge"}], "ports": ["80", "127.0.0.1::81", "49152:9", "80"]}"#;
        let first = give("a", asked, &[]).unwrap();
        let ports: Vec<String> = first.ports.iter().map(ToString::to_string).collect();
        // Another program has 49153.
        assert_eq!(ports, ["49152:9", "49154:80", "127.0.0.1:49155:81", "49156:80"]);
        let other = give("b", &asked.replace("49152:9", "1:1"), std::slice::from_ref(&first)).unwrap();
        assert_eq!(other.ports[1].to_string(), "49157:80");
        let there = There { networks: &networks(), others: &[other], before: Some(&first), mtu: 1500 };
        let again = grant(&first.container, "/run/netns", &first.asked, there, &|_| false).unwrap();
        assert_eq!(again.ports, first.ports);
    }

    #[test]
    fn the_first_free_port_of_a_range_is_chosen_and_kept() {
        let asked = r#"{"networks": [{"network": "bridge"}], "ports": ["49152-49155:80", "49152-49155:81"]}"#;
        let first = give("a", asked, &[]).unwrap();
        let ports: Vec<String> = first.ports.iter().map(ToString::to_string).collect();
        // Another program has 49153.
        assert_eq!(ports, ["49152:80", "49154:81"]);
        let there = There { networks: &networks(), others: &[], before: Some(&first), mtu: 1500 };
        let again = grant(&first.container, "/run/netns", &first.asked, there, &|_| false).unwrap();
        assert_eq!(again.ports, first.ports);
        let error = give("b", asked, std::slice::from_ref(&first)).unwrap_err();
        assert_eq!(error, "publish 49152-49155:81: none of these ports of the node is free");
    }

    #[test]
    fn interfaces_keep_their_names_when_others_come_and_go() {
        let first = give("a", r#"{"networks": [{"network": "bridge"}, {"network": "back"}]}"#, &[]).unwrap();
        let networks = [network("new", "skerry2", &["10.8.0.1/24"]), networks().remove(1)];
        let there = There { networks: &networks, others: &[], before: Some(&first), mtu: 1500 };
        let asked = ask(r#"{"networks": [{"network": "new"}, {"network": "back"}]}"#);
        let second = grant(&first.container, "/run/netns", &asked, there, &|_| true).unwrap();
        let names: Vec<&str> = second.interfaces.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["eth2", "eth1"]);
        assert_eq!(second.interfaces[1], first.interfaces[1]);
    }

    #[test]
    fn the_default_route_leads_through_the_first_network_with_a_way_out() {
        let both = r#"{"networks": [{"network": "back"}, {"network": "bridge"}], "ports": ["8080:80"]}"#;
        let record = give("a", both, &[]).unwrap();
        assert!(record.interfaces[0].gateways.is_empty());
        assert_eq!(record.interfaces[1].gateways.len(), 2);
        assert_eq!(record.published_at(true), Some([10, 210, 0, 2].into()));
        let answer = record.answer(&networks(), Vec::new());
        assert_eq!(answer.dns, ["10.9.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn what_cannot_be_given_is_refused_in_words() {
        let taken =
            give("web", r#"{"networks": [{"network": "bridge"}], "ports": ["8080-8089:80-89"]}"#, &[])
                .unwrap();
        let back = give("db", r#"{"networks": [{"network": "back"}]}"#, &[]).unwrap();
        let others = [taken, back];
        let with = |address: &str| {
            format!(r#"{{"networks": [{{"network": "bridge", "addresses": ["{address}"]}}]}}"#)
        };
        for (asked, words) in [
            (with("10.210.0.2"), "10.210.0.2 is the address of \"web\""),
            (with("10.210.0.1"), "10.210.0.1 is the gateway of network \"bridge\""),
            (with("10.210.3.255"), "stands for the whole subnet"),
            (with("10.210.0.0"), "stands for the whole subnet"),
            (with("10.9.0.2"), "10.9.0.2 is not in a subnet of network \"bridge\""),
            (
                r#"{"networks": [{"network": "brigde"}]}"#.into(),
                "there is no network \"brigde\", but \"bridge\"",
            ),
            (
                r#"{"networks": [{"network": "back"}, {"network": "back"}]}"#.into(),
                "no address left in 10.9.0.1/30",
            ),
            (r#"{"networks": [{"network": "bridge"}, {"network": "bridge"}]}"#.into(), "is named twice"),
            (
                r#"{"networks": [{"network": "bridge"}], "ports": ["127.0.0.1:8085:80"]}"#.into(),
                "publish 127.0.0.1:8085:80: \"web\" has published 8080-8089:80-89",
            ),
            (
                r#"{"networks": [{"network": "bridge"}], "ports": ["1:1", "0.0.0.0:1:2"]}"#.into(),
                "publish 0.0.0.0:1:2: \"new\" has published 1:1",
            ),
        ] {
            let error = give("new", &asked, &others).unwrap_err();
            assert!(error.contains(words), "{asked}: {error}");
        }
        let error = give("x", r#"{"networks": [{"network": "back"}], "ports": ["1:1"]}"#, &[]).unwrap_err();
        assert!(error.contains("no network of the container has a way out"), "{error}");
    }

    #[test]
    fn ports_collide_when_a_packet_could_mean_both() {
        for (a, b, expected) in [
            ("80:1", "80:2", true),
            ("80:1", "80:1/udp", false),
            ("80-89:1-10", "89:1", true),
            ("80-88:1-9", "89:1", false),
            ("127.0.0.1:80:1", "127.0.0.2:80:1", false),
            ("127.0.0.1:80:1", "0.0.0.0:80:1", true),
            ("[::1]:80:1", "0.0.0.0:80:1", false),
            ("[::]:80:1", "[::1]:80:1", true),
            ("65535:1", "65535:2", true),
        ] {
            let (one, other): (Port, Port) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((collide(one, other), collide(other, one)), (expected, expected), "{a} {b}");
        }
    }
}
