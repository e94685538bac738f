//! Files of a volume, replaced all at once: whoever reads sees the old ones or the new ones.
//!
//! ```text
//! VOLUME/
//! ├── ..1732800000.1/     what is there now
//! │   └── token
//! ├── ..data ─▶ ..1732800000.1     swapped by one rename
//! └── token ─▶ ..data/token
//! ```

use super::payload::Payload;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const DATA: &str = "..data";

/// Whose the files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// A user other than root.
    pub user: Option<u32>,
    /// `fsGroup`: may read what the owner may.
    pub group: Option<u32>,
}

/// Puts files in the place of those that are there; says whether anything has changed.
///
/// # Errors
/// Those of making files and links.
pub fn write(volume: &Path, payload: &Payload, owner: Owner) -> io::Result<bool> {
    if is_there(volume, payload) {
        // Whoever put it there may have been killed before it was all done.
        show(volume, payload)?;
        return Ok(false);
    }
    let new = fresh();
    let made = make(volume, &new, payload, owner);
    if made.is_err() {
        // On a full disk the next attempt would be one more.
        let _ = fs::remove_dir_all(volume.join(&new));
    }
    made?;
    show(volume, payload)?;
    Ok(true)
}

/// Makes the folder of this name and puts it in the place of the one before.
fn make(volume: &Path, new: &Path, payload: &Payload, owner: Owner) -> io::Result<()> {
    let folder = volume.join(new);
    fs::DirBuilder::new().mode(0o755).create(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    for (path, (bytes, mode)) in payload {
        put(&folder, path, bytes, *mode, owner)?;
    }
    let link = volume.join("..data_new");
    let _ = fs::remove_file(&link);
    symlink(new, &link)?;
    fs::rename(&link, volume.join(DATA))
}

fn fresh() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("..{now}.{}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

fn put(folder: &Path, path: &str, bytes: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
    let path = folder.join(path);
    let mut parent = folder.to_owned();
    for part in path.parent().and_then(|own| own.strip_prefix(folder).ok()).into_iter().flatten() {
        parent.push(part);
        match fs::create_dir(&parent) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => fs::set_permissions(&parent, fs::Permissions::from_mode(0o755))?,
        }
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(bytes)?;
    if owner.user.is_some() || owner.group.is_some() {
        chown(&path, owner.user, owner.group)?;
    }
    // What the owner may read, the group that was asked for may, too.
    let shared = if owner.group.is_some() { (mode & 0o700) >> 3 & 0o50 } else { 0 };
    fs::set_permissions(&path, fs::Permissions::from_mode(mode | shared))
}

/// Links to what is there, and none to what is not, which goes.
fn show(volume: &Path, payload: &Payload) -> io::Result<()> {
    let tops: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for top in &tops {
        let link = volume.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(top), &link)?;
        }
    }
    let now = fs::read_link(volume.join(DATA))?;
    for entry in fs::read_dir(volume)?.flatten() {
        let name = entry.file_name();
        let stays =
            name == *now.as_os_str() || name.to_str().is_some_and(|name| name == DATA || tops.contains(name));
        if stays {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// The files that are there are these.
fn is_there(volume: &Path, payload: &Payload) -> bool {
    let Ok(folder) = fs::canonicalize(volume.join(DATA)) else { return false };
    let mut count = 0;
    let mut folders = vec![folder.clone()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => count += 1,
            }
        }
    }
    count == payload.len()
        && payload.iter().all(|(path, (bytes, _))| fs::read(folder.join(path)).is_ok_and(|own| own == *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        files.iter().map(|(path, text)| ((*path).to_owned(), (text.as_bytes().to_vec(), 0o640))).collect()
    }

    #[test]
    fn all_files_change_at_once_and_nothing_is_left() {
        let volume = std::env::temp_dir().join(format!("skerry-volume-{}", std::process::id()));
        fs::create_dir_all(&volume).unwrap();
        assert!(write(&volume, &payload(&[("a", "1"), ("d/b", "2")]), Owner::default()).unwrap());
        assert_eq!(fs::read_to_string(volume.join("d/b")).unwrap(), "2");
        assert_eq!(fs::metadata(volume.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        let first = fs::read_link(volume.join(DATA)).unwrap();
        assert!(
            !write(&volume, &payload(&[("a", "1"), ("d/b", "2")]), Owner::default()).unwrap(),
            "it is there"
        );
        // A file cannot be a folder as well.
        write(&volume, &payload(&[("a", "3"), ("a/b", "4")]), Owner::default()).unwrap_err();
        let hidden = || {
            fs::read_dir(&volume)
                .unwrap()
                .flatten()
                .filter(|one| one.file_name().to_string_lossy().starts_with("..1"))
        };
        assert_eq!(hidden().count(), 1, "nothing of an attempt that failed is left");
        assert!(write(&volume, &payload(&[("a", "3"), ("c", "4")]), Owner::default()).unwrap());
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "3");
        let mut names: Vec<_> = fs::read_dir(&volume)
            .unwrap()
            .flatten()
            .map(|one| one.file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert!(!volume.join(first).exists() && names.len() == 4 && names[2..] == ["a", "c"], "{names:?}");
        assert!(write(&volume, &Payload::new(), Owner::default()).unwrap());
        assert_eq!(fs::read_dir(&volume).unwrap().count(), 2);
        fs::remove_dir_all(&volume).unwrap();
    }

    #[test]
    fn what_was_put_there_by_half_is_made_whole() {
        let volume = std::env::temp_dir().join(format!("skerry-volume-half-{}", std::process::id()));
        fs::create_dir_all(&volume).unwrap();
        let own = payload(&[("a", "1"), ("d/b", "2")]);
        assert!(write(&volume, &own, Owner::default()).unwrap());
        // As it lies between the rename and what comes after it.
        fs::remove_file(volume.join("a")).unwrap();
        symlink(Path::new(DATA).join("old"), volume.join("old")).unwrap();
        fs::create_dir_all(volume.join("..1.0/d")).unwrap();
        symlink("..1.0", volume.join("..data_new")).unwrap();
        assert!(!write(&volume, &own, Owner::default()).unwrap());
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "1");
        let left = fs::read_dir(&volume).unwrap().count();
        assert_eq!(left, 4, "..data, its folder, a and d");
        fs::remove_dir_all(&volume).unwrap();
    }
}
