//! Lifecycle hooks of containers ("Container Lifecycle Hooks").

use super::{Context, Worker, container};
use crate::attempt::{self, Outcome};
use crate::pod::observed::{Instance, Sandbox};
use crate::sandbox;
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

    /// Runs a container's preStop hook, if it has one, for so many seconds at most.
    pub(super) fn begin_hook(&self, pod: &Pod, one: &Instance, grace: i64) -> Option<JoinHandle<()>> {
        let (_, own) = container(pod, &one.container)?;
        let hook = own.lifecycle.as_ref()?.pre_stop.clone()?;
        let address = self.address(sandbox::find(pod).as_ref());
        let limit = Duration::from_secs(u64::try_from(grace.max(1)).unwrap_or(1));
        let (context, id, pod) = (self.context.clone(), one.id.clone(), pod.clone());
        Some(tokio::spawn(async move {
            if let Err(reason) = hook_of(&context, address, &own, &id, &hook, limit).await {
                let words = format!("PreStopHook failed: {reason}");
                context.events.say(&pod, Some(&own.name), false, "FailedPreStopHook", words);
            }
        }))
    }
}

/// Runs a lifecycle hook of a container.
pub(super) async fn hook_of(
    context: &Context,
    address: Option<IpAddr>,
    container: &Container,
    id: &str,
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
        Outcome::Good | Outcome::Warning(_) => Ok(()),
        Outcome::Bad(reason) | Outcome::Unknown(reason) => Err(reason),
    }
}
