//! `/healthz`, and `/metrics/slis`: what its checks have said.

use super::exposition::{Family, Kind::Counter, Kind::Gauge};
use super::own::started;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The checks of `/healthz`, by the kubelet's names and in its order. Whoever is answered at all sees the first two pass.
pub const CHECKS: [&str; 3] = ["ping", "log", SYNCLOOP];

/// Pods are looked after: the monitor answers, without which nothing is done for them.
const SYNCLOOP: &str = "syncloop";

/// How long the monitor may be silent, as a kubelet bears a runtime that is down.
const SILENCE: Duration = Duration::from_secs(300);

/// How often each check was asked for and passed, and failed; and when the monitor answered last.
#[derive(Debug)]
pub struct Checks {
    counts: Mutex<[[u64; 2]; CHECKS.len()]>,
    answered: Mutex<Instant>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { counts: Mutex::default(), answered: Instant::now().into() }
    }
}

impl Checks {
    /// The monitor has answered: says how long it had been silent before.
    pub fn answered(&self) -> Duration {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *answered, Instant::now()).elapsed()
    }

    /// How long the monitor has been silent.
    pub fn silent(&self) -> Duration {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether a check passes.
    pub fn passes(&self, check: &str) -> bool {
        check != SYNCLOOP || self.silent() < SILENCE
    }

    /// Makes all checks but the `excluded` ones, and counts them: a line each, and whether all of them passed, in the
    /// kubelet's words.
    pub fn make(&self, excluded: &[&str]) -> (bool, String) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut well, mut text) = (true, String::new());
        for (check, [passed, failed]) in CHECKS.iter().zip(counts.iter_mut()) {
            if excluded.contains(check) {
                text += &format!("[+]{check} excluded: ok\n");
            } else if self.passes(check) {
                *passed += 1;
                text += &format!("[+]{check} ok\n");
            } else {
                *failed += 1;
                well = false;
                text += &format!("[-]{check} failed: reason withheld\n");
            }
        }
        text += if well { "healthz check passed\n" } else { "healthz check failed\n" };
        (well, text)
    }

    /// The results, in text.
    pub fn text(&self) -> String {
        let help = "[STABLE] This metric records the result of a single healthcheck.";
        let mut now = Family::new("kubernetes_healthcheck", Gauge, help);
        let help = "[STABLE] This metric records the results of all healthcheck.";
        let mut all = Family::new("kubernetes_healthchecks_total", Counter, help);
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (check, [passed, failed]) in CHECKS.into_iter().zip(counts) {
            now.add(&[("name", check), ("type", "healthz")], f64::from(u8::from(self.passes(check))), 0);
            let mut count = |status, count: u64| {
                all.add(&[("name", check), ("status", status), ("type", "healthz")], count as f64, 0);
            };
            count("success", passed);
            if failed > 0 {
                count("error", failed);
            }
        }
        now.text() + &all.text() + &started()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_that_is_silent_for_long_is_told() {
        let checks = Checks::default();
        let (well, text) = checks.make(&[]);
        assert_eq!((well, text.lines().last()), (true, Some("healthz check passed")));
        *checks.answered.lock().unwrap() -= SILENCE;
        let (well, text) = checks.make(&["log"]);
        let expected =
            "[+]ping ok\n[+]log excluded: ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        assert_eq!((well, text.as_str()), (false, expected));
        let text = checks.text();
        assert!(text.contains("kubernetes_healthcheck{name=\"syncloop\",type=\"healthz\"} 0\n"), "{text}");
        let failed = "kubernetes_healthchecks_total{name=\"syncloop\",status=\"error\",type=\"healthz\"} 1\n";
        assert!(text.contains(failed), "{text}");
        checks.answered();
        assert!(checks.make(&[]).0);
    }
}
