//! Waits for a log to grow, or to be rotated: by inotify(7), so that nobody looks in vain.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use tokio::net::unix::pipe;

/// Bytes that are read at once; an event takes 272 at most.
const PIECE: usize = 4096;

/// A watch on a log that may not be there yet.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    /// The same descriptor, for waiting. It is read as a pipe is.
    events: pipe::Receiver,
    path: PathBuf,
}

impl Watch {
    /// Watches from now on.
    ///
    /// # Errors
    /// Those of inotify: `EMFILE`, `ENOSPC` for too many watches.
    pub fn new(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        if let Some(folder) = path.parent() {
            let made = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            // A folder that is not there: the file is all that can be watched, once it is.
            let _ = inotify.add_watch(folder, made);
        }
        let events = pipe::Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
        let watch = Self { inotify, events, path: path.to_owned() };
        watch.watch_file();
        Ok(watch)
    }

    /// The file that has the name now; the same one twice is one watch.
    fn watch_file(&self) {
        let _ = self.inotify.add_watch(&self.path, AddWatchFlags::IN_MODIFY);
    }

    /// Waits until something may have changed since the last time. May be given up and begun again.
    ///
    /// # Errors
    /// Those of read(2).
    pub async fn changed(&self) -> io::Result<()> {
        self.events.readable().await?;
        // What happened is of no interest: the log is read again in any case.
        while self.events.try_read(&mut [0; PIECE]).is_ok_and(|length| length > 0) {}
        self.watch_file();
        Ok(())
    }
}
