//! Probes: what a pod's containers say of themselves, looked at from the node.
//!
//! A startup probe goes before the others. A probe that cannot be tried counts for nothing. While a pod ends, its
//! readiness is still looked at, nothing else.

use crate::attempt::{self, Outcome};
use crate::events::Events;
use crate::monitor::Monitor;
use crate::pod::env::expand;
use crate::pod::next::Health;
use crate::server::stats::{self, Stats};
use k8s_openapi::api::core::v1::{Container, ExecAction, Pod, Probe};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

/// How often a probe that could not be tried is tried again at once.
const TRIES: u32 = 3;

/// What is known, shared between a pod's worker and its probes.
#[derive(Debug, Default)]
struct Board {
    health: Mutex<BTreeMap<String, Health>>,
    changed: Notify,
    ending: AtomicBool,
}

impl Board {
    fn change(&self, id: &str, change: impl FnOnce(&mut Health)) {
        let mut all = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(id.to_owned()).or_default();
        let before = *own;
        change(own);
        if before != *own {
            self.changed.notify_one();
        }
    }
}

/// The probes of a pod's containers.
#[derive(Debug, Default)]
pub struct Probes {
    board: Arc<Board>,
    tasks: BTreeMap<String, JoinHandle<()>>,
}

/// A container to be looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Who runs it.
    pub monitor: Monitor,
    /// Where is told that it is not well.
    pub events: Events,
    /// Its pod.
    pub pod: Arc<Pod>,
    /// What it is.
    pub container: Container,
    /// The monitor's ID of it.
    pub id: String,
    /// When it was started, in seconds since 1970.
    pub started: i64,
    /// The pod's address.
    pub address: IpAddr,
    /// What was known of it before this agent was started.
    pub before: Option<Health>,
    /// Where outcomes are counted.
    pub stats: Arc<Stats>,
}

impl Subject {
    fn count(&self, kind: &'static str, outcome: &Outcome, time: Duration) {
        let result = match outcome {
            Outcome::Good | Outcome::Warning(_) => "successful",
            Outcome::Bad(_) => "failed",
            Outcome::Unknown(_) => "unknown",
        };
        let uid = self.pod.metadata.uid.clone().unwrap_or_default();
        let container = self.container.name.clone();
        self.stats.probes.count(stats::Probe { uid, container, kind, result }, time);
    }
}

impl Probes {
    /// What they say by now, by the container's ID.
    pub fn health(&self) -> BTreeMap<String, Health> {
        self.board.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when they say something else.
    pub async fn changed(&self) {
        self.board.changed.notified().await;
    }

    /// A container of this ID is looked at already.
    pub fn looks_at(&self, id: &str) -> bool {
        self.tasks.contains_key(id)
    }

    /// Begins to look at a container that runs.
    pub fn begin(&mut self, subject: Subject) {
        let first = first(&subject.container, subject.before);
        self.board.change(&subject.id, |own| *own = first);
        let (id, board) = (subject.id.clone(), self.board.clone());
        self.tasks.insert(id, tokio::spawn(look(subject, board, first.started)));
    }

    /// Looks no longer at those that are not among these.
    pub fn retain(&mut self, running: impl Fn(&str) -> bool) {
        self.tasks.retain(|id, task| {
            let stays = running(id);
            if !stays {
                task.abort();
                self.board.health.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
            }
            stays
        });
    }

    /// The pod ends: only its readiness matters from now on.
    pub fn end(&self) {
        self.board.ending.store(true, Ordering::Relaxed);
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

/// What holds of a container before its probes have said anything: what an agent before this one knew, and what a probe
/// would say that it does not have.
fn first(container: &Container, before: Option<Health>) -> Health {
    let before = before.unwrap_or_default();
    Health {
        started: before.started || container.startup_probe.is_none(),
        ready: before.ready || container.readiness_probe.is_none(),
        ..Health::default()
    }
}

async fn look(subject: Subject, board: Arc<Board>, started: bool) {
    let container = subject.container.clone();
    if let Some(probe) = container.startup_probe.as_ref().filter(|_| !started) {
        let passed = watch(&subject, &board, probe, "Startup", |good| {
            board.change(&subject.id, |own| match good {
                true => own.started = true,
                false => own.fail("startup", probe),
            });
            // It is over either way.
            true
        });
        passed.await;
    }
    let id = &subject.id;
    let readiness = async {
        if let Some(probe) = &container.readiness_probe {
            watch(&subject, &board, probe, "Readiness", |good| {
                board.change(id, |own| own.ready = good);
                false
            })
            .await;
        }
    };
    let liveness = async {
        if let Some(probe) = &container.liveness_probe {
            watch(&subject, &board, probe, "Liveness", |good| {
                if !good {
                    board.change(id, |own| own.fail("liveness", probe));
                }
                !good
            })
            .await;
        }
    };
    tokio::join!(readiness, liveness);
}

/// Probes in its period, and says each time that enough of them agree; until that says that it is over.
async fn watch(
    subject: &Subject,
    board: &Board,
    probe: &Probe,
    kind: &'static str,
    mut says: impl FnMut(bool) -> bool,
) {
    let seconds = |number: Option<i32>, least: i32, usual: i32| {
        Duration::from_secs(number.filter(|own| *own > 0).unwrap_or(usual).max(least).unsigned_abs().into())
    };
    let (period, limit) = (seconds(probe.period_seconds, 1, 10), seconds(probe.timeout_seconds, 1, 1));
    // It counts from the container's start, however long the startup probe took.
    let ago = u64::try_from(crate::worker::now() - subject.started).unwrap_or(0);
    sleep(seconds(probe.initial_delay_seconds, 0, 0).saturating_sub(Duration::from_secs(ago))).await;
    if subject.before.is_some() {
        // With an agent that has just begun, those of all its containers would be at once.
        sleep(period.mul_f64(share(&subject.id))).await;
    }
    let mut ticks = ticks(period);
    let mut run = Run {
        failures: threshold(probe.failure_threshold, 3),
        successes: threshold(probe.success_threshold, 1),
        ..Run::default()
    };
    loop {
        ticks.tick().await;
        if kind == "Readiness" || !board.ending.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let outcome = attempt(subject, probe, limit).await;
            subject.count(kind, &outcome, begun.elapsed());
            if let Some((reason, message)) = event(kind, &outcome) {
                subject.events.say(&subject.pod, Some(&subject.container.name), false, reason, message);
            }
            if let Some(good) = run.take(&outcome)
                && says(good)
            {
                return;
            }
        }
    }
}

/// One at once, and one in each period: what takes longer than that is tried again as soon as it is over.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// A part of 1, another for each container.
fn share(id: &str) -> f64 {
    let digits = id.get(..4).and_then(|own| u16::from_str_radix(own, 16).ok()).unwrap_or(0);
    f64::from(digits) / f64::from(u16::MAX)
}

/// What people are told of an outcome: a reason and a message.
fn event(kind: &str, outcome: &Outcome) -> Option<(&'static str, String)> {
    match outcome {
        Outcome::Good => None,
        Outcome::Warning(words) => Some(("ProbeWarning", format!("{kind} probe warning: {words}"))),
        Outcome::Bad(words) => Some(("Unhealthy", format!("{kind} probe failed: {words}"))),
        Outcome::Unknown(words) => {
            Some(("Unhealthy", format!("{kind} probe errored and resulted in unknown state: {words}")))
        }
    }
}

fn threshold(number: Option<i32>, usual: u32) -> u32 {
    number.and_then(|own| u32::try_from(own).ok()).filter(|own| *own > 0).unwrap_or(usual)
}

/// A series of outcomes that agree.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    last: Option<bool>,
    length: u32,
    failures: u32,
    successes: u32,
}

impl Run {
    /// Whether it is well, once enough agree.
    fn take(&mut self, outcome: &Outcome) -> Option<bool> {
        let good = match outcome {
            Outcome::Good | Outcome::Warning(_) => true,
            Outcome::Bad(_) => false,
            Outcome::Unknown(_) => return None,
        };
        if self.last == Some(good) {
            self.length = self.length.saturating_add(1);
        } else {
            (self.last, self.length) = (Some(good), 1);
        }
        (self.length >= if good { self.successes } else { self.failures }).then_some(good)
    }
}

async fn attempt(subject: &Subject, probe: &Probe, limit: Duration) -> Outcome {
    let mut outcome = Outcome::Good;
    for _ in 0..TRIES {
        outcome = once(subject, probe, limit).await;
        if !matches!(outcome, Outcome::Unknown(_)) {
            break;
        }
    }
    outcome
}

async fn once(subject: &Subject, probe: &Probe, limit: Duration) -> Outcome {
    let ports = subject.container.ports.as_deref();
    if let Some(action) = &probe.exec {
        attempt::exec(&subject.monitor, &subject.id, &expanded(action, &subject.container), limit).await
    } else if let Some(action) = &probe.http_get {
        attempt::http(subject.address, action, ports, limit).await
    } else if let Some(action) = &probe.tcp_socket {
        attempt::tcp(subject.address, action, ports, limit).await
    } else if let Some(action) = &probe.grpc {
        attempt::grpc(subject.address, action, limit).await
    } else {
        Outcome::Unknown("the probe says nothing of how".to_owned())
    }
}

/// A probe's program with values in the place of `$(NAME)`. As a kubelet has it, only those that the container's
/// specification says itself are known: what stands elsewhere is none.
fn expanded(action: &ExecAction, container: &Container) -> ExecAction {
    let own = container.env.iter().flatten();
    let env: BTreeMap<_, _> =
        own.map(|one| (one.name.clone(), one.value.clone().unwrap_or_default())).collect();
    let words = action.command.iter().flatten().map(|word| expand(word, &env));
    ExecAction { command: Some(words.collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_is_not_plainly_well() {
        let words = || "w".to_owned();
        let told = |outcome| event("Liveness", &outcome);
        assert_eq!(told(Outcome::Good), None);
        assert_eq!(
            told(Outcome::Warning(words())),
            Some(("ProbeWarning", "Liveness probe warning: w".to_owned()))
        );
        assert_eq!(told(Outcome::Bad(words())), Some(("Unhealthy", "Liveness probe failed: w".to_owned())));
        let errored = "Liveness probe errored and resulted in unknown state: w".to_owned();
        assert_eq!(told(Outcome::Unknown(words())), Some(("Unhealthy", errored)));
    }

    #[test]
    fn a_probe_that_is_not_there_passes_whatever_was_told_before() {
        let of = |probes: serde_json::Value, before: Option<(bool, bool)>| {
            let mut container = serde_json::json!({ "name": "m" });
            container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
            let before = before.map(|(started, ready)| Health { started, ready, ..Health::default() });
            let first = first(&serde_json::from_value(container).unwrap(), before);
            (first.started, first.ready)
        };
        let (none, startup, readiness) = (
            serde_json::json!({}),
            serde_json::json!({ "startupProbe": {} }),
            serde_json::json!({ "readinessProbe": {} }),
        );
        // It was not ready only because it had not started.
        assert_eq!(of(startup.clone(), Some((false, false))), (false, true));
        assert_eq!(of(none, Some((false, false))), (true, true));
        assert_eq!(of(readiness.clone(), Some((true, false))), (true, false));
        assert_eq!(of(readiness.clone(), Some((true, true))), (true, true));
        assert_eq!((of(startup, None), of(readiness, None)), ((false, true), (true, false)));
    }

    #[test]
    fn a_probes_program_is_told_what_the_container_says() {
        let container = serde_json::json!({ "name": "m", "env": [
            { "name": "FILE", "value": "/ready" },
            { "name": "SECRET", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        ] });
        let words = |words: [&str; 5]| ExecAction { command: Some(words.map(str::to_owned).to_vec()) };
        let asked = words(["cat", "$(FILE).$$(FILE)", "a$(SECRET)b", "$(OTHER)", "$HOME"]);
        let told = words(["cat", "/ready.$(FILE)", "ab", "$(OTHER)", "$HOME"]);
        assert_eq!(expanded(&asked, &serde_json::from_value(container).unwrap()), told);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_has_its_period_however_long_it_takes() {
        let begins = async |takes: &[u64]| {
            let mut ticks = ticks(Duration::from_secs(5));
            let begun = tokio::time::Instant::now();
            let mut all = Vec::new();
            for seconds in takes {
                ticks.tick().await;
                all.push(begun.elapsed().as_secs());
                sleep(Duration::from_secs(*seconds)).await;
            }
            all
        };
        assert_eq!(begins(&[0, 1, 4, 0]).await, [0, 5, 10, 15]);
        assert_eq!(begins(&[5, 5, 5, 0]).await, [0, 5, 10, 15], "not the sum of both");
        assert_eq!(begins(&[7, 0, 0, 0]).await, [0, 7, 10, 15]);
        assert_eq!((share("0000"), share("ffffaa"), share("")), (0.0, 1.0, 0.0));
    }

    #[test]
    fn enough_must_agree_in_a_row() {
        let mut run = Run { failures: 3, successes: 2, ..Run::default() };
        let bad = || Outcome::Bad(String::new());
        let outcomes = [
            Outcome::Good,
            Outcome::Good,
            bad(),
            bad(),
            Outcome::Unknown(String::new()),
            bad(),
            bad(),
            Outcome::Good,
            Outcome::Good,
        ];
        let said: Vec<_> = outcomes.iter().map(|one| run.take(one)).collect();
        assert_eq!(said, [None, Some(true), None, None, None, Some(false), Some(false), None, Some(true)]);
        assert_eq!((threshold(None, 3), threshold(Some(0), 3), threshold(Some(7), 3)), (3, 3, 7));
    }
}
