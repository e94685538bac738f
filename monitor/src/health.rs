//! Whether a container is well, decided purely, as Docker does: a program is run in it again and
//! again; so many failures in a row make it unhealthy, one success makes it healthy.
//!
//! | what happens | what follows |
//! |---|---|
//! | it starts | `starting`; the first check after an interval |
//! | it is within the start period, and `starting` still | intervals are start intervals |
//! | a check ends with 0 | `healthy`; no failures; the next after an interval |
//! | a check fails or takes too long within the start period, not healthy yet | it does not count |
//! | one fails otherwise | a failure more; with the last of `retries` it is `unhealthy` |

use crate::life::Time;
use serde::{Deserialize, Serialize};
use spec::monitor::{CHECKS, Checked, Checks, Health};
use spec::node::HealthCheck;
use std::time::Duration;

/// What its checks have said of an instance: `health` in the container's folder. It is there for the next monitor,
/// and so that what programs write is in no monitor's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What they say together.
    pub health: Health,
    /// What each said.
    #[serde(flatten)]
    pub checks: Checks,
}

impl Known {
    /// One check more.
    pub fn add(&mut self, checked: Checked) {
        let log = &mut self.checks.log;
        log.push(checked);
        log.drain(..log.len().saturating_sub(CHECKS));
    }
}

/// A container's check.
#[derive(Clone, Debug)]
pub struct Check {
    /// What is run, and how often.
    pub how: HealthCheck,
    /// What it says.
    pub health: Health,
    /// Failures in a row, as far as they count.
    pub failures: u32,
    started: Option<Time>,
    next: Option<Time>,
    /// The session of the check under way, and when it has taken too long.
    pub running: Option<(usize, Time)>,
}

impl Check {
    /// One that has said nothing yet.
    pub fn new(how: HealthCheck) -> Self {
        Self { how, health: Health::Starting, failures: 0, started: None, next: None, running: None }
    }

    /// The container runs since then; with what was known of it when the monitor came back.
    pub fn start(&mut self, since: Time, now: Time, known: Option<&Known>) {
        self.started = Some(since);
        self.failures = known.map_or(0, |known| known.checks.failures);
        self.health = known.map_or(Health::Starting, |known| known.health);
        self.running = None;
        self.put_off(now);
    }

    /// It is within its start period, and has not been well yet.
    fn is_young(&self, now: Time) -> bool {
        let young = self.started.is_some_and(|since| now.saturating_sub(since) < self.how.start_period.0);
        young && self.health == Health::Starting
    }

    /// The container runs no more.
    pub fn stop(&mut self) {
        (self.started, self.next, self.running) = (None, None, None);
    }

    /// When something is to be done: a check made, or ended.
    pub fn due(&self) -> Option<Time> {
        self.running.map(|(_, limit)| limit).or(self.next)
    }

    /// When the check under way has begun.
    pub fn began(&self) -> Option<Time> {
        self.running.map(|(_, limit)| limit.saturating_sub(self.how.timeout.0))
    }

    /// The next check is made in an interval.
    pub fn put_off(&mut self, now: Time) {
        let interval = if self.is_young(now) { self.how.start_interval } else { self.how.interval };
        self.next = Some(now + interval.0.max(Duration::from_millis(1)));
    }

    /// A check has begun.
    pub fn begun(&mut self, session: usize, now: Time) {
        self.next = None;
        self.running = Some((session, now + self.how.timeout.0));
    }

    /// A check has ended, well or not; says whether it now says something else.
    pub fn ended(&mut self, well: bool, now: Time) -> bool {
        let before = self.health;
        self.running = None;
        if well {
            (self.failures, self.health) = (0, Health::Healthy);
        } else if !self.is_young(now) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.how.retries {
                self.health = Health::Unhealthy;
            }
        }
        self.put_off(now);
        self.health != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::quantity::Span;

    fn at(seconds: u64) -> Time {
        Duration::from_secs(seconds)
    }

    fn check() -> Check {
        let how = HealthCheck {
            command: vec!["true".into()],
            interval: Span::seconds(10),
            timeout: Span::seconds(3),
            retries: 3,
            start_period: Span::seconds(25),
            start_interval: Span::seconds(10),
        };
        let mut check = Check::new(how);
        check.start(at(100), at(100), None);
        check
    }

    #[test]
    fn checks_follow_each_other_by_an_interval_and_have_a_limit() {
        let mut check = check();
        assert_eq!(check.due(), Some(at(110)));
        check.begun(7, at(110));
        assert_eq!(check.due(), Some(at(113)));
        assert!(check.ended(true, at(112)), "it is healthy now");
        assert_eq!((check.due(), check.health), (Some(at(122)), Health::Healthy));
        assert!(!check.ended(true, at(123)));
        check.stop();
        assert_eq!(check.due(), None);
    }

    #[test]
    fn failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        let mut check = check();
        check.ended(true, at(110));
        let after: Vec<Health> = [false, false, true, false, false, false, true]
            .iter()
            .map(|&well| {
                check.ended(well, at(200));
                check.health
            })
            .collect();
        use Health::{Healthy, Unhealthy};
        assert_eq!(after, [Healthy, Healthy, Healthy, Healthy, Healthy, Unhealthy, Healthy]);
    }

    #[test]
    fn failures_of_one_that_is_starting_do_not_count() {
        let mut check = check();
        for time in [110, 120, 124] {
            assert!(!check.ended(false, at(time)));
        }
        assert!(!check.ended(false, at(126)) && !check.ended(false, at(127)));
        assert!(check.ended(false, at(128)));
        assert_eq!(check.health, Health::Unhealthy);
    }

    #[test]
    fn one_that_is_starting_is_looked_at_more_often_until_it_is_well() {
        let how = HealthCheck { start_interval: Span::seconds(2), ..check().how };
        let mut check = Check::new(how);
        check.start(at(100), at(100), None);
        assert_eq!(check.due(), Some(at(102)));
        check.ended(false, at(103));
        assert_eq!(check.due(), Some(at(105)));
        // The start period is over.
        check.ended(false, at(125));
        assert_eq!(check.due(), Some(at(135)));
        check.start(at(200), at(200), None);
        check.ended(true, at(202));
        assert_eq!((check.health, check.due()), (Health::Healthy, Some(at(212))));
    }

    #[test]
    fn what_was_known_before_a_restart_of_the_monitor_stays() {
        let mut check = check();
        let checks = Checks { failures: 2, log: Vec::new() };
        check.start(at(100), at(500), Some(&Known { health: Health::Healthy, checks }));
        assert_eq!((check.health, check.due()), (Health::Healthy, Some(at(510))));
        check.begun(7, at(510));
        assert_eq!(check.began(), Some(at(510)));
        assert!(check.ended(false, at(511)), "it is the third failure in a row");
        assert_eq!((check.health, check.failures), (Health::Unhealthy, 3));
    }

    #[test]
    fn the_last_checks_are_told_of() {
        let mut known = Known { health: Health::Starting, checks: Checks::default() };
        (0..7).for_each(|start| known.add(Checked { start, output: "well\n".into(), ..Checked::default() }));
        let starts: Vec<u64> = known.checks.log.iter().map(|checked| checked.start).collect();
        assert_eq!(starts, [2, 3, 4, 5, 6]);
        let text = serde_json::to_vec(&known).unwrap();
        assert_eq!(serde_json::from_slice::<Known>(&text).unwrap(), known);
    }
}
