//! Entry after entry from the archive into the image.

use super::error::shown;
use super::path::{check, clean, join, resolve, split};
use super::{Error, Limits};
use crate::erofs::{self, Device, Kind, Meta, Summary, Writer};
use crate::tar::{self, Entry};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, Write};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const AUFS: &[u8] = b".wh..wh.";

/// Most notes that a report carries.
const NOTES_MAX: usize = 20;

/// What became of a layer.
#[derive(Clone, Debug)]
pub struct Report {
    /// The image.
    pub image: Summary,
    /// Entries of the archive.
    pub entries: u64,
    /// What was left out, a sentence each; at most 20.
    pub notes: Vec<String>,
}

/// Writes the erofs image of the layer whose unpacked archive `archive` gives,
/// and reads that to its last byte, so that hashing it on the way sees all.
///
/// # Errors
/// The archive is wrong, unsupported or beyond `limits`; the output fails.
pub fn convert<R: Read, W: Write + Seek>(
    archive: R,
    output: W,
    uuid: [u8; 16],
    limits: &Limits,
) -> Result<(W, Report), Error> {
    let options = erofs::Options { uuid, ..erofs::Options::default() };
    write(archive, Writer::new(output, options)?, limits)
}

/// The same with less memory: the ends of files wait in `scratch`, an empty file.
///
/// # Errors
/// As [`convert`].
pub fn convert_by<R: Read, W: Write + Seek>(
    archive: R,
    output: W,
    scratch: File,
    uuid: [u8; 16],
    limits: &Limits,
) -> Result<(W, Report), Error> {
    let options = erofs::Options { uuid, ..erofs::Options::default() };
    write(archive, Writer::new(output, options)?.with_scratch(scratch), limits)
}

fn write<R: Read, W: Write + Seek>(
    archive: R,
    writer: Writer<W>,
    limits: &Limits,
) -> Result<(W, Report), Error> {
    let most = limits.archive();
    // The root is an inode, but no entry.
    let writer = writer.with_most_inodes(limits.entries.saturating_add(1));
    let mut layer = Layer::new(writer, *limits);
    let mut reader = tar::Reader::new(archive.take(most.saturating_add(1)));
    let taken = layer.take(&mut reader);
    let mut rest = reader.into_inner();
    let taken = taken.and_then(|()| match std::io::copy(&mut rest, &mut std::io::sink()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Archive(tar::Error::Read(error))),
    });
    if rest.limit() == 0 {
        return Err(Error::TooMuch(format!("{most} bytes of archive")));
    }
    taken?;
    layer.finish()
}

struct Layer<W> {
    writer: Writer<W>,
    limits: Limits,
    entries: u64,
    bytes: u64,
    names: u64,
    notes: Vec<String>,
    /// Paths that hide what lower layers have there.
    whiteouts: BTreeSet<Vec<u8>>,
    /// Folders that hide all that lower layers have in them.
    opaque: BTreeSet<Vec<u8>>,
    /// Those of them that are written.
    hiding: BTreeSet<Vec<u8>>,
    /// Hard links whose target has not come yet.
    pending: BTreeMap<Vec<u8>, Vec<u8>>,
    /// AUFS's own names, removed at the end.
    aufs: BTreeSet<Vec<u8>>,
    /// The last folder and where it led.
    folder: Option<(Vec<u8>, Vec<u8>)>,
}

impl<W: Write + Seek> Layer<W> {
    fn new(writer: Writer<W>, limits: Limits) -> Self {
        Self {
            writer,
            limits,
            entries: 0,
            bytes: 0,
            names: 0,
            notes: Vec::new(),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            hiding: BTreeSet::new(),
            pending: BTreeMap::new(),
            aufs: BTreeSet::new(),
            folder: None,
        }
    }

    fn take<R: Read>(&mut self, reader: &mut tar::Reader<R>) -> Result<(), Error> {
        while let Some(entry) = reader.next_entry()? {
            self.add(entry, reader)?;
        }
        Ok(())
    }

    fn add<R: Read>(&mut self, mut entry: Entry, reader: &mut tar::Reader<R>) -> Result<(), Error> {
        self.count(&entry)?;
        check(&entry.path).map_err(|why| Error::entry(&entry.path, why))?;
        let path = clean(&entry.path)
            .ok_or_else(|| Error::entry(&entry.path, "the path climbs out of the layer"))?;
        self.check_xattrs(&mut entry);
        if path.is_empty() {
            return self.root(&entry);
        }
        let (written, name) = split(&path);
        let folder = self.folder(written)?;
        // Links on the way may make it longer than it is written.
        self.count_names(folder.len().saturating_sub(written.len()))?;
        if name == OPAQUE {
            self.opaque.insert(folder);
            return Ok(());
        }
        if let Some(own) = aufs_part(&join(&folder, name)) {
            self.aufs.insert(own.to_vec());
        } else if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(Error::entry(&entry.path, "a whiteout of no name"));
            }
            self.whiteouts.insert(join(&folder, hidden));
            return Ok(());
        }
        self.place(entry, join(&folder, name), reader)
    }

    /// Counts an entry against the limits.
    fn count(&mut self, entry: &Entry) -> Result<(), Error> {
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
        let Limits { bytes, entries, .. } = self.limits;
        if self.entries > entries {
            return Err(Error::TooMuch(format!("{entries} entries")));
        }
        if self.bytes > bytes {
            return Err(Error::TooMuch(format!("{bytes} bytes of files")));
        }
        self.count_names(entry.path.len() + entry.link.len() + xattrs)
    }

    fn count_names(&mut self, length: usize) -> Result<(), Error> {
        self.names += length as u64;
        match self.limits.names {
            names if self.names > names => {
                Err(Error::TooMuch(format!("{names} bytes of names and attributes")))
            }
            _ => Ok(()),
        }
    }

    /// Drops the attributes that an image cannot or must not have.
    fn check_xattrs(&mut self, entry: &mut Entry) {
        let Entry { path, xattrs, .. } = entry;
        xattrs.retain(|(name, _)| {
            let keep = erofs::is_known_xattr(name) && !name.starts_with(b"trusted.overlay.");
            if !keep && self.notes.len() < NOTES_MAX {
                let (path, name) = (path.escape_ascii(), name.escape_ascii());
                self.notes.push(format!("\"{path}\": extended attribute {name} left out"));
            }
            keep
        });
    }

    fn root(&mut self, entry: &Entry) -> Result<(), Error> {
        match entry.kind {
            tar::Kind::Directory => Ok(self.writer.add_dir(b"", &meta(entry))?),
            _ => Err(Error::entry(&entry.path, "the root must be a directory")),
        }
    }

    /// Where a folder of the archive lies in the image. What else is in its way
    /// gives way to directories.
    fn folder(&mut self, folder: &[u8]) -> Result<Vec<u8>, Error> {
        if let Some((from, to)) = &self.folder
            && from == folder
        {
            return Ok(to.clone());
        }
        let to = self.resolve(folder).map_err(|why| Error::entry(folder, why))?;
        if let Some(obstacle) = self.writer.obstacle(&to) {
            self.writer.remove(obstacle);
        }
        self.folder = Some((folder.to_vec(), to.clone()));
        Ok(to)
    }

    fn resolve(&self, folder: &[u8]) -> Result<Vec<u8>, String> {
        resolve(folder, self.writer.root(), |folder, name| self.writer.child(folder, name))
    }

    fn place<R: Read>(
        &mut self,
        entry: Entry,
        path: Vec<u8>,
        reader: &mut tar::Reader<R>,
    ) -> Result<(), Error> {
        if entry.kind != tar::Kind::File || self.writer.get(&path).is_some() {
            self.folder = None;
        }
        self.pending.remove(&path);
        let meta = meta(&entry);
        match entry.kind {
            tar::Kind::Directory => self.writer.add_dir(&path, &meta)?,
            tar::Kind::File => {
                self.writer.add_file(&path, &meta, reader.content())?;
            }
            tar::Kind::Symlink => self.writer.add_symlink(&path, &meta, &entry.link)?,
            tar::Kind::Device(device) => self.writer.add_device(&path, &meta, device)?,
            tar::Kind::HardLink => self.hard_link(&entry, path)?,
        }
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, path: Vec<u8>) -> Result<(), Error> {
        let refused =
            |why: &str| Error::entry(&entry.path, format!("hard link to \"{}\", {why}", shown(&entry.link)));
        check(&entry.link).map_err(|why| refused(&why))?;
        let target = clean(&entry.link).ok_or_else(|| refused("which climbs out of the layer"))?;
        let (folder, name) = split(&target);
        let folder = self.resolve(folder).map_err(|why| refused(&why))?;
        let target = join(&folder, name);
        self.count_names(target.len())?;
        if self.writer.get(&target).is_some() {
            return Ok(self.writer.add_hard_link(&path, &target)?);
        }
        self.writer.remove(&path);
        self.pending.insert(path, target);
        Ok(())
    }

    fn finish(mut self) -> Result<(W, Report), Error> {
        while let Some(link) = self.pending.pop_first() {
            self.link_late(link)?;
        }
        for path in &self.aufs {
            self.writer.remove(path);
        }
        // Before the whiteouts, whose devices are no folders.
        for path in std::mem::take(&mut self.opaque) {
            self.hide_below(&path)?;
        }
        for path in std::mem::take(&mut self.whiteouts) {
            self.whiteout(&path)?;
        }
        let (output, image) = self.writer.finish()?;
        Ok((output, Report { image, entries: self.entries, notes: self.notes }))
    }

    /// Makes a hard link whose target came after it, or is such a link itself.
    fn link_late(&mut self, link: (Vec<u8>, Vec<u8>)) -> Result<(), Error> {
        let mut chain = vec![link];
        while let Some((path, target)) = chain.last() {
            if self.writer.get(target).is_none() {
                let Some(next) = self.pending.remove_entry(target) else {
                    let why =
                        format!("hard link to \"{}\", which the layer does not hold", target.escape_ascii());
                    return Err(Error::entry(path, why));
                };
                chain.push(next);
                continue;
            }
            // A folder that was replaced by something else took the link with it.
            let folder = split(path).0;
            if matches!(self.writer.get(folder), None | Some(Kind::Directory)) {
                self.writer.add_hard_link(path, target)?;
            }
            chain.pop();
        }
        Ok(())
    }

    /// Hides what lower layers have in a folder. What is something else by now hides it itself.
    fn hide_below(&mut self, folder: &[u8]) -> Result<(), Error> {
        if self.writer.obstacle(folder).is_some() {
            return Ok(());
        }
        if self.writer.get(folder).is_none() {
            self.writer.add_dir(folder, &Meta::root(0o755))?;
        }
        self.hiding.insert(folder.to_vec());
        Ok(self.writer.add_xattr(folder, b"trusted.overlay.opaque", b"y")?)
    }

    /// Hides what lower layers have by this path, unless a file stands in place of its folder and hides it, or a folder
    /// above hides all: overlayfs lists such a folder as it is, and would show the device.
    fn whiteout(&mut self, path: &[u8]) -> Result<(), Error> {
        let mut folders = std::iter::successors(Some(split(path).0), |folder| {
            (!folder.is_empty()).then(|| split(folder).0)
        });
        if folders.any(|folder| self.hiding.contains(folder)) {
            return Ok(());
        }
        if self.writer.obstacle(split(path).0).is_some() {
            return Ok(());
        }
        match self.writer.get(path) {
            None => {
                let hides = Meta::default();
                Ok(self.writer.add_device(path, &hides, Device::Character(0, 0))?)
            }
            Some(Kind::Directory) => self.hide_below(path),
            Some(_) => Ok(()),
        }
    }
}

/// A path up to its first name that is AUFS's own.
fn aufs_part(path: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    for name in path.split(|&byte| byte == b'/') {
        end += name.len();
        if name.starts_with(AUFS) {
            return Some(&path[..end]);
        }
        end += 1;
    }
    None
}

fn meta(entry: &Entry) -> Meta {
    let Entry { mode, uid, gid, mtime, .. } = *entry;
    Meta { mode, uid, gid, mtime, xattrs: entry.xattrs.clone() }
}
