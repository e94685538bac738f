//! The folder that a build writes to. Files grow in a folder of their own below it and
//! are renamed when all are whole: a build that fails leaves what was there before, and one that is
//! killed amid the renaming leaves no last file, without which nothing counts.

use crate::error::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Below the output's folder; a build that was killed leaves it to the next.
const WORK: &str = ".skerry-image.tmp";

/// An output folder that no other build writes to.
pub struct Output {
    folder: PathBuf,
    work: PathBuf,
    _lock: Flock<File>,
}

impl Output {
    /// Makes the folder, locks it, and removes what a killed build left.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        let handle = File::open(folder).map_err(|error| Error::io("open", folder, &error))?;
        let lock = Flock::lock(handle, FlockArg::LockExclusiveNonblock)
            .map_err(|_| Error::new(format!("{}: another build writes there", folder.display())))?;
        let output = Self { folder: folder.to_owned(), work: folder.join(WORK), _lock: lock };
        output.clear()?;
        let scratch = output.scratch();
        fs::create_dir_all(&scratch).map_err(|error| Error::io("create", &scratch, &error))?;
        Ok(output)
    }

    fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(&self.work) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.work, &error))
            }
            _ => Ok(()),
        }
    }

    /// A folder for what is not delivered, gone with this value.
    pub fn scratch(&self) -> PathBuf {
        self.work.join("scratch")
    }

    /// Where a file grows.
    pub fn growing(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// Writes one file through `fill`, and tells its length in bytes.
    pub fn write<F>(&self, name: &str, fill: F) -> Result<u64>
    where
        F: FnOnce(BufWriter<File>) -> Result<BufWriter<File>>,
    {
        let path = self.growing(name);
        let failed = |error: &std::io::Error| Error::io("write", &self.folder.join(name), error);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path);
        let file = fill(BufWriter::with_capacity(1 << 20, file.map_err(|error| failed(&error))?))
            .map_err(|error| error.within(format!("write {}", self.folder.join(name).display())))?;
        let file = file.into_inner().map_err(|error| failed(error.error()))?;
        // Whatever the umask: the same modes everywhere.
        let finished = file.set_permissions(fs::Permissions::from_mode(0o644)).and_then(|()| file.sync_all());
        finished.and_then(|()| file.metadata()).map(|metadata| metadata.len()).map_err(|error| failed(&error))
    }

    /// Names the files for good, the last one last; removes those that this build does not have, and before all an
    /// older last one, which would vouch for a mix of two builds.
    pub fn publish(&self, names: &[&str], absent: &[&str]) -> Result<()> {
        for name in names.last().into_iter().chain(absent) {
            let path = self.folder.join(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, &error));
                }
                _ => {}
            }
        }
        for name in names {
            let path = self.folder.join(name);
            fs::rename(self.growing(name), &path).map_err(|error| Error::io("rename to", &path, &error))?;
        }
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The build's own result is what is told; a rest is removed by the next one.
        let _ = self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("skerry-image-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn put(output: &Output, name: &str, text: &str) -> Result<u64> {
        output.write(name, |mut file| {
            file.write_all(text.as_bytes()).map_err(|error| Error::new(error.to_string()))?;
            Ok(file)
        })
    }

    #[test]
    fn files_appear_when_they_are_published_and_nothing_else_stays() {
        let folder = folder("publish");
        let output = Output::open(&folder).unwrap();
        assert_eq!(put(&output, "a", "one").unwrap(), 3);
        assert_eq!(names(&folder), [WORK]);
        output.publish(&["a"], &["b"]).unwrap();
        drop(output);
        assert_eq!(names(&folder), ["a"]);
        assert_eq!(fs::metadata(folder.join("a")).unwrap().permissions().mode() & 0o777, 0o644);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_build_that_fails_leaves_what_was_there() {
        let folder = folder("fail");
        let output = Output::open(&folder).unwrap();
        put(&output, "a", "old").unwrap();
        output.publish(&["a"], &[]).unwrap();
        drop(output);
        let output = Output::open(&folder).unwrap();
        put(&output, "a", "new").unwrap();
        let error = output.write("b", |_| Err(Error::new("no space left on device"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("write {}: no space left on device", folder.join("b").display())
        );
        drop(output);
        assert_eq!(names(&folder), ["a"]);
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"old");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_mix_of_two_builds_has_no_last_file() {
        let folder = folder("mix");
        // Something of another's where the second file belongs.
        fs::create_dir_all(folder.join("b/theirs")).unwrap();
        fs::write(folder.join("last"), "old").unwrap();
        let output = Output::open(&folder).unwrap();
        for name in ["a", "b", "last"] {
            put(&output, name, "new").unwrap();
        }
        let error = output.publish(&["a", "b", "last"], &[]).unwrap_err();
        drop(output);
        assert!(
            error.to_string().starts_with(&format!("rename to {}", folder.join("b").display())),
            "{error}"
        );
        assert_eq!(fs::read(folder.join("a")).unwrap(), b"new");
        assert!(!folder.join("last").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_builds_never_write_to_one_folder() {
        let folder = folder("lock");
        let first = Output::open(&folder).unwrap();
        let error = Output::open(&folder).err().unwrap();
        assert!(error.to_string().ends_with("another build writes there"), "{error}");
        drop(first);
        drop(Output::open(&folder).unwrap());
        fs::remove_dir_all(folder).unwrap();
    }
}
