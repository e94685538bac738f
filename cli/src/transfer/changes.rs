//! What a container has changed of its image's files.
//!
//! | in the folder that it writes to (overlayfs.rst) | means |
//! |---|---|
//! | a character device 0/0 | what the image has there is deleted |
//! | a folder with `trusted.overlay.opaque` | and so is all that the image has in it |
//! | anything else | it is new, or stands in place of the image's; a folder also when only what lies in it has changed |

use crate::error::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What the node mounts in each container. Where the image has no such place it is made, and no change of the container's.
const PLACES: [&str; 6] = ["dev", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sys"];

/// One file that is not as the image has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Added,
    Changed,
    Deleted,
    /// It is as it was, though what lies in it may not be.
    Same,
}

/// As `docker diff` has it: `A /etc/new`.
impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            Kind::Added => 'A',
            Kind::Changed | Kind::Same => 'C',
            Kind::Deleted => 'D',
        };
        write!(out, "{letter} /{}", self.path.display())
    }
}

/// What `written` changes of `image`, a folder before what lies in it, by name.
///
/// # Errors
/// Which file cannot be read.
pub fn changes(image: &Path, written: &Path) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    // What is to be looked at, the next one last, and whether its folder is one of the image's.
    let mut left = vec![(PathBuf::new(), true)];
    while let Some((path, known)) = left.pop() {
        let (was, is) = (image.join(&path), written.join(&path));
        let look = || -> io::Result<_> {
            let before = if known { about(&was)? } else { None };
            let now = about(&is)?;
            let known = before.as_ref().is_some_and(Metadata::is_dir);
            let names = match now.as_ref().is_some_and(Metadata::is_dir) {
                true => names(&was, &is, known)?,
                false => BTreeSet::new(),
            };
            let kind = match kind(before.as_ref(), now.as_ref()) {
                Some(Kind::Added) if PLACES.iter().any(|place| path == Path::new(place)) => Some(Kind::Same),
                kind => kind,
            };
            Ok((kind, known, names))
        };
        let (kind, known, names) = look().context(|| format!("read /{}", path.display()))?;
        left.extend(names.iter().rev().map(|name| (path.join(name), known)));
        found.extend(kind.map(|kind| Change { kind, path }));
    }
    Ok(told(found))
}

/// What became of a file; nothing, where there was none and is none.
fn kind(before: Option<&Metadata>, now: Option<&Metadata>) -> Option<Kind> {
    match (before, now.filter(|now| !is_whiteout(now))) {
        (None, None) => None,
        (Some(_), None) => Some(Kind::Deleted),
        (None, Some(_)) => Some(Kind::Added),
        (Some(before), Some(now)) if before.is_dir() && before.mode() == now.mode() => Some(Kind::Same),
        (Some(_), Some(_)) => Some(Kind::Changed),
    }
}

fn is_whiteout(about: &Metadata) -> bool {
    about.file_type().is_char_device() && about.rdev() == 0
}

/// What a folder that was written has, and what it hides of the image's.
fn names(was: &Path, is: &Path, known: bool) -> io::Result<BTreeSet<OsString>> {
    let hides = known && sys::xattr::get(is, "trusted.overlay.opaque")?.as_deref() == Some(b"y");
    let folders = [Some(is), hides.then_some(was)];
    let entries = folders.into_iter().flatten().map(fs::read_dir).collect::<io::Result<Vec<_>>>()?;
    entries.into_iter().flatten().map(|entry| entry.map(|entry| entry.file_name())).collect()
}

/// Without folders in which nothing has changed.
fn told(mut found: Vec<Change>) -> Vec<Change> {
    let mut told: Vec<Change> = Vec::new();
    while let Some(change) = found.pop() {
        let leads_to = |next: &Change| next.path.starts_with(&change.path);
        let is_root = change.path.as_os_str().is_empty();
        if !is_root && (change.kind != Kind::Same || told.last().is_some_and(leads_to)) {
            told.push(change);
        }
    }
    told.reverse();
    told
}

/// None: it is not there.
fn about(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        about => about.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::{Mode, SFlag, mknod};
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// Two folders, gone with it.
    struct Two(PathBuf);

    impl Two {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("skerry-changes-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            let two = Self(path);
            for folder in ["image/etc/deep", "image/tmp", "image/bin", "written"] {
                fs::create_dir_all(two.0.join(folder)).unwrap();
            }
            for file in ["image/etc/a", "image/etc/deep/b", "image/bin/c"] {
                fs::write(two.0.join(file), "").unwrap();
            }
            two
        }

        fn folder(&self, path: &str, mode: u32) {
            let path = self.0.join("written").join(path);
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn file(&self, path: &str) {
            fs::write(self.0.join("written").join(path), "").unwrap();
        }

        fn changes(&self) -> Vec<String> {
            let changes = changes(&self.0.join("image"), &self.0.join("written")).unwrap();
            changes.iter().map(ToString::to_string).collect()
        }
    }

    impl Drop for Two {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_folder_is_told_when_something_in_it_is() {
        let two = Two::new("folders");
        let mode = fs::metadata(two.0.join("image/etc")).unwrap().mode();
        two.folder("etc/deep", mode);
        two.folder("etc", mode);
        two.folder("tmp", mode);
        assert_eq!(two.changes(), [""; 0]);
        two.file("etc/deep/b");
        two.file("etc/deep-sea");
        two.folder("etc/new/sub", mode);
        let etc =
            ["C /etc", "C /etc/deep", "C /etc/deep/b", "A /etc/deep-sea", "A /etc/new", "A /etc/new/sub"];
        assert_eq!(two.changes(), etc);
        // What is mounted on is the node's.
        two.folder("proc", mode);
        two.file("etc/hosts");
        assert_eq!(two.changes(), etc);
        two.folder("tmp", 0o700);
        assert_eq!(two.changes().last().unwrap(), "C /tmp");
    }

    #[test]
    fn what_stands_in_place_of_something_else_has_nothing_of_it() {
        let two = Two::new("kinds");
        // Through a link of the image's nothing is looked for.
        symlink("etc", two.0.join("image/link")).unwrap();
        two.folder("link", 0o755);
        two.file("link/a");
        two.folder("etc", fs::metadata(two.0.join("image/etc")).unwrap().mode());
        two.file("etc/deep");
        assert_eq!(two.changes(), ["C /etc", "C /etc/deep", "C /link", "A /link/a"]);
    }

    #[test]
    #[ignore = "needs root"]
    fn what_is_hidden_is_deleted() {
        let two = Two::new("hidden");
        let whiteout = |path: &str| {
            mknod(&two.0.join("written").join(path), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
        };
        let mode = fs::metadata(two.0.join("image/etc")).unwrap().mode();
        two.folder("etc", mode);
        two.file("etc/a");
        let etc = fs::File::open(two.0.join("written/etc")).unwrap();
        sys::xattr::set(std::os::fd::AsFd::as_fd(&etc), c"trusted.overlay.opaque", b"y").unwrap();
        two.folder("bin", mode);
        whiteout("bin/c");
        whiteout("bin/none");
        whiteout("tmp");
        assert_eq!(two.changes(), ["C /bin", "D /bin/c", "C /etc", "C /etc/a", "D /etc/deep", "D /tmp"]);
    }
}
