//! Other resources for a container that runs ("Resize CPU and Memory Resources assigned to Containers" of Kubernetes'
//! documentation, KEP-1287), as functions of values.
//!
//! | | what it is | where it lies |
//! |---|---|---|
//! | wanted | what the pod says now | `spec` at the API server |
//! | allocated | what this node has said yes to ([`super::allocation`]) | the pod's `resources.json` |
//! | given | what a container that runs was given last | its label; `resources.json` when that was later |
//! | in force | what holds | the files of cgroups |
//!
//! The class of a pod never changes, and no limit is taken away again: the API server sees to both.

pub mod told;

use super::{cgroup, qos};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a container asks for and is limited to; none is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Amounts {
    /// Thousandths of a processor.
    pub cpu_request: u64,
    /// Thousandths of a processor.
    pub cpu_limit: u64,
    /// Bytes.
    pub memory_request: u64,
    /// Bytes.
    pub memory_limit: u64,
}

impl Amounts {
    /// Those of a container of a pod; the pod's own limits hold where it has none.
    pub fn of(spec: &PodSpec, container: &Container) -> Self {
        let number =
            |millis: Option<i128>, unit| u64::try_from(millis.unwrap_or(0) / unit).unwrap_or(u64::MAX);
        Self {
            cpu_request: number(qos::request(container, "cpu"), 1),
            cpu_limit: number(qos::bound(spec, container, "cpu"), 1),
            memory_request: number(qos::request(container, "memory"), 1000),
            memory_limit: number(qos::bound(spec, container, "memory"), 1000),
        }
    }

    fn memory(&self) -> (u64, u64) {
        (self.memory_request, self.memory_limit)
    }

    fn cpu(&self) -> (u64, u64) {
        (self.cpu_request, self.cpu_limit)
    }
}

/// As a container's label has it: `CPU-REQUEST/CPU-LIMIT MEMORY-REQUEST/MEMORY-LIMIT`.
impl fmt::Display for Amounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_request, cpu_limit, memory_request, memory_limit } = self;
        write!(out, "{cpu_request}/{cpu_limit} {memory_request}/{memory_limit}")
    }
}

impl FromStr for Amounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split(['/', ' ']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        let mut own = || {
            Some(Self {
                cpu_request: next()?,
                cpu_limit: next()?,
                memory_request: next()?,
                memory_limit: next()?,
            })
        };
        own().ok_or_else(|| format!("{text:?} is no container's resources"))
    }
}

/// How a container that runs comes to other resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It has them.
    Nothing,
    /// While it runs.
    InPlace,
    /// It begins anew with them: its `resizePolicy` says so of one that changes.
    Restart,
}

/// How a container comes from what it was given to what it is to have.
pub fn way(container: &Container, given: &Amounts, wanted: &Amounts) -> Way {
    let changed = [("cpu", given.cpu() != wanted.cpu()), ("memory", given.memory() != wanted.memory())];
    let restarts = |name: &str| {
        let mut policies = container.resize_policy.iter().flatten();
        policies.any(|own| own.resource_name == name && own.restart_policy == "RestartContainer")
    };
    match changed {
        [(_, false), (_, false)] => Way::Nothing,
        changed if changed.iter().any(|(name, is)| *is && restarts(name)) => Way::Restart,
        _ => Way::InPlace,
    }
}

/// A container that runs and may be given something else while it does.
#[derive(Clone, Debug)]
pub struct Running<'a> {
    /// The monitor's ID of it.
    pub id: &'a str,
    /// Its name in the pod.
    pub name: &'a str,
    /// What it was given.
    pub given: Amounts,
    /// What it is to have.
    pub wanted: Amounts,
    /// The memory that it uses.
    pub usage: u64,
}

/// What a cgroup says of itself; `max` is the greatest number, and none what it has no file for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// `memory.max`, in bytes.
    pub memory: Option<u64>,
    /// `cpu.max`, in thousandths of a processor.
    pub cpu: Option<u64>,
    /// `cpu.weight`.
    pub weight: Option<u64>,
    /// `memory.current`, in bytes.
    pub usage: u64,
}

/// One thing to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file of the pod's cgroup gets this text.
    Pod(&'static str, String),
    /// A container gets other memory.
    Memory(String, Amounts),
    /// A container gets other processor time.
    Cpu(String, Amounts),
}

/// What is to be done so that containers that run have what they are to have. A pod's own limit grows before its
/// containers' do and shrinks after them, and while one of them has still to begin anew it does not shrink.
///
/// # Errors
/// Less memory than is used would kill: what is wrong, in the kubelet's words.
pub fn steps(
    spec: &PodSpec,
    pod: &InForce,
    running: &[Running<'_>],
    restarts: bool,
) -> Result<Vec<Step>, String> {
    let limits = cgroup::limits(spec);
    let text = |file: &str| limits.iter().find(|(own, _)| *own == file).map(|(_, text)| text.clone());
    let unit = |millis: Option<i128>, unit: i128| u64::try_from(millis? / unit).ok();
    let memory = unit(qos::pod_limit(spec, "memory"), 1000).map(pages).zip(pod.memory);
    let cpu = unit(qos::pod_limit(spec, "cpu"), 1).map(|own| own.max(LEAST_CPU)).zip(pod.cpu);
    let shrinks = |pair: Option<(u64, u64)>| !restarts && pair.is_some_and(|(wanted, now)| wanted < now);
    refuse(pod, memory.filter(|_| shrinks(memory)).map(|(wanted, _)| wanted), running)?;
    let mut steps = Vec::new();
    for (file, pair, is_memory) in [("memory.max", memory, true), ("cpu.max", cpu, false)] {
        let of_pod = || text(file).map(|text| Step::Pod(file, text));
        if pair.is_some_and(|(wanted, now)| wanted > now) {
            steps.extend(of_pod());
        }
        let of = |own: &Amounts| if is_memory { own.memory() } else { own.cpu() };
        let mut changed: Vec<_> = running.iter().filter(|one| of(&one.given) != of(&one.wanted)).collect();
        // What is given back is there for the others.
        changed.sort_by_key(|one| of(&one.wanted).1 > of(&one.given).1);
        let step = if is_memory { Step::Memory } else { Step::Cpu };
        steps.extend(changed.iter().map(|one| step(one.id.to_owned(), one.wanted)));
        if shrinks(pair) {
            steps.extend(of_pod());
        }
    }
    if let Some(text) = text("cpu.weight").filter(|own| pod.weight.is_some_and(|now| now.to_string() != *own))
    {
        steps.push(Step::Pod("cpu.weight", text));
    }
    Ok(steps)
}

/// Bytes as `memory.max` keeps them: whole pages.
pub fn pages(bytes: u64) -> u64 {
    bytes / 4096 * 4096
}

/// The kernel's least quota, in thousandths of a processor, is the pod's least limit.
const LEAST_CPU: u64 = 10;

fn refuse(pod: &InForce, limit: Option<u64>, running: &[Running<'_>]) -> Result<(), String> {
    let mut wrong = Vec::new();
    if let Some(limit) = limit.filter(|limit| pod.usage >= *limit) {
        wrong.push(format!(
            "attempting to set pod memory limit ({limit}) below current usage ({})",
            pod.usage
        ));
    }
    for one in running {
        let (limit, given) = (one.wanted.memory_limit, one.given.memory_limit);
        if limit != 0 && (given == 0 || limit < given) && one.usage >= limit {
            wrong.push(format!(
                "attempting to set container {:?} memory limit ({limit}) below current usage ({})",
                one.name, one.usage
            ));
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(format!("cannot decrease memory limits: {one}")),
        all => Err(format!("cannot decrease memory limits: [{}]", all.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MI: u64 = 1 << 20;

    fn amounts(cpu: (u64, u64), memory: (u64, u64)) -> Amounts {
        Amounts {
            cpu_request: cpu.0,
            cpu_limit: cpu.1,
            memory_request: memory.0 * MI,
            memory_limit: memory.1 * MI,
        }
    }

    #[test]
    fn resources_are_read_back_from_a_label() {
        let own = amounts((100, 200), (32, 64));
        assert_eq!(own.to_string(), "100/200 33554432/67108864");
        assert_eq!(own.to_string().parse(), Ok(own));
        for text in ["", "1/2", "1/2 3/x", "1/2 3"] {
            assert!(text.parse::<Amounts>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_policy_says_whether_a_container_begins_anew() {
        let container = |policy: serde_json::Value| -> Container {
            serde_json::from_value(json!({ "name": "m", "resizePolicy": policy })).unwrap()
        };
        let memory = json!([{ "resourceName": "memory", "restartPolicy": "RestartContainer" },
                            { "resourceName": "cpu", "restartPolicy": "NotRequired" }]);
        let before = amounts((100, 200), (32, 64));
        let table = [
            (json!([]), before, Way::Nothing),
            (memory.clone(), before, Way::Nothing),
            (json!([]), amounts((100, 300), (64, 64)), Way::InPlace),
            (memory.clone(), amounts((50, 200), (32, 64)), Way::InPlace),
            (memory.clone(), amounts((100, 200), (16, 64)), Way::Restart),
            (memory, amounts((50, 50), (32, 128)), Way::Restart),
        ];
        for (policy, wanted, expected) in table {
            assert_eq!(way(&container(policy.clone()), &before, &wanted), expected, "{policy} {wanted}");
        }
    }

    /// A pod of two containers with these limits of memory in MiB and processors.
    fn spec(memory: [u64; 2], cpu: [&str; 2]) -> PodSpec {
        let container = |which: usize| {
            let all = json!({ "memory": format!("{}Mi", memory[which]), "cpu": cpu[which] });
            let name = ["a", "b"][which];
            json!({ "name": name, "resources": { "limits": all, "requests": all } })
        };
        serde_json::from_value(json!({ "containers": [container(0), container(1)] })).unwrap()
    }

    fn in_force(memory: u64, cpu: u64, usage: u64) -> InForce {
        InForce { memory: Some(memory * MI), cpu: Some(cpu), weight: None, usage: usage * MI }
    }

    /// The steps, in short: `P` and the file, or the container's name and what it gets.
    fn short(before: &PodSpec, after: &PodSpec, pod: InForce, restarts: bool) -> Result<String, String> {
        let running: Vec<_> = [0, 1]
            .map(|which| Running {
                id: &after.containers[which].name,
                name: &after.containers[which].name,
                given: Amounts::of(before, &before.containers[which]),
                wanted: Amounts::of(after, &after.containers[which]),
                usage: 8 * MI,
            })
            .into();
        let words = |step: Step| match step {
            Step::Pod(file, text) => format!("{file}={}", text.split(' ').next().unwrap()),
            Step::Memory(id, own) => format!("{id}:{}Mi", own.memory_limit / MI),
            Step::Cpu(id, own) => format!("{id}:{}m", own.cpu_limit),
        };
        Ok(steps(after, &pod, &running, restarts)?.into_iter().map(words).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_pod_grows_before_its_containers_and_shrinks_after_them() {
        let before = spec([32, 32], ["100m", "100m"]);
        let now = in_force(64, 200, 16);
        let to = |memory, cpu| short(&before, &spec(memory, cpu), now, false).unwrap();
        assert_eq!(to([32, 32], ["100m", "100m"]), "");
        assert_eq!(to([64, 32], ["100m", "100m"]), "memory.max=100663296 a:64Mi");
        assert_eq!(to([32, 16], ["100m", "100m"]), "b:16Mi memory.max=50331648");
        assert_eq!(to([48, 16], ["100m", "100m"]), "b:16Mi a:48Mi");
        assert_eq!(to([32, 32], ["200m", "50m"]), "cpu.max=25000 b:50m a:200m");
        assert_eq!(to([64, 32], ["50m", "100m"]), "memory.max=100663296 a:64Mi a:50m cpu.max=15000");
    }

    #[test]
    fn a_pod_does_not_shrink_below_a_container_that_has_still_to_begin_anew() {
        let (before, after) = (spec([32, 32], ["100m", "100m"]), spec([32, 16], ["100m", "100m"]));
        assert_eq!(short(&before, &after, in_force(64, 200, 63), true).unwrap(), "b:16Mi");
        assert_eq!(short(&after, &after, in_force(64, 200, 16), false).unwrap(), "memory.max=50331648");
    }

    #[test]
    fn a_share_follows_and_what_the_kernel_does_not_have_is_left_out() {
        let after = spec([32, 32], ["200m", "200m"]);
        let none = InForce::default();
        assert_eq!(steps(&after, &none, &[], false), Ok(Vec::new()));
        let weight = cgroup::weight(Some(400)).to_string();
        let pod = InForce { weight: Some(9), ..none };
        assert_eq!(steps(&after, &pod, &[], false), Ok(vec![Step::Pod("cpu.weight", weight)]));
    }

    #[test]
    fn less_memory_than_is_used_is_refused() {
        let (before, after) = (spec([32, 32], ["100m", "100m"]), spec([32, 8], ["100m", "100m"]));
        assert_eq!(
            short(&before, &after, in_force(64, 200, 16), false).unwrap_err(),
            "cannot decrease memory limits: attempting to set container \"b\" memory limit (8388608) below \
             current usage (8388608)"
        );
        let words = short(&before, &after, in_force(64, 200, 40), false).unwrap_err();
        assert!(
            words.starts_with(
                "cannot decrease memory limits: [attempting to set pod memory limit (41943040) below current \
                 usage (41943040), attempting"
            ),
            "{words}"
        );
    }
}
