//! Has pods end when the node runs short, one at a time, and removes images before it takes a pod for the disk.
//! What is short and who goes is said by [`crate::node::eviction`], who has written too much by
//! [`crate::node::local_storage`]; where the kernel tells of memory
//! pressure (PSI) it is looked at once more then.

use crate::node::eviction::{self, Candidate, Judge, Offender, Pressures, Resource, Short};
use crate::node::facts;
use crate::node::local_storage;
use crate::node::report::Standing;
use crate::pod::container::bytes;
use crate::pod::next::{self, Ending};
use crate::pod::{qos, status};
use crate::sandbox;
use crate::say::say;
use crate::server::pods as shown;
use crate::server::stats::cgroup::Usage;
use crate::server::stats::counts::Count;
use crate::static_pods::is_static;
use crate::storage::Storage;
use crate::worker::Context;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

/// How often the node is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How long a pod that goes may take before another one must.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often images are looked at while there is room.
const IMAGES: Duration = Duration::from_secs(300);

/// Of each second, tasks have waited for memory for so long: microseconds of a window of as many.
const STALL: &[u8] = b"some 150000 1000000\0";

/// A pod's UID, and how it is to end.
pub type Order = (String, Ending);

/// Whom it was said that they go.
#[derive(Debug, Default)]
struct Going {
    /// By UID: whether by a hard threshold.
    told: BTreeMap<String, bool>,
    /// The last one, and when.
    last: Option<(String, Instant)>,
}

impl Going {
    /// The last one has not gone yet, and may take its time.
    fn is_on_its_way(&self, is_there: impl Fn(&str) -> bool) -> bool {
        self.last.as_ref().is_some_and(|(uid, since)| since.elapsed() < PATIENCE && is_there(uid))
    }
}

/// A pod that was told goes by itself, however long it takes: another one is told after it. What is short by a hard
/// threshold may hurry one that has its own time.
fn may_tell(told: &BTreeMap<String, bool>, uid: &str, hard: bool) -> bool {
    told.get(uid).is_none_or(|was_hard| hard && !was_hard)
}

/// Looks after the node for ever. The disk is looked at by itself: to remove images, or to count what pods have written,
/// may take minutes, and memory does not wait for it.
pub async fn keep(context: &Context, standing: &watch::Sender<Standing>, orders: mpsc::Sender<Order>) {
    let going = Mutex::default();
    tokio::join!(
        look(context, standing, &orders, &going, &[Resource::Memory, Resource::Pids], stalls()),
        look(context, standing, &orders, &going, &[Resource::Disk, Resource::Inodes], never()),
        images(context),
    );
}

/// Removes images from time to time. Those that are here are known from the beginning.
async fn images(context: &Context) {
    loop {
        context.collector.collect(context, false).await;
        sleep(IMAGES).await;
    }
}

/// Looks after some of what may run out; also at once when `called`.
async fn look(
    context: &Context,
    standing: &watch::Sender<Standing>,
    orders: &mpsc::Sender<Order>,
    going: &Mutex<Going>,
    resources: &[Resource],
    mut called: watch::Receiver<()>,
) {
    let begun = Instant::now();
    let mut judge = Judge::default();
    let is_disk = resources.contains(&Resource::Disk);
    loop {
        let left = facts::left();
        let mut thresholds = eviction::thresholds(&context.own.cluster, &left);
        thresholds.retain(|own| resources.contains(&own.resource));
        let (pressures, short) = judge.look(&thresholds, &left, begun.elapsed());
        standing.send_if_modified(|standing| {
            let before = standing.pressures;
            standing.pressures = match is_disk {
                true => Pressures { disk: pressures.disk, ..before },
                false => Pressures { disk: before.disk, ..pressures },
            };
            standing.pressures != before
        });
        if is_disk && short.is_some() && context.collector.collect(context, true).await {
            continue;
        }
        if let Some(short) = short {
            evict(context, orders, going, &short).await;
        }
        let _ = timeout(LOOK, called.changed()).await;
    }
}

/// Has one pod go, unless there is one that does.
async fn evict(context: &Context, orders: &mpsc::Sender<Order>, going: &Mutex<Going>, short: &Short) {
    let there = |uid: &str| is_there(context, uid);
    let known = {
        let mut going = going.lock().unwrap_or_else(PoisonError::into_inner);
        let all = context.board.all();
        going.told.retain(|uid, _| all.iter().any(|pod| pod.uid == *uid));
        if going.is_on_its_way(there) {
            return;
        }
        going.told.clone()
    };
    let hard = short.threshold.soft.is_none();
    let may_tell = |uid: &str| may_tell(&known, uid, hard);
    let chosen = choose(context, short.threshold.resource, may_tell).await;
    let Some((gone, pod, offenders)) = chosen else { return };
    {
        let mut going = going.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have taken long to choose for the disk; another one went for memory meanwhile.
        if going.is_on_its_way(there) {
            return;
        }
        going.told.insert(gone.uid.clone(), hard);
        going.last = Some((gone.uid.clone(), Instant::now()));
    }
    let resource = short.threshold.resource;
    context.stats.counts.add(Count::Eviction(resource.signal()));
    let words = format!("Attempting to reclaim {}", resource.name());
    context.events.say_of_node(&context.own.name, false, "EvictionThresholdMet", words);
    let message = eviction::words(short, &gone, &offenders);
    tell(context, &pod, &message, eviction::notes(short, &offenders));
    let _ = orders.send((gone.uid, evicted(message, grace(short, &pod), true))).await;
}

fn tell(context: &Context, pod: &Pod, message: &str, notes: BTreeMap<String, String>) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    say(format_args!("pod {name} is evicted: {}", message.trim_end()));
    context.events.warn_with(pod, "Evicted", message, notes);
}

fn evicted(message: String, grace: i64, disrupted: bool) -> Ending {
    Ending::Failed { reason: "Evicted".to_owned(), message, grace, disrupted }
}

/// Has pods end that have written more than they may, for ever.
pub async fn keep_limits(context: &Context, orders: mpsc::Sender<Order>) {
    let mut gone: BTreeSet<String> = BTreeSet::new();
    loop {
        sleep(LOOK).await;
        let all = context.board.all();
        gone.retain(|uid| all.iter().any(|pod| pod.uid == *uid));
        let others = all.iter().filter(|pod| !gone.contains(&pod.uid));
        let limited: Vec<shown::Pod> = others.filter(|pod| is_limited(pod)).cloned().collect();
        if limited.is_empty() {
            continue;
        }
        let stats = context.stats.clone();
        let measured = tokio::task::spawn_blocking(move || {
            stats.storage.keep(&all);
            limited.iter().filter_map(|pod| excess(pod, &stats.storage)).collect::<Vec<_>>()
        });
        for (uid, pod, message) in measured.await.unwrap_or_default() {
            tell(context, &pod, &message, BTreeMap::new());
            let _ = orders.send((uid.clone(), evicted(message, 1, false))).await;
            gone.insert(uid);
        }
    }
}

/// A pod may go for what it writes.
fn is_limited(shown: &shown::Pod) -> bool {
    shown.object.as_ref().is_some_and(|pod| may_go(pod) && local_storage::is_limited(pod))
}

/// A pod that has written too much: its UID, itself, and the words.
fn excess(shown: &shown::Pod, storage: &Storage) -> Option<(String, Arc<Pod>, String)> {
    let pod = shown.object.as_ref()?;
    let words = local_storage::excess(pod.spec.as_ref()?, &storage.of(shown))?;
    Some((shown.uid.clone(), pod.clone(), words))
}

/// A pod has not come to its end, and nobody ends it yet.
fn may_go(pod: &Pod) -> bool {
    !status::is_terminal(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// What is short by a hard threshold leaves no time.
fn grace(short: &Short, pod: &Pod) -> i64 {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    if short.threshold.soft.is_some() { own } else { own.min(1) }
}

/// Something of a pod takes room yet.
fn is_there(context: &Context, uid: &str) -> bool {
    let all = context.board.all();
    let has_more = |pod: &shown::Pod| {
        !pod.cgroup.as_os_str().is_empty() || pod.containers.iter().any(|one| one.instance.is_some())
    };
    all.iter().any(|pod| pod.uid == uid && has_more(pod)) || sandbox::has_volumes(uid)
}

/// A pod that may go, and those of its containers that use more than they asked for.
type Chosen = (Candidate, Pod, Vec<Offender>);

/// The pod that goes, if one may.
async fn choose(context: &Context, resource: Resource, may_tell: impl Fn(&str) -> bool) -> Option<Chosen> {
    let (all, stats) = (context.board.all(), context.stats.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let begun = |pod: &&shown::Pod| pod.containers.iter().any(|container| container.instance.is_some());
        all.iter()
            .filter(begun)
            .filter_map(|pod| candidate(pod, resource, &stats.storage))
            .collect::<Vec<_>>()
    });
    let mut measured = measured.await.unwrap_or_default();
    measured.retain(|(candidate, ..)| may_tell(&candidate.uid));
    let first =
        eviction::first(resource, measured.iter().map(|(candidate, ..)| candidate.clone()).collect())?;
    measured.into_iter().find(|(candidate, ..)| *candidate == first)
}

/// A pod that runs and that nobody ends yet.
fn candidate(shown: &shown::Pod, resource: Resource, storage: &Storage) -> Option<Chosen> {
    let pod = shown.object.as_deref()?;
    let spec = pod.spec.as_ref()?;
    if !may_go(pod) {
        return None;
    }
    let group = Usage::read(&Path::new(paths::CGROUP).join(&shown.cgroup)).unwrap_or_default();
    let asked = |key: &str| {
        qos::pod_request(spec, key).and_then(|millis| u64::try_from(millis / 1000).ok()).unwrap_or(0)
    };
    let (usage, request) = match resource {
        Resource::Memory => (group.working_set, asked("memory")),
        Resource::Disk => (storage.of(shown).all().bytes, asked("ephemeral-storage")),
        Resource::Inodes => (storage.of(shown).all().inodes, 0),
        Resource::Pids => (group.pids, 0),
    };
    let candidate = Candidate {
        uid: shown.uid.clone(),
        priority: spec.priority.unwrap_or(0),
        is_static: is_static(pod),
        usage,
        request,
    };
    let used = |own: &shown::Container| match resource {
        Resource::Memory => {
            Usage::read(&Path::new(paths::CGROUP).join(&own.cgroup)).map(|own| own.working_set)
        }
        Resource::Disk => {
            let written = storage.of(shown);
            let parts = [written.roots.get(&own.name), written.logs.get(&own.name)];
            Some(parts.into_iter().flatten().map(|own| own.bytes).sum())
        }
        Resource::Inodes | Resource::Pids => None,
    };
    Some((candidate, pod.clone(), offenders(shown, spec, resource, used)))
}

fn offenders(
    shown: &shown::Pod,
    spec: &PodSpec,
    resource: Resource,
    used: impl Fn(&shown::Container) -> Option<u64>,
) -> Vec<Offender> {
    let one = |container: &Container| {
        let usage = used(shown.container(&container.name).filter(|own| own.running)?)?;
        let asked = container.resources.as_ref().and_then(|own| own.requests.as_ref()?.get(resource.name()));
        let request = asked.and_then(|own| bytes(&own.0)).unwrap_or(0);
        (usage > request).then(|| Offender { name: container.name.clone(), usage, request })
    };
    next::containers(spec).filter_map(|(_, container)| one(container)).collect()
}

/// Never tells of anything.
fn never() -> watch::Receiver<()> {
    let (sender, receiver) = watch::channel(());
    std::mem::forget(sender);
    receiver
}

/// Tells when tasks wait for memory (Documentation/accounting/psi.rst); never where the kernel does not.
fn stalls() -> watch::Receiver<()> {
    let (sender, receiver) = watch::channel(());
    let opened = || -> std::io::Result<File> {
        let mut file = OpenOptions::new().read(true).write(true).open("/proc/pressure/memory")?;
        file.write_all(STALL)?;
        Ok(file)
    };
    std::thread::spawn(move || {
        let Ok(file) = opened() else {
            // Nobody is told: the sender must stay.
            std::mem::forget(sender);
            return;
        };
        loop {
            let mut polled = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            let told = poll(&mut polled, PollTimeout::NONE).is_ok();
            let failed = polled[0].revents().is_none_or(|seen| seen.contains(PollFlags::POLLERR));
            if !told || failed || sender.send(()).is_err() {
                std::mem::forget(sender);
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_end_keeps_no_other_from_going() {
        let told = BTreeMap::from([("soft".to_owned(), false), ("hard".to_owned(), true)]);
        let of = |hard| ["soft", "hard", "other"].map(|uid| may_tell(&told, uid, hard));
        assert_eq!(of(false), [false, false, true]);
        assert_eq!(of(true), [true, false, true], "it may be hurried once");
        let mut going = Going::default();
        assert!(!going.is_on_its_way(|_| true));
        going.last = Some(("a".to_owned(), Instant::now()));
        assert!(going.is_on_its_way(|_| true) && !going.is_on_its_way(|_| false));
        going.last = Some(("a".to_owned(), Instant::now() - PATIENCE));
        assert!(!going.is_on_its_way(|_| true));
    }
}
