//! Named files in a folder or in a tar archive.

use crate::compression;
use crate::error::{Error, Result, io_error};
use crate::tar::{self, Kind};
use nix::sys::statvfs::fstatvfs;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use sys::cause::cause;

/// Most entries of an archive of images.
const ENTRIES_MAX: usize = 100_000;

/// Of the disk where an archive is unpacked one part in so many stays free.
const RESERVE: u64 = 20;

/// How many symbolic links one name may pass.
const LINKS_MAX: usize = 8;

/// A folder, or an archive with the places of its files.
pub(crate) enum Files {
    Folder(PathBuf),
    Archive { file: File, places: BTreeMap<String, Place> },
}

pub(crate) enum Place {
    /// Offset and length in the archive.
    File(u64, u64),
    /// Another name; old versions of Docker save a layer once and link to it.
    Link(String),
}

impl Files {
    /// Of an archive's files those are known that lie so deep in its folders, or less.
    pub fn open(path: &Path, depth: usize, scratch: impl FnOnce() -> Result<File>) -> Result<Self> {
        let mut file = open(path).map_err(io_error("open", path))?;
        let metadata = file.metadata().map_err(io_error("read", path))?;
        if metadata.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        // What is read already of a file that was opened by others is no part of it.
        let seekable = metadata.is_file() && file.stream_position().is_ok_and(|at| at == 0);
        let file = plain(file, seekable, path, scratch)?;
        let places = scan(&file, depth).map_err(|error| Error::wrong(path.display(), error))?;
        Ok(Self::Archive { file, places })
    }

    /// The name under which the whole archive is one of its own files; none of a folder.
    pub fn whole(&mut self) -> Option<String> {
        let Self::Archive { file, places } = self else { return None };
        let length = file.metadata().ok()?.len();
        // No entry is called so.
        places.insert(String::new(), Place::File(0, length));
        Some(String::new())
    }

    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(root) => root.join(name).is_file(),
            Self::Archive { places, .. } => find(places, name).is_some(),
        }
    }

    /// Length of a file in bytes.
    pub fn length(&self, name: &str) -> Option<u64> {
        match self {
            Self::Folder(root) => Some(root.join(name).metadata().ok()?.len()),
            Self::Archive { places, .. } => find(places, name).map(|(_, length)| length),
        }
    }

    /// Opens a file by its name, which must not leave the folder.
    pub fn open_file(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Folder(root) => Ok(Box::new(File::open(root.join(name))?)),
            Self::Archive { file, places } => {
                let (at, left) = find(places, name).ok_or(io::ErrorKind::NotFound)?;
                Ok(Box::new(Part { file, at, left }))
            }
        }
    }

    /// Reads a document of at most `limit` bytes.
    pub fn read(&self, name: &str, limit: u64) -> std::result::Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut file = self.open_file(name).map_err(|error| format!("open {name}: {}", cause(&error)))?;
        file.by_ref()
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("read {name}: {}", cause(&error)))?;
        if bytes.len() as u64 > limit {
            return Err(format!("{name} is larger than {} MiB", limit >> 20));
        }
        Ok(bytes)
    }
}

/// Standard input is what this program has: to open it anew fails where it is a socket or somebody else's pipe, and
/// begins a file from its beginning.
fn open(path: &Path) -> io::Result<File> {
    match path == Path::new("/dev/stdin") {
        true => Ok(io::stdin().as_fd().try_clone_to_owned()?.into()),
        false => File::open(path),
    }
}

/// The archive as a file that can be read at any offset.
fn plain(file: File, seekable: bool, path: &Path, scratch: impl FnOnce() -> Result<File>) -> Result<File> {
    if seekable {
        let beginning = Part { file: &file, at: 0, left: u64::MAX };
        if !compression::is_packed(beginning).map_err(io_error("read", path))? {
            return Ok(file);
        }
    }
    let mut scratch = scratch()?;
    let limit = room(&scratch).map_err(io_error("unpack", path))?;
    let input = BufReader::with_capacity(1 << 18, file);
    compression::unpack(input)
        .and_then(|unpacked| copy(unpacked, &mut scratch, limit))
        .map_err(io_error("unpack", path))?;
    Ok(scratch)
}

/// How many bytes a file may grow by: others need the rest of the disk.
fn room(file: &File) -> io::Result<u64> {
    let disk = fstatvfs(file)?;
    let available = disk.blocks_available().saturating_sub(disk.blocks() / RESERVE);
    Ok(available.saturating_mul(disk.fragment_size()))
}

/// Copies so many bytes at most; more is an error.
fn copy(unpacked: impl Read, to: &mut File, limit: u64) -> io::Result<()> {
    match io::copy(&mut unpacked.take(limit.saturating_add(1)), to)? {
        copied if copied > limit => Err(io::Error::other(format!(
            "it is more than {limit} bytes, and one part in {RESERVE} of the disk is to stay free"
        ))),
        _ => Ok(()),
    }
}

fn scan(file: &File, depth: usize) -> std::result::Result<BTreeMap<String, Place>, tar::Error> {
    let length = file.metadata().map_err(tar::Error::Read)?.len();
    let position = Cell::new(0);
    let mut reader = tar::Reader::new(Counted {
        file: BufReader::new(Part { file, at: 0, left: length }),
        position: &position,
    });
    let mut places = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        let name = String::from_utf8_lossy(&entry.path).trim_start_matches("./").to_owned();
        let place = match entry.kind {
            Kind::File => Place::File(position.get(), entry.size),
            Kind::Symlink => Place::Link(beside(&name, &String::from_utf8_lossy(&entry.link))),
            Kind::HardLink => Place::Link(String::from_utf8_lossy(&entry.link).into_owned()),
            _ => continue,
        };
        if name.split('/').count() > depth {
            continue;
        }
        places.insert(name, place);
        if places.len() > ENTRIES_MAX {
            let why = format!("more than {ENTRIES_MAX} files");
            return Err(tar::Error::Invalid { path: entry.path, why });
        }
    }
    Ok(places)
}

/// What a symbolic link at `name` leads to, by its text alone.
fn beside(name: &str, target: &str) -> String {
    let mut names: Vec<&str> = name.split('/').collect();
    names.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(names.pop()),
            "." | "" => {}
            part => names.push(part),
        }
    }
    names.join("/")
}

fn find(places: &BTreeMap<String, Place>, name: &str) -> Option<(u64, u64)> {
    let mut name = name.trim_start_matches("./");
    for _ in 0..LINKS_MAX {
        match places.get(name)? {
            Place::File(at, length) => return Some((*at, *length)),
            Place::Link(target) => name = target,
        }
    }
    None
}

/// A part of a file.
struct Part<'f> {
    file: &'f File,
    at: u64,
    left: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..length], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Counts what was read, so that a file's offset is known.
struct Counted<'f> {
    file: BufReader<Part<'f>>,
    position: &'f Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.fill_buf()?.read(buffer)?;
        self.file.consume(count);
        self.position.set(self.position.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_takes_no_more_than_there_is_room_for() {
        let path = std::env::temp_dir().join(format!("skerry-room-{}", std::process::id()));
        let mut file = File::create_new(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        copy(&[1; 100][..], &mut file, 100).unwrap();
        let error = copy(io::repeat(0), &mut file, 1000).unwrap_err().to_string();
        assert_eq!(error, "it is more than 1000 bytes, and one part in 20 of the disk is to stay free");
        assert!(file.metadata().unwrap().len() <= 1101);
        let disk = fstatvfs(&file).unwrap();
        assert!(room(&file).unwrap() < disk.blocks() * disk.fragment_size() / 20 * 19 + 1);
    }
}
