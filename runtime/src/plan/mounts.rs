//! `mounts`: where each comes from and what is done to it.

use super::options::{self, COPY_UP};
use super::{Given, IdMap, Namespaces, Options, has, idmap, refuse, selinux};
use crate::error::Result;
use spec::bundle::{self, Linux, NamespaceKind};
use std::os::unix::ffi::OsStrExt;
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
    if is_hosts && (namespaces.has_users() || (given.is_rootless)()) {
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
    check_proc(&mount.destination, &source).map_err(|why| {
        refuse::at(&format!("{name}.destination"), &format!("{}: {why}", mount.destination))
    })?;
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

/// Why nothing is mounted on a part of `/proc`, in runc's words.
pub const INSIDE_PROC: &str = "cannot be mounted because it is inside /proc";
/// The same of what is no procfs on the whole.
pub const NOT_PROC: &str = "cannot be mounted because it is not of type proc";

/// What of `/proc` a mount at a path of the container stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// Nothing, or what may be bound.
    Nothing,
    /// A part, such as the file in which the runtime sets a security profile.
    Part,
    /// All of it.
    All,
}

impl Covers {
    /// Of a path in which no symbolic link is followed any more.
    pub fn of(destination: &str) -> Self {
        let path = resolved(destination);
        let Ok(below) = path.strip_prefix("/proc") else { return Self::Nothing };
        // `net` is a link to a process's own.
        let own = below
            .components()
            .next()
            .filter(|first| first.as_os_str().as_bytes().iter().all(u8::is_ascii_digit));
        let network =
            own.and_then(|number| below.strip_prefix(number).ok()).filter(|rest| rest.starts_with("net"));
        let below = network.unwrap_or(below);
        match below.to_str() {
            Some("") => Self::All,
            Some(known) if MAY_BE_BOUND.contains(&known) => Self::Nothing,
            _ => Self::Part,
        }
    }
}

/// As the destination is written. What links make of it is seen once it is open; so is what a bind mount on the whole is.
fn check_proc(destination: &str, source: &Source) -> std::result::Result<(), &'static str> {
    match (Covers::of(destination), source) {
        (_, Source::There { .. }) | (Covers::Nothing, _) => Ok(()),
        (Covers::Part, _) => Err(INSIDE_PROC),
        (Covers::All, Source::New { kind, .. }) if kind == "proc" => Ok(()),
        (Covers::All, Source::Bind { .. } | Source::Mapped { .. }) => Ok(()),
        (Covers::All, _) => Err(NOT_PROC),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_proc_what_tells_of_resources_may_be_covered() {
        let of = |paths: &[&str], covers| paths.iter().all(|path| Covers::of(path) == covers);
        assert!(of(&["/proc", "proc/", "/a/../proc", "/proc/self/.."], Covers::All));
        assert!(of(
            &["/", "/process", "/p/proc", "/proc/../p", "/proc/stat", "/proc/9/net/dev"],
            Covers::Nothing
        ));
        assert!(of(&["/proc/tty", "/proc/9", "/proc/9/net", "/proc/9/stat", "/proc/stat/a"], Covers::Part));
    }

    #[test]
    fn a_new_file_system_on_proc_is_a_procfs() {
        let new = |kind: &str| Source::New { kind: kind.into(), device: kind.into() };
        assert_eq!(check_proc("/proc", &new("proc")), Ok(()));
        assert_eq!(check_proc("/proc", &new("tmpfs")), Err(NOT_PROC));
        assert_eq!(check_proc("/proc", &Source::Copy { device: "tmpfs".into() }), Err(NOT_PROC));
        assert_eq!(check_proc("/proc/tty", &new("tmpfs")), Err(INSIDE_PROC));
        assert_eq!(check_proc("/proc/tty", &Source::There { whole: false }), Ok(()));
    }
}
