//! `[containers.NAME]`: what a container is, for `node.toml` and for those who ask the
//! monitor for one.

use super::{ContainerNetwork as Network, Ipc, Name, Pid, Restart, Sharing, default_stop_grace};
use crate::network::Port;
use crate::quantity::{Bytes, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `[containers.NAME]`: a container that the monitor keeps alive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Container {
    /// Name of an image in one of the node's stores.
    pub image: String,
    /// Whether the image is fetched from its registry.
    #[serde(default)]
    pub pull: Pull,
    /// In place of the image's `Entrypoint`.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's `Cmd`.
    pub args: Option<Vec<String>>,
    /// Added to the image's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// In place of the image's `WorkingDir`.
    pub working_dir: Option<String>,
    /// `USER[:GROUP]`, names or numbers, in place of the image's.
    pub user: Option<String>,
    /// Groups beside the user's own, names or numbers.
    #[serde(default)]
    pub group_add: Vec<String>,
    /// Its host name; its own name without it.
    pub hostname: Option<String>,
    /// Its NIS domain name (domainname(1)), and the domain of its host name in its `/etc/hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Free words for the runtime and its hooks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Free words, for people and programs.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its program runs on a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Its standard input is open, for whoever attaches.
    #[serde(default)]
    pub stdin: bool,
    /// Mounted over the image: an outer one before what lies in it, else in order.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The root cannot be written.
    #[serde(default)]
    pub read_only: bool,
    /// Size of `/dev/shm`; 64M without it.
    pub shm_size: Option<Bytes>,
    /// Devices of the node: `/dev/fuse`, `/dev/sda:/dev/xvda`, `/dev/sda:/dev/xvda:r`.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Its network; without it, [`Container::network`] tells.
    pub network: Option<Network>,
    /// Names beside its own by which other containers of its networks find it.
    #[serde(default)]
    pub network_alias: Vec<String>,
    /// Ports of the node that lead to it.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Ports that `publish-all` publishes, beside those that the image names: `80`, `53/udp`.
    #[serde(default)]
    pub expose: Vec<Port>,
    /// Every port that it exposes is published at one that the node chooses.
    #[serde(default)]
    pub publish_all: bool,
    /// Its first process is one of ours, which reaps what its programs leave behind.
    #[serde(default)]
    pub init: bool,
    /// Lines of its `/etc/hosts`: `NAME:ADDRESS`, or `NAME:` and [`HOST_GATEWAY`].
    #[serde(default)]
    pub add_hosts: Vec<String>,
    /// Name servers, in place of the node's.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// Domains in which names are looked for, in place of the node's; `.` alone is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_search: Vec<String>,
    /// Options of its resolver (resolv.conf(5)), in place of the node's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_options: Vec<String>,
    /// Most memory, in bytes.
    pub memory: Option<Bytes>,
    /// Most memory and swap together, not below `memory`.
    pub memory_swap: Option<Bytes>,
    /// Memory that is reclaimed last.
    pub memory_reservation: Option<Bytes>,
    /// Most processor time, in processors: 0.5 is half of one.
    pub cpus: Option<f64>,
    /// Its share when processors are short, 2 to 262144; others have 1024.
    pub cpu_shares: Option<u64>,
    /// The processors that it may run on, `0-3,7`.
    pub cpuset_cpus: Option<String>,
    /// Most processes and threads.
    pub pids: Option<u32>,
    /// Limits of setrlimit(2) by name, `nofile = "1024:4096"`.
    #[serde(default)]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// −1000 to 1000: who is killed first when the node's memory runs out.
    pub oom_score_adj: Option<i32>,
    /// Kernel parameters of its namespaces.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities added to Docker's default set, `CAP_NET_ADMIN` or `NET_ADMIN`.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Capabilities taken from it; `ALL` takes every one.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// Every capability and device, no filter of system calls, nothing masked.
    #[serde(default)]
    pub privileged: bool,
    /// What else it may or may not do.
    #[serde(default)]
    pub security: Vec<Security>,
    /// Whose cgroups it sees.
    #[serde(default)]
    pub cgroup: Sharing,
    /// Whose host name it has.
    #[serde(default, skip_serializing_if = "Sharing::is_usual")]
    pub uts: Sharing,
    /// Whose processes it sees.
    #[serde(default)]
    pub pid: Pid,
    /// Whose System V IPC, message queues and `/dev/shm` it has.
    #[serde(default)]
    pub ipc: Ipc,
    /// How to find out whether it is well, where not in the image's way.
    pub health: Option<HealthOptions>,
    /// What happens when it ends.
    #[serde(default)]
    pub restart: Restart,
    /// Containers that must have been started before this one.
    #[serde(default)]
    pub after: Vec<Name>,
    /// Signal that asks it to end, `SIGTERM` or `TERM`, in place of the image's.
    pub stop_signal: Option<String>,
    /// Time between that signal and KILL.
    #[serde(default = "default_stop_grace")]
    pub stop_grace: Span,
    /// Show its log lines on the console, prefixed with its name.
    #[serde(default)]
    pub console: bool,
    /// Greatest log file; the one before it is kept as `NAME.log.1`.
    #[serde(default = "default_log_size")]
    pub log_size: Bytes,
}

/// In place of an address in `add-hosts`: where the container reaches the node.
pub const HOST_GATEWAY: &str = "host-gateway";

/// `containers.NAME.pull`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// It must be on the node.
    #[default]
    Never,
    /// When it is not on the node.
    Missing,
}

fn default_log_size() -> Bytes {
    Bytes(16 << 20)
}

impl Container {
    /// Its entrypoint and what follows, of its own and its image's. Who gives an entrypoint of its own means the
    /// image's arguments to go.
    pub fn words<'a>(&'a self, entrypoint: &'a [String], cmd: &'a [String]) -> (&'a [String], &'a [String]) {
        let (entrypoint, cmd) = match &self.entrypoint {
            Some(own) => (&own[..], &[][..]),
            None => (entrypoint, cmd),
        };
        (entrypoint, self.args.as_deref().unwrap_or(cmd))
    }

    /// `NAME=VALUE` each: its image's, in their places, with what it says of them itself; then what is only its own.
    pub fn environment(&self, image: &[String]) -> Vec<String> {
        fn name(variable: &str) -> &str {
            variable.split('=').next().unwrap_or_default()
        }
        let said = |name: &str| self.env.get(name).map(|value| format!("{name}={value}"));
        let of_image = image.iter().map(|variable| said(name(variable)).unwrap_or_else(|| variable.clone()));
        let only_own =
            self.env.keys().filter(|own| image.iter().all(|variable| name(variable) != own.as_str()));
        of_image.chain(only_own.filter_map(|own| said(own))).collect()
    }

    /// One of this image of which nothing else is said.
    pub fn of(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            pull: Pull::default(),
            entrypoint: None,
            args: None,
            env: BTreeMap::new(),
            working_dir: None,
            user: None,
            group_add: Vec::new(),
            hostname: None,
            domainname: None,
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            tty: false,
            stdin: false,
            mounts: Vec::new(),
            read_only: false,
            shm_size: None,
            devices: Vec::new(),
            network: None,
            network_alias: Vec::new(),
            ports: Vec::new(),
            expose: Vec::new(),
            publish_all: false,
            init: false,
            add_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            memory: None,
            memory_swap: None,
            memory_reservation: None,
            cpus: None,
            cpu_shares: None,
            cpuset_cpus: None,
            pids: None,
            ulimits: BTreeMap::new(),
            oom_score_adj: None,
            sysctls: BTreeMap::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            security: Vec::new(),
            cgroup: Sharing::default(),
            uts: Sharing::default(),
            pid: Pid::default(),
            ipc: Ipc::default(),
            health: None,
            restart: Restart::default(),
            after: Vec::new(),
            stop_signal: None,
            stop_grace: default_stop_grace(),
            console: false,
            log_size: default_log_size(),
        }
    }

    /// The containers whose namespaces are to be its own: each must run when it starts.
    pub fn others(&self) -> impl Iterator<Item = &Name> {
        let network = if let Some(Network::Container(other)) = &self.network { Some(other) } else { None };
        let pid = if let Pid::Container(other) = &self.pid { Some(other) } else { None };
        let ipc = if let Ipc::Container(other) = &self.ipc { Some(other) } else { None };
        [network, pid, ipc].into_iter().flatten()
    }

    /// The same, to call them by other names.
    pub fn others_mut(&mut self) -> impl Iterator<Item = &mut Name> {
        let network =
            if let Some(Network::Container(other)) = &mut self.network { Some(other) } else { None };
        let pid = if let Pid::Container(other) = &mut self.pid { Some(other) } else { None };
        let ipc = if let Ipc::Container(other) = &mut self.ipc { Some(other) } else { None };
        [network, pid, ipc].into_iter().flatten()
    }

    /// Its network: as it was said, else the node's own, unless ports or names say that it
    /// must be one of containers.
    pub fn network(&self) -> Network {
        let own = !self.ports.is_empty() || self.publish_all || !self.network_alias.is_empty();
        match &self.network {
            None if own => Network::usual(),
            None => Network::Host,
            Some(network) => network.clone(),
        }
    }
}

/// An element of `containers.NAME.mounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type", try_from = "Keys")]
pub enum Mount {
    /// A folder or file of the node.
    #[serde(rename_all = "kebab-case")]
    Bind {
        /// Absolute path on the node.
        source: String,
        /// Absolute path in the container.
        target: String,
        /// Cannot be written through this mount.
        read_only: bool,
        /// Which mounts within it reach the other side.
        #[serde(skip_serializing_if = "Propagation::is_usual")]
        propagation: Propagation,
    },
    /// A file system in memory, gone with the container.
    #[serde(rename_all = "kebab-case")]
    Tmpfs {
        /// Absolute path in the container.
        target: String,
        /// Greatest size; half of memory without it.
        size: Option<Bytes>,
        /// Permissions of its root; 01777 without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        mode: Option<u32>,
        /// User of its root; 0 without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group of its root; 0 without it.
        #[serde(skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
        /// Programs on it can be run.
        #[serde(skip_serializing_if = "is_false")]
        exec: bool,
        /// Cannot be written.
        #[serde(skip_serializing_if = "is_false")]
        read_only: bool,
    },
    /// A folder that stays when containers go: made at its first use, and filled then
    /// from the image's folder.
    #[serde(rename_all = "kebab-case")]
    Volume {
        /// Its name.
        name: Name,
        /// Absolute path in the container.
        target: String,
        /// Cannot be written through this mount.
        read_only: bool,
        /// It begins empty.
        #[serde(skip_serializing_if = "is_false")]
        no_copy: bool,
    },
}

/// What of mounts within a bind mount's source the container sees, and the node of the container's
/// (mount_namespaces(7), "SHARED SUBTREES"); with `r` also within mounts that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Neither what is mounted later.
    Private,
    /// The same, recursively.
    #[default]
    Rprivate,
    /// The container what the node mounts.
    Slave,
    /// The same, recursively.
    Rslave,
    /// Each what the other mounts.
    Shared,
    /// The same, recursively.
    Rshared,
}

impl Propagation {
    const NAMES: [(Self, &str); 6] = [
        (Self::Private, "private"),
        (Self::Rprivate, "rprivate"),
        (Self::Slave, "slave"),
        (Self::Rslave, "rslave"),
        (Self::Shared, "shared"),
        (Self::Rshared, "rshared"),
    ];

    fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    /// As mount(8) has it.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }

    /// The one that is called so.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(known, _)| *known)
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The keys of all kinds of mounts. An enum with a tag would be read into values of no type first,
/// which costs PID 1 more code than all the rest of this file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    r#type: Kind,
    target: String,
    source: Option<String>,
    name: Option<Name>,
    size: Option<Bytes>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    exec: Option<bool>,
    read_only: Option<bool>,
    no_copy: Option<bool>,
    propagation: Option<Propagation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Bind,
    Tmpfs,
    Volume,
}

impl TryFrom<Keys> for Mount {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys {
            r#type,
            target,
            source,
            name,
            size,
            mode,
            uid,
            gid,
            exec,
            read_only,
            no_copy,
            propagation,
        } = keys;
        let of_owner = uid.is_some() || gid.is_some();
        let of_memory = size.is_some() || mode.is_some() || exec.is_some() || of_owner;
        let (of_volume, of_bind) = (no_copy.is_some(), propagation.is_some());
        let read_only = read_only.unwrap_or(false);
        match (r#type, source, name) {
            (Kind::Bind, Some(source), None) if !of_memory && !of_volume => {
                Ok(Self::Bind { source, target, read_only, propagation: propagation.unwrap_or_default() })
            }
            (Kind::Volume, None, Some(name)) if !of_memory && !of_bind => {
                Ok(Self::Volume { name, target, read_only, no_copy: no_copy.unwrap_or(false) })
            }
            (Kind::Tmpfs, None, None) if !of_volume && !of_bind => {
                Ok(Self::Tmpfs { target, size, mode, uid, gid, exec: exec.unwrap_or(false), read_only })
            }
            (Kind::Bind, ..) => Err("a bind mount has source, target, read-only and propagation".to_owned()),
            (Kind::Tmpfs, ..) => {
                Err("a tmpfs mount has target, size, mode, uid, gid, exec and read-only".to_owned())
            }
            (Kind::Volume, ..) => Err("a volume mount has name, target, read-only and no-copy".to_owned()),
        }
    }
}

impl Mount {
    /// Where it is in the container.
    pub fn target(&self) -> &str {
        match self {
            Self::Bind { target, .. } | Self::Tmpfs { target, .. } | Self::Volume { target, .. } => target,
        }
    }

    /// What of the node it shows, by its path.
    pub fn source(&self) -> Option<&str> {
        if let Self::Bind { source, .. } = self { Some(source) } else { None }
    }

    /// The volume that it shows, by its name.
    pub fn volume(&self) -> Option<&Name> {
        if let Self::Volume { name, .. } = self { Some(name) } else { None }
    }
}

/// `[containers.NAME.health]`: what of the image's check is to be different.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HealthOptions {
    /// The program and its arguments. Empty: the image's check is not made.
    pub command: Option<Vec<String>>,
    /// Between the end of a check and the next.
    pub interval: Option<Span>,
    /// A check that takes longer has failed.
    pub timeout: Option<Span>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
    /// Failures so soon after the start do not count.
    pub start_period: Option<Span>,
    /// Between checks in that time, until one says "well". Monitors of before it was there take nothing that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Span>,
}

/// A health check: a program that is run in the container again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HealthCheck {
    /// The program and its arguments; it says "well" by ending with 0.
    pub command: Vec<String>,
    /// Between the end of a check and the next.
    pub interval: Span,
    /// A check that takes longer has failed.
    pub timeout: Span,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Failures so soon after the start do not count.
    pub start_period: Span,
    /// Between checks in that time, until one says "well".
    pub start_interval: Span,
}

/// An element of `containers.NAME.security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// No filter of system calls.
    SeccompUnconfined,
    /// No program gains anything by its set-user-ID bit or file capabilities.
    NoNewPrivileges,
    /// Nothing in `/proc` and `/sys` is masked or cannot be written for that reason.
    SystemPathsUnconfined,
}

impl Security {
    const NAMES: [(Self, &str); 3] = [
        (Self::SeccompUnconfined, "seccomp=unconfined"),
        (Self::NoNewPrivileges, "no-new-privileges"),
        (Self::SystemPathsUnconfined, "systempaths=unconfined"),
    ];
}

impl FromStr for Security {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(security, _)| *security).ok_or_else(|| {
            format!("{text:?} is none of seccomp=unconfined, no-new-privileges and systempaths=unconfined")
        })
    }
}

impl fmt::Display for Security {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(security, _)| security == self).map_or("", |(_, name)| name);
        out.write_str(name)
    }
}

/// A limit of setrlimit(2): `SOFT`, or `SOFT:HARD`; −1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// In force.
    pub soft: u64,
    /// Up to where the program may raise it.
    pub hard: u64,
}

impl FromStr for Ulimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a limit such as 1024, 1024:4096 or -1");
        let number = |text: &str| match text {
            "-1" => Ok(u64::MAX),
            text => text.parse().map_err(|_| wrong()),
        };
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Self { soft: number(soft)?, hard: number(hard)? };
        if limit.soft > limit.hard { Err(wrong()) } else { Ok(limit) }
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |limit: u64| if limit == u64::MAX { "-1".to_owned() } else { limit.to_string() };
        write!(out, "{}:{}", word(self.soft), word(self.hard))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layer, load};
    use super::*;

    fn container(text: &str) -> Result<Container, String> {
        let text = format!("[containers.a]\nimage = \"i\"\n{text}");
        let layer = Layer { origin: "test".into(), text };
        let node = load(&[layer]).map_err(|error| error.message)?;
        Ok(node.containers.into_values().next().unwrap())
    }

    #[test]
    fn a_limit_reads_back_as_it_was_written() {
        for (text, soft, hard) in
            [("7", 7, 7), ("1:2", 1, 2), ("0:-1", 0, u64::MAX), ("-1", u64::MAX, u64::MAX)]
        {
            let limit: Ulimit = text.parse().unwrap();
            assert_eq!((limit.soft, limit.hard), (soft, hard), "{text}");
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
        for text in ["", "2:1", "a", "1:", "-2", "-1:5"] {
            assert!(text.parse::<Ulimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn all_keys_are_read_and_travel() {
        let container = container(
            "security = [\"no-new-privileges\"]\nulimits = { nofile = \"5:6\" }\npid = \"host\"\nnetwork = \"none\"\nports = [\"8080:80\"]\n\
             restart = \"unless-stopped\"\nmounts = [{ type = \"volume\", name = \"data\", target = \"/d\" }]\n\
             [containers.a.health]\ncommand = [\"true\"]\ntimeout = \"1s\"\n",
        )
        .unwrap();
        assert_eq!(container.security, [Security::NoNewPrivileges]);
        let health = container.health.as_ref().unwrap();
        assert_eq!((health.interval, health.timeout), (None, Some(Span::seconds(1))));
        assert_eq!(container.mounts[0].target(), "/d");
        let text = serde_json::to_string(&container).unwrap();
        assert_eq!(serde_json::from_str::<Container>(&text).unwrap(), container);
    }

    #[test]
    fn what_it_says_of_its_environment_stands_in_the_images_place() {
        let own = container("env = { B = \"2\", C = \"3=\" }").unwrap();
        let image = ["PATH=/bin", "B=1", "D"].map(str::to_owned);
        assert_eq!(own.environment(&image), ["PATH=/bin", "B=2", "D", "C=3="]);
        assert_eq!(own.environment(&[]), ["B=2", "C=3="]);
    }

    #[test]
    fn a_file_system_in_memory_has_a_mode_and_may_be_run_from() {
        let mounts = "mounts = [{ type = \"tmpfs\", target = \"/d\" },\
            { type = \"tmpfs\", target = \"/e\", mode = 0o750, uid = 5, gid = 6, exec = true, read-only = true }]";
        let mounts = container(mounts).unwrap().mounts;
        let target = |target: &str| target.to_owned();
        let memory = |at: &str, mode, [uid, gid]: [Option<u32>; 2], is| Mount::Tmpfs {
            target: target(at),
            size: None,
            mode,
            uid,
            gid,
            exec: is,
            read_only: is,
        };
        let plain = memory("/d", None, [None; 2], false);
        let other = memory("/e", Some(0o750), [Some(5), Some(6)], true);
        assert_eq!(mounts, [plain, other]);
        // What was written before has none of these.
        let text = serde_json::to_string(&mounts).unwrap();
        assert!(text.starts_with(r#"[{"type":"tmpfs","target":"/d","size":null},"#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Mount>>(&text).unwrap(), mounts);
    }

    #[test]
    fn a_bind_mount_has_a_propagation_and_a_volume_may_begin_empty() {
        let mounts = "mounts = [{ type = \"bind\", source = \"/a\", target = \"/b\", propagation = \"rslave\" },\
            { type = \"bind\", source = \"/a\", target = \"/c\" },\
            { type = \"volume\", name = \"v\", target = \"/d\", no-copy = true }]";
        let mounts = container(mounts).unwrap().mounts;
        assert!(matches!(mounts[0], Mount::Bind { propagation: Propagation::Rslave, .. }));
        assert!(matches!(mounts[2], Mount::Volume { no_copy: true, .. }));
        let text = serde_json::to_string(&mounts).unwrap();
        // What says nothing of it is read by older monitors.
        assert!(text.contains(r#"{"type":"bind","source":"/a","target":"/c","read-only":false}"#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<Mount>>(&text).unwrap(), mounts);
        for (known, name) in Propagation::NAMES {
            assert_eq!((known.name(), Propagation::of_name(name)), (name, Some(known)));
            assert_eq!(serde_json::to_string(&known).unwrap(), format!("\"{name}\""));
        }
    }

    #[test]
    fn one_of_which_nothing_is_said_is_what_the_file_makes_of_nothing() {
        assert_eq!(container("").unwrap(), Container::of("i"));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for text in [
            "security = [\"apparmor=x\"]",
            "network = \"a/b\"",
            "ports = [\"x:80\"]",
            "ipc = \"public\"",
            "pid = \"shareable\"",
            "cgroup = \"container:b\"",
            "health = { command = [], every = 1 }",
            "mounts = [{ type = \"tmpfs\", target = \"/d\", source = \"/e\" }]",
            "mounts = [{ type = \"bind\", target = \"/d\" }]",
            "mounts = [{ type = \"tmpfs\", target = \"/d\", mode = -1 }]",
            "mounts = [{ type = \"tmpfs\", target = \"/d\", mode = 0o10000 }]",
            "mounts = [{ type = \"bind\", source = \"/a\", target = \"/d\", exec = true }]",
            "mounts = [{ type = \"volume\", name = \"a\", target = \"/d\", mode = 7 }]",
            "mounts = [{ type = \"tmpfs\", target = \"/d\", no-copy = true }]",
            "mounts = [{ type = \"volume\", name = \"a\", target = \"/d\", propagation = \"shared\" }]",
            "mounts = [{ type = \"bind\", source = \"/a\", target = \"/d\", propagation = \"open\" }]",
            "mounts = [{ type = \"bind\", source = \"/a\", target = \"/d\", uid = 1 }]",
            "mounts = [{ type = \"volume\", name = \"../x\", target = \"/d\" }]",
        ] {
            assert!(container(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_health_check_that_says_nothing_new_is_read_by_older_monitors() {
        let own = HealthOptions { retries: Some(7), ..HealthOptions::default() };
        let text = serde_json::to_string(&own).unwrap();
        assert!(!text.contains("start-interval"), "{text}");
        assert_eq!(serde_json::from_str::<HealthOptions>(&text).unwrap(), own);
        let new = HealthOptions { start_interval: Some(Span::seconds(1)), ..own };
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<HealthOptions>(&text).unwrap(), new);
    }
}
