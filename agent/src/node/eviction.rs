//! When the node runs short of something and which pod goes then ("Node-pressure Eviction" of Kubernetes'
//! documentation), as functions of values.
//!
//! | what | short of it when | condition |
//! |---|---|---|
//! | memory | less is available than `cluster.eviction-memory` | `MemoryPressure` |
//! | the data disk | less of it is free than `cluster.eviction-disk` per cent, or than 5 % of its inodes | `DiskPressure` |
//! | process IDs | less than 5 % are left | `PIDPressure` |
//!
//! Of memory and of process IDs as much must be left below the limit of all pods (a kubelet's
//! `allocatableMemory.available`): whoever runs into it leaves the machine as much as it has.
//!
//! A soft threshold (`cluster.eviction-soft-memory`, `-soft-disk`) counts once it was passed for
//! `cluster.eviction-soft-grace`, and leaves pods their grace. A threshold that has counted does so until
//! `cluster.eviction-minimum-reclaim-memory` or `-disk` more is left.

use super::facts::Left;
use spec::node::Cluster;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a condition stands after it was last true: what follows from it must not swing.
const STANDS: Duration = Duration::from_secs(300);

/// A share of inodes and of process IDs that must be left, in per cent.
const LEAST: u64 = 5;

/// A pod of this priority or above is the cluster's own (`system-cluster-critical`).
pub const CRITICAL: i32 = 2_000_000_000;

/// What may run out; what goes first when several do comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Bytes of the data disk.
    Disk,
    /// Its inodes.
    Inodes,
    /// Process IDs.
    Pids,
}

impl Resource {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::Pids => "pids",
        }
    }

    /// As metrics name it.
    pub fn signal(self) -> &'static str {
        match self {
            Self::Memory => "memory.available",
            Self::Disk => "nodefs.available",
            Self::Inodes => "nodefs.inodesFree",
            Self::Pids => "pid.available",
        }
    }

    fn amount(self, number: u64) -> String {
        match self {
            Self::Memory | Self::Disk => format!("{}Ki", number / 1024),
            Self::Inodes | Self::Pids => number.to_string(),
        }
    }
}

/// Conditions of the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    /// `MemoryPressure`
    pub memory: bool,
    /// `DiskPressure`
    pub disk: bool,
    /// `PIDPressure`
    pub pids: bool,
}

impl Pressures {
    fn of(mut short: impl FnMut(Resource) -> bool) -> Self {
        let disk = short(Resource::Disk) | short(Resource::Inodes);
        Self { memory: short(Resource::Memory), disk, pids: short(Resource::Pids) }
    }
}

/// The least of something that must be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Of what.
    pub resource: Resource,
    /// How much.
    pub least: u64,
    /// How long there may be less; a hard one says nothing.
    pub soft: Option<Duration>,
    /// How much more must be left before it counts no more.
    pub reclaim: u64,
}

/// Of so many tasks, those that must be left.
pub fn of_tasks(most: u64) -> u64 {
    most / 100 * LEAST
}

/// The node's thresholds.
pub fn thresholds(cluster: &Cluster, left: &Left) -> Vec<Threshold> {
    let share = |all: u64, percent: u64| all / 100 * percent.min(100);
    let reclaim = |resource| match resource {
        Resource::Memory => cluster.eviction_minimum_reclaim_memory.0,
        Resource::Disk => share(left.disk_size, cluster.eviction_minimum_reclaim_disk.into()),
        Resource::Inodes | Resource::Pids => 0,
    };
    let hard = |resource, least| Threshold { resource, least, soft: None, reclaim: reclaim(resource) };
    let grace = Some(cluster.eviction_soft_grace.0);
    let soft =
        |resource, least: Option<u64>| least.map(|least| Threshold { soft: grace, ..hard(resource, least) });
    let mut all = vec![
        hard(Resource::Memory, cluster.eviction_memory.0),
        hard(Resource::Disk, share(left.disk_size, cluster.eviction_disk.into())),
        hard(Resource::Inodes, share(left.inodes_all, LEAST)),
        hard(Resource::Pids, of_tasks(left.pids_all)),
    ];
    all.extend(soft(Resource::Memory, cluster.eviction_soft_memory.map(|own| own.0)));
    let disk = cluster.eviction_soft_disk.map(|percent| share(left.disk_size, percent.into()));
    all.extend(soft(Resource::Disk, disk));
    all
}

/// What counts for a threshold; that of a soft one is the machine's.
fn left_of(left: &Left, threshold: &Threshold) -> u64 {
    let or_pods = |left: u64, of_pods: Option<u64>| match threshold.soft {
        None => of_pods.map_or(left, |own| own.min(left)),
        Some(_) => left,
    };
    match threshold.resource {
        Resource::Memory => or_pods(left.memory, left.pods_memory),
        Resource::Disk => left.disk,
        Resource::Inodes => left.inodes,
        Resource::Pids => or_pods(left.pids, left.pods_pids),
    }
}

/// Something that a pod must go for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Of what there is too little.
    pub threshold: Threshold,
    /// How much there is.
    pub left: u64,
}

/// Looks at what is left, again and again.
#[derive(Debug, Default)]
pub struct Judge {
    /// Since when each threshold is passed.
    since: BTreeMap<(Resource, bool), Duration>,
    /// When each resource was short last.
    last: BTreeMap<Resource, Duration>,
    /// Thresholds that count until more is left.
    counting: BTreeSet<(Resource, bool)>,
}

impl Judge {
    /// The conditions that hold, and what a pod must go for now, if anything. `now` counts from any one moment.
    pub fn look(
        &mut self,
        thresholds: &[Threshold],
        left: &Left,
        now: Duration,
    ) -> (Pressures, Option<Short>) {
        let mut short: Vec<Short> = Vec::new();
        for &threshold in thresholds {
            let key = (threshold.resource, threshold.soft.is_some());
            let there = left_of(left, &threshold);
            let more = if self.counting.contains(&key) { threshold.reclaim } else { 0 };
            if there >= threshold.least.saturating_add(more) {
                self.since.remove(&key);
                self.counting.remove(&key);
                continue;
            }
            let since = *self.since.entry(key).or_insert(now);
            self.last.insert(threshold.resource, now);
            if threshold.soft.is_none_or(|grace| now.saturating_sub(since) >= grace) {
                self.counting.insert(key);
                short.push(Short { threshold, left: there });
            }
        }
        let last = &self.last;
        let stands = |resource| last.get(&resource).is_some_and(|&last| now.saturating_sub(last) < STANDS);
        let first =
            short.into_iter().min_by_key(|short| (short.threshold.soft.is_some(), short.threshold.resource));
        (Pressures::of(stands), first)
    }
}

/// A pod that might go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its UID.
    pub uid: String,
    /// `spec.priority`
    pub priority: i32,
    /// Its file lies on the node.
    pub is_static: bool,
    /// What it uses of the resource.
    pub usage: u64,
    /// What it asked for of it.
    pub request: u64,
}

/// Whoever goes first: who uses more than was asked for, before who does not; then the least priority; then who is
/// above what was asked for the most. Of process IDs nobody asks for any.
pub fn first(resource: Resource, candidates: Vec<Candidate>) -> Option<Candidate> {
    let may_go = candidates.into_iter().filter(|one| !one.is_static && one.priority < CRITICAL);
    may_go.min_by_key(|one| {
        let modest = resource != Resource::Pids && one.usage <= one.request;
        (modest, one.priority, Reverse(i128::from(one.usage) - i128::from(one.request)))
    })
}

/// A container of a pod that goes, which uses more than it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offender {
    /// Its name.
    pub name: String,
    /// What it uses.
    pub usage: u64,
    /// What it asked for.
    pub request: u64,
}

/// What else an eviction's event says, for programs: a kubelet's annotations.
pub fn notes(short: &Short, offenders: &[Offender]) -> BTreeMap<String, String> {
    let resource = short.threshold.resource;
    let list = |of: &dyn Fn(&Offender) -> String| offenders.iter().map(of).collect::<Vec<_>>().join(",");
    let all = [
        ("starved_resource", resource.name().to_owned()),
        ("offending_containers", list(&|own| own.name.clone())),
        ("offending_containers_usage", list(&|own| resource.amount(own.usage))),
    ];
    all.map(|(key, value)| (key.to_owned(), value)).into()
}

/// The words of a pod's status and event.
pub fn words(short: &Short, gone: &Candidate, offenders: &[Offender]) -> String {
    let resource = short.threshold.resource;
    let mut words = format!(
        "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
        resource.name(),
        resource.amount(short.threshold.least),
        resource.amount(short.left)
    );
    for own in offenders {
        let (name, used, asked) = (&own.name, resource.amount(own.usage), resource.amount(own.request));
        words += &format!(
            "Container {name} was using {used}, request is {asked}, has larger consumption of {}. ",
            resource.name()
        );
    }
    // It may be its volumes.
    if offenders.is_empty() && gone.usage > gone.request && resource != Resource::Inodes {
        let (used, asked) = (resource.amount(gone.usage), resource.amount(gone.request));
        words += &format!("The pod was using {used}, request is {asked}. ");
    }
    words.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::quantity::{Bytes, Span};

    const LEFT: Left = Left {
        memory: 100,
        pods_memory: None,
        disk_size: 1000,
        disk: 500,
        inodes_all: 1000,
        inodes: 500,
        pids_all: 1000,
        pids: 500,
        pods_pids: None,
    };

    fn cluster() -> Cluster {
        Cluster {
            eviction_memory: Bytes(50),
            eviction_soft_memory: Some(Bytes(80)),
            eviction_soft_grace: Span::seconds(30),
            ..Cluster::default()
        }
    }

    fn look(judge: &mut Judge, left: Left, second: u64) -> (Pressures, Option<(Resource, bool)>) {
        let (pressures, short) =
            judge.look(&thresholds(&cluster(), &left), &left, Duration::from_secs(second));
        (pressures, short.map(|short| (short.threshold.resource, short.threshold.soft.is_some())))
    }

    #[test]
    fn each_resource_has_its_condition() {
        let none = Pressures::default();
        let table = [
            (LEFT, none, None),
            (Left { memory: 50, ..LEFT }, Pressures { memory: true, ..none }, None),
            (Left { memory: 49, ..LEFT }, Pressures { memory: true, ..none }, Some(Resource::Memory)),
            (Left { disk: 99, ..LEFT }, Pressures { disk: true, ..none }, Some(Resource::Disk)),
            (Left { inodes: 49, ..LEFT }, Pressures { disk: true, ..none }, Some(Resource::Inodes)),
            (Left { pids: 49, ..LEFT }, Pressures { pids: true, ..none }, Some(Resource::Pids)),
            (
                Left { disk: 9, memory: 9, ..LEFT },
                Pressures { disk: true, memory: true, pids: false },
                Some(Resource::Memory),
            ),
            // Pods are at their limit, and the machine has enough.
            (
                Left { pods_memory: Some(49), ..LEFT },
                Pressures { memory: true, ..none },
                Some(Resource::Memory),
            ),
            (Left { pods_memory: Some(70), ..LEFT }, none, None),
            (Left { pods_pids: Some(49), ..LEFT }, Pressures { pids: true, ..none }, Some(Resource::Pids)),
            (Left { pods_pids: Some(50), ..LEFT }, none, None),
            // A file system without inodes of its own runs out of none.
            (Left { inodes_all: 0, inodes: 0, ..LEFT }, none, None),
        ];
        for (left, pressures, short) in table {
            let (seen, first) = look(&mut Judge::default(), left, 1000);
            assert_eq!((seen, first.map(|(resource, _)| resource)), (pressures, short), "{left:?}");
        }
    }

    #[test]
    fn a_soft_threshold_counts_after_its_time_and_a_condition_stands_for_a_while() {
        let mut judge = Judge::default();
        let low = Left { memory: 70, ..LEFT };
        let memory = Pressures { memory: true, ..Pressures::default() };
        assert_eq!(look(&mut judge, low, 0), (memory, None));
        assert_eq!(look(&mut judge, low, 29), (memory, None));
        assert_eq!(look(&mut judge, low, 30), (memory, Some((Resource::Memory, true))));
        assert_eq!(
            look(&mut judge, Left { memory: 10, ..LEFT }, 31),
            (memory, Some((Resource::Memory, false)))
        );
        assert_eq!(look(&mut judge, LEFT, 40), (memory, None));
        assert_eq!(look(&mut judge, low, 41), (memory, None), "its time begins anew");
        assert_eq!(look(&mut judge, LEFT, 340), (memory, None));
        assert_eq!(look(&mut judge, LEFT, 341), (Pressures::default(), None));
    }

    #[test]
    fn what_has_begun_goes_on_until_more_is_left() {
        let cluster = Cluster {
            eviction_minimum_reclaim_memory: Bytes(20),
            eviction_minimum_reclaim_disk: 5,
            ..cluster()
        };
        let mut judge = Judge::default();
        let mut at = |left: Left, second| {
            let (_, short) = judge.look(&thresholds(&cluster, &left), &left, Duration::from_secs(second));
            short.map(|short| (short.threshold.resource, short.threshold.soft.is_some()))
        };
        let memory = |memory| Left { memory, ..LEFT };
        assert_eq!(at(memory(60), 0), None);
        assert_eq!(at(memory(49), 1), Some((Resource::Memory, false)));
        assert_eq!(at(memory(69), 2), Some((Resource::Memory, false)));
        assert_eq!(at(memory(70), 3), None);
        assert_eq!(at(memory(60), 4), None, "it begins anew below its threshold");
        assert_eq!(at(memory(60), 30), Some((Resource::Memory, true)), "the soft one since the first second");
        assert_eq!(at(memory(99), 31), Some((Resource::Memory, true)));
        assert_eq!(at(memory(100), 32), None);
        let disk = |disk| Left { disk, ..LEFT };
        assert_eq!(
            [(disk(99), 40), (disk(149), 41), (disk(150), 42)].map(|(left, second)| at(left, second)),
            [Some((Resource::Disk, false)), Some((Resource::Disk, false)), None,]
        );
    }

    fn candidate(uid: &str, priority: i32, usage: u64, request: u64) -> Candidate {
        Candidate { uid: uid.to_owned(), priority, is_static: false, usage, request }
    }

    #[test]
    fn who_takes_more_than_was_asked_for_goes_first() {
        let order = |resource, mut all: Vec<Candidate>| {
            let mut order = String::new();
            while let Some(next) = first(resource, all.clone()) {
                all.retain(|one| one.uid != next.uid);
                order += &next.uid;
            }
            order
        };
        let all = vec![
            candidate("a", 0, 10, 100),
            candidate("b", 5, 300, 100),
            candidate("c", 0, 150, 100),
            candidate("d", 0, 60, 0),
            candidate("e", 0, 90, 100),
            candidate("critical", CRITICAL, 999, 0),
            Candidate { is_static: true, ..candidate("static", 0, 999, 0) },
        ];
        assert_eq!(order(Resource::Memory, all.clone()), "dcbea");
        assert_eq!(order(Resource::Pids, all), "dceab");
    }

    #[test]
    fn the_words_are_those_that_people_search_for() {
        let threshold = Threshold { resource: Resource::Memory, least: 8 << 20, soft: None, reclaim: 0 };
        let short = Short { threshold, left: 1 << 20 };
        assert_eq!(
            words(&short, &candidate("a", 0, 2 << 20, 0), &[]),
            "The node was low on resource: memory. Threshold quantity: 8192Ki, available: 1024Ki. \
             The pod was using 2048Ki, request is 0Ki."
        );
        let offenders = ["m", "n"].map(|name| Offender { name: name.to_owned(), usage: 2048, request: 1024 });
        assert!(words(&short, &candidate("a", 0, 2 << 20, 0), &offenders).ends_with(
            "Container m was using 2Ki, request is 1Ki, has larger consumption of memory. \
             Container n was using 2Ki, request is 1Ki, has larger consumption of memory."
        ));
        let notes = notes(&short, &offenders);
        let of = |key: &str| notes[key].as_str();
        assert_eq!(
            [of("starved_resource"), of("offending_containers"), of("offending_containers_usage")],
            ["memory", "m,n", "2Ki,2Ki"]
        );
    }
}
