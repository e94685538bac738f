//! Files that are there whole or not at all, whoever is killed meanwhile.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// Puts `text` in place of what a file of this path holds, or leaves that. After a power cut it may hold what was before, or
/// nothing.
///
/// # Errors
/// As open(2), write(2) and rename(2) have them.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = New::beside(path, 0o644)?;
    new.file.write_all(text)?;
    new.place()
}

/// The same, on the disk when this returns; a new file's permissions are `mode`, less the umask.
///
/// # Errors
/// As open(2), write(2), fsync(2) and rename(2) have them.
pub fn replace_durably(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let mut new = New::beside(path, mode)?;
    new.file.write_all(text)?;
    new.publish()
}

/// A file that is written beside the one that it is to replace, and gone unless it does.
#[derive(Debug)]
pub struct New<'p> {
    /// What is written to.
    pub file: File,
    beside: PathBuf,
    path: &'p Path,
    placed: bool,
}

impl<'p> New<'p> {
    /// Begins one, `PATH.new`, empty; its permissions are `mode`, less the umask.
    ///
    /// # Errors
    /// As open(2) has them.
    pub fn beside(path: &'p Path, mode: u32) -> io::Result<Self> {
        let beside = beside(path);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        Ok(Self { file, beside, path, placed: false })
    }

    /// Puts it in its place; it is on the disk when this returns.
    ///
    /// # Errors
    /// As fsync(2) and rename(2) have them.
    pub fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        self.rename()?;
        sync_folder_of(self.path)
    }

    /// Puts it in its place. After a power cut there may be what was before, or nothing.
    ///
    /// # Errors
    /// As rename(2) has them.
    pub fn place(mut self) -> io::Result<()> {
        self.rename()
    }

    fn rename(&mut self) -> io::Result<()> {
        fs::rename(&self.beside, self.path)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for New<'_> {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Where the new one lies until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

/// Removes a file, and what a killed [`replace`] has left beside it, for good when this returns; that there is none is no
/// error.
///
/// # Errors
/// As unlink(2) and fsync(2) have them.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    let _ = fs::remove_file(beside(path));
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // Whoever removed it may have been killed before it was for good.
        _ => {}
    }
    match sync_folder_of(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        synced => synced,
    }
}

/// Makes a folder that nobody else can look into or go through, with those above it; but this group, which may be root's
/// of a user namespace, may go through.
///
/// # Errors
/// As mkdir(2), chown(2) and chmod(2) have them.
pub fn make_private(folder: &Path, but: Option<u32>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if but.is_some() {
        chown(folder, None, but)?;
    }
    let mode = if but.is_some() { 0o710 } else { 0o700 };
    // A disk that can only be read by now takes no mode, not the one that is there either.
    match fs::metadata(folder)?.permissions().mode() & 0o7777 == mode {
        true => Ok(()),
        false => fs::set_permissions(folder, Permissions::from_mode(mode)),
    }
}

/// Makes a folder, if need be, and sees to it that of those who ask for it in this way nobody else goes on, as long as what
/// it gives is open (`flock(2)`).
///
/// # Errors
/// As mkdir(2) and open(2) have them; that another process has it is one, in words.
pub fn alone(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let held = File::open(folder)?;
    match held.try_lock() {
        Ok(()) => Ok(held),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another one runs")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Brings the listing that names `path` to disk: that it is there, or that it is not.
///
/// # Errors
/// As open(2) and fsync(2) have them.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_process_alone() {
        let folder = std::env::temp_dir().join(format!("skerry-alone-{}", std::process::id()));
        let held = alone(&folder).unwrap();
        assert_eq!(alone(&folder).unwrap_err().to_string(), "another one runs");
        drop(held);
        alone(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_file_is_replaced_and_removed() {
        let folder = std::env::temp_dir().join(format!("skerry-file-{}", std::process::id()));
        let path = folder.join("file");
        assert!(replace(&path, b"one").is_err());
        make_private(&folder, None).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        replace(&path, b"one").unwrap();
        replace_durably(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::write(folder.join("file.new"), b"half").unwrap();
        remove_durably(&path).unwrap();
        remove_durably(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left beside it");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"three").is_err() && path.is_dir());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).unwrap();
    }
}
