//! What a client may ask the monitor for.

use crate::bundle::{Mount, Namespace, Seccomp};
use crate::network::Membership;
use crate::node::{Container, Name, Restart};
use crate::quantity::Bytes;
use crate::seccomp::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A request. `name` is a container's name, its ID, or the unique beginning of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// All containers: [`super::Reply::Containers`].
    List,
    /// All that is known of a container: [`super::Reply::Container`].
    Inspect {
        /// Which.
        name: String,
    },
    /// Defines a container that a person wants. It is on disk when this is answered:
    /// [`super::Reply::Created`].
    Create(Box<Create>),
    /// Lets it run. Answered when its program runs, or could not be run.
    Start {
        /// Which.
        name: String,
    },
    /// Ends it; it stays defined. Answered when it has ended.
    Stop {
        /// Which.
        name: String,
        /// Seconds before it is killed; its own grace without.
        grace: Option<u64>,
        /// The number of the signal that asks it to end; its own without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// Stops it, if it runs, and starts it.
    Restart {
        /// Which.
        name: String,
        /// Seconds before it is killed; its own grace without.
        grace: Option<u64>,
        /// The number of the signal that asks it to end; its own without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// Sends a signal to its first process.
    Kill {
        /// Which.
        name: String,
        /// Its number.
        signal: i32,
    },
    /// Freezes it.
    Pause {
        /// Which.
        name: String,
    },
    /// Lets a frozen one go on.
    Unpause {
        /// Which.
        name: String,
    },
    /// Gives it another name.
    Rename {
        /// Which.
        name: String,
        /// The new one.
        to: Name,
    },
    /// Puts it on one more network. Answered when it is on it, or will be with its next start.
    Connect {
        /// Which.
        name: String,
        /// The network, and what it is to have there.
        network: Membership,
    },
    /// Takes it off a network.
    Disconnect {
        /// Which.
        name: String,
        /// The network.
        network: Name,
    },
    /// Changes what a person's container may use and when it is restarted; of a running one at once.
    Update(Box<Update>),
    /// Takes away a stopped container with all that it wrote. Answered when nothing is left.
    Remove {
        /// Which.
        name: String,
        /// A running one too, which is killed.
        force: bool,
        /// With it go its volumes that nobody named ([`Create::nameless`]) and no other container is made with, as they do
        /// with one that is removed once it has ended.
        #[serde(default)]
        volumes: bool,
    },
    /// Puts a volume aside that no container is made with, by one rename: from [`crate::volume::folder`] to
    /// [`crate::volume::aside`], which whoever asks has emptied before and empties then.
    RemoveVolume {
        /// Which.
        name: Name,
    },
    /// Answered by [`super::Reply::Exited`].
    Wait {
        /// Which.
        name: String,
        /// For what.
        condition: Wait,
    },
    /// Its log: [`super::Reply::Streams`], then its entries, each with its line as the file has it.
    Logs(Logs),
    /// Joins its streams: what its program writes from now on, and its input.
    Attach {
        /// Which.
        name: String,
        /// Send what the client sends to its standard input.
        input: bool,
        /// The terminal's size, if the client has one.
        size: Option<Size>,
        /// Start it once the client is attached, so that nothing it writes is missed.
        start: bool,
    },
    /// Runs another program in it.
    Exec(Box<Exec>),
    /// Joins the streams of an `exec` or `attach` again, which outlived the monitor. They
    /// wait a minute for it.
    Resume {
        /// What [`super::Reply::Streams`] said.
        session: String,
        /// Bytes of output and error together that have come in whole frames.
        #[serde(default)]
        received: u64,
    },
    /// While streams are open: the client's terminal has another size.
    Resize(Size),
    /// While streams are open: there is no more input. To an `attach` it means nothing unless [`Create::stdin_once`].
    InputEnded,
    /// While an `exec` is open: sends a signal to its program.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// What containers use now: [`super::Reply::Stats`], once or every second.
    Stats {
        /// Which; all that run when empty.
        names: Vec<String>,
        /// Goes on until the client leaves.
        follow: bool,
    },
    /// The process IDs of a container: [`super::Reply::Processes`].
    Top {
        /// Which.
        name: String,
    },
    /// What happens: [`super::Reply::Event`] for each, or [`super::Reply::Happened`].
    Events {
        /// From this time on, nanoseconds since 1970; from now on without. Only what the monitor
        /// remembers.
        since: Option<u64>,
        /// Until this time, nanoseconds since 1970; for ever without.
        until: Option<u64>,
        /// To images, volumes and networks, too, as far as clients tell.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        all: bool,
    },
    /// Tells those who follow what happens what the client has done.
    Tell(Box<Happening>),
}

/// What happened to something other than a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// Of what kind it is.
    pub object: Object,
    /// An image's digest, or its name where it comes or goes by that; else a name.
    pub id: String,
    /// `pull`, `create`, …: Docker's words.
    pub action: String,
    /// `name`, `driver`, …
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// What things happen to, beside containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network of containers.
    Network,
}

impl Object {
    /// One word, which is Docker's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// A container that a person wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Create {
    /// Its name; one is made up without.
    pub name: Option<Name>,
    /// What `node.toml` would say of it.
    pub container: Container,
    /// The manifest's digest of the image that it is made of, `sha256:…`: it stays the
    /// same when the image's name moves on.
    pub image: String,
    /// It is removed once it has ended.
    #[serde(default)]
    pub remove: bool,
    /// Its standard input ends with the first client's that gives it some, however that leaves. Else it stays open for
    /// the next one, whatever a client says of its own.
    #[serde(default)]
    pub stdin_once: bool,
    /// Volumes of its mounts that nobody named: they go with it where [`Request::Remove`] says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameless: Vec<Name>,
    /// In place of the usual filter of system calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Box<Profile>>,
    /// The pod whose container it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Box<Sandbox>>,
}

/// What a pod gives each of its containers, in the words of config.json. Its network is the pod's:
/// the monitor attaches none and writes no files for `/etc`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sandbox {
    /// The cgroup below which its own is made: `kubepods/burstable/podUID`. Whoever asks has made it.
    pub cgroup: String,
    /// Namespaces of these kinds are joined, or are the node's where there is no path.
    pub namespaces: Vec<Namespace>,
    /// Mounted last, in order; each in place of what would be mounted there.
    pub mounts: Vec<Mount>,
    /// In place of the usual filter of system calls.
    pub seccomp: Option<Seccomp>,
    /// Nothing below `/proc` is hidden or read-only.
    pub unmasked: bool,
    /// The first of the node's [`IDS`] users and groups that are its own 0, 1, … in the user namespace that it joins,
    /// or in one of its own; the node's own without.
    pub users: Option<u32>,
    /// The program is in no group for the image's `/etc/group` alone.
    pub strict_groups: bool,
    /// Files of its cgroup and what is written to them (`unified` of the OCI specification).
    pub unified: BTreeMap<String, String>,
    /// Where its log is, in place of the monitor's own folder; a path below `/var/log` whose folder is made.
    pub log: Option<PathBuf>,
    /// Digests of the manifests of images that it has as volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

/// How many users and groups a pod's user namespace has.
pub const IDS: u32 = 65_536;

/// What is to be different of a container; the rest stays. Each is as `node.toml` has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Update {
    /// Which.
    pub name: String,
    /// Most memory.
    pub memory: Option<Bytes>,
    /// Most memory and swap together.
    pub memory_swap: Option<Bytes>,
    /// Memory that is reclaimed last.
    pub memory_reservation: Option<Bytes>,
    /// Most processor time.
    pub cpus: Option<f64>,
    /// Its share when processors are short.
    pub cpu_shares: Option<u64>,
    /// The processors that it may run on.
    pub cpuset_cpus: Option<String>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// What follows its end.
    pub restart: Option<Restart>,
}

impl Update {
    /// The container as it is to be.
    #[must_use]
    pub fn of(&self, container: &Container) -> Container {
        let own = container.clone();
        Container {
            memory: self.memory.or(own.memory),
            memory_swap: self.memory_swap.or(own.memory_swap),
            memory_reservation: self.memory_reservation.or(own.memory_reservation),
            cpus: self.cpus.or(own.cpus),
            cpu_shares: self.cpu_shares.or(own.cpu_shares),
            cpuset_cpus: self.cpuset_cpus.clone().or(own.cpuset_cpus),
            pids: self.pids.or(own.pids),
            restart: self.restart.unwrap_or(own.restart),
            ..own
        }
    }

    /// Something of what it may use is to be different.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        let rest = Self { name: self.name.clone(), restart: self.restart, ..Self::default() };
        *self != rest
    }
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// What `wait` is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// It does not run, and may have ended long ago; or it ends, and is restarted.
    #[default]
    NotRunning,
    /// It ends the next time.
    NextExit,
    /// It was removed.
    Removed,
}

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Logs {
    /// Whose.
    pub name: String,
    /// Goes on with what comes, over restarts and rotations.
    #[serde(default)]
    pub follow: bool,
    /// At most so many of the last lines.
    pub tail: Option<u64>,
    /// Not before this time, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Not after this time, nanoseconds since 1970.
    pub until: Option<u64>,
}

/// Another program in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Exec {
    /// Which container.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Added to the container's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// `USER[:GROUP]`, in place of the container's.
    pub user: Option<String>,
    /// In place of the container's.
    pub working_dir: Option<String>,
    /// On a terminal.
    #[serde(default)]
    pub tty: bool,
    /// What the client sends is its standard input.
    #[serde(default)]
    pub input: bool,
    /// All capabilities and devices.
    #[serde(default)]
    pub privileged: bool,
    /// Nobody follows it.
    #[serde(default)]
    pub detach: bool,
    /// The terminal's size.
    pub size: Option<Size>,
}
