//! `mounts`: where each comes from and what is done to it.

use super::options::{self, COPY_UP};
use super::{Given, IdMap, Namespaces, Options, has, idmap, refuse, selinux};
use crate::error::Result;
use spec::bundle::{self, Linux, NamespaceKind};
use std::path::{Component, Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Its JSON path, for errors.
    pub name: String,
    /// Path in the container.
    pub destination: String,
    /// What is mounted.
    pub source: Source,
    /// How.
    pub options: Options,
    /// The destination must be a folder reached without a symbolic link: a `/proc`
    /// elsewhere would leave the masks in the wrong place (CVE-2019-16884).
    pub plain: bool,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or folder of the host.
    Bind {
        /// Absolute.
        path: String,
        /// With what is mounted below.
        recursive: bool,
    },
    /// The same with owners seen as others.
    Mapped {
        /// Absolute.
        path: String,
        /// With what is mounted below.
        recursive: bool,
        /// As which.
        ids: IdMap,
    },
    /// A file system.
    New {
        /// Its type.
        kind: String,
        /// A device or a free name.
        device: String,
    },
    /// A tmpfs that begins with a copy of what it covers.
    Copy {
        /// A free name.
        device: String,
    },
    /// What is mounted there already (`remount`).
    There {
        /// The file system is changed, not this mount of it alone.
        whole: bool,
    },
}

/// Every mount, in order.
pub fn mounts(
    mounts: &[bundle::Mount],
    linux: &Linux,
    namespaces: &Namespaces,
    given: &Given<'_>,
) -> Result<Vec<Mount>> {
    let one = |(place, mount): (usize, &bundle::Mount)| {
        let name = format!("mounts[{place}]");
        plan(&name, mount, linux, namespaces, given).map(|(source, options)| {
            let plain = matches!(&source, Source::New { kind, .. } if kind == "proc" || kind == "sysfs");
            Mount { destination: mount.destination.clone(), plain, name, source, options }
        })
    };
    mounts.iter().enumerate().map(one).collect()
}

fn plan(
    name: &str,
    mount: &bundle::Mount,
    linux: &Linux,
    namespaces: &Namespaces,
    given: &Given<'_>,
) -> Result<(Source, Options)> {
    if mount.destination.is_empty() {
        return Err(refuse::at(&format!("{name}.destination"), "is empty"));
    }
    let mut options = Options::new(&mount.options);
    if resolved(&mount.destination) == Path::new("/") && !options.remount {
        // What is resolved later is so in the root that it would cover.
        return Err(refuse::at(&format!("{name}.destination"), "is the root, which root.path is for"));
    }
    let is_cgroup = matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"));
    // The host's, in which root of the user namespace is nobody special (CVE-2023-25809).
    let is_hosts = is_cgroup && !has(linux, NamespaceKind::Cgroup);
    if is_hosts && (namespaces.maps_users() || (given.is_rootless)()) {
        options.read_only();
    }
    if let Some(refused) = options.refused.first() {
        return Err(refuse::at(&format!("{name}.options"), &format!("{refused} is not supported")));
    }
    let source = source(name, mount, &options, linux, namespaces, given.bundle)?;
    if mount.kind.as_deref() == Some("sysfs") && matches!(source, Source::Bind { .. }) {
        // A sysfs of its own would have nothing below: neither would it be writable there.
        options.read_only_below();
    }
    let source = match (source, idmap::of(name, mount, &options, namespaces)?) {
        (source, None) => source,
        (Source::Bind { path, recursive }, Some(ids)) => Source::Mapped { path, recursive, ids },
        _ => return Err(refuse::at(&format!("{name}.type"), "an idmapped mount is a bind mount")),
    };
    if matches!(source, Source::Bind { .. } | Source::Mapped { .. }) && covers_proc(&mount.destination) {
        let words = format!("{}: nothing may be bound there", mount.destination);
        return Err(refuse::at(&format!("{name}.destination"), &words));
    }
    if let Source::New { kind, .. } = &source {
        options.parameters.extend(selinux::context(kind, &linux.mount_label));
    }
    Ok((copied(name, mount, source)?, options))
}

fn copied(name: &str, mount: &bundle::Mount, source: Source) -> Result<Source> {
    match source {
        source if !options::each(&mount.options).any(|option| option == COPY_UP) => Ok(source),
        Source::New { kind, device } if kind == "tmpfs" => Ok(Source::Copy { device }),
        _ => Err(refuse::at(&format!("{name}.options"), &format!("{COPY_UP} goes with a tmpfs alone"))),
    }
}

fn source(
    name: &str,
    mount: &bundle::Mount,
    options: &Options,
    linux: &Linux,
    namespaces: &Namespaces,
    bundle: &str,
) -> Result<Source> {
    let kind = mount.kind.as_deref().unwrap_or("");
    if options.remount {
        return Ok(Source::There {
            whole: options.bind.is_none() && kind != "bind" && !is_hosts(kind, linux, namespaces),
        });
    }
    if let Some(recursive) = options.bind.or((kind == "bind").then_some(false)) {
        let path = mount.source.as_deref().unwrap_or("");
        if path.is_empty() {
            return Err(refuse::at(&format!("{name}.source"), "a bind mount has none"));
        }
        return Ok(Source::Bind { path: Path::new(bundle).join(path).display().to_string(), recursive });
    }
    // sysfs shows the network namespace's devices: only its owner may mount it.
    let new_network = namespaces.new.contains(&NamespaceKind::Network);
    Ok(match kind {
        "" => return Err(refuse::at(&format!("{name}.type"), "is missing")),
        "cgroup" | "cgroup2" if has(linux, NamespaceKind::Cgroup) => {
            Source::New { kind: "cgroup2".to_owned(), device: "cgroup".to_owned() }
        }
        // Its own path in `/proc/self/cgroup` counts from there.
        "cgroup" | "cgroup2" => Source::Bind { path: spec::paths::CGROUP.to_owned(), recursive: true },
        "sysfs" if namespaces.has_users() && !new_network => {
            Source::Bind { path: "/sys".to_owned(), recursive: true }
        }
        kind => {
            let device = mount.source.clone().filter(|source| !source.is_empty());
            Source::New { kind: kind.to_owned(), device: device.unwrap_or_else(|| kind.to_owned()) }
        }
    })
}

/// Whether a file system of the kernel's is the host's own, whoever mounts it; or, where it is a namespace's, that of one
/// that is not new.
fn is_hosts(kind: &str, linux: &Linux, namespaces: &Namespaces) -> bool {
    match kind {
        "cgroup" | "cgroup2" => true,
        "sysfs" => !namespaces.new.contains(&NamespaceKind::Network),
        "proc" => !has(linux, NamespaceKind::Pid),
        "mqueue" => !has(linux, NamespaceKind::Ipc),
        _ => false,
    }
}

/// Files of `/proc` that tell of resources, which a file system in the container's name may stand
/// for (lxcfs); as runc.
const MAY_BE_BOUND: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// Whether a bind mount would stand for a part of `/proc`, such as the file in which the
/// runtime sets a security profile.
fn covers_proc(destination: &str) -> bool {
    let path = resolved(destination);
    let below = path.strip_prefix("/proc").ok().filter(|below| !below.as_os_str().is_empty());
    below.is_some_and(|below| !MAY_BE_BOUND.iter().any(|known| below == Path::new(known)))
}

/// Where a destination leads to from the root, symbolic links aside.
pub fn resolved(destination: &str) -> PathBuf {
    let mut path = PathBuf::from("/");
    for part in Path::new(destination).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            _ => {}
        }
    }
    path
}
