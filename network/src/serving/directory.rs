//! Who is called what, as far as the one who asks may know: containers know those
//! they share a network with.

use super::message::{Kind, Question, reversed};
use crate::containers::networks::has_pods;
use crate::containers::record::Record;
use crate::containers::subnet::contains;
use crate::dns;
use nix::net::if_::if_nametoindex;
use spec::network::{Interface, Network};
use std::net::{IpAddr, SocketAddr};

/// What is known of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The name's addresses of the kind that was asked for, perhaps none.
    Addresses(Vec<IpAddr>),
    /// The address's name.
    Name(String),
    /// There is no such name, and no other server would know.
    NoName,
    /// Another server may know.
    AskOthers,
    /// This client is not answered.
    Refused,
}

/// The containers and their networks.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Every network.
    pub networks: Vec<Network>,
    /// Every container.
    pub records: Vec<Record>,
}

impl Directory {
    /// Looks a question up for a client. `turn` says with which of several containers
    /// of one name the answer begins.
    pub fn look_up(&self, client: IpAddr, question: &Question, turn: u16) -> Known {
        let Some(asker) = self.asker(client) else { return Known::Refused };
        if let Some(address) = reversed(&question.name) {
            return self.reverse(asker, address, question.kind);
        }
        let found: Vec<&Interface> = self
            .shared(asker)
            .filter(|(record, interface)| {
                record.names(&interface.network).any(|name| {
                    name.eq_ignore_ascii_case(&question.name)
                        || qualified(name, &interface.network, &question.name)
                })
            })
            .map(|(_, interface)| interface)
            .collect();
        if found.is_empty() {
            return otherwise(asker);
        }
        let fits = |address: &IpAddr| match question.kind {
            Kind::V4 => address.is_ipv4(),
            Kind::V6 => address.is_ipv6(),
            Kind::Pointer | Kind::Other => false,
        };
        let all = found.iter().flat_map(|interface| &interface.addresses).map(|cidr| cidr.address);
        let mut list: Vec<IpAddr> = all.filter(fits).collect();
        let middle = usize::from(turn) % list.len().max(1);
        list.rotate_left(middle);
        Known::Addresses(list)
    }

    /// Whether a client is on an internal network, from which nothing is handed on: by its address, or by the bridge that
    /// a link-local one is behind.
    pub fn is_closed(&self, client: SocketAddr) -> bool {
        let scope = match client {
            SocketAddr::V6(client) => Some(client.scope_id()).filter(|scope| *scope != 0),
            SocketAddr::V4(_) => None,
        };
        let behind = |bridge: &str| scope.is_some() && if_nametoindex(bridge).ok() == scope;
        self.networks.iter().filter(|network| network.internal).any(|network| {
            let holds = |&subnet| contains(subnet, client.ip());
            network.subnets.iter().any(holds) || behind(&network.bridge)
        })
    }

    /// The container that a client is. A pod is none: a policy may keep it from the world's names, and from others'.
    fn asker(&self, client: IpAddr) -> Option<&Record> {
        let is_asker = |interface: &Interface| {
            interface.addresses.iter().any(|cidr| cidr.address == client)
                && !has_pods(&self.networks, &interface.network)
        };
        self.records.iter().find(|record| record.interfaces.iter().any(is_asker))
    }

    /// Servers that this client was given for other names; none leaves it to the node.
    pub fn servers(&self, client: IpAddr) -> &[IpAddr] {
        self.asker(client).map_or(&[], |asker| &asker.asked.dns)
    }

    /// Every container's interface on a network that the asker is on, its own too.
    fn shared<'a>(&'a self, asker: &'a Record) -> impl Iterator<Item = (&'a Record, &'a Interface)> {
        let all =
            self.records.iter().flat_map(|record| record.interfaces.iter().map(move |one| (record, one)));
        all.filter(|(_, interface)| asker.on(&interface.network).is_some())
    }

    fn reverse(&self, asker: &Record, address: IpAddr, kind: Kind) -> Known {
        let has = |interface: &Interface| interface.addresses.iter().any(|cidr| cidr.address == address);
        let found = self.shared(asker).find(|(_, interface)| has(interface));
        let mut subnets = self.networks.iter().flat_map(|network| &network.subnets);
        match found {
            Some((record, interface)) if kind == Kind::Pointer => {
                let name = format!("{}.{}", record.name(), interface.network);
                // One that is longer than a label is asked for by nobody.
                if dns::plain(&name) { Known::Name(name) } else { Known::Addresses(Vec::new()) }
            }
            Some(_) => Known::Addresses(Vec::new()),
            None if subnets.any(|&subnet| contains(subnet, address)) => Known::NoName,
            None => otherwise(asker),
        }
    }
}

/// A container without a way out has none through names either.
fn otherwise(asker: &Record) -> Known {
    let open = asker.interfaces.iter().any(|interface| !interface.gateways.is_empty());
    if open { Known::AskOthers } else { Known::NoName }
}

/// Whether it is `NAME.NETWORK`.
fn qualified(name: &str, network: &str, asked: &str) -> bool {
    let (name, network) = (name.to_ascii_lowercase(), network.to_ascii_lowercase());
    asked.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('.')) == Some(&network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::{network, record};
    use crate::dns::{self, Record as Type};
    use crate::serving::message::read;

    fn container(name: &str, on: &[(&str, [&str; 2])], aliases: &[&str], open: bool) -> Record {
        let mut whole = record(name, on[0].0, "skerry0p1");
        let (one, membership) = (whole.interfaces.remove(0), whole.asked.networks.remove(0));
        for (network, addresses) in on {
            whole.interfaces.push(Interface {
                network: network.parse().unwrap(),
                addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
                gateways: if open { one.gateways.clone() } else { Vec::new() },
                ..one.clone()
            });
            whole.asked.networks.push(spec::network::Membership {
                network: network.parse().unwrap(),
                aliases: aliases.iter().map(|&name| name.to_owned()).collect(),
                ..membership.clone()
            });
        }
        whole
    }

    fn directory() -> Directory {
        Directory {
            networks: vec![network("bridge", "skerry0"), network("back", "skerry1")],
            records: vec![
                container("Web", &[("bridge", ["10.210.0.2/22", "fd00::2/64"])], &["www"], true),
                container(
                    "both",
                    &[("bridge", ["10.210.0.3/22", "fd00::3/64"]), ("back", ["10.210.4.3/22", "fd04::3/64"])],
                    &["www"],
                    true,
                ),
                container("db", &[("back", ["10.210.4.2/22", "fd04::2/64"])], &[], false),
            ],
        }
    }

    fn ask(client: &str, name: &str, record: Type) -> Known {
        let query = dns::question(1, name, record).unwrap();
        directory().look_up(client.parse().unwrap(), &read(&query).unwrap(), 0)
    }

    fn told(list: &[&str]) -> Known {
        Known::Addresses(list.iter().map(|text| text.parse().unwrap()).collect())
    }

    const WEB: &str = "10.210.0.2";
    const DB: &str = "fd04::2";

    #[test]
    fn a_container_is_found_by_its_names_in_both_families() {
        for (client, name, kind, expected) in [
            (WEB, "both", Type::A, told(&["10.210.0.3"])),
            (WEB, "both", Type::Aaaa, told(&["fd00::3"])),
            (WEB, "BOTH.bridge", Type::A, told(&["10.210.0.3"])),
            (WEB, "web", Type::A, told(&[WEB])),
            (WEB, "www", Type::A, told(&[WEB, "10.210.0.3"])),
            (WEB, "www.bridge", Type::Aaaa, told(&["fd00::2", "fd00::3"])),
            (DB, "both", Type::A, told(&["10.210.4.3"])),
            (WEB, "both.back", Type::A, Known::AskOthers),
            (WEB, "db", Type::A, Known::AskOthers),
            (WEB, "example.org", Type::A, Known::AskOthers),
            (DB, "web", Type::A, Known::NoName),
            (DB, "example.org", Type::A, Known::NoName),
            ("10.210.0.99", "web", Type::A, Known::Refused),
            ("192.0.2.1", "example.org", Type::A, Known::Refused),
        ] {
            assert_eq!(ask(client, name, kind), expected, "{client} {name} {kind:?}");
        }
    }

    #[test]
    fn a_pod_is_not_answered() {
        let query = dns::question(1, "example.org", Type::A).unwrap();
        let mut directory = directory();
        directory.networks[0].cluster = Some(Vec::new());
        let known = directory.look_up(WEB.parse().unwrap(), &read(&query).unwrap(), 0);
        assert_eq!((known, directory.servers(WEB.parse().unwrap())), (Known::Refused, &[][..]));
    }

    #[test]
    fn several_of_one_name_take_turns() {
        let query = dns::question(1, "www", Type::A).unwrap();
        let turn = |turn| directory().look_up(WEB.parse().unwrap(), &read(&query).unwrap(), turn);
        assert_eq!(turn(1), told(&["10.210.0.3", WEB]));
        assert_eq!(turn(2), told(&[WEB, "10.210.0.3"]));
    }

    #[test]
    fn an_address_has_a_name_for_those_who_share_its_network() {
        let ask = |client: &str, name: &str| {
            let mut question = read(&dns::question(1, name, Type::A).unwrap()).unwrap();
            question.kind = Kind::Pointer;
            directory().look_up(client.parse().unwrap(), &question, 0)
        };
        assert_eq!(ask(WEB, "3.0.210.10.in-addr.arpa"), Known::Name("both.bridge".into()));
        assert_eq!(ask(WEB, "2.4.210.10.in-addr.arpa"), Known::NoName, "of a network of others");
        let mut long = directory();
        long.records.iter_mut().for_each(|record| record.asked.name = "a".repeat(64).parse().ok());
        let mut question = read(&dns::question(1, "3.0.210.10.in-addr.arpa", Type::A).unwrap()).unwrap();
        question.kind = Kind::Pointer;
        assert_eq!(long.look_up(WEB.parse().unwrap(), &question, 0), Known::Addresses(Vec::new()));
        assert_eq!(ask(WEB, "1.2.0.192.in-addr.arpa"), Known::AskOthers);
    }
}
