//! The pods' containers as the monitor has them, by the pod's UID: one list for all, read again whenever
//! something happens.

use crate::monitor::Monitor;
use crate::node::report::Standing;
use crate::pod::observed::{Containers, Instance, label};
use crate::say::Trouble;
use crate::server::stats::Checks;
use crate::server::stats::durations::{DURATIONS, Took};
use spec::monitor::{Request, Summary};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

/// Between two attempts while the monitor is away.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the monitor is asked though nothing happens, and how long it may be away before the node runs no pods.
const LOOK: Duration = Duration::from_secs(10);
const AWAY: Duration = Duration::from_secs(30);

/// Containers by the UID of their pod.
pub type ByPod = BTreeMap<String, Arc<Containers>>;

/// The list.
#[derive(Debug)]
pub struct Table {
    monitor: Monitor,
    /// A list is put here before the next one is asked for, so that none is older than the one before it.
    turn: Mutex<()>,
    list: watch::Sender<Arc<ByPod>>,
    /// Knows when the monitor answered last.
    checks: Arc<Checks>,
}

impl Table {
    /// An empty one; `checks` are told of each answer.
    pub fn new(monitor: Monitor, checks: Arc<Checks>) -> Self {
        Self { monitor, turn: Mutex::new(()), list: watch::Sender::default(), checks }
    }

    /// The list as it is and as it becomes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ByPod>> {
        self.list.subscribe()
    }

    /// Reads it again.
    ///
    /// # Errors
    /// The monitor does not answer, in words.
    pub async fn refresh(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let begun = Instant::now();
        let summaries = self.monitor.list().await.map_err(|error| error.to_string())?;
        DURATIONS.add(Took::List, begun.elapsed());
        DURATIONS.add(Took::BetweenLists, self.checks.answered());
        let next = by_pod(&summaries, &self.list.borrow());
        self.list.send_if_modified(|list| {
            let changes = **list != next;
            *list = Arc::new(next);
            changes
        });
        Ok(())
    }

    /// Keeps it true for ever.
    pub async fn keep(&self) {
        let mut trouble = Trouble::default();
        loop {
            let followed = self.follow().await;
            trouble.of("follow the monitor", followed);
            sleep(PAUSE).await;
        }
    }

    /// Tells for ever whether the monitor answers: without it no container begins.
    pub async fn look(&self, standing: &watch::Sender<Standing>) {
        loop {
            // One that fails is told by whoever follows the monitor.
            let _ = timeout(LOOK, self.refresh()).await;
            // A kubelet's words.
            let down = (self.checks.silent() >= AWAY).then_some("container runtime is down");
            standing.send_if_modified(|standing| std::mem::replace(&mut standing.down, down) != down);
            sleep(LOOK).await;
        }
    }

    /// Until the monitor leaves.
    async fn follow(&self) -> Result<(), String> {
        let events = Request::Events { since: None, until: None, all: false };
        let mut events = self.monitor.replies(&events).await.map_err(|error| error.to_string())?;
        loop {
            self.refresh().await?;
            match events.next().await {
                Ok(_) => {}
                // It was killed, and is back in a moment.
                Err(crate::monitor::Error::Gone) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// Sorts containers; a pod that has not changed stays the same value.
fn by_pod(summaries: &[Summary], before: &ByPod) -> ByPod {
    let mut sorted: BTreeMap<String, Vec<Instance>> = BTreeMap::new();
    for summary in summaries {
        if let (Some(uid), Some(instance)) = (summary.labels.get(label::UID), Instance::of(summary)) {
            sorted.entry(uid.clone()).or_default().push(instance);
        }
    }
    let same = |uid: &str, next: Containers| match before.get(uid) {
        Some(known) if **known == next => known.clone(),
        _ => Arc::new(next),
    };
    sorted.into_iter().map(|(uid, list)| (uid.clone(), same(&uid, Containers::of(list)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_monitor_that_stays_away_is_told_of() {
        let table = Table::new(Monitor::new("/nowhere/skerry-monitor.sock"), Arc::default());
        let (standing, mut seen) = watch::channel(Standing::default());
        let begun = Instant::now();
        tokio::select! {
            () = table.look(&standing) => {}
            told = seen.wait_for(|standing| standing.down.is_some()) => assert!(told.is_ok()),
        }
        assert!((AWAY..2 * AWAY).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    }
}
