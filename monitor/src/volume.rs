//! Named volumes: folders that stay when containers go.
//!
//! ```text
//! /var/lib/skerry/volumes/NAME/
//! ├── data/       what is mounted
//! └── new/        being filled; a volume is there once this was renamed to data
//! ```
//!
//! A volume is made at its first use and filled then with what the image has at that place,
//! as Docker does; so it is whole or not there whenever the monitor is killed. Files keep
//! owner, mode, times and extended attributes; a hard link becomes a file of its own.

use crate::place;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;
use spec::node::Mount;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Makes the volumes of a container that is about to be made, whose root is mounted.
///
/// # Errors
/// Which volume, and why, in words.
pub fn prepare(mounts: &[Mount], root: &Path) -> Result<(), String> {
    for mount in mounts {
        let Mount::Volume { name, target, .. } = mount else { continue };
        let data = place::volume(name);
        if !data.exists() {
            make(&data, root, target)
                .map_err(|error| format!("make the volume {:?}: {}", &**name, cause(&error)))?;
        }
    }
    Ok(())
}

fn make(data: &Path, root: &Path, target: &str) -> io::Result<()> {
    let new = data.with_file_name("new");
    match fs::remove_dir_all(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(&new)?,
    }
    if let Some(folder) = inside(root, target) {
        copy(&folder, &new)?;
        // Its files are on the disk before their folder has the name by which it counts as filled.
        nix::unistd::syncfs(File::open(&new)?)?;
    }
    fs::rename(new, data)?;
    sys::file::sync_folder_of(data)
}

/// The image's folder of this path, with every link on the way within the root.
fn inside(root: &Path, target: &str) -> Option<PathBuf> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let folder = openat2(File::open(root).ok()?, target.trim_start_matches('/'), how).ok()?;
    fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let old = fs::symlink_metadata(&from)?;
        let kind = old.file_type();
        if kind.is_dir() {
            fs::create_dir(&to)?;
            copy(&from, &to)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else if kind.is_file() {
            fs::copy(&from, &to)?;
        } else if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
            let bits = SFlag::from_bits_truncate(old.mode());
            mknod(&to, bits, Mode::empty(), old.rdev())?;
        } else {
            continue;
        }
        dress(&from, &to, &old)?;
    }
    dress(from, to, &fs::symlink_metadata(from)?)
}

/// Gives a file what the other one has beside its bytes.
fn dress(from: &Path, to: &Path, old: &Metadata) -> io::Result<()> {
    lchown(to, Some(old.uid()), Some(old.gid()))?;
    if !old.is_symlink() {
        fs::set_permissions(to, Permissions::from_mode(old.mode() & 0o7777))?;
    }
    if old.is_file() || old.is_dir() {
        let (from, to) = (File::open(from)?, File::open(to)?);
        for name in sys::xattr::names(from.as_fd())? {
            sys::xattr::set(to.as_fd(), &name, &sys::xattr::value(from.as_fd(), &name)?)?;
        }
    }
    let time = |seconds: i64, rest: i64| TimeSpec::new(seconds, rest);
    let (accessed, changed) = (time(old.atime(), old.atime_nsec()), time(old.mtime(), old.mtime_nsec()));
    utimensat(AT_FDCWD, to, &accessed, &changed, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_begins_as_the_images_folder() {
        let folder = std::env::temp_dir().join(format!("skerry-volume-{}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("srv/data/deep")).unwrap();
        fs::write(root.join("srv/data/deep/file"), "text").unwrap();
        fs::set_permissions(root.join("srv/data"), Permissions::from_mode(0o1777)).unwrap();
        symlink("deep/file", root.join("srv/data/link")).unwrap();
        // An absolute link leads to the root's own folder.
        symlink("/srv", root.join("var")).unwrap();
        let data = folder.join("volumes/v/data");
        make(&data, &root, "/var/data").unwrap();
        assert_eq!(fs::read_to_string(data.join("link")).unwrap(), "text");
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o1777);
        assert!(!folder.join("volumes/v/new").exists());
        let empty = folder.join("volumes/w/data");
        make(&empty, &root, "/nothing/there").unwrap();
        assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
