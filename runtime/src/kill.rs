//! `kill`: sends a signal to a container.

use crate::cgroup::folder;
use crate::error::{Context, Error, Result};
use crate::record::Place;
use spec::bundle::{Config, NamespaceKind, Status};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Sends a signal to the first process, or to all.
///
/// # Errors
/// There is no such signal; the container is neither created nor running.
pub fn kill(root: &Path, id: &str, signal: &str, all: bool) -> Result<()> {
    let signal = number(signal)?;
    let place = Place::of(root, id);
    let record = place.read(id)?;
    let status = record.status(&place);
    // With a first process of its own a PID namespace ends whole.
    let all = all || signal == libc::SIGKILL && !has_own_processes(&place.config()?);
    if all
        && let Some(cgroup) = &record.cgroup
        && record.has_own_cgroup(&place)
    {
        return send_all(cgroup, signal).context(|| format!("container {id:?}: send signal {signal}"));
    }
    if !matches!(status, Status::Created | Status::Running | Status::Paused) {
        return Err(Error(format!("container {id:?}: container not running, it is {status}")));
    }
    let process = record.process.and_then(|process| process.open());
    let process = process.ok_or_else(|| Error(format!("container {id:?}: container not running")))?;
    sys::pidfd::signal(process.as_fd(), signal).context(|| format!("container {id:?}: send signal {signal}"))
}

fn has_own_processes(config: &Config) -> bool {
    let mut namespaces = config.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces.any(|one| one.kind == NamespaceKind::Pid && one.path.as_deref().unwrap_or_default().is_empty())
}

/// To every process of the cgroup, those that are born meanwhile too if it ends them (`cgroup.kill` of cgroups(7)).
fn send_all(cgroup: &str, signal: i32) -> io::Result<()> {
    if signal == libc::SIGKILL {
        match fs::write(folder::of(cgroup).join("cgroup.kill"), "1") {
            // Before Linux 5.14, or none of its processes is there any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
    }
    folder::processes(cgroup).into_iter().for_each(|pid| drop(sys::process::kill(pid, signal)));
    Ok(())
}

/// A signal's number by its name, with or without `SIG`, or by itself; 0 asks whether there is
/// somebody to send one to (kill(2)).
///
/// # Errors
/// There is none.
pub fn number(text: &str) -> Result<i32> {
    if text.parse() == Ok(0) {
        return Ok(0);
    }
    spec::signal::number(text).map_err(|_| Error(format!("signal {text:?}: there is none")))
}

#[cfg(test)]
mod tests {

    #[test]
    fn names_and_numbers_are_understood() {
        for (text, number) in
            [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigint", 2), ("RTMIN+3", 37), ("SIGRTMAX", 64)]
        {
            assert_eq!(super::number(text), Ok(number), "{text}");
        }
        for text in ["", "FLY", "65", "-1", "RTMIN+31", "RTMIN-1", "RTMIN+2147483647"] {
            assert!(super::number(text).is_err(), "{text}");
        }
    }
}
