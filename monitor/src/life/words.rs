//! The console's line for each change of a container's state.

use super::{End, Event, Last, Observed, State, policy};
use spec::node::Restart;
use std::time::Duration;

/// The line for an event, without the container's name, from what was known
/// before and after it. Nothing is said of steps that a reader does not wait for,
/// nor again of an image that is still missing. A removal that fails is spoken of the
/// second time, since a mount may be busy for a moment, and then each time the count has doubled.
pub fn line(
    event: &Event,
    before: &Observed,
    observed: &Observed,
    restart: Restart,
    up: bool,
) -> Option<String> {
    let last = |observed: &Observed| observed.last.as_ref().map(|last| last.end.clone());
    match event {
        Event::Created(Err(End::Missing(_))) | Event::Pulled(Err(_)) if last(before) == last(observed) => {
            None
        }
        Event::Deleted(Err(_))
            if observed.failed_removals < 2 || !observed.failed_removals.is_power_of_two() =>
        {
            None
        }
        Event::Started(Ok(())) => match observed.state {
            State::Running { process, .. } => Some(format!("running (pid {})", process.pid)),
            _ => None,
        },
        Event::Asked => Some(format!(
            "stopping ({}, {} grace)",
            signal_name(observed.stop_signal()),
            duration(observed.stop.grace)
        )),
        Event::Killed if observed.kills > 1 => observed
            .kills
            .is_power_of_two()
            .then(|| format!("killed {} times, and there still", observed.kills)),
        Event::Killed => Some("did not stop in time, killed".to_owned()),
        Event::Ended(_) | Event::Created(Err(_)) | Event::Started(Err(_)) | Event::Pulled(Err(_)) => {
            let end = &observed.last.as_ref()?.end;
            let other = observed.out_of_memory && *end != End::OutOfMemory;
            let killed = if other { " (a process was out of memory)" } else { "" };
            Some(format!("{end}{killed}{}", sequel(observed, restart, up)))
        }
        Event::Deleted(Err(reason)) => Some(format!("not removed: {reason}")),
        Event::Creating(_)
        | Event::Busy
        | Event::Idle
        | Event::Created(Ok(_))
        | Event::Pulled(Ok(()))
        | Event::Deleted(Ok(()))
        | Event::Wanted(..)
        | Event::Renewed(_)
        | Event::Dismissed
        | Event::OutOfMemory => None,
    }
}

impl End {
    /// As a shell tells it: the exit status, 128 and the signal, 125 to 127 for what never ran.
    pub fn code(&self) -> u8 {
        match self {
            Self::Exited(status) => (*status & 0xff) as u8,
            Self::Signalled(signal) => ((128 + *signal) & 0xff) as u8,
            Self::OutOfMemory => 137,
            Self::Unknown => 255,
            Self::Missing(_) => 125,
            Self::NotStarted(reason) if is_missing_program(reason) => 127,
            Self::NotStarted(reason) if is_not_executable(reason) => 126,
            Self::NotStarted(_) => 125,
        }
    }
}

/// The runtime's words for a program that is not in the container.
pub fn is_missing_program(reason: &str) -> bool {
    reason.contains("exec: ")
        && (reason.contains("executable file not found") || reason.contains("no such file or directory"))
}

/// The runtime's words for a program that cannot be run.
pub fn is_not_executable(reason: &str) -> bool {
    reason.contains("exec: ") && !is_missing_program(reason)
}

impl std::fmt::Display for End {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(out, "exited {status}"),
            Self::Signalled(signal) => write!(out, "killed by {}", signal_name(*signal)),
            Self::OutOfMemory => out.write_str("killed by the kernel: out of memory"),
            Self::Unknown => out.write_str("ended, its exit status is not known"),
            Self::NotStarted(reason) => write!(out, "not started: {reason}"),
            Self::Missing(reason) => out.write_str(reason),
        }
    }
}

fn sequel(observed: &Observed, restart: Restart, up: bool) -> String {
    if !up {
        return String::new();
    }
    let Some(wait) = policy::wait(restart, observed) else {
        return match restart {
            Restart::OnFailure(Some(times)) if observed.streak > times => {
                format!(", not restarted after {times} times in a row")
            }
            _ => ", not restarted".to_owned(),
        };
    };
    let wait = duration(wait);
    match observed.last {
        Some(Last { end: End::Missing(_), .. }) => format!(", looking again in {wait}"),
        _ => format!(", restarting in {wait} ({} time)", ordinal(observed.streak)),
    }
}

fn duration(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds < 1000 {
        format!("{milliseconds} ms")
    } else if milliseconds.is_multiple_of(1000) {
        format!("{} s", milliseconds / 1000)
    } else {
        format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A signal's name as people write it, `TERM`; its number when it has none.
fn signal_name(number: i32) -> String {
    match nix::sys::signal::Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => format!("signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Process, Stop, Time, apply};
    use super::*;

    fn told(events: &[Event], restart: Restart, up: bool) -> Vec<String> {
        let mut observed = Observed::default();
        let mut lines = Vec::new();
        for event in events {
            let before = observed.clone();
            apply(&mut observed, event, Time::ZERO);
            lines.extend(line(event, &before, &observed, restart, up));
        }
        lines
    }

    fn a_run(end: End) -> [Event; 5] {
        [
            Event::Creating(Stop { signal: 15, grace: Duration::from_millis(1500) }),
            Event::Created(Ok(Process { pid: 71, start_time: 1 })),
            Event::Started(Ok(())),
            Event::Ended(end),
            Event::Deleted(Ok(())),
        ]
    }

    #[test]
    fn a_crash_loop_reads_as_sentences() {
        let mut events = a_run(End::Exited(3)).to_vec();
        events.extend(a_run(End::Exited(3)));
        events.extend(a_run(End::OutOfMemory));
        assert_eq!(
            told(&events, Restart::OnFailure(Some(2)), true),
            [
                "running (pid 71)",
                "exited 3, restarting in 100 ms (1st time)",
                "running (pid 71)",
                "exited 3, restarting in 200 ms (2nd time)",
                "running (pid 71)",
                "killed by the kernel: out of memory, not restarted after 2 times in a row",
            ]
        );
    }

    #[test]
    fn an_end_tells_that_another_process_was_out_of_memory() {
        let mut events = a_run(End::Exited(0)).to_vec();
        events.insert(3, Event::OutOfMemory);
        events.extend(a_run(End::Exited(0)));
        let lines = told(&events, Restart::No, true);
        assert_eq!(lines[1], "exited 0 (a process was out of memory), not restarted");
        assert_eq!(lines[3], "exited 0, not restarted");
    }

    #[test]
    fn a_stop_says_how_and_speaks_of_no_restart() {
        let mut events = a_run(End::Signalled(9))[..3].to_vec();
        events.push(Event::Asked);
        // One that cannot be killed is killed again and again.
        events.extend(vec![Event::Killed; 7]);
        events.push(Event::Ended(End::Signalled(9)));
        assert_eq!(
            told(&events, Restart::Always, false),
            [
                "running (pid 71)",
                "stopping (TERM, 1.5 s grace)",
                "did not stop in time, killed",
                "killed 2 times, and there still",
                "killed 4 times, and there still",
                "killed by KILL"
            ]
        );
    }

    #[test]
    fn what_is_missing_is_named_once() {
        let missing = Event::Created(Err(End::Missing("image \"ngnix\" is not on this node".into())));
        assert_eq!(
            told(&[missing.clone(), missing], Restart::No, true),
            ["image \"ngnix\" is not on this node, looking again in 1 s"]
        );
    }

    #[test]
    fn a_removal_that_fails_is_spoken_of_ever_more_rarely() {
        let failed = Event::Deleted(Err("unmount /x: busy".into()));
        let said = |times| told(&vec![failed.clone(); times], Restart::No, true);
        assert_eq!(said(2), ["not removed: unmount /x: busy"]);
        assert_eq!((said(1).len(), said(3).len(), said(100).len()), (0, 1, 6));
    }

    #[test]
    fn an_end_has_a_shells_number() {
        let not_started = |reason: &str| End::NotStarted(format!("process.args[0]: {reason}"));
        let table = [
            (End::Exited(3), 3),
            (End::Signalled(9), 137),
            (End::OutOfMemory, 137),
            (not_started("exec: \"x\": executable file not found in $PATH"), 127),
            (not_started("exec: \"/x\": no such file or directory"), 127),
            (not_started("exec: \"/etc\": permission denied"), 126),
            (End::NotStarted("mount /a: no such file or directory".into()), 125),
            (End::Missing("image".into()), 125),
            (End::Unknown, 255),
        ];
        for (end, code) in table {
            assert_eq!(end.code(), code, "{end:?}");
        }
    }

    #[test]
    fn waits_and_counts_are_written_as_people_do() {
        let waits = [100, 1600, 12_800, 60_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(waits, ["100 ms", "1.6 s", "12.8 s", "60 s"]);
        let counts = [1, 2, 3, 4, 11, 12, 13, 21, 112, 122].map(ordinal);
        assert_eq!(counts, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th", "122nd"]);
    }
}
