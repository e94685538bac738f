use super::*;
use crate::pod::next::{Health, Waiting};
use crate::pod::observed::{Containers, Sandbox};
use k8s_openapi::api::core::v1::LinuxContainerUser;
use serde_json::json;
use std::collections::BTreeSet;

struct Given {
    pod: Pod,
    sandbox: Option<Sandbox>,
    containers: Containers,
    waiting: BTreeMap<String, Waiting>,
    health: BTreeMap<String, Health>,
    restarting: BTreeSet<String>,
    ending: Option<Ending>,
    messages: BTreeMap<String, String>,
    users: BTreeMap<String, ContainerUser>,
    resizing: Resizing,
    given: BTreeMap<String, (Amounts, InForce)>,
}

fn instance(container: &str, attempt: u32, state: State) -> Instance {
    Instance {
        id: format!("{container}{attempt}"),
        name: container.into(),
        container: container.into(),
        attempt,
        streak: attempt,
        sandbox: "s".into(),
        image: "registry:5000/web:1".into(),
        image_id: "registry:5000/web@sha256:7".into(),
        resources: None,
        state,
    }
}

fn exited(code: i32) -> State {
    State::Exited { code, out_of_memory: false, started: 1, finished: 2, error: None }
}

const UP: State = State::Running { started: 3 };

impl Given {
    fn of(policy: &str, instances: impl IntoIterator<Item = Instance>) -> Self {
        let spec = json!({
            "restartPolicy": policy,
            "initContainers": [{ "name": "i", "image": "registry:5000/web:1" }],
            "containers": [{ "name": "m", "image": "registry:5000/web:1" }],
        });
        let metadata = json!({ "name": "p", "namespace": "n", "uid": "u", "generation": 4 });
        Self {
            pod: serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap(),
            sandbox: Some(Sandbox {
                id: "s".into(),
                network: Some("/n".into()),
                addresses: vec!["10.1.0.2".parse().unwrap()],
                ..Sandbox::default()
            }),
            containers: Containers::of(instances),
            waiting: BTreeMap::new(),
            health: BTreeMap::new(),
            restarting: BTreeSet::new(),
            ending: None,
            messages: BTreeMap::new(),
            users: BTreeMap::new(),
            resizing: Resizing::default(),
            given: BTreeMap::new(),
        }
    }

    fn told(&self) -> PodStatus {
        let view = View {
            pod: &self.pod,
            sandbox: self.sandbox.as_ref(),
            containers: &self.containers,
            waiting: &self.waiting,
            health: &self.health,
            restarting: &self.restarting,
            ending: self.ending.as_ref(),
            until: None,
            now: 5,
        };
        let node = ["192.0.2.1".parse().unwrap()];
        let known = Known {
            node: &node,
            messages: &self.messages,
            users: &self.users,
            refused: None,
            resizing: &self.resizing,
            given: &self.given,
            of_pod: InForce::default(),
        };
        status(&view, &known)
    }
}

fn condition(status: &PodStatus, kind: &str) -> (String, Option<String>) {
    let one = status.conditions.iter().flatten().find(|one| one.type_ == kind).unwrap();
    (one.status.clone(), one.reason.clone())
}

fn main_state(status: &PodStatus) -> &ContainerState {
    status.container_statuses.as_ref().unwrap()[0].state.as_ref().unwrap()
}

#[test]
fn a_pod_goes_through_its_phases() {
    let begun = Given::of("Always", []).told();
    assert_eq!(begun.phase.as_deref(), Some("Pending"));
    assert_eq!(main_state(&begun).waiting.as_ref().unwrap().reason.as_deref(), Some("PodInitializing"));
    assert_eq!(condition(&begun, "Initialized"), ("False".into(), Some("ContainersNotInitialized".into())));
    assert_eq!((begun.pod_ip.as_deref(), begun.host_ip.as_deref()), (Some("10.1.0.2"), Some("192.0.2.1")));

    let mut up = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 0, UP)]);
    let running = up.told();
    assert_eq!(running.phase.as_deref(), Some("Running"));
    assert_eq!(condition(&running, "Ready"), ("False".into(), Some("ContainersNotReady".into())));
    up.health.insert("m0".into(), Health { started: true, ready: true, ..Health::default() });
    let ready = up.told();
    assert_eq!(condition(&ready, "Ready").0, "True");
    let own = &ready.container_statuses.unwrap()[0];
    assert_eq!(
        (own.image_id.as_str(), own.container_id.as_deref(), own.ready),
        ("registry:5000/web@sha256:7", Some("skerry://m0"), true)
    );
    assert!(ready.init_container_statuses.unwrap()[0].ready);
    assert_eq!(ready.observed_generation, Some(4));
}

#[test]
fn what_was_told_stands_when_the_containers_of_a_pod_that_is_over_are_removed() {
    let mut given = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 2, exited(137))]);
    given.sandbox = None;
    given.ending = Some(Ending::Failed {
        reason: "Evicted".to_owned(),
        message: "The node was low".to_owned(),
        grace: 1,
        disrupted: true,
    });
    let told = given.told();
    given.pod.status = Some(told.clone());
    given.containers = Containers::of([]);
    assert_eq!(given.told(), told);
    // An agent that comes after this one does not know why.
    given.ending = None;
    let after = given.told();
    assert_eq!((&after.reason, &after.container_statuses), (&told.reason, &told.container_statuses));
    assert_eq!(condition(&told, "Initialized").0, "True");
}

#[test]
fn what_was_told_stands_of_those_that_are_removed_already() {
    let all = [
        instance("i", 0, exited(0)),
        instance("m", 3, exited(137)),
        instance("m", 2, exited(1)),
        instance("n", 1, exited(2)),
    ];
    let mut given = Given::of("Always", all.clone());
    let spec = given.pod.spec.as_mut().unwrap();
    let other = |name: &str| Container { name: name.to_owned(), ..spec.containers[0].clone() };
    let others = [other("n"), other("never")];
    spec.containers.extend(others);
    given.sandbox = None;
    given.ending = Some(Ending::Failed {
        reason: "Evicted".to_owned(),
        message: "The node was low".to_owned(),
        grace: 1,
        disrupted: true,
    });
    let told = given.told();
    let ends = |status: &PodStatus| -> Vec<_> {
        let all = status.container_statuses.as_ref().unwrap().iter();
        all.map(|own| own.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code).collect()
    };
    assert_eq!(ends(&told), [137, 2, 137], "the last one has not been made");
    for left in 0..1 << all.len() {
        let is_left = |number: &usize| left >> number & 1 == 1;
        let some = (0..all.len()).filter(is_left).map(|number| all[number].clone());
        given.containers = Containers::of(some);
        if left & 0b110 == 0b010 {
            // The older instance of a container goes first: it is its last state.
            continue;
        }
        // By turns, as a worker tells it.
        given.pod.status = Some(told.clone());
        given.pod.status = Some(given.told());
        assert_eq!(given.told(), told, "{left:04b}");
    }
    // Who calls a pod over that runs has not seen its end.
    given.containers = Containers::of(all);
    let status = given.pod.status.as_mut().unwrap();
    status.container_statuses.as_mut().unwrap()[0].restart_count = 1;
    assert_eq!(given.told().container_statuses, told.container_statuses);
}

#[test]
fn a_containers_user_is_told_while_it_is_there() {
    let user = |uid| ContainerUser {
        linux: Some(LinuxContainerUser { uid, gid: 2, supplemental_groups: Some(vec![2, 3]) }),
    };
    let of = |status: &PodStatus| status.container_statuses.as_ref().unwrap()[0].user.clone();
    let mut given = Given::of("Always", [instance("m", 0, UP)]);
    assert_eq!(of(&given.told()), None, "nobody has looked yet");
    given.users.insert("m0".into(), user(1));
    let told = given.told();
    assert_eq!(of(&told), Some(user(1)));
    let mut ended = Given::of("Always", [instance("m", 0, exited(0))]);
    ended.pod.status = Some(told.clone());
    assert_eq!(of(&ended.told()), Some(user(1)), "it is remembered");
    let mut next = Given::of("Always", [instance("m", 1, UP), instance("m", 0, exited(0))]);
    next.pod.status = Some(told);
    assert_eq!(of(&next.told()), None, "this is another one");
}

#[test]
fn who_looks_into_a_pod_is_neither_started_nor_ready() {
    let mut given = Given::of("Always", [instance("m", 0, UP), instance("e", 0, UP)]);
    let ephemeral = json!([{ "name": "e", "image": "registry:5000/web:1" }]);
    given.pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(ephemeral).unwrap();
    for id in ["m0", "e0"] {
        given.health.insert(id.into(), Health { started: true, ready: true, ..Health::default() });
    }
    let told = given.told();
    let of = |list: &Option<Vec<ContainerStatus>>| {
        let own = &list.as_ref().unwrap()[0];
        (own.started, own.ready)
    };
    assert_eq!(of(&told.ephemeral_container_statuses), (None, false));
    assert_eq!(of(&told.container_statuses), (Some(true), true));
}

#[test]
fn the_image_is_that_of_the_container_until_there_is_another() {
    let mut given = Given::of("Always", [instance("m", 0, UP)]);
    given.pod.spec.as_mut().unwrap().containers[0].image = Some("registry:5000/web:2".into());
    let told = given.told();
    let images = |list: &Option<Vec<ContainerStatus>>| list.as_ref().unwrap()[0].image.clone();
    assert_eq!(images(&told.container_statuses), "registry:5000/web:1");
    assert_eq!(images(&told.init_container_statuses), "registry:5000/web:1", "what it will be, before it is");
}

#[test]
fn mounts_are_told_as_the_container_has_them() {
    let mut given = Given::of("Always", []);
    given.pod.spec.as_mut().unwrap().containers[0].volume_mounts = serde_json::from_value(json!([
        { "name": "a", "mountPath": "/a" },
        { "name": "b", "mountPath": "/b", "readOnly": true },
        { "name": "c", "mountPath": "/c", "readOnly": true, "recursiveReadOnly": "IfPossible" },
    ]))
    .unwrap();
    let told = given.told().container_statuses.unwrap()[0].volume_mounts.clone();
    let expected = json!([
        { "name": "a", "mountPath": "/a" },
        { "name": "b", "mountPath": "/b", "readOnly": true, "recursiveReadOnly": "Disabled" },
        { "name": "c", "mountPath": "/c", "readOnly": true, "recursiveReadOnly": "Enabled" },
    ]);
    assert_eq!(serde_json::to_value(told).unwrap(), expected);
}

#[test]
fn last_words_of_all_containers_together_are_short() {
    let ended = [instance("i", 0, exited(0)), instance("m", 0, exited(1))];
    let mut given = Given::of("Never", ended);
    given.messages.insert("m0".into(), "ä".repeat(4000));
    let told = given.told();
    let message = main_state(&told).terminated.as_ref().unwrap().message.clone().unwrap();
    assert_eq!(message.len(), 6 << 10);
}

#[test]
fn an_end_is_told_by_its_policy() {
    let ended = |policy: &str, code| {
        Given::of(policy, [instance("i", 0, exited(0)), instance("m", 0, exited(code))]).told()
    };
    for (policy, code, phase) in [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, "Running"),
        ("Always", 0, "Running"),
    ] {
        assert_eq!(ended(policy, code).phase.as_deref(), Some(phase), "{policy} {code}");
    }
    let failed = ended("Never", 137);
    let state = main_state(&failed).terminated.as_ref().unwrap();
    assert_eq!(
        (state.exit_code, state.reason.as_deref()),
        (137, Some("Error")),
        "137 alone is no lack of memory"
    );
    assert_eq!(condition(&failed, "Ready").1.as_deref(), Some("PodFailed"));
    let mut given = Given::of("Never", [instance("i", 0, exited(3))]);
    assert_eq!(given.told().phase.as_deref(), Some("Failed"));
    given.pod.status = Some(PodStatus { phase: Some("Succeeded".into()), ..PodStatus::default() });
    assert_eq!(given.told().phase.as_deref(), Some("Succeeded"), "an end is for ever");
}

#[test]
fn a_crash_loop_shows_the_last_end() {
    let oom = State::Exited { code: 137, out_of_memory: true, started: 1, finished: 2, error: None };
    let mut given = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 1, oom)]);
    given.messages.insert("m1".into(), "no more".into());
    let status = given.told();
    let own = &status.container_statuses.as_ref().unwrap()[0];
    let waiting = main_state(&status).waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(waiting.message.as_deref(), Some("back-off 10s restarting failed container=m pod=p_n(u)"));
    let mut again = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 4, exited(1))]);
    again.waiting.clear();
    let waiting = main_state(&again.told()).waiting.clone().unwrap();
    assert!(waiting.message.unwrap().starts_with("back-off 1m20s restarting"), "as Go writes a time");
    let last = own.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.reason.as_deref(), last.message.as_deref()), (Some("OOMKilled"), Some("no more")));
    assert_eq!((own.restart_count, status.phase.as_deref()), (1, Some("Running")));
}

#[test]
fn who_could_not_be_started_and_is_due_says_so() {
    let state = State::Exited {
        code: 127,
        out_of_memory: false,
        started: 1,
        finished: 2,
        error: Some("exec: \"/nope\": no such file".into()),
    };
    let status = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 0, state.clone())]).told();
    let waiting = main_state(&status).waiting.clone().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("RunContainerError"));
    assert!(waiting.message.unwrap().contains("/nope"));
    let status = Given::of("Never", [instance("i", 0, exited(0)), instance("m", 0, state)]).told();
    assert_eq!(main_state(&status).terminated.as_ref().unwrap().reason.as_deref(), Some("StartError"));
}

#[test]
fn a_lack_of_memory_is_the_reason_however_the_first_process_ended() {
    let end = State::Exited { code: 0, out_of_memory: true, started: 1, finished: 2, error: None };
    let status = Given::of("Never", [instance("i", 0, exited(0)), instance("m", 0, end)]).told();
    let told = main_state(&status).terminated.as_ref().unwrap();
    assert_eq!((told.reason.as_deref(), told.exit_code), (Some("OOMKilled"), 0));
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
}

#[test]
fn no_end_is_told_that_would_have_to_be_taken_back() {
    let mut given = Given::of("OnFailure", [instance("i", 0, exited(0)), instance("m", 0, exited(0))]);
    given.restarting.insert("m0".into());
    let status = given.told();
    assert_eq!(main_state(&status).waiting.as_ref().unwrap().reason.as_deref(), Some("ContainerCreating"));
    let last = status.container_statuses.as_ref().unwrap()[0].last_state.as_ref().unwrap();
    assert_eq!(last.terminated.as_ref().unwrap().exit_code, 0, "it is still to be seen");

    // After a reboot what prepares the pod runs again.
    let of = |policy: &str, own: Option<&str>| {
        let mut given = Given::of(policy, [instance("i", 0, exited(0))]);
        let init = given.pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap();
        init[0].restart_policy = own.map(str::to_owned);
        given.pod.status = Some(given.told());
        given.containers = Containers::of([instance("i", 1, UP), instance("i", 0, exited(0))]);
        given.told().init_container_statuses.unwrap().remove(0)
    };
    for (policy, own, stays) in
        [("OnFailure", None, true), ("Always", Some("Never"), true), ("Always", None, false)]
    {
        let state = of(policy, own).state.unwrap();
        assert_eq!(state.terminated.map(|own| own.exit_code), stays.then_some(0), "{policy} {own:?}");
        assert_eq!(state.running.is_none(), stays, "{policy} {own:?}");
    }
}

#[test]
fn what_keeps_it_from_being_made_is_told() {
    let mut given = Given::of("Always", [instance("i", 0, exited(0))]);
    let waiting =
        Waiting { reason: "ErrImagePull".into(), message: "no such image".into(), until: 9, failures: 1 };
    given.waiting.insert("m".into(), waiting);
    let status = given.told();
    let waiting = main_state(&status).waiting.as_ref().unwrap();
    assert_eq!(
        (waiting.reason.as_deref(), waiting.message.as_deref()),
        (Some("ErrImagePull"), Some("no such image"))
    );
}

#[test]
fn nobody_waits_in_a_pod_that_is_over() {
    let deleted = |instances: &[Instance]| {
        let mut given = Given::of("Always", instances.iter().cloned());
        given.ending = Some(Ending::Deleted);
        given.told()
    };
    let status = deleted(&[instance("i", 0, exited(0))]);
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    let state = main_state(&status).terminated.as_ref().unwrap();
    assert_eq!((state.exit_code, state.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    assert!(main_state(&deleted(&[])).waiting.is_some(), "it has not come that far");
}

#[test]
fn who_is_deleted_or_evicted_ends_once_nothing_runs() {
    let mut given = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 0, UP)]);
    given.ending = Some(Ending::Failed {
        reason: "Evicted".into(),
        message: "low on memory".into(),
        grace: 0,
        disrupted: true,
    });
    let running = given.told();
    assert_eq!((running.phase.as_deref(), running.reason), (Some("Running"), None));
    let is_target = |one: &PodCondition| one.type_ == "DisruptionTarget";
    assert!(!running.conditions.unwrap().iter().any(is_target), "it may go on yet");
    given.containers = Containers::of([instance("i", 0, exited(0)), instance("m", 0, exited(0))]);
    let status = given.told();
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("Evicted")));
    assert_eq!(condition(&status, "DisruptionTarget"), ("True".into(), Some("TerminationByKubelet".into())));
    given.ending = Some(Ending::Deleted);
    assert_eq!(given.told().phase.as_deref(), Some("Succeeded"));
    given.containers = Containers::default();
    assert_eq!(given.told().phase.as_deref(), Some("Failed"), "it never ran");
}

#[test]
fn a_reason_is_that_of_an_end() {
    let with = |phase: &str, instances: &[Instance]| {
        let mut given = Given::of("Always", instances.iter().cloned());
        given.pod.status =
            Some(serde_json::from_value(json!({ "phase": phase, "reason": "Evicted" })).unwrap());
        given.ending = Some(Ending::Failed {
            reason: "DeadlineExceeded".into(),
            message: String::new(),
            grace: 0,
            disrupted: false,
        });
        given.told().reason
    };
    let up = [instance("i", 0, exited(0)), instance("m", 0, UP)];
    assert_eq!(with("Running", &up), None, "an agent before this one began to end it, and this one does not");
    assert_eq!(with("Running", &[]).as_deref(), Some("DeadlineExceeded"));
    assert_eq!(with("Failed", &[]).as_deref(), Some("Evicted"), "what is over has its last word");
}

#[test]
fn readiness_gates_are_others_words() {
    let mut given = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 0, UP)]);
    given.health.insert("m0".into(), Health { started: true, ready: true, ..Health::default() });
    given.pod.spec.as_mut().unwrap().readiness_gates =
        serde_json::from_value(json!([{ "conditionType": "x/y" }])).unwrap();
    assert_eq!(condition(&given.told(), "Ready"), ("False".into(), Some("ReadinessGatesNotReady".into())));
    given.pod.status =
        serde_json::from_value(json!({ "conditions": [{ "type": "x/y", "status": "True" }] })).unwrap();
    let status = given.told();
    assert_eq!(condition(&status, "Ready").0, "True");
    assert!(status.conditions.unwrap().iter().all(|one| one.type_ != "x/y"), "not ours to send");
}

#[test]
fn resources_are_told_as_they_hold_and_a_resize_while_it_goes_on() {
    let mut given = Given::of("Always", [instance("i", 0, exited(0)), instance("m", 0, UP)]);
    let resources = json!({ "limits": { "memory": "64Mi" }, "requests": { "memory": "32Mi" } });
    given.pod.spec.as_mut().unwrap().containers[0].resources =
        Some(serde_json::from_value(resources.clone()).unwrap());
    given.resizing.begin(Some(4), 3);
    let before = Amounts { memory_request: 32 << 20, memory_limit: 48 << 20, ..Amounts::default() };
    let now = InForce { memory: Some(48 << 20), ..InForce::default() };
    given.given.insert("m0".into(), (before, now));
    let told = given.told();
    let main = &told.container_statuses.as_ref().unwrap()[0];
    assert_eq!(
        json!(main.resources),
        json!({ "limits": { "memory": "48Mi" }, "requests": { "memory": "32Mi" } })
    );
    assert_eq!(json!(main.allocated_resources), json!({ "memory": "32Mi" }));
    let progress = |told: &PodStatus| {
        let mut all = told.conditions.iter().flatten();
        all.find(|one| one.type_ == "PodResizeInProgress").map(|one| one.observed_generation)
    };
    assert_eq!(progress(&told), Some(Some(4)));
    given.containers = Containers::of([instance("m", 0, exited(1))]);
    let told = given.told();
    assert_eq!(
        json!(told.container_statuses.unwrap()[0].resources),
        resources,
        "what does not run has what it will get"
    );
    given.ending = Some(Ending::Deleted);
    assert_eq!(progress(&given.told()), None, "what is over is not resized");
}

#[test]
fn a_pod_whose_containers_all_begin_anew_says_so_and_goes_on() {
    let mut given =
        Given::of("Never", [instance("i", 0, exited(0)), instance("m", 0, UP), instance("w", 0, exited(9))]);
    let rule = json!({ "action": "RestartAllContainers", "exitCodes": { "operator": "In", "values": [9] } });
    let watcher = json!({ "name": "w", "restartPolicy": "Never", "restartPolicyRules": [rule] });
    given.pod.spec.as_mut().unwrap().containers.push(serde_json::from_value(watcher).unwrap());
    let of = |given: &Given| {
        let told = given.told();
        let (status, reason) = condition(&told, "AllContainersRestarting");
        let running = (told.phase.as_deref(), condition(&told, "Initialized").0)
            == (Some("Running"), "True".to_owned());
        assert!(running, "{told:?}");
        (status, reason, told)
    };
    let begun = (String::from("True"), Some("RestartAllContainersStarted".to_owned()));
    let (status, reason, _) = of(&given);
    assert_eq!((status, reason), begun, "as soon as it is known");
    let sandbox = given.sandbox.as_mut().unwrap();
    (sandbox.id, sandbox.renewed) = ("t".into(), true);
    let (status, reason, told) = of(&given);
    assert_eq!((status, reason), begun, "one of them runs still");
    assert!(main_state(&told).running.is_some());
    given.containers = Containers::of([
        instance("i", 0, exited(0)),
        instance("m", 0, exited(137)),
        instance("w", 0, exited(9)),
    ]);
    let (status, reason, told) = of(&given);
    assert_eq!((status.as_str(), reason), ("False", None));
    let main = &told.container_statuses.as_ref().unwrap()[0];
    let waiting = main.state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("RestartingAllContainers"));
    assert_eq!(main.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 137);
    let init = &told.init_container_statuses.as_ref().unwrap()[0];
    assert!(init.state.as_ref().unwrap().waiting.is_some(), "{init:?}");
    given.ending = Some(Ending::Deleted);
    assert_eq!(given.told().phase.as_deref(), Some("Failed"));
}
