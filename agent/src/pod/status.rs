//! `status`, as a function of what is wanted and what there is (core/v1 PodStatus, "Pod Lifecycle").
//!
//! A phase that is `Succeeded` or `Failed` never changes again. Conditions of others (readiness gates,
//! `DisruptionTarget`) are not among those that are sent; those of a resize are while they stand.

use super::conditions::conditions;
use super::next::{self, Ending, Kind, View};
use super::observed::{Instance, State};
use super::qos;
use super::resize::told::{self, Resizing};
use super::resize::{Amounts, InForce};
use super::restart;
use crate::duration;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, EphemeralContainer, HostIP, Pod, PodCondition, PodIP, PodSpec, PodStatus,
    VolumeMount, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// Bytes of the last words of a pod's containers together.
const MESSAGES: usize = 12 << 10;

/// How our container IDs begin.
pub const SCHEME: &str = "skerry://";

/// What else is known.
#[derive(Debug)]
pub struct Known<'a> {
    /// The node's addresses.
    pub node: &'a [IpAddr],
    /// Termination messages by the instance's ID.
    pub messages: &'a BTreeMap<String, String>,
    /// Why a pod was refused, which never ran: reason and message.
    pub refused: Option<&'a (String, String)>,
    /// Who the first programs of containers run as, by the instance's ID.
    pub users: &'a BTreeMap<String, ContainerUser>,
    /// What is told of other resources for it.
    pub resizing: &'a Resizing,
    /// What containers that run were given, and what holds for them, by the instance's ID.
    pub given: &'a BTreeMap<String, (Amounts, InForce)>,
    /// What holds for the pod as a whole.
    pub of_pod: InForce,
}

/// Seconds since 1970 as the API writes a time.
pub fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// The pod's `status`.
pub fn status(view: &View<'_>, known: &Known<'_>) -> PodStatus {
    let empty = PodSpec::default();
    let spec = view.pod.spec.as_ref().unwrap_or(&empty);
    let before = view.pod.status.clone().unwrap_or_default();
    let phase = phase(view, spec, &before, known);
    let one = |kind, container: &Container| {
        if let Some(told) = forgotten(view, &before, &container.name) {
            return told.clone();
        }
        let mut status = container_status(view, known, spec, kind, container);
        status.user = status.container_id.as_ref().and_then(|id| user(known, &before, id));
        status
    };
    let init: Vec<_> =
        spec.init_containers.iter().flatten().map(|init| one(next::kind(init), init)).collect();
    let mut main: Vec<_> = spec.containers.iter().map(|container| one(Kind::Main, container)).collect();
    let over = matches!(phase.as_str(), "Succeeded" | "Failed");
    if over && known.refused.is_none() && (was_initialized(&before) || is_initialized(view, spec)) {
        main.iter_mut().for_each(end_unseen);
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|own| one(Kind::Ephemeral, &as_container(own))).collect();
    let some = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    let hosts: Vec<String> = known.node.iter().map(ToString::to_string).collect();
    let addresses = addresses(view, &before, &hosts);
    let (reason, message) = why(view, known, &before, over);
    let mut conditions = conditions(view, spec, &before, &phase, &init, &main);
    if !over {
        conditions.extend(known.resizing.conditions());
    }
    PodStatus {
        conditions: Some(conditions),
        allocated_resources: told::asked_of_pod(spec),
        resources: Some(told::of_pod(spec, before.phase.as_deref() == Some("Running"), &known.of_pod)),
        host_ip: hosts.first().cloned(),
        host_ips: Some(hosts.into_iter().map(|ip| HostIP { ip }).collect()),
        pod_ip: addresses.first().cloned(),
        pod_ips: (!addresses.is_empty()).then(|| addresses.into_iter().map(|ip| PodIP { ip }).collect()),
        start_time: before.start_time.clone().or_else(|| Some(time(view.now))),
        qos_class: Some(before.qos_class.clone().unwrap_or_else(|| qos::class(spec).name().to_owned())),
        observed_generation: view.pod.metadata.generation,
        init_container_statuses: some(init),
        container_statuses: some(main),
        ephemeral_container_statuses: some(ephemeral),
        phase: Some(phase),
        reason,
        message,
        ..PodStatus::default()
    }
}

/// What a container that looks into a pod has in common with others.
fn as_container(ephemeral: &EphemeralContainer) -> Container {
    Container {
        name: ephemeral.name.clone(),
        image: ephemeral.image.clone(),
        volume_mounts: ephemeral.volume_mounts.clone(),
        ..Container::default()
    }
}

/// The pod's addresses; what it had stays on record.
fn addresses(view: &View<'_>, before: &PodStatus, hosts: &[String]) -> Vec<String> {
    match view.sandbox {
        Some(sandbox) if sandbox.network.is_none() => hosts.to_vec(),
        Some(sandbox) => sandbox.addresses.iter().map(ToString::to_string).collect(),
        None => before.pod_ips.iter().flatten().map(|own| own.ip.clone()).collect(),
    }
}

/// Why the pod is as it is: reason and message.
fn why(
    view: &View<'_>,
    known: &Known<'_>,
    before: &PodStatus,
    over: bool,
) -> (Option<String>, Option<String>) {
    match view.ending {
        _ if known.refused.is_some() => known.refused.cloned().unzip(),
        _ if is_over(before) => (before.reason.clone(), before.message.clone()),
        // While something of it runs, it may go on: an agent that comes after this one knows nothing of its end.
        Some(Ending::Failed { reason, message, .. }) if over => (Some(reason.clone()), Some(message.clone())),
        _ => (None, None),
    }
}

fn container_status(
    view: &View<'_>,
    known: &Known<'_>,
    spec: &PodSpec,
    kind: Kind,
    container: &Container,
) -> ContainerStatus {
    let latest = view.containers.latest(&container.name);
    let previous = view.containers.previous(&container.name);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        volume_mounts: container.volume_mounts.as_ref().map(|all| all.iter().map(mounted).collect()),
        ..ContainerStatus::default()
    };
    if let Some(latest) = latest {
        status.container_id = Some(format!("{SCHEME}{}", latest.id));
        // What it was made of, whatever the specification says by now.
        status.image.clone_from(&latest.image);
        status.image_id = latest.image_id.clone();
        status.restart_count = latest.attempt.try_into().unwrap_or(i32::MAX);
    }
    if let Some(one) = latest.filter(|_| kind != Kind::Ephemeral) {
        let allocated = container.resources.clone().unwrap_or_default();
        status.allocated_resources = allocated.requests.clone();
        let given = known.given.get(&one.id).filter(|_| one.runs());
        status.resources = Some(match given {
            Some((given, now)) => told::in_force(&allocated, given, now),
            None => allocated,
        });
    }
    let health = latest.and_then(|one| view.health.get(&one.id)).copied().unwrap_or_default();
    let most = MESSAGES / next::containers(spec).count().max(1);
    let ended = |one: &Instance| terminated(one, known.messages.get(&one.id), most);
    let wait = waiting(view, spec, kind, container, latest);
    status.state = Some(match (latest, wait) {
        (Some(one), None) => match &one.state {
            State::Running { started } => ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(time(*started)) }),
                ..ContainerState::default()
            },
            _ => ContainerState { terminated: ended(one), ..ContainerState::default() },
        },
        (_, wait) => ContainerState { waiting: Some(wait.unwrap_or_default()), ..ContainerState::default() },
    });
    // The API has one rule for all containers: as if it were one that may run again after an end with 0. Where all may begin
    // anew it has none.
    let keeps = !restart::is_restarted(spec, Kind::Main, &container.name, 0) && !restart::may_renew(spec);
    if kind == Kind::Init && keeps {
        keep_end(&mut status, view.pod);
    }
    let is_waiting = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let last = match latest {
        Some(one) if is_waiting && one.has_ended() => Some(one),
        _ => previous,
    };
    status.last_state =
        Some(ContainerState { terminated: last.and_then(ended), ..ContainerState::default() });
    let runs = latest.is_some_and(Instance::runs);
    // Who looks into a pod is not waited for.
    status.started = (kind != Kind::Ephemeral).then_some(runs && health.started);
    status.ready = match kind {
        Kind::Init => latest.and_then(Instance::code) == Some(0),
        Kind::Ephemeral => false,
        Kind::Sidecar | Kind::Main => runs && health.started && health.ready,
    };
    status
}

/// Of a pod that is over nobody waits for a container any more; one that nobody has seen end is told as failed, in a
/// kubelet's words.
fn end_unseen(status: &mut ContainerStatus) {
    if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
        return;
    }
    let terminated = ContainerStateTerminated {
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("The container could not be located when the pod was terminated".to_owned()),
        exit_code: 137,
        ..ContainerStateTerminated::default()
    };
    status.state = Some(ContainerState { terminated: Some(terminated), ..ContainerState::default() });
}

/// An init container that was told to have ended well stays so while it runs once more, after a reboot: an API server
/// refuses the whole status otherwise (`ValidateInitContainerStateTransition`).
fn keep_end(status: &mut ContainerStatus, pod: &Pod) {
    let before = pod.status.iter().flat_map(|own| own.init_container_statuses.iter().flatten());
    let state = before.filter(|own| own.name == status.name).find_map(|own| own.state.clone());
    let well = |own: &ContainerState| own.terminated.as_ref().is_some_and(|end| end.exit_code == 0);
    if state.as_ref().is_some_and(well) {
        status.state = state;
    }
}

/// A volume as the container sees it.
fn mounted(own: &VolumeMount) -> VolumeMountStatus {
    let read_only = own.read_only.filter(|is| *is);
    let recursive = matches!(own.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
    let mode = if recursive { "Enabled" } else { "Disabled" };
    VolumeMountStatus {
        name: own.name.clone(),
        mount_path: own.mount_path.clone(),
        read_only,
        recursive_read_only: read_only.map(|_| mode.to_owned()),
        volume_status: None,
    }
}

/// Who a container's first program runs as, or ran as when somebody last looked.
fn user(known: &Known<'_>, before: &PodStatus, id: &str) -> Option<ContainerUser> {
    let mut told = all_told(before);
    let now = id.strip_prefix(SCHEME).and_then(|id| known.users.get(id)).cloned();
    now.or_else(|| told.find(|own| own.container_id.as_deref() == Some(id))?.user.clone())
}

/// Why a container neither runs nor has ended, if so.
fn waiting(
    view: &View<'_>,
    spec: &PodSpec,
    kind: Kind,
    container: &Container,
    latest: Option<&Instance>,
) -> Option<ContainerStateWaiting> {
    let say = |reason: &str, message: Option<String>| {
        Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message })
    };
    if let (Some(own), false) = (view.waiting.get(&container.name), latest.is_some_and(Instance::runs)) {
        return say(&own.reason, Some(own.message.clone()).filter(|message| !message.is_empty()));
    }
    match latest {
        None if kind == Kind::Main && !is_initialized(view, spec) => say("PodInitializing", None),
        None if kind == Kind::Main || kind == Kind::Ephemeral => say("ContainerCreating", None),
        None => say("PodInitializing", None),
        Some(one) if one.state == State::Created => say("ContainerCreating", None),
        Some(one) if one.has_ended() && view.ending.is_none() && next::has_left(view, one) => {
            let words = "The container is removed because RestartAllContainers in place";
            say("RestartingAllContainers", Some(words.to_owned()))
        }
        Some(one) => {
            let anew = view.restarting.contains(&one.id);
            let at = restart::restart_at(spec, kind, one, anew).filter(|_| view.ending.is_none())?;
            let State::Exited { finished, error, .. } = &one.state else { return None };
            if at <= view.now {
                return match error {
                    // An end that was not its own is never told as one: of an end with 0 no API server takes it back.
                    _ if anew => say("ContainerCreating", None),
                    Some(error) => say("RunContainerError", Some(error.clone())),
                    None => None,
                };
            }
            let metadata = &view.pod.metadata;
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                duration::words(Duration::from_secs(u64::try_from(at - finished).unwrap_or(0))),
                container.name,
                metadata.name.as_deref().unwrap_or_default(),
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.uid.as_deref().unwrap_or_default()
            );
            say("CrashLoopBackOff", Some(message))
        }
    }
}

fn terminated(one: &Instance, message: Option<&String>, most: usize) -> Option<ContainerStateTerminated> {
    let State::Exited { code, out_of_memory, started, finished, error } = &one.state else { return None };
    let (exit_code, reason) = match (error, code) {
        (Some(_), _) => (128, "StartError"),
        // However the first process ended: containerd makes this the reason once its cgroup has killed any.
        (None, _) if *out_of_memory => (*code, "OOMKilled"),
        (None, 0) => (0, "Completed"),
        (None, _) => (*code, "Error"),
    };
    Some(ContainerStateTerminated {
        container_id: Some(format!("{SCHEME}{}", one.id)),
        exit_code,
        finished_at: Some(time(*finished)),
        started_at: Some(time(*started)),
        message: error
            .as_ref()
            .or(message)
            .map(|text| text[..text.floor_char_boundary(most)].to_owned())
            .filter(|text| !text.is_empty()),
        reason: Some(reason.to_owned()),
        signal: None,
    })
}

/// Init containers have ended well and sidecars have started.
fn is_initialized(view: &View<'_>, spec: &PodSpec) -> bool {
    uninitialized(view, spec).next().is_none()
}

/// Names of init containers that have not ended well and of sidecars that have not started.
pub(super) fn uninitialized<'a>(view: &'a View<'_>, spec: &'a PodSpec) -> impl Iterator<Item = &'a str> {
    let begun = spec.containers.iter().any(|one| view.containers.latest(&one.name).is_some());
    let waits = move |(kind, container): &(Kind, &Container)| {
        let latest = view.containers.latest(&container.name);
        match kind {
            Kind::Init => !begun && latest.and_then(Instance::code) != Some(0),
            Kind::Sidecar => {
                !begun
                    && !latest.is_some_and(|one| {
                        one.runs() && view.health.get(&one.id).is_some_and(|own| own.started)
                    })
            }
            _ => false,
        }
    };
    next::containers(spec).filter(waits).map(|(_, container)| container.name.as_str())
}

fn phase(view: &View<'_>, spec: &PodSpec, before: &PodStatus, known: &Known<'_>) -> String {
    let before = before.phase.as_deref().unwrap_or("Pending");
    if matches!(before, "Succeeded" | "Failed") {
        return before.to_owned();
    }
    let running = view.containers.all().any(Instance::runs);
    let ends = |code: i32| {
        spec.containers
            .iter()
            .all(|one| view.containers.latest(&one.name).and_then(Instance::code) == Some(code))
    };
    let word = if known.refused.is_some() {
        "Failed"
    } else if view.ending.is_some() && !running {
        let succeeded = ends(0) && !matches!(view.ending, Some(Ending::Failed { .. }));
        if succeeded { "Succeeded" } else { "Failed" }
    } else if next::is_over(view, spec) && !running {
        if ends(0) { "Succeeded" } else { "Failed" }
    } else if !is_initialized(view, spec) {
        "Pending"
    } else {
        // Every container has run once.
        let has_run = |one: &Container| {
            let latest = view.containers.latest(&one.name);
            let ran = |one: &Instance| one.runs() || one.has_ended();
            latest.is_some_and(ran) || view.containers.previous(&one.name).is_some_and(ran)
        };
        if spec.containers.iter().all(has_run) { "Running" } else { "Pending" }
    };
    word.to_owned()
}

/// What was told of a container of a pod that is over, of whose instances the newest has been removed since: it is as it
/// was told, whatever is left of the others.
fn forgotten<'a>(view: &View<'_>, before: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let told = all_told(before).filter(|_| is_over(before)).find(|told| told.name == name)?;
    let ended = told.state.as_ref().is_some_and(|state| state.terminated.is_some());
    let latest = view.containers.latest(name).map(|one| i64::from(one.attempt));
    (ended && latest.is_none_or(|attempt| attempt < told.restart_count.into())).then_some(told)
}

/// The containers of all lists.
fn all_told(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten()
}

/// It was told that its containers had run and that its init containers were through: which of them are still here says
/// nothing of that any more.
pub(super) fn was_initialized(before: &PodStatus) -> bool {
    let told = initialized_before(before).is_some_and(|one| one.status == "True");
    told && is_over(before) && has_run(before)
}

pub(super) fn initialized_before(before: &PodStatus) -> Option<&PodCondition> {
    before.conditions.iter().flatten().find(|one| one.type_ == "Initialized")
}

/// The pod has come to its end.
pub fn is_terminal(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(is_over)
}

/// It says so of a pod.
pub fn is_over(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// A container of the pod has been there.
pub fn has_run(status: &PodStatus) -> bool {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten().any(|own| own.container_id.is_some())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
