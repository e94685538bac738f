//! What the node, its pods and their containers use, in the words of those who ask: metrics-server,
//! Prometheus, `kubectl top`.
//!
//! ```text
//! cgroups, /proc, namespaces ──▶ [snapshot] ──▶ [summary]   JSON
//!                                          └──▶ [resource], [cadvisor]   text, family by family
//! file systems of claims ──▶ [volumes] ──▶ [summary], [own]
//! ```
//!
//! Nothing is measured unless somebody asks. What pods have written is in the summary alone: to count it, all of
//! their files must be looked at ([`crate::storage`]).

mod cadvisor;
pub mod cgroup;
mod checks;
mod configz;
pub mod counts;
pub mod durations;
mod exposition;
mod network;
mod own;
mod rates;
mod resource;
pub mod snapshot;
mod summary;
#[cfg(test)]
mod tests;
mod volumes;

pub use checks::{CHECKS, Checks};
pub use own::{Probe, Probes};

use super::answer::{Answer, ok, pieces, text, with_type};
use super::pods::Pods;
use crate::storage::Storage;
use crate::volume::place;
use counts::Counts;
use durations::DURATIONS;
use exposition::TYPE;
use http::StatusCode;
use rates::Rates;
use snapshot::Snapshot;
use spec::node::Cluster;
use std::path::PathBuf;
use std::sync::Arc;
use volumes::Volumes;

/// What measuring needs, shared.
#[derive(Debug)]
pub struct Stats {
    node: String,
    /// Where cgroups are.
    cgroups: PathBuf,
    rates: Rates,
    /// What `/healthz` says.
    pub checks: Arc<Checks>,
    /// What probes have said.
    pub probes: Probes,
    /// What the agent has done.
    pub counts: Counts,
    /// What pods have written.
    pub storage: Storage,
    volumes: Volumes,
    /// The configuration that `/configz` gives: a `KubeletConfiguration`.
    pub configuration: serde_json::Value,
}

impl Stats {
    /// Of the node of this name.
    #[must_use]
    pub fn new(node: &str, cluster: &Cluster) -> Arc<Self> {
        Self::at(node, cluster, spec::paths::CGROUP.into(), place::PODS.into())
    }

    fn at(node: &str, cluster: &Cluster, cgroups: PathBuf, pods: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            node: node.to_owned(),
            cgroups,
            rates: Rates::default(),
            checks: Arc::default(),
            probes: Probes::default(),
            counts: Counts::default(),
            storage: Storage::default(),
            volumes: Volumes::new(pods),
            configuration: configz::configuration(cluster),
        })
    }
}

/// Measures, on a thread that may wait.
async fn snapshot(stats: &Arc<Stats>, pods: &Pods, with_storage: bool) -> Option<Snapshot> {
    let (all, stats) = (pods.all(), stats.clone());
    let take = move || {
        stats.rates.keep(|path| path.as_os_str().is_empty() || stats.cgroups.join(path).exists());
        stats.storage.keep(&all);
        let mut taken = Snapshot::take(&all, &stats.cgroups);
        if with_storage {
            let mut claimed = stats.volumes.of(&all);
            for own in taken.pods.iter_mut().filter(|own| own.usage.is_some()) {
                own.written = Some(stats.storage.of(&own.pod));
                own.claimed = claimed.remove(&own.pod.uid).unwrap_or_default();
            }
        }
        taken
    };
    tokio::task::spawn_blocking(take).await.ok()
}

/// When this agent began, in seconds since 1970.
pub fn began() -> Option<u64> {
    own::started_of("self").map(|own| own as u64)
}

fn trouble() -> Answer {
    text(StatusCode::INTERNAL_SERVER_ERROR, "measure: the thread ended")
}

/// Answers `/stats/summary`. Who asks for processors and memory alone has no file of any pod looked at.
pub async fn summary(stats: &Arc<Stats>, pods: &Pods, query: &str) -> Answer {
    let lean = query.split('&').any(|one| one == "only_cpu_and_memory=true");
    let Some(all) = snapshot(stats, pods, !lean).await else { return trouble() };
    let mut value = summary::summary(&all, &stats.node, &stats.rates);
    if lean {
        summary::only_cpu_and_memory(&mut value);
    }
    with_type(StatusCode::OK, "application/json", value.to_string())
}

/// Answers `/metrics/resource`.
pub async fn resource(stats: &Arc<Stats>, pods: &Pods) -> Answer {
    let Some(all) = snapshot(stats, pods, false).await else { return trouble() };
    pieces(TYPE, resource::families(all))
}

/// Answers `/metrics/cadvisor`.
pub async fn cadvisor(stats: &Arc<Stats>, pods: &Pods) -> Answer {
    let Some(all) = snapshot(stats, pods, false).await else { return trouble() };
    pieces(TYPE, cadvisor::families(all))
}

/// Answers `/metrics/probes`.
pub fn probes(stats: &Stats, pods: &Pods) -> Answer {
    with_type(StatusCode::OK, TYPE, stats.probes.text(&pods.all()))
}

/// Answers `/metrics`.
pub async fn metrics(stats: &Arc<Stats>, pods: &Pods) -> Answer {
    let (all, stats) = (pods.all(), stats.clone());
    let make = move || {
        let own = own::metrics(&stats.node, &all) + &stats.counts.text() + &DURATIONS.text();
        own + &volumes::text(&all, &stats.volumes.of(&all))
    };
    let Ok(made) = tokio::task::spawn_blocking(make).await else { return trouble() };
    with_type(StatusCode::OK, TYPE, made)
}

/// Answers `/healthz`, whose checks `exclude` may leave out and `verbose` lists: 500 when one fails.
pub fn healthz(checks: &Checks, query: &str) -> Answer {
    let excluded: Vec<&str> = query.split('&').filter_map(|one| one.strip_prefix("exclude=")).collect();
    let verbose = query.split('&').any(|one| one.split('=').next() == Some("verbose"));
    match checks.make(&excluded) {
        (false, words) => text(StatusCode::INTERNAL_SERVER_ERROR, words),
        (true, words) => ok(if verbose { words } else { "ok".to_owned() }),
    }
}

/// Answers one of the checks below `/healthz`.
pub fn check(checks: &Checks, name: &str) -> Answer {
    match checks.passes(name) {
        true => ok("ok"),
        false => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal server error: sync Loop took longer than expected\n",
        ),
    }
}

/// Answers `/metrics/slis`.
pub fn checks(stats: &Stats) -> Answer {
    with_type(StatusCode::OK, TYPE, stats.checks.text())
}

/// Answers `/configz`.
pub fn configz(stats: &Stats) -> Answer {
    let value = serde_json::json!({ "kubeletconfig": stats.configuration });
    with_type(StatusCode::OK, "application/json", value.to_string())
}
