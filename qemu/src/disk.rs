//! A disk of a machine, as a value.

use std::path::{Path, PathBuf};

/// A raw disk image that the guest sees as a virtio block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub(crate) file: PathBuf,
    pub(crate) serial: Option<String>,
    pub(crate) read_only: bool,
    pub(crate) snapshot: bool,
}

impl Disk {
    /// The disk whose bytes are those of `file`.
    pub fn new(file: impl AsRef<Path>) -> Self {
        Self { file: file.as_ref().to_owned(), serial: None, read_only: false, snapshot: false }
    }

    /// The serial number that the disk reports, at most 20 bytes.
    pub fn serial(self, serial: &str) -> Self {
        Self { serial: Some(serial.to_owned()), ..self }
    }

    /// The guest cannot write; several machines may share the file.
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// What the guest writes is forgotten with the machine.
    pub fn snapshot(self) -> Self {
        Self { snapshot: true, ..self }
    }
}
