//! Selectors become the addresses of pods, for those policies that are about pods of this node. What cannot be read
//! allows nobody.

use super::{All, Known, Labels, Seen};
use crate::cluster_network::protocol;
use crate::legacy;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use network::cluster::policies::{self, Block, NamedPort, Number, Peers, Port, Rule};
use network::cluster::services::Protocol;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Policies that select pods of this node, by `namespace/name`.
pub fn resolve(seen: &Seen) -> BTreeMap<String, policies::Policy> {
    let here: Vec<_> = seen.pods.iter().filter(|(_, pod)| pod.here).collect();
    let mut resolved = BTreeMap::new();
    for ((namespace, name), policy) in seen.policies.iter() {
        let Some(spec) = &policy.spec else { continue };
        let all = LabelSelector::default();
        let selector = spec.pod_selector.as_ref().unwrap_or(&all);
        let mine = |((of, _), pod): &&(&(String, String), &Arc<Known>)| {
            of == namespace && matches(selector, &pod.labels)
        };
        let pods: Vec<_> = here.iter().filter(mine).map(|(_, pod)| pod.pod.clone()).collect();
        if pods.is_empty() {
            continue;
        }
        let kinds = spec.policy_types.clone().unwrap_or_else(|| {
            let egress = spec.egress.as_ref().filter(|rules| !rules.is_empty());
            let egress = egress.map(|_| "Egress".to_owned());
            std::iter::once("Ingress".to_owned()).chain(egress).collect()
        });
        let is = |kind: &str| kinds.iter().any(|own| own == kind);
        let rule = |peers: Option<&Vec<NetworkPolicyPeer>>, list: Option<&Vec<NetworkPolicyPort>>| {
            let ports: Vec<Port> = list.into_iter().flatten().filter_map(port).collect();
            // A rule without ports would be about all of them.
            let is_about_none = ports.is_empty() && list.is_some_and(|list| !list.is_empty());
            let peers = peers.filter(|list| !list.is_empty());
            let peers = peers.map(|list| self::peers(seen, namespace, list, &ports));
            (!is_about_none).then_some(Rule { peers, ports, named: Vec::new() })
        };
        let ingress = is("Ingress").then(|| {
            let rules = spec.ingress.iter().flatten();
            rules.filter_map(|own| rule(own.from.as_ref(), own.ports.as_ref())).collect()
        });
        let egress = is("Egress").then(|| {
            let rules = spec.egress.iter().flatten();
            let rules = rules.filter_map(|own| rule(own.to.as_ref(), own.ports.as_ref()));
            rules.map(|rule| Rule { named: named(seen, &rule), ..rule }).collect()
        });
        resolved.insert(format!("{namespace}/{name}"), policies::Policy { pods, ingress, egress });
    }
    resolved
}

/// Whom peers of a policy in a namespace mean. Pods' ports are told where some of a rule's ports have names.
fn peers(seen: &Seen, namespace: &str, list: &[NetworkPolicyPeer], ports: &[Port]) -> Peers {
    let has_names = ports.iter().any(|port| matches!(port.port, Some(Number::Name(_))));
    let mut peers = Peers::default();
    for peer in list {
        if let Some(own) = &peer.ip_block {
            peers.blocks.extend(block(own));
            continue;
        }
        // A peer of a kind that is not known yet.
        if peer.namespace_selector.is_none() && peer.pod_selector.is_none() {
            continue;
        }
        let is = |pod: &&Arc<Known>| {
            peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &pod.labels))
        };
        let described = |pod: &Arc<Known>| policies::Pod {
            addresses: pod.pod.addresses.clone(),
            ports: if has_names { pod.pod.ports.clone() } else { Vec::new() },
        };
        for namespace in namespaces(seen, namespace, peer.namespace_selector.as_ref()) {
            peers.pods.extend(of_namespace(&seen.pods, namespace).filter(is).map(described));
        }
    }
    peers
}

/// The namespaces that a selector means; without one the policy's own.
fn namespaces<'a>(seen: &'a Seen, own: &'a str, selector: Option<&LabelSelector>) -> Vec<&'a str> {
    let Some(selector) = selector else { return vec![own] };
    let meant = seen.namespaces.iter().filter(|(_, labels)| matches(selector, labels));
    meant.map(|((_, name), _)| &**name).collect()
}

fn of_namespace<'a>(pods: &'a All<Arc<Known>>, name: &'a str) -> impl Iterator<Item = &'a Arc<Known>> {
    let first = (name.to_owned(), String::new());
    pods.range(first..).take_while(move |((of, _), _)| of == name).map(|(_, pod)| pod)
}

/// A block; nothing when its subnet is none, or one that it excepts.
fn block(own: &IPBlock) -> Option<Block> {
    let except: Option<_> = own.except.iter().flatten().map(|text| legacy::cidr(text)).collect();
    Some(Block { cidr: legacy::cidr(&own.cidr)?, except: except? })
}

/// What of a policy cannot be read, and so allows nobody.
pub fn faults(policy: &NetworkPolicy) -> Vec<String> {
    let own = &policy.metadata;
    let name = [&own.namespace, &own.name].map(|part| part.as_deref().unwrap_or_default()).join("/");
    let spec = policy.spec.as_ref();
    let ingress = spec.and_then(|spec| spec.ingress.as_ref()).into_iter().flatten();
    let egress = spec.and_then(|spec| spec.egress.as_ref()).into_iter().flatten();
    let rules =
        ingress.map(|rule| (&rule.from, &rule.ports)).chain(egress.map(|rule| (&rule.to, &rule.ports)));
    let each = rules.flat_map(|(peers, ports)| {
        let blocks = peers.iter().flatten().filter_map(|peer| peer.ip_block.as_ref());
        let blocks = blocks.filter(|own| block(own).is_none()).map(|own| format!("ipBlock {}", own.cidr));
        let ports = ports.iter().flatten().filter(|own| port(own).is_none());
        blocks.chain(ports.map(|own| match &own.port {
            Some(IntOrString::Int(number)) => format!("port {number}"),
            Some(IntOrString::String(name)) => format!("port {name}"),
            None => format!("protocol {}", own.protocol.as_deref().unwrap_or_default()),
        }))
    });
    each.map(|what| format!("network policy {name}: {what} cannot be read: it allows nobody")).collect()
}

/// When everybody may be spoken to, the pods that have a port of the rule by name.
fn named(seen: &Seen, rule: &Rule) -> Vec<policies::Pod> {
    let meant = |own: &NamedPort| {
        let is = |port: &Port| matches!(&port.port, Some(Number::Name(name)) if *name == own.name);
        rule.ports.iter().any(|port| is(port) && port.protocol == own.protocol)
    };
    let pods = seen.pods.values().map(|known| &known.pod).filter(|_| rule.peers.is_none());
    pods.filter(|pod| pod.ports.iter().any(meant)).cloned().collect()
}

fn port(own: &NetworkPolicyPort) -> Option<Port> {
    let number = match &own.port {
        None => None,
        Some(IntOrString::Int(number)) => Some(Number::Number(u16::try_from(*number).ok()?)),
        Some(IntOrString::String(name)) => Some(Number::Name(name.clone())),
    };
    let protocol: Protocol = protocol(own.protocol.as_deref())?;
    Some(Port { protocol, port: number, end_port: own.end_port.and_then(|last| u16::try_from(last).ok()) })
}

/// A selector selects what has these labels; an empty one selects everything.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let holds = selector.match_expressions.iter().flatten().all(|one| {
        let value = labels.get(&one.key);
        let listed = value.is_some_and(|value| one.values.iter().flatten().any(|own| own == value));
        match one.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    equal && holds
}

#[cfg(test)]
mod tests {
    use super::super::tests::pod;
    use super::*;
    use serde_json::json;

    fn seen(policy: serde_json::Value) -> Seen {
        let policy: NetworkPolicy = serde_json::from_value(json!({ "spec": policy })).unwrap();
        let labels = |key: &str| BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
        Seen {
            policies: Arc::new([(("n".to_owned(), "p".to_owned()), Arc::new(policy))].into()),
            namespaces: Arc::new(
                [
                    ((String::new(), "n".to_owned()), labels("own")),
                    ((String::new(), "m".to_owned()), labels("other")),
                ]
                .into(),
            ),
            pods: Arc::new(
                [
                    pod("n", "db", "db", "10.1.0.2", "here"),
                    pod("n", "web", "web", "10.1.0.3", "there"),
                    pod("m", "web", "web", "10.1.0.4", "there"),
                ]
                .into(),
            ),
        }
    }

    fn addresses(rule: &Rule) -> Vec<String> {
        rule.peers.iter().flat_map(|peers| &peers.pods).map(|pod| pod.addresses[0].to_string()).collect()
    }

    #[test]
    fn selectors_become_pods() {
        let of = |from: serde_json::Value| {
            let all = resolve(&seen(
                json!({ "podSelector": { "matchLabels": { "app": "db" } }, "ingress": [{ "from": from, "ports": [{ "port": "http" }] }] }),
            ));
            let policy = all["n/p"].clone();
            assert!(policy.egress.is_none() && policy.pods.len() == 1);
            policy.ingress.unwrap()[0].clone()
        };
        assert_eq!(
            addresses(&of(json!([{ "podSelector": { "matchLabels": { "app": "web" } } }]))),
            ["10.1.0.3"]
        );
        assert_eq!(
            addresses(&of(
                json!([{ "namespaceSelector": { "matchExpressions": [{ "key": "other", "operator": "Exists" }] } }])
            )),
            ["10.1.0.4"]
        );
        assert_eq!(addresses(&of(json!([{ "namespaceSelector": {}, "podSelector": { "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["db"] }] } }]))).len(), 2);
        assert!(of(json!([])).peers.is_none(), "an empty list is everybody");
        let block = of(json!([{ "ipBlock": { "cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"] } }]));
        assert_eq!(block.peers.unwrap().blocks[0].except.len(), 1);
        assert_eq!(block.ports[0].port, Some(Number::Name("http".into())));
    }

    #[test]
    fn a_port_by_name_that_leads_to_everybody_is_that_of_every_pod_that_has_it() {
        let of = |port: &str, to: serde_json::Value| {
            let rule = json!({ "to": to, "ports": [{ "port": port }, { "port": 53, "protocol": "UDP" }] });
            let all =
                resolve(&seen(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] })));
            all["n/p"].egress.as_ref().unwrap()[0].named.len()
        };
        assert_eq!([of("http", json!([])), of("dns", json!([]))], [3, 0]);
        assert_eq!(of("http", json!([{ "podSelector": {} }])), 0, "peers have their own");
        let ingress =
            resolve(&seen(json!({ "podSelector": {}, "ingress": [{ "ports": [{ "port": "http" }] }] })));
        assert!(ingress["n/p"].ingress.as_ref().unwrap()[0].named.is_empty());
    }

    #[test]
    fn what_cannot_be_read_allows_nobody() {
        let of = |from: serde_json::Value, ports: serde_json::Value| {
            let seen = seen(json!({ "podSelector": {}, "ingress": [{ "from": from, "ports": ports }] }));
            let policy = seen.policies.values().next().unwrap().clone();
            (resolve(&seen)["n/p"].ingress.clone().unwrap(), faults(&policy))
        };
        let block = |except: &str| json!([{ "ipBlock": { "cidr": "010.0.0.0/8", "except": [except] } }]);
        let (rules, faults) = of(block("10.001.2.0/24"), json!([]));
        let own = &rules[0].peers.as_ref().unwrap().blocks[0];
        assert_eq!(
            (own.cidr.to_string(), own.except[0].to_string()),
            ("10.0.0.0/8".into(), "10.1.2.0/24".into())
        );
        assert!(faults.is_empty());
        let (rules, faults) = of(block("10.1.2"), json!([]));
        assert!(rules[0].peers.as_ref().unwrap().blocks.is_empty(), "a hole would be open");
        assert_eq!(faults, ["network policy /: ipBlock 010.0.0.0/8 cannot be read: it allows nobody"]);
        let (rules, _) = of(json!([{}]), json!([]));
        assert!(rules[0].peers.as_ref().unwrap().pods.is_empty(), "a peer of another kind");
        let (rules, faults) = of(json!([]), json!([{ "port": 70000 }]));
        assert!(rules.is_empty() && faults.len() == 1, "it would be every port");
        let (rules, faults) = of(json!([]), json!([{ "port": 80 }, { "port": 1, "protocol": "DCCP" }]));
        assert_eq!((rules[0].ports.len(), faults.len()), (1, 1));
    }

    #[test]
    fn a_policy_without_rules_closes() {
        let all = resolve(&seen(json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })));
        let policy = &all["n/p"];
        assert_eq!((policy.ingress.as_deref(), policy.egress.as_deref()), (Some(&[][..]), Some(&[][..])));
        // An empty list of egress rules does not say that the policy is about egress.
        let all = resolve(&seen(json!({ "podSelector": {}, "egress": [] })));
        assert!(all["n/p"].egress.is_none());
        assert!(
            resolve(&seen(json!({ "podSelector": { "matchLabels": { "app": "web" } } }))).is_empty(),
            "none of this node"
        );
    }

    #[test]
    fn peers_have_ports_where_a_rule_names_some() {
        let of = |port: serde_json::Value| {
            let rule = json!({ "to": [{ "namespaceSelector": {} }], "ports": [{ "port": port }] });
            let all =
                resolve(&seen(json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [rule] })));
            let peers = all["n/p"].egress.as_ref().unwrap()[0].peers.clone().unwrap();
            (peers.pods.len(), peers.pods.iter().map(|pod| pod.ports.len()).sum::<usize>())
        };
        assert_eq!((of(json!("http")), of(json!(80))), ((3, 3), (3, 0)));
    }
}
