//! What to do next with a container.

use super::{Observed, State, Time, policy};
use spec::node::Restart;

/// What the node wants of a container at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desired {
    /// It should run; else it should be gone.
    pub up: bool,
    /// What happens when it ends.
    pub restart: Restart,
    /// All that must come before it (to start, or to stop) has come.
    pub turn: bool,
}

/// One step towards what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a new instance.
    Create,
    /// Let the created instance run.
    Start,
    /// Send its stop signal.
    Signal,
    /// Kill everything in its cgroup.
    Kill,
    /// Remove all that is left of it; kills what runs.
    Delete,
    /// Nothing, until this time or until something happens.
    Wait(Option<Time>),
}

/// The next step for a container as it is observed now.
pub fn next(desired: &Desired, observed: &Observed, now: Time) -> Action {
    if observed.busy {
        return Action::Wait(None);
    }
    match observed.state {
        State::Absent if desired.up && desired.turn => create(desired.restart, observed, now),
        State::Absent => Action::Wait(None),
        State::Created(_) if desired.up => Action::Start,
        State::Creating | State::Created(_) | State::Ended => {
            due(observed.retry.unwrap_or_default(), now, Action::Delete)
        }
        State::Running { .. } if observed.renew => Action::Signal,
        State::Running { .. } if desired.up || !desired.turn => Action::Wait(None),
        State::Running { .. } => Action::Signal,
        State::Stopping { deadline, .. } => due(deadline, now, Action::Kill),
    }
}

/// Whether a container that does not run is started again without anybody's asking anew.
pub fn comes_back(desired: &Desired, observed: &Observed) -> bool {
    desired.up && (observed.asked || policy::wait(desired.restart, observed).is_some())
}

fn create(restart: Restart, observed: &Observed, now: Time) -> Action {
    let Some(last) = observed.last.as_ref().filter(|_| !observed.asked) else {
        return Action::Create;
    };
    match policy::wait(restart, observed) {
        Some(wait) => due(last.at + wait, now, Action::Create),
        None => Action::Wait(None),
    }
}

fn due(time: Time, now: Time, action: Action) -> Action {
    if now >= time { action } else { Action::Wait(Some(time)) }
}

#[cfg(test)]
mod tests {
    use super::super::{End, Last, Process};
    use super::*;
    use std::time::Duration;

    const P: Process = Process { pid: 7, start_time: 99 };
    const NOW: Time = Duration::from_secs(100);

    fn at(state: State) -> Observed {
        Observed { state, ..Observed::default() }
    }

    fn decide(up: bool, turn: bool, observed: &Observed) -> Action {
        next(&Desired { up, restart: Restart::Always, turn }, observed, NOW)
    }

    #[test]
    fn the_table_of_the_module() {
        let running = at(State::Running { process: P, since: NOW });
        let early = at(State::Stopping { process: P, since: NOW, deadline: NOW + Duration::from_secs(1) });
        let late = at(State::Stopping { process: P, since: NOW, deadline: NOW });
        let wait = Action::Wait(None);
        let soon = Action::Wait(Some(NOW + Duration::from_secs(1)));
        // State; what is done when it is wanted up, and down; each in its turn.
        let table = [
            (at(State::Absent), Action::Create, wait),
            (at(State::Creating), Action::Delete, Action::Delete),
            (at(State::Created(P)), Action::Start, Action::Delete),
            (running, wait, Action::Signal),
            (early, soon, soon),
            (late, Action::Kill, Action::Kill),
            (at(State::Ended), Action::Delete, Action::Delete),
        ];
        for (observed, up, down) in table {
            assert_eq!(decide(true, true, &observed), up, "up: {observed:?}");
            assert_eq!(decide(false, true, &observed), down, "down: {observed:?}");
        }
    }

    #[test]
    fn nothing_starts_or_stops_before_its_turn() {
        assert_eq!(decide(true, false, &at(State::Absent)), Action::Wait(None));
        let running = at(State::Running { process: P, since: NOW });
        assert_eq!(decide(false, false, &running), Action::Wait(None));
    }

    #[test]
    fn nothing_is_done_while_the_runtime_works() {
        for state in [State::Creating, State::Created(P), State::Ended] {
            let observed = Observed { busy: true, ..at(state) };
            assert_eq!(decide(true, true, &observed), Action::Wait(None));
            assert_eq!(decide(false, true, &observed), Action::Wait(None));
        }
    }

    #[test]
    fn a_restart_waits_for_its_time() {
        let mut observed = at(State::Absent);
        observed.streak = 2;
        observed.last = Some(Last { end: End::Exited(3), at: NOW });
        assert_eq!(decide(true, true, &observed), Action::Wait(Some(NOW + Duration::from_millis(200))));
        observed.last = Some(Last { end: End::Exited(3), at: NOW - Duration::from_millis(200) });
        assert_eq!(decide(true, true, &observed), Action::Create);
        let never = Desired { up: true, restart: Restart::No, turn: true };
        assert_eq!(next(&never, &observed, NOW), Action::Wait(None));
    }

    #[test]
    fn whoever_is_asked_for_by_a_person_does_not_wait_for_its_policy() {
        let last = Some(Last { end: End::Exited(0), at: NOW });
        let observed = Observed { asked: true, streak: 9, last, ..at(State::Absent) };
        let once = Desired { up: true, restart: Restart::No, turn: true };
        assert_eq!(next(&once, &observed, NOW), Action::Create);
        let renewed = Observed { renew: true, ..at(State::Running { process: P, since: NOW }) };
        assert_eq!(decide(true, true, &renewed), Action::Signal);
        assert_eq!(decide(true, false, &renewed), Action::Signal, "nobody else is stopped for it");
    }

    #[test]
    fn a_removal_that_failed_is_tried_again_later() {
        let retry = Some(NOW + Duration::from_secs(1));
        let observed = Observed { retry, ..at(State::Ended) };
        assert_eq!(decide(true, true, &observed), Action::Wait(retry));
    }
}
