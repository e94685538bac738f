//! A container's `config.json`, from the node's configuration and the image's,
//! with Docker's defaults where both are silent.
//!
//! All here is a function of values; what lies on the node (the image's
//! `/etc/passwd`, the files bound into `/etc`, devices) comes in as [`Surroundings`].

mod capabilities;
mod limits;
mod mounts;
mod process;
mod seccomp;
mod signal;
mod sysctl;
mod user;

pub use limits::resources;
pub use mounts::{EtcFiles, shm_options};
pub use process::{command, further};
pub use signal::stop_signal;

use spec::bundle::{
    Config, Device, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, OCI_VERSION, Root, Seccomp,
};
use spec::monitor::{IDS, Sandbox};
use spec::network::Port;
use spec::node::{Container, ContainerNetwork, Ipc, Name, Pid, Security, Sharing};
use spec::paths::CONTAINER_CGROUP;
use spec::seccomp::{Kernel, Profile};
use std::collections::{BTreeMap, BTreeSet};
use store::Healthcheck;

/// What an image says of the containers made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `Entrypoint`
    pub entrypoint: Vec<String>,
    /// `Cmd`
    pub cmd: Vec<String>,
    /// `Env`, `NAME=value` each.
    pub env: Vec<String>,
    /// `WorkingDir`
    pub working_dir: String,
    /// `User`
    pub user: String,
    /// `StopSignal`
    pub stop_signal: String,
    /// `Healthcheck`
    pub health: Option<Healthcheck>,
    /// `ExposedPorts`
    pub exposed: Vec<Port>,
    /// `Labels`
    pub labels: BTreeMap<String, String>,
}

/// A device of the node for a container: what it is there, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDevice {
    /// The node in the container.
    pub device: Device,
    /// Some of `rwm`.
    pub access: String,
}

/// What the container finds on the node.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The root, as `root.path` words it.
    pub root: String,
    /// Text of the root's `/etc/passwd`.
    pub passwd: String,
    /// Text of the root's `/etc/group`.
    pub group: String,
    /// What is bound over files of the root's `/etc`.
    pub etc: EtcFiles,
    /// Namespaces that it joins, which are there already.
    pub joined: Vec<Namespace>,
    /// What of the node is its `/dev/shm`, when that is shared with another container.
    pub shm: String,
    /// The program of ours that may be its first process.
    pub init: String,
    /// Devices of the node that it is given.
    pub devices: Vec<HostDevice>,
    /// Open files that this node can give, when it may not give more than it has.
    pub most_files: Option<u64>,
    /// In place of the usual filter of system calls.
    pub profile: Option<Box<Profile>>,
    /// The node's kernel.
    pub kernel: Kernel,
    /// The pod whose container it is.
    pub sandbox: Option<Box<Sandbox>>,
}

/// A container's cgroup, relative to the hierarchy.
pub fn cgroup(key: &Name, sandbox: Option<&Sandbox>) -> String {
    format!("{}/{key}", sandbox.map_or(CONTAINER_CGROUP, |sandbox| &sandbox.cgroup))
}

/// Paths that a container cannot read, as Docker masks them.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths that a container cannot write.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The container's `config.json`.
///
/// # Errors
/// What of the configuration or the image cannot be done, in words.
pub fn config(
    name: &Name,
    container: &Container,
    image: &Defaults,
    around: &Surroundings,
) -> Result<Config, String> {
    let capabilities = match container.privileged {
        true => capabilities::set(&["ALL".to_owned()], &[])?,
        false => capabilities::set(&container.cap_add, &container.cap_drop)?,
    };
    let sandbox = around.sandbox.as_deref();
    let confined = !container.privileged;
    let has = |security| container.security.contains(&security);
    let unmasked = has(Security::SystemPathsUnconfined) || sandbox.is_some_and(|sandbox| sandbox.unmasked);
    let hidden = confined && !unmasked;
    let filtered = confined && !has(Security::SeccompUnconfined);
    let seccomp = match &around.profile {
        // Whoever gives one means it, of a privileged one as well.
        Some(own) => Some(own.filter(&capabilities, around.kernel)),
        None => filtered.then(|| filter(sandbox, &capabilities)),
    };
    let paths = |paths: &[&str]| paths.iter().filter(|_| hidden).map(|path| (*path).to_owned()).collect();
    let namespaces = namespaces(container, around);
    let mounts = mounts::mounts(container, around)?;
    // A mount that reaches the host does so by way of a root that it is shared with.
    let is_shared = |mount: &Mount| mount.options.iter().any(|own| own == "shared" || own == "rshared");
    let rootfs_propagation = if mounts.iter().any(is_shared) { "shared".to_owned() } else { String::new() };
    let mut resources = limits::resources(container)?;
    resources.devices = device_rules(container, around);
    resources.unified = sandbox.map(|sandbox| sandbox.unified.clone()).unwrap_or_default();
    Ok(Config {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process::process(name, container, image, around, &capabilities)?),
        root: Some(Root { path: around.root.clone(), readonly: container.read_only }),
        hostname: hostname(name, container, &namespaces),
        domainname: container.domainname.clone().unwrap_or_default(),
        annotations: container.annotations.clone(),
        mounts,
        linux: Some(Linux {
            resources: Some(resources),
            cgroups_path: format!("/{}", cgroup(name, sandbox)),
            namespaces,
            uid_mappings: ids(sandbox),
            gid_mappings: ids(sandbox),
            seccomp,
            masked_paths: paths(&MASKED),
            readonly_paths: paths(&READ_ONLY),
            devices: around.devices.iter().map(|own| own.device.clone()).collect(),
            sysctl: sysctl::checked(container)?,
            rootfs_propagation,
            ..Linux::default()
        }),
        ..Config::default()
    })
}

/// The host name that the container gives a namespace of its own.
fn hostname(name: &Name, container: &Container, namespaces: &[Namespace]) -> String {
    let own = namespaces.iter().any(|one| one.kind == NamespaceKind::Uts && one.path.is_none());
    if own { container.hostname.clone().unwrap_or_else(|| name.to_string()) } else { String::new() }
}

fn filter(sandbox: Option<&Sandbox>, capabilities: &BTreeSet<String>) -> Seccomp {
    let own = sandbox.and_then(|sandbox| sandbox.seccomp.clone());
    own.unwrap_or_else(|| seccomp::profile(capabilities))
}

/// Namespaces of the container's own, or of its pod: what it shares with the node is not among them.
fn namespaces(container: &Container, around: &Surroundings) -> Vec<Namespace> {
    let has_users = around.sandbox.as_ref().is_some_and(|sandbox| sandbox.users.is_some());
    let own = [
        (NamespaceKind::User, has_users),
        (NamespaceKind::Pid, container.pid != Pid::Host),
        (NamespaceKind::Network, container.network() != ContainerNetwork::Host),
        (NamespaceKind::Mount, true),
        (NamespaceKind::Ipc, container.ipc != Ipc::Host),
        (NamespaceKind::Uts, container.uts == Sharing::Private),
        (NamespaceKind::Cgroup, container.cgroup == Sharing::Private),
    ];
    let joined = |kind| around.joined.iter().find(|one| one.kind == kind).and_then(|one| one.path.clone());
    let of_pod = around.sandbox.as_ref().map_or(&[][..], |sandbox| &sandbox.namespaces);
    let is_pods = |kind| of_pod.iter().any(|one| one.kind == kind);
    let own = own.into_iter().filter(|(kind, own)| *own && !is_pods(*kind));
    let own = own.map(|(kind, _)| Namespace { kind, path: joined(kind) });
    own.chain(of_pod.iter().filter(|one| one.path.is_some()).cloned()).collect()
}

/// Users and groups of the user namespace of a pod that has one.
fn ids(sandbox: Option<&Sandbox>) -> Vec<IdMapping> {
    let first = sandbox.and_then(|sandbox| sandbox.users);
    first.map(|host_id| IdMapping { container_id: 0, host_id, size: IDS }).into_iter().collect()
}

/// Every device for a privileged one; else the harmless ones and those that it was given.
fn device_rules(container: &Container, around: &Surroundings) -> Vec<DeviceRule> {
    if container.privileged {
        let all = Some("rwm".to_owned());
        return vec![DeviceRule {
            allow: true,
            kind: Some("a".into()),
            access: all,
            ..DeviceRule::default()
        }];
    }
    let rule = |own: &HostDevice| DeviceRule {
        allow: true,
        kind: Some(own.device.kind.clone()),
        major: own.device.major,
        minor: own.device.minor,
        access: Some(own.access.clone()),
    };
    let mut rules = devices();
    rules.extend(around.devices.iter().map(rule));
    rules
}

/// No device but the harmless ones: null, zero, full, random, urandom, tty,
/// console. Nodes may be made (`m`); they cannot be opened.
fn devices() -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceRule {
        allow,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let harmless = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];
    let mut rules = vec![
        rule(false, "a", None, None, "rwm"),
        rule(true, "c", None, None, "m"),
        rule(true, "b", None, None, "m"),
        rule(true, "c", Some(136), None, "rwm"),
    ];
    rules.extend(harmless.map(|(major, minor)| rule(true, "c", Some(major), Some(minor), "rwm")));
    rules
}

#[cfg(test)]
mod tests;
