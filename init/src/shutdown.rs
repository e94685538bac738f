//! The end of the machine's run, in steps that each have a limit.
//!
//! | phase | it is over when | limit | hurried |
//! |---|---|---|---|
//! | services | none runs; asked in reverse, each with its own grace | 90 s | 0.5 s: all are killed |
//! | terminate | every other process was asked to end and has | 5 s | 0.5 s |
//! | kill | every other process was killed and is gone | 2 s | 0.5 s |
//! | unmount | a process of its own has unmounted and synced | 30 s | 5 s |
//! | off | | | |
//!
//! A second request hurries: the phase that runs gets the hurried limit, and so
//! do those that follow. A limit that is met is said and the next phase begins.

use spec::control::Shutdown;
use std::time::Duration;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The services are asked to end.
    Services,
    /// All other processes are.
    Terminate,
    /// What is left is killed.
    Kill,
    /// File systems are unmounted.
    Unmount,
    /// Nothing is left to do.
    Off,
}

/// A shutdown that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// How it ends.
    pub how: Shutdown,
    /// Where it stands.
    pub phase: Phase,
    /// When the phase is over, whatever happens.
    pub deadline: Duration,
    /// Whether it was asked for twice.
    pub hurried: bool,
}

impl Progress {
    /// Begins.
    pub fn begin(how: Shutdown, now: Duration) -> Self {
        Self { how, phase: Phase::Services, deadline: now + limit(Phase::Services, false), hurried: false }
    }

    /// Asked for once more. The later wish counts for how it ends.
    pub fn hurry(&mut self, how: Shutdown, now: Duration) {
        (self.how, self.hurried) = (how, true);
        self.deadline = self.deadline.min(now + limit(self.phase, true));
    }

    /// When there is something to do, whatever happens; never once all is done.
    pub fn due(&self) -> Option<Duration> {
        (self.phase != Phase::Off).then_some(self.deadline)
    }

    /// Goes on when the phase's work is done or its time is over. Returns the
    /// phase that begins, and whether the one before ran out of time.
    pub fn step(&mut self, done: bool, now: Duration) -> Option<(Phase, bool)> {
        let late = now >= self.deadline;
        if self.phase == Phase::Off || !(done || late) {
            return None;
        }
        self.phase = match self.phase {
            Phase::Services => Phase::Terminate,
            Phase::Terminate => Phase::Kill,
            Phase::Kill => Phase::Unmount,
            Phase::Unmount | Phase::Off => Phase::Off,
        };
        self.deadline = now + limit(self.phase, self.hurried);
        Some((self.phase, !done))
    }
}

fn limit(phase: Phase, hurried: bool) -> Duration {
    Duration::from_millis(match (phase, hurried) {
        (Phase::Services, false) => 90_000,
        (Phase::Terminate, false) => 5_000,
        (Phase::Kill, false) => 2_000,
        (Phase::Services | Phase::Terminate | Phase::Kill, true) => 500,
        (Phase::Unmount, false) => 30_000,
        (Phase::Unmount, true) => 5_000,
        (Phase::Off, _) => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn phases_follow_one_another_as_their_work_is_done() {
        let mut progress = Progress::begin(Shutdown::PowerOff, at(0));
        assert_eq!(progress.step(false, at(1)), None);
        for phase in [Phase::Terminate, Phase::Kill, Phase::Unmount, Phase::Off] {
            assert_eq!(progress.due(), Some(progress.deadline));
            assert_eq!(progress.step(true, at(1)), Some((phase, false)));
        }
        assert_eq!(progress.due(), None, "a machine that does not go off waits");
        assert_eq!(progress.step(true, at(1)), None);
    }

    #[test]
    fn a_phase_that_hangs_is_left_at_its_limit() {
        let mut progress = Progress::begin(Shutdown::Reboot, at(0));
        let mut now = at(0);
        for phase in [Phase::Terminate, Phase::Kill, Phase::Unmount, Phase::Off] {
            assert_eq!(progress.step(false, now), None);
            now = progress.deadline;
            assert_eq!(progress.step(false, now), Some((phase, true)));
        }
        assert!(now < at(130), "the whole has a limit: {now:?}");
    }

    #[test]
    fn a_second_request_hurries_what_runs_and_what_follows() {
        let mut progress = Progress::begin(Shutdown::Reboot, at(0));
        progress.hurry(Shutdown::PowerOff, at(1));
        assert_eq!(progress.how, Shutdown::PowerOff);
        let half = Duration::from_millis(500);
        assert_eq!(progress.step(false, at(1)), None, "who is killed needs a moment to be gone");
        assert_eq!(progress.step(false, at(1) + half), Some((Phase::Terminate, true)));
        assert_eq!(progress.deadline, at(2));
        progress.step(true, at(2));
        progress.step(true, at(2));
        progress.hurry(Shutdown::PowerOff, at(2));
        assert_eq!(progress.deadline, at(7));
    }
}
