//! A file or folder into an archive.

use super::text;
use crate::error::{Context, Result};
use nix::libc;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Writes a file or folder, under its own name. Of `FOLDER/.` the name is `.`: its content alone
/// is meant. Sockets are left out.
///
/// # Errors
/// Which file cannot be read.
pub fn pack(path: &Path, follow: bool, out: impl Write) -> Result<()> {
    let words = |path: &Path| format!("read {}", path.display());
    // A link that is followed gives its own name to what it leads to.
    let name = match text(path).ends_with("/.") || path == Path::new("/") {
        true => PathBuf::from("."),
        false => path.file_name().map_or_else(|| ".".into(), PathBuf::from),
    };
    let path = if follow { path.canonicalize().context(|| words(path))? } else { path.to_owned() };
    fs::symlink_metadata(&path).context(|| words(&path))?;
    let mut packer = Packer { archive: Builder::new(out), linked: HashMap::new() };
    let mut left = vec![(path, name)];
    while let Some((path, name)) = left.pop() {
        match packer.add(&path, &name).and_then(|is_folder| below(&path, &name, is_folder)) {
            Ok(below) => left.extend(below),
            // The container's programs go on: what they have removed is not there.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            failed => drop(failed.context(|| words(&path))?),
        }
    }
    packer.archive.finish().context(|| "write the archive".into())
}

/// What a folder has, the last name first.
fn below(path: &Path, name: &Path, is_folder: bool) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    if !is_folder {
        return Ok(Vec::new());
    }
    let mut names = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_by(|a, b| b.cmp(a));
    Ok(names.into_iter().map(|one| (path.join(&one), name.join(&one))).collect())
}

struct Packer<W: Write> {
    archive: Builder<W>,
    /// What files of several names are called in the archive, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Packer<W> {
    /// Adds one; says whether it is a folder.
    fn add(&mut self, path: &Path, name: &Path) -> io::Result<bool> {
        let about = fs::symlink_metadata(path)?;
        let kind = about.file_type();
        let mut header = header(&about);
        if kind.is_file() {
            self.file(path, name)?;
        } else if kind.is_symlink() {
            self.archive.append_link(&mut header, name, fs::read_link(path)?)?;
        } else if !kind.is_socket() {
            if kind.is_block_device() || kind.is_char_device() {
                header.set_device_major(libc::major(about.rdev()))?;
                header.set_device_minor(libc::minor(about.rdev()))?;
            }
            self.archive.append_data(&mut header, name, io::empty())?;
        }
        Ok(kind.is_dir())
    }

    fn file(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        // Another may lie there by now: a link, or a pipe whose end nobody opens.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let about = file.metadata()?;
        let mut header = header(&about);
        let inode = (about.dev(), about.ino());
        if let Some(first) = self.linked.get(&inode) {
            header.set_entry_type(EntryType::Link);
            return self.archive.append_link(&mut header, name, first);
        }
        if about.nlink() > 1 {
            self.linked.insert(inode, name.to_owned());
        }
        let size = if about.is_file() { about.len() } else { 0 };
        header.set_size(size);
        self.archive.append_data(&mut header, name, exactly(file, size))
    }
}

/// Without a size: it is a file's alone.
fn header(about: &fs::Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_metadata(about);
    header.set_size(0);
    header.set_mtime(about.mtime().try_into().unwrap_or(0));
    header
}

/// As many bytes as the header says, however long the file has become: what were beyond would be read as
/// further entries, which whoever writes to the file could make up.
fn exactly(file: impl Read, size: u64) -> impl Read {
    file.take(size).chain(io::repeat(0)).take(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::tar::Reader;

    #[test]
    fn a_file_that_grows_or_shrinks_has_the_size_that_was_said() {
        for (file, read) in [(&b"abcdef"[..], &b"abcd"[..]), (b"ab", b"ab\0\0")] {
            let mut bytes = Vec::new();
            exactly(file, 4).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, read);
        }
        // Its content is longer than its size, which is 0.
        let mut bytes = Vec::new();
        pack(Path::new("/proc/version"), false, &mut bytes).unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let entry = reader.next_entry().unwrap().unwrap();
        assert_eq!((&*entry.path, entry.size), (&b"version"[..], 0));
        assert!(reader.next_entry().unwrap().is_none());
    }
}
