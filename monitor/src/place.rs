//! Where the monitor keeps things, and how it writes them.
//!
//! ```text
//! /run/skerry/monitor/            gone with the boot
//! ├── status                      a line per container, for people and tests
//! ├── mark                        what is on the desk (see `log`)
//! ├── check.log                   what a check of the store found
//! ├── resolv.conf                 the node's, as containers were given it last (see `etc`)
//! └── containers/NAME/
//!     ├── record                  what is known of it, JSON (`life::Observed`)
//!     ├── definition              a copy of what lies on the data disk
//!     ├── config.json             the bundle
//!     ├── root/                   its root is mounted here
//!     ├── memory/                 what it writes while the data disk takes nothing
//!     ├── shm/                    its /dev/shm, when others may have it
//!     ├── typist                  the instance whose input ends with the client that gives it some
//!     ├── pid                     written by `skerry-runtime create`
//!     ├── network*                what `skerry-network` is asked and answers (see `network`)
//!     ├── pull.log                why its image was not fetched
//!     ├── fill.log                why its volumes were not made
//!     └── runtime.log             why a verb of the runtime did not work
//! /run/skerry/monitor/sessions/ID/ a program that `exec` runs (see `session`)
//! /run/skerry/layers/             the mounted layers of all images in use (see the store)
//! /var/lib/skerry/definitions/    KEY.json: containers that persons asked for
//! /var/lib/skerry/volumes/        NAME/data: volumes
//! /var/lib/skerry/containers/     on the data disk
//! ├── NAME/                       what the instance writes: to its root, and
//! │   └── etc/                    hosts, hostname, resolv.conf, bound into its /etc
//! └── .old/                       of instances that are gone; being removed
//! /var/log/skerry/containers/     NAME.log, NAME.log.1
//! ```
//!
//! `NAME` is the name of a container of `node.toml`, and the key of one that a person asked
//! for.
//!
//! All but the logs' folders are for root alone ([`make_all`]).
//!
//! Every file that is read again is replaced by one rename, so it is the old
//! one or the new one whenever the monitor is killed.

use crate::log;
use spec::node::Name;
use spec::paths;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Makes the folders, also those that are needed once the disk is full. What lies in most of them is for root alone: it belongs to containers, their secrets and their
/// programs with set-user-ID bits, which are for nobody else to run. Whose root is not the node's goes through the rest
/// to a container's own folder.
///
/// # Errors
/// The folder, and why it cannot be made.
pub fn make_all() -> Result<(), String> {
    let named = |folder: &Path, error: io::Error| format!("make {}: {}", folder.display(), cause(&error));
    for folder in [layers(), paths::VOLUMES.into(), writable(), old(), definitions(), sessions()] {
        sys::file::make_private(&folder, None).map_err(|error| named(&folder, error))?;
    }
    let containers = containers();
    fs::create_dir_all(&containers).map_err(|error| named(&containers, error))
}

/// One line per container.
pub fn status() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("status")
}

/// What is on the desk.
pub fn mark() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("mark")
}

/// What the last check of the store said.
pub fn check_log() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("check.log")
}

/// The node's `resolv.conf`, as containers were given it last.
pub fn resolv_conf() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("resolv.conf")
}

/// One folder per container.
pub fn containers() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("containers")
}

/// A container's folder; its bundle, too.
pub fn folder(name: &Name) -> PathBuf {
    containers().join(&**name)
}

/// Where what a container writes lies while the data disk is full, or can only be read.
pub fn in_memory(name: &Name) -> PathBuf {
    folder(name).join("memory")
}

/// Where the `/dev/shm` of a container is mounted that others may have.
pub fn shm(name: &Name) -> PathBuf {
    folder(name).join("shm")
}

/// Mount point of a container's root.
pub fn root(name: &Name) -> PathBuf {
    folder(name).join("root")
}

/// What containers write to their roots.
pub fn writable() -> PathBuf {
    Path::new(paths::DATA).join("lib/skerry/containers")
}

/// The files that are bound into a container's `/etc`: where what it writes lies, which may be in memory.
pub fn etc(name: &Name) -> PathBuf {
    let memory = in_memory(name);
    let written = if memory.join("upper").exists() { memory } else { writable().join(&**name) };
    written.join("etc")
}

/// Where what is no longer needed waits for its removal. No container can be
/// called so.
pub fn old() -> PathBuf {
    writable().join(".old")
}

/// Containers that persons asked for.
pub fn definitions() -> PathBuf {
    Path::new(paths::DATA).join("lib/skerry/definitions")
}

/// A folder per session.
pub fn sessions() -> PathBuf {
    Path::new(paths::MONITOR_ROOT).join("sessions")
}

/// Where the layers of all containers' images are mounted.
pub fn layers() -> PathBuf {
    paths::LAYERS.into()
}

/// A container's log: where the entry in the folder of all logs leads, or that itself. Whoever looks after logs may
/// have put the entry there, so it leads to logs alone.
pub fn log(name: &Name) -> PathBuf {
    let entry = log_entry(name);
    std::fs::read_link(&entry).ok().filter(|path| path.starts_with(log::ROOT)).unwrap_or(entry)
}

/// A container's entry in the folder of all logs: its log, or a link to where somebody else wants it.
pub fn log_entry(name: &Name) -> PathBuf {
    Path::new(paths::LOG).join("containers").join(format!("{name}.log"))
}

/// Has a container's log lie there from now on, unless it lies somewhere already.
///
/// # Errors
/// Those of mkdir(2) and symlink(2); it is not among the node's logs.
pub fn put_log(name: &Name, path: &Path) -> io::Result<()> {
    if !path.starts_with(log::ROOT) {
        return Err(io::Error::other(format!("it is not below {}", log::ROOT)));
    }
    let entry = log_entry(name);
    if entry.symlink_metadata().is_ok() {
        return Ok(());
    }
    entry.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::os::unix::fs::symlink(path, entry)
}

/// What a named volume holds.
pub fn volume(name: &Name) -> PathBuf {
    spec::volume::data(name)
}
