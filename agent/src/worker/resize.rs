//! Other resources for the pod: asks the node for them, remembers what it said, and gives them to what runs. What is to
//! be done is decided in [`crate::pod::resize`] and [`crate::pod::allocation`].
//!
//! `resources.json` in the pod's folder is written before anything follows from it, so an agent that was killed between
//! goes on where it was.

use super::{Worker, now, soonest};
use crate::monitor::Error;
use crate::pod::allocation::{Allocation, Answer};
use crate::pod::next;
use crate::pod::observed::{Containers, Instance};
use crate::pod::resize::told::{self, Resizing};
use crate::pod::resize::{self, Amounts, InForce, Running, Step, Way};
use crate::pod::{cgroup, container, status};
use crate::volume::place;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::{Deserialize, Serialize};
use spec::monitor::{Code, Request, Update};
use spec::quantity::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use sys::cause::cause;

/// Until what could not be given is tried again, in seconds.
const AGAIN: i64 = 10;

/// Until a pod that waits for room asks again though nobody told it of any, in seconds.
const PATIENCE: i64 = 180;

/// What lies in `resources.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Record {
    /// What the node has said yes to; none before the pod was let in.
    allocated: Option<Allocation>,
    /// What containers were given after they began, by ID.
    given: BTreeMap<String, Amounts>,
    /// IDs of containers that end in order to begin anew.
    restarting: BTreeSet<String>,
}

/// What is known of the pod's resources.
#[derive(Debug, Default)]
pub(super) struct Resources {
    record: Record,
    /// What is told.
    pub resizing: Resizing,
    /// The node has said yes to something since the last turn.
    pub fresh: bool,
    /// The pod has come to its end.
    pub over: bool,
    /// When something is tried again, in seconds since 1970.
    pub again: Option<i64>,
    /// What holds for containers that run, by ID.
    pub given: BTreeMap<String, (Amounts, InForce)>,
    /// What holds for the pod.
    pub of_pod: InForce,
}

impl Resources {
    /// As an agent before this one left them.
    pub fn of(pod: &Pod) -> Self {
        let record = fs::read_to_string(file(pod)).ok().and_then(|text| serde_json::from_str(&text).ok());
        let resizing = pod.status.as_ref().map(Resizing::of).unwrap_or_default();
        Self { record: record.unwrap_or_default(), resizing, ..Self::default() }
    }

    /// The node has let the pod in.
    pub fn is_let_in(&self) -> bool {
        self.record.allocated.is_some()
    }

    /// The pod with what the node has said yes to.
    pub fn on(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        self.record.allocated.as_ref().map_or_else(|| pod.clone(), |own| own.on(pod))
    }

    /// The pod with what an agent before this one has said yes to; none before that.
    pub fn kept(pod: &Arc<Pod>) -> Option<Arc<Pod>> {
        Self::of(pod).record.allocated.map(|own| own.on(pod))
    }

    /// Containers that begin anew however they end: for other resources, for another image, for a probe that fails.
    pub fn restarting(&self) -> &BTreeSet<String> {
        &self.record.restarting
    }

    /// A pod that waits for room is to hear of it.
    pub fn waits(&self) -> bool {
        self.resizing.pending.as_ref().is_some_and(|own| own.reason == "Deferred")
    }

    fn write(&self, pod: &Pod) -> Result<(), String> {
        let path = file(pod);
        let write = || -> std::io::Result<()> {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            sys::file::replace(&path, &serde_json::to_vec(&self.record)?)
        };
        write().map_err(|error| format!("write {}: {}", path.display(), cause(&error)))
    }

    /// Reads what holds.
    pub fn measure(&mut self, pod: &Pod, containers: &Containers) {
        let Some(spec) = &pod.spec else { return };
        let group = cgroup::path(&container::cgroup(pod));
        let own = running(spec, containers).map(|(own, one)| {
            let given = self.given_to(one, Amounts::of(spec, own));
            let at = group.join(one.id.get(..12).unwrap_or_default());
            (one.id.clone(), (given, cgroup::in_force(&at)))
        });
        self.given = own.collect();
        self.of_pod = cgroup::in_force(&group);
    }

    /// Something of the pod is not as it is to be.
    fn differ(&self, spec: &PodSpec, containers: &Containers) -> bool {
        let of_pod = resize::steps(spec, &self.of_pod, &[], false);
        !of_pod.is_ok_and(|steps| steps.is_empty())
            || running(spec, containers).any(|(own, one)| {
                let wanted = Amounts::of(spec, own);
                self.given_to(one, wanted) != wanted
            })
    }

    fn given_to(&self, one: &Instance, wanted: Amounts) -> Amounts {
        self.record.given.get(&one.id).copied().or(one.resources).unwrap_or(wanted)
    }
}

fn file(pod: &Pod) -> PathBuf {
    place::pod(pod.metadata.uid.as_deref().unwrap_or_default()).join("resources.json")
}

/// Containers of the pod's lists that run, with what they are to have.
fn running<'a>(
    spec: &'a PodSpec,
    containers: &'a Containers,
) -> impl Iterator<Item = (&'a k8s_openapi::api::core::v1::Container, &'a Instance)> {
    let all = next::containers(spec).map(|(_, own)| own);
    all.filter_map(|own| Some((own, containers.latest(&own.name).filter(|one| one.runs())?)))
}

impl Worker {
    /// The pod was let in: what it says is what it has.
    pub(super) fn allocate(&mut self, pod: &Pod) {
        self.resources.record.allocated = pod.spec.as_ref().map(Allocation::of);
        self.save(pod);
    }

    fn save(&mut self, pod: &Pod) {
        if let Err(reason) = self.resources.write(pod) {
            crate::say::say(format_args!("{reason}"));
        }
    }

    /// The pod with the resources that it has on this node; asks for those that it wants, if they are others.
    pub(super) fn allocated(&mut self, wanted: &Arc<Pod>, containers: &Containers, ends: bool) -> Arc<Pod> {
        let Some(spec) = &wanted.spec else { return wanted.clone() };
        if self.resources.record.allocated.is_none() && containers.all().next().is_some() {
            // An agent that knew nothing of this let it in.
            self.allocate(wanted);
        }
        let Some(own) = self.resources.record.allocated.clone() else { return wanted.clone() };
        let (context, has) = (self.context.clone(), own.on(wanted));
        let allocations = &context.allocations;
        if self.resources.over || status::is_terminal(wanted) {
            return has;
        }
        allocations.all().put(&has);
        if ends || own.is_of(spec) {
            if allocations.all().contented(&self.uid) {
                allocations.tell();
            }
            self.resources.resizing.pending = None;
            return has;
        }
        let since = self.resources.resizing.pending.as_ref().map(|own| own.since);
        let (answer, leaves_room) = allocations.all().resize(wanted, since, context.allocatable());
        let generation = wanted.metadata.generation;
        let (reason, message) = match answer {
            Answer::Yes => {
                self.allocate(wanted);
                allocations.weigh();
                self.resources.fresh = true;
                self.resources.resizing.begin(generation, now());
                let words = told::words("Pod resize started", wanted, generation, "");
                context.events.say(wanted, None, true, "ResizeStarted", words);
                if leaves_room {
                    allocations.tell();
                }
                return wanted.clone();
            }
            Answer::Deferred(message) => ("Deferred", message),
            Answer::Infeasible(message) => ("Infeasible", message),
        };
        if self.resources.resizing.wait(reason, &message, generation, now()) {
            let words = told::words(&format!("Pod resize {reason}"), wanted, generation, &message);
            context.events.say(wanted, None, false, &format!("Resize{reason}"), words);
        }
        has
    }

    /// Nothing is kept for the pod any more.
    pub(super) fn give_back(&mut self) {
        self.resources.over = true;
        if self.context.allocations.all().remove(&self.uid) {
            self.context.allocations.weigh();
            self.context.allocations.tell();
        }
    }

    /// Gives what runs the resources that the pod has; what must begin anew for that is remembered.
    pub(super) async fn actuate(&mut self, pod: &Arc<Pod>, containers: &Containers) {
        let Some(spec) = pod.spec.as_ref().filter(|_| self.resources.record.allocated.is_some()) else {
            return;
        };
        self.resources.again = self.resources.waits().then(|| now() + PATIENCE);
        self.choose_restarts(pod, spec, containers);
        if self.resources.differ(spec, containers) {
            let generation = pod.metadata.generation;
            self.resources.resizing.go_on(generation, now());
            let pause = match self.give(pod, spec, containers).await {
                Ok(true) => None,
                Ok(false) => Some(1),
                Err(reason) => {
                    if let Some(about) = self.resources.resizing.fail(&reason, generation, now()) {
                        let words = told::words("Pod resize error", pod, about, &reason);
                        self.context.events.say(pod, None, false, "ResizeError", words);
                    }
                    Some(AGAIN)
                }
            };
            self.resources.again = soonest(self.resources.again, pause.map(|pause| now() + pause));
            self.resources.measure(pod, containers);
        }
        if !self.resources.differ(spec, containers)
            && let Some(done) = self.resources.resizing.progress.take()
        {
            let words = told::words("Pod resize completed", pod, done.generation, "");
            self.context.events.say(pod, None, true, "ResizeCompleted", words);
        }
    }

    /// Those begin anew whose policy says so; of others that did nothing is kept.
    fn choose_restarts(&mut self, pod: &Pod, spec: &PodSpec, containers: &Containers) {
        let mut record = self.resources.record.clone();
        let is_latest = |id: &String| containers.all().any(|one| one.id == *id && is_last(containers, one));
        record.given.retain(|id, _| is_latest(id));
        record.restarting.retain(is_latest);
        for (own, one) in running(spec, containers) {
            let wanted = Amounts::of(spec, own);
            if one.resources.is_none() {
                // An older agent began it: what the pod was allocated when this one came.
                record.given.entry(one.id.clone()).or_insert(wanted);
            }
            if resize::way(own, &self.resources.given_to(one, wanted), &wanted) == Way::Restart {
                record.restarting.insert(one.id.clone());
            }
        }
        if record != self.resources.record {
            self.resources.record = record;
            self.save(pod);
        }
    }

    /// What ends now begins anew.
    pub(super) fn begin_anew(&mut self, pod: &Pod, ids: &[String]) {
        let restarting = &mut self.resources.record.restarting;
        let before = restarting.len();
        restarting.extend(ids.iter().cloned());
        if restarting.len() != before {
            self.save(pod);
        }
    }

    /// Does it, as far as it goes; says whether it went to its end.
    async fn give(&mut self, pod: &Pod, spec: &PodSpec, containers: &Containers) -> Result<bool, String> {
        let group = cgroup::path(&container::cgroup(pod));
        let restarting = self.resources.restarting().clone();
        let ready = running(spec, containers).filter(|(_, one)| !restarting.contains(&one.id));
        let all: Vec<Running<'_>> = ready
            .map(|(own, one)| {
                let wanted = Amounts::of(spec, own);
                let usage = self.resources.given.get(&one.id).map_or(0, |(_, now)| now.usage);
                let given = self.resources.given_to(one, wanted);
                Running { id: &one.id, name: &own.name, given, wanted, usage }
            })
            .collect();
        let restarts = running(spec, containers).any(|(_, one)| restarting.contains(&one.id));
        for step in resize::steps(spec, &self.resources.of_pod, &all, restarts)? {
            match &step {
                Step::Pod(file, text) => cgroup::put(&group, file, text)?,
                Step::Memory(id, wanted) | Step::Cpu(id, wanted) => {
                    if !self.update(update(&step, id, wanted)).await? {
                        return Ok(false);
                    }
                    let before =
                        all.iter().find(|one| one.id == id.as_str()).map(|one| one.given).unwrap_or_default();
                    let given = self.resources.record.given.entry(id.clone()).or_insert(before);
                    *given = match &step {
                        Step::Memory(..) => Amounts {
                            memory_request: wanted.memory_request,
                            memory_limit: wanted.memory_limit,
                            ..*given
                        },
                        _ => {
                            Amounts { cpu_request: wanted.cpu_request, cpu_limit: wanted.cpu_limit, ..*given }
                        }
                    };
                    self.save(pod);
                }
            }
        }
        Ok(true)
    }

    /// Has the monitor change a container; says whether it has. One that ends meanwhile needs nothing.
    async fn update(&self, update: Option<Update>) -> Result<bool, String> {
        let Some(update) = update else { return Ok(true) };
        match self.context.monitor.ask(&Request::Update(Box::new(update))).await {
            Ok(_) => Ok(true),
            Err(Error::Failed(failure)) if matches!(failure.code, Code::State | Code::NotFound) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn is_last(containers: &Containers, one: &Instance) -> bool {
    containers.latest(&one.container).is_some_and(|latest| latest.id == one.id)
}

/// The monitor's words for a step; none when the kernel has no part in it.
fn update(step: &Step, id: &str, wanted: &Amounts) -> Option<Update> {
    let own = Update { name: id.to_owned(), ..Update::default() };
    match step {
        Step::Memory(..) => {
            let limit = Some(Bytes(wanted.memory_limit)).filter(|own| own.0 > 0)?;
            // No swap beside it.
            Some(Update { memory: Some(limit), memory_swap: Some(limit), ..own })
        }
        _ => {
            let limit = (wanted.cpu_limit > 0).then(|| container::cpus(wanted.cpu_limit.into()));
            let shares = cgroup::has("cpu").then(|| crate::pod::qos::shares(wanted.cpu_request.into()));
            Some(Update { cpus: limit, cpu_shares: shares, ..own }).filter(Update::has_limits)
        }
    }
}
