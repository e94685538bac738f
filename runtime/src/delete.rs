//! `delete`: removes what is left of a container.

use crate::cgroup::folder;
use crate::error::{Context, Error, Result};
use crate::record::{Place, Record};
use crate::{perform, plan};
use nix::poll::{PollFd, PollFlags, poll};
use spec::bundle::{Hooks, Status};
use std::os::fd::AsFd;
use std::path::Path;

/// How long a killed process may take to end, in milliseconds: hundreds of containers that end at once on a busy machine
/// take long to take their namespaces down.
const PATIENCE: u16 = 60_000;

/// Removes a stopped container, or with `force` any, whatever state its creation
/// is in. Returns the failures of poststop hooks, which are only for the log
/// (`runtime.md`, Lifecycle 13).
///
/// # Errors
/// The container runs, or something could not be removed.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<Vec<Error>> {
    let place = Place::of(root, id);
    let record = match place.read(id) {
        Ok(record) => record,
        // Killed before it wrote anything: there is only the name.
        Err(_) if force && place.is_unwritten() => return place.remove().map(|()| Vec::new()),
        Err(error) if force => return remove_unread(&place, id, error).map(|()| Vec::new()),
        Err(error) => return Err(error),
    };
    match record.status(&place) {
        Status::Stopped | Status::Created => {}
        _ if force => {}
        status => {
            return Err(Error(format!(
                "container {id:?}: cannot delete one that is {status}; --force kills it"
            )));
        }
    }
    let hooks = place.config().unwrap_or_default().hooks.unwrap_or_default();
    remove(&place, &record, &hooks)
}

/// Removes a container whose record cannot be read: where its processes are, its configuration says. One of which that is
/// not known either is not forgotten, for it may run.
fn remove_unread(place: &Place, id: &str, unread: Error) -> Result<()> {
    let config = place.config().unwrap_or_default();
    let cgroup = config.linux.and_then(|linux| plan::cgroup_path(&linux, id).ok());
    // Before the lock is made it may be another's that is there.
    match cgroup.filter(|path| folder::of(path).is_dir() && place.file("created").exists()) {
        Some(path) => folder::clear(&path).and_then(|()| place.remove()),
        None => Err(unread),
    }
}

/// Ends the container and removes all that is left of it; returns the failures of poststop hooks.
///
/// # Errors
/// Something does not end or could not be removed.
pub fn remove(place: &Place, record: &Record, hooks: &Hooks) -> Result<Vec<Error>> {
    end_process(record)?;
    remove_ended(place, record, hooks)
}

/// Removes all that is left of a container whose first process has ended; returns the failures of poststop hooks.
///
/// # Errors
/// The same.
pub fn remove_ended(place: &Place, record: &Record, hooks: &Hooks) -> Result<Vec<Error>> {
    record.clear_cgroup(place)?;
    record.stop_scope()?;
    record.unmount()?;
    record.rdt.as_ref().map_or(Ok(()), |rdt| rdt.remove())?;
    place.remove()?;
    Ok(perform::run_all_hooks(&hooks.poststop, "hooks.poststop", &record.state(Status::Stopped)))
}

/// Ends the first process, and with it, in a PID namespace of its own, all others.
///
/// # Errors
/// It does not end.
pub fn end_process(record: &Record) -> Result<()> {
    let Some((process, held)) = record.process.and_then(|process| Some((process, process.open()?))) else {
        return Ok(());
    };
    let words = || format!("kill process {}", process.pid);
    match sys::pidfd::signal(held.as_fd(), libc::SIGKILL) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        sent => sent.context(words)?,
    }
    match poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], PATIENCE).context(words)? {
        0 => Err(Error(format!("{}: it does not end", words()))),
        _ => Ok(()),
    }
}
