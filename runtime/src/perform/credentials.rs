//! Who a process is and what it may do: IDs, capabilities, profile, its outputs.

use super::files::{PROFILE, write_attribute};
use crate::error::{Context, Error, Result};
use crate::kernel_file;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{fstat, major, minor};
use nix::unistd::{Gid, Uid, fchown, setgroups, setresgid, setresuid};
use spec::bundle::User;
use std::os::fd::{AsFd, BorrowedFd};

/// Becomes the user, and keeps every capability until [`capabilities`].
pub fn user(user: &User) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    match setgroups(&groups) {
        // In a user namespace that denies it there is nothing to give up either.
        Err(Errno::EPERM) if groups.is_empty() => {}
        result => {
            result.context(|| format!("process.user.additionalGids: set {:?}", user.additional_gids))?
        }
    }
    setresgid(gid, gid, gid).context(|| format!("process.user.gid: become group {gid}"))?;
    if user.uid == 0 {
        return setresuid(uid, uid, uid).context(|| "process.user.uid: become user 0".into());
    }
    let words = || format!("process.user.uid: become user {uid}");
    let all = sys::capability::permitted().context(words)?;
    prctl::set_keepcaps(true).context(words)?;
    setresuid(uid, uid, uid).context(words)?;
    sys::capability::set(all, all, 0).context(words)
}

/// Gives up every capability that is not in these bits.
pub fn capabilities(effective: u64, permitted: u64, inheritable: u64, ambient: u64) -> Result<()> {
    let held = sys::capability::permitted().context(|| "process.capabilities: read".into())?;
    // What the caller does not hold cannot be given, of which it was warned.
    sys::capability::set(effective & held, permitted & held, inheritable & held)
        .context(|| "process.capabilities: set".into())?;
    if ambient == 0 {
        return Ok(());
    }
    sys::capability::set_ambient(ambient & held).context(|| "process.capabilities.ambient: set".into())
}

/// The outputs that the caller gave belong to the program's user, so that it may open
/// `/dev/stdout` again. `/dev/null` stays the host's.
pub fn own_outputs(uid: u32) -> Result<()> {
    if uid == 0 {
        return Ok(());
    }
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    [input.as_fd(), output.as_fd(), error.as_fd()].into_iter().try_for_each(|one| own(one, uid))
}

fn own(descriptor: BorrowedFd<'_>, uid: u32) -> Result<()> {
    let Ok(about) = fstat(descriptor) else { return Ok(()) };
    let is_null = (major(about.st_rdev), minor(about.st_rdev)) == (1, 3);
    if about.st_uid == uid || is_null {
        return Ok(());
    }
    match fchown(descriptor, Some(Uid::from_raw(uid)), None) {
        // A file system that has no owners, is read-only, or an owner that is not mapped.
        Err(Errno::EPERM | Errno::EROFS | Errno::EINVAL) => Ok(()),
        result => result.context(|| format!("give the output to user {uid}")),
    }
}

/// A signal that the caller ignores would be ignored by the program too: exec(2) keeps that.
pub fn default_signals() -> Result<()> {
    let status = kernel_file::read("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t"));
    // Where that cannot be read, whatever is.
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(u64::MAX);
    (1..=64).filter(|number| ignored >> (number - 1) & 1 == 1).for_each(sys::process::default_signal);
    Ok(())
}

/// The profile that the program will run under.
pub fn apparmor(profile: &str) -> Result<()> {
    let words = || format!("process.apparmorProfile: enter {profile:?}");
    if !std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|on| on.starts_with('Y'))
    {
        return Err(Error(format!("{}: AppArmor is not on", words())));
    }
    write_attribute(&PROFILE, format!("exec {profile}").as_bytes()).context(words)
}
