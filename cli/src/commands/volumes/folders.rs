//! Volumes as folders, which come and go whole: one is made aside and put in its place with all that it has; one that
//! the monitor has put aside is emptied there. What a killed program has left of either is freed by the next one.

use nix::fcntl::{AT_FDCWD, Flock, FlockArg, RenameFlags, renameat2};
use spec::node::Name;
use spec::volume;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes a volume, with what its maker says of it; one that is there stays as it is: false.
///
/// # Errors
/// As mkdir(2), write(2), fsync(2) and renameat2(2) have them.
pub fn make(volumes: &Path, name: &Name, about: &[u8]) -> io::Result<bool> {
    let (new, folder) = (volumes.join(volume::NEW), volumes.join(&**name));
    fs::create_dir_all(volumes)?;
    // One at a time, so that what is there by this name is left over.
    let _lock = Flock::lock(File::open(volumes)?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    clear(&new)?;
    if folder.exists() {
        return Ok(false);
    }
    fs::create_dir(&new)?;
    let data = new.join(volume::DATA);
    sys::file::replace_durably(&new.join(volume::FILE), about, 0o644)?;
    sys::file::replace_durably(&new.join(volume::UNUSED), b"", 0o644)?;
    fs::create_dir(&data)?;
    sys::file::sync_folder_of(&data)?;
    match renameat2(AT_FDCWD, &new, AT_FDCWD, &folder, RenameFlags::RENAME_NOREPLACE) {
        // A container that has just been started has it.
        Err(nix::errno::Errno::EEXIST) => return clear(&new).map(|()| false),
        renamed => renamed?,
    }
    sys::file::sync_folder_of(&folder).map(|()| true)
}

/// Empties what was put aside, once nobody else does; gives the bytes that it had.
///
/// # Errors
/// As flock(2), unlinkat(2) and fsync(2) have them.
pub fn empty(aside: &Path) -> io::Result<u64> {
    empty_when(aside, FlockArg::LockExclusive)
}

/// Empties all that was put aside and nobody empties; gives the bytes that it had.
///
/// # Errors
/// The first, as [`empty`].
pub fn sweep(volumes: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(volumes) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let aside = name.to_str().and_then(|name| name.strip_prefix('.')?.parse::<Name>().ok());
        if aside.is_some() {
            bytes += empty_when(&entry.path(), FlockArg::LockExclusiveNonblock)?;
        }
    }
    Ok(bytes)
}

fn empty_when(aside: &Path, lock: FlockArg) -> io::Result<u64> {
    let folder = match File::open(aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        folder => folder?,
    };
    let _lock = match Flock::lock(folder, lock) {
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(0),
        locked => locked.map_err(|(_, error)| error)?,
    };
    let bytes = size(aside);
    // That it was put aside comes first: no half of it is a volume after a power cut.
    sys::file::sync_folder_of(aside)?;
    clear(aside)?;
    Ok(bytes)
}

fn clear(folder: &Path) -> io::Result<()> {
    match sys::tree::remove(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes that a folder and all in it take on disk, as far as it can be read.
pub fn size(folder: &Path) -> u64 {
    let mut blocks = 0;
    sys::tree::walk(folder, |about| blocks += about.st_blocks.unsigned_abs());
    blocks * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_come_and_go_whole() {
        let volumes = std::env::temp_dir().join(format!("skerry-volumes-{}", std::process::id()));
        let _ = fs::remove_dir_all(&volumes);
        let make = |name: &str| make(&volumes, &name.parse().unwrap(), b"{}");
        // One that was killed over it has left this.
        fs::create_dir_all(volumes.join("..new/data")).unwrap();
        fs::write(volumes.join("..new/other"), "").unwrap();
        make("a").unwrap();
        let of = |name: &str| {
            let entries = fs::read_dir(volumes.join(name)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(of("a"), ["data", "unused", "volume.json"]);
        // Its first container has it.
        fs::remove_file(volumes.join("a/unused")).unwrap();
        make("a").unwrap();
        assert_eq!(of("a"), ["data", "volume.json"]);
        // A container's first use is at work.
        fs::create_dir_all(volumes.join("b/new")).unwrap();
        make("b").unwrap();
        assert_eq!(of("b"), ["new"]);
        for left in [".a", ".c", ".busy"] {
            fs::create_dir(volumes.join(left)).unwrap();
            fs::write(volumes.join(left).join("file"), [1; 8192]).unwrap();
        }
        let busy = Flock::lock(File::open(volumes.join(".busy")).unwrap(), FlockArg::LockExclusive).unwrap();
        assert!(sweep(&volumes).unwrap() >= 2 * 8192);
        assert_eq!(of("."), [".busy", "a", "b"]);
        drop(busy);
        assert!(empty(&volumes.join(".busy")).unwrap() >= 8192);
        assert_eq!(empty(&volumes.join(".busy")).unwrap(), 0);
        assert_eq!(of("."), ["a", "b"]);
        fs::remove_dir_all(&volumes).unwrap();
        assert_eq!(sweep(&volumes).unwrap(), 0);
    }

    #[test]
    fn what_lies_in_a_folder_is_counted_with_what_is_below() {
        let folder = std::env::temp_dir().join(format!("skerry-size-{}", std::process::id()));
        fs::create_dir_all(folder.join("below")).unwrap();
        fs::write(folder.join("below/file"), vec![1; 10_000]).unwrap();
        let counted = size(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert!((10_000..100_000).contains(&counted), "{counted}");
        assert_eq!(size(&folder), 0);
    }
}
