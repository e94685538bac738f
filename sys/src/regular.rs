//! Regular files in places where others may have put anything else: a pipe, which waits for its other end; a device, which
//! does something when it is opened; a file that somebody holds a lease on (fcntl(2)); a link to what is none of theirs.
//!
//! So what lies there is found first (`O_PATH`), looked at, and then opened without waiting for anybody. `/proc` must
//! be mounted.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Opens the regular file of this path; a link in its place is not followed.
///
/// # Errors
/// As open(2) has them, `EWOULDBLOCK` for a lease among them; what lies there is no regular file.
pub fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let flags = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits();
    open_found(&File::options().read(true).custom_flags(flags).open(path)?, options)
}

/// Opens what was found with `O_PATH`. The options have no flags of their own.
///
/// # Errors
/// As [`open`].
pub fn open_found(found: &File, options: &OpenOptions) -> io::Result<File> {
    if !found.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    options.clone().custom_flags(flags).open(by_number(found.as_fd()))
}

/// A folder that was found.
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// The folder that a path lies in. Of a path below `root`, no link on the way from there is followed.
    ///
    /// # Errors
    /// As openat2(2) has them.
    pub fn of(path: &Path, root: &Path) -> io::Result<Self> {
        let (root, below) = parts(path, root);
        let root = Self::at(root)?;
        if below.as_os_str().is_empty() { Ok(root) } else { root.enter(below) }
    }

    fn at(path: &Path) -> io::Result<Self> {
        let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
        Ok(Self(File::options().read(true).custom_flags(flags).open(path)?.into()))
    }

    /// The same; folders that are not there are made.
    ///
    /// # Errors
    /// As openat2(2) and mkdirat(2) have them.
    pub fn make(path: &Path, root: &Path) -> io::Result<Self> {
        match Self::of(path, root) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let (root, below) = parts(path, root);
        fs::create_dir_all(root)?;
        let mut folder = Self::at(root)?;
        for name in below {
            match mkdirat(&folder.0, name, Mode::from_bits_truncate(0o777)) {
                Ok(()) | Err(Errno::EEXIST) => folder = folder.enter(Path::new(name))?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(folder)
    }

    fn enter(&self, below: &Path) -> io::Result<Self> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        Ok(Self(openat2(&self.0, below, how)?))
    }

    /// What is in it.
    ///
    /// # Errors
    /// As opendir(3) has them.
    pub fn list(&self) -> io::Result<ReadDir> {
        fs::read_dir(by_number(self.0.as_fd()))
    }

    /// Finds what has this name in it, which may be a link, and does not open it.
    ///
    /// # Errors
    /// As openat(2) has them.
    pub fn find(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens the regular file of this name.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self, name: &OsStr, options: &OpenOptions) -> io::Result<File> {
        open_found(&self.find(name)?, options)
    }

    /// Opens the regular file of this name, at the end of which all is written; makes it if nothing is there.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open_or_make(&self, name: &OsStr, mode: u32) -> io::Result<File> {
        match self.open(name, File::options().append(true)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, Mode::from_bits_truncate(mode))?))
    }

    /// Gives what has a name in it another one there.
    ///
    /// # Errors
    /// As renameat(2) has them.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.0, from, &self.0, to)?)
    }

    /// Removes what has this name in it, unless it is a folder.
    ///
    /// # Errors
    /// As unlinkat(2) has them.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// A path's folder as `root` and the rest; whole where it does not lie below that.
fn parts<'a>(path: &'a Path, root: &'a Path) -> (&'a Path, &'a Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match folder.strip_prefix(root) {
        Ok(below) => (root, below),
        Err(_) => (folder, Path::new("")),
    }
}

/// The way to what is open, which nobody else can change.
fn by_number(file: impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// What an action comes to that must not wait.
    fn at_once<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        std::thread::spawn(move || done.send(action()));
        result.recv_timeout(Duration::from_secs(60)).expect("it waits")
    }

    fn base(test: &str) -> PathBuf {
        let base = std::env::temp_dir().join(format!("skerry-regular-{test}-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        base
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let base = base("open");
        fs::write(base.join("file"), "text").unwrap();
        symlink("file", base.join("link")).unwrap();
        nix::unistd::mkfifo(&base.join("pipe"), Mode::S_IRWXU).unwrap();
        let opened = |name: &str| {
            let path = base.join(name);
            at_once(move || {
                open(&path, File::options().read(true)).map(drop).map_err(|error| error.to_string())
            })
        };
        assert_eq!(opened("file"), Ok(()));
        for name in ["link", "pipe", "."] {
            assert_eq!(opened(name), Err("it is not a regular file".into()), "{name}");
        }
        assert_eq!(
            open(Path::new("/dev/zero"), File::options().read(true)).unwrap_err().kind(),
            ErrorKind::Other
        );
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn who_holds_a_lease_is_not_waited_for() {
        let base = base("lease");
        let path = base.join("file");
        let held = File::create(&path).unwrap();
        // SAFETY: two numbers; nothing of this process is pointed to. Its signal is ignored.
        unsafe {
            libc::signal(libc::SIGIO, libc::SIG_IGN);
            assert_eq!(libc::fcntl(held.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK), 0);
        }
        let error = at_once(move || open(&path, File::options().read(true)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        drop(held);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn no_link_below_a_root_is_followed() {
        let base = base("folder");
        let (root, outside) = (base.join("root"), base.join("outside"));
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("file"), "outside").unwrap();
        let path = root.join("a/b/file");
        assert_eq!(Folder::of(&path, &root).unwrap_err().kind(), ErrorKind::NotFound);
        let folder = Folder::make(&path, &root).unwrap();
        let name = OsStr::new("file");
        drop(folder.open_or_make(name, 0o600).unwrap());
        drop(folder.open_or_make(name, 0o600).unwrap());
        assert!(path.is_file());
        folder.rename(name, OsStr::new("other")).unwrap();
        assert_eq!(folder.list().unwrap().count(), 1);
        folder.remove(OsStr::new("other")).unwrap();
        symlink(outside.join("file"), &path).unwrap();
        assert!(folder.open_or_make(name, 0o600).is_err(), "a link in the file's place");
        fs::remove_file(&path).unwrap();
        symlink(outside.join("new"), &path).unwrap();
        assert!(folder.open_or_make(name, 0o600).is_err() && !outside.join("new").exists());
        symlink(&outside, root.join("out")).unwrap();
        for path in ["out/file", "out/new/file", "a/../../outside/file"] {
            let path = root.join(path);
            assert!(Folder::of(&path, &root).is_err() && Folder::make(&path, &root).is_err(), "{path:?}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        symlink(&root, base.join("way")).unwrap();
        assert!(
            Folder::of(&base.join("way/a/b/file"), &base.join("way")).is_ok(),
            "the root itself may be one"
        );
        fs::remove_dir_all(base).unwrap();
    }
}
