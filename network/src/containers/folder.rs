//! Where networks and containers are written down:
//!
//! ```text
//! /var/lib/skerry/networks/NAME.json        a network
//! /run/skerry/network/containers/NAME.json  a container's record
//! /run/skerry/network/lock                  held by whoever changes anything
//! /run/skerry/netns/NAME                    a container's network namespace
//! ```
//!
//! A file is replaced by one rename. The lock is let go by the kernel when its
//! holder ends, however it does.

use super::record::Record;
use serde::Serialize;
use serde::de::DeserializeOwned;
use spec::network::Network;
use spec::paths;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// A folder of files `NAME.json`.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The networks.
pub fn networks() -> Folder {
    Folder(PathBuf::from(paths::NETWORKS))
}

/// The containers' records.
pub fn records() -> Folder {
    Folder(PathBuf::from(paths::CONTAINER_NETWORKS))
}

/// Waits until no other verb is at work; the file that is returned is the lock.
///
/// # Errors
/// It cannot be opened.
pub fn lock() -> Result<File, String> {
    locked(|file| file.lock().map(|()| file))
}

/// The same without waiting; none while a verb is at work.
///
/// # Errors
/// It cannot be opened.
pub fn lock_if_free() -> Result<Option<File>, String> {
    locked(|file| match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    })
}

fn locked<T>(lock: impl FnOnce(File) -> io::Result<T>) -> Result<T, String> {
    let path = Path::new(paths::NETWORK_LOCK);
    let open = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        lock(File::create(path)?)
    };
    open().map_err(|error| format!("lock {}: {}", path.display(), cause(&error)))
}

/// What lies in a folder.
#[derive(Clone, Debug)]
pub struct All<T> {
    /// What could be read, in the order of the names.
    pub there: Vec<T>,
    /// By name, why a file could not be read or does not parse; the message names the file. Of what it holds nobody
    /// knows, so nothing may be given away that may be its.
    pub faults: BTreeMap<String, String>,
}

impl<T> All<T> {
    /// That all but this one could be read.
    ///
    /// # Errors
    /// Why another one could not.
    pub fn whole_but(&self, name: &str) -> Result<(), String> {
        match self.faults.iter().find(|(other, _)| *other != name) {
            Some((_, fault)) => Err(fault.clone()),
            None => Ok(()),
        }
    }
}

/// Reads every network.
///
/// # Errors
/// The folder cannot be listed.
pub fn all_networks() -> Result<All<Network>, String> {
    networks().all()
}

/// Reads every record.
///
/// # Errors
/// The folder cannot be listed.
pub fn all_records() -> Result<All<Record>, String> {
    records().all()
}

impl Folder {
    /// Everything in it, by name.
    fn all<T: DeserializeOwned>(&self) -> Result<All<T>, String> {
        let mut all = All { there: Vec::new(), faults: BTreeMap::new() };
        for path in self.files().map_err(|error| format!("read {}: {}", self.0.display(), cause(&error)))? {
            match read(&path) {
                Ok(one) => all.there.push(one),
                Err(fault) => {
                    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                    all.faults.insert(name, fault);
                }
            }
        }
        Ok(all)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // One that is missing for a fault of the disk is not one that is gone.
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        Ok(paths)
    }

    /// Writes one, on the disk when this returns.
    ///
    /// # Errors
    /// What could not be done, in words.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), String> {
        let path = self.0.join(format!("{name}.json"));
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            sys::file::replace_durably(&path, serde_json::to_string_pretty(value)?.as_bytes(), 0o644)
        };
        write().map_err(|error| format!("write {}: {}", path.display(), cause(&error)))
    }

    /// Removes one, for good when this returns; that there is none is no error.
    ///
    /// # Errors
    /// What could not be done, in words.
    pub fn remove(&self, name: &str) -> Result<(), String> {
        let path = self.0.join(format!("{name}.json"));
        sys::file::remove_durably(&path)
            .map_err(|error| format!("remove {}: {}", path.display(), cause(&error)))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("read {}: {}", path.display(), cause(&error)))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::network;

    #[test]
    fn a_file_that_is_none_hides_no_other() {
        let folder = std::env::temp_dir().join(format!("skerry-networks-{}", std::process::id()));
        let networks = Folder(folder.clone());
        assert!(networks.all::<Network>().unwrap().there.is_empty());
        networks.write("bridge", &network("bridge", "skerry0")).unwrap();
        for (name, text) in [("back", "{"), ("empty", "")] {
            fs::write(folder.join(format!("{name}.json")), text).unwrap();
        }
        let all = networks.all::<Network>().unwrap();
        assert_eq!(all.there, [network("bridge", "skerry0")]);
        assert!(all.faults["back"].contains("back.json: EOF") && all.faults.len() == 2, "{:?}", all.faults);
        assert!(all.whole_but("back").unwrap_err().contains("empty.json"));
        networks.remove("empty").unwrap();
        assert_eq!(networks.all::<Network>().unwrap().whole_but("back"), Ok(()));
        assert!(Folder(folder.join("back.json")).all::<Network>().is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
