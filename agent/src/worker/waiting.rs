//! What is in the way of a pod's containers, and when it is tried again.

use super::{Worker, now};
use crate::pod::next::{self, Waiting};
use crate::pod::restart;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Worker {
    /// Something is in the way of a container, or of the sandbox; the next attempt comes later each time.
    pub(super) fn postpone(&mut self, name: &str, reason: &str, message: String, first: i64) {
        let failures = self.waiting.get(name).map_or(0, |own| own.failures);
        let until = now() + restart::pause(reason, first, failures);
        let waiting = Waiting { reason: reason.to_owned(), message, until, failures: failures + 1 };
        self.waiting.insert(name.to_owned(), waiting);
    }

    /// What was in the way may be so no more once the pod reads otherwise; a registry is left in peace.
    pub(super) fn reconsider(&mut self, pod: &Arc<Pod>) {
        if self.seen.as_ref().is_some_and(|seen| !next::reads_alike(seen, pod)) {
            self.waiting.retain(|_, own| restart::is_of_a_registry(&own.reason));
        }
        self.seen = Some(pod.clone());
    }

    /// What could not be fetched just now is not tried at once: the next status says so. What ended too soon waits,
    /// too. People are told of each once.
    pub(super) fn back_off(&mut self, pod: &Pod, status: &PodStatus) {
        let events = self.context.events.clone();
        for (name, waiting) in self.waiting.iter_mut().filter(|(_, own)| own.reason == "ErrImagePull") {
            let failure = waiting.message.strip_prefix("Failed to pull image ").unwrap_or(&waiting.message);
            let (image, why) = failure.split_once(": ").unwrap_or((failure, ""));
            events.say(pod, Some(name), true, "BackOff", format!("Back-off pulling image {image}"));
            let message = format!("Back-off pulling image {image}: {}: {why}", waiting.reason);
            (waiting.reason, waiting.message) = ("ImagePullBackOff".to_owned(), message);
        }
        let lists = [&status.init_container_statuses, &status.container_statuses];
        let all = lists.into_iter().flat_map(|list| list.iter().flatten());
        let crashed = all.filter_map(|own| {
            let waiting = own.state.as_ref()?.waiting.as_ref()?;
            (waiting.reason.as_deref() == Some("CrashLoopBackOff"))
                .then_some((own.container_id.clone()?, own))
        });
        let crashed: BTreeMap<_, _> = crashed.collect();
        for (_, own) in crashed.iter().filter(|(id, _)| !self.crashed.contains(*id)) {
            let metadata = &pod.metadata;
            let words = format!(
                "Back-off restarting failed container {} in pod {}_{}({})",
                own.name,
                metadata.name.as_deref().unwrap_or_default(),
                metadata.namespace.as_deref().unwrap_or_default(),
                self.uid
            );
            events.say(pod, Some(&own.name), false, "BackOff", words);
        }
        self.crashed = crashed.into_keys().collect();
    }
}
