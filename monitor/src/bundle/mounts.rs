//! `mounts`: Docker's default file systems, the files that every container
//! finds in `/etc`, and what the configuration asks for, in this order.

use crate::place;
use spec::bundle::Mount;
use spec::node;

/// Files on the node that are bound into the container's `/etc`.
#[derive(Clone, Debug, Default)]
pub struct EtcFiles {
    /// `resolv.conf`
    pub resolv_conf: String,
    /// `hosts`
    pub hosts: String,
    /// `hostname`
    pub hostname: String,
}

/// Destination, type, options; the source is the type.
const DEFAULT: [(&str, &str, &str); 7] = [
    ("/proc", "proc", "nosuid,noexec,nodev"),
    ("/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
];

/// The container's mounts.
///
/// # Errors
/// A path of the configuration that is not absolute.
pub fn mounts(own: &[node::Mount], etc: &EtcFiles) -> Result<Vec<Mount>, String> {
    let files = [
        ("/etc/resolv.conf", &etc.resolv_conf),
        ("/etc/hostname", &etc.hostname),
        ("/etc/hosts", &etc.hosts),
    ];
    let mut mounts: Vec<Mount> =
        DEFAULT.iter().map(|(at, kind, options)| mount(at, kind, kind, options)).collect();
    // What the configuration mounts at the same place comes instead.
    let taken = |at: &str| own.iter().any(|mount| mount.target() == at);
    mounts.retain(|mount| !taken(&mount.destination));
    mounts.extend(files.iter().filter(|(at, _)| !taken(at)).map(|(at, file)| bind(at, file, false)));
    for mount in own {
        mounts.push(one(mount)?);
    }
    Ok(mounts)
}

fn one(asked: &node::Mount) -> Result<Mount, String> {
    let at = absolute(asked.target())?;
    match asked {
        node::Mount::Bind { source, read_only, .. } => Ok(bind(at, absolute(source)?, *read_only)),
        node::Mount::Volume { name, read_only, .. } => {
            Ok(bind(at, &place::volume(name).display().to_string(), *read_only))
        }
        node::Mount::Tmpfs { size, .. } => {
            let size = size.map(|size| format!(",size={}", size.0)).unwrap_or_default();
            Ok(mount(at, "tmpfs", "tmpfs", &format!("nosuid,nodev,noexec,mode=1777{size}")))
        }
    }
}

fn absolute(path: &str) -> Result<&str, String> {
    if path.starts_with('/') { Ok(path) } else { Err(format!("mount path {path:?} is not absolute")) }
}

fn bind(at: &str, source: &str, read_only: bool) -> Mount {
    mount(at, "bind", source, if read_only { "rbind,rprivate,ro" } else { "rbind,rprivate" })
}

fn mount(at: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: at.to_owned(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: options.split(',').map(str::to_owned).collect(),
        ..Mount::default()
    }
}
