//! When a container that has ended is started again.
//!
//! The wait before a restart is 100 ms and doubles with each end up to a minute,
//! as Docker's does; an instance that ran for ten seconds begins a new series.
//! What is missing (an image) is looked for again after 1 s, then less and less
//! often, once a minute at last, whatever the restart policy: it never ran.

use super::{End, Observed};
use spec::node::Restart;
use std::time::Duration;

/// The wait before the first restart.
const FIRST: Duration = Duration::from_millis(100);

/// The wait before something missing is looked for again.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);

/// A run of this length makes up for all ends before it.
const STABLE: Duration = Duration::from_secs(10);

/// The new length of the series, after an instance that ran this long.
pub fn streak(before: u32, ran: Duration) -> u32 {
    if ran >= STABLE { 1 } else { before.saturating_add(1) }
}

/// How long after its end the container is started again; never without it.
pub fn wait(restart: Restart, observed: &Observed) -> Option<Duration> {
    let last = observed.last.as_ref()?;
    let again = match (&last.end, restart) {
        (End::Missing(_), _) => return Some(doubled(FIRST_LOOK, observed.streak)),
        (_, Restart::Always | Restart::UnlessStopped) => true,
        (_, Restart::No) | (End::Exited(0), Restart::OnFailure(_)) => false,
        (_, Restart::OnFailure(None)) => true,
        (_, Restart::OnFailure(Some(times))) => observed.streak <= times,
    };
    again.then(|| doubled(FIRST, observed.streak))
}

/// Whether a person's container runs when the node has booted, as with Docker: what the
/// person wanted last, whether it was ever started, how it ended last (never, when the
/// node's power went).
pub fn at_boot(restart: Restart, wanted: bool, started: bool, last: Option<i32>) -> bool {
    match restart {
        Restart::No => false,
        Restart::Always => started,
        Restart::UnlessStopped => started && wanted,
        Restart::OnFailure(_) => started && wanted && last != Some(0),
    }
}

fn doubled(first: Duration, streak: u32) -> Duration {
    let times = streak.saturating_sub(1).min(16);
    (first * (1 << times)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::super::Last;
    use super::*;

    fn after(end: End, streak: u32) -> Observed {
        Observed { last: Some(Last { end, at: Duration::ZERO }), streak, ..Observed::default() }
    }

    fn milliseconds(restart: Restart, end: End, streak: u32) -> Option<u128> {
        wait(restart, &after(end, streak)).map(|wait| wait.as_millis())
    }

    #[test]
    fn waits_double_from_100_ms_to_a_minute() {
        let waits: Vec<_> =
            (1..=12).map(|n| milliseconds(Restart::Always, End::Exited(0), n).unwrap()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(milliseconds(Restart::Always, End::Exited(1), u32::MAX), Some(60000));
    }

    #[test]
    fn the_policy_decides_whether() {
        let table = [
            (Restart::Always, End::Exited(0), 1, true),
            (Restart::Always, End::Unknown, 900, true),
            (Restart::No, End::Exited(1), 1, false),
            (Restart::OnFailure(None), End::Exited(0), 1, false),
            (Restart::OnFailure(None), End::Exited(1), 99, true),
            (Restart::OnFailure(None), End::OutOfMemory, 1, true),
            (Restart::OnFailure(None), End::Signalled(15), 1, true),
            (Restart::OnFailure(Some(2)), End::Exited(1), 2, true),
            (Restart::OnFailure(Some(2)), End::Exited(1), 3, false),
            (Restart::No, End::NotStarted("x".into()), 1, false),
            (Restart::No, End::Missing("x".into()), 1, true),
        ];
        for (restart, end, streak, again) in table {
            let observed = after(end, streak);
            assert_eq!(wait(restart, &observed).is_some(), again, "{restart:?} {observed:?}");
        }
    }

    #[test]
    fn a_boot_follows_dockers_rules() {
        // Policy; wanted, started, last exit; whether it runs.
        let table = [
            (Restart::No, (true, true, None), false),
            (Restart::Always, (false, true, Some(0)), true),
            (Restart::Always, (false, false, None), false),
            (Restart::UnlessStopped, (true, true, Some(0)), true),
            (Restart::UnlessStopped, (false, true, Some(0)), false),
            (Restart::OnFailure(None), (true, true, Some(0)), false),
            (Restart::OnFailure(Some(3)), (true, true, Some(143)), true),
            (Restart::OnFailure(None), (true, true, None), true),
            (Restart::OnFailure(None), (false, true, Some(1)), false),
        ];
        for (restart, (wanted, started, last), runs) in table {
            let decided = at_boot(restart, wanted, started, last);
            assert_eq!(decided, runs, "{restart:?} {wanted} {started} {last:?}");
        }
    }

    #[test]
    fn a_missing_image_is_looked_for_ever_less_often() {
        let waits: Vec<_> =
            (1..=8).map(|n| milliseconds(Restart::No, End::Missing(String::new()), n).unwrap()).collect();
        assert_eq!(waits, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
    }

    #[test]
    fn ten_seconds_of_running_begin_a_new_series() {
        assert_eq!(streak(7, Duration::from_millis(9999)), 8);
        assert_eq!(streak(7, Duration::from_secs(10)), 1);
        assert_eq!(streak(u32::MAX, Duration::ZERO), u32::MAX);
    }
}
