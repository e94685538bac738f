//! Whether a pod fits: the scheduler has said so, but it may not have known all, and static pods never asked it.
//! What is refused has failed, and is not tried again.

use super::next::{self, Kind};
use super::{huge, qos, status};
use crate::node::eviction::{self, Pressures};
use crate::pod::env::Allocatable;
use crate::static_pods::is_static;
use k8s_openapi::api::core::v1::Pod;
use std::net::IpAddr;

/// Why a pod is refused: the reason of its status, and the message.
pub type Refusal = (String, String);

/// Why a pod is refused, given those that are here.
pub fn refusal<'a>(
    pod: &Pod,
    here: impl Iterator<Item = &'a Pod>,
    most: u32,
    node: Allocatable,
) -> Option<Refusal> {
    let spec = pod.spec.as_ref()?;
    let (mut count, mut cpu, mut memory, mut disk) = (0_u32, 0_i128, 0_i128, 0_i128);
    let mut huge = [0_i128; huge::SIZES.len()];
    let mut taken = false;
    let asks = |spec, key| qos::pod_request(spec, key).unwrap_or(0);
    for other in here.filter(|other| other.metadata.uid != pod.metadata.uid && !status::is_terminal(other)) {
        count += 1;
        if let Some(spec) = &other.spec {
            cpu += asks(spec, "cpu");
            memory += asks(spec, "memory");
            disk += asks(spec, "ephemeral-storage");
            huge.iter_mut().zip(&huge::SIZES).for_each(|(used, size)| *used += asks(spec, size.resource));
            taken |= ports(other).any(|theirs| ports(pod).any(|own| own.excludes(&theirs)));
        }
    }
    if count >= most {
        return Some(("OutOfpods".to_owned(), short("pods", 1, count.into(), most.into())));
    }
    let table = [
        ("cpu", asks(spec, "cpu"), cpu, i128::from(node.millicpu)),
        ("memory", asks(spec, "memory"), memory, i128::from(node.memory) * 1000),
        ("ephemeral-storage", asks(spec, "ephemeral-storage"), disk, i128::from(node.disk) * 1000),
    ];
    let sizes = huge::SIZES.iter().zip(huge).zip(node.huge_pages);
    let sizes = sizes
        .map(|((size, used), all)| (size.resource, asks(spec, size.resource), used, i128::from(all) * 1000));
    let short_of = table.into_iter().chain(sizes).find(|(_, own, used, all)| *own > 0 && own + used > *all);
    if let Some((name, own, used, all)) = short_of {
        let unit = if name == "cpu" { 1 } else { 1000 };
        return Some((format!("OutOf{name}"), short(name, own / unit, used / unit, all / unit)));
    }
    // A kubelet's words: whoever made the pod makes it anew.
    let words = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    taken.then(|| ("NodePorts".to_owned(), words.to_owned()))
}

/// A port of the node that leads to a pod, or is one of its own.
struct HostPort<'a> {
    /// None is all of the node's.
    address: Option<IpAddr>,
    protocol: &'a str,
    number: i32,
}

impl HostPort<'_> {
    fn excludes(&self, other: &Self) -> bool {
        let same = |one: IpAddr| other.address.is_none_or(|other| other == one);
        (self.protocol, self.number) == (other.protocol, other.number) && self.address.is_none_or(same)
    }
}

fn ports(pod: &Pod) -> impl Iterator<Item = HostPort<'_>> {
    let running = pod.spec.iter().flat_map(next::containers).filter(|(kind, _)| *kind != Kind::Init);
    running.flat_map(|(_, container)| container.ports.iter().flatten()).filter_map(|port| {
        let address = port.host_ip.as_deref().and_then(|own| own.parse::<IpAddr>().ok());
        Some(HostPort {
            address: address.filter(|own| !own.is_unspecified()),
            protocol: port.protocol.as_deref().unwrap_or("TCP"),
            number: port.host_port.filter(|own| *own > 0)?,
        })
    })
}

/// A pod that the cluster or the node cannot do without: it goes before others.
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || priority(pod) >= eviction::CRITICAL
}

/// A pod's priority; without one it is 0.
pub(super) fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

/// It is for lack of something that a pod is refused: who ends may leave room.
pub fn is_lack(reason: &str) -> bool {
    reason.starts_with("OutOf")
}

/// The words of what there is not enough of.
pub(super) fn short(name: &str, own: i128, used: i128, all: i128) -> String {
    format!("Node didn't have enough resource: {name}, requested: {own}, used: {used}, capacity: {all}")
}

/// Why a pod does not begin on a node that is short of something (`Evicted`): one that asks for no memory while that
/// is short, any while something else is. The cluster's own pods begin.
pub fn refusal_under(pod: &Pod, pressures: Pressures) -> Option<Refusal> {
    let spec = pod.spec.as_ref()?;
    let tolerates = || {
        spec.tolerations.iter().flatten().any(|one| {
            let key = one.key.as_deref().unwrap_or_default();
            (key == "node.kubernetes.io/memory-pressure" || key.is_empty())
                && one.effect.as_deref().is_none_or(|effect| matches!(effect, "" | "NoSchedule"))
        })
    };
    let heedless = qos::class(spec) == qos::Class::BestEffort && !tolerates();
    let all = [
        ("MemoryPressure", pressures.memory && (heedless || pressures.disk || pressures.pids)),
        ("DiskPressure", pressures.disk),
        ("PIDPressure", pressures.pids),
    ];
    let names: Vec<&str> = all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    if is_critical(pod) || names.is_empty() {
        return None;
    }
    Some(("Evicted".to_owned(), format!("The node had condition: [{}].", names.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, cpu: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "uid": uid },
            "spec": { "containers": [{ "name": "m", "resources": { "requests": { "cpu": cpu } } }] },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let node = Allocatable { millicpu: 1000, memory: 1 << 20, ..Allocatable::default() };
        let here = [pod("a", "600m", "Running"), pod("b", "900m", "Succeeded"), pod("c", "0", "Pending")];
        let of = |cpu: &str, most| refusal(&pod("new", cpu, "Pending"), here.iter(), most, node);
        assert_eq!(of("400m", 3), None);
        let (reason, message) = of("500m", 3).unwrap();
        assert_eq!(
            (reason.as_str(), message.as_str()),
            ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000")
        );
        assert_eq!(of("1m", 2).unwrap().0, "OutOfpods");
        let mut large = pod("new", "0", "Pending");
        large.spec.as_mut().unwrap().containers[0].resources =
            Some(serde_json::from_value(json!({ "requests": { "ephemeral-storage": "1Ki" } })).unwrap());
        assert_eq!(
            refusal(&large, here.iter(), 3, Allocatable { disk: 1000, ..node }).unwrap(),
            (
                "OutOfephemeral-storage".to_owned(),
                "Node didn't have enough resource: ephemeral-storage, requested: 1024, used: 0, capacity: 1000"
                    .to_owned()
            )
        );
        assert_eq!(refusal(&pod("a", "1", "Pending"), here.iter(), 3, node), None, "itself is not beside it");
        large.spec.as_mut().unwrap().containers[0].resources =
            Some(serde_json::from_value(json!({ "limits": { "hugepages-2Mi": "4Mi" } })).unwrap());
        let has = |bytes| refusal(&large, here.iter(), 3, Allocatable { huge_pages: [bytes, 0], ..node });
        assert_eq!(has(4 << 20), None);
        assert_eq!(has(2 << 20).unwrap().0, "OutOfhugepages-2Mi");
    }

    #[test]
    fn a_port_of_the_node_is_given_once() {
        let pod = |uid: &str, ports: serde_json::Value| -> Pod {
            let spec = json!({ "containers": [{ "name": "m", "ports": ports }] });
            serde_json::from_value(json!({ "metadata": { "uid": uid }, "spec": spec })).unwrap()
        };
        let node = Allocatable::default();
        let here = [pod("a", json!([{ "containerPort": 80, "hostPort": 8080, "hostIP": "192.0.2.1" }]))];
        let of = |ports| refusal(&pod("new", ports), here.iter(), 9, node).map(|(reason, _)| reason);
        for (own, is) in [
            (json!([{ "containerPort": 1, "hostPort": 8080 }]), true),
            (json!([{ "containerPort": 1, "hostPort": 8080, "hostIP": "0.0.0.0" }]), true),
            (json!([{ "containerPort": 1, "hostPort": 8080, "hostIP": "192.0.2.1" }]), true),
            (json!([{ "containerPort": 1, "hostPort": 8080, "hostIP": "192.0.2.2" }]), false),
            (json!([{ "containerPort": 1, "hostPort": 8080, "protocol": "UDP" }]), false),
            (json!([{ "containerPort": 8080 }]), false),
        ] {
            assert_eq!(of(own.clone()), is.then(|| "NodePorts".to_owned()), "{own}");
        }
    }

    #[test]
    fn a_node_that_is_short_refuses_who_makes_it_worse() {
        let pod = |more: serde_json::Value| -> Pod {
            let mut spec = json!({ "containers": [{ "name": "m" }] });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap()
        };
        let none = Pressures::default();
        let (memory, disk) = (Pressures { memory: true, ..none }, Pressures { disk: true, ..none });
        let asks =
            json!({ "containers": [{ "name": "m", "resources": { "requests": { "memory": "1Mi" } } }] });
        let critical = json!({ "priority": 2_000_001_000 });
        let tolerates =
            json!({ "tolerations": [{ "key": "node.kubernetes.io/memory-pressure", "operator": "Exists" }] });
        let table = [
            (json!({}), none, None),
            (json!({}), memory, Some("MemoryPressure")),
            (asks.clone(), memory, None),
            (tolerates, memory, None),
            (asks, disk, Some("DiskPressure")),
            (critical, disk, None),
        ];
        for (more, pressures, condition) in table {
            let expected =
                condition.map(|name| ("Evicted".to_owned(), format!("The node had condition: [{name}].")));
            assert_eq!(refusal_under(&pod(more.clone()), pressures), expected, "{more} {pressures:?}");
        }
    }
}
