//! `/metrics/slis`: what the checks of `/healthz` have said.

use super::exposition::{Family, Kind::Counter, Kind::Gauge};
use super::own::started;
use std::sync::atomic::{AtomicU64, Ordering};

/// The checks of `/healthz`, by the kubelet's names.
pub const CHECKS: [&str; 3] = ["log", "ping", "syncloop"];

/// How often all of them were asked for. None of them fails: an agent that fails does not answer.
#[derive(Debug, Default)]
pub struct Checks(AtomicU64);

impl Checks {
    /// Counts one time.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The results, in text.
    pub fn text(&self) -> String {
        let help = "[STABLE] This metric records the result of a single healthcheck.";
        let mut now = Family::new("kubernetes_healthcheck", Gauge, help);
        let help = "[STABLE] This metric records the results of all healthcheck.";
        let mut all = Family::new("kubernetes_healthchecks_total", Counter, help);
        let count = self.0.load(Ordering::Relaxed) as f64;
        for check in CHECKS {
            now.add(&[("name", check), ("type", "healthz")], 1.0, 0);
            all.add(&[("name", check), ("status", "success"), ("type", "healthz")], count, 0);
        }
        now.text() + &all.text() + &started()
    }
}
