//! The class of a pod's quality of service, and what its cgroup is given ("Pod Quality of Service Classes").

use super::quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};

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

/// What a container asks for or is limited to, in thousandths: of a processor for `cpu`, of a byte for `memory`.
fn amount(container: &Container, limits: bool, key: &str) -> Option<i128> {
    let resources = container.resources.as_ref()?;
    let list = if limits { &resources.limits } else { &resources.requests };
    let own = list.as_ref()?.get(key).and_then(|text| quantity::millis(&text.0));
    own.filter(|amount| *amount != 0)
}

/// The request, which is the limit where only that is given.
pub fn request(container: &Container, key: &str) -> Option<i128> {
    amount(container, false, key).or_else(|| amount(container, true, key))
}

/// The limit.
pub fn limit(container: &Container, key: &str) -> Option<i128> {
    amount(container, true, key)
}

/// A pod's class.
pub fn class(spec: &PodSpec) -> Class {
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let asks = |one: &Container| ["cpu", "memory"].iter().any(|key| request(one, key).is_some());
    let is_full = |one: &Container| {
        ["cpu", "memory"].iter().all(|key| limit(one, key).is_some() && limit(one, key) == request(one, key))
    };
    if all.clone().all(is_full) {
        Class::Guaranteed
    } else if all.any(asks) {
        Class::Burstable
    } else {
        Class::BestEffort
    }
}

/// What a pod's containers ask for or are limited to together: init containers one after the other, the
/// rest, sidecars among them, at once. A limit is none when one of the containers has none.
pub fn total(spec: &PodSpec, of: impl Fn(&Container) -> Option<i128>, all: bool) -> Option<i128> {
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

/// Who is killed first when the node's memory runs out (`oom_score_adj`).
pub fn oom_score_adj(class: Class, container: &Container, capacity: u64) -> i32 {
    match class {
        Class::Guaranteed => -997,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let request = request(container, "memory").unwrap_or(0) / 1000;
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
            oom_score_adj(class(&spec), &spec.containers[0], 1 << 30)
        };
        assert_eq!((of("512Mi"), of("1Gi"), of("1Ki")), (500, 3, 999));
    }
}
