//! Stopping and resuming all of a cgroup at once (cgroups(7), `cgroup.freeze`).

use super::folder::of;
use crate::error::{Context, Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long freezing may take: a process in the kernel's depths stops when it leaves them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Freezes or thaws, and waits until it is so.
///
/// # Errors
/// There is no such cgroup; it takes too long, and is undone then.
pub fn set(path: &str, frozen: bool) -> Result<()> {
    let folder = of(path);
    let word = if frozen { "1" } else { "0" };
    let words = || format!("write {word} to {}", folder.join("cgroup.freeze").display());
    let events = File::open(folder.join("cgroup.events")).context(words)?;
    fs::write(folder.join("cgroup.freeze"), word).context(words)?;
    if wait(events, &format!("frozen {word}")).context(words)? {
        return Ok(());
    }
    let _ = fs::write(folder.join("cgroup.freeze"), "0");
    Err(Error(format!("{}: it is not so after {} s", words(), PATIENCE.as_secs())))
}

/// Waits for a line of `cgroup.events`, which tells of its changes by POLLPRI.
fn wait(mut events: File, line: &str) -> io::Result<bool> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut text = String::new();
        events.rewind()?;
        events.read_to_string(&mut text)?;
        let left = end.saturating_duration_since(Instant::now());
        if text.lines().any(|one| one == line) || left.is_zero() {
            return Ok(!left.is_zero());
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout);
    }
}
