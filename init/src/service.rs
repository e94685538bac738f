//! The life of a service, decided purely.
//!
//! | state | event | next state | action |
//! |---|---|---|---|
//! | waiting | go: what it comes after is ready | starting | spawn |
//! | starting | started, no readiness asked | ready | |
//! | starting | ready line | ready | |
//! | starting | could not be started | backoff or ended | |
//! | starting, ready | exited | backoff or ended, as `restart` says | clean up |
//! | backoff | deadline | starting | spawn |
//! | starting, ready | stop | stopping | terminate |
//! | stopping | deadline | killing | kill |
//! | stopping, killing | exited | ended | clean up |
//! | killing | deadline | ended: it cannot be killed | |
//! | waiting, backoff | stop | ended | |
//! | down, ended | any | the same | |
//!
//! The pause before a restart doubles from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`], a second for PID 1's own
//! services; a run of [`STABLE`] begins anew.

use spec::node::Restart;
use std::fmt;
use std::time::Duration;

/// Pause before the first restart.
pub const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Greatest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A run this long was none of a crash loop.
pub const STABLE: Duration = Duration::from_secs(10);
/// How long a killed process may take to go.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// For what it comes after.
    Waiting,
    /// Running, not ready yet.
    Starting,
    /// Running.
    Ready,
    /// Not running until its pause is over.
    Backoff,
    /// Asked to end.
    Stopping,
    /// Made to end.
    Killing,
    /// Not running and not coming back.
    Ended,
    /// Never started: a fault in `after`.
    Down,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// All that it comes after is ready.
    Go,
    /// Its process runs.
    Started,
    /// Its process could not be started.
    NotStarted,
    /// It wrote its ready line.
    ReadyLine,
    /// Its process ended, with status 0 or not.
    Exited(bool),
    /// [`Service::deadline`] has come.
    Deadline,
    /// It shall end.
    Stop,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start its process.
    Spawn,
    /// Send it TERM.
    Terminate,
    /// Kill its whole cgroup.
    Kill,
    /// Kill what is left in its cgroup after its own process.
    CleanUp,
}

/// A service's state and what it depends on.
#[derive(Clone, Debug)]
pub struct Service {
    /// Where it stands.
    pub state: State,
    /// When [`Event::Deadline`] is due.
    pub deadline: Option<Duration>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it has ever been ready.
    pub was_ready: bool,
    restart: Restart,
    asks_ready: bool,
    grace: Duration,
    failures: u32,
    pause: Duration,
    longest_pause: Duration,
    started: Duration,
}

impl Service {
    /// A service that waits.
    pub fn new(restart: Restart, asks_ready: bool, grace: Duration) -> Self {
        Self {
            state: State::Waiting,
            deadline: None,
            restarts: 0,
            was_ready: false,
            restart,
            asks_ready,
            grace,
            failures: 0,
            pause: FIRST_PAUSE,
            longest_pause: LONGEST_PAUSE,
            started: Duration::ZERO,
        }
    }

    /// One that is missed at once: its pause grows to a second alone.
    pub fn missed(self) -> Self {
        Self { longest_pause: Duration::from_secs(1), ..self }
    }

    /// Takes an event at a time since boot.
    pub fn next(&mut self, event: Event, now: Duration) -> Option<Action> {
        match (self.state, event) {
            (State::Waiting, Event::Go) => self.start(now),
            (State::Backoff, Event::Deadline) => {
                self.restarts += 1;
                self.start(now)
            }
            (State::Starting, Event::Started) if !self.asks_ready => self.ready(),
            (State::Starting, Event::ReadyLine) => self.ready(),
            (State::Starting, Event::NotStarted) => {
                self.ended_by_itself(false, now);
                None
            }
            (State::Starting | State::Ready, Event::Exited(well)) => {
                self.ended_by_itself(well, now);
                Some(Action::CleanUp)
            }
            (State::Starting | State::Ready, Event::Stop) => {
                self.enter(State::Stopping, Some(now.saturating_add(self.grace)));
                Some(Action::Terminate)
            }
            (State::Stopping, Event::Deadline) => {
                self.enter(State::Killing, Some(now + KILL_LIMIT));
                Some(Action::Kill)
            }
            (State::Stopping | State::Killing, Event::Exited(_)) => {
                self.enter(State::Ended, None);
                Some(Action::CleanUp)
            }
            (State::Killing, Event::Deadline) | (State::Waiting | State::Backoff, Event::Stop) => {
                self.enter(State::Ended, None);
                None
            }
            _ => None,
        }
    }

    /// Whether it has a process, or is about to.
    pub fn runs(&self) -> bool {
        matches!(self.state, State::Starting | State::Ready | State::Stopping | State::Killing)
    }

    fn enter(&mut self, state: State, deadline: Option<Duration>) {
        (self.state, self.deadline) = (state, deadline);
    }

    fn start(&mut self, now: Duration) -> Option<Action> {
        self.started = now;
        self.enter(State::Starting, None);
        Some(Action::Spawn)
    }

    fn ready(&mut self) -> Option<Action> {
        self.was_ready = true;
        self.enter(State::Ready, None);
        None
    }

    fn ended_by_itself(&mut self, well: bool, now: Duration) {
        if now.saturating_sub(self.started) >= STABLE {
            (self.pause, self.failures) = (FIRST_PAUSE, 0);
        }
        self.failures += u32::from(!well);
        let again = match self.restart {
            Restart::Always | Restart::UnlessStopped => true,
            Restart::No => false,
            Restart::OnFailure(times) => !well && times.is_none_or(|times| self.failures <= times),
        };
        if again {
            self.enter(State::Backoff, Some(now + self.pause));
            self.pause = (self.pause * 2).min(self.longest_pause);
        } else {
            self.enter(State::Ended, None);
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Killing => "killing",
            Self::Ended => "ended",
            Self::Down => "down",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn running(restart: Restart, asks_ready: bool) -> Service {
        let mut service = Service::new(restart, asks_ready, GRACE);
        assert_eq!(service.next(Event::Go, at(0)), Some(Action::Spawn));
        assert_eq!(service.next(Event::Started, at(0)), None);
        service
    }

    #[test]
    fn it_is_ready_when_started_or_when_it_says_so() {
        assert_eq!(running(Restart::Always, false).state, State::Ready);
        let mut service = running(Restart::Always, true);
        assert_eq!(service.state, State::Starting);
        service.next(Event::ReadyLine, at(5));
        assert_eq!((service.state, service.was_ready), (State::Ready, true));
    }

    #[test]
    fn the_pause_doubles_to_its_limit_and_a_stable_run_resets_it() {
        let mut service = running(Restart::Always, false);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..11 {
            assert_eq!(service.next(Event::Exited(false), now), Some(Action::CleanUp));
            pauses.push((service.deadline.unwrap() - now).as_millis());
            now = service.deadline.unwrap();
            assert_eq!(service.next(Event::Deadline, now), Some(Action::Spawn));
            service.next(Event::Started, now);
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        service.next(Event::Exited(false), now + STABLE);
        assert_eq!(service.deadline, Some(now + STABLE + FIRST_PAUSE));
        assert_eq!(service.restarts, 11);
    }

    #[test]
    fn one_that_is_missed_is_back_within_a_second() {
        let mut service = Service::new(Restart::Always, false, GRACE).missed();
        for _ in 0..8 {
            service.next(Event::Go, at(0));
            service.next(Event::Started, at(0));
            service.next(Event::Exited(false), at(0));
            assert!(service.deadline.unwrap() <= at(1000));
            service.next(Event::Deadline, at(1000));
        }
    }

    #[test]
    fn the_restart_policy_decides_what_comes_back() {
        for (restart, well, expected) in [
            (Restart::Always, true, State::Backoff),
            (Restart::No, false, State::Ended),
            (Restart::OnFailure(None), true, State::Ended),
            (Restart::OnFailure(None), false, State::Backoff),
            (Restart::OnFailure(Some(0)), false, State::Ended),
        ] {
            let mut service = running(restart, false);
            service.next(Event::Exited(well), at(1));
            assert_eq!(service.state, expected, "{restart:?} {well}");
        }
    }

    #[test]
    fn failures_in_a_row_are_counted() {
        let mut service = running(Restart::OnFailure(Some(2)), false);
        for expected in [State::Backoff, State::Backoff, State::Ended] {
            service.next(Event::Exited(false), at(1));
            assert_eq!(service.state, expected);
            service.next(Event::Deadline, at(2));
            service.next(Event::Started, at(2));
        }
    }

    #[test]
    fn stopping_ends_with_kill_and_then_gives_up() {
        let mut service = running(Restart::Always, false);
        assert_eq!(service.next(Event::Stop, at(0)), Some(Action::Terminate));
        assert_eq!(service.next(Event::Stop, at(1)), None, "asked once");
        assert_eq!(service.deadline, Some(GRACE));
        assert_eq!(service.next(Event::Deadline, GRACE), Some(Action::Kill));
        assert!(service.runs());
        assert_eq!(service.next(Event::Deadline, GRACE + KILL_LIMIT), None);
        assert_eq!(service.state, State::Ended);
    }

    #[test]
    fn a_grace_may_be_as_long_as_it_likes() {
        let mut service = Service::new(Restart::Always, false, Duration::MAX);
        service.next(Event::Go, at(0));
        service.next(Event::Started, at(0));
        assert_eq!(service.next(Event::Stop, at(1)), Some(Action::Terminate));
        assert_eq!(service.deadline, Some(Duration::MAX));
    }

    #[test]
    fn a_stopped_service_does_not_come_back() {
        let mut service = running(Restart::Always, false);
        service.next(Event::Stop, at(0));
        assert_eq!(service.next(Event::Exited(true), at(1)), Some(Action::CleanUp));
        assert_eq!(service.state, State::Ended);
        let mut service = running(Restart::Always, false);
        service.next(Event::Exited(false), at(1));
        service.next(Event::Stop, at(2));
        assert_eq!((service.state, service.deadline), (State::Ended, None));
        assert_eq!(service.next(Event::Go, at(3)), None);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_tried_again() {
        let mut service = Service::new(Restart::Always, false, GRACE);
        service.next(Event::Go, at(0));
        assert_eq!(service.next(Event::NotStarted, at(0)), None);
        assert_eq!((service.state, service.deadline), (State::Backoff, Some(FIRST_PAUSE)));
    }
}
