//! Network namespaces that no process holds: each is a mount of itself on a file,
//! so that it is joined by path and gone when it is unmounted.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, statfs};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;
use sys::cause::cause;

const OWN: &str = "/proc/self/ns/net";
/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS: FsType = FsType(0x6e73_6673);

/// Whether a path is a namespace; a file that a killed program left is none.
pub fn is_one(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == NSFS)
}

/// Makes a namespace at a path, unless one is there.
///
/// # Errors
/// What could not be done, in words.
pub fn make(path: &Path) -> Result<(), String> {
    if is_one(path) {
        return Ok(());
    }
    let failed = |error: io::Error| format!("make network namespace {}: {}", path.display(), cause(&error));
    path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(path)).map_err(failed)?;
    let bind = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Ok(mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
    };
    elsewhere(bind).map_err(failed)
}

/// Runs in the namespace of a path. Only a program of one thread may.
///
/// # Errors
/// The namespace cannot be entered, or what was run failed.
pub fn inside<T>(path: &Path, run: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
    let there = File::open(path)?;
    elsewhere(|| {
        setns(&there, CloneFlags::CLONE_NEWNET)?;
        run(&there)
    })
}

/// Comes back to the namespace in which the program was, whatever happened.
fn elsewhere<T>(run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let home = File::open(OWN)?;
    let result = run();
    setns(&home, CloneFlags::CLONE_NEWNET)?;
    result
}

/// Lets a namespace go and removes its file; that there is none is no error.
///
/// # Errors
/// What could not be done, in words.
pub fn remove(path: &Path) -> Result<(), String> {
    while is_one(path) {
        umount2(path, MntFlags::MNT_DETACH)
            .map_err(|error| format!("unmount {}: {}", path.display(), cause(&error.into())))?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("remove {}: {}", path.display(), cause(&error)))
        }
        _ => Ok(()),
    }
}
