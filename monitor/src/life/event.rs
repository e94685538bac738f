//! What can happen to a container, and what is known of it then.

use super::{End, Last, Observed, Process, State, Stop, Time, policy};
use std::time::Duration;

/// How long after a failed removal, or after KILL, the next attempt is made.
const AGAIN: Duration = Duration::from_secs(1);

/// How a person wants what runs to be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// The signal that asks it to end; its own without.
    pub signal: Option<i32>,
    /// Time between that signal and KILL; as it was said before, or its own, without.
    pub grace: Option<Duration>,
}

impl How {
    /// As the container says.
    pub const ITS_OWN: Self = Self { signal: None, grace: None };

    /// With its own signal and this grace.
    pub const fn within(grace: Duration) -> Self {
        Self { signal: None, grace: Some(grace) }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new instance is about to be made.
    Creating(Stop),
    /// It was made, and this is its first process; or why not.
    Created(Result<Process, End>),
    /// A verb of the runtime began, or a pull.
    Busy,
    /// A verb has ended that has changed nothing of its life.
    Idle,
    /// The image that was missing is there; or why not.
    Pulled(Result<(), String>),
    /// It was let run; or why not.
    Started(Result<(), String>),
    /// Its stop signal was sent.
    Asked,
    /// It was killed.
    Killed,
    /// The kernel has killed a process of it for lack of memory; told before its end.
    OutOfMemory,
    /// Its first process has ended.
    Ended(End),
    /// Nothing is left of it; or why something is.
    Deleted(Result<(), String>),
    /// A person wants it to run, or to be gone.
    Wanted(bool, How),
    /// A person wants another instance in place of this one.
    Renewed(How),
    /// A person has sent its program what may end it: it does not come back then.
    Dismissed,
}

/// What is known after the event.
pub fn apply(observed: &mut Observed, event: &Event, now: Time) {
    match event {
        Event::Busy => observed.busy = true,
        Event::Created(_) | Event::Started(_) | Event::Deleted(_) | Event::Pulled(_) | Event::Idle => {
            observed.busy = false
        }
        // The verb under way goes on and will report.
        _ => {}
    }
    match (event, observed.state) {
        // At once, whatever the waits of before.
        (Event::Pulled(Ok(())), _) => observed.asked = true,
        (Event::Pulled(Err(reason)), State::Absent) => {
            end_of(observed, End::Missing(reason.clone()), Duration::ZERO, now);
        }
        (Event::Creating(stop), _) => {
            observed.generation += 1;
            observed.stop = *stop;
            observed.signal = None;
            observed.out_of_memory = false;
            observed.state = State::Creating;
        }
        (Event::Created(Ok(process)), _) => observed.state = State::Created(*process),
        (Event::Created(Err(end)), _) => end_of(observed, end.clone(), Duration::ZERO, now),
        (Event::Started(Ok(())), State::Created(process)) => {
            count_start(observed);
            observed.asked = false;
            observed.state = State::Running { process, since: now };
        }
        (Event::Started(Err(reason)), State::Created(_)) => {
            end_of(observed, End::NotStarted(reason.clone()), Duration::ZERO, now);
        }
        (Event::Asked, State::Running { process, since }) => {
            let deadline = now.saturating_add(observed.stop.grace);
            observed.state = State::Stopping { process, since, deadline };
            observed.kills = 0;
        }
        (Event::Killed, State::Stopping { process, since, .. }) => {
            observed.state = State::Stopping { process, since, deadline: now + AGAIN };
            observed.kills += 1;
        }
        (Event::OutOfMemory, _) => observed.out_of_memory = observed.state.process().is_some(),
        (Event::Ended(end), State::Running { since, .. } | State::Stopping { since, .. }) => {
            end_of(observed, end.clone(), now.saturating_sub(since), now);
        }
        (Event::Ended(end), State::Created(_)) => {
            if observed.busy {
                count_start(observed);
            }
            end_of(observed, end.clone(), Duration::ZERO, now);
        }
        (Event::Deleted(Ok(())), _) => {
            observed.state = State::Absent;
            (observed.retry, observed.failed_removals) = (None, 0);
        }
        (Event::Deleted(Err(_)), _) => {
            observed.retry = Some(now + AGAIN);
            observed.failed_removals += 1;
        }
        (Event::Wanted(up, how), _) => wanted(observed, *up, *how, now),
        (Event::Renewed(how), _) => {
            wanted(observed, true, *how, now);
            observed.renew = matches!(observed.state, State::Running { .. });
            observed.asked = true;
        }
        (Event::Dismissed, _) => observed.dismissed = observed.state.process().is_some(),
        // `start` may report after the end of what it started.
        (
            Event::Started(_)
            | Event::Busy
            | Event::Idle
            | Event::Pulled(_)
            | Event::Asked
            | Event::Killed
            | Event::Ended(_),
            _,
        ) => {}
    }
}

/// One start more; as with Docker a person's begins the count of restarts anew.
fn count_start(observed: &mut Observed) {
    let again = observed.starts > 0 && !observed.asked;
    observed.restarts = if again { observed.restarts.saturating_add(1) } else { 0 };
    observed.starts += 1;
}

fn wanted(observed: &mut Observed, up: bool, how: How, now: Time) {
    observed.wanted = Some(up);
    observed.signal = how.signal;
    let stays = matches!(observed.state, State::Running { .. }) && !observed.renew;
    observed.asked = up && !stays;
    observed.renew &= up;
    observed.dismissed = false;
    if up {
        observed.streak = 0;
    }
    if let Some(grace) = how.grace {
        observed.stop.grace = grace;
        if let State::Stopping { deadline, .. } = &mut observed.state {
            *deadline = (*deadline).min(now.saturating_add(grace));
        }
    }
}

fn end_of(observed: &mut Observed, end: End, ran: Duration, now: Time) {
    observed.renew = false;
    // What was never an instance lacked nothing.
    observed.out_of_memory &= observed.state.process().is_some();
    if std::mem::take(&mut observed.dismissed) {
        (observed.wanted, observed.asked) = (Some(false), false);
    }
    // The instance that was asked for is this one, unless it ran.
    observed.asked &= matches!(observed.state, State::Running { .. } | State::Stopping { .. });
    observed.ran = match observed.state {
        State::Running { since, .. } | State::Stopping { since, .. } => Some(since),
        _ => None,
    };
    // What is missing was never created, so nothing is left to remove.
    observed.state = if matches!(end, End::Missing(_)) { State::Absent } else { State::Ended };
    observed.streak = policy::streak(observed.streak, ran);
    observed.last = Some(Last { end, at: now });
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Process = Process { pid: 7, start_time: 99 };
    const STOP: Stop = Stop { signal: 15, grace: Duration::from_secs(10) };

    fn seconds(seconds: u64) -> Time {
        Duration::from_secs(seconds)
    }

    fn after(events: &[(u64, Event)]) -> Observed {
        let mut observed = Observed::default();
        for (time, event) in events {
            apply(&mut observed, event, seconds(*time));
        }
        observed
    }

    fn a_run(from: u64, to: u64, end: End) -> [(u64, Event); 5] {
        [
            (from, Event::Creating(STOP)),
            (from, Event::Created(Ok(P))),
            (from, Event::Started(Ok(()))),
            (to, Event::Ended(end)),
            (to, Event::Deleted(Ok(()))),
        ]
    }

    #[test]
    fn a_lack_of_memory_is_known_until_the_next_instance() {
        let mut events = a_run(0, 1, End::Exited(0)).to_vec();
        events.insert(3, (1, Event::OutOfMemory));
        assert!(after(&events).out_of_memory);
        events.push((2, Event::Pulled(Err("gone".into()))));
        assert!(!after(&events).out_of_memory, "what never ran lacked nothing");
        events.pop();
        events.push((2, Event::Creating(STOP)));
        assert!(!after(&events).out_of_memory);
    }

    #[test]
    fn a_persons_word_is_kept_and_a_new_instance_is_asked_for_once() {
        let mut events = a_run(0, 1, End::Exited(0)).to_vec();
        events.push((2, Event::Wanted(true, How::ITS_OWN)));
        let mut observed = after(&events);
        assert_eq!((observed.wanted, observed.asked, observed.streak), (Some(true), true, 0));
        apply(&mut observed, &Event::Creating(STOP), seconds(3));
        apply(&mut observed, &Event::Created(Ok(P)), seconds(3));
        assert!(observed.asked, "a monitor that comes back makes it again");
        apply(&mut observed, &Event::Started(Ok(())), seconds(3));
        assert!(!observed.asked);
        apply(&mut observed, &Event::Wanted(true, How::ITS_OWN), seconds(4));
        assert!(!observed.asked, "it runs already");
        apply(&mut observed, &Event::Wanted(false, How::within(seconds(1))), seconds(5));
        apply(&mut observed, &Event::Asked, seconds(5));
        assert!(matches!(observed.state, State::Stopping { deadline, .. } if deadline == seconds(6)));
        apply(&mut observed, &Event::Wanted(false, How::within(seconds(0))), seconds(5));
        assert!(matches!(observed.state, State::Stopping { deadline, .. } if deadline == seconds(5)));
        apply(&mut observed, &Event::Wanted(true, How::ITS_OWN), seconds(5));
        assert!(observed.asked, "once the one that stops is gone");
    }

    #[test]
    fn a_renewal_lasts_until_the_instance_ends_and_a_stop_calls_it_off() {
        let running = &a_run(0, 1, End::Exited(0))[..3];
        let mut observed = after(running);
        apply(&mut observed, &Event::Renewed(How::ITS_OWN), seconds(1));
        assert_eq!((observed.renew, observed.asked), (true, true));
        apply(&mut observed, &Event::Ended(End::Signalled(15)), seconds(2));
        assert_eq!((observed.renew, observed.asked), (false, true));
        let mut observed = after(running);
        apply(&mut observed, &Event::Renewed(How::ITS_OWN), seconds(1));
        apply(&mut observed, &Event::Wanted(false, How::ITS_OWN), seconds(1));
        assert_eq!((observed.renew, observed.asked, observed.wanted), (false, false, Some(false)));
        let mut absent = Observed::default();
        apply(&mut absent, &Event::Renewed(How::ITS_OWN), seconds(1));
        assert_eq!((absent.renew, absent.asked), (false, true));
    }

    #[test]
    fn a_stop_has_a_signal_of_its_own_for_the_instance_that_runs() {
        let mut observed = after(&a_run(0, 1, End::Exited(0))[..3]);
        assert_eq!(observed.stop_signal(), 15);
        apply(&mut observed, &Event::Renewed(How { signal: Some(2), grace: None }), seconds(1));
        assert_eq!((observed.stop_signal(), observed.stop.signal), (2, 15));
        apply(&mut observed, &Event::Wanted(false, How::ITS_OWN), seconds(1));
        assert_eq!(observed.stop_signal(), 15, "the last word counts");
        apply(&mut observed, &Event::Renewed(How { signal: Some(2), grace: None }), seconds(1));
        apply(&mut observed, &Event::Ended(End::Signalled(2)), seconds(2));
        apply(&mut observed, &Event::Creating(STOP), seconds(3));
        assert_eq!(observed.stop_signal(), 15, "the next instance has its own");
    }

    #[test]
    fn whoever_is_dismissed_runs_on_and_does_not_come_back() {
        let running = &a_run(0, 1, End::Exited(0))[..3];
        let mut observed = after(running);
        apply(&mut observed, &Event::Dismissed, seconds(1));
        assert!(observed.dismissed && observed.wanted.is_none());
        apply(&mut observed, &Event::Ended(End::Signalled(15)), seconds(2));
        assert_eq!((observed.dismissed, observed.wanted), (false, Some(false)));
        let mut observed = after(running);
        apply(&mut observed, &Event::Dismissed, seconds(1));
        apply(&mut observed, &Event::Wanted(true, How::ITS_OWN), seconds(1));
        apply(&mut observed, &Event::Ended(End::Signalled(15)), seconds(2));
        assert_eq!(observed.wanted, Some(true), "its start calls it off");
        let mut absent = Observed::default();
        apply(&mut absent, &Event::Dismissed, seconds(1));
        assert!(!absent.dismissed, "nothing got the signal");
    }

    #[test]
    fn restarts_count_runs_and_the_series_starts_anew_after_a_stable_one() {
        let mut events = a_run(0, 1, End::Exited(1)).to_vec();
        events.extend(a_run(2, 3, End::Exited(1)));
        let observed = after(&events);
        assert_eq!((observed.generation, observed.restarts, observed.streak), (2, 1, 2));
        events.extend(a_run(4, 14, End::Exited(1)));
        let observed = after(&events);
        assert_eq!((observed.generation, observed.restarts, observed.streak), (3, 2, 1));
        assert_eq!(observed.state, State::Absent);
    }

    #[test]
    fn a_person_begins_the_count_of_restarts_anew() {
        let mut events = vec![(0, Event::Wanted(true, How::ITS_OWN))];
        let mut counted = Vec::new();
        for word in [None, None, Some(Event::Wanted(true, How::ITS_OWN)), None] {
            events.extend(word.map(|word| (2, word)));
            events.extend(a_run(2, 3, End::Exited(1)));
            counted.push(after(&events).restarts);
        }
        assert_eq!(counted, [0, 1, 0, 1]);
        events.extend(a_run(4, 5, End::Exited(1)).into_iter().take(3));
        events.push((5, Event::Renewed(How::ITS_OWN)));
        assert_eq!(after(&events).restarts, 2);
        events.push((6, Event::Ended(End::Signalled(15))));
        events.extend(a_run(7, 8, End::Exited(1)));
        assert_eq!((after(&events).restarts, after(&events).starts), (0, 6));
    }

    #[test]
    fn a_container_that_was_never_made_leaves_nothing_to_remove() {
        let observed = after(&[(0, Event::Created(Err(End::Missing("no image".into()))))]);
        assert_eq!(observed.state, State::Absent);
        let observed = after(&[
            (0, Event::Creating(STOP)),
            (1, Event::Created(Err(End::NotStarted("mount: full".into())))),
        ]);
        assert_eq!(observed.state, State::Ended);
        assert_eq!(observed.starts, 0);
    }

    #[test]
    fn a_program_may_end_before_start_has_reported() {
        let mut events = vec![
            (0, Event::Creating(STOP)),
            (0, Event::Created(Ok(P))),
            (0, Event::Busy),
            (1, Event::Ended(End::Exited(0))),
        ];
        let observed = after(&events);
        assert_eq!((observed.state, observed.busy, observed.starts), (State::Ended, true, 1));
        events.push((1, Event::Started(Ok(()))));
        let observed = after(&events);
        assert_eq!((observed.state, observed.busy, observed.starts), (State::Ended, false, 1));
        assert_eq!(observed.last.unwrap().end, End::Exited(0));
    }

    #[test]
    fn an_end_tells_since_when_the_program_ran() {
        assert_eq!(after(&a_run(5, 9, End::Exited(0))).ran, Some(seconds(5)));
        let again = [(9, Event::Creating(STOP)), (9, Event::Created(Err(End::NotStarted("full".into()))))];
        assert_eq!(after(&[&a_run(5, 9, End::Exited(0))[..], &again].concat()).ran, None, "it did not run");
    }

    #[test]
    fn a_stop_has_its_grace_and_is_repeated_every_second_after() {
        let mut events = a_run(0, 0, End::Unknown)[..3].to_vec();
        events.push((5, Event::Asked));
        let stopping = |deadline| State::Stopping { process: P, since: seconds(0), deadline };
        assert_eq!(after(&events).state, stopping(seconds(15)));
        events.push((15, Event::Killed));
        assert_eq!(after(&events).state, stopping(seconds(16)));
    }

    #[test]
    fn a_grace_that_is_beyond_all_time_never_ends() {
        let mut events = a_run(0, 0, End::Unknown)[..3].to_vec();
        events.push((5, Event::Wanted(false, How::within(Duration::MAX))));
        events.push((5, Event::Asked));
        let stopping = |deadline| State::Stopping { process: P, since: seconds(0), deadline };
        assert_eq!(after(&events).state, stopping(Duration::MAX));
        events.push((6, Event::Wanted(false, How::within(Duration::MAX))));
        assert_eq!(after(&events).state, stopping(Duration::MAX));
        events.push((7, Event::Wanted(false, How::within(seconds(1)))));
        assert_eq!(after(&events).state, stopping(seconds(8)));
    }
}
