//! Paths in the container's root, by descriptor: whatever symbolic links the
//! image has, and whoever changes them meanwhile, nothing outside is reached
//! (openat2(2), `RESOLVE_IN_ROOT`; CVE-2021-30465, CVE-2024-45310).

use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// As often is a path looked for again that something else has made uncertain.
const MOST_RETRIES: u32 = 128;

/// What is made at a path that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A folder.
    Folder,
    /// An empty file.
    File,
}

/// Opens what is at a path in the root, by `O_PATH`.
///
/// # Errors
/// Those of openat2(2).
pub fn open(root: BorrowedFd<'_>, path: &str) -> nix::Result<OwnedFd> {
    open_as(root, Path::new(path), OFlag::O_PATH, ResolveFlag::empty())
}

/// Opens a folder that is reached without a symbolic link, and makes it if need be.
///
/// # Errors
/// `ELOOP` for a link, `ENOTDIR`; those of mkdirat(2).
pub fn open_plain(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let again = || {
        open_as(root, Path::new(path), OFlag::O_PATH | OFlag::O_DIRECTORY, ResolveFlag::RESOLVE_NO_SYMLINKS)
    };
    let opened = match again() {
        Err(Errno::ENOENT) => {
            make(root, path, Missing::Folder)?;
            again()
        }
        opened => opened,
    };
    match opened {
        // runc's words, and why.
        Err(Errno::ELOOP | Errno::ENOTDIR) => Err(Error(format!(
            "open {path}: must be mounted on ordinary directory, and a symbolic link or file is in the way"
        ))),
        opened => opened.context(|| format!("open {path}")),
    }
}

/// Opens what is at a path in the root by `O_PATH`, and makes it if need be.
///
/// # Errors
/// Those of openat2(2), mkdirat(2) and openat(2), in words.
pub fn open_or_make(root: BorrowedFd<'_>, path: &str, missing: Missing) -> Result<OwnedFd> {
    match open(root, path) {
        Err(Errno::ENOENT) => {
            // Mostly the last name alone is missing.
            let made = make_last(root, Path::new(path), missing, ResolveFlag::empty());
            made.map_or_else(|| make(root, path, missing), Ok)
        }
        opened => opened.context(|| format!("open {path} in the container")),
    }
}

/// The same, and whether a symbolic link may have led there.
///
/// # Errors
/// As [`open_or_make`].
pub fn reach_or_make(root: BorrowedFd<'_>, path: &str, missing: Missing) -> Result<(OwnedFd, bool)> {
    // Mostly there is none, and no other call is needed.
    match open_as(root, Path::new(path), OFlag::O_PATH, ResolveFlag::RESOLVE_NO_SYMLINKS) {
        Ok(opened) => Ok((opened, false)),
        Err(Errno::ENOENT) => {
            match make_last(root, Path::new(path), missing, ResolveFlag::RESOLVE_NO_SYMLINKS) {
                Some(made) => Ok((made, false)),
                None => make(root, path, missing).map(|made| (made, true)),
            }
        }
        Err(_) => open_or_make(root, path, missing).map(|opened| (opened, true)),
    }
}

/// The folder above the path that was asked for last: nodes and links stand side by side.
#[derive(Debug, Default)]
pub struct Parent(Option<(PathBuf, OwnedFd)>);

impl Parent {
    /// Opens the folder above a path, made if need be, and gives the path's last name.
    ///
    /// # Errors
    /// As [`open_or_make`]; a path that has no last name.
    pub fn of<'a>(&mut self, root: BorrowedFd<'_>, path: &'a str) -> Result<(BorrowedFd<'_>, &'a OsStr)> {
        let cannot = || Error(format!("{path}: cannot be made"));
        let parent = Path::new(path).parent().ok_or_else(cannot)?;
        let name = Path::new(path).file_name().ok_or_else(cannot)?;
        let (_, folder) = &*match self.0.take().filter(|(known, _)| known == parent) {
            Some(known) => self.0.insert(known),
            None => {
                let folder = open_or_make(root, &parent.display().to_string(), Missing::Folder)?;
                self.0.insert((parent.to_owned(), folder))
            }
        };
        Ok((folder.as_fd(), name))
    }

    /// Nothing more is made: what is left to close.
    pub fn end(self) -> Option<OwnedFd> {
        self.0.map(|(_, folder)| folder)
    }
}

/// Opens with more flags, in the root all the same.
///
/// # Errors
/// Those of openat2(2).
pub fn open_as(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlag,
    resolve: ResolveFlag,
) -> nix::Result<OwnedFd> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | resolve);
    // A rename or a mount anywhere on the host meanwhile may leave `..` uncertain (openat2(2), EAGAIN).
    let mut opened = openat2(root, relative, how);
    for _ in 0..MOST_RETRIES {
        match opened {
            Err(Errno::EAGAIN) => opened = openat2(root, relative, how),
            opened => return opened,
        }
    }
    opened
}

/// Makes the last name of a path where the folder above is there and has nothing of that name.
fn make_last(root: BorrowedFd<'_>, path: &Path, missing: Missing, resolve: ResolveFlag) -> Option<OwnedFd> {
    let (parent, name) = (path.parent()?, path.file_name()?);
    let folder = open_as(root, parent, OFlag::O_PATH | OFlag::O_DIRECTORY, resolve).ok()?;
    make_one(folder.as_fd(), name, missing).ok()?;
    open_as(root, path, OFlag::O_PATH, resolve).ok()
}

/// Makes what no other name, be it a link's, stands for.
fn make_one(folder: BorrowedFd<'_>, name: &OsStr, missing: Missing) -> nix::Result<()> {
    match missing {
        Missing::Folder => mkdirat(folder, name, Mode::from_bits_truncate(0o755)),
        Missing::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(folder, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    }
}

/// Walks name by name, following links as the container would, and makes what is
/// not there. A dangling link is followed to where it points.
fn make(root: BorrowedFd<'_>, path: &str, missing: Missing) -> Result<OwnedFd> {
    let words = || format!("make {path} in the container");
    let mut left: VecDeque<OsString> = names(Path::new(path));
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let kind = if left.is_empty() { missing } else { Missing::Folder };
        let found = open_or_make_one(root, &at, &name, kind).context(words)?;
        let is_link = fstat(&found).context(words)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits();
        if !is_link {
            at = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::ELOOP).context(words);
        }
        let target = PathBuf::from(readlinkat(&found, "").context(words)?);
        if target.is_absolute() {
            at.clear();
        }
        names(&target).into_iter().rev().for_each(|name| left.push_front(name));
    }
    open_as(root, &at, OFlag::O_PATH, ResolveFlag::empty()).context(words)
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(name).collect()
}

/// One name below a folder: itself, even if it is a link.
fn open_or_make_one(root: BorrowedFd<'_>, at: &Path, name: &OsString, kind: Missing) -> nix::Result<OwnedFd> {
    let path = at.join(name);
    let itself = || open_as(root, &path, OFlag::O_PATH | OFlag::O_NOFOLLOW, ResolveFlag::empty());
    match itself() {
        Err(Errno::ENOENT) => {}
        opened => return opened,
    }
    let folder = open_as(root, at, OFlag::O_PATH | OFlag::O_DIRECTORY, ResolveFlag::empty())?;
    match make_one(folder.as_fd(), name, kind) {
        Ok(()) | Err(Errno::EEXIST) => itself(),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A root with links of every kind, and a folder beside it that nothing may touch.
    fn with_root(check: impl FnOnce(BorrowedFd<'_>, &Path)) {
        let folder = std::env::temp_dir().join(format!(
            "place-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let root = folder.join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(folder.join("outside")).unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/usr/new", root.join("absolute")).unwrap();
        symlink("../../../outside/file", root.join("climbing")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let open = fs::File::open(&root).unwrap();
        check(open.as_fd(), &folder);
        assert_eq!(fs::read_dir(folder.join("outside")).unwrap().count(), 0, "nothing outside was touched");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn missing_folders_and_files_are_made() {
        with_root(|root, folder| {
            open_or_make(root, "/a/b/c", Missing::File).unwrap();
            open_or_make(root, "a/d/", Missing::Folder).unwrap();
            assert!(folder.join("root/a/b/c").is_file() && folder.join("root/a/d").is_dir());
        });
    }

    #[test]
    fn links_are_followed_within_the_root() {
        with_root(|root, folder| {
            open_or_make(root, "/lib/x", Missing::File).unwrap();
            open_or_make(root, "/absolute/y", Missing::Folder).unwrap();
            open_or_make(root, "/climbing", Missing::File).unwrap();
            open_or_make(root, "/../../up", Missing::Folder).unwrap();
            for path in ["usr/lib/x", "usr/new/y", "outside/file", "up"] {
                assert!(folder.join("root").join(path).exists(), "{path}");
            }
        });
    }

    #[test]
    fn a_loop_and_a_link_where_none_may_be_are_errors() {
        with_root(|root, _| {
            assert!(open_or_make(root, "/loop/x", Missing::File).is_err());
            let error = open_plain(root, "/lib").unwrap_err().0;
            assert!(error.starts_with("open /lib: must be mounted on ordinary directory"), "{error}");
            open_plain(root, "/proc").unwrap();
        });
    }
}
