//! Stopping and resuming all of a cgroup at once (cgroups(7), `cgroup.freeze`).

use super::events;
use super::folder::of;
use crate::error::{Context, Result};
use std::fs;

/// Freezes or thaws, and waits until it is so.
///
/// # Errors
/// There is no such cgroup; it takes too long, and is undone then.
pub fn set(path: &str, frozen: bool) -> Result<()> {
    let folder = of(path);
    let file = folder.join("cgroup.freeze");
    let word = if frozen { "1" } else { "0" };
    let words = || format!("write {word} to {}", file.display());
    // Opened before, so that no change is missed.
    let events = events::open(&folder).context(words)?;
    fs::write(&file, word).context(words)?;
    events::wait_for(&format!("frozen {word}"), events)
        .inspect_err(|_| drop(fs::write(&file, "0")))
        .context(words)
}
