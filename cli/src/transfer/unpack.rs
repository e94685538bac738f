//! What an archive has, into a folder.
//!
//! The archive is a container's, and so may be what lies in the folder from a copy before. Each entry is made from
//! its folder's descriptor, in the place of whatever had its name and was no folder.

use super::text;
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::libc;
use nix::sys::stat::{
    Mode, SFlag, UtimensatFlags, fchmod, futimens, makedev, mkdirat, mknodat, umask, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use store::erofs::Device;
use store::tar::{Entry, Kind, Reader};

/// Whose links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Nobody's: below the target they may be a container's, and lead anywhere on this machine.
    Nobodys,
    /// The container's that we have entered: they lead nowhere but within it.
    Its,
}

/// Where what an archive has goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    folder: PathBuf,
    /// The name of what comes, in place of its own.
    name: Option<PathBuf>,
    /// It must be a folder.
    slash: bool,
    links: Links,
}

/// Where it goes, in Docker's way: into a folder that is there, else under this name.
///
/// # Errors
/// The folder above it is missing.
pub fn target(path: &Path, links: Links) -> Result<Target> {
    if path.is_dir() {
        return Ok(Target { folder: path.to_owned(), name: None, slash: false, links });
    }
    let slash = text(path).ends_with('/');
    let path = if links == Links::Its { led(path) } else { path.to_owned() };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::new(format!("{}: there is no such folder", folder.display())));
    }
    Ok(Target { folder: folder.to_owned(), name: path.file_name().map(PathBuf::from), slash, links })
}

/// Where the link at a path leads, though nothing may be there.
fn led(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // As many as path_resolution(7) follows.
    for _ in 0..40 {
        let Ok(to) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(to);
    }
    path
}

/// Takes everything out of an archive. Owners are root's, or with `archive` as they were. On this machine devices and what lets
/// others act in a file's name come with `archive` alone: a container makes them as it likes, and cannot use them itself.
///
/// # Errors
/// Which entry cannot be written, or leads out.
pub fn unpack(target: &Target, archive: bool, from: impl Read) -> Result<()> {
    // Modes are given in full.
    umask(Mode::empty());
    let place = Place::open(target, archive)
        .map_err(|error| Error::new(format!("open {}: {}", target.folder.display(), cause(&error))))?;
    let mut reader = Reader::new(from);
    // A folder's time and mode are given to it when all that is in it is there.
    let mut folders = Vec::new();
    while let Some(entry) =
        reader.next_entry().map_err(|error| Error::new(format!("read the archive: {error}")))?
    {
        let name = renamed(path(&entry.path), target.name.as_deref())?;
        if target.slash && folders.is_empty() && entry.kind != Kind::Directory {
            return Err(Error::new(format!("{}/: is not a folder", target.folder.join(&name).display())));
        }
        let link = match entry.kind {
            Kind::HardLink => renamed(path(&entry.link), target.name.as_deref())?,
            _ => path(&entry.link).to_owned(),
        };
        place.put(&name, &entry, &link, reader.content()).map_err(|error| place.wrong(&name, &error))?;
        if entry.kind == Kind::Directory {
            folders.push((name, entry));
        }
    }
    // Whoever writes the archive ends it with blocks that say nothing.
    let _ = io::copy(&mut reader.into_inner(), &mut io::sink());
    let dress = |(name, entry): &(PathBuf, Entry)| {
        place.dress_folder(name, entry).map_err(|error| place.wrong(name, &error))
    };
    folders.iter().rev().try_for_each(dress)
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// How a folder is opened.
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A folder that is written to.
struct Place<'t> {
    target: &'t Target,
    folder: OwnedFd,
    resolve: ResolveFlag,
    archive: bool,
}

impl<'t> Place<'t> {
    fn open(target: &'t Target, archive: bool) -> io::Result<Self> {
        // The target is a person's word, and what is below it nobody's. A container's links of /proc lead out of it.
        let (first, resolve) = match target.links {
            Links::Nobodys => {
                (ResolveFlag::empty(), ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS)
            }
            Links::Its => (ResolveFlag::RESOLVE_NO_MAGICLINKS, ResolveFlag::RESOLVE_NO_MAGICLINKS),
        };
        let folder = openat2(AT_FDCWD, &target.folder, OpenHow::new().flags(FOLDER).resolve(first))?;
        Ok(Self { target, folder, resolve, archive })
    }

    fn wrong(&self, name: &Path, error: &io::Error) -> Error {
        Error::new(format!("write {}: {}", self.target.folder.join(name).display(), cause(error)))
    }

    /// Makes what an entry says; a folder is to be dressed later.
    fn put(&self, name: &Path, entry: &Entry, link: &Path, mut content: impl Read) -> io::Result<()> {
        if entry.kind == Kind::Directory {
            return self.folder(name, Mode::S_IRWXU).map(drop);
        }
        let (above, last) = self.above(name)?;
        match unlinkat(&above, last, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        if self.is_withheld(entry) {
            let path = self.target.folder.join(name);
            eprintln!("skerry: {}: a device, which --archive brings", path.display());
            return Ok(());
        }
        match entry.kind {
            Kind::File => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
                let mut file = File::from(openat(&above, last, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
                io::copy(&mut content, &mut file)?;
                return self.dress(&file, entry);
            }
            Kind::HardLink => {
                let (folder, first) = self.above(link)?;
                return Ok(linkat(folder, first, above, last, AtFlags::empty())?);
            }
            Kind::Device(device) => {
                let (kind, number) = node(device);
                mknodat(&above, last, kind, Mode::from_bits_truncate(self.mode(entry)), number)?;
            }
            Kind::Symlink | Kind::Directory => symlinkat(link, &above, last)?,
        }
        if self.archive {
            fchownat(&above, last, owner(entry), group(entry), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        let time = time(entry);
        Ok(utimensat(above, last, &TimeSpec::UTIME_OMIT, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Opens a folder, which is made if need be.
    fn folder(&self, name: &Path, mode: Mode) -> io::Result<OwnedFd> {
        match (self.existing(name), name.file_name()) {
            (Err(Errno::ENOENT), Some(last)) => {
                let above =
                    self.folder(name.parent().unwrap_or(Path::new("")), Mode::from_bits_truncate(0o755))?;
                match mkdirat(above, last, mode) {
                    Ok(()) | Err(Errno::EEXIST) => Ok(self.existing(name)?),
                    Err(error) => Err(error.into()),
                }
            }
            (opened, _) => Ok(opened?),
        }
    }

    fn existing(&self, name: &Path) -> nix::Result<OwnedFd> {
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        openat2(self.folder.as_fd(), name, OpenHow::new().flags(FOLDER).resolve(self.resolve))
    }

    /// The folder that something lies in, and its name there.
    fn above<'n>(&self, name: &'n Path) -> io::Result<(OwnedFd, &'n OsStr)> {
        let last = name.file_name().ok_or(Errno::EISDIR)?;
        let above = name.parent().unwrap_or(Path::new(""));
        Ok((self.folder(above, Mode::from_bits_truncate(0o755))?, last))
    }

    /// The target itself stays as it is.
    fn dress_folder(&self, name: &Path, entry: &Entry) -> io::Result<()> {
        if name.file_name().is_none() {
            return Ok(());
        }
        self.dress(&self.existing(name)?.into(), entry)
    }

    fn dress(&self, file: &File, entry: &Entry) -> io::Result<()> {
        if self.archive {
            fchown(file, owner(entry), group(entry))?;
        }
        fchmod(file, Mode::from_bits_truncate(self.mode(entry)))?;
        Ok(futimens(file, &TimeSpec::UTIME_OMIT, &time(entry))?)
    }

    /// A device would be for all who may open it here.
    fn is_withheld(&self, entry: &Entry) -> bool {
        let is_device = matches!(entry.kind, Kind::Device(Device::Character(..) | Device::Block(..)));
        is_device && self.target.links == Links::Nobodys && !self.archive
    }

    /// Where the owner becomes root, or this machine's root, what it let others do in its name is not done in root's.
    fn mode(&self, entry: &Entry) -> u32 {
        let mut mode = u32::from(entry.mode);
        let here = self.target.links == Links::Nobodys;
        if !self.archive && (here || entry.uid != 0) {
            mode &= !libc::S_ISUID;
        }
        if !self.archive && (here || entry.gid != 0) {
            mode &= !libc::S_ISGID;
        }
        mode
    }
}

fn cause(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ELOOP) => "a symbolic link is in the way".to_owned(),
        _ => sys::cause::cause(error),
    }
}

fn owner(entry: &Entry) -> Option<Uid> {
    Some(Uid::from_raw(entry.uid))
}

fn group(entry: &Entry) -> Option<Gid> {
    Some(Gid::from_raw(entry.gid))
}

fn time(entry: &Entry) -> TimeSpec {
    TimeSpec::new(entry.mtime.seconds, entry.mtime.nanoseconds.into())
}

fn node(device: Device) -> (SFlag, u64) {
    let number = |major: u32, minor: u32| makedev(major.into(), minor.into());
    match device {
        Device::Character(major, minor) => (SFlag::S_IFCHR, number(major, minor)),
        Device::Block(major, minor) => (SFlag::S_IFBLK, number(major, minor)),
        Device::Fifo => (SFlag::S_IFIFO, 0),
        Device::Socket => (SFlag::S_IFSOCK, 0),
    }
}

/// An entry's name with another beginning.
fn renamed(name: &Path, to: Option<&Path>) -> Result<PathBuf> {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !name.components().all(|part| plain(&part)) {
        return Err(Error::new(format!("the archive's {}: leads out of its folder", name.display())));
    }
    let Some(to) = to else { return Ok(name.to_owned()) };
    let mut rest = name.components().skip_while(|part| *part == Component::CurDir);
    if !name.starts_with(".") {
        rest.next();
    }
    let rest: PathBuf = rest.collect();
    Ok(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_leads_out_is_refused() {
        for name in ["../x", "/x", "a/../../x"] {
            assert!(renamed(Path::new(name), None).is_err(), "{name}");
        }
        assert_eq!(renamed(Path::new("a/b"), Some(Path::new("x"))).unwrap(), Path::new("x/b"));
        assert_eq!(renamed(Path::new("./a/b"), Some(Path::new("x"))).unwrap(), Path::new("x/a/b"));
    }
}
