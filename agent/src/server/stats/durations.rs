//! How long the agent took for what it does: histograms of `/metrics` by the kubelet's names, which dashboards and alerts of
//! kube-prometheus look for. They count from the agent's start, wherever in the agent something is done.

use super::exposition::{Family, Kind::Counter, Kind::Histogram};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// All of this agent's.
pub static DURATIONS: Durations = Durations::new();

/// What takes time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Took {
    /// From when a pod was seen first until it runs.
    PodStart,
    /// To look at a pod and do the next thing for it.
    PodTurn,
    /// What containers, sandboxes and images need: the kubelet's name of it.
    Runtime(&'static str),
    /// To list all containers.
    List,
    /// Between two lists.
    BetweenLists,
    /// Until the API server began to answer: its host, and the method.
    Request(String, String),
}

/// Upper bounds that most histograms have, in seconds.
pub const DEFAULT: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A histogram: name, help, upper bounds in seconds, names of labels.
type Measured = (&'static str, &'static str, &'static [f64], &'static [&'static str]);

/// In the order of [`Took`].
const FAMILIES: [Measured; 6] = [
    (
        "kubelet_pod_start_duration_seconds",
        "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
        &[
            0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0,
            360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
        ],
        &[],
    ),
    (
        "kubelet_pod_worker_duration_seconds",
        "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
        DEFAULT,
        &["operation_type"],
    ),
    (
        "kubelet_runtime_operations_duration_seconds",
        "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.",
        &[
            0.005,
            0.0125,
            0.03125,
            0.078125,
            0.1953125,
            0.48828125,
            1.220703125,
            3.0517578125,
            7.62939453125,
            19.073486328125,
            47.6837158203125,
            119.20928955078125,
            298.0232238769531,
            745.0580596923828,
        ],
        &["operation_type"],
    ),
    (
        "kubelet_pleg_relist_duration_seconds",
        "[ALPHA] Duration in seconds for relisting pods in PLEG.",
        DEFAULT,
        &[],
    ),
    (
        "kubelet_pleg_relist_interval_seconds",
        "[ALPHA] Interval in seconds between relisting in PLEG.",
        DEFAULT,
        &[],
    ),
    (
        "rest_client_request_duration_seconds",
        "[ALPHA] Request latency in seconds. Broken down by verb, and host.",
        &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0],
        &["host", "verb"],
    ),
];

impl Took {
    /// Its family, and what its labels say.
    fn labels(&self) -> (usize, Vec<&str>) {
        match self {
            Self::PodStart => (0, Vec::new()),
            Self::PodTurn => (1, vec!["sync"]),
            Self::Runtime(operation) => (2, vec![operation]),
            Self::List => (3, Vec::new()),
            Self::BetweenLists => (4, Vec::new()),
            Self::Request(host, method) => (5, vec![host, method]),
        }
    }
}

/// How often it took how long.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// By the first of the bounds that was not less; the last is for none.
    pub within: Vec<u64>,
    /// Seconds in all.
    pub sum: f64,
}

impl Times {
    /// It took so long; the bounds are the same each time.
    pub fn add(&mut self, bounds: &[f64], time: Duration) {
        let seconds = time.as_secs_f64();
        let place = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
        self.within.resize(bounds.len() + 1, 0);
        self.within[place] += 1;
        self.sum += seconds;
    }
}

/// What was measured.
#[derive(Debug)]
pub struct Durations(Mutex<Known>);

#[derive(Debug)]
struct Known {
    took: BTreeMap<Took, Times>,
    /// How often what a runtime does failed.
    errors: BTreeMap<&'static str, u64>,
    /// How often the API server was asked: code, host, method.
    requests: BTreeMap<(String, String, String), u64>,
}

impl Durations {
    const fn new() -> Self {
        let took = BTreeMap::new();
        Self(Mutex::new(Known { took, errors: BTreeMap::new(), requests: BTreeMap::new() }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It took so long.
    pub fn add(&self, what: Took, time: Duration) {
        let bounds = FAMILIES[what.labels().0].2;
        self.known().took.entry(what).or_default().add(bounds, time);
    }

    /// A runtime's operation took so long, and may have failed.
    pub fn add_operation(&self, operation: &'static str, time: Duration, failed: bool) {
        self.add(Took::Runtime(operation), time);
        *self.known().errors.entry(operation).or_default() += u64::from(failed);
    }

    /// The API server at this host began to answer with this code after so long, or nobody did (`<error>`).
    pub fn add_request(&self, host: &str, method: &str, code: Option<u16>, time: Duration) {
        self.add(Took::Request(host.to_owned(), method.to_owned()), time);
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        *self.known().requests.entry((code, host.to_owned(), method.to_owned())).or_default() += 1;
    }

    /// All of it, in text.
    pub fn text(&self) -> String {
        let known = self.known();
        let mut families = FAMILIES.map(|(name, help, ..)| Family::new(name, Histogram, help));
        let help = "[ALPHA] Cumulative number of runtime operations by operation type.";
        let mut operations = Family::new("kubelet_runtime_operations_total", Counter, help);
        let help = "[ALPHA] Cumulative number of runtime operation errors by operation type.";
        let mut errors = Family::new("kubelet_runtime_operations_errors_total", Counter, help);
        for (what, own) in &known.took {
            let (family, values) = what.labels();
            let (_, _, bounds, names) = FAMILIES[family];
            let labels: Vec<(&str, &str)> = names.iter().copied().zip(values).collect();
            families[family].add_histogram(&labels, bounds, &own.within, own.sum);
            if matches!(what, Took::Runtime(_)) {
                operations.add(&labels, own.within.iter().sum::<u64>() as f64, 0);
            }
        }
        for (operation, count) in known.errors.iter().filter(|(_, count)| **count > 0) {
            errors.add(&[("operation_type", operation)], *count as f64, 0);
        }
        let help = "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.";
        let mut requests = Family::new("rest_client_requests_total", Counter, help);
        for ((code, host, method), count) in &known.requests {
            requests.add(&[("code", code), ("host", host), ("method", method)], *count as f64, 0);
        }
        families.map(Family::text).concat() + &[operations, errors, requests].map(Family::text).concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_how_long_is_told_by_bounds() {
        let durations = Durations::new();
        let milliseconds = [4, 5, 30, 2_000_000];
        for (place, time) in milliseconds.into_iter().enumerate() {
            durations.add_operation("create_container", Duration::from_millis(time), place == 0);
        }
        durations.add(Took::PodTurn, Duration::ZERO);
        durations.add_request("10.0.0.1:6443", "GET", Some(200), Duration::from_secs(1));
        durations.add_request("10.0.0.1:6443", "GET", None, Duration::from_secs(30));
        let text = durations.text();
        let has = |line: &str| assert!(text.lines().any(|own| own == line), "{line}\n{text}");
        let name = "kubelet_runtime_operations_duration_seconds";
        has(&format!("# TYPE {name} histogram"));
        for (bound, count) in
            [("0.005", 2), ("0.0125", 2), ("0.03125", 3), ("745.0580596923828", 3), ("+Inf", 4)]
        {
            has(&format!("{name}_bucket{{operation_type=\"create_container\",le=\"{bound}\"}} {count}"));
        }
        has(&format!("{name}_sum{{operation_type=\"create_container\"}} 2000.039"));
        has(&format!("{name}_count{{operation_type=\"create_container\"}} 4"));
        has("kubelet_runtime_operations_total{operation_type=\"create_container\"} 4");
        has("kubelet_runtime_operations_errors_total{operation_type=\"create_container\"} 1");
        has("kubelet_pod_worker_duration_seconds_count{operation_type=\"sync\"} 1");
        has("rest_client_requests_total{code=\"<error>\",host=\"10.0.0.1:6443\",method=\"GET\"} 1");
        has("rest_client_request_duration_seconds_count{host=\"10.0.0.1:6443\",verb=\"GET\"} 2");
        assert!(FAMILIES.iter().all(|(_, _, bounds, _)| bounds.is_sorted()));
    }
}
