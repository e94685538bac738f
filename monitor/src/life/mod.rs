//! A container's life, decided purely: what was seen goes in, what to do next
//! comes out. Nothing here touches a file, a process or a clock.
//!
//! | state | what exists on the node | wanted up | wanted down |
//! |---|---|---|---|
//! | `Absent` | nothing | create, when its turn has come | – |
//! | `Creating` | perhaps a root, a bundle, half a container; the program has not run | delete | delete |
//! | `Created` | a container that waits for `start` | start | delete |
//! | `Running` | a process | – | its stop signal |
//! | `Stopping` | a process that was asked to end | after the grace, kill | the same |
//! | `Ended` | a dead container, its root, its pipes | delete | delete |
//!
//! A person's word ([`Event::Wanted`]) is stronger than the configuration's until the next boot. It makes
//! [`Observed::asked`] true, so that a container is created once more however it ended before;
//! and [`Event::Renewed`] stops a running one although it is wanted up.
//!
//! A container is created from `Absent` alone, and `Absent` is written only when
//! all of the instance before it is gone: so there are never two.
//!
//! [`Observed`] is what the record on disk holds. It is written before whatever
//! makes it true begins (`Creating`) or as soon as it is true (all others), and a
//! verb of the runtime under way is not part of it: a monitor that comes back
//! reads `Creating` and knows that the program cannot have run.

mod event;
mod next;
mod policy;
#[cfg(test)]
mod simulation;
mod words;

pub use event::{Event, How, apply};
pub use next::{Action, Desired, comes_back, next};
pub use policy::at_boot;
pub use words::{is_missing_program, is_not_executable, line};

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Time since boot, suspends included (`CLOCK_BOOTTIME`): it goes on over a
/// restart of the monitor and never jumps.
pub type Time = Duration;

/// A process that is not mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Process ID.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_time: u64,
}

/// How an instance ended, or why there was none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// By the kernel, because its memory limit was reached.
    OutOfMemory,
    /// Nobody saw how.
    Unknown,
    /// It was not started, for this reason.
    NotStarted(String),
    /// It was not started: what it needs is not on the node yet.
    Missing(String),
}

/// The end of the newest instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// How.
    pub end: End,
    /// When.
    pub at: Time,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing of it exists.
    #[default]
    Absent,
    /// It is being made; its program has not run.
    Creating,
    /// It waits for `start`.
    Created(Process),
    /// Its program runs.
    Running {
        /// The container's first process.
        process: Process,
        /// When it was started.
        since: Time,
    },
    /// Its program was asked to end.
    Stopping {
        /// The container's first process.
        process: Process,
        /// When it was started.
        since: Time,
        /// When it is killed, or killed again.
        deadline: Time,
    },
    /// Its program has ended; what is left is to be removed.
    Ended,
}

impl State {
    /// The container's first process, alive or not yet reaped.
    pub fn process(&self) -> Option<Process> {
        match *self {
            Self::Created(process) | Self::Running { process, .. } | Self::Stopping { process, .. } => {
                Some(process)
            }
            Self::Absent | Self::Creating | Self::Ended => None,
        }
    }

    /// One word, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Creating => "creating",
            Self::Created(_) => "created",
            Self::Running { .. } => "running",
            Self::Stopping { .. } => "stopping",
            Self::Ended => "ended",
        }
    }
}

/// How a running instance is stopped; fixed when it is created, because the
/// image has a say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Signal number.
    pub signal: i32,
    /// Time between that signal and KILL.
    pub grace: Duration,
}

/// What is known of a container: its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Observed {
    /// Where it is in its life.
    pub state: State,
    /// Which instance this is, from 1 in each boot; 0 before the first.
    pub generation: u64,
    /// How often its program was started.
    pub starts: u32,
    /// How often of these it was started again by its policy, since a person last started it.
    pub restarts: u32,
    /// Ends and failures in a row, none of them after a stable run.
    pub streak: u32,
    /// The end of the newest instance.
    pub last: Option<Last>,
    /// The kernel has killed a process of that instance for lack of memory, its first one or another.
    pub out_of_memory: bool,
    /// Since when the program of that instance ran, if it did.
    pub ran: Option<Time>,
    /// How the newest instance is stopped.
    pub stop: Stop,
    /// What a person has said in this boot: it should run, or not.
    pub wanted: Option<bool>,
    /// A person wants a new instance, whatever became of the last.
    pub asked: bool,
    /// The instance that runs is to be stopped for the one that was asked for.
    pub renew: bool,
    /// The instance that runs is the last, however it ends: a person has signalled it.
    pub dismissed: bool,
    /// The signal by which a person wants it to be asked to end, in place of its own.
    pub signal: Option<i32>,
    /// A verb of the runtime is under way.
    #[serde(skip)]
    pub busy: bool,
    /// The last attempt to remove it failed; the next is due then.
    #[serde(skip)]
    pub retry: Option<Time>,
    /// How many attempts to remove it failed in a row.
    #[serde(skip)]
    pub failed_removals: u32,
    /// How often it was killed since it was asked to end.
    #[serde(skip)]
    pub kills: u32,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            state: State::Absent,
            generation: 0,
            starts: 0,
            restarts: 0,
            streak: 0,
            last: None,
            out_of_memory: false,
            ran: None,
            stop: Stop { signal: 15, grace: Duration::from_secs(10) },
            wanted: None,
            asked: false,
            renew: false,
            dismissed: false,
            signal: None,
            busy: false,
            retry: None,
            failed_removals: 0,
            kills: 0,
        }
    }
}

impl Observed {
    /// The signal that asks it to end.
    pub fn stop_signal(&self) -> i32 {
        self.signal.unwrap_or(self.stop.signal)
    }

    /// It was started once, or an attempt to was made: whoever comes after it
    /// need not wait any longer.
    pub fn was_tried(&self) -> bool {
        self.last.is_some()
            || matches!(self.state, State::Running { .. } | State::Stopping { .. } | State::Ended)
    }
}
