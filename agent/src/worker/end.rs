//! The end of containers, and of the pod.

use super::begin::hook_of;
use super::{Turn, Worker, container, logs, now};
use crate::api;
use crate::cni;
use crate::monitor::Error;
use crate::pod::observed::Containers;
use crate::sandbox;
use crate::volume::{nfs, place};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Preconditions};
use spec::monitor::Request;
use std::fs;
use std::time::Duration;
use tokio::time::sleep;

/// Between two words to a monitor that is away.
const PAUSE: Duration = Duration::from_secs(1);

/// A program gets so long after its preStop hook at least, in seconds.
const LEAST: i64 = 2;

impl Worker {
    /// Begins to stop containers, each by itself; one that is being stopped already may get less time.
    pub(super) fn stop(&mut self, pod: &Pod, containers: &Containers, ids: &[String], grace: i64) {
        for id in ids {
            let until = now() + grace;
            let before = self.stopping.get(id).copied();
            if before.is_some_and(|before| before <= until) {
                continue;
            }
            self.stopping.insert(id.clone(), until);
            let Some(instance) = containers.all().find(|one| one.id == *id) else { continue };
            let own = container(pod, &instance.container).map(|(_, own)| own);
            let failed = self.probes.health().get(id).is_some_and(|own| own.failed);
            if before.is_none() {
                let why = if failed {
                    format!("Container {} failed a probe, will be restarted", instance.container)
                } else if self.resources.restarting().contains(id) {
                    format!("Container {} resize requires restart", instance.container)
                } else {
                    format!("Stopping container {}", instance.container)
                };
                self.context.events.say(pod, Some(&instance.container), true, "Killing", why);
            }
            let hook = own
                .as_ref()
                .and_then(|own| own.lifecycle.as_ref()?.pre_stop.clone())
                .filter(|_| before.is_none());
            let address = sandbox::find(pod).and_then(|own| own.addresses.first().copied()).or(self
                .context
                .own
                .addresses
                .first()
                .copied());
            let (context, id, pod, name) =
                (self.context.clone(), id.clone(), pod.clone(), instance.container.clone());
            tokio::spawn(async move {
                if let (Some(hook), Some(own)) = (hook, own) {
                    let limit = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
                    if let Err(reason) = hook_of(&context, address, &own, &id, &hook, limit).await {
                        context.events.say(
                            &pod,
                            Some(&name),
                            false,
                            "FailedPreStopHook",
                            format!("PreStopHook failed: {reason}"),
                        );
                    }
                }
                let left = if grace == 0 { 0 } else { (until - now()).max(LEAST) };
                let request = Request::Stop { name: id, grace: u64::try_from(left).ok() };
                // Only the monitor can end it, and it comes back however often it is killed.
                while context
                    .monitor
                    .ask(&request)
                    .await
                    .is_err_and(|error| !matches!(error, Error::Failed(_)))
                {
                    sleep(PAUSE).await;
                }
                let _ = context.table.refresh().await;
            });
        }
    }

    /// Nothing runs any more. A pod that nobody deletes stays on record, with its logs.
    pub(super) async fn finish(&mut self, wanted: &super::Wanted, containers: &Containers) -> Turn {
        let pod = &wanted.pod;
        if !wanted.gone && pod.metadata.deletion_timestamp.is_none() {
            // Who was over with a reboot has no sandbox any more, and what plugins gave it all the same.
            let detached = match sandbox::find(pod) {
                None => cni::detach(pod).await,
                Some(_) => Ok(()),
            };
            self.wait(detached.is_err().then(|| now() + 1)).await;
            return Turn::Again;
        }
        if !wanted.gone {
            self.reporter.settled().await;
        }
        if let Err(reason) = self.clean(pod, containers).await {
            self.context.events.say(
                pod,
                None,
                false,
                "FailedKillPod",
                format!("error killing pod: {reason}"),
            );
            self.wait(Some(now() + 1)).await;
            return Turn::Again;
        }
        if !wanted.gone && !self.is_deleted(pod).await {
            self.wait(Some(now() + 1)).await;
            return Turn::Again;
        }
        Turn::Over
    }

    /// Takes away all that the pod has on this node.
    async fn clean(&self, pod: &Pod, containers: &Containers) -> Result<(), String> {
        for one in containers.all() {
            logs::unlink(pod, one);
            match self.context.monitor.ask(&Request::Remove { name: one.id.clone(), force: true }).await {
                Ok(_) => {}
                Err(Error::Failed(failure)) if failure.code == spec::monitor::Code::NotFound => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        sandbox::remove(pod).await?;
        nfs::unmount(&self.uid).await?;
        sandbox::remove_files(&self.uid)?;
        match fs::remove_dir_all(place::logs(pod)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("remove {}: {}", place::logs(pod).display(), sys::cause::cause(&error)))
            }
            _ => Ok(()),
        }
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
