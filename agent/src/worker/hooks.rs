//! Lifecycle hooks of containers ("Container Lifecycle Hooks").

use super::{Context, Worker, container, end};
use crate::attempt::{self, Outcome};
use crate::pod::observed::{Containers, Instance, Sandbox};
use crate::sandbox;
use crate::say::say;
use crate::volume::place;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::JoinHandle;

impl Worker {
    /// Where a pod's containers answer.
    pub(super) fn address(&self, sandbox: Option<&Sandbox>) -> Option<IpAddr> {
        let own = sandbox.and_then(|own| own.addresses.first());
        own.or(self.context.own.addresses.first()).copied()
    }

    /// Runs a container's preStop hook, if it has one and there is time, for so many seconds at most.
    pub(super) fn begin_hook(&self, pod: &Pod, one: &Instance, grace: i64) -> Option<JoinHandle<()>> {
        let (_, own) = container(pod, &one.container)?;
        let hook = own.lifecycle.as_ref()?.pre_stop.clone()?;
        let limit = limit(grace)?;
        let address = self.address(sandbox::find(pod).as_ref());
        let (context, id, pod) = (self.context.clone(), one.id.clone(), pod.clone());
        Some(tokio::spawn(async move {
            if let Err(reason) = hook_of(&context, &pod, address, (&own, &id), &hook, limit).await {
                failed(&context, &pod, &own, "PreStop", &reason);
            }
        }))
    }
}

impl Worker {
    /// The postStart hook of an instance has failed: it ends, whoever looks after it by then. The monitor need not have told
    /// of it yet; the hook may have failed because it cannot.
    pub(super) fn note_failed(&self, container: &str, attempt: u32) {
        let path = place::failed(&self.uid, container, attempt);
        let write = || -> std::io::Result<()> {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            std::fs::write(&path, "")
        };
        if let Err(error) = write() {
            say(format_args!("write {}: {}", path.display(), sys::cause::cause(&error)));
        }
    }

    /// The postStart hook of an instance has failed.
    pub(super) fn has_failed(&self, pod: &Pod, one: &Instance) -> bool {
        let own = container(pod, &one.container).and_then(|(_, own)| own.lifecycle);
        let has_hook = own.is_some_and(|own| own.post_start.is_some());
        has_hook && place::failed(&self.uid, &one.container, one.attempt).exists()
    }

    /// Ends containers whose postStart hook has failed, as one is that somebody stops: with its preStop hook.
    pub(super) fn end_failed(&mut self, pod: &Pod, containers: &Containers) {
        let failed = containers.all().filter(|one| one.runs() && self.has_failed(pod, one));
        let ids: Vec<String> = failed.map(|one| one.id.clone()).collect();
        if !ids.is_empty() {
            let grace = super::of_spec(pod);
            self.stop(pod, containers, &end::Order { ids, grace, anew: false, later: Vec::new() });
        }
    }
}

/// How long a preStop hook may take of so many seconds; without time it is left out, as with a kubelet.
fn limit(grace: i64) -> Option<Duration> {
    u64::try_from(grace).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Tells of a hook (`PreStop`, `PostStart`) that has failed. Why, which may be what its program has printed, is not for all
/// who read events: the agent's log has the beginning.
pub(super) fn failed(context: &Context, pod: &Pod, container: &Container, hook: &str, reason: &str) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    say(format_args!("pod {name}: container {}: {hook} hook failed: {}", container.name, beginning(reason)));
    let (reason, words) = (format!("Failed{hook}Hook"), format!("{hook}Hook failed"));
    context.events.say(pod, Some(&container.name), false, &reason, words);
}

/// Some of the first line.
fn beginning(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(200)]
}

/// Runs a lifecycle hook of a container, which the monitor has by this ID.
pub(super) async fn hook_of(
    context: &Context,
    pod: &Pod,
    address: Option<IpAddr>,
    (container, id): (&Container, &str),
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    let ports = container.ports.as_deref();
    let outcome = if let Some(action) = &hook.exec {
        attempt::exec(&context.monitor, id, action, limit).await
    } else if let (Some(action), Some(address)) = (&hook.http_get, address) {
        attempt::call(address, action, ports, limit).await
    } else if let (Some(action), Some(address)) = (&hook.tcp_socket, address) {
        attempt::tcp(address, action, ports, limit).await
    } else if let Some(action) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(action.seconds).unwrap_or(0)).min(limit)).await;
        Outcome::Good
    } else {
        Outcome::Unknown("the hook says nothing of how".to_owned())
    };
    match outcome {
        Outcome::Good => Ok(()),
        Outcome::Warning(words) => {
            context.events.say(pod, None, false, "LifecycleHTTPFallback", words);
            Ok(())
        }
        Outcome::Bad(reason) | Outcome::Unknown(reason) => Err(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_time_to_end_has_none_for_a_hook() {
        assert_eq!([-1, 0, 2].map(limit), [None, None, Some(Duration::from_secs(2))]);
    }

    #[test]
    fn one_line_is_kept_of_why_a_hook_failed() {
        assert_eq!(beginning("exit 1: no\nsesame"), "exit 1: no");
        assert_eq!(beginning(&"ä".repeat(200)).len(), 200);
        assert_eq!(beginning(""), "");
    }
}
