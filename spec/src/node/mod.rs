//! The node's configuration, `node.toml`.
//!
//! One strict file: an unknown key, a wrong type or a value out of range is an
//! error with line and column. It may come in layers (image, drive, command
//! line); [`load`] merges them and judges the whole. `docs/configuration.md`
//! tells users the same.

/// Makes a type that has `FromStr` readable from a TOML string.
macro_rules! deserialize_from_str {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

pub(crate) use deserialize_from_str;

mod attachment;
mod bridge;
mod check;
mod cluster;
mod container;
mod layers;
mod name;
pub mod registry;
mod sharing;

pub use attachment::{Network as ContainerNetwork, RESERVED};
pub use bridge::{Bridge, has_room, named as named_networks};
pub use cluster::{By, Cluster, Taint, Tunnel};
pub use container::{
    Container, HOST_GATEWAY, HealthCheck, HealthOptions, Mount, Propagation, Pull, Security, Ulimit,
};
pub use layers::{Error, Layer, load, load_part, position};
pub use name::Name;
pub use registry::Registry;
pub use sharing::{Ipc, Pid, Sharing};

use crate::quantity::{Bytes, Span};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// The whole of `node.toml`. Every key has a default, so an empty file is a
/// valid configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Node {
    /// The node's name; without it the name from DHCP, else `skerry-` and the
    /// MAC address of the first network card.
    pub hostname: Option<Name>,
    /// Where a configuration may come from; the image's own word alone.
    pub config: Config,
    /// What the console shows.
    pub console: Console,
    /// Where the node keeps what must survive a reboot.
    pub data: Data,
    /// The node's own interfaces.
    pub network: Network,
    /// Kernel modules beyond those that the hardware asks for.
    pub modules: Modules,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// Programs that PID 1 keeps alive, beside its own.
    pub services: BTreeMap<Name, Service>,
    /// Networks of containers.
    #[serde(deserialize_with = "named_networks")]
    pub networks: BTreeMap<Name, Bridge>,
    /// Containers that the monitor keeps alive.
    pub containers: BTreeMap<Name, Container>,
    /// The Kubernetes cluster whose worker this node is.
    pub cluster: Cluster,
    /// How registries are reached.
    pub registries: BTreeMap<registry::Host, Registry>,
    /// Which proxies they are reached by.
    pub proxies: registry::Proxies,
}

/// `[config]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Whose layers are taken over the image's; all unless it is said.
    pub sources: Vec<Source>,
}

impl Default for Config {
    fn default() -> Self {
        Self { sources: vec![Source::Drive, Source::FwCfg, Source::CommandLine] }
    }
}

/// Who may give a layer of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A drive with one of [`crate::paths::CONFIG_LABELS`].
    Drive,
    /// QEMU, which whoever starts the machine gives it.
    FwCfg,
    /// `skerry.set` of the kernel command line.
    CommandLine,
}

/// `[console]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Console {
    /// Show each boot step with its time, and a status line per service and
    /// container. On unless it is switched off.
    pub status: bool,
    /// `skerry`'s prompt on the console, if the image has the command.
    pub prompt: bool,
}

impl Default for Console {
    fn default() -> Self {
        Self { status: true, prompt: false }
    }
}

/// `[data]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Data {
    /// The one disk that may be formatted: `serial:TEXT` or a path below `/dev`.
    pub disk: Option<Disk>,
    /// Volume label to look for; [`crate::paths::DATA_LABEL`] without it.
    pub label: Option<Label>,
    /// When the disk that `disk` names is formatted.
    pub format: Format,
    /// Size of the tmpfs when there is no data disk; half of memory without it.
    pub memory: Option<Bytes>,
}

/// A block device as `data.disk` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    /// By the serial number that the disk reports.
    Serial(String),
    /// By its device node, below `/dev/`.
    Path(String),
}

impl FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(serial) = text.strip_prefix("serial:").filter(|serial| !serial.is_empty()) {
            return Ok(Self::Serial(serial.to_owned()));
        }
        match text.strip_prefix("/dev/") {
            Some(name) if !name.is_empty() && !name.contains("..") => Ok(Self::Path(text.to_owned())),
            _ => Err(format!("{text:?} is neither serial:TEXT nor a path below /dev")),
        }
    }
}

/// A volume's label that an ext4 can have: 1 to 16 bytes. Without any it would be found on every disk that
/// nobody has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=16).contains(&text.len()) && !text.contains('\0') && text.trim_end() == text;
        fits.then(|| Self(text.to_owned()))
            .ok_or_else(|| format!("{text:?} is not a label: 1 to 16 bytes, no space at the end"))
    }
}

impl Deref for Label {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `data.format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Never write a file system.
    Never,
    /// Only when the disk's first and last MiB are zero.
    #[default]
    Blank,
    /// At every boot.
    Always,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Network {
    /// Name servers, in place of those from DHCP and router advertisements.
    pub dns: Vec<std::net::IpAddr>,
    /// Domains to search, in place of those from DHCP.
    pub search: Vec<String>,
    /// Time servers, host names or addresses, in place of those from DHCP.
    pub ntp: Vec<String>,
    /// Interfaces by name; one that is not named here uses DHCP and SLAAC.
    pub interfaces: BTreeMap<Name, Interface>,
}

/// `[network.interfaces.NAME]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Interface {
    /// Ask for an IPv4 lease; on unless `addresses` is given.
    pub dhcp: Option<bool>,
    /// Accept router advertisements (SLAAC). On unless it is switched off.
    pub slaac: bool,
    /// Static addresses with prefix length, `192.0.2.7/24` or `2001:db8::7/64`.
    pub addresses: Vec<Cidr>,
    /// Default routers, at most one per family.
    pub gateways: Vec<std::net::IpAddr>,
    /// Greatest packet in bytes; the link's own without it.
    pub mtu: Option<u32>,
}

impl Default for Interface {
    fn default() -> Self {
        Self { dhcp: None, slaac: true, addresses: Vec::new(), gateways: Vec::new(), mtu: None }
    }
}

/// An address with its prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: std::net::IpAddr,
    /// Length of the network's prefix in bits, at most 32 or 128.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an address with a prefix length such as 192.0.2.7/24");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest { Err(wrong()) } else { Ok(Self { address, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

/// `[modules]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Modules {
    /// Loaded at boot, by name.
    pub load: Vec<Name>,
    /// Never loaded for hardware; `load` is stronger.
    pub blacklist: Vec<Name>,
}

/// `[watchdog]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Watchdog {
    /// The machine resets when PID 1's event loop stands still this long;
    /// zero leaves the watchdog alone.
    pub timeout: Span,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self { timeout: Span::seconds(30) }
    }
}

/// `[services.NAME]`: a program that PID 1 keeps alive.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// The program, by absolute path, and its arguments.
    pub command: Vec<String>,
    /// Environment, beside `PATH`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Services that must be ready before this one starts.
    #[serde(default)]
    pub after: Vec<Name>,
    /// Ready only when the program has written a line to the descriptor that
    /// the environment variable `SKERRY_READY_FD` names; else ready when started.
    #[serde(default)]
    pub ready: bool,
    /// What happens when it ends.
    #[serde(default)]
    pub restart: Restart,
    /// Time between TERM and KILL when it is stopped.
    #[serde(default = "default_stop_grace")]
    pub stop_grace: Span,
    /// Show its output on the console.
    #[serde(default = "yes")]
    pub console: bool,
}

/// When a service or container that has ended is started again. Written
/// `always`, `unless-stopped`, `no`, `on-failure` or `on-failure:TIMES`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Whatever its exit status.
    #[default]
    Always,
    /// The same; but a container that a person has stopped stays down over a reboot.
    UnlessStopped,
    /// When its exit status is not 0, at most this many times in a row.
    OnFailure(Option<u32>),
    /// Never.
    No,
}

impl FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "unless-stopped" => Ok(Self::UnlessStopped),
            "no" => Ok(Self::No),
            "on-failure" => Ok(Self::OnFailure(None)),
            _ => text
                .strip_prefix("on-failure:")
                .and_then(|times| times.parse().ok())
                .map(|times| Self::OnFailure(Some(times)))
                .ok_or_else(|| {
                    format!("{text:?} is none of always, unless-stopped, on-failure, on-failure:TIMES, no")
                }),
        }
    }
}

fn default_stop_grace() -> Span {
    Span::seconds(10)
}

fn yes() -> bool {
    true
}

impl fmt::Display for Restart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => out.write_str("always"),
            Self::UnlessStopped => out.write_str("unless-stopped"),
            Self::No => out.write_str("no"),
            Self::OnFailure(None) => out.write_str("on-failure"),
            Self::OnFailure(Some(times)) => write!(out, "on-failure:{times}"),
        }
    }
}

/// Makes a type that has `Display` writable as a string.
macro_rules! serialize_display {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}

serialize_display!(Cidr, Restart, Name, Security, Ulimit, Pid, Ipc);

deserialize_from_str!(Disk, Label, Cidr, Restart, Name, Security, Ulimit, Pid, Ipc);
