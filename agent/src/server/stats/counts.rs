//! What the agent has done, counted for `/metrics`.

use super::exposition::{Family, Kind::Counter};
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most counts that are kept: exit codes and reasons are the containers' to choose.
const MOST: usize = 4096;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    /// A pod went for the node's sake: the kubelet's name of what was short.
    Eviction(&'static str),
    /// A pod was to get its sandbox.
    Pod,
    /// It did not.
    PodFailed,
    /// A pod with users of its own was to get its sandbox.
    OwnUsers,
    /// It did not, or a container of it did not begin.
    OwnUsersFailed,
    /// A container was to begin: the kubelet's name of its kind.
    Started(&'static str),
    /// It did not: its kind, and the reason of its state.
    NotStarted(&'static str, &'static str),
    /// One has ended: its kind, exit code and reason.
    Ended(&'static str, i32, String),
}

/// Families, in the order of [`Count`]: name, help, and names of labels.
const FAMILIES: [(&str, &str, &[&str]); 8] = [
    (
        "kubelet_evictions",
        "[ALPHA] Cumulative number of pod evictions by eviction signal",
        &["eviction_signal"],
    ),
    ("kubelet_started_pods_total", "[ALPHA] Cumulative number of pods started", &[]),
    ("kubelet_started_pods_errors_total", "[ALPHA] Cumulative number of errors when starting pods", &[]),
    (
        "kubelet_started_user_namespaced_pods_total",
        "[ALPHA] Cumulative number of pods with user namespaces started.",
        &[],
    ),
    (
        "kubelet_started_user_namespaced_pods_errors_total",
        "[ALPHA] Cumulative number of errors when starting pods with user namespaces.",
        &[],
    ),
    (
        "kubelet_started_containers_total",
        "[ALPHA] Cumulative number of containers started",
        &["container_type"],
    ),
    (
        "kubelet_started_containers_errors_total",
        "[ALPHA] Cumulative number of errors when starting containers",
        &["container_type", "code"],
    ),
    (
        "kubelet_terminated_containers_total",
        "[ALPHA] Cumulative number of container terminations.",
        &["container_type", "exit_code", "reason"],
    ),
];

impl Count {
    /// Its family, and what its labels say.
    fn labels(&self) -> (usize, Vec<String>) {
        match self {
            Self::Eviction(signal) => (0, vec![(*signal).to_owned()]),
            Self::Pod => (1, Vec::new()),
            Self::PodFailed => (2, Vec::new()),
            Self::OwnUsers => (3, Vec::new()),
            Self::OwnUsersFailed => (4, Vec::new()),
            Self::Started(kind) => (5, vec![(*kind).to_owned()]),
            Self::NotStarted(kind, reason) => (6, vec![(*kind).to_owned(), (*reason).to_owned()]),
            Self::Ended(kind, code, reason) => {
                (7, vec![(*kind).to_owned(), code.to_string(), reason.clone()])
            }
        }
    }
}

/// All counts.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<Count, u64>>);

impl Counts {
    /// Counts one. When there are too many different ones, all begin anew, as counters may.
    pub fn add(&self, one: Count) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MOST && !counts.contains_key(&one) {
            counts.clear();
        }
        *counts.entry(one).or_default() += 1;
    }

    /// Counts containers that have ended by what is told now, and had not by what was told before.
    pub fn add_ends(&self, before: Option<&PodStatus>, now: &PodStatus) {
        let lists = |status: &PodStatus| {
            [
                ("init_container", status.init_container_statuses.clone()),
                ("container", status.container_statuses.clone()),
                ("ephemeral_container", status.ephemeral_container_statuses.clone()),
            ]
        };
        let had_ended = |kind: &str, name: &str| {
            let lists = before.map(lists).into_iter().flatten();
            let mut own =
                lists.filter(|(other, _)| *other == kind).flat_map(|(_, list)| list.unwrap_or_default());
            own.any(|one| one.name == name && ended(&one).is_some())
        };
        for (kind, list) in lists(now) {
            for one in list.iter().flatten().filter(|one| !had_ended(kind, &one.name)) {
                if let Some((code, reason)) = ended(one) {
                    self.add(Count::Ended(kind, code, reason));
                }
            }
        }
    }

    /// All of them, in text.
    pub fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut families = FAMILIES.map(|(name, help, _)| Family::new(name, Counter, help));
        for (one, count) in counts.iter() {
            let (family, values) = one.labels();
            let names = FAMILIES[family].2.iter().copied();
            let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
            families[family].add(&labels, *count as f64, 0);
        }
        families.map(Family::text).concat()
    }
}

fn ended(one: &ContainerStatus) -> Option<(i32, String)> {
    let end = one.state.as_ref()?.terminated.as_ref()?;
    Some((end.exit_code, end.reason.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_end_is_counted_once() {
        let status = |state: serde_json::Value| -> PodStatus {
            serde_json::from_value(json!({ "containerStatuses": [
                { "name": "m", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state },
            ] }))
            .unwrap()
        };
        let up = status(json!({ "running": {} }));
        let over = status(json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }));
        let counts = Counts::default();
        counts.add_ends(None, &up);
        counts.add_ends(Some(&up), &over);
        counts.add_ends(Some(&over), &over);
        counts.add(Count::Eviction("memory.available"));
        let text = counts.text();
        let ends = r#"kubelet_terminated_containers_total{container_type="container",exit_code="137",reason="OOMKilled"} 1"#;
        assert!(text.lines().any(|line| line == ends), "{text}");
        assert!(text.contains("kubelet_evictions{eviction_signal=\"memory.available\"} 1\n"), "{text}");
        assert!(!text.contains("started_pods"), "{text}");
    }

    #[test]
    fn what_does_not_begin_is_counted_under_its_own_name() {
        let table = [
            (Count::Pod, "started_pods_total"),
            (Count::PodFailed, "started_pods_errors_total"),
            (Count::OwnUsers, "started_user_namespaced_pods_total"),
            (Count::OwnUsersFailed, "started_user_namespaced_pods_errors_total"),
            (Count::Started("container"), r#"started_containers_total{container_type="container"}"#),
            (
                Count::NotStarted("init_container", "ErrImagePull"),
                r#"started_containers_errors_total{container_type="init_container",code="ErrImagePull"}"#,
            ),
        ];
        for (one, line) in table {
            let counts = Counts::default();
            counts.add(one);
            let text = counts.text();
            assert!(text.contains(&format!("\nkubelet_{line} 1\n")), "{text}");
        }
    }
}
