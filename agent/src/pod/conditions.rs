//! Conditions of a pod's `status` (core/v1 PodCondition), as a function of what is wanted and what there is.

use super::next::{self, Ending, Kind, View};
use super::restart;
use super::status::{initialized_before, time, uninitialized, was_initialized};
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodSpec, PodStatus};

/// Whether a condition is true, its reason, and its message.
type Said<'a> = (bool, &'a str, String);

/// All of them, in a kubelet's order; `init` and `main` are the statuses of the pod's containers.
pub(super) fn conditions(
    view: &View<'_>,
    spec: &PodSpec,
    before: &PodStatus,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Vec<PodCondition> {
    let over = match phase {
        "Succeeded" => Some("PodCompleted"),
        "Failed" => Some("PodFailed"),
        _ => None,
    };
    let containers = containers_ready(spec, over, init, main);
    let ready = match open_gates(spec, before) {
        Some(gates) if containers.0 => (false, "ReadinessGatesNotReady", gates),
        _ => containers.clone(),
    };
    let all = [
        ("PodReadyToStartContainers", (view.sandbox.is_some(), "", String::new())),
        ("Initialized", initialized(view, spec, before, over)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", (true, "", String::new())),
    ];
    let disrupted = disrupted(view, over).map(|said| ("DisruptionTarget", said));
    let renewal = renewal(view, spec, over).map(|said| ("AllContainersRestarting", said));
    let all = all.into_iter().chain(disrupted).chain(renewal);
    all.map(|(kind, said)| condition(view, before, kind, said)).collect()
}

/// One that says the same as before has its time.
fn condition(
    view: &View<'_>,
    before: &PodStatus,
    kind: &str,
    (is, reason, message): Said<'_>,
) -> PodCondition {
    let status = if is { "True" } else { "False" };
    let same = before.conditions.iter().flatten().find(|one| one.type_ == kind && one.status == status);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(message).filter(|message| !message.is_empty()),
        last_transition_time: same
            .and_then(|one| one.last_transition_time.clone())
            .or_else(|| Some(time(view.now))),
        observed_generation: view.pod.metadata.generation,
        last_probe_time: None,
    }
}

/// `ContainersReady`, of a pod that is `over` for this reason.
fn containers_ready<'a>(
    spec: &PodSpec,
    over: Option<&'a str>,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Said<'a> {
    if let Some(reason) = over {
        return (false, reason, String::new());
    }
    let is_sidecar =
        |one: &&ContainerStatus| next::find(spec, &one.name).is_some_and(|(kind, _)| kind == Kind::Sidecar);
    let all = main.iter().chain(init.iter().filter(is_sidecar));
    let unready: Vec<&str> = all.filter(|one| !one.ready).map(|one| one.name.as_str()).collect();
    match unready.is_empty() {
        true => (true, "", String::new()),
        false => {
            (false, "ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
        }
    }
}

/// `Initialized`.
fn initialized<'a>(
    view: &View<'_>,
    spec: &PodSpec,
    before: &'a PodStatus,
    over: Option<&'a str>,
) -> Said<'a> {
    if was_initialized(before) {
        let told = initialized_before(before).and_then(|one| one.reason.as_deref());
        return (true, told.unwrap_or_default(), String::new());
    }
    let incomplete: Vec<&str> = uninitialized(view, spec).collect();
    match over {
        Some(reason @ "PodCompleted") => (true, reason, String::new()),
        _ if incomplete.is_empty() => (true, "", String::new()),
        _ => (
            false,
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", incomplete.join(" ")),
        ),
    }
}

/// `DisruptionTarget`: who decides on its end by the node's needs says so (KEP-3329).
fn disrupted(view: &View<'_>, over: Option<&str>) -> Option<Said<'static>> {
    match view.ending {
        Some(Ending::Failed { message, disrupted: true, .. }) if over.is_some() => {
            Some((true, "TerminationByKubelet", message.clone()))
        }
        _ => None,
    }
}

/// `AllContainersRestarting`, where they may.
fn renewal<'a>(view: &View<'_>, spec: &PodSpec, over: Option<&'a str>) -> Option<Said<'a>> {
    let renews = over.is_none() && (next::renews(view, spec) || next::left(view, spec).next().is_some());
    restart::may_renew(spec).then(|| match renews {
        true => (true, "RestartAllContainersStarted", "container exited with restart policy rule".to_owned()),
        false => (false, over.unwrap_or_default(), String::new()),
    })
}

/// Readiness gates that are not true yet, in words.
fn open_gates(spec: &PodSpec, before: &PodStatus) -> Option<String> {
    let words: Vec<String> = spec
        .readiness_gates
        .iter()
        .flatten()
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match before.conditions.iter().flatten().find(|one| one.type_ == *kind) {
                Some(one) if one.status == "True" => None,
                Some(one) => Some(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    one.status
                )),
                None => {
                    Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist."))
                }
            }
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}
