//! Folders whose files somebody else writes.

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use spec::paths;
use std::fs;
use std::path::Path;
use sys::cause::cause;
use tokio::sync::watch;

/// Makes the folders that DaemonSets write into, and what the root's links lead to.
///
/// # Errors
/// One that cannot be made.
pub fn make_all() -> Result<(), String> {
    let targets = paths::WRITABLE.iter().filter(|(link, _)| fs::read_link(link).is_ok());
    let targets = targets.map(|(_, target)| *target);
    for folder in targets.chain([paths::CNI_NETWORKS, paths::CNI_PROGRAMS]) {
        fs::create_dir_all(folder).map_err(|error| format!("make {folder}: {}", cause(&error)))?;
    }
    Ok(())
}

/// Tells of each change of a folder, which is made if need be; by a thread of its own, which ends when nobody listens.
///
/// # Errors
/// Why it cannot be watched.
pub fn watch(folder: &Path) -> Result<watch::Receiver<()>, String> {
    let begun = || -> std::io::Result<Inotify> {
        fs::create_dir_all(folder)?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
        let events = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE;
        inotify.add_watch(folder, events)?;
        Ok(inotify)
    };
    let inotify = begun().map_err(|error| cause(&error))?;
    let (sender, changes) = watch::channel(());
    std::thread::spawn(move || while inotify.read_events().is_ok() && sender.send(()).is_ok() {});
    Ok(changes)
}
