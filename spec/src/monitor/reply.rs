//! What the monitor answers.

use super::Happening;
use crate::network::Attached;
use crate::node::{Container, Name};
use crate::seccomp::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A message of the monitor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// It is done, and nothing else follows.
    Done,
    /// What the person who asked should know, though nothing failed of it. The answer follows, or the
    /// streams go on.
    Warning {
        /// One line.
        text: String,
    },
    /// It could not be done, and nothing else follows.
    Failed(Failure),
    /// To `list`: one such message, or several when they are many.
    Containers {
        /// In the order of their names.
        containers: Vec<Summary>,
        /// Another message has the next ones.
        #[serde(default)]
        more: bool,
    },
    /// To `inspect`.
    Container {
        /// In short.
        summary: Box<Summary>,
        /// As `create` or `node.toml` had it.
        container: Box<Container>,
        /// The text of its bundle's config.json, while there is one that fits into the message.
        config: Option<String>,
        /// There is one that does not: it follows in frames of [`super::Kind::Output`], then [`Reply::Done`].
        #[serde(default)]
        config_follows: bool,
        /// Where its root is mounted, while it is.
        root: Option<String>,
        /// Its log file.
        log: String,
        /// The folder of what it writes to its root.
        written: String,
        /// What its instance was given by the network.
        attached: Option<Box<Attached>>,
        /// It is removed once it has ended.
        #[serde(default)]
        remove: bool,
        /// Its standard input ends with the first client's that gives it some.
        #[serde(default)]
        stdin_once: bool,
        /// In place of the usual filter of system calls, as `create` had it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seccomp: Option<Box<Profile>>,
        /// What its health check has said, while it runs and has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checks: Option<Box<Checks>>,
    },
    /// To `create`.
    Created {
        /// 64 hexadecimal digits.
        id: String,
        /// Its name.
        name: Name,
        /// What was left out, and why.
        warnings: Vec<String>,
    },
    /// The streams follow. Amid those of an `attach` it gives another name for what follows: `resume` counts from there.
    Streams {
        /// Of an `exec` or `attach`, for `resume`.
        session: Option<String>,
        /// They come from one terminal.
        tty: bool,
    },
    /// A program has ended, and nothing else follows.
    Exited {
        /// 0 to 255; 128 and the signal when it was killed.
        status: u8,
        /// The kernel killed a process of it for lack of memory.
        out_of_memory: bool,
        /// Why it could not be run at all.
        error: Option<String>,
    },
    /// To `stats`: one round.
    Stats {
        /// A container each, in the order of their names.
        containers: Vec<Stats>,
    },
    /// To `top`.
    Processes {
        /// Process IDs of the node.
        pids: Vec<i32>,
    },
    /// To `events`.
    Event {
        /// Nanoseconds since 1970.
        time: u64,
        /// The container.
        name: Name,
        /// Its ID.
        id: String,
        /// `create`, `start`, `die`, `oom`, `health_status: healthy`, `destroy`, …: Docker's words.
        action: String,
        /// `image`, `exitCode`, …
        attributes: BTreeMap<String, String>,
    },
    /// To `events` of all.
    Happened {
        /// Nanoseconds since 1970.
        time: u64,
        /// What.
        what: Box<Happening>,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// One line for people: the action, the object, the cause.
    pub message: String,
}

impl Failure {
    /// A failure; what of the message would not stay on its line is escaped.
    pub fn new(code: Code, message: &str) -> Self {
        let mut line = String::with_capacity(message.len());
        for letter in message.chars() {
            match letter.is_control() {
                true => line.extend(letter.escape_default()),
                false => line.push(letter),
            }
        }
        Self { code, message: line }
    }
}

/// What kind of failure it is: what a caller may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request cannot be read, or asks for what there cannot be.
    Invalid,
    /// This monitor does not speak that version.
    Version,
    /// There is no such container, or session.
    NotFound,
    /// There is one of that name.
    Exists,
    /// It is not in a state in which this could be done.
    State,
    /// It belongs to `node.toml` and is not a person's to change.
    Configured,
    /// The program is not in the container (127 of a shell).
    NoProgram,
    /// The program is there and cannot be run (126 of a shell).
    NotExecutable,
    /// The node could not: disk, memory, kernel.
    Internal,
}

/// Bytes of a container's command in a list, with one for each of its words; `…` follows what was cut.
pub const COMMAND: usize = 256;

/// A container in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// As it was asked for.
    pub image: String,
    /// The manifest's digest, when it is known.
    pub digest: Option<String>,
    /// The program and its arguments; in a list, as far as [`COMMAND`] bytes go.
    pub command: Vec<String>,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// It comes from `node.toml`.
    pub configured: bool,
    /// Where it is in its life.
    pub status: Status,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Ports that it exposes while it runs, `80/tcp`, whether they are published or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<String>,
    /// Networks by name, and its addresses there.
    pub networks: BTreeMap<String, Vec<std::net::IpAddr>>,
    /// `KEY=VALUE` that somebody gave it.
    pub labels: BTreeMap<String, String>,
    /// Its program runs on a terminal.
    pub tty: bool,
    /// The volumes that it is made with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Name>,
    /// Digests of the manifests of images that its pod has as volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// Where a container is in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// `created`, `running`, `paused`, `restarting`, `stopping` or `exited`.
    pub state: String,
    /// Its first process.
    pub pid: Option<i32>,
    /// Since when it runs, seconds since 1970.
    pub started: Option<u64>,
    /// Since when it ran before it last ended, seconds since 1970, if it did.
    pub ran: Option<u64>,
    /// When it last ended, seconds since 1970.
    pub finished: Option<u64>,
    /// How it last ended: 0 to 255.
    pub exit: Option<u8>,
    /// The kernel killed a process of it for lack of memory.
    pub out_of_memory: bool,
    /// Starts by its policy since a person last started it.
    pub restarts: u32,
    /// Why it could not be started.
    pub error: Option<String>,
    /// What its health check says, if it has one.
    pub health: Option<Health>,
}

/// What a health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has not said anything yet.
    Starting,
    /// It is well.
    Healthy,
    /// It has failed several times in a row.
    Unhealthy,
}

/// How many health checks of an instance are told of, as with Docker.
pub const CHECKS: usize = 5;

/// What health checks have said of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checks {
    /// Failures in a row, as far as they count.
    pub failures: u32,
    /// The last [`CHECKS`], the latest at the end.
    pub log: Vec<Checked>,
}

/// One health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Checked {
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// How its program ended, 0 to 255; −1 when it could not be run, or took too long.
    pub exit: i32,
    /// The first of what it wrote, and `...` where that is not all; or why there is nothing.
    pub output: String,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Port {
    /// Address of the node; all of them without.
    pub address: Option<std::net::IpAddr>,
    /// Port of the node.
    pub node: u16,
    /// Port in the container.
    pub container: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// What a container uses, from its cgroup's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// Its name.
    pub name: String,
    /// Its ID.
    pub id: String,
    /// When this was read, nanoseconds since 1970.
    pub time: u64,
    /// Processor time in microseconds, `usage_usec` of `cpu.stat`.
    pub cpu: u64,
    /// Memory in bytes without the page cache that can be dropped.
    pub memory: u64,
    /// Most memory; of the node when it has no limit of its own.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from and written to disks.
    pub block: (u64, u64),
    /// Bytes received and sent on its own interfaces.
    pub network: (u64, u64),
}
