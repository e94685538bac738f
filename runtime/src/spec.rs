//! `spec`: a config.json to begin with, as runc's.

use crate::error::{Context, Error, Result};
use spec::bundle::{
    Capabilities, Config, DeviceRule, IdMapping, Linux, Mount, Namespace, NamespaceKind, OCI_VERSION,
    Process, Resources, Rlimit, Root,
};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Destination, type, source, options.
const MOUNTS: [(&str, &str, &str, &str); 7] = [
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

const MASKED: &str = "/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
                      /proc/timer_stats /proc/sched_debug /sys/firmware /proc/scsi";
const READ_ONLY: &str = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger";

/// Writes `config.json` into a folder that has none; one for the caller if it is not root.
///
/// # Errors
/// There is one; those of writing a file.
pub fn spec(bundle: &Path, rootless: bool) -> Result<()> {
    let path = bundle.join("config.json");
    let words = || format!("write {}", path.display());
    let mut config = config();
    if rootless {
        make_rootless(&mut config, nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    }
    let text = serde_json::to_string_pretty(&config).context(words)?;
    match File::create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error(format!("{} is there already", path.display())))
        }
        file => file.and_then(|mut file| writeln!(file, "{text}")).context(words),
    }
}

fn config() -> Config {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let deny = DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() };
    Config {
        oci_version: OCI_VERSION.to_owned(),
        process: Some(process()),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "skerry".into(),
        mounts: MOUNTS.iter().map(mount).collect(),
        linux: Some(Linux {
            resources: Some(Resources { devices: vec![deny], ..Resources::default() }),
            namespaces: [Pid, Network, Ipc, Uts, Mount, Cgroup]
                .map(|kind| Namespace { kind, path: None })
                .into(),
            masked_paths: MASKED.split_whitespace().map(str::to_owned).collect(),
            readonly_paths: READ_ONLY.split_whitespace().map(str::to_owned).collect(),
            ..Linux::default()
        }),
        ..Config::default()
    }
}

/// As runc does: the caller is root of a user namespace, in the host's network, whose `/sys`
/// it sees, and without limits.
fn make_rootless(config: &mut Config, uid: u32, gid: u32) {
    let Some(linux) = config.linux.as_mut() else { return };
    let only = |host_id| vec![IdMapping { container_id: 0, host_id, size: 1 }];
    (linux.uid_mappings, linux.gid_mappings) = (only(uid), only(gid));
    linux.resources = None;
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    for mount in &mut config.mounts {
        // Nobody else is there to own anything.
        mount.options.retain(|option| !option.starts_with("gid="));
        if mount.kind.as_deref() == Some("sysfs") {
            (mount.kind, mount.source) = (Some("none".into()), Some("/sys".into()));
            mount.options = ["rbind", "nosuid", "noexec", "nodev", "rro"].map(str::to_owned).into();
        }
    }
}

fn process() -> Process {
    let held: Vec<String> = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"].map(str::to_owned).into();
    Process {
        terminal: true,
        args: vec!["sh".into()],
        env: vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
            "TERM=xterm".into(),
        ],
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: held.clone(),
            effective: held.clone(),
            permitted: held,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), hard: 1024, soft: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    }
}

fn mount((destination, kind, source, options): &(&str, &str, &str, &str)) -> Mount {
    Mount {
        destination: (*destination).to_owned(),
        kind: Some((*kind).to_owned()),
        source: Some((*source).to_owned()),
        options: options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect(),
        ..Mount::default()
    }
}
