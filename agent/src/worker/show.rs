//! The pod as the agent's server shows it.

use super::Worker;
use crate::pod::next;
use crate::pod::observed::{Containers, Instance, Sandbox, State};
use crate::server::pods as shown;
use crate::volume::place;
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use std::path::PathBuf;
use std::sync::Arc;

impl Worker {
    /// A container runs, and the turn that began it goes on: it can be looked into, measured and evicted meanwhile.
    pub(super) async fn show_running(&self, pod: &Arc<Pod>, sandbox: &Sandbox) {
        let _ = self.context.table.refresh().await;
        let containers = self.table.borrow().get(&self.uid).cloned().unwrap_or_default();
        let told = self.recorded.as_ref().map(|(_, status)| status.clone()).unwrap_or_default();
        self.show(pod, Some(sandbox), &containers, &told);
    }

    /// What the server shows of it.
    pub(super) fn show(
        &self,
        pod: &Arc<Pod>,
        sandbox: Option<&Sandbox>,
        containers: &Containers,
        status: &PodStatus,
    ) {
        let metadata = &pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let group = crate::pod::container::cgroup(pod);
        let spec = pod.spec.clone().unwrap_or_default();
        let ephemeral = spec
            .ephemeral_containers
            .iter()
            .flatten()
            .map(|one| (one.name.clone(), one.image.clone(), one.stdin_once));
        let all = next::containers(&spec)
            .map(|(_, one)| (one.name.clone(), one.image.clone(), one.stdin_once))
            .chain(ephemeral);
        let statuses = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let waits = |name: &str| {
            let mut all = statuses.iter().flat_map(|list| list.iter().flatten());
            all.find(|one| one.name == name)?.state.as_ref()?.waiting.as_ref()?.reason.clone()
        };
        let container = |(name, image, once): (String, Option<String>, Option<bool>)| {
            let latest = containers.latest(&name);
            let started = latest.and_then(|one| match one.state {
                State::Running { started } | State::Exited { started, .. } => u64::try_from(started).ok(),
                State::Created => None,
            });
            let waiting = waits(&name);
            let (log, previous) =
                latest.map_or((None, None), |one| logs(one.attempt, &one.state, waiting.is_some()));
            shown::Container {
                instance: latest.map(|one| one.id.clone()),
                log,
                previous,
                image: image.unwrap_or_default(),
                running: latest.is_some_and(Instance::runs),
                started,
                waiting,
                stdin_once: once == Some(true),
                cgroup: latest
                    .map(|one| format!("{group}/{}", one.id.get(..12).unwrap_or_default()).into())
                    .unwrap_or_default(),
                name,
            }
        };
        let object = Pod { status: Some(status.clone()), ..Pod::clone(pod) };
        let own = shown::Pod {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            uid: self.uid.clone(),
            network: network(&spec, sandbox),
            logs: place::logs(pod),
            cgroup: if sandbox.is_some() { group.clone().into() } else { PathBuf::new() },
            started: status
                .start_time
                .as_ref()
                .and_then(|own| u64::try_from(own.0.as_second()).ok())
                .unwrap_or(0),
            containers: all.map(container).collect(),
            object: Some(Arc::new(object)),
        };
        self.context.show(&self.uid, Some(own));
    }
}

/// Whose logs are read, by the newest instance of a container: that of the newest that has begun, and that of the one
/// whose end is its last state, which is the same while the next one waits.
fn logs(attempt: u32, state: &State, waits: bool) -> (Option<u32>, Option<u32>) {
    let before = attempt.checked_sub(1);
    match state {
        State::Created => (before, before),
        State::Exited { .. } if waits => (Some(attempt), Some(attempt)),
        _ => (Some(attempt), before),
    }
}

/// Where its ports are. A pod without a sandbox has none; that it names no namespace of its own does not
/// make them the node's.
fn network(spec: &PodSpec, sandbox: Option<&Sandbox>) -> shown::Network {
    match sandbox.map(|own| own.network.clone()) {
        Some(Some(path)) => shown::Network::Own(path.into()),
        Some(None) if spec.host_network == Some(true) => shown::Network::Node,
        _ => shown::Network::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_those_of_who_has_begun() {
        let exited = State::Exited { code: 1, out_of_memory: false, started: 1, finished: 2, error: None };
        assert_eq!(logs(3, &State::Created, true), (Some(2), Some(2)), "the next one cannot begin");
        assert_eq!(logs(0, &State::Created, true), (None, None));
        assert_eq!(logs(2, &exited, true), (Some(2), Some(2)), "its end is the last state");
        assert_eq!(logs(2, &exited, false), (Some(2), Some(1)));
        assert_eq!(logs(2, &State::Running { started: 1 }, true), (Some(2), Some(1)));
    }

    #[test]
    fn only_a_pod_that_asked_for_the_nodes_network_is_on_it() {
        let spec = |on_node| PodSpec { host_network: on_node, ..PodSpec::default() };
        let sandbox = |path: Option<&str>| Sandbox { network: path.map(Into::into), ..Sandbox::default() };
        let own = || shown::Network::Own("/run/net".into());
        for (on_node, made, expected) in [
            (None, None, shown::Network::Absent),
            (Some(true), None, shown::Network::Absent),
            (None, Some(sandbox(None)), shown::Network::Absent),
            (Some(true), Some(sandbox(None)), shown::Network::Node),
            (None, Some(sandbox(Some("/run/net"))), own()),
        ] {
            assert_eq!(network(&spec(on_node), made.as_ref()), expected, "{on_node:?} {made:?}");
        }
    }
}
