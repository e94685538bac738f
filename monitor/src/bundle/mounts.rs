//! `mounts`: Docker's default file systems; then the files that every container
//! finds in `/etc`, what the configuration asks for and what a pod gives, the outer before what lies in it, as Docker
//! and containerd do.

use super::Surroundings;
use crate::place;
use spec::bundle::Mount;
use spec::node::{self, Container, Ipc, Propagation};
use std::path::Path;

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

/// Where the first process of `init` lies, as the runtime knows it.
pub const INIT: &str = "/dev/init";

/// Size of `/dev/shm` when nobody says.
const SHM: u64 = 64 << 20;

/// Options of the tmpfs that is a container's `/dev/shm`.
pub fn shm_options(container: &Container) -> String {
    format!("mode=1777,size={}", container.shm_size.map_or(SHM, |size| size.0))
}

/// Docker's: destination, type, options; the source is the type.
fn usual(container: &Container, shm: &str) -> Vec<Mount> {
    let access = if container.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ];
    mounts.extend(match container.ipc {
        Ipc::Host => Some(bind("/dev/shm", "/dev/shm", false)),
        Ipc::Shareable | Ipc::Container(_) => Some(bind("/dev/shm", shm, false)),
        Ipc::Private => {
            let options = format!("nosuid,noexec,nodev,{}", shm_options(container));
            Some(mount("/dev/shm", "tmpfs", "tmpfs", &options))
        }
        Ipc::None => None,
    });
    mounts.extend([
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        mount("/sys", "sysfs", "sysfs", &format!("nosuid,noexec,nodev,{access}")),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &format!("nosuid,noexec,nodev,relatime,{access}")),
    ]);
    mounts
}

/// The container's mounts.
///
/// # Errors
/// A path of the configuration that is not absolute.
pub fn mounts(container: &Container, around: &Surroundings) -> Result<Vec<Mount>, String> {
    let Surroundings { etc, init, sandbox, shm, .. } = around;
    let of_pod = sandbox.as_ref().map_or(&[][..], |sandbox| &sandbox.mounts);
    let files = [
        ("/etc/resolv.conf", &etc.resolv_conf),
        ("/etc/hostname", &etc.hostname),
        ("/etc/hosts", &etc.hosts),
    ];
    let own = &container.mounts;
    let mut mounts = usual(container, shm);
    let targets = own.iter().map(node::Mount::target);
    let targets: Vec<&Path> =
        targets.chain(of_pod.iter().map(|mount| &*mount.destination)).map(Path::new).collect();
    // What is mounted at the same place comes instead.
    let taken = |at: &str| targets.contains(&Path::new(at));
    // Another /dev has in it what it has.
    let other_dev = taken("/dev");
    let gives_way = |at: &str| taken(at) || other_dev && at.starts_with("/dev/");
    mounts.retain(|mount| !gives_way(&mount.destination));
    let files = files.iter().filter(|(at, _)| !taken(at) && sandbox.is_none());
    let mut nested: Vec<Mount> = files.map(|(at, file)| bind(at, file, false)).collect();
    for mount in own {
        nested.push(one(mount)?);
    }
    nested.extend(of_pod.iter().cloned());
    // What is mounted on a folder hides what was mounted in it before.
    nested.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    mounts.extend(nested);
    if container.init {
        mounts.push(bind(INIT, init, true));
    }
    Ok(mounts)
}

fn one(asked: &node::Mount) -> Result<Mount, String> {
    let at = absolute(asked.target())?;
    match asked {
        node::Mount::Bind { source, read_only, propagation, .. } => {
            Ok(bound(at, absolute(source)?, *read_only, *propagation))
        }
        node::Mount::Volume { name, read_only, .. } => {
            Ok(bind(at, &place::volume(name).display().to_string(), *read_only))
        }
        node::Mount::Tmpfs { size, mode, uid, gid, exec, read_only, .. } => {
            let mode = mode.unwrap_or(0o1777);
            let mut options = format!("nosuid,nodev,mode={mode:o}");
            if let Some(size) = size {
                options.push_str(&format!(",size={}", size.0));
            }
            for (key, id) in [("uid", uid), ("gid", gid)] {
                if let Some(id) = id {
                    options.push_str(&format!(",{key}={id}"));
                }
            }
            if !exec {
                options.push_str(",noexec");
            }
            if *read_only {
                options.push_str(",ro");
            }
            Ok(mount(at, "tmpfs", "tmpfs", &options))
        }
    }
}

fn absolute(path: &str) -> Result<&str, String> {
    if path.starts_with('/') { Ok(path) } else { Err(format!("mount path {path:?} is not absolute")) }
}

fn bind(at: &str, source: &str, read_only: bool) -> Mount {
    bound(at, source, read_only, Propagation::default())
}

fn bound(at: &str, source: &str, read_only: bool, propagation: Propagation) -> Mount {
    // Nor what is mounted in it.
    let read_only = if read_only { ",rro" } else { "" };
    mount(at, "bind", source, &format!("rbind,{}{read_only}", propagation.name()))
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
