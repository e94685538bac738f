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
use std::fs::{self, File};
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
    let path = Path::new(paths::NETWORK_LOCK);
    let open = || -> io::Result<File> {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let file = File::create(path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|error| format!("lock {}: {}", path.display(), cause(&error)))
}

/// Reads every network.
///
/// # Errors
/// A file that cannot be read or does not parse; the message names it.
pub fn all_networks() -> Result<Vec<Network>, String> {
    networks().all()
}

/// Reads every record.
///
/// # Errors
/// A file that cannot be read or does not parse; the message names it.
pub fn all_records() -> Result<Vec<Record>, String> {
    records().all()
}

impl Folder {
    /// Everything in it, by name.
    fn all<T: DeserializeOwned>(&self) -> Result<Vec<T>, String> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(format!("read {}: {}", self.0.display(), cause(&error))),
            Ok(entries) => entries,
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
        paths.sort();
        paths.iter().map(|path| read(path)).collect()
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
