//! `cgroup.events` (cgroups(7)), which tells of its changes by POLLPRI.

use crate::kernel_file;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the kernel may take for what it was asked: a process in its depths stops or ends
/// when it leaves them.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the file of a cgroup's folder.
///
/// # Errors
/// Those of opening a file.
pub fn open(folder: &Path) -> io::Result<File> {
    File::open(folder.join("cgroup.events"))
}

/// Waits for a line such as `populated 0`.
///
/// # Errors
/// `TimedOut` after [`PATIENCE`]; those of reading the file.
pub fn wait_for(line: &str, mut events: File) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        events.rewind()?;
        if kernel_file::read_open(&mut events)?.lines().any(|one| one == line) {
            return Ok(());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout);
    }
}
