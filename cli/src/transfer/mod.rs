//! Files into a tar archive and out of it, on either side of `cp`; and what a container has changed of its image's.
//!
//! A container's side runs in a process of its own that has entered the container's mount
//! namespace: whatever links the container has, they lead nowhere but within it.

mod changes;
mod pack;
mod unpack;

pub use changes::changes;
pub use pack::pack;
pub use unpack::{Links, target, unpack};

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{chdir, chroot, fchdir};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use store::Layer;
use store::rootfs::{Rootfs, View};
use sys::mount_tree;

/// Enters the mount namespace, and so the root, of a process.
///
/// # Errors
/// It has ended.
pub fn enter(pid: i32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/mnt");
    let namespace =
        File::open(&path).context(|| "the container has ended: open its mount namespace".into())?;
    setns(namespace, CloneFlags::CLONE_NEWNS).context(|| format!("enter {path}"))
}

/// Enters the same root once more, with nothing mounted in it: what lies below a mount shows.
///
/// # Errors
/// Those of open_tree(2) and chroot(2).
pub fn leave_mounts() -> Result<()> {
    let words = || "take the container's files by themselves".to_owned();
    let root = File::open("/").and_then(|root| mount_tree::copy(root.as_fd(), c"", false)).context(words)?;
    fchdir(&root).and_then(|()| chroot(".")).context(words)
}

/// What of this machine a container has at a place of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct Lent {
    /// Here.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// It cannot be written.
    pub read_only: bool,
    /// A volume that no container has had: where the root has something at its place it is filled with that later, and what
    /// is copied there now is in it.
    pub new: bool,
}

/// Enters the root of a container that does not run: its image, over it what it wrote, and what it is lent, where that is
/// there. The mounts are in a namespace of this process's own, so nothing of them is left however it ends.
///
/// # Errors
/// Which mount, and why.
pub fn enter_stopped(layers: &[Layer], written: &Path, lent: &mut [Lent]) -> Result<()> {
    own_mounts()?;
    // An outer one before what lies in it.
    lent.sort_by_key(|one| one.target.components().count());
    let trees = lent.iter().map(|one| tree(one).context(|| format!("mount {}", one.source.display())));
    let trees = trees.collect::<Result<Vec<_>>>()?;
    let place = place()?;
    let (mounts, target) = (place.join("layers"), place.join("root"));
    store::rootfs::mount(&Rootfs { layers, mounts: &mounts, dir: written, target: &target, users: None })?;
    let root = File::open(&target).context(|| format!("open {}", target.display()))?;
    for (one, tree) in lent.iter().zip(trees) {
        let at = |error: io::Error| Err(error).context(|| format!("mount {}", one.target.display()));
        tree.map_or(Ok(()), |tree| put(&root, one, &tree)).or_else(at)?;
    }
    chroot(&target).and_then(|()| chdir("/")).context(|| "enter the container's files".into())
}

/// Where the two halves of a container's files are for who has entered them by [`enter_apart`].
pub const IMAGE: &str = "/image";
pub const WRITTEN: &str = "/written";

/// Enters a folder that has a container's files in two: those of its image, and what it has written over them, in the
/// kernel's form. Links of either lead nowhere but within the folder, and it ends with this process.
///
/// # Errors
/// As [`enter_stopped`].
pub fn enter_apart(layers: &[Layer], upper: &Path) -> Result<()> {
    own_mounts()?;
    let words = || format!("mount {}", upper.display());
    let tree =
        File::open(upper).and_then(|upper| mount_tree::copy(upper.as_fd(), c"", false)).context(words)?;
    let (place, within) = (place()?, |place: &Path, path: &str| place.join(path.trim_start_matches('/')));
    let (mounts, top) = (place.join("layers"), place.join("top"));
    let (image, written) = (within(&place, IMAGE), within(&place, WRITTEN));
    store::rootfs::view(&View { layers, mounts: &mounts, top: &top, target: &image, users: None })?;
    let attach = || mount_tree::attach(tree.as_fd(), File::open(&written)?.as_fd());
    fs::create_dir(&written).and_then(|()| attach()).context(words)?;
    chroot(&place).and_then(|()| chdir("/")).context(|| "enter the container's files".into())
}

/// What this process mounts from now on is its own.
fn own_mounts() -> Result<()> {
    let words = || "make room for the container's files".to_owned();
    unshare(CloneFlags::CLONE_NEWNS).context(words)?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).context(words)
}

/// An empty folder. Nobody else sees what lies in it, not even who mounts layers for running containers; and nothing was
/// mounted in it before: what a mount hides is still in the list of mounts.
fn place() -> Result<PathBuf> {
    let (run, place) = (Path::new(spec::paths::RUN), Path::new(spec::paths::RUN).join("copy"));
    mount(Some("tmpfs"), run, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .context(|| "make room for the container's files".into())?;
    fs::create_dir(&place).context(|| format!("make {}", place.display()))?;
    Ok(place)
}

/// A copy of the mount, with all that is mounted in it; none of what is not there.
fn tree(lent: &Lent) -> io::Result<Option<OwnedFd>> {
    let source = match File::options().read(true).custom_flags(libc::O_PATH).open(&lent.source) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        source => source?,
    };
    let tree = mount_tree::copy(source.as_fd(), c"", true)?;
    if lent.read_only {
        mount_tree::set_attributes(tree.as_fd(), true, libc::MOUNT_ATTR_RDONLY, 0, 0)?;
    }
    Ok(Some(tree))
}

/// Mounts a tree at its place in this root, which is made if need be, as at the container's start: whatever links the
/// container has, they lead nowhere but within it.
fn put(root: &File, lent: &Lent, tree: &OwnedFd) -> io::Result<()> {
    let open = || openat2(root, &lent.target, within_root());
    let place = match open() {
        Err(Errno::ENOENT) => {
            make(root, &lent.target, File::from(tree.try_clone()?).metadata()?.is_dir())?;
            open()?
        }
        place => {
            let place = place?;
            if lent.new && has_something(&place)? {
                return Ok(());
            }
            place
        }
    };
    mount_tree::attach(tree.as_fd(), place.as_fd())
}

fn within_root() -> OpenHow {
    OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT)
}

fn has_something(folder: &OwnedFd) -> io::Result<bool> {
    Ok(fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?.next().is_some())
}

/// Makes the folders down to a place of this root, and there one more, or an empty file.
fn make(root: &File, target: &Path, is_folder: bool) -> io::Result<()> {
    let mut above: Vec<&Path> = target.ancestors().filter(|path| path.file_name().is_some()).collect();
    above.reverse();
    for path in above {
        match openat2(root, path, within_root()) {
            Ok(_) => continue,
            Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let folder = openat2(root, folder, within_root())?;
        match is_folder || path != target {
            true => mkdirat(&folder, name, Mode::from_bits_truncate(0o755))?,
            false => mknodat(&folder, name, SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0)?,
        }
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;
    use std::time::{Duration, SystemTime};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("skerry-transfer-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("from/sub")).unwrap();
            fs::create_dir_all(path.join("to")).unwrap();
            fs::write(path.join("from/a"), "A").unwrap();
            fs::write(path.join("from/sub/b"), "B").unwrap();
            fs::set_permissions(path.join("from/sub"), fs::Permissions::from_mode(0o500)).unwrap();
            symlink("../a", path.join("from/sub/link")).unwrap();
            Self(path)
        }

        fn copy(&self, from: &str, to: &str) -> Result<()> {
            self.copy_by(Links::Nobodys, false, from, to)
        }

        fn copy_by(&self, links: Links, archive: bool, from: &str, to: &str) -> Result<()> {
            self.copy_of(false, links, archive, from, to)
        }

        fn copy_of(&self, follow: bool, links: Links, archive: bool, from: &str, to: &str) -> Result<()> {
            let mut bytes = Vec::new();
            pack(&self.0.join(from), follow, &mut bytes)?;
            unpack(&target(&self.0.join(to), links)?, archive, &bytes[..])
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_file_goes_into_a_folder_or_under_a_name() {
        let folder = Folder::new("file");
        folder.copy("from/a", "to").unwrap();
        folder.copy("from/a", "to/x").unwrap();
        folder.copy("from/sub/b", "to/x").unwrap();
        assert_eq!((folder.read("to/a"), folder.read("to/x")), ("A".into(), "B".into()));
    }

    #[test]
    fn a_folder_goes_whole_or_its_content_alone() {
        let folder = Folder::new("folder");
        folder.copy("from", "to").unwrap();
        folder.copy("from", "to/new").unwrap();
        folder.copy("from/.", "to").unwrap();
        for path in ["to/from/sub/b", "to/new/sub/b", "to/sub/b"] {
            assert_eq!(folder.read(path), "B");
        }
        let mode = fs::metadata(folder.0.join("to/new/sub")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o500);
        assert_eq!(fs::read_link(folder.0.join("to/new/sub/link")).unwrap(), Path::new("../a"));
    }

    #[test]
    fn a_link_that_is_followed_keeps_its_name() {
        let folder = Folder::new("followed");
        symlink("sub/b", folder.0.join("from/python3")).unwrap();
        symlink("sub", folder.0.join("from/conf")).unwrap();
        let follow = |from: &str, to: &str| folder.copy_of(true, Links::Nobodys, false, from, to).unwrap();
        follow("from/python3", "to");
        follow("from/conf", "to");
        follow("from/conf/.", "to");
        for path in ["to/python3", "to/conf/b", "to/b"] {
            assert_eq!(folder.read(path), "B", "{path}");
            assert!(!fs::symlink_metadata(folder.0.join(path)).unwrap().is_symlink());
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        let folder = Folder::new("wrong");
        let told = |from: &str, to: &str| folder.copy(from, to).unwrap_err().message;
        assert!(told("from/a", "to/none/x").ends_with("to/none: there is no such folder"));
        assert!(told("from/a", "to/none/").ends_with("to/none/: is not a folder"));
        assert!(told("from/none", "to").ends_with("from/none: no such file or directory"));
    }
    #[test]
    fn a_link_in_the_target_is_not_gone_through() {
        let folder = Folder::new("links");
        fs::create_dir(folder.0.join("outside")).unwrap();
        symlink("../../outside", folder.0.join("to/sub")).unwrap();
        let told = |from: &str| folder.copy(from, "to").unwrap_err().message;
        assert!(told("from/sub").ends_with("to/sub: a symbolic link is in the way"));
        fs::rename(folder.0.join("to/sub"), folder.0.join("to/from")).unwrap();
        assert!(told("from").ends_with("to/from: a symbolic link is in the way"));
        // Nor where no entry says that it is a folder.
        let mut bytes = Vec::new();
        let mut archive = tar::Builder::new(&mut bytes);
        archive.append_path_with_name(folder.0.join("from/a"), "from/evil").unwrap();
        archive.finish().unwrap();
        drop(archive);
        let target = target(&folder.0.join("to"), Links::Nobodys).unwrap();
        assert!(unpack(&target, false, &bytes[..]).is_err());
        assert_eq!(fs::read_dir(folder.0.join("outside")).unwrap().count(), 0);
        // A file is put in a link's place, and the link's file stays.
        fs::write(folder.0.join("outside/a"), "before").unwrap();
        symlink("../outside/a", folder.0.join("to/a")).unwrap();
        folder.copy("from/a", "to").unwrap();
        assert_eq!((folder.read("to/a"), folder.read("outside/a")), ("A".into(), "before".into()));
    }

    #[test]
    fn in_a_container_its_own_links_are_followed() {
        let folder = Folder::new("own-links");
        fs::create_dir(folder.0.join("to/usr")).unwrap();
        symlink("usr", folder.0.join("to/from")).unwrap();
        symlink("usr/late", folder.0.join("to/link")).unwrap();
        folder.copy_by(Links::Its, false, "from", "to").unwrap();
        folder.copy_by(Links::Its, false, "from/a", "to/link").unwrap();
        assert_eq!((folder.read("to/usr/sub/b"), folder.read("to/usr/late")), ("B".into(), "A".into()));
    }

    #[test]
    fn a_link_of_proc_leads_nowhere_in_a_container() {
        let folder = Folder::new("magic");
        let lured = format!("/proc/self/root{}", folder.0.join("to").display());
        symlink(lured, folder.0.join("lure")).unwrap();
        let told = folder.copy_by(Links::Its, false, "from/a", "lure").unwrap_err().message;
        assert!(told.ends_with("a symbolic link is in the way"), "{told}");
        assert_eq!(fs::read_dir(folder.0.join("to")).unwrap().count(), 0);
    }

    #[test]
    fn all_kinds_of_files_are_brought_but_sockets() {
        let folder = Folder::new("kinds");
        let (from, to) = (folder.0.join("from"), folder.0.join("to/from"));
        fs::hard_link(from.join("a"), from.join("other")).unwrap();
        nix::unistd::mkfifo(&from.join("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let _socket = UnixListener::bind(from.join("socket")).unwrap();
        let long = "long".repeat(40);
        fs::write(from.join(&long), "L").unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::open(from.join("sub")).unwrap().set_modified(then).unwrap();
        folder.copy("from", "to").unwrap();
        let about = |path: &str| fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!((about("a").ino(), about("a").nlink()), (about("other").ino(), 2));
        assert!(about("pipe").file_type().is_fifo() && about("pipe").mode() & 0o777 == 0o400);
        assert!(!to.join("socket").exists());
        assert_eq!(folder.read(&format!("to/from/{long}")), "L");
        assert_eq!(about("sub").modified().unwrap(), then);
        // What is there already takes the mode of what comes.
        fs::set_permissions(from.join("sub"), fs::Permissions::from_mode(0o750)).unwrap();
        folder.copy("from", "to").unwrap();
        assert_eq!(about("sub").mode() & 0o777, 0o750);
        folder.copy("from", "to/new/").unwrap();
        assert_eq!(folder.read("to/new/sub/b"), "B");
    }

    #[test]
    fn what_only_root_may_make_here_comes_when_it_is_asked_for() {
        let folder = Folder::new("devices");
        let mut bytes = Vec::new();
        let mut archive = tar::Builder::new(&mut bytes);
        let mut entry = |name: &str, kind: tar::EntryType, mode: u32| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(0);
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
            archive.append_data(&mut header, name, std::io::empty()).unwrap();
        };
        entry("null", tar::EntryType::Char, 0o666);
        entry("program", tar::EntryType::Regular, 0o6755);
        archive.finish().unwrap();
        drop(archive);
        let brought = |links, archive| {
            unpack(&target(&folder.0.join("to"), links).unwrap(), archive, &bytes[..]).unwrap();
            let mode = fs::metadata(folder.0.join("to/program")).unwrap().mode() & 0o7777;
            (folder.0.join("to/null").exists(), mode)
        };
        assert_eq!(brought(Links::Nobodys, false), (false, 0o755));
        if nix::unistd::geteuid().is_root() {
            assert_eq!(brought(Links::Its, false), (true, 0o6755));
            assert_eq!(brought(Links::Nobodys, false), (false, 0o755), "the one before is replaced");
            assert_eq!(brought(Links::Nobodys, true), (true, 0o6755));
        }
    }

    #[test]
    fn owners_are_kept_when_they_are_asked_for() {
        let folder = Folder::new("owners");
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        for path in ["from/a", "from/sub"] {
            std::os::unix::fs::chown(folder.0.join(path), Some(7), Some(8)).unwrap();
        }
        fs::set_permissions(folder.0.join("from/a"), fs::Permissions::from_mode(0o6755)).unwrap();
        folder.copy_by(Links::Nobodys, true, "from/.", "to").unwrap();
        folder.copy("from", "to").unwrap();
        let about = |path: &str| {
            let about = fs::metadata(folder.0.join(path)).unwrap();
            (about.uid(), about.gid(), about.mode() & 0o7777)
        };
        assert_eq!((about("to/a"), about("to/sub")), ((7, 8, 0o6755), (7, 8, 0o500)));
        assert_eq!((about("to/from/a"), about("to/from/sub")), ((0, 0, 0o755), (0, 0, 0o500)));
    }
}
