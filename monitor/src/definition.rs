//! Containers that persons asked for, each a small file on the data disk:
//!
//! ```text
//! /var/lib/skerry/definitions/KEY.json
//! ```
//!
//! `KEY` is the first twelve digits of the container's ID and names its folders, its cgroup
//! and its log; the name that people use is in the file, so that a rename is one rename of
//! one file. A file is brought to disk before its request is answered. It goes last
//! when a container is removed: what else is left then belongs to nobody and is
//! taken away when it is found.
//!
//! A copy lies with the container's record, in memory. A file that the disk has spoiled is made
//! anew from it, so that nothing happens to a container that runs.

use crate::life::End;
use crate::place;
use serde::{Deserialize, Serialize};
use spec::monitor::Sandbox;
use spec::network::Port;
use spec::node::{Container, Name};
use spec::seccomp::Profile;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// A container that a person asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Definition {
    /// 64 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: Name,
    /// Nanoseconds since 1970.
    pub created: u64,
    /// Digest of the manifest of its image.
    pub digest: String,
    /// It is removed once it has ended.
    pub remove: bool,
    /// Its standard input ends with its first client's.
    #[serde(default)]
    pub stdin_once: bool,
    /// Volumes that nobody named and that were made for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameless: Vec<Name>,
    /// In place of the usual filter of system calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Box<Profile>>,
    /// What the person said last: it should run, or not.
    pub wanted: bool,
    /// It has run once.
    pub started: bool,
    /// How it ended last.
    pub last: Option<Ended>,
    /// The pod whose container it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Box<Sandbox>>,
    /// The program and its arguments, the image's too, as far as a list tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Ports that it and its image expose, as far as a list tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<Port>,
}

/// How a container ended last, for times after a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// How.
    pub end: End,
    /// Seconds since 1970.
    pub at: u64,
    /// Since when its program ran, in seconds since 1970, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<u64>,
    /// The kernel has killed a process of it for lack of memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
}

/// What lies on disk.
#[derive(Serialize, Deserialize)]
struct Stored<D, C> {
    #[serde(flatten)]
    definition: D,
    container: C,
}

fn path(key: &Name) -> PathBuf {
    place::definitions().join(format!("{key}.json"))
}

/// A new ID.
///
/// # Errors
/// The kernel's source of randomness cannot be read.
pub fn new_id() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The ID of a container of `node.toml`: the same on every boot.
pub fn configured_id(name: &Name) -> String {
    store::Digest::sha256(format!("skerry container {name}").as_bytes()).hex().to_owned()
}

fn copy(key: &str) -> PathBuf {
    place::containers().join(key).join("definition")
}

/// For root alone: a container's secrets are in it, and its folder is anybody's to look into until it is first started.
fn put_copy(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = sys::file::New::beside(path, 0o600)?;
    new.file.write_all(text)?;
    new.place()
}

/// Puts a definition in place of the one before, with its copy; on disk when this returns, if it must be
/// `durable`.
///
/// # Errors
/// The file, and why, in words.
pub fn write(
    key: &Name,
    definition: &Definition,
    container: &Container,
    durable: bool,
) -> Result<(), String> {
    let folder = place::definitions();
    let put = || -> io::Result<()> {
        let text = serde_json::to_vec(&Stored { definition, container })?;
        // It is not needed while the file is well.
        let _ = put_copy(&copy(key), &text);
        fs::create_dir_all(&folder)?;
        match durable {
            true => sys::file::replace_durably(&path(key), &text, 0o644),
            false => sys::file::replace(&path(key), &text),
        }
    };
    put().map_err(|error| format!("write {}: {}", path(key).display(), cause(&error)))
}

/// Takes a definition away, for good when it returns.
///
/// # Errors
/// The file, and why, in words.
pub fn remove(key: &Name) -> Result<(), String> {
    sys::file::remove_durably(&path(key))
        .map_err(|error| format!("remove {}: {}", path(key).display(), cause(&error)))
}

/// The keys of all files, of those that cannot be read, too.
///
/// # Errors
/// The folder cannot be listed, in words.
pub fn keys() -> Result<Vec<Name>, String> {
    let folder = place::definitions();
    keys_in(&folder).map_err(|error| format!("list {}: {}", folder.display(), cause(&error)))
}

fn keys_in(folder: &Path) -> io::Result<Vec<Name>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.strip_suffix(".json")?.parse().ok()).collect())
}

/// One definition.
///
/// # Errors
/// The file, and why it cannot be read, in words.
pub fn read(key: &Name) -> Result<(Definition, Container), String> {
    read_file(&path(key))
}

/// The copy of one whose file cannot be read, if it was written since the node booted.
pub fn read_copy(key: &Name) -> Option<(Definition, Container)> {
    read_file(&copy(key)).ok()
}

fn read_file(path: &Path) -> Result<(Definition, Container), String> {
    let text = fs::read(path).map_err(|error| cause(&error));
    let read = text.and_then(|text| {
        serde_json::from_slice::<Stored<Definition, Container>>(&text).map_err(|error| error.to_string())
    });
    match read {
        Ok(stored) => Ok((stored.definition, stored.container)),
        Err(reason) => Err(format!("read {}: {reason}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_64_digits_and_a_configured_one_stays() {
        let [a, b] = [new_id().unwrap(), new_id().unwrap()];
        assert!(a != b && a.len() == 64 && a.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let name: Name = "web".parse().unwrap();
        assert_eq!(configured_id(&name), configured_id(&name));
        assert_eq!(configured_id(&name).len(), 64);
    }

    #[test]
    fn files_are_read_and_what_is_none_is_told() {
        let folder = std::env::temp_dir().join(format!("skerry-definitions-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let definition = Definition {
            id: "ab".repeat(32),
            name: "web".parse().unwrap(),
            created: 7,
            digest: "sha256:x".into(),
            remove: false,
            stdin_once: true,
            nameless: vec!["0a".parse().unwrap()],
            seccomp: None,
            wanted: true,
            started: true,
            last: Some(Ended { end: End::Exited(3), at: 9, ran: Some(8), out_of_memory: true }),
            sandbox: None,
            command: vec!["nginx".into()],
            exposed: vec!["80".parse().unwrap()],
        };
        let container = Container::of("nginx");
        let stored = Stored { definition: &definition, container: &container };
        fs::write(folder.join("abababababab.json"), serde_json::to_vec(&stored).unwrap()).unwrap();
        fs::write(folder.join("torn.json"), b"{").unwrap();
        fs::write(folder.join("half.json.new"), b"{").unwrap();
        let mut keys = keys_in(&folder).unwrap();
        keys.sort();
        assert_eq!(keys, ["abababababab", "torn"].map(|key| key.parse().unwrap()));
        assert_eq!(read_file(&folder.join("abababababab.json")), Ok((definition, container)));
        assert!(read_file(&folder.join("torn.json")).unwrap_err().contains("torn.json"));
        assert_eq!(keys_in(&folder.join("missing")).unwrap(), []);
        let no_folder = keys_in(&folder.join("torn.json"));
        assert!(no_folder.is_err(), "a folder that cannot be listed is not an empty one");
        fs::remove_dir_all(&folder).unwrap();
    }
}
