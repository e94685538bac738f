//! `tmpcopyup`: a tmpfs begins with a copy of what it covers.
//!
//! The tmpfs is not attached yet, so nobody else changes the copy. The original may
//! change at any time: it is read by descriptor, one name at a time, and no symbolic link is
//! followed. Files that are hard links of each other become files of their own.

use crate::error::{Context, Result};
use crate::plan::Options;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstat, fstatat, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::xattr;

const ITSELF: &str = ".";

/// Copies a folder into a tmpfs: all that is in it, and its own mode and owner where the
/// options do not say others.
pub fn fill(from: BorrowedFd<'_>, tmpfs: BorrowedFd<'_>, options: &Options) -> Result<()> {
    let words = || "copy what is there".to_owned();
    let given = |key: &str| options.parameters.iter().any(|parameter| parameter.starts_with(key));
    let source = open_folder(from, ITSELF.as_ref()).context(words)?;
    let about = fstat(&source).context(words)?;
    folder(source, tmpfs, Path::new(""))?;
    let uid = (!given("uid=")).then(|| Uid::from_raw(about.st_uid));
    let gid = (!given("gid=")).then(|| Gid::from_raw(about.st_gid));
    fchownat(tmpfs, ITSELF, uid, gid, AtFlags::empty()).context(words)?;
    if given("mode=") {
        return Ok(());
    }
    fchmodat(tmpfs, ITSELF, permissions(&about), FchmodatFlags::FollowSymlink).context(words)
}

fn folder(from: OwnedFd, to: BorrowedFd<'_>, at: &Path) -> Result<()> {
    let words = || format!("copy {}", at.display());
    let mut from = Dir::from_fd(from).context(words)?;
    for name in names(&mut from).context(words)? {
        one(from.as_fd(), to, &name, &at.join(&name))?;
    }
    Ok(())
}

fn names(folder: &mut Dir) -> nix::Result<Vec<OsString>> {
    let name = |entry: nix::dir::Entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
    let names = folder.iter().map(|entry| entry.map(name));
    names.filter(|name| !name.as_ref().is_ok_and(|name| name == "." || name == "..")).collect()
}

fn one(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, at: &Path) -> Result<()> {
    let words = || format!("copy {}", at.display());
    let about = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW).context(words)?;
    match kind(&about) {
        SFlag::S_IFDIR => return subfolder(from, to, name, at),
        SFlag::S_IFREG => file(from, to, name),
        SFlag::S_IFLNK => link(from, to, name, &about).map_err(io::Error::from),
        special => mknodat(to, name, special, Mode::empty(), about.st_rdev)
            .and_then(|()| dress(to, name, &about))
            .map_err(io::Error::from),
    }
    .context(words)
}

fn subfolder(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, at: &Path) -> Result<()> {
    let words = || format!("copy {}", at.display());
    let source = open_folder(from, name).context(words)?;
    let about = fstat(&source).context(words)?;
    mkdirat(to, name, Mode::S_IRWXU).context(words)?;
    let target = open_folder(to, name).context(words)?;
    let again = source.try_clone().context(words)?;
    folder(source, target.as_fd(), at)?;
    dress(to, name, &about).context(words)?;
    attributes(again.as_fd(), target.as_fd()).context(words)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    // Should it have become a FIFO meanwhile, this does not wait for its writer.
    let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let mut source = File::from(openat(from, name, read, Mode::empty())?);
    let about = fstat(&source)?;
    if kind(&about) != SFlag::S_IFREG {
        return Err(io::Error::other("it changed meanwhile"));
    }
    let make = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut target = File::from(openat(to, name, make, Mode::S_IWUSR)?);
    io::copy(&mut source, &mut target)?;
    dress(to, name, &about)?;
    attributes(source.as_fd(), target.as_fd())
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, about: &FileStat) -> nix::Result<()> {
    let text = readlinkat(from, name)?;
    symlinkat(text.as_os_str(), to, name)?;
    dress(to, name, about)
}

/// Owner, mode and times.
fn dress(to: BorrowedFd<'_>, name: &OsStr, about: &FileStat) -> nix::Result<()> {
    let owner = (Some(Uid::from_raw(about.st_uid)), Some(Gid::from_raw(about.st_gid)));
    fchownat(to, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if kind(about) != SFlag::S_IFLNK {
        // After the owner, a change of which takes set-user-ID away.
        fchmodat(to, name, permissions(about), FchmodatFlags::FollowSymlink)?;
    }
    let read = TimeSpec::new(about.st_atime, about.st_atime_nsec);
    let written = TimeSpec::new(about.st_mtime, about.st_mtime_nsec);
    utimensat(to, name, &read, &written, UtimensatFlags::NoFollowSymlink)
}

/// Extended attributes, file capabilities and ACLs among them, as far as a tmpfs has them
/// and this user namespace may set them.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    for name in xattr::names(from)? {
        match xattr::set(to, &name, &xattr::value(from, &name)?) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPERM)) => {}
            set => set?,
        }
    }
    Ok(())
}

fn open_folder(at: BorrowedFd<'_>, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits())
}

fn permissions(about: &FileStat) -> Mode {
    Mode::from_bits_truncate(about.st_mode)
}
