//! Who this node is to its cluster, on the data disk:
//!
//! ```text
//! /var/lib/skerry/agent/
//! ├── name               the Node object's name, chosen once
//! ├── ca.pem             who signs the API server's certificate
//! ├── client.pem         our certificate and its key, for the API server
//! ├── next.pem           the key of one that was asked for
//! ├── machine-id         32 hexadecimal digits, chosen once
//! ├── serving.pem        certificate and key of our own server
//! └── serving-next.pem   the key of one that was asked for
//! ```
//!
//! Each file is replaced by one rename. Whoever reads `client.pem` is this node: only root can.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// The folder of a node's identity.
#[derive(Clone, Debug)]
pub struct Identity {
    folder: PathBuf,
}

impl Identity {
    /// That of a folder, which is made if need be.
    ///
    /// # Errors
    /// The folder, and why it cannot be made.
    pub fn open(folder: &Path) -> Result<Self, String> {
        fs::create_dir_all(folder)
            .map_err(|error| format!("make {}: {}", folder.display(), cause(&error)))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Path of one of the files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The text of one of the files, with U+FFFD for what is not UTF-8; none when it is not there.
    ///
    /// # Errors
    /// It cannot be read; the message names it.
    pub fn read(&self, name: &str) -> Result<Option<String>, String> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("read {}: {}", self.path(name).display(), cause(&error))),
        }
    }

    /// Puts a text in the place of one of the files; on disk when this returns.
    ///
    /// # Errors
    /// The file, and why it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        self.put(name, text, 0o600)
    }

    /// The same of what is no secret, unless it is there already.
    ///
    /// # Errors
    /// The file, and why it cannot be written.
    pub fn show(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.path(name);
        let is_shown = fs::metadata(&path).is_ok_and(|own| own.permissions().mode() & 0o777 == 0o644);
        let is_there = is_shown && self.read(name)?.as_deref() == Some(text);
        if is_there { Ok(()) } else { self.put(name, text, 0o644) }
    }

    fn put(&self, name: &str, text: &str, mode: u32) -> Result<(), String> {
        sys::file::replace_durably(&self.path(name), text.as_bytes(), mode)
            .map_err(|error| format!("write {}: {}", self.path(name).display(), cause(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_by_root_alone_unless_it_is_shown() {
        let folder = std::env::temp_dir().join(format!("skerry-identity-{}", std::process::id()));
        let identity = Identity::open(&folder).unwrap();
        assert_eq!(identity.read("name"), Ok(None));
        for text in ["a", "b"] {
            identity.write("name", text).unwrap();
            assert_eq!(identity.read("name").unwrap().as_deref(), Some(text));
        }
        let mode = || fs::metadata(identity.path("name")).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        identity.show("name", "b").unwrap();
        assert_eq!((mode(), identity.read("name").unwrap().as_deref()), (0o644, Some("b")));
        fs::remove_dir_all(&folder).unwrap();
    }
}
