//! One pod, from its first sight to the last of its traces: looks at what there is, asks [`next`] what to do, does
//! it, and tells the API server. What it must know is read again at each turn, so it may be killed at any.
//!
//! [`next`]: crate::pod::next

mod begin;
mod context;
mod credentials;
mod end;
mod environment;
mod hooks;
mod isolate;
mod logs;
mod prepare;
mod report;
mod resize;
mod show;
mod waiting;

use crate::pod::next::{self, Action, Ending, Kind, View, Waiting};
use crate::pod::observed::{Containers, Instance, Sandbox};
use crate::pod::status::{self, Known};
use crate::probe::{Probes, Subject};
use crate::record;
use crate::say::Trouble;
use crate::server::stats::durations::{DURATIONS, Took};
use crate::sources::watched::Used;
use crate::table::ByPod;
use crate::volume::make::Made;
use crate::volume::payload;
use crate::{sandbox, sources, volume};
pub use context::{Context, Services};
use k8s_openapi::api::core::v1::{ContainerUser, Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
pub use prepare::PREEMPTING;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// How often tokens are looked at, whether they are too old.
const REFRESH: Duration = Duration::from_secs(60);

/// Labels and annotations.
type Described = (Option<BTreeMap<String, String>>, Option<BTreeMap<String, String>>);

/// What is wanted of a pod.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// As the API server has it.
    pub pod: Arc<Pod>,
    /// The API server has it no more: nothing of it may stay, and nobody is to be told.
    pub gone: bool,
    /// UID of its picture at the API server, of a static pod.
    pub picture: String,
    /// Why it is to end though nobody deletes it: it was evicted, say.
    pub ending: Option<Ending>,
}

/// Seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

struct Worker {
    context: Arc<Context>,
    uid: String,
    wanted: watch::Receiver<Wanted>,
    table: watch::Receiver<Arc<ByPod>>,
    probes: Probes,
    /// What keeps containers from being made, by name; the sandbox by none.
    waiting: BTreeMap<String, Waiting>,
    /// Volumes, once they are made.
    volumes: Option<BTreeMap<String, Made>>,
    /// Groups that its persistent volumes belong to.
    volume_groups: BTreeSet<u32>,
    /// It is over and has none any more.
    is_emptied: bool,
    /// What they are made of.
    used: Used,
    refreshed: Instant,
    /// What containers' environment was made of last, by their names.
    read: BTreeMap<String, (sources::Data, sources::Data)>,
    /// Termination messages by ID.
    messages: BTreeMap<String, String>,
    /// The pod's addresses, as policies know them.
    addresses: Vec<IpAddr>,
    /// Who the first programs of containers run as, by ID.
    users: BTreeMap<String, ContainerUser>,
    /// What the pod has, and what it waits for.
    resources: resize::Resources,
    /// Tells when there may be room.
    freed: watch::Receiver<()>,
    /// IDs of containers whose crashes people were told of, while they wait.
    crashed: BTreeSet<String>,
    /// Labels and annotations, as files of volumes say them.
    described: Described,
    /// Until when the pod may take that ends.
    until: Option<i64>,
    /// Until when each container that is being stopped may take.
    stopping: BTreeMap<String, i64>,
    /// preStop hooks of those whose turn to stop has not come.
    hooks: BTreeMap<String, JoinHandle<()>>,
    /// What of it cannot be taken away.
    stuck: end::Stuck,
    reporter: report::Reporter,
    /// Why it is refused for good: reason and message.
    refused: Option<(String, String)>,
    before: Option<Pod>,
    /// What was told of it last, once it has run and is over.
    over: Option<PodStatus>,
    /// It was said that `activeDeadlineSeconds` are over.
    is_overdue: bool,
    /// What was wanted at the last turn.
    seen: Option<Arc<Pod>>,
    /// What the record says.
    recorded: Option<(Arc<Pod>, PodStatus)>,
    /// Whether it can be written.
    record: Trouble,
    /// When it was seen first, until it runs.
    first_seen: Option<Instant>,
    /// How much of this turn was waiting.
    waited: Duration,
}

/// A pod that was here before this agent, with the resources that the node has said yes to.
pub fn allocated_before(pod: &Arc<Pod>) -> Option<Arc<Pod>> {
    resize::Resources::kept(pod)
}

/// Looks after a pod until nothing is left of it.
pub async fn run(context: Arc<Context>, uid: String, wanted: watch::Receiver<Wanted>) {
    let pod = wanted.borrow().pod.clone();
    let reporter = report::Reporter::begin(&context, &pod);
    let mut worker = Worker {
        table: context.table.subscribe(),
        before: pod.status.is_some().then(|| Pod::clone(&pod)),
        is_overdue: false,
        over: pod.status.clone().filter(|own| status::is_over(own) && status::has_run(own)),
        resources: resize::Resources::of(&pod),
        freed: context.allocations.freed(),
        context,
        uid,
        wanted,
        probes: Probes::default(),
        waiting: BTreeMap::new(),
        volumes: None,
        volume_groups: BTreeSet::new(),
        is_emptied: false,
        used: Used::default(),
        refreshed: Instant::now(),
        read: BTreeMap::new(),
        messages: BTreeMap::new(),
        addresses: Vec::new(),
        users: BTreeMap::new(),
        crashed: BTreeSet::new(),
        described: Described::default(),
        until: None,
        stopping: BTreeMap::new(),
        hooks: BTreeMap::new(),
        stuck: end::Stuck::default(),
        reporter,
        refused: None,
        seen: None,
        recorded: None,
        record: Trouble::default(),
        first_seen: pod
            .status
            .as_ref()
            .is_none_or(|own| own.phase.as_deref() == Some("Pending"))
            .then(Instant::now),
        waited: Duration::ZERO,
    };
    worker.work().await;
    worker.give_back();
    let pod = worker.wanted.borrow().pod.clone();
    worker.tell_addresses(&pod, None);
    worker.context.show(&worker.uid, None);
    worker.context.sources.forget(&worker.uid);
}

/// What a turn came to.
enum Turn {
    Again,
    Over,
}

impl Worker {
    async fn work(&mut self) {
        loop {
            let begun = Instant::now();
            self.waited = Duration::ZERO;
            let turn = self.turn().await;
            DURATIONS.add(Took::PodTurn, begun.elapsed().saturating_sub(self.waited));
            if matches!(turn, Turn::Over) {
                return;
            }
        }
    }

    /// Looks, tells, and does the next thing.
    async fn turn(&mut self) -> Turn {
        let wanted = self.wanted.borrow_and_update().clone();
        let containers = self.table.borrow_and_update().get(&self.uid).cloned().unwrap_or_default();
        let ending = self.ending(&wanted);
        let pod = self.allocated(&wanted.pod, &containers, ending.is_some());
        let told = self.reporter.remember(pod);
        let pod = self.stays_over(&told);
        let sandbox = sandbox::find(&pod);
        self.reconsider(&wanted.pod);
        self.read_messages(&pod, &containers).await;
        self.learn_users(&containers).await;
        self.tell_addresses(&pod, sandbox.as_ref());
        self.look(&pod, sandbox.as_ref(), &containers, ending.is_some());
        if sandbox.is_some() && ending.is_none() {
            self.follow_sources(&pod);
        }
        self.follow_fields(&pod).await;
        self.resources.measure(&pod, &containers);
        self.resources.again = None;
        if sandbox.is_some() && ending.is_none() {
            self.actuate(&pod, &containers).await;
        }
        let health = self.probes.health();
        let mut view = View {
            pod: &pod,
            sandbox: sandbox.as_ref(),
            containers: &containers,
            waiting: &self.waiting,
            health: &health,
            restarting: self.resources.restarting(),
            ending: ending.as_ref(),
            until: self.until,
            now: now(),
        };
        if let Some(grace) = next::grace(&view) {
            // It runs from the beginning of the end, whoever's turn comes when.
            let until = view.now + grace;
            view.until = Some(self.until.map_or(until, |before| before.min(until)));
            self.until = view.until;
        }
        let action = if self.refused.is_some() { Action::Done } else { next::next(&view) };
        let known = Known {
            node: &self.context.own.addresses,
            messages: &self.messages,
            users: &self.users,
            refused: self.refused.as_ref(),
            resizing: &self.resources.resizing,
            given: &self.resources.given,
            of_pod: self.resources.of_pod,
        };
        let status = status::status(&view, &known);
        if status::is_over(&status) {
            self.give_back();
            self.over = Some(status.clone()).filter(status::has_run).or(self.over.take());
        }
        if status.phase.as_deref() == Some("Running")
            && let Some(seen) = self.first_seen.take()
        {
            DURATIONS.add(Took::PodStart, seen.elapsed());
        }
        self.show(&pod, sandbox.as_ref(), &containers, &status);
        if !wanted.gone {
            self.keep_record(&wanted.pod, &status).await;
            self.reporter.picture(&wanted.picture);
            self.reporter.tell(&told, status.clone());
        }
        self.back_off(&pod, &status);
        if ending.is_none() {
            self.end_failed(&pod, &containers);
        }
        self.act(action, &wanted, &pod, sandbox, &containers).await
    }

    /// Does the next thing.
    async fn act(
        &mut self,
        action: Action,
        wanted: &Wanted,
        pod: &Arc<Pod>,
        sandbox: Option<Sandbox>,
        containers: &Containers,
    ) -> Turn {
        match action {
            Action::MakeSandbox => self.make_sandbox(pod).await,
            // As with a kubelet nobody begins while another ends, but who looks into the pod.
            Action::Run { kind, .. } if kind != Kind::Ephemeral && !self.stopping.is_empty() => {
                self.wait(self.resources.again).await;
            }
            Action::Run { container, kind, attempt, streak } => {
                let Some(sandbox) = sandbox else { return Turn::Again };
                let order = begin::Order { container, kind, attempt, streak };
                self.begin(pod, &sandbox, containers, &order).await;
            }
            Action::Stop { ids, grace, anew, later } => {
                self.stop(pod, containers, &end::Order { ids, grace, anew, later });
                let overdue = self.until.filter(|until| *until > now());
                self.wait(soonest(self.resources.again, overdue)).await;
            }
            Action::Renew => self.renew(pod, sandbox).await,
            Action::TearDown => self.tear_down(pod).await,
            Action::Wait(until) => {
                let until = soonest(until, self.resources.again);
                self.wait(soonest(until, self.deadline(pod))).await;
            }
            Action::Done => return self.finish(wanted, containers).await,
        }
        Turn::Again
    }

    /// A pod that has come to its end stays so while the API server does not know it yet.
    fn stays_over(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        match &self.over {
            Some(over) if !status::is_terminal(pod) => {
                Arc::new(Pod { status: Some(over.clone()), ..Pod::clone(pod) })
            }
            _ => pod.clone(),
        }
    }

    /// Files of volumes say what the pod's fields say by now.
    async fn follow_fields(&mut self, pod: &Pod) {
        let described = (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
        let changed = self.described != described;
        self.described = described;
        if std::mem::take(&mut self.resources.fresh) || changed {
            self.refresh_downward().await;
        }
    }

    /// Why it ends, if it does.
    fn ending(&mut self, wanted: &Wanted) -> Option<Ending> {
        if let Some(grace) = grace(wanted) {
            let until = now() + grace;
            let until = self.until.map_or(until, |before| before.min(until));
            self.until = Some(until);
            return Some(Ending::Deleted);
        }
        if wanted.ending.is_some() {
            return wanted.ending.clone();
        }
        let over = self.deadline(&wanted.pod).is_some_and(|deadline| deadline <= now());
        const WORDS: &str = "Pod was active on the node longer than the specified deadline";
        if over && !std::mem::replace(&mut self.is_overdue, true) && !status::is_terminal(&wanted.pod) {
            self.context.events.say(&wanted.pod, None, true, "DeadlineExceeded", WORDS);
        }
        over.then(|| Ending::Failed {
            reason: "DeadlineExceeded".to_owned(),
            message: WORDS.to_owned(),
            grace: of_spec(&wanted.pod),
            disrupted: false,
        })
    }

    /// When `activeDeadlineSeconds` are over.
    fn deadline(&self, pod: &Pod) -> Option<i64> {
        let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
        let started = self
            .reporter
            .started()
            .or_else(|| pod.status.as_ref()?.start_time.as_ref().map(|own| own.0.as_second()));
        started.map(|started| started + seconds)
    }

    /// Begins to probe what runs, and ends with what does not.
    fn look(&mut self, pod: &Arc<Pod>, sandbox: Option<&Sandbox>, containers: &Containers, ends: bool) {
        if ends {
            self.probes.end();
        }
        let running: Vec<&Instance> = containers.all().filter(|one| one.runs()).collect();
        self.probes.retain(|id| running.iter().any(|one| one.id == id));
        self.stopping.retain(|id, _| running.iter().any(|one| one.id == *id));
        let (Some(spec), Some(sandbox)) = (&pod.spec, sandbox) else { return };
        let Some(address) = self.address(Some(sandbox)) else { return };
        for one in running {
            if self.probes.looks_at(&one.id) {
                continue;
            }
            let Some((_, container)) = next::find(spec, &one.container) else { continue };
            let before = self.before.as_ref().and_then(|pod| report::health(pod, &one.id));
            self.probes.begin(Subject {
                monitor: self.context.monitor.clone(),
                events: self.context.events.clone(),
                pod: pod.clone(),
                container: container.clone(),
                id: one.id.clone(),
                started: one.started().unwrap_or_else(now),
                address,
                before,
                stats: self.context.stats.clone(),
            });
        }
    }

    /// Waits for something to happen, or until then.
    async fn wait(&mut self, until: Option<i64>) {
        let has_tokens =
            prepare::payloads(&self.wanted.borrow().pod).any(|own| !payload::tokens(own).is_empty());
        let time = async {
            match until {
                Some(until) => {
                    let left = u64::try_from(until - now()).unwrap_or(0);
                    sleep(Duration::from_secs(left).max(Duration::from_millis(100))).await;
                }
                None => std::future::pending().await,
            }
        };
        let (at, begun) = (self.refreshed + REFRESH, Instant::now());
        let has_tokens = has_tokens && !self.is_emptied;
        let due = async { if has_tokens { sleep_until(at).await } else { std::future::pending().await } };
        tokio::select! {
            _ = self.wanted.changed() => {}
            Ok(()) = self.freed.changed(), if self.resources.waits() => {}
            () = self.used.changed() => self.sources_changed().await,
            () = changed(&mut self.table, &self.uid) => {}
            () = self.probes.changed() => {}
            () = time => {}
            () = due => self.refresh_volumes().await,
        }
        self.waited += begun.elapsed();
    }

    /// What an agent that comes after this one begins with: what is wanted, and what was told.
    async fn keep_record(&mut self, pod: &Arc<Pod>, status: &PodStatus) {
        let known = self.recorded.as_ref();
        if known.is_some_and(|(own, told)| Arc::ptr_eq(own, pod) && told == status) {
            return;
        }
        let path = volume::place::pod(&self.uid).join("pod.json");
        let text = serde_json::to_vec(&Pod { status: Some(status.clone()), ..Pod::clone(pod) });
        let written = match text {
            // What the API server is told to be over is so after a power cut, too.
            Ok(text) => record::write(&path, text, status::is_over(status)).await,
            Err(error) => Err(error.into()),
        };
        let written = written.map_err(|error| sys::cause::cause(&error));
        let what = format!("write {}", path.display());
        self.recorded = self.record.of(&what, written).map(|()| (pod.clone(), status.clone()));
    }
}

/// Seconds that a pod has by itself to end (`terminationGracePeriodSeconds`).
pub fn of_spec(pod: &Pod) -> i64 {
    pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30)
}

/// Seconds that a pod has to end which is deleted, or which the API server has no more. They count from when this node
/// hears of it: its clock may be another than the API server's. One that was taken away by force has its time, too.
fn grace(wanted: &Wanted) -> Option<i64> {
    let metadata = &wanted.pod.metadata;
    let deleted = metadata.deletion_timestamp.is_some();
    let said = metadata.deletion_grace_period_seconds.filter(|_| deleted);
    (deleted || wanted.gone).then(|| said.unwrap_or_else(|| of_spec(&wanted.pod)).max(1))
}

fn soonest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

/// Returns once a pod's own containers have changed.
async fn changed(table: &mut watch::Receiver<Arc<ByPod>>, uid: &str) {
    let before = table.borrow().get(uid).cloned();
    loop {
        if table.changed().await.is_err() {
            return std::future::pending().await;
        }
        let now = table.borrow_and_update().get(uid).cloned();
        let same = match (&before, &now) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if !same {
            // It is to be looked at, too.
            table.mark_changed();
            return;
        }
    }
}

/// A container of any list, the ephemeral ones among them.
fn container(pod: &Pod, name: &str) -> Option<(Kind, k8s_openapi::api::core::v1::Container)> {
    let spec = pod.spec.as_ref()?;
    if let Some((kind, container)) = next::find(spec, name) {
        return Some((kind, container.clone()));
    }
    let ephemeral = spec.ephemeral_containers.iter().flatten().find(|one| one.name == name)?;
    // The same fields but one, which is looked at by itself.
    let text = serde_json::to_string(ephemeral).ok()?;
    Some((Kind::Ephemeral, serde_json::from_str(&text).ok()?))
}
