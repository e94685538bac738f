//! Nothing that is mounted stands for a part of `/proc`: the runtime sets profiles there, and masks lie on it
//! (CVE-2019-16884). The plan has refused what says so; here is what links of the image make of the rest, and what is
//! bound on the whole.

use crate::error::{Cause, Error, Result};
use crate::plan::{Covers, INSIDE_PROC, Mount, NOT_PROC, Source};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Checks where a mount is attached; `tree` is what is attached, if it is there before. Asks nothing of a mount that no
/// link may have led elsewhere.
///
/// # Errors
/// It would stand for a part of `/proc`, or be no procfs on all of it.
pub fn check(
    root: BorrowedFd<'_>,
    mount: &Mount,
    (target, by_link): (&OwnedFd, bool),
    tree: Option<&OwnedFd>,
) -> Result<()> {
    let written = Covers::of(&mount.destination);
    let covers = match (written, &mount.source) {
        _ if by_link => really(root, target)?,
        (Covers::All, Source::Bind { .. } | Source::Mapped { .. }) => written,
        _ => return Ok(()),
    };
    let refused = |why: &str| Err(Error(format!("{}: {why}", mount.destination)));
    match covers {
        Covers::Nothing => Ok(()),
        Covers::Part => refused(INSIDE_PROC),
        Covers::All if tree.map_or(Ok(false), is_proc)? => Ok(()),
        Covers::All => refused(NOT_PROC),
    }
}

/// By the path that the kernel has for it. Of a procfs whose path is not known, or which lies elsewhere, it is a part.
fn really(root: BorrowedFd<'_>, target: &OwnedFd) -> Result<Covers> {
    let path = |file: BorrowedFd<'_>| std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let below =
        path(root).and_then(|root| Ok(path(target.as_fd())?.strip_prefix(root).ok().map(PathBuf::from)));
    let below = below.ok().flatten();
    let covers =
        below.as_deref().map_or(Covers::Nothing, |below| Covers::of(&format!("/{}", below.display())));
    let is_known = below.is_some_and(|below| below.starts_with("proc"));
    Ok(if !is_known && is_proc(target)? { Covers::Part } else { covers })
}

fn is_proc(file: &OwnedFd) -> Result<bool> {
    let about = fstatfs(file).map_err(|error| Error(error.cause()))?;
    Ok(about.filesystem_type() == PROC_SUPER_MAGIC)
}
