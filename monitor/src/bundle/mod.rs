//! A container's `config.json`, from the node's configuration and the image's,
//! with Docker's defaults where both are silent.
//!
//! All here is a function of values; what lies on the node (the image's
//! `/etc/passwd`, the files bound into `/etc`) comes in as [`Surroundings`].
//! The network is the node's own for now, so no network namespace is made and
//! ports need no publishing.

mod capabilities;
mod mounts;
mod process;
mod seccomp;
mod signal;
mod user;

pub use mounts::EtcFiles;
pub use signal::stop_signal;

use spec::bundle::{
    Config, Cpu, DeviceRule, Linux, Memory, Namespace, NamespaceKind, OCI_VERSION, Pids, Resources, Root,
};
use spec::node::{Container, Name};
use spec::paths::CONTAINER_CGROUP;

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

/// Namespaces of the container's own.
const NAMESPACES: [NamespaceKind; 5] =
    [NamespaceKind::Pid, NamespaceKind::Mount, NamespaceKind::Ipc, NamespaceKind::Uts, NamespaceKind::Cgroup];

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
    let capabilities = capabilities::set(&container.cap_add, &container.cap_drop)?;
    Ok(Config {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process::process(name, container, image, around, &capabilities)?),
        root: Some(Root { path: around.root.clone(), readonly: container.read_only }),
        hostname: name.to_string(),
        mounts: mounts::mounts(&container.mounts, &around.etc)?,
        linux: Some(Linux {
            resources: Some(resources(container)?),
            cgroups_path: format!("/{CONTAINER_CGROUP}/{name}"),
            namespaces: NAMESPACES.map(|kind| Namespace { kind, path: None }).into(),
            seccomp: Some(seccomp::profile(&capabilities)),
            masked_paths: MASKED.map(str::to_owned).into(),
            readonly_paths: READ_ONLY.map(str::to_owned).into(),
            ..Linux::default()
        }),
        ..Config::default()
    })
}

/// The period in which processor time is shared out, in microseconds.
const PERIOD: u64 = 100_000;

fn resources(container: &Container) -> Result<Resources, String> {
    let memory = container.memory.map(|bytes| i64::try_from(bytes.0).unwrap_or(i64::MAX));
    Ok(Resources {
        devices: devices(),
        memory: memory.map(|limit| Memory { limit: Some(limit), ..Memory::default() }),
        cpu: container.cpus.map(cpu).transpose()?,
        pids: container.pids.map(|pids| Pids { limit: Some(i64::from(pids)) }),
        ..Resources::default()
    })
}

fn cpu(cpus: f64) -> Result<Cpu, String> {
    // The kernel's least quota is a millisecond.
    if !(0.01..=8192.0).contains(&cpus) {
        return Err(format!("cpus = {cpus}: not between 0.01 and 8192"));
    }
    let quota = (cpus * PERIOD as f64).round() as i64;
    Ok(Cpu { quota: Some(quota), period: Some(PERIOD), ..Cpu::default() })
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
