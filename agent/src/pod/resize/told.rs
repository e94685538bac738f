//! What is told of other resources: conditions of the pod (`PodResizePending`, `PodResizeInProgress`), the words of
//! events, and `resources` in the status of containers.

use super::{Amounts, InForce};
use crate::pod::{cgroup, qos, quantity};
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodSpec, PodStatus, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::json;
use std::collections::BTreeMap;

/// Conditions that stand only while there is something to tell.
pub const CONDITIONS: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// A condition that is true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `Deferred`, `Infeasible`, `Error`, or nothing.
    pub reason: String,
    /// In words.
    pub message: String,
    /// The generation of the pod that it is about.
    pub generation: Option<i64>,
    /// Since when it has this reason, in seconds since 1970.
    pub since: i64,
}

/// Both conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resizing {
    /// The node has not said yes.
    pub pending: Option<Said>,
    /// It has, and does it.
    pub progress: Option<Said>,
}

impl Resizing {
    /// As they were told last.
    pub fn of(status: &PodStatus) -> Self {
        let find = |kind: &str| {
            let one =
                status.conditions.iter().flatten().find(|one| one.type_ == kind && one.status == "True")?;
            Some(Said {
                reason: one.reason.clone().unwrap_or_default(),
                message: one.message.clone().unwrap_or_default(),
                generation: one.observed_generation,
                since: one.last_transition_time.as_ref().map_or(0, |time| time.0.as_second()),
            })
        };
        let [pending, progress] = CONDITIONS.map(find);
        Self { pending, progress }
    }

    /// The node does not say yes; says whether that is news.
    pub fn wait(&mut self, reason: &str, message: &str, generation: Option<i64>, now: i64) -> bool {
        let before = self.pending.take();
        let same = before.as_ref().filter(|own| own.reason == reason);
        let since = same.map_or(now, |own| own.since);
        let news = same.is_none_or(|own| own.generation != generation);
        self.pending =
            Some(Said { reason: reason.to_owned(), message: message.to_owned(), generation, since });
        news
    }

    /// The node has said yes to this generation.
    pub fn begin(&mut self, generation: Option<i64>, now: i64) {
        self.pending = None;
        self.progress = Some(Said { generation, since: now, ..Said::default() });
    }

    /// It is being done: what is told already stays.
    pub fn go_on(&mut self, generation: Option<i64>, now: i64) {
        self.progress.get_or_insert(Said { generation, since: now, ..Said::default() });
    }

    /// It cannot be done just now; gives the generation that it is about when that is news.
    pub fn fail(&mut self, message: &str, generation: Option<i64>, now: i64) -> Option<Option<i64>> {
        self.go_on(generation, now);
        let own = self.progress.as_mut()?;
        let news = own.reason != "Error" || own.message != message;
        if own.reason != "Error" {
            own.since = now;
        }
        "Error".clone_into(&mut own.reason);
        message.clone_into(&mut own.message);
        news.then_some(own.generation)
    }

    /// As the pod's status has them.
    pub fn conditions(&self) -> impl Iterator<Item = PodCondition> {
        let both = CONDITIONS.into_iter().zip([&self.pending, &self.progress]);
        both.filter_map(|(kind, said)| {
            let said = said.as_ref()?;
            Some(PodCondition {
                type_: kind.to_owned(),
                status: "True".to_owned(),
                reason: Some(said.reason.clone()).filter(|own| !own.is_empty()),
                message: Some(said.message.clone()).filter(|own| !own.is_empty()),
                last_transition_time: Some(crate::pod::status::time(said.since)),
                observed_generation: said.generation,
                last_probe_time: None,
            })
        })
    }
}

/// The words of an event: what it is, and the resources that it is about, as kubelets write them.
pub fn words(what: &str, pod: &Pod, generation: Option<i64>, error: &str) -> String {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let own = |list: &[k8s_openapi::api::core::v1::Container]| -> Vec<_> {
        list.iter()
            .map(|one| json!({ "name": one.name, "resources": one.resources.clone().unwrap_or_default() }))
            .collect()
    };
    let mut all = json!({ "containers": own(&spec.containers), "generation": generation.unwrap_or(0) });
    if let Some(init) = spec.init_containers.as_deref().filter(|list| !list.is_empty()) {
        all["initContainers"] = own(init).into();
    }
    if !error.is_empty() {
        all["error"] = error.into();
    }
    format!("{what}: {all}")
}

/// `status.resources` of a container that runs: what is allocated, with the numbers that hold in place of it. No file
/// says what memory was asked for, or which of several requests has a weight: that is what was `given`.
pub fn in_force(allocated: &ResourceRequirements, given: &Amounts, now: &InForce) -> ResourceRequirements {
    let mut told = allocated.clone();
    let limited = |file: Option<u64>, given: u64| match file {
        None => given,
        Some(u64::MAX) => 0,
        Some(own) => own,
    };
    let same_weight = now.weight.is_none_or(|own| own == cgroup::weight(Some(given.cpu_request.into())));
    let cpu = if same_weight { given.cpu_request } else { cgroup::request(now.weight.unwrap_or(0)) };
    put(&mut told.limits, "cpu", limited(now.cpu, given.cpu_limit), 10);
    let whole = now.memory == Some(super::pages(given.memory_limit));
    let memory = if whole { given.memory_limit } else { limited(now.memory, given.memory_limit) };
    put(&mut told.limits, "memory", memory, 0);
    put(&mut told.requests, "cpu", cpu, 2);
    put(&mut told.requests, "memory", given.memory_request, 0);
    told
}

/// `status.allocatedResources` of a pod: what it asks for as a whole.
pub fn asked_of_pod(spec: &PodSpec) -> Option<BTreeMap<String, Quantity>> {
    list(spec, qos::pod_request)
}

/// `status.resources` of a pod: what it has as a whole. While it runs, of processors and memory that is what holds for its cgroup,
/// which has limits only when each container has, and else what it says itself.
pub fn of_pod(spec: &PodSpec, runs: bool, now: &InForce) -> ResourceRequirements {
    if !runs {
        let (requests, limits) = (asked_of_pod(spec), list(spec, qos::limits_together));
        return ResourceRequirements { requests, limits, ..ResourceRequirements::default() };
    }
    let own = spec.resources.clone().unwrap_or_default();
    let with = |said: Option<BTreeMap<String, Quantity>>, of: fn(&PodSpec, &str) -> Option<i128>| {
        let mut all = list(spec, of).unwrap_or_default();
        all.retain(|key, _| matches!(key.as_str(), "cpu" | "memory"));
        let others = said.into_iter().flatten().filter(|(key, _)| !matches!(key.as_str(), "cpu" | "memory"));
        all.extend(others);
        Some(all).filter(|all| !all.is_empty())
    };
    let (requests, limits) = (with(own.requests, qos::pod_request), with(own.limits, qos::pod_limit));
    let number = |millis: Option<i128>, unit| u64::try_from(millis.unwrap_or(0) / unit).unwrap_or(u64::MAX);
    let given = Amounts {
        cpu_request: number(qos::pod_request(spec, "cpu"), 1),
        cpu_limit: number(qos::pod_limit(spec, "cpu"), 1),
        memory_request: number(qos::pod_request(spec, "memory"), 1000),
        memory_limit: number(qos::pod_limit(spec, "memory"), 1000),
    };
    in_force(&ResourceRequirements { requests, limits, ..ResourceRequirements::default() }, &given, now)
}

/// What a pod has of each resource that is named in it; none when that is nothing.
fn list(spec: &PodSpec, of: fn(&PodSpec, &str) -> Option<i128>) -> Option<BTreeMap<String, Quantity>> {
    let all = qos::keys(spec).into_iter().filter_map(|key| {
        let millis = u64::try_from(of(spec, key)?).ok()?;
        let text =
            if key == "cpu" { quantity::of_cpu(millis) } else { quantity::of_memory(millis.div_ceil(1000)) };
        Some((key.to_owned(), Quantity(text)))
    });
    Some(all.collect::<BTreeMap<_, _>>()).filter(|all| !all.is_empty())
}

/// Puts a number in place of what a list says, if it says something of that. At or below `least` the kernel
/// makes no difference, so what was asked for stays.
fn put(list: &mut Option<BTreeMap<String, Quantity>>, key: &str, number: u64, least: u64) {
    let Some(own) = list.as_mut().and_then(|list| list.get_mut(key)) else { return };
    let unit = if key == "cpu" { 1 } else { 1000 };
    let asked = quantity::millis(&own.0).map(|millis| millis / unit);
    let (is, was) = (i128::from(number), asked.unwrap_or(0));
    if is == was || (is <= i128::from(least) && was <= i128::from(least)) {
        return;
    }
    own.0 = if key == "cpu" { quantity::of_cpu(number) } else { quantity::of_memory(number) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_reason_stays() {
        let mut own = Resizing::default();
        assert!(own.wait("Deferred", "a", Some(2), 10));
        assert!(!own.wait("Deferred", "b", Some(2), 20), "other words are no news");
        assert!(own.wait("Deferred", "b", Some(3), 30));
        let pending = own.pending.clone().unwrap();
        assert_eq!((pending.since, pending.message.as_str(), pending.generation), (10, "b", Some(3)));
        assert!(own.wait("Infeasible", "c", Some(3), 40));
        own.begin(Some(4), 50);
        assert_eq!(own.pending, None);
        own.go_on(Some(5), 60);
        assert_eq!(own.fail("no", Some(5), 70), Some(Some(4)), "it is about what was begun");
        assert_eq!(own.fail("no", Some(5), 80), None);
        let conditions: Vec<PodCondition> = own.conditions().collect();
        assert_eq!(conditions.len(), 1);
        assert_eq!(
            (conditions[0].reason.as_deref(), conditions[0].observed_generation),
            (Some("Error"), Some(4))
        );
        let status = PodStatus { conditions: Some(conditions), ..PodStatus::default() };
        assert_eq!(Resizing::of(&status), own, "an agent that comes after goes on with it");
    }

    #[test]
    fn what_holds_is_told_in_place_of_what_is_wished_for() {
        let of = |text: serde_json::Value| -> ResourceRequirements { serde_json::from_value(text).unwrap() };
        let allocated = of(json!({
            "limits": { "cpu": "1500m", "memory": "128Mi", "ephemeral-storage": "1Gi" },
            "requests": { "cpu": "1m", "memory": "64Mi" },
        }));
        let given =
            Amounts { cpu_request: 1, cpu_limit: 1000, memory_request: 32 << 20, memory_limit: 64 << 20 };
        let now = InForce { memory: Some(64 << 20), cpu: Some(1000), weight: Some(1), usage: 0 };
        let expected = of(json!({
            "limits": { "cpu": "1", "memory": "64Mi", "ephemeral-storage": "1Gi" },
            "requests": { "cpu": "1m", "memory": "32Mi" },
        }));
        assert_eq!(in_force(&allocated, &given, &now), expected);
        assert_eq!(
            in_force(&allocated, &given, &InForce::default()),
            expected,
            "without files, what was given"
        );
        let odd = of(json!({ "limits": { "memory": "100M" } }));
        let given = Amounts { memory_limit: 100_000_000, ..given };
        let now = InForce { memory: Some(99_999_744), ..now };
        assert_eq!(in_force(&odd, &given, &now), odd, "the kernel keeps whole pages");
        let none = of(json!({}));
        assert_eq!(in_force(&none, &given, &now), none);
    }

    #[test]
    fn a_pod_as_a_whole_has_what_its_containers_have() {
        let spec: PodSpec = serde_json::from_value(json!({ "containers": [
            { "name": "a", "resources": {
                "requests": { "cpu": "250m", "memory": "64Mi", "ephemeral-storage": "1Gi" },
                "limits": { "cpu": "500m", "memory": "128Mi" } } },
            { "name": "b", "resources": { "requests": { "cpu": "1" }, "limits": { "memory": "1Gi" } } },
        ] }))
        .unwrap();
        let asked = json!({ "cpu": "1250m", "memory": "1088Mi", "ephemeral-storage": "1Gi" });
        assert_eq!(json!(asked_of_pod(&spec)), asked, "what is limited alone is asked for");
        let now = InForce { memory: Some(1152 << 20), cpu: Some(u64::MAX), weight: Some(116), usage: 0 };
        let limits = json!({ "cpu": "500m", "memory": "1152Mi" });
        assert_eq!(json!(of_pod(&spec, false, &now)), json!({ "requests": asked, "limits": limits }));
        let told = json!(of_pod(&spec, true, &now));
        assert_eq!(told["limits"], json!({ "memory": "1152Mi" }), "one of them has no limit of processors");
        assert_eq!(told["requests"]["memory"], "1088Mi");
        assert_eq!(of_pod(&PodSpec::default(), true, &now), ResourceRequirements::default());
    }

    #[test]
    fn events_say_which_resources() {
        let pod: Pod = serde_json::from_value(json!({ "spec": { "containers": [
            { "name": "m", "resources": { "limits": { "cpu": "1" } } },
        ] } }))
        .unwrap();
        assert_eq!(
            words("Pod resize started", &pod, Some(3), ""),
            r#"Pod resize started: {"containers":[{"name":"m","resources":{"limits":{"cpu":"1"}}}],"generation":3}"#
        );
        assert!(words("x", &pod, None, "why").ends_with(r#""error":"why","generation":0}"#));
    }
}
