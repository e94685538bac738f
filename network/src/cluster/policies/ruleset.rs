//! What our table should be, `inet skerry-policies`.
//!
//! ```text
//! egress, ingress   filter   forwarded: what is established passes; a pod that policies are about → its chain
//! out-ADDRESS, in-ADDRESS    itself; its policies' chains in turn; nobody else
//! out-NAME, in-NAME          a rule of the table for each family and port of a rule of the policy
//!
//! egress4, ingress4          pod : its chain
//! NAME/RULE/peers4           whom a rule allows
//! NAME/RULE/named4           pod . protocol . port, of ports by name
//! ```
//!
//! What may leave is looked at before and apart from what may enter, so "yes" of the one is not "yes" of the other.

use super::{Number, Peers, Pod, Policy, Port, Rule};
use crate::netlink::address::octets;
use crate::netlink::nft::Table;
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::{Element, Field, Shape};
use crate::ranges;
use spec::crc32c;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use sys::netlink::wire::Nest;

/// The table's name, in the family of both.
pub const TABLE: Table = Table::inet("skerry-policies");

/// A set's shape but for its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Addresses in intervals.
    Peers,
    /// Addresses, protocols and ports.
    Named,
    /// Addresses, mapped to chains.
    Chains,
}

/// A set and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its form.
    pub form: Form,
    /// Of which family.
    pub v4: bool,
    /// Its elements.
    pub elements: BTreeSet<Element>,
}

impl Set {
    fn new(form: Form, v4: bool) -> Self {
        Self { form, v4, elements: BTreeSet::new() }
    }

    /// Its shape under a name.
    pub fn shape<'a>(&self, name: &'a str) -> Shape<'a> {
        let address: &'static [Field] = if self.v4 { &[Field::V4] } else { &[Field::V6] };
        match (self.form, self.v4) {
            (Form::Peers, _) => Shape::intervals(name, address),
            (Form::Chains, _) => Shape { verdicts: true, ..Shape::set(name, address) },
            (Form::Named, true) => Shape::set(name, &[Field::V4, Field::Protocol, Field::Port]),
            (Form::Named, false) => Shape::set(name, &[Field::V6, Field::Protocol, Field::Port]),
        }
    }
}

/// Everything of the table but what is always in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Chains and their rules.
    pub chains: BTreeMap<String, Vec<Vec<Nest>>>,
    /// Sets by name.
    pub sets: BTreeMap<String, Set>,
}

impl Ruleset {
    /// No pod of this node is under a policy.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }
}

/// The way of the packets that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// From a pod of this node.
    Out,
    /// To one.
    In,
}

impl Way {
    /// What its chains' names begin with, and its map's name without the family.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Out => ("out-", "egress"),
            Self::In => ("in-", "ingress"),
        }
    }
}

/// The name of the map from pods to chains.
pub fn map_name(way: Way, v4: bool) -> String {
    format!("{}{}", way.names().1, if v4 { 4 } else { 6 })
}

/// Decides.
pub fn ruleset(policies: &BTreeMap<String, Policy>) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut pods: BTreeMap<(Way, IpAddr), Vec<String>> = BTreeMap::new();
    for (name, policy) in policies.iter().filter(|(_, policy)| !policy.pods.is_empty()) {
        for (way, rules) in [(Way::Out, &policy.egress), (Way::In, &policy.ingress)] {
            let Some(rules) = rules else { continue };
            let chain = chain_name(way, name);
            for &address in policy.pods.iter().flat_map(|pod| &pod.addresses) {
                pods.entry((way, address)).or_default().push(chain.clone());
            }
            let lines = rules.iter().enumerate().flat_map(|(number, rule)| {
                let prefix = format!("{chain}/{number}");
                Part { way, prefix, pods: &policy.pods, rule }.lines(&mut ruleset.sets)
            });
            let lines = lines.collect();
            ruleset.chains.insert(chain, lines);
        }
    }
    for ((way, address), chains) in pods {
        let name = pod_chain_name(way, address);
        let element = Element { key: octets(address).1, data: name.clone().into_bytes(), end: false };
        let v4 = address.is_ipv4();
        let map = ruleset.sets.entry(map_name(way, v4)).or_insert_with(|| Set::new(Form::Chains, v4));
        map.elements.insert(element);
        ruleset.chains.insert(name, pod_chain(way, address, &chains));
    }
    ruleset
}

/// Names of 256 bytes are the longest that the kernel takes; the end of a long one is a sum of it. The
/// namespace, of 63 at most, is always whole.
fn chain_name(way: Way, policy: &str) -> String {
    const MOST: usize = 100;
    let prefix = way.names().0;
    match policy.get(..MOST) {
        Some(start) if policy.len() > MOST => {
            format!("{prefix}{start}/{:08x}", crc32c::update(!0, policy.as_bytes()))
        }
        _ => format!("{prefix}{policy}"),
    }
}

/// An address in letters that nft(8) takes for a name.
fn pod_chain_name(way: Way, address: IpAddr) -> String {
    let prefix = way.names().0;
    match address {
        IpAddr::V4(v4) => format!("{prefix}{v4}"),
        IpAddr::V6(v6) => format!("{prefix}{:032x}", v6.to_bits()),
    }
}

fn pod_chain(way: Way, address: IpAddr, policies: &[String]) -> Vec<Vec<Nest>> {
    let other = load_address(way, address.is_ipv4(), FIRST);
    let itself = vec![other, equal(FIRST, &octets(address).1), verdict(Verdict::Accept)];
    let jumps = policies.iter().map(|chain| vec![verdict(Verdict::Jump(chain))]);
    [itself].into_iter().chain(jumps).chain([vec![verdict(Verdict::Drop)]]).collect()
}

/// The address of who is not the pod.
fn load_address(way: Way, v4: bool, register: u32) -> Nest {
    let (offset, length) = match (way, v4) {
        (Way::In, true) => (12, 4),
        (Way::In, false) => (8, 16),
        (Way::Out, true) => (16, 4),
        (Way::Out, false) => (24, 16),
    };
    network_header(offset, length, register)
}

fn of_family(v4: bool) -> [Nest; 2] {
    let number = if v4 { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 };
    [meta(Meta::Family, FIRST), equal(FIRST, &[number as u8])]
}

/// A rule of a policy.
struct Part<'a> {
    way: Way,
    prefix: String,
    pods: &'a [Pod],
    rule: &'a Rule,
}

impl Part<'_> {
    /// Its lines in the policy's chain, and its sets.
    fn lines(&self, sets: &mut BTreeMap<String, Set>) -> Vec<Vec<Nest>> {
        let mut lines = Vec::new();
        for whom in self.peers(sets) {
            let numbered = self.rule.ports.iter().filter_map(ports);
            let steps: Vec<Vec<Nest>> =
                if self.rule.ports.is_empty() { vec![Vec::new()] } else { numbered.collect() };
            lines.extend(
                steps.into_iter().map(|ports| [&*whom, &*ports, &[verdict(Verdict::Accept)]].concat()),
            );
        }
        lines.extend([true, false].iter().filter_map(|&v4| self.named(v4, sets)));
        lines
    }

    /// The steps that only peers pass, by family.
    fn peers(&self, sets: &mut BTreeMap<String, Set>) -> Vec<Vec<Nest>> {
        let Some(peers) = &self.rule.peers else { return vec![Vec::new()] };
        let one = |v4: bool| {
            let elements: BTreeSet<Element> = addresses(peers, v4).into_iter().collect();
            if elements.is_empty() {
                return None;
            }
            let name = format!("{}/peers{}", self.prefix, if v4 { 4 } else { 6 });
            let [family, of] = of_family(v4);
            let steps = vec![family, of, load_address(self.way, v4, FIRST), in_set(&name, FIRST)];
            sets.insert(name, Set { elements, ..Set::new(Form::Peers, v4) });
            Some(steps)
        };
        [true, false].into_iter().filter_map(one).collect()
    }

    /// The line for ports by name: a pod that is spoken to says which one it is.
    fn named(&self, v4: bool, sets: &mut BTreeMap<String, Set>) -> Option<Vec<Nest>> {
        let spoken_to = match (self.way, &self.rule.peers) {
            (Way::In, _) => self.pods,
            (Way::Out, Some(peers)) => &peers.pods,
            (Way::Out, None) => &self.rule.named,
        };
        let all = spoken_to.iter().flat_map(|pod| named_ports(pod, &self.rule.ports, v4));
        let elements: BTreeSet<Element> = all.collect();
        let peers = format!("{}/peers{}", self.prefix, if v4 { 4 } else { 6 });
        let by_peers = self.way == Way::In && self.rule.peers.is_some();
        if elements.is_empty() || by_peers && !sets.contains_key(&peers) {
            return None;
        }
        let name = format!("{}/named{}", self.prefix, if v4 { 4 } else { 6 });
        let words = if v4 { 1 } else { 4 };
        let mut steps = of_family(v4).to_vec();
        if by_peers {
            steps.extend([load_address(Way::In, v4, FIRST), in_set(&peers, FIRST)]);
        }
        steps.extend([
            load_address(Way::Out, v4, FIRST),
            meta(Meta::Protocol, FIRST + words),
            destination_port(FIRST + words + 1),
            in_set(&name, FIRST),
            verdict(Verdict::Accept),
        ]);
        sets.insert(name, Set { elements, ..Set::new(Form::Named, v4) });
        Some(steps)
    }
}

/// The steps that only packets to a port by number pass.
fn ports(port: &Port) -> Option<Vec<Nest>> {
    let mut steps = vec![meta(Meta::Protocol, FIRST), equal(FIRST, &[port.protocol as u8])];
    match port.port {
        None => {}
        Some(Number::Name(_)) => return None,
        Some(Number::Number(first)) => {
            let last = port.end_port.unwrap_or(first);
            steps.push(destination_port(FIRST));
            steps.push(match first == last {
                true => equal(FIRST, &first.to_be_bytes()),
                false => within(FIRST, &first.to_be_bytes(), &last.to_be_bytes()),
            });
        }
    }
    Some(steps)
}

fn named_ports<'a>(pod: &'a Pod, ports: &'a [Port], v4: bool) -> impl Iterator<Item = Element> + 'a {
    let asked = move |named: &&super::NamedPort| {
        let is = |port: &Port| matches!(&port.port, Some(Number::Name(name)) if *name == named.name);
        ports.iter().any(|port| is(port) && port.protocol == named.protocol)
    };
    let addresses = move || pod.addresses.iter().filter(move |address| address.is_ipv4() == v4);
    pod.ports.iter().filter(asked).flat_map(move |named| {
        addresses().map(|&address| {
            let [high, low] = named.port.to_be_bytes();
            let key = [octets(address).1, vec![named.protocol as u8, 0, 0, 0, high, low, 0, 0]].concat();
            Element { key, data: Vec::new(), end: false }
        })
    })
}

/// The addresses of peers, of a family.
fn addresses(peers: &Peers, v4: bool) -> Vec<Element> {
    let pods = peers.pods.iter().flat_map(|pod| &pod.addresses).filter(|address| address.is_ipv4() == v4);
    let blocks = peers.blocks.iter().filter(|block| block.cidr.address.is_ipv4() == v4).flat_map(|block| {
        let holes: Vec<ranges::Range> = block.except.iter().map(|&hole| ranges::of(hole)).collect();
        ranges::without(ranges::of(block.cidr), &holes)
    });
    let single = pods.map(|&address| (ranges::number(address), ranges::number(address)));
    ranges::as_elements(ranges::merged(single.chain(blocks).collect()), v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(policies: &[(&str, &str)]) -> Ruleset {
        let read = |&(name, json): &(&str, &str)| (name.to_owned(), serde_json::from_str(json).unwrap());
        ruleset(&policies.iter().map(read).collect())
    }

    const POD: &str = r#"{"addresses": ["10.244.1.2", "fd44::2"], "ports": [{"name": "web", "protocol": "TCP", "port": 8080}]}"#;

    fn with_ingress(rules: &str) -> Ruleset {
        decide(&[("default/p", &format!(r#"{{"pods": [{POD}], "ingress": {rules}}}"#))])
    }

    #[test]
    fn a_policy_isolates_the_pods_that_it_selects_in_its_directions_alone() {
        let both =
            decide(&[("default/p", &format!(r#"{{"pods": [{POD}], "ingress": [], "egress": [{{}}]}}"#))]);
        let names: Vec<&String> = both.chains.keys().collect();
        let v6 = "fd440000000000000000000000000002";
        let expected = [
            "in-10.244.1.2".to_owned(),
            "in-default/p".to_owned(),
            format!("in-{v6}"),
            "out-10.244.1.2".to_owned(),
            "out-default/p".to_owned(),
            format!("out-{v6}"),
        ];
        assert_eq!(names, expected.iter().collect::<Vec<_>>());
        assert_eq!((both.chains["in-default/p"].len(), both.chains["out-default/p"].len()), (0, 1));
        assert_eq!(both.chains["in-10.244.1.2"].len(), 3, "itself, its policy, nobody else");
        assert!(with_ingress("null").is_empty());
        assert!(decide(&[("default/p", r#"{"ingress": []}"#)]).is_empty(), "it selects no pod of this node");
    }

    #[test]
    fn a_pods_policies_are_asked_in_turn() {
        let text = format!(r#"{{"pods": [{POD}], "ingress": [{{}}]}}"#);
        assert_eq!(decide(&[("a/p", &text), ("a/q", &text)]).chains["in-10.244.1.2"].len(), 4);
    }

    #[test]
    fn each_port_and_family_is_a_line() {
        let pods = r#"{"addresses": ["10.244.2.3"]}, {"addresses": ["10.244.2.4", "fd44::4"]}"#;
        let peers = format!(r#""peers": {{"pods": [{pods}]}}"#);
        let ports = r#""ports": [{"protocol": "TCP", "port": 80}, {"protocol": "UDP", "port": 1, "end-port": 9}, {"protocol": "SCTP"}]"#;
        for (rule, lines) in [
            ("{}".to_owned(), 1),
            (format!("{{{peers}}}"), 2),
            (format!("{{{ports}}}"), 3),
            (format!("{{{peers}, {ports}}}"), 6),
            (r#"{"peers": {}}"#.to_owned(), 0),
            (r#"{"ports": [{"protocol": "TCP", "port": "web"}]}"#.to_owned(), 2),
            (r#"{"ports": [{"protocol": "UDP", "port": "web"}]}"#.to_owned(), 0),
            (format!(r#"{{{peers}, "ports": [{{"protocol": "TCP", "port": "web"}}]}}"#), 2),
            (r#"{"peers": {"blocks": [{"cidr": "10.0.0.0/8"}]}, "ports": [{"protocol": "TCP", "port": "web"}]}"#.to_owned(), 1),
        ] {
            assert_eq!(with_ingress(&format!("[{rule}]")).chains["in-default/p"].len(), lines, "{rule}");
        }
    }

    #[test]
    fn peers_are_the_fewest_intervals_without_what_is_excepted() {
        let rules = r#"[{"peers": {
            "pods": [{"addresses": ["10.244.2.3"]}, {"addresses": ["10.244.2.4"]}],
            "blocks": [{"cidr": "192.0.2.0/24", "except": ["192.0.2.128/25", "192.0.2.0/32"]}]}}]"#;
        let set = &with_ingress(rules).sets["in-default/p/0/peers4"];
        let keys: Vec<(Vec<u8>, bool)> = set.elements.iter().map(|one| (one.key.clone(), one.end)).collect();
        let expected = [
            ([10, 244, 2, 3], false),
            ([10, 244, 2, 5], true),
            ([192, 0, 2, 1], false),
            ([192, 0, 2, 128], true),
        ];
        assert_eq!(keys, expected.map(|(key, end)| (key.to_vec(), end)));
    }

    #[test]
    fn a_port_by_name_is_that_of_the_pod_that_is_spoken_to() {
        let key = |rules: &Ruleset, set: &str| rules.sets[set].elements.first().unwrap().key.clone();
        let named = r#""ports": [{"protocol": "TCP", "port": "web"}]"#;
        let ingress = with_ingress(&format!("[{{{named}}}]"));
        assert_eq!(key(&ingress, "in-default/p/0/named4"), [10, 244, 1, 2, 6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        let other =
            r#"{"addresses": ["10.244.2.3"], "ports": [{"name": "web", "protocol": "TCP", "port": 80}]}"#;
        let rule = format!(r#"{{"peers": {{"pods": [{other}]}}, {named}}}"#);
        let egress = decide(&[("default/p", &format!(r#"{{"pods": [{POD}], "egress": [{rule}]}}"#))]);
        assert_eq!(key(&egress, "out-default/p/0/named4"), [10, 244, 2, 3, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(egress.chains["out-default/p"].len(), 1);
        let rule = format!(
            r#"{{"named": [{other}], "ports": [{{"protocol": "TCP", "port": "web"}}, {{"protocol": "UDP", "port": 53}}]}}"#
        );
        let everybody = decide(&[("default/p", &format!(r#"{{"pods": [{POD}], "egress": [{rule}]}}"#))]);
        assert_eq!(key(&everybody, "out-default/p/0/named4"), [10, 244, 2, 3, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(
            everybody.chains["out-default/p"].len(),
            2,
            "the number is everybody's, the name that pod's"
        );
    }

    #[test]
    fn long_names_stay_apart() {
        let long = |end: &str| chain_name(Way::In, &format!("{}/{}{end}", "n".repeat(63), "p".repeat(250)));
        assert!(long("a").len() < 128 && long("a") != long("b"));
        assert_eq!(chain_name(Way::Out, "default/web"), "out-default/web");
    }
}
