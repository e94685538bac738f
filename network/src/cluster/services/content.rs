//! What a Service and its slices come to on this node.

use super::choose::{Candidate, anywhere, local, serving};
use super::{Endpoint, Here, Protocol, Service, ServicePort, Slice};
use crate::ranges::{self, Range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Where a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Front {
    /// Its address; nothing for all of the node's own.
    pub address: Option<IpAddr>,
    /// Its family is IPv4.
    pub v4: bool,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
}

/// Who is led.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// Who comes from outside the cluster, where the Service wants to see his address: to endpoints of this node.
    Direct,
    /// Everybody else, and everybody of other Services.
    Common,
}

/// Endpoints and how clients are spread over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead<T> {
    /// How long a client is kept at its endpoint; 0: not.
    pub seconds: u32,
    /// The endpoints; at least one.
    pub ends: T,
}

/// All of a Service on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Which front leads where.
    pub leads: BTreeMap<(View, Front), Lead<BTreeSet<SocketAddr>>>,
    /// Fronts of UDP with the endpoints at which a client may stay, whichever are for new ones; at least one.
    pub serving: BTreeMap<Front, BTreeSet<SocketAddr>>,
    /// Fronts that are refused: there is no endpoint at all.
    pub refused: BTreeSet<Front>,
    /// Fronts that get no answer from here, but may from another node.
    pub dropped: BTreeSet<Front>,
    /// Fronts at which nobody is answered here: all their endpoints are other nodes'.
    pub silent: BTreeSet<Front>,
    /// Addresses at which nothing but Services' ports is answered.
    pub addresses: BTreeSet<IpAddr>,
    /// Fronts that are for these clients alone.
    pub guarded: BTreeMap<Front, Vec<Range>>,
}

impl Content {
    /// Every front, once.
    pub fn fronts(&self) -> impl Iterator<Item = Front> {
        let common = self.leads.keys().filter(|(view, _)| *view == View::Common).map(|(_, front)| *front);
        let all: BTreeSet<Front> = common.chain(self.refused.iter().chain(&self.silent).copied()).collect();
        all.into_iter()
    }

    /// Leaves these fronts to others.
    pub fn leave(&mut self, taken: &BTreeSet<Front>) {
        self.leads.retain(|(_, front), _| !taken.contains(front));
        self.serving.retain(|front, _| !taken.contains(front));
        self.refused.retain(|front| !taken.contains(front));
        self.dropped.retain(|front| !taken.contains(front));
        self.silent.retain(|front| !taken.contains(front));
        self.guarded.retain(|front, _| !taken.contains(front));
    }
}

/// Decides. A headless Service has no content: its name leads to its endpoints.
pub fn content(service: &Service, slices: &[Slice], here: &Here) -> Content {
    let mut content =
        Content { addresses: service.cluster_ips.iter().copied().collect(), ..Content::default() };
    for port in &service.ports {
        for v4 in [true, false] {
            port_content(service, port, slices, here, v4, &mut content);
        }
    }
    content
}

fn port_content(
    service: &Service,
    port: &ServicePort,
    slices: &[Slice],
    here: &Here,
    v4: bool,
    content: &mut Content,
) {
    let of_family = |list: &[IpAddr]| -> Vec<Option<IpAddr>> {
        list.iter().filter(|address| address.is_ipv4() == v4).map(|&address| Some(address)).collect()
    };
    let inside = of_family(&service.cluster_ips);
    if inside.is_empty() {
        return;
    }
    let at = |address, port_number| Front { address, v4, protocol: port.protocol, port: port_number };
    let balanced = of_family(&service.load_balancer_ips);
    if let Some(clients) = clients(service, here, v4) {
        let fronts = balanced.iter().map(|&address| (at(address, port.port), clients.clone()));
        content.guarded.extend(fronts);
    }
    let external = of_family(&service.external_ips).into_iter().chain(balanced);
    let external =
        external.map(|address| at(address, port.port)).chain(port.node_port.map(|number| at(None, number)));
    let candidates = behind(port, slices, v4);
    let ends = |chosen: Vec<Candidate<'_>>| -> BTreeSet<SocketAddr> {
        chosen.into_iter().map(|(end, _)| end).collect()
    };
    let (all, ours) = (ends(anywhere(&candidates, here)), ends(local(&candidates, here)));
    let serving = ends(serving(&candidates));
    let mut stay = |front: Front| {
        if front.protocol == Protocol::Udp && !serving.is_empty() {
            content.serving.insert(front, serving.clone());
        }
    };
    let seconds = service.affinity_seconds.unwrap_or(0);
    let mut lead = |view, front, ends: &BTreeSet<SocketAddr>| {
        content.leads.insert((view, front), Lead { seconds, ends: ends.clone() });
    };
    for address in inside {
        let (front, ends) = (at(address, port.port), if service.internal_local { &ours } else { &all });
        stay(front);
        match (ends.is_empty(), all.is_empty()) {
            (false, _) => lead(View::Common, front, ends),
            (true, false) => drop(content.silent.insert(front)),
            (true, true) => drop(content.refused.insert(front)),
        }
    }
    for front in external {
        stay(front);
        match all.is_empty() {
            true => drop(content.refused.insert(front)),
            false => lead(View::Common, front, &all),
        }
        match (service.external_local && !all.is_empty(), ours.is_empty()) {
            (false, _) => {}
            (true, true) => drop(content.dropped.insert(front)),
            (true, false) => lead(View::Direct, front, &ours),
        }
    }
}

/// For whom load balancers' addresses of a family are; nothing when for everybody, as for a family of which there are no
/// ranges.
fn clients(service: &Service, here: &Here, v4: bool) -> Option<Vec<Range>> {
    let ours = service.load_balancer_source_ranges.iter().filter(|one| one.address.is_ipv4() == v4);
    let mut clients: Vec<Range> = ours.map(|&one| ranges::of(one)).collect();
    if clients.is_empty() && !service.source_ranges_incomplete {
        return None;
    }
    let of_family = |list: &[IpAddr]| -> Vec<u128> {
        list.iter().filter(|own| own.is_ipv4() == v4).map(|&own| ranges::number(own)).collect()
    };
    let may = |own: &u128| clients.iter().any(|(first, last)| (first..=last).contains(&own));
    // A node that has a load balancer's address itself, as those have that announce it, comes with it.
    if of_family(&here.addresses).iter().any(may) {
        clients.extend(of_family(&service.load_balancer_ips).into_iter().map(|own| (own, own)));
    }
    Some(ranges::merged(clients))
}

/// The endpoints of a port, each once. The same one in two slices, as when it moves from one to the other,
/// is the better of both.
fn behind<'a>(port: &ServicePort, slices: &'a [Slice], v4: bool) -> Vec<Candidate<'a>> {
    let mut found: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
    for slice in slices {
        let numbers = slice.ports.iter().filter(|one| one.name == port.name && one.protocol == port.protocol);
        let endpoints = || slice.endpoints.iter().filter(|endpoint| endpoint.address.is_ipv4() == v4);
        for (number, endpoint) in numbers.flat_map(|one| endpoints().map(|endpoint| (one.port, endpoint))) {
            let better =
                |other: &&Endpoint| (endpoint.ready, endpoint.serving) > (other.ready, other.serving);
            let end = SocketAddr::new(endpoint.address, number);
            if found.get(&end).is_none_or(better) {
                found.insert(end, endpoint);
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> Here {
        Here { node: "me".into(), ..Here::default() }
    }

    /// A Service of every kind of address, with an endpoint here and one elsewhere.
    fn both(service: &str, endpoints: &str) -> Content {
        let service: Service = serde_json::from_str(&format!(
            r#"{{"ports": [{{"protocol": "TCP", "port": 80, "node-port": 30080}}], {service}}}"#
        ))
        .unwrap();
        let slices =
            format!(r#"[{{"ports": [{{"protocol": "TCP", "port": 8080}}], "endpoints": [{endpoints}]}}]"#);
        content(&service, &serde_json::from_str::<Vec<Slice>>(&slices).unwrap(), &here())
    }

    const ALL: &str = r#""cluster-ips": ["10.96.0.1"], "external-ips": ["192.0.2.80"], "load-balancer-ips": ["203.0.113.1"]"#;
    const TWO: &str =
        r#"{"address": "10.244.1.2", "node": "me"}, {"address": "10.244.2.2", "node": "other"}"#;

    /// `view address ends`, one a line; refused, dropped and silent fronts, too.
    fn lines(content: &Content) -> Vec<String> {
        let at = |front: &Front| front.address.map_or("node".to_owned(), |address| address.to_string());
        let leads = content.leads.iter().map(|((view, front), lead)| {
            let ends: Vec<String> = lead.ends.iter().map(|end| end.ip().to_string()).collect();
            format!("{view:?} {} {}", at(front), ends.join(","))
        });
        let refused = content.refused.iter().map(|front| format!("refused {}", at(front)));
        let dropped = content.dropped.iter().map(|front| format!("dropped {}", at(front)));
        let silent = content.silent.iter().map(|front| format!("silent {}", at(front)));
        leads.chain(refused).chain(dropped).chain(silent).collect()
    }

    #[test]
    fn every_address_leads_to_every_endpoint() {
        let to = |at: &str| format!("Common {at} 10.244.1.2,10.244.2.2");
        assert_eq!(lines(&both(ALL, TWO)), ["node", "10.96.0.1", "192.0.2.80", "203.0.113.1"].map(to));
    }

    #[test]
    fn policies_keep_to_this_node() {
        let internal = format!(r#"{ALL}, "internal-local": true"#);
        assert!(lines(&both(&internal, TWO)).contains(&"Common 10.96.0.1 10.244.1.2".to_owned()));
        assert!(lines(&both(&internal, TWO)).contains(&"Common node 10.244.1.2,10.244.2.2".to_owned()));
        let external = format!(r#"{ALL}, "external-local": true"#);
        let said = lines(&both(&external, TWO));
        for line in
            ["Direct node 10.244.1.2", "Direct 192.0.2.80 10.244.1.2", "Common node 10.244.1.2,10.244.2.2"]
        {
            assert!(said.contains(&line.to_owned()), "{line}: {said:?}");
        }
        assert!(!said.iter().any(|line| line.starts_with("Direct 10.96.0.1")), "{said:?}");
        let away = lines(&both(&external, r#"{"address": "10.244.2.2", "node": "other"}"#));
        assert!(
            away.contains(&"dropped node".to_owned()) && away.contains(&"Common node 10.244.2.2".to_owned()),
            "{away:?}"
        );
        let nobody = lines(&both(&internal, r#"{"address": "10.244.2.2", "node": "other"}"#));
        assert!(nobody.contains(&"silent 10.96.0.1".to_owned()), "{nobody:?}");
        assert!(lines(&both(&internal, "")).contains(&"refused 10.96.0.1".to_owned()));
    }

    #[test]
    fn without_endpoints_every_address_refuses() {
        let refused = ["node", "10.96.0.1", "192.0.2.80", "203.0.113.1"].map(|at| format!("refused {at}"));
        assert_eq!(lines(&both(&format!(r#"{ALL}, "external-local": true"#), "")), refused);
        let ending = r#"{"address": "10.244.1.2", "ready": false, "serving": true, "terminating": true}"#;
        assert!(lines(&both(ALL, ending)).iter().all(|line| line.ends_with(" 10.244.1.2")));
    }

    #[test]
    fn a_load_balancers_addresses_alone_are_for_some_clients() {
        let ranges = r#""load-balancer-source-ranges": ["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/64"]"#;
        let content = both(&format!("{ALL}, {ranges}"), TWO);
        let guarded: Vec<_> =
            content.guarded.iter().map(|(front, clients)| (front.address, clients.len())).collect();
        assert_eq!(guarded, [(Some([203, 0, 113, 1].into()), 1)]);
    }

    #[test]
    fn ranges_of_one_family_say_nothing_of_the_other() {
        let guarded = |more: &str, own: &str| {
            let spec = format!(
                r#"{{"cluster-ips": ["10.96.0.1", "fd96::1"], "load-balancer-ips": ["203.0.113.1", "2001:db8::1"],
                    "ports": [{{"protocol": "TCP", "port": 80}}], {more}}}"#
            );
            let here = Here { addresses: vec![own.parse().unwrap()], ..here() };
            let content = content(&serde_json::from_str(&spec).unwrap(), &[], &here);
            let each = content.guarded.iter().map(|(front, clients)| (front.v4, clients.len()));
            each.collect::<Vec<_>>()
        };
        let ranges = r#""load-balancer-source-ranges": ["192.0.2.0/24"]"#;
        assert_eq!(guarded(ranges, "198.51.100.1"), [(true, 1)]);
        assert_eq!(guarded(ranges, "192.0.2.7"), [(true, 2)], "this node may, and has the address itself");
        let incomplete = r#""source-ranges-incomplete": true"#;
        assert_eq!(guarded(incomplete, "192.0.2.7"), [(true, 0), (false, 0)], "who may is not known");
    }

    #[test]
    fn a_udp_client_may_stay_at_whatever_serves() {
        let service =
            format!(r#"{{{ALL}, "external-local": true, "ports": [{{"protocol": "UDP", "port": 53}}]}}"#);
        let slices = r#"[{"ports": [{"protocol": "UDP", "port": 53}], "endpoints": [
            {"address": "10.244.2.1"},
            {"address": "10.244.2.2", "ready": false, "serving": true, "terminating": true},
            {"address": "10.244.2.3", "ready": false, "serving": false, "terminating": true}]}]"#;
        let service: Service = serde_json::from_str(&service).unwrap();
        let content = content(&service, &serde_json::from_str::<Vec<Slice>>(slices).unwrap(), &here());
        let both: BTreeSet<SocketAddr> =
            ["10.244.2.1:53", "10.244.2.2:53"].map(|end| end.parse().unwrap()).into();
        assert!(content.serving.len() == 3 && content.serving.values().all(|ends| *ends == both));
        assert!(self::both(ALL, TWO).serving.is_empty(), "of TCP");
    }

    #[test]
    fn a_headless_service_has_none() {
        assert_eq!(both(r#""external-ips": ["192.0.2.80"]"#, TWO), Content::default());
    }

    #[test]
    fn families_and_names_of_ports_are_kept_apart() {
        let service = r#"{"cluster-ips": ["10.96.0.1", "fd96::1"],
            "ports": [{"name": "a", "protocol": "TCP", "port": 80}, {"name": "b", "protocol": "UDP", "port": 53}]}"#;
        let slices = r#"[
            {"ports": [{"name": "a", "protocol": "TCP", "port": 8080}, {"name": "b", "protocol": "UDP", "port": 5353}], "endpoints": [{"address": "10.244.1.2"}]},
            {"ports": [{"name": "a", "protocol": "TCP", "port": 8081}], "endpoints": [{"address": "10.244.1.2"}, {"address": "10.244.1.3", "ready": false}]},
            {"ports": [{"name": "a", "protocol": "TCP", "port": 8081}], "endpoints": [{"address": "10.244.1.3"}]},
            {"ports": [{"name": "a", "protocol": "TCP", "port": 8080}], "endpoints": [{"address": "fd44::2"}]}]"#;
        let service: Service = serde_json::from_str(service).unwrap();
        let slices: Vec<Slice> = serde_json::from_str(slices).unwrap();
        let content = content(&service, &slices, &here());
        let ends: Vec<String> = content
            .leads
            .values()
            .map(|lead| lead.ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            ends,
            ["10.244.1.2:8080 10.244.1.2:8081 10.244.1.3:8081", "10.244.1.2:5353", "[fd44::2]:8080"]
        );
        assert_eq!(content.refused.len(), 1, "no endpoint of IPv6 answers b");
    }
}
