//! What the API server is told of a pod: always the latest, as soon as it answers.

use super::Context;
use crate::api::{self, Api};
use crate::pod::next::Health;
use crate::pod::resize::told::CONDITIONS;
use crate::pod::status::SCHEME;
use crate::say::Trouble;
use crate::server::stats::Stats;
use crate::static_pods::is_static;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Tells the API server.
pub(super) struct Reporter {
    latest: watch::Sender<Option<PodStatus>>,
    sent: watch::Receiver<Sent>,
    task: JoinHandle<()>,
    picture: String,
    again: Arc<Notify>,
    stats: Arc<Stats>,
}

impl Reporter {
    /// For a pod.
    pub fn begin(context: &Arc<Context>, pod: &Pod) -> Self {
        let (latest, receiver) = watch::channel(None);
        let (done, sent) = watch::channel(Sent::default());
        let metadata = &pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let whose = Whose {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            uid: metadata.uid.clone().filter(|_| !is_static(pod)),
        };
        let again = Arc::new(Notify::new());
        let task = tokio::spawn(keep(context.api.clone(), whose, receiver, done, again.clone()));
        Self { latest, sent, task, picture: String::new(), again, stats: context.stats.clone() }
    }

    /// A static pod with what was told of it last, which the API server says of others: it has but a picture of this one.
    pub fn remember(&self, pod: Arc<Pod>) -> Arc<Pod> {
        match &*self.latest.borrow() {
            Some(told) if is_static(&pod) => Arc::new(Pod { status: Some(told.clone()), ..Pod::clone(&pod) }),
            _ => pod,
        }
    }

    /// Tells it, unless it is known. A picture that comes is told all anew.
    pub fn tell(&mut self, pod: &Pod, status: PodStatus) {
        let known = |status: &PodStatus| {
            let before = pod.status.as_ref().filter(|_| !is_static(pod));
            self.latest.borrow().is_none() && before.is_some_and(|before| same(before, status))
        };
        if known(&status) {
            return;
        }
        self.latest.send_if_modified(|latest| {
            // A start is for ever, and so is the time of a condition that says the same.
            let mut next = status;
            if let Some(before) = latest.as_ref() {
                next.start_time = before.start_time.clone();
                keep_times(before, &mut next);
            }
            let changes = latest.as_ref() != Some(&next);
            if changes {
                self.stats.counts.add_ends(latest.as_ref().or(pod.status.as_ref()), &next);
                *latest = Some(next);
            }
            changes
        });
        self.contradict(pod);
    }

    /// Somebody else has changed what was told, as the node's controller does with pods of a node that it has not
    /// heard of for a while: it is told again.
    fn contradict(&self, pod: &Pod) {
        let (latest, sent) = (self.latest.borrow(), self.sent.borrow());
        let version = |version: &Option<String>| version.as_ref().and_then(|text| text.parse::<u64>().ok());
        let later = version(&pod.metadata.resource_version) > version(&sent.version);
        if let (Some(told), Some(known)) = (latest.as_ref(), pod.status.as_ref())
            && sent.status.as_ref() == Some(told)
            && later
            && differs(known, told)
        {
            self.again.notify_one();
        }
    }

    /// A static pod has a picture of this UID by now; another one knows nothing yet.
    pub fn picture(&mut self, uid: &str) {
        if self.picture != uid {
            uid.clone_into(&mut self.picture);
            self.again.notify_one();
        }
    }

    /// When the pod was started, by what was told.
    pub fn started(&self) -> Option<i64> {
        self.latest.borrow().as_ref()?.start_time.as_ref().map(|own| own.0.as_second())
    }

    /// Returns once the API server knows the latest, or has the pod no more.
    pub async fn settled(&mut self) {
        loop {
            if *self.latest.borrow() == self.sent.borrow_and_update().status || self.task.is_finished() {
                return;
            }
            if self.sent.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn keep_times(before: &PodStatus, next: &mut PodStatus) {
    for one in next.conditions.iter_mut().flatten() {
        let same = before
            .conditions
            .iter()
            .flatten()
            // Those of a resize have the time of their reason.
            .filter(|other| !CONDITIONS.contains(&other.type_.as_str()))
            .find(|other| other.type_ == one.type_ && other.status == one.status);
        if let Some(same) = same {
            one.last_transition_time = same.last_transition_time.clone();
        }
    }
}

/// What the API server has says all that this says.
fn same(before: &PodStatus, status: &PodStatus) -> bool {
    let ours = |list: &PodStatus| {
        let told = status.conditions.iter().flatten().map(|one| one.type_.as_str());
        let names: Vec<&str> = told.chain(CONDITIONS).collect();
        let mut own: Vec<_> = list
            .conditions
            .iter()
            .flatten()
            .filter(|one| names.contains(&one.type_.as_str()))
            .cloned()
            .collect();
        own.sort_by(|a, b| a.type_.cmp(&b.type_));
        own.iter_mut().for_each(|one| one.last_probe_time = None);
        own
    };
    let plain = |list: &PodStatus| PodStatus { conditions: Some(ours(list)), ..list.clone() };
    plain(before) == plain(status)
}

/// What the API server has says something else of the pod, or of a condition.
fn differs(known: &PodStatus, told: &PodStatus) -> bool {
    let of = |status: &PodStatus, kind: &str| {
        let mut all = status.conditions.iter().flatten();
        all.find(|one| one.type_ == kind).map(|one| one.status.clone())
    };
    known.phase != told.phase
        || told.conditions.iter().flatten().any(|one| of(known, &one.type_).as_ref() != Some(&one.status))
}

/// What the API server has taken, and the version of the pod that came of it.
#[derive(Debug, Default)]
struct Sent {
    status: Option<PodStatus>,
    version: Option<String>,
}

struct Whose {
    namespace: String,
    name: String,
    /// None for the picture of a static pod, which has another and comes back when it is gone.
    uid: Option<String>,
}

async fn keep(
    api: Api,
    whose: Whose,
    mut latest: watch::Receiver<Option<PodStatus>>,
    sent: watch::Sender<Sent>,
    again: Arc<Notify>,
) {
    let mut trouble = Trouble::default();
    loop {
        let status = latest.borrow_and_update().clone();
        if let Some(status) = status.filter(|status| sent.borrow().status.as_ref() != Some(status)) {
            match patch(&api, &whose, &status).await {
                Err(error) if whose.uid.is_some() && is_over(&error) => return,
                patched => {
                    let what = format!("report the status of pod {}/{}", whose.namespace, whose.name);
                    let patched = patched.map_err(|error| api::words(&error));
                    let Some(version) = trouble.of(&what, patched) else {
                        trouble.pause().await;
                        continue;
                    };
                    sent.send_replace(Sent { status: Some(status), version });
                }
            }
        }
        tokio::select! {
            one = latest.changed() => if one.is_err() { return },
            () = again.notified() => drop(sent.send_replace(Sent::default())),
        }
    }
}

/// The pod is there no more, or another of its name.
fn is_over(error: &kube::Error) -> bool {
    api::is_missing(error) || api::is_conflict(error)
}

/// Tells it, and gives the version of the pod that comes of it.
async fn patch(api: &Api, whose: &Whose, status: &PodStatus) -> Result<Option<String>, kube::Error> {
    let pods: kube::Api<Pod> = kube::Api::namespaced(api.client(), &whose.namespace);
    let patch = words(whose.uid.as_deref(), status);
    let patched = pods.patch_status(&whose.name, &PatchParams::default(), &Patch::Strategic(&patch)).await?;
    Ok(patched.metadata.resource_version)
}

/// The patch. What is not said would stay as it was, so it is said that there is nothing.
fn words(uid: Option<&str>, status: &PodStatus) -> serde_json::Value {
    let mut status = json!(status);
    for key in ["reason", "message"] {
        if let Some(own) = status.as_object_mut() {
            own.entry(key).or_insert(serde_json::Value::Null);
        }
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            if let Some(own) = condition.as_object_mut() {
                own.entry(key).or_insert(serde_json::Value::Null);
            }
        }
    }
    if let Some(all) = status.get_mut("conditions").and_then(|own| own.as_array_mut()) {
        let gone = CONDITIONS.into_iter().filter(|kind| !all.iter().any(|one| one["type"] == *kind));
        let gone: Vec<_> = gone.map(|kind| json!({ "$patch": "delete", "type": kind })).collect();
        all.extend(gone);
    }
    // Else addresses that a pod has no more would stay beside those that it has (strategic merge patch, by `ip`).
    for key in ["hostIPs", "podIPs"] {
        if let Some(all) = status.get_mut(key).and_then(|own| own.as_array_mut()) {
            all.push(json!({ "$patch": "replace" }));
        }
    }
    let absent = |all: Option<&mut serde_json::Value>, keys: &[&str]| {
        if let Some(all) = all.and_then(|own| own.as_object_mut()) {
            for key in keys {
                all.entry(*key).or_insert(serde_json::Value::Null);
            }
        }
    };
    absent(Some(&mut status), &["allocatedResources"]);
    absent(status.get_mut("resources"), &["limits", "requests"]);
    for list in ["/allocatedResources", "/resources/limits", "/resources/requests"] {
        absent(status.pointer_mut(list), &["cpu", "ephemeral-storage", "memory"]);
    }
    match uid {
        Some(uid) => json!({ "metadata": { "uid": uid }, "status": status }),
        None => json!({ "status": status }),
    }
}

/// What the API server knew of a container's health: an agent that comes after another begins with that.
pub(super) fn health(pod: &Pod, id: &str) -> Option<Health> {
    let status = pod.status.as_ref()?;
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let mut all = lists.into_iter().flat_map(|list| list.iter().flatten());
    let own =
        all.find(|one| one.container_id.as_deref().and_then(|own| own.strip_prefix(SCHEME)) == Some(id))?;
    Some(Health { started: own.started == Some(true), ready: own.ready, ..Health::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_somebody_else_is_noticed() {
        let status = |ready: &str, other: &str| -> PodStatus {
            serde_json::from_value(json!({ "phase": "Running", "conditions": [
                { "type": "Ready", "status": ready }, { "type": "theirs", "status": other },
            ] }))
            .unwrap()
        };
        let told = PodStatus {
            conditions: Some(vec![status("True", "").conditions.unwrap().remove(0)]),
            ..status("True", "")
        };
        assert!(!differs(&status("True", "False"), &told));
        assert!(differs(&status("False", "False"), &told));
        assert!(differs(&PodStatus::default(), &told));
    }

    #[test]
    fn what_is_no_more_is_said_to_be_nothing() {
        let status: PodStatus = serde_json::from_value(
            json!({ "conditions": [{ "type": "Ready", "status": "True" }], "podIPs": [{ "ip": "10.0.0.1" }],
                "resources": { "limits": { "memory": "1" } } }),
        )
        .unwrap();
        let patch = words(Some("u"), &status);
        assert_eq!(patch["metadata"]["uid"], "u");
        let condition = patch["status"]["conditions"][0].as_object().unwrap();
        assert!(condition["reason"].is_null() && condition.contains_key("message"));
        let gone: Vec<_> = patch["status"]["conditions"].as_array().unwrap()[1..].to_vec();
        assert_eq!(gone, CONDITIONS.map(|kind| json!({ "$patch": "delete", "type": kind })));
        assert!(patch["status"].as_object().unwrap()["reason"].is_null());
        assert_eq!(patch["status"]["podIPs"], json!([{ "ip": "10.0.0.1" }, { "$patch": "replace" }]));
        assert_eq!(patch["status"]["hostIPs"], json!(null));
        let limits = json!({ "cpu": null, "ephemeral-storage": null, "memory": "1" });
        assert_eq!(patch["status"]["resources"], json!({ "limits": limits, "requests": null }));
        assert!(patch["status"].as_object().unwrap()["allocatedResources"].is_null());
    }
}
