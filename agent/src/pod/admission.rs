//! Whether a pod fits: the scheduler has said so, but it may not have known all, and static pods never asked it.
//! What is refused has failed, and is not tried again.

use super::{qos, status};
use crate::pod::env::Allocatable;
use k8s_openapi::api::core::v1::Pod;

/// Why a pod is refused, given those that are here: the reason of its status, and the message.
pub fn refusal<'a>(
    pod: &Pod,
    here: impl Iterator<Item = &'a Pod>,
    most: u32,
    node: Allocatable,
) -> Option<(String, String)> {
    let spec = pod.spec.as_ref()?;
    let (mut count, mut cpu, mut memory) = (0_u32, 0_i128, 0_i128);
    let asks = |spec, key| qos::total(spec, |one| qos::request(one, key), false).unwrap_or(0);
    for other in here.filter(|other| other.metadata.uid != pod.metadata.uid && !status::is_terminal(other)) {
        count += 1;
        if let Some(spec) = &other.spec {
            cpu += asks(spec, "cpu");
            memory += asks(spec, "memory");
        }
    }
    if count >= most {
        return Some(("OutOfpods".to_owned(), short("pods", 1, count.into(), most.into())));
    }
    let table = [
        ("cpu", asks(spec, "cpu"), cpu, i128::from(node.millicpu)),
        ("memory", asks(spec, "memory"), memory, i128::from(node.memory) * 1000),
    ];
    table.into_iter().find(|(_, own, used, all)| *own > 0 && own + used > *all).map(
        |(name, own, used, all)| {
            let unit = if name == "memory" { 1000 } else { 1 };
            (format!("OutOf{name}"), short(name, own / unit, used / unit, all / unit))
        },
    )
}

fn short(name: &str, own: i128, used: i128, all: i128) -> String {
    format!("Node didn't have enough resource: {name}, requested: {own}, used: {used}, capacity: {all}")
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
        let node = Allocatable { millicpu: 1000, memory: 1 << 20, disk: 0 };
        let here = [pod("a", "600m", "Running"), pod("b", "900m", "Succeeded"), pod("c", "0", "Pending")];
        let of = |cpu: &str, most| refusal(&pod("new", cpu, "Pending"), here.iter(), most, node);
        assert_eq!(of("400m", 3), None);
        let (reason, message) = of("500m", 3).unwrap();
        assert_eq!(
            (reason.as_str(), message.as_str()),
            ("OutOfcpu", "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000")
        );
        assert_eq!(of("1m", 2).unwrap().0, "OutOfpods");
        assert_eq!(refusal(&pod("a", "1", "Pending"), here.iter(), 3, node), None, "itself is not beside it");
    }
}
