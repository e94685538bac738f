//! `--cidfile`: a file that has a container's ID, for scripts.

use crate::error::{Context, Error, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// One that is empty, and goes unless it is written.
pub struct CidFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl CidFile {
    /// Makes it.
    ///
    /// # Errors
    /// It is there, of another container perhaps; it cannot be made.
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::create_new(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::new(format!(
                "--cidfile: {} is there; it may have the ID of another container",
                path.display()
            )),
            _ => Error::new(format!("--cidfile: make {}: {}", path.display(), sys::cause::cause(&error))),
        })?;
        Ok(Self { path: path.to_owned(), file, written: false })
    }

    /// Writes the ID, as Docker does without an end of the line.
    ///
    /// # Errors
    /// Those of write(2); the container is there.
    pub fn write(mut self, id: &str) -> Result<()> {
        let written = self.file.write_all(id.as_bytes());
        self.written = written.is_ok();
        written.context(|| format!("--cidfile: write the ID {id} to {}", self.path.display()))
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_for_a_container_that_is_there() {
        let path = std::env::temp_dir().join(format!("skerry-cid-file-{}", std::process::id()));
        drop(CidFile::new(&path).unwrap());
        assert!(!path.exists());
        CidFile::new(&path).unwrap().write("ab12").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab12");
        let told = CidFile::new(&path).map(drop).unwrap_err().message;
        assert!(told.starts_with("--cidfile: ") && told.contains(" is there; "), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "ab12");
        fs::remove_file(&path).unwrap();
    }
}
