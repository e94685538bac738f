use super::*;
use serde_json::json;

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "p", "uid": "u" }, "spec": spec })).unwrap()
}

fn sandbox() -> Sandbox {
    Sandbox { id: "s".into(), ..Sandbox::default() }
}

fn instance(container: &str, attempt: u32, streak: u32, state: State) -> Instance {
    Instance {
        id: format!("{container}.{attempt}"),
        name: format!("{container}.{attempt}"),
        container: container.into(),
        attempt,
        streak,
        sandbox: "s".into(),
        image: "i".into(),
        image_id: String::new(),
        resources: None,
        state,
    }
}

fn exited(code: i32, started: i64, finished: i64) -> State {
    State::Exited { code, out_of_memory: false, started, finished, error: None }
}

const UP: State = State::Running { started: 0 };

struct Given {
    pod: Pod,
    sandbox: Option<Sandbox>,
    containers: Containers,
    waiting: BTreeMap<String, Waiting>,
    health: BTreeMap<String, Health>,
    ending: Option<Ending>,
    until: Option<i64>,
    restarting: BTreeSet<String>,
}

impl Given {
    fn of(spec: serde_json::Value, instances: impl IntoIterator<Item = Instance>) -> Self {
        Self {
            pod: pod(spec),
            sandbox: Some(sandbox()),
            containers: Containers::of(instances),
            waiting: BTreeMap::new(),
            health: BTreeMap::new(),
            ending: None,
            until: None,
            restarting: BTreeSet::new(),
        }
    }

    fn at(&self, now: i64) -> Action {
        self.with(now, next)
    }

    fn with<T>(&self, now: i64, of: impl FnOnce(&View<'_>) -> T) -> T {
        of(&View {
            pod: &self.pod,
            sandbox: self.sandbox.as_ref(),
            containers: &self.containers,
            waiting: &self.waiting,
            health: &self.health,
            restarting: &self.restarting,
            ending: self.ending.as_ref(),
            until: self.until,
            now,
        })
    }

    fn healthy(mut self, id: &str) -> Self {
        self.health.insert(id.into(), Health { started: true, ready: true, ..Health::default() });
        self
    }
}

fn begins(container: &str, kind: Kind) -> Action {
    Action::Run { container: container.into(), kind, attempt: 0, streak: 0 }
}

fn again(container: &str, kind: Kind, attempt: u32, streak: u32) -> Action {
    Action::Run { container: container.into(), kind, attempt, streak }
}

fn stop(id: &str, grace: i64) -> Action {
    Action::Stop { ids: vec![id.into()], grace, anew: false, later: Vec::new() }
}

fn stop_anew(id: &str, grace: i64) -> Action {
    Action::Stop { ids: vec![id.into()], grace, anew: true, later: Vec::new() }
}

#[test]
fn init_containers_run_in_order_and_then_all_others() {
    let spec = json!({
        "initContainers": [{ "name": "a", "image": "i" }, { "name": "s", "image": "i", "restartPolicy": "Always" }],
        "containers": [{ "name": "m", "image": "i" }, { "name": "n", "image": "i" }],
    });
    let mut none = Given::of(spec.clone(), []);
    none.sandbox = None;
    assert_eq!(none.at(0), Action::MakeSandbox);
    let given = |instances: &[Instance]| Given::of(spec.clone(), instances.iter().cloned());
    let a = instance("a", 0, 0, exited(0, 0, 1));
    let (s, m) = (instance("s", 0, 0, UP), instance("m", 0, 0, UP));
    assert_eq!(given(&[]).at(0), begins("a", Kind::Init));
    assert_eq!(given(&[instance("a", 0, 0, UP)]).at(0), Action::Wait(None));
    assert_eq!(given(std::slice::from_ref(&a)).at(1), begins("s", Kind::Sidecar));
    let up = [a.clone(), s.clone()];
    assert_eq!(given(&up).at(1), Action::Wait(None), "its startup probe has not passed");
    assert_eq!(given(&up).healthy("s.0").at(1), begins("m", Kind::Main));
    assert_eq!(given(&[a.clone(), s.clone(), m.clone()]).healthy("s.0").at(1), begins("n", Kind::Main));
    // Init containers that are done are not run again, even when nothing is left of them.
    assert_eq!(given(&[s, m]).at(1), begins("n", Kind::Main));
}

#[test]
fn a_new_sandbox_begins_from_the_start() {
    let spec = json!({
        "initContainers": [{ "name": "a", "image": "i" }],
        "containers": [{ "name": "m", "image": "i" }],
        "restartPolicy": "OnFailure",
    });
    let mut given =
        Given::of(spec, [instance("a", 0, 0, exited(0, 0, 1)), instance("m", 0, 0, exited(137, 1, 2))]);
    given.sandbox.as_mut().unwrap().id = "other".into();
    assert_eq!(given.at(3), again("a", Kind::Init, 1, 1));
}

#[test]
fn restarts_wait_ever_longer_and_a_long_run_forgives() {
    let spec = json!({ "containers": [{ "name": "m", "image": "i" }] });
    let after = |streak, started, finished, now| {
        Given::of(spec.clone(), [instance("m", 4, streak, exited(1, started, finished))]).at(now)
    };
    assert_eq!(after(0, 0, 5, 5), again("m", Kind::Main, 5, 1), "the first at once");
    assert_eq!(after(1, 0, 5, 5), Action::Wait(Some(15)));
    assert_eq!(after(1, 0, 5, 15), again("m", Kind::Main, 5, 2));
    assert_eq!(after(2, 0, 5, 15), Action::Wait(Some(25)));
    assert_eq!(after(9, 0, 5, 15), Action::Wait(Some(305)));
    assert_eq!(after(9, 0, 600, 600), again("m", Kind::Main, 5, 0));
    let mut other = Given::of(spec.clone(), [instance("m", 4, 9, exited(1, 0, 5))]);
    other.pod.spec.as_mut().unwrap().containers[0].image = Some("j".into());
    assert_eq!(other.at(5), again("m", Kind::Main, 5, 0), "another image begins anew");
}

#[test]
fn the_policy_says_what_follows_an_end() {
    let run = |policy: &str, code| {
        let spec = json!({ "restartPolicy": policy, "containers": [{ "name": "m", "image": "i" }] });
        let mut given = Given::of(spec, [instance("m", 0, 0, exited(code, 0, 1))]);
        let first = given.at(1);
        given.sandbox = None;
        (first, given.at(1))
    };
    let restart = || again("m", Kind::Main, 1, 1);
    assert_eq!(run("Always", 0).0, restart());
    assert_eq!(run("OnFailure", 1).0, restart());
    for (policy, code) in [("OnFailure", 0), ("Never", 0), ("Never", 1)] {
        assert_eq!(run(policy, code), (Action::TearDown, Action::Done), "{policy} {code}");
    }
}

#[test]
fn an_init_container_that_fails_for_good_ends_the_pod() {
    let spec = |policy: &str| {
        json!({
            "restartPolicy": policy,
            "initContainers": [{ "name": "a", "image": "i" }],
            "containers": [{ "name": "m", "image": "i" }],
        })
    };
    let failed = || [instance("a", 0, 0, exited(1, 0, 1))];
    assert_eq!(Given::of(spec("Never"), failed()).at(1), Action::TearDown);
    assert_eq!(Given::of(spec("Always"), failed()).at(1), again("a", Kind::Init, 1, 1));
}

#[test]
fn a_deleted_pod_ends_with_its_sidecars_in_reverse() {
    let spec = json!({
        "initContainers": [
            { "name": "s", "image": "i", "restartPolicy": "Always" },
            { "name": "t", "image": "i", "restartPolicy": "Always" },
        ],
        "containers": [{ "name": "m", "image": "i" }],
    });
    let deleted = |instances: &[Instance]| {
        let mut given = Given::of(spec.clone(), instances.iter().cloned());
        (given.ending, given.until) = (Some(Ending::Deleted), Some(30));
        given
    };
    let (s, t) = (instance("s", 0, 0, UP), instance("t", 0, 0, UP));
    let before = |id: &str, grace, later: &[&str]| Action::Stop {
        ids: vec![id.into()],
        grace,
        anew: false,
        later: later.iter().map(|&id| id.to_owned()).collect(),
    };
    let all = [s.clone(), t.clone(), instance("m", 0, 0, UP)];
    assert_eq!(deleted(&all).at(10), before("m.0", 20, &["t.0", "s.0"]));
    assert_eq!(deleted(&[s.clone(), t.clone()]).at(12), before("t.0", 18, &["s.0"]));
    let overdue =
        Action::Stop { ids: vec!["t.0".into(), "s.0".into()], grace: 0, anew: false, later: vec![] };
    assert_eq!(deleted(&[s.clone(), t]).at(30), overdue, "nobody's turn is waited for any more");
    assert_eq!(deleted(&[s]).at(99), stop("s.0", 0));
    assert_eq!(deleted(&[]).at(13), Action::TearDown);
}

#[test]
fn a_pod_that_ends_by_itself_has_its_time_once() {
    let spec = json!({
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 20,
        "initContainers": [{ "name": "s", "image": "i", "restartPolicy": "Always" }],
        "containers": [{ "name": "m", "image": "i" }],
    });
    let mut given = Given::of(spec, [instance("s", 0, 0, UP), instance("m", 0, 0, exited(0, 0, 1))]);
    assert_eq!(given.with(1, super::grace), Some(20));
    given.until = Some(21);
    assert_eq!(given.at(15), stop("s.0", 6), "it runs from the beginning of the end");
    given.ending = Some(Ending::Deleted);
    assert_eq!(given.with(15, super::grace), None);
}

#[test]
fn what_cannot_be_made_waits_and_keeps_nothing_else_from_running() {
    let spec = json!({ "containers": [{ "name": "m", "image": "i" }, { "name": "n", "image": "i" }] });
    let mut given = Given::of(spec, []);
    let waiting =
        Waiting { reason: "ImagePullBackOff".into(), message: String::new(), until: 10, failures: 1 };
    given.waiting.insert("m".into(), waiting);
    assert_eq!(given.at(5), begins("n", Kind::Main));
    assert_eq!(given.at(10), begins("m", Kind::Main));
    assert_eq!(given.at(-5000), begins("m", Kind::Main), "the clock was set back");
}

#[test]
fn a_status_changes_nothing_and_an_annotation_does() {
    let pod = pod(json!({ "containers": [{ "name": "m", "image": "i" }] }));
    let mut other = pod.clone();
    other.status = serde_json::from_value(json!({ "phase": "Running" })).unwrap();
    assert!(reads_alike(&pod, &other));
    other.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    assert!(!reads_alike(&pod, &other));
}

#[test]
fn what_its_probe_or_its_image_says_is_wrong_is_stopped() {
    let spec = json!({ "containers": [{ "name": "m", "image": "i" }], "terminationGracePeriodSeconds": 7 });
    let mut given = Given::of(spec, [instance("m", 0, 0, UP)]);
    assert_eq!(given.at(0), Action::Wait(None));
    given.health.insert("m.0".into(), Health { failed: Some("liveness"), ..Health::default() });
    assert_eq!(given.at(0), stop_anew("m.0", 7));
    given.health.get_mut("m.0").unwrap().grace = Some(2);
    assert_eq!(given.at(0), stop_anew("m.0", 2), "the probe has its own word");
    given.pod.spec.as_mut().unwrap().restart_policy = Some("Never".into());
    assert_eq!(given.at(0), stop("m.0", 2));
    given.health.clear();
    given.pod.spec.as_mut().unwrap().containers[0].image = Some("j".into());
    assert_eq!(given.at(0), stop_anew("m.0", 7), "another image is begun whatever the policy");
}

#[test]
fn an_init_container_runs_to_its_end_whatever_image_it_is_to_have() {
    let spec = json!({
        "initContainers": [{ "name": "a", "image": "j" }],
        "containers": [{ "name": "m", "image": "i" }],
    });
    let given = |kind: serde_json::Value| {
        let mut given = Given::of(spec.clone(), [instance("a", 0, 0, UP)]);
        let init = &mut given.pod.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0];
        init.restart_policy = kind.as_str().map(str::to_owned);
        given
    };
    assert_eq!(given(json!(null)).at(0), Action::Wait(None));
    assert_eq!(given(json!("Always")).at(0), stop_anew("a.0", 30), "a sidecar is as the others");
}

#[test]
fn who_looks_into_a_pod_need_not_wait_until_it_is_up() {
    let spec = json!({
        "initContainers": [{ "name": "a", "image": "i" }],
        "containers": [{ "name": "m", "image": "i" }],
        "ephemeralContainers": [{ "name": "e", "image": "i" }],
    });
    let hangs = instance("a", 0, 0, UP);
    assert_eq!(Given::of(spec.clone(), [hangs.clone()]).at(0), begins("e", Kind::Ephemeral));
    let ended = instance("e", 0, 0, exited(0, 0, 1));
    assert_eq!(Given::of(spec.clone(), [hangs.clone(), ended]).at(2), Action::Wait(None), "and begins once");
    let made = instance("e", 0, 0, State::Created);
    assert_eq!(Given::of(spec, [hangs, made]).at(0), begins("e", Kind::Ephemeral), "who made it was killed");
}

#[test]
fn an_end_is_for_ever() {
    let spec = json!({ "containers": [{ "name": "m", "image": "i" }] });
    let mut given = Given::of(spec, []);
    given.pod.status = serde_json::from_value(json!({ "phase": "Failed" })).unwrap();
    assert_eq!(given.at(0), Action::TearDown);
    given.sandbox = None;
    assert_eq!(given.at(0), Action::Done);
}

#[test]
fn a_container_that_was_made_and_not_started_is_the_one_that_starts() {
    let spec = json!({ "containers": [{ "name": "m", "image": "i" }] });
    let mut given = Given::of(spec, [instance("m", 2, 1, State::Created)]);
    assert_eq!(given.at(0), again("m", Kind::Main, 2, 1));
    given.sandbox.as_mut().unwrap().id = "other".into();
    assert_eq!(given.at(0), again("m", Kind::Main, 3, 1), "what it was made for is there no more");
}

/// Whatever ends how and when, a pod always comes to rest, and no init container is run after a main one began.
#[test]
fn every_pod_comes_to_rest() {
    let spec = json!({
        "restartPolicy": "OnFailure",
        "initContainers": [{ "name": "a", "image": "i" }, { "name": "b", "image": "i" }],
        "containers": [{ "name": "m", "image": "i" }, { "name": "n", "image": "i" }],
    });
    for seed in 0..500_u64 {
        let mut random = seed;
        let mut dice = move |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        let (mut all, mut has_sandbox, mut now, mut main_began) = (Vec::new(), false, 0, false);
        let mut rested = false;
        for _ in 0..400 {
            let mut given = Given::of(spec.clone(), all.iter().cloned());
            given.sandbox = has_sandbox.then(sandbox);
            match given.at(now) {
                Action::MakeSandbox => has_sandbox = true,
                Action::Run { container, kind, attempt, streak } => {
                    assert!(!(kind == Kind::Init && main_began), "seed {seed}: {container} after a main one");
                    main_began |= kind == Kind::Main;
                    all.push(instance(&container, attempt, streak, State::Running { started: now }));
                }
                Action::Stop { .. } | Action::Renew => panic!("seed {seed}: nobody asked for a stop"),
                Action::TearDown => has_sandbox = false,
                Action::Wait(until) => {
                    now = until.unwrap_or(now + 1);
                    if let Some(one) = all.iter_mut().find(|one| one.runs()) {
                        // Sooner or later it works.
                        let code = i32::from(dice(3) == 0);
                        one.state = exited(code, now, now + 1);
                    }
                }
                Action::Done => {
                    rested = true;
                    break;
                }
            }
        }
        assert!(rested && main_began, "seed {seed}: {all:?}");
    }
}

#[test]
fn an_init_container_that_its_rule_restarts_does_not_end_the_pod() {
    let codes = json!({ "operator": "In", "values": [42] });
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "init", "image": "i", "restartPolicy": "Never",
            "restartPolicyRules": [{ "action": "Restart", "exitCodes": codes }] }],
        "containers": [{ "name": "main", "image": "i" }],
    });
    let given = |code| Given::of(spec.clone(), [instance("init", 0, 0, exited(code, 0, 5))]);
    assert_eq!(given(42).at(5), again("init", Kind::Init, 1, 1));
    assert_eq!(given(1).at(5), Action::TearDown);
}

#[test]
fn who_is_ended_to_begin_anew_does_so_however_it_ends() {
    let spec = json!({ "restartPolicy": "OnFailure", "containers": [{ "name": "m", "image": "i" }] });
    let of = |state| {
        let mut given = Given::of(spec.clone(), [instance("m", 0, 1, state)]);
        given.restarting.insert("m.0".into());
        [given.at(6), given.at(15)]
    };
    assert_eq!(of(UP)[0], stop_anew("m.0", 30));
    let waits = Action::Wait(Some(15));
    assert_eq!(of(exited(0, 0, 5)), [waits, again("m", Kind::Main, 1, 2)], "it is restarted as others are");
    assert_eq!(Given::of(spec.clone(), [instance("m", 0, 3, exited(0, 0, 5))]).at(6), Action::TearDown);
}

#[test]
fn in_another_sandbox_what_has_ended_for_good_stays_so() {
    let two = json!([{ "name": "m", "image": "i" }, { "name": "n", "image": "i" }]);
    for (policy, code, anew) in [("OnFailure", 0, false), ("OnFailure", 255, true), ("Always", 0, true)] {
        let up = instance("n", 0, 0, UP);
        let ended = instance("m", 0, 0, exited(code, 0, 1));
        let mut given = Given::of(json!({ "restartPolicy": policy, "containers": two }), [ended, up]);
        given.sandbox.as_mut().unwrap().id = "other".into();
        let expected = if anew { again("m", Kind::Main, 1, 1) } else { stop("n.0", 30) };
        assert_eq!(given.at(2), expected, "{policy} {code}");
    }
    let over = instance("m", 0, 0, exited(255, 0, 1));
    let mut given =
        Given::of(json!({ "restartPolicy": "Never", "containers": [{ "name": "m", "image": "i" }] }), [over]);
    given.sandbox = None;
    assert!(!matches!(given.at(2), Action::Run { .. } | Action::MakeSandbox), "{:?}", given.at(2));
}

#[test]
fn all_containers_begin_anew_after_an_end_by_whose_rule_they_do() {
    let codes = json!({ "operator": "In", "values": [88] });
    let spec = json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "a", "image": "i" }, { "name": "s", "image": "i", "restartPolicy": "Always" }],
        "containers": [{ "name": "m", "image": "i" }, { "name": "n", "image": "i" },
            { "name": "w", "image": "i", "restartPolicy": "Never",
              "restartPolicyRules": [{ "action": "RestartAllContainers", "exitCodes": codes }] }],
    });
    let all = |sidecar, main, watcher| {
        vec![
            instance("a", 0, 0, exited(0, 0, 1)),
            instance("s", 0, 0, sidecar),
            instance("m", 0, 0, main),
            // It has done its work, and does it once more.
            instance("n", 0, 0, exited(0, 1, 3)),
            instance("w", 0, 0, watcher),
        ]
    };
    let given = |instances: Vec<Instance>| Given::of(spec.clone(), instances).healthy("s.0").healthy("s.1");
    assert_eq!(given(all(UP, UP, exited(1, 1, 4))).at(4), Action::Wait(None), "that is another end");
    assert_eq!(given(all(UP, UP, exited(88, 1, 4))).at(4), Action::Renew);
    let renewed = |instances: Vec<Instance>| {
        let mut given = given(instances);
        given.sandbox = Some(Sandbox { id: "t".into(), renewed: true, ..Sandbox::default() });
        given
    };
    let ids = vec!["s.0".to_owned(), "m.0".to_owned()];
    let stop = Action::Stop { ids, grace: 0, anew: false, later: Vec::new() };
    assert_eq!(renewed(all(UP, UP, exited(88, 1, 4))).at(4), stop);
    let mut instances = all(exited(137, 1, 5), exited(137, 1, 5), exited(88, 1, 4));
    let order =
        [("a", Kind::Init), ("s", Kind::Sidecar), ("m", Kind::Main), ("n", Kind::Main), ("w", Kind::Main)];
    for (name, kind) in order {
        assert_eq!(renewed(instances.clone()).at(5), again(name, kind, 1, 1));
        let state = if kind == Kind::Init { exited(0, 5, 5) } else { UP };
        instances.push(Instance { sandbox: "t".into(), ..instance(name, 1, 1, state) });
    }
    assert_eq!(renewed(instances.clone()).at(6), Action::Wait(None));
    // Once more, and too soon: whoever ended waits as others that crash do.
    let last = instances.last_mut().unwrap();
    last.state = exited(88, 5, 6);
    assert_eq!(renewed(instances.clone()).at(6), Action::Renew);
    for one in instances.iter_mut().filter(|one| one.runs()) {
        one.state = exited(137, 5, 7);
    }
    let mut given = renewed(instances);
    given.sandbox.as_mut().unwrap().id = "u".into();
    assert_eq!((given.at(7), given.at(15)), (Action::Wait(Some(15)), again("a", Kind::Init, 2, 2)));
}
