//! Files into a tar archive and out of it, on either side of `cp`.
//!
//! A container's side runs in a process of its own that has entered the container's mount
//! namespace: whatever links the container has, they lead nowhere but within it.

use crate::error::{Context, Error, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, chroot};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use store::Layer;
use store::rootfs::Rootfs;
use tar::{Archive, Builder, EntryType};

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

/// Enters the root of a container that does not run: its image, and over it what it wrote. The mounts are in
/// a namespace of this process's own, so nothing of them is left however it ends.
///
/// # Errors
/// Which mount, and why.
pub fn enter_stopped(layers: &[Layer], written: &Path) -> Result<()> {
    let words = || "make room for the container's files".to_owned();
    unshare(CloneFlags::CLONE_NEWNS).context(words)?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).context(words)?;
    // Nobody else sees what lies here, not even who mounts layers for running containers.
    let place = Path::new(spec::paths::RUN);
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context(words)?;
    // Paths at which nothing was mounted before: what lies below is still in the list of mounts.
    let (mounts, target) = (place.join("copy/layers"), place.join("copy/root"));
    store::rootfs::mount(&Rootfs { layers, mounts: &mounts, dir: written, target: &target, users: None })?;
    chroot(&target).and_then(|()| chdir("/")).context(|| "enter the container's files".into())
}

/// Writes a file or folder, under its own name. Of `FOLDER/.` the name is `.`: its content alone
/// is meant.
///
/// # Errors
/// Which file cannot be read.
pub fn pack(path: &Path, follow: bool, out: impl Write) -> Result<()> {
    let mut builder = Builder::new(out);
    builder.follow_symlinks(false);
    let path = if follow { resolved(path)? } else { path.to_owned() };
    let about = fs::symlink_metadata(&path).context(|| format!("read {}", path.display()))?;
    let name = match text(&path).ends_with("/.") || path == Path::new("/") {
        true => PathBuf::from("."),
        false => path.file_name().map_or_else(|| ".".into(), PathBuf::from),
    };
    let packed = match about.is_dir() {
        true => builder.append_dir_all(&name, &path),
        false => builder.append_path_with_name(&path, &name),
    };
    packed.and_then(|()| builder.finish()).map_err(innermost).context(|| format!("read {}", path.display()))
}

fn resolved(path: &Path) -> Result<PathBuf> {
    path.canonicalize().context(|| format!("read {}", path.display()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Where what an archive has goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    folder: PathBuf,
    /// The name of what comes, in place of its own.
    name: Option<PathBuf>,
}

/// Where it goes, in Docker's way: into a folder that is there, else under this name.
///
/// # Errors
/// `path` ends in a slash and is no folder; the folder above it is missing.
pub fn target(path: &Path) -> Result<Target> {
    if path.is_dir() {
        return Ok(Target { folder: path.to_owned(), name: None });
    }
    if text(path).ends_with('/') {
        return Err(Error::new(format!("{}: is not a folder", path.display())));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::new(format!("{}: there is no such folder", folder.display())));
    }
    Ok(Target { folder: folder.to_owned(), name: path.file_name().map(PathBuf::from) })
}

/// Takes everything out of an archive. Owners are root's, or with `archive` as they were.
///
/// # Errors
/// Which entry cannot be written, or leads out.
pub fn unpack(target: &Target, archive: bool, from: impl Read) -> Result<()> {
    let mut entries = Archive::new(from);
    entries.set_preserve_permissions(true);
    entries.set_preserve_mtime(true);
    entries.set_preserve_ownerships(archive);
    entries.set_overwrite(true);
    // A folder's time and mode are given to it when all that is in it is there.
    let mut folders = Vec::new();
    for entry in entries.entries().context(|| "read the archive".into())? {
        let mut entry = entry.context(|| "read the archive".into())?;
        let name = entry.path().context(|| "read the archive".into())?.into_owned();
        let path = target.folder.join(renamed(&name, target.name.as_deref())?);
        let words = || format!("write {}", path.display());
        match entry.header().entry_type() {
            EntryType::Directory if path.is_dir() => {}
            EntryType::Directory => {
                fs::create_dir(&path).context(words)?;
                folders.push((path, entry.header().mode().unwrap_or(0o755)));
            }
            _ => drop(entry.unpack(&path).map_err(innermost).context(words)?),
        }
    }
    use std::os::unix::fs::PermissionsExt;
    let dress = |(path, mode): &(PathBuf, u32)| {
        fs::set_permissions(path, fs::Permissions::from_mode(*mode))
            .context(|| format!("write {}", path.display()))
    };
    folders.iter().rev().try_for_each(dress)
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

/// The `tar` crate wraps the system's error in words of its own.
fn innermost(error: io::Error) -> io::Error {
    let inner =
        error.get_ref().and_then(|wrapped| wrapped.source()).and_then(<dyn std::error::Error>::downcast_ref);
    inner.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

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
            let mut bytes = Vec::new();
            pack(&self.0.join(from), false, &mut bytes)?;
            unpack(&target(&self.0.join(to))?, false, &bytes[..])
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
    fn what_cannot_be_is_told() {
        let folder = Folder::new("wrong");
        let told = |from: &str, to: &str| folder.copy(from, to).unwrap_err().message;
        assert!(told("from/a", "to/none/x").ends_with("to/none: there is no such folder"));
        assert!(told("from/a", "to/none/").ends_with("to/none/: is not a folder"));
        assert!(told("from/none", "to").ends_with("from/none: no such file or directory"));
    }

    #[test]
    fn an_entry_that_leads_out_is_refused() {
        for name in ["../x", "/x", "a/../../x"] {
            assert!(renamed(Path::new(name), None).is_err(), "{name}");
        }
        assert_eq!(renamed(Path::new("a/b"), Some(Path::new("x"))).unwrap(), Path::new("x/b"));
        assert_eq!(renamed(Path::new("./a/b"), Some(Path::new("x"))).unwrap(), Path::new("x/a/b"));
    }
}
