//! What this node has said yes to: the resources that each of its pods may have, and who waits for more.
//!
//! Whoever asks for less, or for no more, gets it. Of those that ask for more than there is room for, the first in line
//! that fits gets it: by priority, then the class, then who has waited the longest (KEP-1287). A pod may be told of
//! room that one before it in line needs: it waits on, and the other takes it when its own turn comes.

use super::affinity::Marks;
use super::{admission, cgroup, qos, quantity, status};
use crate::pod::env::Allocatable;
use crate::say::say;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A pod's resources as they were allocated: its own, and its containers' by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Allocation {
    pod: Option<ResourceRequirements>,
    containers: BTreeMap<String, ResourceRequirements>,
}

impl Allocation {
    /// What a pod says.
    pub fn of(spec: &PodSpec) -> Self {
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let own = all.map(|one| (one.name.clone(), one.resources.clone().unwrap_or_default()));
        Self { pod: spec.resources.clone(), containers: own.collect() }
    }

    /// The pod with these in place of what it says; the same one when that is alike.
    pub fn on(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        let Some(spec) = pod.spec.as_ref().filter(|spec| !self.is_of(spec)) else { return pod.clone() };
        let mut spec = spec.clone();
        spec.resources.clone_from(&self.pod);
        for one in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
            if let Some(own) = self.containers.get(&one.name) {
                one.resources = Some(own.clone());
            }
        }
        Arc::new(Pod { spec: Some(spec), ..Pod::clone(pod) })
    }

    /// The pod says the same, whatever words it has for it.
    pub fn is_of(&self, spec: &PodSpec) -> bool {
        let none = ResourceRequirements::default();
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        alike(self.pod.as_ref().unwrap_or(&none), spec.resources.as_ref().unwrap_or(&none))
            && all.into_iter().all(|one| {
                let own = self.containers.get(&one.name);
                own.is_none_or(|own| alike(own, one.resources.as_ref().unwrap_or(&none)))
            })
    }
}

fn alike(one: &ResourceRequirements, other: &ResourceRequirements) -> bool {
    type List = Option<BTreeMap<String, Quantity>>;
    let numbers = |list: &List| -> BTreeMap<String, Option<i128>> {
        list.iter().flatten().map(|(key, own)| (key.clone(), quantity::millis(&own.0))).collect()
    };
    numbers(&one.limits) == numbers(&other.limits) && numbers(&one.requests) == numbers(&other.requests)
}

/// What the node says to a pod that wants other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has them.
    Yes,
    /// There may be room later, in words.
    Deferred(String),
    /// Never on this node, in words.
    Infeasible(String),
}

/// A pod that wants other resources.
#[derive(Clone, Debug)]
struct Wish {
    pod: Arc<Pod>,
    /// Since when it waits, in seconds since 1970; none before the first no.
    since: Option<i64>,
}

/// The node's pods with what they have, and the wishes of those that want something else, by UID.
#[derive(Clone, Debug, Default)]
pub struct Allocations {
    pods: BTreeMap<String, Arc<Pod>>,
    wishes: BTreeMap<String, Wish>,
    /// UIDs of those that end so that another has room.
    leaving: BTreeSet<String>,
}

const KEYS: [&str; 2] = ["cpu", "memory"];

/// What a pod asks for of each, in thousandths of a processor and bytes.
fn asked(pod: &Pod) -> [i128; 2] {
    let of = |key| pod.spec.as_ref().and_then(|spec| qos::pod_request(spec, key)).unwrap_or(0);
    [of("cpu"), of("memory") / 1000]
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

impl Allocations {
    /// Lets a pod begin, or says why not ([`admission::refusal`]).
    pub fn admit(&mut self, pod: &Arc<Pod>, most: u32, node: Allocatable) -> Option<(String, String)> {
        let refusal = admission::refusal(pod, self.pods.values().map(|one| &**one), most, node);
        if refusal.is_none() {
            self.put(pod);
        }
        refusal
    }

    /// Who ends so that a pod has room that others cannot keep it from: as few as it takes, by class, then by priority.
    /// Nobody, when those that end already are enough; none, when all would not be.
    fn leave(&mut self, pod: &Arc<Pod>, most: u32, node: Allocatable) -> Option<Vec<Arc<Pod>>> {
        let refusal = |out: &BTreeSet<String>| {
            let here = self.pods.iter().filter(|(uid, _)| !out.contains(*uid));
            admission::refusal(pod, here.map(|(_, one)| &**one), most, node)
        };
        let mut line: Vec<(&String, &Arc<Pod>)> = self
            .pods
            .iter()
            .filter(|(uid, one)| !self.leaving.contains(*uid) && !admission::is_critical(one))
            .collect();
        line.sort_by_key(|(_, one)| {
            let class = one.spec.as_ref().map_or(qos::Class::BestEffort, qos::class);
            (Reverse(class as u8), admission::priority(one), Reverse(asked(one)))
        });
        let mut out = self.leaving.clone();
        let mut chosen = Vec::new();
        for (uid, one) in line {
            if !refusal(&out).is_some_and(|(reason, _)| admission::is_lack(&reason)) {
                break;
            }
            out.insert(uid.clone());
            chosen.push((uid.clone(), one.clone()));
        }
        if refusal(&out).is_some() {
            return None;
        }
        // The dearest stays, if it is not needed.
        for at in (0..chosen.len()).rev() {
            out.remove(&chosen[at].0);
            if refusal(&out).is_some() {
                out.insert(chosen[at].0.clone());
            } else {
                chosen.remove(at);
            }
        }
        self.leaving = out;
        Some(chosen.into_iter().map(|(_, one)| one).collect())
    }

    /// A pod has this much.
    pub fn put(&mut self, pod: &Arc<Pod>) {
        if !status::is_terminal(pod) {
            self.pods.insert(uid(pod), pod.clone());
        }
    }

    /// A pod has nothing any more; says whether it had.
    pub fn remove(&mut self, uid: &str) -> bool {
        self.leaving.remove(uid);
        let (had, waited) = (self.pods.remove(uid).is_some(), self.wishes.remove(uid).is_some());
        had || waited
    }

    /// Thousandths of a processor that pods of the class `Burstable` ask for together.
    fn burstable(&self) -> i128 {
        let of_class =
            |pod: &&Arc<Pod>| pod.spec.as_ref().is_some_and(|spec| qos::class(spec) == qos::Class::Burstable);
        self.pods.values().filter(of_class).map(|pod| asked(pod)[0]).sum()
    }

    /// A pod wants nothing but what it has; says whether it did.
    pub fn contented(&mut self, uid: &str) -> bool {
        self.wishes.remove(uid).is_some()
    }

    /// A pod wants what it says now in place of what it has, and gets it when it can be had; says, too, whether that
    /// leaves room for others.
    pub fn resize(&mut self, pod: &Arc<Pod>, since: Option<i64>, node: Allocatable) -> (Answer, bool) {
        let uid = uid(pod);
        let all = [i128::from(node.millicpu), i128::from(node.memory)];
        let before = self.pods.get(&uid).map_or([0; 2], |own| asked(own));
        let wanted = asked(pod);
        for (key, ((wanted, before), all)) in KEYS.iter().zip(wanted.iter().zip(before).zip(all)) {
            if *wanted > all && *wanted > before {
                self.wishes.remove(&uid);
                let words =
                    format!("Node didn't have enough capacity: {key}, requested: {wanted}, capacity: {all}");
                return (Answer::Infeasible(words), false);
            }
        }
        self.wishes.insert(uid.clone(), Wish { pod: pod.clone(), since });
        match self.in_line(&uid, all) {
            Ok(()) => {
                self.wishes.remove(&uid);
                self.put(pod);
                (Answer::Yes, wanted.iter().zip(before).any(|(wanted, before)| *wanted < before))
            }
            Err(words) => (Answer::Deferred(words), false),
        }
    }

    /// Gives each wish that comes before one what it wants, and then that one.
    fn in_line(&self, uid: &str, all: [i128; 2]) -> Result<(), String> {
        let mut have: BTreeMap<&str, [i128; 2]> =
            self.pods.iter().map(|(uid, pod)| (uid.as_str(), asked(pod))).collect();
        let mut line: Vec<_> = self.wishes.iter().collect();
        line.sort_by_key(|(uid, wish)| {
            let before = have.get(uid.as_str()).copied().unwrap_or_default();
            let more = asked(&wish.pod).iter().zip(before).any(|(wanted, before)| *wanted > before);
            let spec = wish.pod.spec.as_ref();
            let priority = spec.and_then(|spec| spec.priority).unwrap_or(0);
            let guaranteed = spec.is_some_and(|spec| qos::class(spec) == qos::Class::Guaranteed);
            (more, Reverse(priority), !guaranteed, wish.since.unwrap_or(i64::MAX))
        });
        for (other, wish) in line {
            let (before, wanted) = (have.get(other.as_str()).copied().unwrap_or_default(), asked(&wish.pod));
            let short = KEYS.iter().enumerate().find_map(|(which, key)| {
                let used: i128 =
                    have.iter().filter(|(uid, _)| *uid != other).map(|(_, own)| own[which]).sum();
                let fits = wanted[which] <= before[which] || used + wanted[which] <= all[which];
                (!fits).then(|| admission::short(key, wanted[which], used, all[which]))
            });
            match short {
                None => drop(have.insert(other, wanted)),
                Some(words) if other == uid => return Err(words),
                Some(_) => {}
            }
            if other == uid {
                break;
            }
        }
        Ok(())
    }
}

/// This node by its name, by the API server's word, as [`crate::pods::mirror`] gives objects: its namespace is empty.
pub type OwnNode = Arc<BTreeMap<(String, String), Arc<Node>>>;

/// The allocations, shared by all pods' workers.
#[derive(Debug, Default)]
pub struct Shared {
    all: Mutex<Allocations>,
    freed: watch::Sender<()>,
    /// The node, by the API server's word.
    pub node: watch::Sender<OwnNode>,
    leaving: watch::Sender<BTreeSet<String>>,
}

impl Shared {
    /// To look and to change.
    pub fn all(&self) -> MutexGuard<'_, Allocations> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the cluster has put on the node; none before the API server has told of it.
    pub fn marks(&self) -> Option<Marks> {
        self.node.borrow().values().next().map(|node| Marks::of(node))
    }

    /// Shares the processors out by what is allocated by now.
    pub fn weigh(&self) {
        let burstable = self.all().burstable();
        if let Err(reason) = cgroup::weigh(qos::Class::Burstable, burstable) {
            say(format_args!("{reason}"));
        }
    }

    /// Has others end so that a pod has room, which asks again then; gives those that do from now on, and none when that
    /// leaves no room.
    pub fn make_room(&self, pod: &Arc<Pod>, most: u32, node: Allocatable) -> Option<Vec<Arc<Pod>>> {
        let mut all = self.all();
        let chosen = all.leave(pod, most, node)?;
        self.leaving.send_replace(all.leaving.clone());
        Some(chosen)
    }

    /// Hears of the UIDs of pods that end so that another has room.
    pub fn leaving(&self) -> watch::Receiver<BTreeSet<String>> {
        self.leaving.subscribe()
    }

    /// Tells those that wait that there may be room.
    pub fn tell(&self) {
        self.freed.send_replace(());
    }

    /// Hears of room.
    pub fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NODE: Allocatable = Allocatable { millicpu: 1000, memory: 1 << 30, disk: 0, huge_pages: [0, 0] };

    fn pod(uid: &str, cpu: &str, more: serde_json::Value) -> Arc<Pod> {
        let mut spec = json!({ "containers": [
            { "name": "m", "resources": { "requests": { "cpu": cpu, "memory": "1Mi" } } },
        ] });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Arc::new(serde_json::from_value(json!({ "metadata": { "uid": uid }, "spec": spec })).unwrap())
    }

    fn plain(uid: &str, cpu: &str) -> Arc<Pod> {
        pod(uid, cpu, json!({}))
    }

    fn with(pods: &[Arc<Pod>]) -> Allocations {
        let mut all = Allocations::default();
        pods.iter().for_each(|pod| assert_eq!(all.admit(pod, 10, NODE), None));
        all
    }

    #[test]
    fn what_was_allocated_stands_in_place_of_what_is_wanted() {
        let (before, after) = (plain("a", "500m"), plain("a", "0.7"));
        let own = Allocation::of(before.spec.as_ref().unwrap());
        assert!(Arc::ptr_eq(&own.on(&before), &before));
        assert!(own.is_of(plain("a", "0.5").spec.as_ref().unwrap()), "other words for the same");
        assert_eq!(own.on(&after).spec, before.spec);
        let kept: Allocation = serde_json::from_str(&serde_json::to_string(&own).unwrap()).unwrap();
        assert_eq!(kept, own);
    }

    #[test]
    fn more_is_given_when_there_is_room() {
        let mut all = with(&[plain("a", "400m"), plain("b", "400m")]);
        assert_eq!(all.resize(&plain("a", "600m"), None, NODE), (Answer::Yes, false));
        let (answer, _) = all.resize(&plain("b", "500m"), None, NODE);
        let words = "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000";
        assert_eq!(answer, Answer::Deferred(words.to_owned()));
        let (answer, _) = all.resize(&plain("b", "1001m"), None, NODE);
        let words = "Node didn't have enough capacity: cpu, requested: 1001, capacity: 1000";
        assert_eq!(answer, Answer::Infeasible(words.to_owned()));
        assert_eq!(all.resize(&plain("a", "500m"), None, NODE), (Answer::Yes, true), "less leaves room");
        assert_eq!(all.resize(&plain("b", "500m"), Some(1), NODE), (Answer::Yes, false));
        assert_eq!(all.admit(&plain("c", "1m"), 10, NODE).unwrap().0, "OutOfcpu");
        assert!(all.remove("a") && !all.remove("a"));
        assert_eq!(all.admit(&plain("c", "1m"), 10, NODE), None);
    }

    #[test]
    fn the_cheapest_leave_room_for_the_clusters_own() {
        let full = json!({ "cpu": "300m", "memory": "1Mi" });
        let full = json!({ "containers": [{ "name": "m", "resources": { "limits": full } }] });
        let pods = [
            pod("guaranteed", "0", full),
            pod("high", "300m", json!({ "priority": 5 })),
            plain("low", "200m"),
            pod("own", "200m", json!({ "priority": 2_000_000_000 })),
            pod("none", "0", json!({ "containers": [{ "name": "m" }] })),
        ];
        let leave = |cpu: &str, most| {
            let mut all = with(&pods);
            let new = pod("new", cpu, json!({ "priority": 2_000_000_000 }));
            let chosen = all.leave(&new, most, NODE);
            assert_eq!(
                all.leave(&new, most, NODE).map(|own| own.len()),
                chosen.as_ref().map(|_| 0),
                "they go"
            );
            chosen.map(|own| own.iter().map(|one| uid(one)).collect::<Vec<_>>())
        };
        assert_eq!(leave("0", 5).unwrap(), ["none"], "who asks for nothing makes one pod less");
        assert_eq!(leave("100m", 9).unwrap(), ["low"]);
        assert_eq!(leave("300m", 9).unwrap(), ["high"], "and the other one is not needed then");
        assert_eq!(leave("500m", 9).unwrap(), ["low", "high"]);
        assert_eq!(leave("800m", 9).unwrap(), ["low", "high", "guaranteed"]);
        assert_eq!(leave("900m", 9), None);
    }

    #[test]
    fn a_node_that_has_too_little_lets_pods_ask_for_less() {
        let small = Allocatable { millicpu: 500, ..NODE };
        let mut all = with(&[plain("a", "400m"), plain("b", "400m")]);
        assert_eq!(all.resize(&plain("a", "300m"), None, small), (Answer::Yes, true));
        assert_eq!(all.resize(&plain("b", "300m"), None, small), (Answer::Yes, true));
    }

    #[test]
    fn who_waits_gets_room_by_priority_class_and_time() {
        let full = |cpu: &str| {
            let all = json!({ "cpu": cpu, "memory": "1Mi" });
            json!({ "containers": [{ "name": "m", "resources": { "limits": all, "requests": all } }] })
        };
        let high = |cpu: &str| pod("high", cpu, json!({ "priority": 5 }));
        let guaranteed = |cpu: &str| pod("guaranteed", cpu, full(cpu));
        let mut all = with(&[
            plain("old", "100m"),
            plain("young", "100m"),
            high("100m"),
            guaranteed("100m"),
            plain("other", "600m"),
        ]);
        let wishes = [
            (plain("young", "400m"), Some(20)),
            (plain("old", "400m"), Some(10)),
            (guaranteed("400m"), Some(30)),
            (high("400m"), Some(40)),
        ];
        for (wish, since) in &wishes {
            assert!(matches!(all.resize(wish, *since, NODE).0, Answer::Deferred(_)), "{wish:?}");
        }
        // Each time there is room for one of them.
        let mut order = Vec::new();
        for left in ["300m", "0", "0"] {
            let _ = all.resize(&plain("other", left), None, NODE);
            for (wish, since) in &wishes {
                let uid = uid(wish);
                if !order.contains(&uid) && all.resize(wish, *since, NODE).0 == Answer::Yes {
                    order.push(uid);
                }
            }
        }
        assert_eq!(order, ["high", "guaranteed"], "and no room for two more");
        assert!(all.remove("high"));
        for (wish, since) in &wishes[..2] {
            let answer = all.resize(wish, *since, NODE).0;
            assert_eq!(answer == Answer::Yes, uid(wish) == "old");
        }
    }
}
