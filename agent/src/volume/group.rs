//! A volume that was there before its pod is given to the pod's group (`fsGroup`) with all that is in it, as kubelets do
//! ("Configure volume permission and ownership change policy for Pods").

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{Gid, fchownat};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use sys::cause::cause;

/// What a group gets: of all, and of folders beside it; what is made in these is the group's, too.
const ALL: u32 = 0o660;
const FOLDERS: u32 = 0o2770;

/// Gives a folder and all beneath it to a group that may read and write it. No symlink is followed, and what goes
/// meanwhile is let go. With the `policy` `OnRootMismatch` nothing is done where the folder itself is the group's already.
/// Says whether it was done: once it is `given_up` nothing more is changed, which may be another group's by then.
///
/// # Errors
/// What cannot be changed, in words.
pub fn give(folder: &Path, group: u32, policy: Option<&str>, given_up: &AtomicBool) -> Result<bool, String> {
    let named = |path: &Path, error: io::Error| {
        format!("give {} to group {group}: {}", folder.join(path).display(), cause(&error))
    };
    let root = super::root(folder).map_err(|error| named(Path::new(""), error))?;
    let own = root.metadata().map_err(|error| named(Path::new(""), error))?;
    if policy == Some("OnRootMismatch") && own.gid() == group && own.mode() & FOLDERS == FOLDERS {
        return Ok(true);
    }
    let mut folders = vec![PathBuf::from(".")];
    while let Some(at) = folders.pop() {
        let more = give_folder(&root, &at, group, given_up).or_else(|(path, error)| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
            _ => Err(named(&path, error)),
        })?;
        folders.extend(more);
    }
    Ok(!given_up.load(Ordering::Relaxed))
}

/// Gives one folder and what is no folder in it; says which folders are in it.
fn give_folder(
    root: &File,
    at: &Path,
    group: u32,
    given_up: &AtomicBool,
) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    if given_up.load(Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |error| (path, error)
    };
    let folder = open(root, at, OFlag::O_DIRECTORY).map_err(fail(at))?;
    change(&folder, group).map_err(fail(at))?;
    let mut folders = Vec::new();
    for entry in fs::read_dir(by_number(&folder)).map_err(fail(at))? {
        if given_up.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let path = at.join(entry.map_err(fail(at))?.file_name());
        let opened = match open(root, &path, OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(fail(&path))?,
        };
        if opened.metadata().map_err(fail(&path))?.is_dir() {
            folders.push(path);
        } else {
            change(&opened, group).map_err(fail(&path))?;
        }
    }
    Ok(folders)
}

fn open(root: &File, path: &Path, flags: OFlag) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    Ok(File::from(openat2(root.as_fd(), path, how)?))
}

/// The way to what is open, which nobody else can change.
fn by_number(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn change(file: &File, group: u32) -> io::Result<()> {
    let own = file.metadata()?;
    fchownat(file.as_fd(), "", None, Some(Gid::from_raw(group)), AtFlags::AT_EMPTY_PATH)?;
    if own.file_type().is_symlink() {
        return Ok(());
    }
    let more = if own.is_dir() { FOLDERS } else { ALL };
    fs::set_permissions(by_number(file), Permissions::from_mode(own.mode() & 0o7777 | more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_of_a_volume_is_its_groups_and_nothing_else() {
        let base = std::env::temp_dir().join(format!("skerry-group-{}", std::process::id()));
        let (volume, other) = (base.join("volume"), base.join("other"));
        fs::create_dir_all(volume.join("a/b")).unwrap();
        for file in [volume.join("a/b/data"), other.clone()] {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        symlink(&other, volume.join("a/link")).unwrap();
        symlink(&base, volume.join("a/up")).unwrap();
        // Whoever runs the tests may always give files to its own group.
        let group = nix::unistd::getegid().as_raw();
        let give = |path: &Path, policy| super::give(path, group, policy, &AtomicBool::new(false));
        assert_eq!(super::give(&volume, group, None, &AtomicBool::new(true)), Ok(false));
        assert_eq!(fs::metadata(volume.join("a/b/data")).unwrap().mode() & 0o777, 0o600, "nobody waits");
        assert_eq!(give(&volume, None), Ok(true));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&volume.join("a/b/data")), 0o660);
        assert_eq!(mode(&volume.join("a/b")) & FOLDERS, FOLDERS);
        assert_eq!(mode(&other), 0o600, "no symlink is followed");
        fs::set_permissions(volume.join("a/b/data"), Permissions::from_mode(0o600)).unwrap();
        give(&volume, Some("OnRootMismatch")).unwrap();
        assert_eq!(mode(&volume.join("a/b/data")), 0o600, "its folder is the group's already");
        give(&volume, Some("Always")).unwrap();
        assert_eq!(mode(&volume.join("a/b/data")), 0o660);
        let error = give(&base.join("none"), None).unwrap_err();
        assert!(error.contains("none") && error.contains("no such file"), "{error}");
        nix::unistd::mkfifo(&base.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(give(&base.join("pipe"), None).is_err(), "nobody waits for its other end");
        fs::remove_dir_all(base).unwrap();
    }
}
