//! What is to be done next for a pod, as a function of what is wanted and what there is.
//!
//! ```text
//! no sandbox ─▶ MakeSandbox ─▶ init containers, one after the other ─▶ containers, all
//!                                    │ a sidecar (restartPolicy Always) need only have started
//!                                    │ an end by whose rule all begin anew: Renew, Stop at once, from the start
//! deleted, failed, evicted ─▶ Stop: containers, then sidecars in reverse ─▶ TearDown ─▶ Done
//! ```

use super::observed::{Containers, Instance, Sandbox, State};
use super::restart::{self, has_policy, is_ahead, is_restarted, restart_at, streak_after};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Probe};
use std::collections::{BTreeMap, BTreeSet};

/// Which of a pod's lists a container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `initContainers`, run to its end before the next.
    Init,
    /// `initContainers` with `restartPolicy: Always`.
    Sidecar,
    /// `containers`
    Main,
    /// `ephemeralContainers`, started once.
    Ephemeral,
}

/// Why a pod is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Somebody deletes it.
    Deleted,
    /// It has failed by a word of its own: `Evicted`, `DeadlineExceeded`, ….
    Failed {
        /// `status.reason`
        reason: String,
        /// `status.message`
        message: String,
        /// Seconds that it may take.
        grace: i64,
        /// It goes for the node's sake (`DisruptionTarget`).
        disrupted: bool,
    },
}

/// What keeps a container from being made, for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `state.waiting.reason`: `ErrImagePull`, `ImagePullBackOff`, `CreateContainerConfigError`, …
    pub reason: String,
    /// `state.waiting.message`
    pub message: String,
    /// When it is tried again, in seconds since 1970.
    pub until: i64,
    /// How often it has failed.
    pub failures: u32,
}

/// What the probes say of a container that runs, by its ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The startup probe has passed, or there is none, and the postStart hook has ended.
    pub started: bool,
    /// The readiness probe passes, or there is none.
    pub ready: bool,
    /// This probe, `liveness` or `startup`, has failed too often.
    pub failed: Option<&'static str>,
    /// Seconds that it may take to end for that, when the probe has its own word.
    pub grace: Option<i64>,
}

impl Health {
    /// This probe, of its `liveness` or its `startup`, has failed too often.
    pub fn fail(&mut self, kind: &'static str, probe: &Probe) {
        (self.failed, self.grace) = (Some(kind), probe.termination_grace_period_seconds);
    }
}

/// All that is looked at.
#[derive(Debug)]
pub struct View<'a> {
    /// What is wanted.
    pub pod: &'a Pod,
    /// What the containers stand in.
    pub sandbox: Option<&'a Sandbox>,
    /// What there is.
    pub containers: &'a Containers,
    /// What waits, by the container's name.
    pub waiting: &'a BTreeMap<String, Waiting>,
    /// Probes' words, by the instance's ID.
    pub health: &'a BTreeMap<String, Health>,
    /// IDs of containers that begin anew however they end.
    pub restarting: &'a BTreeSet<String>,
    /// Why it is to end.
    pub ending: Option<&'a Ending>,
    /// When the last of it is killed, once it ends, in seconds since 1970.
    pub until: Option<i64>,
    /// Seconds since 1970.
    pub now: i64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make what the containers stand in.
    MakeSandbox,
    /// Make a container and let it run.
    Run {
        /// Its name in the pod.
        container: String,
        /// Its list.
        kind: Kind,
        /// How many were made before.
        attempt: u32,
        /// Restarts in a row that came too soon.
        streak: u32,
    },
    /// Stop these, by ID, each within so many seconds.
    Stop {
        /// Which.
        ids: Vec<String>,
        /// Seconds.
        grace: i64,
        /// They begin anew, however they end.
        anew: bool,
        /// Their turn comes later, and their preStop hooks run from now on.
        later: Vec<String>,
    },
    /// All containers begin anew in what they stand in: it gets another ID.
    Renew,
    /// Nothing runs any more: take the sandbox away.
    TearDown,
    /// Nothing until then, in seconds since 1970, or until something happens.
    Wait(Option<i64>),
    /// All is over and nothing is left.
    Done,
}

/// The container of a name, in any of the lists.
pub fn find<'a>(spec: &'a PodSpec, name: &str) -> Option<(Kind, &'a Container)> {
    containers(spec).find(|(_, container)| container.name == name)
}

/// `initContainers`, then `containers`.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (Kind, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|one| (kind(one), one));
    init.chain(spec.containers.iter().map(|one| (Kind::Main, one)))
}

/// Of a container of `initContainers`.
pub fn kind(init: &Container) -> Kind {
    if init.restart_policy.as_deref() == Some("Always") { Kind::Sidecar } else { Kind::Init }
}

/// Two states of a pod are the same to its containers: the specification, labels and annotations.
pub fn reads_alike(a: &Pod, b: &Pod) -> bool {
    let of = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
    a.spec == b.spec && of(a) == of(b)
}

/// Nothing of the pod will run again: all have ended for good, or an init container has failed.
pub fn is_over(view: &View<'_>, spec: &PodSpec) -> bool {
    let for_good = |kind, container: &Container| {
        let latest = view.containers.latest(&container.name);
        let again = |one: &Instance| view.restarting.contains(&one.id) || has_left(view, one);
        let code = latest.filter(|one| !again(one)).and_then(Instance::code);
        code.filter(|code| !is_restarted(spec, kind, &container.name, *code))
    };
    let failed =
        |kind, container| kind == Kind::Init && for_good(kind, container).is_some_and(|code| code != 0);
    let ended = |container| for_good(Kind::Main, container).is_some();
    self::containers(spec).any(|(kind, one)| failed(kind, one)) || spec.containers.iter().all(ended)
}

/// A container is of the time before all of the pod's began anew.
pub fn has_left(view: &View<'_>, one: &Instance) -> bool {
    view.sandbox.is_some_and(|sandbox| sandbox.has_left(one))
}

/// A container has ended by whose rule all of the pod's begin anew, and they have not been told to.
pub fn renews(view: &View<'_>, spec: &PodSpec) -> bool {
    let Some(sandbox) = view.sandbox else { return false };
    let code = |name: &str| in_sandbox(view, sandbox, name).and_then(Instance::code);
    containers(spec).any(|(_, own)| code(&own.name).is_some_and(|code| restart::renews(own, code)))
}

/// Those of the time before all began anew that run still, by ID; who looks into the pod stays.
pub fn left<'a>(view: &'a View<'_>, spec: &'a PodSpec) -> impl Iterator<Item = &'a str> {
    let latest = containers(spec).filter_map(|(_, own)| view.containers.latest(&own.name));
    latest.filter(|one| one.runs() && has_left(view, one)).map(|one| one.id.as_str())
}

/// What is to be done next.
pub fn next(view: &View<'_>) -> Action {
    let Some(spec) = &view.pod.spec else { return Action::Done };
    if ends(view, spec) {
        return end(view, spec);
    }
    let Some(sandbox) = view.sandbox else {
        return match view.waiting.get("") {
            Some(waiting) if is_ahead(waiting.until, view.now) => Action::Wait(Some(waiting.until)),
            _ => Action::MakeSandbox,
        };
    };
    if renews(view, spec) {
        return Action::Renew;
    }
    let ids: Vec<String> = left(view, spec).map(str::to_owned).collect();
    if !ids.is_empty() {
        return Action::Stop { ids, grace: 0, anew: false, later: Vec::new() };
    }
    let mut soonest = Soonest(None);
    // Who looks into a pod that does not come up need not wait until it does.
    for ephemeral in spec.ephemeral_containers.iter().flatten() {
        let latest = view.containers.latest(&ephemeral.name);
        let begins = latest.is_none_or(|one| one.state == State::Created);
        if begins && is_due(view, &ephemeral.name, 0, &mut soonest) {
            return run(spec, sandbox, &ephemeral.name, Kind::Ephemeral, latest);
        }
    }
    let begun = spec.containers.iter().any(|one| in_sandbox(view, sandbox, &one.name).is_some());
    for init in spec.init_containers.iter().flatten() {
        let kind = kind(init);
        let latest = in_sandbox(view, sandbox, &init.name);
        let done = latest.and_then(Instance::code) == Some(0);
        if kind == Kind::Init && (done || begun) {
            continue;
        }
        match advance(view, spec, sandbox, kind, init, &mut soonest) {
            Some(action) => return action,
            // A sidecar that is up lets the next begin; so it does once the others were there.
            None if kind == Kind::Sidecar && (begun || latest.is_some_and(|one| is_started(view, one))) => {}
            None => return Action::Wait(soonest.0),
        }
    }
    for main in &spec.containers {
        if let Some(action) = advance(view, spec, sandbox, Kind::Main, main, &mut soonest) {
            return action;
        }
    }
    Action::Wait(soonest.0)
}

/// What has come to its end never begins again, whatever is left to be seen of it.
fn ends(view: &View<'_>, spec: &PodSpec) -> bool {
    view.ending.is_some() || is_over(view, spec) || super::status::is_terminal(view.pod)
}

/// Seconds that a pod may take to end by itself or by a word of this node's, if it does.
pub fn grace(view: &View<'_>) -> Option<i64> {
    let spec = view.pod.spec.as_ref()?;
    match view.ending {
        Some(Ending::Deleted) => None,
        Some(Ending::Failed { grace, .. }) => Some(*grace),
        None => ends(view, spec).then(|| spec.termination_grace_period_seconds.unwrap_or(30)),
    }
}

/// The earliest of several times.
struct Soonest(Option<i64>);

impl Soonest {
    fn take(&mut self, time: i64) {
        self.0 = Some(self.0.map_or(time, |other| other.min(time)));
    }
}

fn in_sandbox<'a>(view: &'a View<'_>, sandbox: &Sandbox, name: &str) -> Option<&'a Instance> {
    view.containers.latest(name).filter(|one| one.sandbox == sandbox.id)
}

fn is_started(view: &View<'_>, one: &Instance) -> bool {
    one.runs() && view.health.get(&one.id).is_some_and(|health| health.started)
}

/// What one container needs now, if it needs anything.
fn advance(
    view: &View<'_>,
    spec: &PodSpec,
    sandbox: &Sandbox,
    kind: Kind,
    container: &Container,
    soonest: &mut Soonest,
) -> Option<Action> {
    let name = &container.name;
    let Some(latest) = view.containers.latest(name) else {
        return is_due(view, name, 0, soonest).then(|| run(spec, sandbox, name, kind, None));
    };
    match &latest.state {
        State::Running { .. } => {
            let asked = container.image.as_deref().unwrap_or_default();
            let failed = view.health.get(&latest.id).filter(|health| health.failed.is_some());
            // What prepares the pod is left to its end: half of it may be worse than the old image's work. Who fails its
            // probe may well end with 0, and has not done its work.
            let anew = (kind != Kind::Init && latest.image != asked)
                || view.restarting.contains(&latest.id)
                || (failed.is_some() && has_policy(spec, container));
            let wrong = anew || failed.is_some() || latest.sandbox != sandbox.id;
            let own = failed.and_then(|health| health.grace);
            let grace = own.or(spec.termination_grace_period_seconds).unwrap_or(30);
            wrong.then(|| Action::Stop { ids: vec![latest.id.clone()], grace, anew, later: Vec::new() })
        }
        // Its start did not come to its end: whoever did it was killed.
        State::Created => Some(run(spec, sandbox, name, kind, Some(latest))),
        State::Exited { .. } => {
            let has_left = sandbox.has_left(latest);
            let again = restart_at(spec, kind, latest, has_left || view.restarting.contains(&latest.id));
            // In another sandbox what has ended for good stays so, but for what prepares the pod.
            let anew = latest.sandbox != sandbox.id && !has_left && (kind == Kind::Init || again.is_some());
            let at = if anew { 0 } else { again? };
            is_due(view, name, at, soonest).then(|| run(spec, sandbox, name, kind, Some(latest)))
        }
    }
}

/// Its time has come and nothing keeps it waiting.
fn is_due(view: &View<'_>, name: &str, at: i64, soonest: &mut Soonest) -> bool {
    let times = [Some(at), view.waiting.get(name).map(|waiting| waiting.until)];
    let left = times.into_iter().flatten().filter(|at| is_ahead(*at, view.now)).max();
    left.into_iter().for_each(|at| soonest.take(at));
    left.is_none()
}

fn run(spec: &PodSpec, sandbox: &Sandbox, name: &str, kind: Kind, before: Option<&Instance>) -> Action {
    let (attempt, streak) = match before {
        None => (0, 0),
        // The same one once more: its container is there already, unless it stands elsewhere and has never run.
        Some(one) if one.state == State::Created => {
            (one.attempt + u32::from(one.sandbox != sandbox.id), one.streak)
        }
        Some(one) => (one.attempt + 1, streak_after(spec, one)),
    };
    Action::Run { container: name.to_owned(), kind, attempt, streak }
}

fn end(view: &View<'_>, spec: &PodSpec) -> Action {
    let sidecars: Vec<&str> = containers(spec)
        .filter(|(kind, _)| *kind == Kind::Sidecar)
        .map(|(_, container)| container.name.as_str())
        .collect();
    let running: Vec<&Instance> = view.containers.all().filter(|one| one.runs()).collect();
    let whole = self::grace(view);
    // A clock that was set back gives nobody more time than was asked for.
    let left = view.until.map(|until| (until - view.now).clamp(0, whole.unwrap_or(i64::MAX).max(0)));
    let grace = left.or(whole).unwrap_or(0);
    let mains = running.iter().filter(|one| !sidecars.contains(&one.container.as_str()));
    let mut ids: Vec<String> = mains.map(|one| one.id.clone()).collect();
    // The last of them first.
    let later = sidecars.iter().rev().filter_map(|name| running.iter().find(|one| one.container == *name));
    let mut later: Vec<String> = later.map(|one| one.id.clone()).collect();
    if grace == 0 {
        // Nobody's turn is waited for any more.
        ids.append(&mut later);
    } else if ids.is_empty() && !later.is_empty() {
        ids.push(later.remove(0));
    }
    match ids.is_empty() {
        false => Action::Stop { ids, grace, anew: false, later },
        true if view.sandbox.is_some() => Action::TearDown,
        true => Action::Done,
    }
}

#[cfg(test)]
#[path = "next_tests.rs"]
mod tests;
