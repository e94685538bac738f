//! The class of a pod's quality of service, and what its cgroup is given ("Pod Quality of Service Classes").

use super::quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use std::collections::BTreeSet;

/// Its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Every container has a limit of memory and processors that is all it asks for.
    Guaranteed,
    /// Some container asks for something.
    Burstable,
    /// None does.
    BestEffort,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Guaranteed, Self::Burstable, Self::BestEffort];

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// The cgroup of its pods, below the hierarchy.
    pub fn cgroup(self) -> &'static str {
        match self {
            Self::Guaranteed => "kubepods",
            Self::Burstable => "kubepods/burstable",
            Self::BestEffort => "kubepods/besteffort",
        }
    }
}

/// What is asked for or is the limit, in thousandths: of a processor for `cpu`, of a byte for the others.
fn amount(resources: Option<&ResourceRequirements>, limits: bool, key: &str) -> Option<i128> {
    let list = if limits { &resources?.limits } else { &resources?.requests };
    let own = list.as_ref()?.get(key).and_then(|text| quantity::millis(&text.0));
    own.filter(|amount| *amount != 0)
}

/// The request, which is the limit where only that is given; one of zero asks for nothing, whatever the limit.
fn asked(resources: Option<&ResourceRequirements>, key: &str) -> Option<i128> {
    amount(resources, !is_said(resources, key), key)
}

/// It says what it asks for.
fn is_said(resources: Option<&ResourceRequirements>, key: &str) -> bool {
    resources.and_then(|own| own.requests.as_ref()).is_some_and(|requests| requests.contains_key(key))
}

/// A container's request.
pub fn request(container: &Container, key: &str) -> Option<i128> {
    asked(container.resources.as_ref(), key)
}

/// A container's own limit.
pub fn limit(container: &Container, key: &str) -> Option<i128> {
    amount(container.resources.as_ref(), true, key)
}

/// The limit that holds for a container: its own, else its pod's.
pub fn bound(spec: &PodSpec, container: &Container, key: &str) -> Option<i128> {
    limit(container, key).or_else(|| amount(spec.resources.as_ref(), true, key))
}

/// What a container's share of the processors goes by: its request, or the limit that holds for it.
pub fn share(spec: &PodSpec, container: &Container) -> i128 {
    let own = request(container, "cpu");
    let is_said = is_said(container.resources.as_ref(), "cpu");
    own.or_else(|| bound(spec, container, "cpu").filter(|_| !is_said)).unwrap_or(0)
}

/// What a pod asks for: by its own word (`spec.resources`), else all its containers together; and its overhead.
pub fn pod_request(spec: &PodSpec, key: &str) -> Option<i128> {
    let own = asked(spec.resources.as_ref(), key);
    with_overhead(spec, key, own.or_else(|| total(spec, |one| request(one, key), false)))
}

/// The pod's limit: its own, else that of its containers together when each has one; and its overhead.
pub fn pod_limit(spec: &PodSpec, key: &str) -> Option<i128> {
    let own = amount(spec.resources.as_ref(), true, key);
    let own = own.or_else(|| total(spec, |one| limit(one, key), true))?;
    with_overhead(spec, key, Some(own))
}

/// The limits of a pod's containers together, of those that have one.
pub fn sum_of_limits(spec: &PodSpec, key: &str) -> Option<i128> {
    total(spec, |one| limit(one, key), false)
}

/// All that a pod is limited to together, whether or not each of its containers is; and its overhead.
pub fn limits_together(spec: &PodSpec, key: &str) -> Option<i128> {
    let own = amount(spec.resources.as_ref(), true, key).or_else(|| sum_of_limits(spec, key))?;
    with_overhead(spec, key, Some(own))
}

/// The names of resources that a pod or one of its containers asks for or is limited to.
pub fn keys(spec: &PodSpec) -> BTreeSet<&str> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let all = containers.filter_map(|one| one.resources.as_ref()).chain(&spec.resources);
    let lists = all.flat_map(|own| [&own.requests, &own.limits]).chain([&spec.overhead]);
    lists.flatten().flat_map(|list| list.keys().map(String::as_str)).collect()
}

fn with_overhead(spec: &PodSpec, key: &str, own: Option<i128>) -> Option<i128> {
    let overhead = spec.overhead.as_ref().and_then(|all| quantity::millis(&all.get(key)?.0)).unwrap_or(0);
    Some(own.unwrap_or(0) + overhead).filter(|amount| *amount != 0)
}

/// A pod's class: by its own resources when it has some, else by those of its containers.
pub fn class(spec: &PodSpec) -> Class {
    const KEYS: [&str; 2] = ["cpu", "memory"];
    type Own<'a> = Option<&'a ResourceRequirements>;
    let asks =
        |own: &Own<'_>| KEYS.iter().any(|key| asked(*own, key).or_else(|| amount(*own, true, key)).is_some());
    let is_full = |own: &Own<'_>| {
        KEYS.iter()
            .all(|key| amount(*own, true, key).is_some() && amount(*own, true, key) == asked(*own, key))
    };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let all: Vec<Own<'_>> = match spec.resources.as_ref() {
        pod if asks(&pod) => vec![pod],
        _ => containers.map(|one| one.resources.as_ref()).collect(),
    };
    if all.iter().all(is_full) {
        Class::Guaranteed
    } else if all.iter().any(asks) {
        Class::Burstable
    } else {
        Class::BestEffort
    }
}

/// What a pod's containers ask for or are limited to together: init containers one after the other, the
/// rest, sidecars among them, at once. A limit is none when one of the containers has none.
fn total(spec: &PodSpec, of: impl Fn(&Container) -> Option<i128>, all: bool) -> Option<i128> {
    let sidecar = |one: &&Container| one.restart_policy.as_deref() == Some("Always");
    let init = spec.init_containers.as_deref().unwrap_or_default();
    if all && init.iter().chain(&spec.containers).any(|one| of(one).is_none()) {
        return None;
    }
    let mut sidecars = 0;
    let mut most = 0;
    for one in init {
        let own = of(one).unwrap_or(0);
        if sidecar(&one) {
            sidecars += own;
            most = most.max(sidecars);
        } else {
            most = most.max(sidecars + own);
        }
    }
    let main: i128 = spec.containers.iter().filter_map(&of).sum();
    let most = most.max(sidecars + main);
    (most != 0).then_some(most)
}

/// `cpu.weight`'s ancestor: 1024 shares a processor, 2 at least.
pub fn shares(millicpu: i128) -> u64 {
    u64::try_from(millicpu * 1024 / 1000).unwrap_or(2).clamp(2, 262_144)
}

/// Who is killed first when the node's memory runs out (`oom_score_adj`). What a pod asks for beyond its containers
/// is theirs in equal parts.
pub fn oom_score_adj(spec: &PodSpec, container: &Container, capacity: u64) -> i32 {
    // The node's own come last, whatever they ask for.
    if spec.priority_class_name.as_deref() == Some("system-node-critical") {
        return -997;
    }
    match class(spec) {
        Class::Guaranteed => -997,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let together = total(spec, |one| request(one, "memory"), false).unwrap_or(0);
            let asked = pod_request(spec, "memory").unwrap_or(0);
            let part = (asked - together).max(0) / spec.containers.len().max(1) as i128;
            let of = |one: &Container| request(one, "memory").unwrap_or(0);
            let mut own = of(container);
            if container.restart_policy.as_deref() == Some("Always")
                && spec.init_containers.iter().flatten().any(|init| init.name == container.name)
            {
                // A sidecar is not killed before those that need it.
                own = own.max(spec.containers.iter().map(of).min().unwrap_or(0));
            }
            let request = (own + part) / 1000;
            let share = 1000 - request * 1000 / i128::from(capacity.max(1));
            i32::try_from(share).unwrap_or(999).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(text: serde_json::Value) -> PodSpec {
        serde_json::from_value(text).unwrap()
    }

    fn resources(limits: serde_json::Value, requests: serde_json::Value) -> PodSpec {
        spec(
            json!({ "containers": [{ "name": "a", "resources": { "limits": limits, "requests": requests } }] }),
        )
    }

    #[test]
    fn a_class_follows_from_all_containers() {
        let full = json!({ "cpu": "1", "memory": "1Gi" });
        assert_eq!(class(&resources(full.clone(), full.clone())), Class::Guaranteed);
        assert_eq!(class(&resources(full.clone(), json!({}))), Class::Guaranteed);
        assert_eq!(class(&resources(full, json!({ "cpu": "500m" }))), Class::Burstable);
        assert_eq!(class(&resources(json!({}), json!({ "memory": "1" }))), Class::Burstable);
        assert_eq!(class(&resources(json!({}), json!({}))), Class::BestEffort);
    }

    #[test]
    fn a_request_of_zero_asks_for_nothing_whatever_the_limit() {
        let none = json!({ "cpu": "0", "memory": "0" });
        let spec = resources(json!({ "cpu": "1", "memory": "1Gi" }), none);
        assert_eq!(class(&spec), Class::Burstable);
        assert_eq!((pod_request(&spec, "cpu"), pod_limit(&spec, "cpu")), (None, Some(1000)));
        assert_eq!((share(&spec, &spec.containers[0]), share(&spec, &Container::default())), (0, 0));
        assert_eq!(oom_score_adj(&spec, &spec.containers[0], 1 << 30), 999);
    }

    #[test]
    fn who_does_not_ask_has_a_share_by_the_pods_limit() {
        let spec = spec(json!({
            "resources": { "limits": { "cpu": "2" } },
            "containers": [
                { "name": "a", "resources": { "requests": { "cpu": "1" } } },
                { "name": "b" },
                { "name": "c", "resources": { "requests": { "cpu": "0" } } },
            ],
        }));
        let shares = [0, 1, 2].map(|which| share(&spec, &spec.containers[which]));
        assert_eq!(shares, [1000, 2000, 0]);
        assert_eq!(request(&spec.containers[1], "cpu"), None, "it is not told as its request");
    }

    #[test]
    fn init_containers_run_one_after_the_other() {
        let spec = spec(json!({
            "initContainers": [
                { "name": "a", "resources": { "requests": { "cpu": "3" } } },
                { "name": "s", "restartPolicy": "Always", "resources": { "requests": { "cpu": "1" } } },
                { "name": "b", "resources": { "requests": { "cpu": "1" } } },
            ],
            "containers": [{ "name": "m", "resources": { "requests": { "cpu": "500m" } } }],
        }));
        assert_eq!(total(&spec, |one| request(one, "cpu"), false), Some(3000));
        assert_eq!(total(&spec, |one| limit(one, "cpu"), true), None);
        assert_eq!((shares(1000), shares(0), shares(1)), (1024, 2, 2));
    }

    #[test]
    fn who_asks_for_more_is_spared_longer() {
        let of = |memory: &str| {
            let spec = resources(json!({}), json!({ "memory": memory }));
            oom_score_adj(&spec, &spec.containers[0], 1 << 30)
        };
        assert_eq!((of("512Mi"), of("1Gi"), of("1Ki")), (500, 3, 999));
        let mut spec = spec(json!({
            "initContainers": [{ "name": "s", "restartPolicy": "Always" }],
            "containers": [{ "name": "a", "resources": { "requests": { "memory": "512Mi" } } }],
        }));
        let sidecar = spec.init_containers.as_ref().unwrap()[0].clone();
        assert_eq!(oom_score_adj(&spec, &sidecar, 1 << 30), 500, "as those that need it");
        spec.priority_class_name = Some("system-node-critical".to_owned());
        assert_eq!(oom_score_adj(&spec, &sidecar, 1 << 30), -997);
    }

    #[test]
    fn a_pods_own_word_comes_before_its_containers() {
        let spec = spec(json!({
            "resources": { "requests": { "cpu": "1", "memory": "512Mi" }, "limits": { "memory": "1Gi" } },
            "overhead": { "cpu": "100m" },
            "containers": [
                { "name": "a", "resources": { "requests": { "cpu": "200m" }, "limits": { "memory": "64Mi" } } },
                { "name": "b" },
            ],
        }));
        assert_eq!(class(&spec), Class::Burstable);
        assert_eq!(pod_request(&spec, "cpu"), Some(1100));
        assert_eq!(pod_limit(&spec, "memory"), Some((1 << 30) * 1000));
        assert_eq!(pod_limit(&spec, "cpu"), None);
        let bounds = [0, 1].map(|which| bound(&spec, &spec.containers[which], "memory").unwrap() / 1000);
        assert_eq!(bounds, [64 << 20, 1 << 30]);
        // 64 MiB and half of what is left of 512: 288, of 1024.
        assert_eq!(oom_score_adj(&spec, &spec.containers[0], 1 << 30), 719);
    }

    #[test]
    fn a_pod_whose_own_limits_are_its_requests_is_guaranteed() {
        let full = json!({ "cpu": "1", "memory": "1Gi" });
        let of = |requests| {
            class(&spec(json!({
                "resources": { "limits": full, "requests": requests }, "containers": [{ "name": "a" }],
            })))
        };
        assert_eq!(of(full.clone()), Class::Guaranteed);
        assert_eq!(of(json!({ "cpu": "500m" })), Class::Burstable);
    }
}
