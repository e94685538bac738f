//! A small initramfs in cpio's "newc" form, made in memory.
//!
//! Every file is root's and from 1970: a supervisor that finds a folder younger than its
//! clock waits a second (runsvdir does).

use crate::{Failure, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// An archive that grows; parents are to be added before what lies in them.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// Adds a folder.
    pub fn folder(self, path: &str) -> Self {
        self.entry(path, 0o040_755, b"")
    }

    /// Adds a symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, 0o120_777, target.as_bytes())
    }

    /// Adds a file that may be executed.
    pub fn text(self, path: &str, text: &str) -> Self {
        self.entry(path, 0o100_755, text.as_bytes())
    }

    /// Adds a file of the workstation with its permissions.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn file(self, path: &str, source: &Path) -> Result<Self> {
        let failed = |cause| Failure::new(format!("read {}: {cause}", source.display()));
        let mode = fs::metadata(source).map_err(failed)?.permissions().mode() & 0o777;
        Ok(self.entry(path, 0o100_000 | mode, &fs::read(source).map_err(failed)?))
    }

    /// The whole archive.
    pub fn finish(self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, b"").bytes
    }

    /// `070701` and thirteen numbers: inode, mode, owner, group, links, time, length,
    /// four of devices, the name's length, a sum that this form has not.
    fn entry(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.inode += 1;
        let name = path.trim_start_matches('/');
        let (length, named) = (content.len() as u32, name.len() as u32 + 1);
        self.bytes.extend(b"070701");
        for number in [self.inode, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, named, 0] {
            self.bytes.extend(format!("{number:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_header_name_and_content_padded_to_four() {
        let bytes = Archive::default().text("/init", "hello").finish();
        assert_eq!(&bytes[..22], b"07070100000001000081ed");
        assert_eq!(&bytes[54..62], b"00000005");
        assert_eq!(&bytes[110..124], b"init\0\0hello\0\0\0");
        assert_eq!(&bytes[124..130], b"070701");
    }
}
