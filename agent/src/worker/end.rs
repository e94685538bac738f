//! The end of containers, and of the pod.

use super::{Turn, Worker, container, logs, now};
use crate::api;
use crate::cni;
use crate::monitor::Error;
use crate::pod::observed::{Containers, Instance};
use crate::pod::status;
use crate::sandbox;
use crate::server::stats::durations::DURATIONS;
use crate::sources::watched::Used;
use crate::volume::{nfs, place};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use spec::monitor::{Code, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two words to a monitor that is away.
const PAUSE: Duration = Duration::from_secs(1);

/// A program gets so long at least, in seconds, whatever was before it: its preStop hook, or what ends before it.
const LEAST: i64 = 2;

/// Nothing is left to stop: there is no such container, or it does not run.
fn is_no_use(error: &Error) -> bool {
    matches!(error, Error::Failed(failure) if failure.code != Code::Internal)
}

/// What a pod has and cannot be taken from it is tried again within so many seconds: of one that is to go, and of one that
/// is over and that nobody deletes.
const SOON: i64 = 20;
const LATER: i64 = 120;

/// The reason of a pod that made room for the node.
const EVICTED: &str = "Evicted";

/// Nothing of what an evicted pod has taken is kept but what was told of it.
fn is_evicted(pod: &Pod) -> bool {
    let told = pod.status.as_ref();
    told.is_some_and(|own| status::is_over(own) && own.reason.as_deref() == Some(EVICTED))
}

/// What cannot be taken from a pod is tried again, later each time.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    /// So often in a row.
    failures: u32,
    /// Why, the last time.
    reason: String,
}

impl Stuck {
    /// It has failed once more: seconds until the next attempt, and whether the reason is news.
    fn count(&mut self, reason: &str, most: i64) -> (i64, bool) {
        let pause = (1 << self.failures.min(10)).min(most);
        let is_new = self.reason != reason;
        self.failures = self.failures.saturating_add(1);
        reason.clone_into(&mut self.reason);
        (pause, is_new)
    }
}

/// Who is to stop, and how.
#[derive(Debug)]
pub(super) struct Order {
    pub ids: Vec<String>,
    /// Seconds.
    pub grace: i64,
    /// They begin anew.
    pub anew: bool,
    /// Their preStop hooks run from now on.
    pub later: Vec<String>,
}

impl Worker {
    /// Begins to stop containers, each by itself; one that is being stopped already may get less time.
    pub(super) fn stop(&mut self, pod: &Pod, containers: &Containers, order: &Order) {
        if order.anew {
            self.begin_anew(pod, &order.ids);
        }
        let instance = |id: &String| containers.all().find(|one| one.id == *id);
        for one in order.later.iter().filter_map(instance) {
            if !self.hooks.contains_key(&one.id)
                && let Some(hook) = self.begin_hook(pod, one, order.grace)
            {
                self.hooks.insert(one.id.clone(), hook);
            }
        }
        for one in order.ids.iter().filter_map(instance) {
            let until = now() + order.grace;
            let before = self.stopping.get(&one.id).copied();
            if before.is_some_and(|before| before <= until) {
                continue;
            }
            self.stopping.insert(one.id.clone(), until);
            let mut hook = self.hooks.remove(&one.id);
            if before.is_none() {
                let why = self.why(pod, one, order.anew);
                self.context.events.say(pod, Some(&one.container), true, "Killing", why);
                hook = hook.or_else(|| self.begin_hook(pod, one, order.grace));
            }
            let (context, id) = (self.context.clone(), one.id.clone());
            tokio::spawn(async move {
                if let Some(hook) = hook {
                    let _ = hook.await;
                }
                let left = (until - now()).max(LEAST);
                let request = Request::Stop { name: id, grace: u64::try_from(left).ok(), signal: None };
                // Only the monitor can end it, and it comes back however often it is killed, or has no room for us.
                while context.monitor.ask(&request).await.is_err_and(|error| !is_no_use(&error)) {
                    sleep(PAUSE).await;
                }
                let _ = context.table.refresh().await;
            });
        }
    }

    /// A kubelet's words for the end of a container.
    fn why(&self, pod: &Pod, one: &Instance, anew: bool) -> String {
        let name = &one.container;
        let failed = self.probes.health().get(&one.id).and_then(|own| own.failed);
        let image = container(pod, name).and_then(|(_, own)| own.image);
        let will = if anew { ", will be restarted" } else { "" };
        if let Some(probe) = failed {
            format!("Container {name} failed {probe} probe{will}")
        } else if !anew && self.until.is_none() && self.has_failed(pod, one) {
            "FailedPostStartHook".to_owned()
        } else if anew && image.is_some_and(|image| image != one.image) {
            format!("Container {name} definition changed{will}")
        } else if anew {
            format!("Container {name} resize requires restart")
        } else {
            format!("Stopping container {name}")
        }
    }

    /// Nothing runs any more. A pod that nobody deletes stays on record, with its logs.
    pub(super) async fn finish(&mut self, wanted: &super::Wanted, containers: &Containers) -> Turn {
        let pod = &wanted.pod;
        if !wanted.gone && pod.metadata.deletion_timestamp.is_none() {
            // Who was over with a reboot has no sandbox any more, and what plugins gave it all the same.
            let mut left = match sandbox::find(pod) {
                None => cni::detach(pod).await,
                Some(_) => Ok(()),
            };
            if left.is_ok() {
                left = self.empty(pod, containers).await;
            }
            match left {
                Ok(()) => {
                    self.stuck = Stuck::default();
                    self.wait(None).await;
                }
                Err(reason) => self.is_stuck(pod, &reason, LATER).await,
            }
            return Turn::Again;
        }
        if !wanted.gone {
            self.reporter.settled().await;
        }
        if let Err(reason) = self.clean(pod, containers).await {
            self.is_stuck(pod, &reason, SOON).await;
            return Turn::Again;
        }
        if !wanted.gone && !self.is_deleted(pod).await {
            self.wait(Some(now() + 1)).await;
            return Turn::Again;
        }
        Turn::Over
    }

    /// Nothing runs: what was made goes.
    pub(super) async fn tear_down(&mut self, pod: &Pod) {
        let begun = Instant::now();
        let removed = match sandbox::remove(pod).await {
            Ok(()) => nfs::unmount(&self.uid).await,
            failed => failed,
        };
        DURATIONS.add_operation("stop_podsandbox", begun.elapsed(), removed.is_err());
        match removed {
            Ok(()) => self.stuck = Stuck::default(),
            Err(reason) => self.is_stuck(pod, &reason, SOON).await,
        }
    }

    /// Something of the pod could not be taken away: says so, once of each reason, and waits.
    async fn is_stuck(&mut self, pod: &Pod, reason: &str, most: i64) {
        let (pause, is_new) = self.stuck.count(reason, most);
        if is_new {
            let words = format!("error killing pod: {reason}");
            self.context.events.say(pod, None, false, "FailedKillPod", words);
        }
        self.wait(Some(now() + pause)).await;
    }

    /// A pod that is over and that nobody deletes gives back its volumes, and one that was evicted its containers with
    /// all that they have written, too. What is done is seen by what is left, so it may be killed at any step.
    async fn empty(&mut self, pod: &Arc<Pod>, containers: &Containers) -> Result<(), String> {
        self.is_emptied = true;
        self.used = Used::default();
        if sandbox::has_volumes(&self.uid) {
            nfs::unmount(&self.uid).await?;
            sandbox::remove_volumes(&self.uid).await?;
        }
        // What is told of them must be kept somewhere first: they are not looked at any more.
        let is_kept = self.recorded.is_some() || status::is_terminal(pod);
        if !is_kept || !is_evicted(&self.stays_over(pod)) {
            return Ok(());
        }
        let had = containers.all().next().is_some();
        if had {
            self.remove_containers(pod, containers).await?;
        }
        // They go last: a container's last words may be in its log.
        let removed = match place::logs(pod).exists() {
            true => sandbox::remove_logs(pod).await,
            false => Ok(()),
        };
        if had {
            let _ = self.context.table.refresh().await;
        }
        removed
    }

    async fn remove_containers(&self, pod: &Pod, containers: &Containers) -> Result<(), String> {
        for one in containers.all() {
            logs::unlink(pod, one);
            match self
                .context
                .monitor
                .ask(&Request::Remove { name: one.id.clone(), force: true, volumes: true })
                .await
            {
                Ok(_) => {}
                Err(Error::Failed(failure)) if failure.code == Code::NotFound => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Takes away all that the pod has on this node.
    async fn clean(&self, pod: &Pod, containers: &Containers) -> Result<(), String> {
        self.remove_containers(pod, containers).await?;
        sandbox::remove(pod).await?;
        nfs::unmount(&self.uid).await?;
        sandbox::remove_files(pod, &self.uid).await
    }

    /// Has the API server forget the pod, if it is this one; says whether it has.
    async fn is_deleted(&self, pod: &Pod) -> bool {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let name = pod.metadata.name.clone().unwrap_or_default();
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.context.api.client(), &namespace);
        let preconditions = Preconditions { uid: Some(self.uid.clone()), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        match pods.delete(&name, &params).await {
            Ok(_) => true,
            Err(error) => api::is_missing(&error) || api::is_conflict(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_taken_away_is_tried_later_each_time() {
        let mut stuck = Stuck::default();
        let pauses: Vec<i64> = (0..10).map(|_| stuck.count("busy", LATER).0).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
        assert_eq!(stuck.count("busy", SOON), (SOON, false), "people know");
        assert_eq!(stuck.count("no such server", LATER), (LATER, true));
        assert_eq!(Stuck::default().count("busy", LATER), (1, true));
    }
}
