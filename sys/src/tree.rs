//! Whole trees of folders, made by whoever: gone through by descriptors, for the kernel takes no path of more than 4096
//! bytes; with a few of these open at a time and without recursion, for a tree may be a million folders deep.

use nix::dir::{Dir, Entry, OwningIter, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// So many folders within one another are open at most.
const LEVELS: usize = 16;

/// How a folder is opened to be read.
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Removes what lies at a path, a folder with all that is in it. No link is followed, and nothing is removed through a
/// mount. What cannot be removed keeps nothing else.
///
/// What lies deep is moved up to the folder itself before it is gone through, so nothing has its place any more when something
/// is left.
///
/// # Errors
/// The first, as unlinkat(2) and openat2(2) have them.
pub fn remove(path: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
    let above = File::options().read(true).custom_flags(flags).open(folder)?;
    let name = CString::new(name.as_bytes())?;
    let mut removal =
        Removal { above: above.into(), levels: Vec::new(), moved: Vec::new(), named: 0, fault: None };
    removal.take(&name, None);
    // A folder's levels are the rest of the work.
    while !removal.levels.is_empty() {
        removal.step();
    }
    removal.fault.map_or(Ok(()), |fault| Err(fault.into()))
}

/// A folder that is being emptied.
struct Level {
    entries: OwningIter,
    name: CString,
    /// Something has been taken out of it since it was opened.
    taken: bool,
    /// Something in it cannot be removed.
    left: bool,
}

impl Level {
    fn folder(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is that of `entries`, which lives as long as what is given.
        unsafe { BorrowedFd::borrow_raw(self.entries.as_raw_fd()) }
    }
}

struct Removal {
    /// What the whole tree lies in.
    above: OwnedFd,
    /// Each within the one before it.
    levels: Vec<Level>,
    /// Folders that were moved up to the first level, and are to be gone through.
    moved: Vec<u64>,
    /// So many of them got a name.
    named: u64,
    fault: Option<Errno>,
}

impl Removal {
    fn step(&mut self) {
        if self.levels.len() == 1
            && let Some(number) = self.moved.pop()
        {
            return self.take(&moved(number), Some(Type::Directory));
        }
        let Some(level) = self.levels.last_mut() else { return };
        match level.entries.next() {
            Some(Ok(entry)) if is_own(&entry) => {}
            Some(Ok(entry)) => self.take(entry.file_name(), entry.file_type()),
            Some(Err(error)) => {
                level.left = true;
                self.fault.get_or_insert(error);
                self.end();
            }
            None => self.end(),
        }
    }

    /// What the last level lies in, or the whole tree.
    fn at(&self) -> BorrowedFd<'_> {
        self.levels.last().map_or(self.above.as_fd(), Level::folder)
    }

    /// Removes what has this name in the last level; a folder that is not empty becomes the next level.
    fn take(&mut self, name: &CStr, kind: Option<Type>) {
        let removed = match kind {
            Some(Type::Directory) => Err(Errno::EISDIR),
            _ => unlinkat(self.at(), name, UnlinkatFlags::NoRemoveDir),
        };
        match removed {
            // What an unlink of a folder comes to elsewhere than on Linux's own file systems.
            Err(Errno::EISDIR | Errno::EPERM) => self.enter(name),
            other => self.done(other),
        }
    }

    /// Notes what the removal of something in the last level came to.
    fn done(&mut self, result: nix::Result<()>) {
        let fault = match result {
            // Somebody else was first.
            Ok(()) | Err(Errno::ENOENT) if self.levels.is_empty() => result.err(),
            Ok(()) | Err(Errno::ENOENT) => None,
            Err(error) => Some(error),
        };
        if let Some(level) = self.levels.last_mut() {
            level.taken |= result.is_ok();
            level.left |= fault.is_some();
        }
        self.fault = self.fault.or(fault);
    }

    fn enter(&mut self, name: &CStr) {
        if self.levels.len() >= LEVELS {
            return match unlinkat(self.at(), name, UnlinkatFlags::RemoveDir) {
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => self.move_up(name),
                other => self.done(other),
            };
        }
        let how = OpenHow::new().flags(FOLDER).resolve(ResolveFlag::RESOLVE_NO_XDEV);
        match openat2(self.at(), name, how).and_then(Dir::from_fd) {
            Ok(folder) => {
                let (entries, name) = (folder.into_iter(), name.to_owned());
                self.levels.push(Level { entries, name, taken: false, left: false });
            }
            // Something is mounted there; or it is no folder, and cannot be removed.
            Err(Errno::EXDEV) => self.done(Err(Errno::EBUSY)),
            Err(Errno::ENOTDIR | Errno::ELOOP) => self.done(Err(Errno::EPERM)),
            Err(error) => self.done(Err(error)),
        }
    }

    fn move_up(&mut self, name: &CStr) {
        let result = loop {
            let number = self.named;
            let top = self.levels.first().map_or(self.above.as_fd(), Level::folder);
            self.named += 1;
            match renameat(self.at(), name, top, moved(number).as_c_str()) {
                Ok(()) => {
                    self.moved.push(number);
                    break Ok(());
                }
                // Something is called so already.
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                Err(error) => break Err(error),
            }
        };
        self.done(result);
    }

    /// All of the last level was gone through.
    fn end(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        if level.left {
            if let Some(above) = self.levels.last_mut() {
                above.left = true;
            }
            return;
        }
        match unlinkat(self.at(), level.name.as_c_str(), UnlinkatFlags::RemoveDir) {
            // Some file systems pass over entries while others are removed.
            Err(Errno::ENOTEMPTY | Errno::EEXIST) if level.taken => self.enter(&level.name),
            other => self.done(other),
        }
    }
}

/// The name of a folder that was moved up.
fn moved(number: u64) -> CString {
    CString::new(format!(".moved-{number}")).unwrap_or_default()
}

/// `.` or `..`
fn is_own(entry: &Entry) -> bool {
    matches!(entry.file_name().to_bytes(), b"." | b"..")
}

/// Looks at all that lies below a folder, but not at the folder itself, on its own file system. What goes meanwhile, and what
/// cannot be looked at, is passed over, and with it what lies below a folder that is moved elsewhere meanwhile.
pub fn walk(folder: &Path, mut each: impl FnMut(&FileStat)) {
    let Ok(root) = File::options().read(true).custom_flags(FOLDER.bits()).open(folder) else { return };
    let Ok(own) = fstat(&root) else { return };
    let mut walk = Walk { at: root.into(), levels: Vec::new(), device: own.st_dev, own };
    walk.read(&mut each);
    while let Some(level) = walk.levels.last_mut() {
        match level.folders.pop() {
            Some(name) => {
                if walk.enter(&name).is_ok() {
                    walk.read(&mut each);
                }
            }
            None => walk.leave(),
        }
    }
}

/// A folder that is being walked through.
struct Stage {
    /// Its device and number.
    id: (u64, u64),
    /// The first few are kept open; to the others a walk comes back from below.
    open: Option<OwnedFd>,
    /// Folders in it that are still to be entered.
    folders: Vec<CString>,
}

struct Walk {
    /// The folder of the last level, or of the next one.
    at: OwnedFd,
    own: FileStat,
    levels: Vec<Stage>,
    device: u64,
}

impl Walk {
    fn read(&mut self, each: &mut impl FnMut(&FileStat)) {
        let mut folders = Vec::new();
        let stays_open = self.levels.len() < LEVELS;
        let open = stays_open.then(|| self.at.try_clone().ok()).flatten();
        let entries = openat(&self.at, ".", FOLDER, Mode::empty()).and_then(Dir::from_fd);
        for entry in entries.into_iter().flatten().flatten().filter(|entry| !is_own(entry)) {
            let Ok(about) = fstatat(&self.at, entry.file_name(), AtFlags::AT_SYMLINK_NOFOLLOW) else {
                continue;
            };
            if about.st_dev == self.device {
                each(&about);
                let is_folder = about.st_mode & libc::S_IFMT == libc::S_IFDIR;
                folders.extend(is_folder.then(|| entry.file_name().to_owned()));
            }
        }
        self.levels.push(Stage { id: (self.own.st_dev, self.own.st_ino), open, folders });
    }

    fn enter(&mut self, name: &CStr) -> nix::Result<()> {
        let folder = openat(&self.at, name, FOLDER, Mode::empty())?;
        let own = fstat(&folder)?;
        if own.st_dev != self.device {
            return Err(Errno::EXDEV);
        }
        (self.at, self.own) = (folder, own);
        Ok(())
    }

    /// Goes back to where the last level's folder was found, or as near to it as there is a way.
    fn leave(&mut self) {
        self.levels.pop();
        while let Some(level) = self.levels.last() {
            if let Some(open) = &level.open
                && let Ok(open) = open.try_clone()
            {
                self.at = open;
                return;
            }
            let above = openat(&self.at, "..", FOLDER, Mode::empty());
            if let Ok(above) = above
                && fstat(&above).is_ok_and(|about| (about.st_dev, about.st_ino) == level.id)
            {
                self.at = above;
                return;
            }
            self.levels.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::mkdirat;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn base(test: &str) -> PathBuf {
        let base = std::env::temp_dir().join(format!("skerry-tree-{test}-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        base
    }

    /// Folders within one another, with a file in each; gives the last.
    fn nest(base: &Path, name: &str, depth: usize) -> OwnedFd {
        let mut at = OwnedFd::from(File::open(base).unwrap());
        for _ in 0..depth {
            mkdirat(&at, name, Mode::S_IRWXU).unwrap();
            let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            openat(&at, "file", flags, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
            at = openat(&at, name, FOLDER, Mode::empty()).unwrap();
        }
        at
    }

    /// On a small stack, as threads of a pool have it.
    fn on_a_small_stack<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::Builder::new().stack_size(128 << 10).spawn(action).unwrap().join().unwrap()
    }

    #[test]
    fn a_deep_tree_is_removed_with_few_descriptors_and_little_stack() {
        let base = base("deep");
        nest(&base, "d", 5000);
        nest(&base, &"long".repeat(60), 100);
        for number in 0..100 {
            nest(&base.join("d/d"), &format!("wide-{number}"), 20);
        }
        fs::create_dir(base.join(".moved-0")).unwrap();
        fs::write(base.join(".moved-0/file"), "").unwrap();
        fs::write(base.join(".moved-1"), "").unwrap();
        let tree = base.clone();
        on_a_small_stack(move || remove(&tree)).unwrap();
        assert!(!base.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let base = base("links");
        let (tree, other) = (base.join("tree"), base.join("other"));
        for folder in [&tree, &other] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(other.join("kept"), "").unwrap();
        symlink(&other, tree.join("link")).unwrap();
        symlink(&tree, base.join("way")).unwrap();
        remove(&base.join("way")).unwrap();
        assert!(tree.exists(), "the link alone");
        remove(&tree).unwrap();
        assert!(!tree.exists() && other.join("kept").exists());
        assert_eq!(remove(&tree).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(remove(&tree.join("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        remove(&other.join("kept")).unwrap();
        remove(&other).unwrap();
        fs::remove_dir(base).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_keeps_nothing_else() {
        let base = base("kept");
        fs::create_dir(base.join("a")).unwrap();
        fs::write(base.join("a/file"), "").unwrap();
        fs::set_permissions(base.join("a"), fs::Permissions::from_mode(0o500)).unwrap();
        for name in ["b", "c", "d"] {
            nest(&base, name, 40);
        }
        let left = remove(&base);
        if nix::unistd::geteuid().is_root() {
            return left.unwrap();
        }
        assert_eq!(left.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read_dir(&base).unwrap().count(), 1, "the other folders are gone");
        fs::set_permissions(base.join("a"), fs::Permissions::from_mode(0o700)).unwrap();
        remove(&base).unwrap();
    }

    #[test]
    fn all_of_a_tree_is_looked_at() {
        let base = base("walk");
        nest(&base, "d", 3000);
        nest(&base.join("d/d"), &"long".repeat(60), 100);
        let tree = base.clone();
        let count = on_a_small_stack(move || {
            let mut count = 0;
            walk(&tree, |_| count += 1);
            count
        });
        assert_eq!(count, 2 * 3100 - 1, "a folder and a file per level, but for one file that was there");
        walk(&base.join("none"), |_| panic!("there is nothing"));
        remove(&base).unwrap();
    }
}
