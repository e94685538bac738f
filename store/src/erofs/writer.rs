//! The writer's verbs.

use super::format::{self, EXTENDED, Superblock};
use super::layout::{self, Layout, Placed};
use super::output::{CHUNK, Output};
use super::tails::{Tail, Tails};
use super::tree::{self, Content, Device, Id, Kind, Meta, Time, Tree};
use super::{BLOCK, Error, compressed, directory, xattr};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};

/// Longest target of a symbolic link (`PATH_MAX` without its zero byte).
const TARGET_MAX: usize = 4095;

/// What an image is called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Volume label, at most 16 bytes.
    pub label: String,
    /// Volume UUID. Derived from the content by the caller, or all zero: the
    /// writer never invents one.
    pub uuid: [u8; 16],
    /// The image's own time; without it, the most common one of its inodes.
    pub time: Option<Time>,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Inodes, the root among them.
    pub inodes: u64,
    /// Length of the image in blocks of 4096 bytes.
    pub blocks: u32,
}

/// Where a walk through what was added stands.
#[derive(Clone, Copy, Debug)]
pub struct Place(Id);

/// Writes one image. See the [module](super) for what it looks like.
pub struct Writer<W> {
    output: Output<W>,
    options: Options,
    tree: Tree,
    /// Encoded extended attributes; the first is empty.
    bodies: Vec<Box<[u8]>>,
    body_index: BTreeMap<Box<[u8]>, u32>,
    tails: Tails,
    /// Some file is.
    compressed: bool,
}

impl<W: Write + Seek> Writer<W> {
    /// Begins an image with an empty root directory (root's, mode 0755, at 1970).
    /// `output` must be empty, and read as zero where nothing was written, as a
    /// new file does; it need not be readable.
    ///
    /// # Errors
    /// The label is longer than 16 bytes; the output cannot seek.
    pub fn new(output: W, options: Options) -> Result<Self, Error> {
        if options.label.len() > 16 {
            return Err(Error::Image(format!("label {:?} is longer than 16 bytes", options.label)));
        }
        Ok(Self {
            output: Output::new(output)?,
            options,
            tree: Tree::new(),
            bodies: vec![Box::default()],
            body_index: BTreeMap::new(),
            tails: Tails::default(),
            compressed: false,
        })
    }

    /// Keeps the ends of files in `scratch`, an empty file, until they are written: memory then has names
    /// and attributes alone.
    #[must_use]
    pub fn with_scratch(self, scratch: File) -> Self {
        Self { tails: Tails::in_file(scratch), ..self }
    }

    /// Refuses what goes beyond this many inodes: the root, folders that nobody added and what was replaced
    /// count, too, since they take memory.
    #[must_use]
    pub fn with_most_inodes(self, most: u64) -> Self {
        Self { tree: self.tree.with_most(most), ..self }
    }

    /// Adds a directory. One that is there keeps its entries and gets the new
    /// metadata; anything else is replaced. The root is `/`, `.` or empty.
    ///
    /// Paths are relative to the root; a leading `/`, empty names and `.` mean
    /// nothing. Missing folders on the way are made (root's, mode 0755, at 1970).
    ///
    /// # Errors
    /// For this and every other addition: a name is `..`, longer than 255 bytes
    /// or holds a zero byte; a folder on the way is something else; the
    /// metadata does not fit the format; the output fails.
    pub fn add_dir(&mut self, path: &[u8], meta: &Meta) -> Result<(), Error> {
        let node = tree::directory(meta, self.body(path, meta)?);
        let existing = self.tree.find(path);
        if let Some(existing) = existing.map(|id| self.tree.node_mut(id))
            && matches!(existing.content, Content::Directory(_))
        {
            let (links, content) = (existing.links, std::mem::replace(&mut existing.content, Content::Gone));
            *existing = tree::Node { links, content, ..node };
            return Ok(());
        }
        self.link_new(path, node)
    }

    /// Adds a regular file with all that `reader` gives, and tells how much that was.
    ///
    /// # Errors
    /// As [`Self::add_dir`]; `reader` fails.
    pub fn add_file(&mut self, path: &[u8], meta: &Meta, mut reader: impl Read) -> Result<u64, Error> {
        let xattrs = self.body(path, meta)?;
        let start = self.output.block()?;
        let mut size = 0;
        let tail = loop {
            let copied = self.output.copy(&mut reader)?;
            let copied = copied.map_err(|error| Error::Read { path: path.to_vec(), error })?;
            size += copied as u64;
            if copied < CHUNK {
                break self.end_file(copied, xattrs)?;
            }
            if self.output.last(CHUNK).iter().all(|&byte| byte == 0) {
                self.output.cut(CHUNK);
                self.output.zeros(CHUNK as u64)?;
            }
        };
        self.link_new(path, tree::node(meta, xattrs, Content::File { start, size, tail }))?;
        Ok(size)
    }

    /// Adds a regular file of these bytes, compressed where that saves a block.
    ///
    /// # Errors
    /// As [`Self::add_dir`].
    pub fn add_compressed_file(&mut self, path: &[u8], meta: &Meta, bytes: &[u8]) -> Result<(), Error> {
        let Some((extents, blocks)) = compressed::pack(bytes) else {
            return self.add_file(path, meta, bytes).map(|_| ());
        };
        let xattrs = self.body(path, meta)?;
        let start = self.output.block()?;
        self.output.write(&blocks)?;
        self.compressed = true;
        let size = bytes.len() as u64;
        self.link_new(path, tree::node(meta, xattrs, Content::Compressed { start, size, extents }))
    }

    /// Adds a symbolic link. The target is stored as it is given.
    ///
    /// # Errors
    /// As [`Self::add_dir`]; the target is empty, longer than 4095 bytes or
    /// holds a zero byte.
    pub fn add_symlink(&mut self, path: &[u8], meta: &Meta, target: &[u8]) -> Result<(), Error> {
        if target.is_empty() || target.len() > TARGET_MAX || target.contains(&0) {
            return Err(Error::entry(path, "the target of the link is empty, too long or holds a zero byte"));
        }
        let xattrs = self.body(path, meta)?;
        self.link_new(path, tree::node(meta, xattrs, Content::Symlink(target.into())))
    }

    /// Adds a device node, a named pipe or a socket.
    ///
    /// # Errors
    /// As [`Self::add_dir`]; a device number is beyond 12 or 20 bits.
    pub fn add_device(&mut self, path: &[u8], meta: &Meta, device: Device) -> Result<(), Error> {
        if let Device::Character(major, minor) | Device::Block(major, minor) = device
            && (major >= 1 << 12 || minor >= 1 << 20)
        {
            return Err(Error::entry(path, format!("device number {major}:{minor} is too large")));
        }
        let xattrs = self.body(path, meta)?;
        self.link_new(path, tree::node(meta, xattrs, Content::Device(device)))
    }

    /// Gives what is at `target` a second name. A symbolic link there is not followed.
    ///
    /// # Errors
    /// As [`Self::add_dir`]; there is nothing at `target`, or a directory.
    pub fn add_hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let linked =
            |why: &str| Error::entry(path, format!("hard link to \"{}\", {why}", target.escape_ascii()));
        let id = self.tree.find(target).ok_or_else(|| linked("which is not there"))?;
        if matches!(self.tree.node(id).content, Content::Directory(_)) {
            return Err(linked("which is a directory"));
        }
        if self.tree.find(path) == Some(id) {
            return Ok(());
        }
        self.tree.link(path, id)
    }

    /// Gives what is at `path` one more extended attribute, in place of one of
    /// the same name.
    ///
    /// # Errors
    /// Nothing is at `path`; as [`Self::add_dir`].
    pub fn add_xattr(&mut self, path: &[u8], name: &[u8], value: &[u8]) -> Result<(), Error> {
        let id = self.tree.find(path).ok_or_else(|| Error::entry(path, "is not there"))?;
        let mut xattrs = xattr::decode(&self.bodies[self.tree.node(id).xattrs as usize]);
        xattrs.retain(|(known, _)| known != name);
        xattrs.push((name.to_vec(), value.to_vec()));
        let body = self.body(path, &Meta { xattrs, ..Meta::default() })?;
        self.tree.node_mut(id).xattrs = body;
        Ok(())
    }

    /// Removes what is at `path`, with all below it. False: nothing is there.
    pub fn remove(&mut self, path: &[u8]) -> bool {
        self.tree.unlink(path)
    }

    /// What is at `path`; symbolic links are not followed.
    pub fn get(&self, path: &[u8]) -> Option<Kind<'_>> {
        self.kind(self.tree.find(path)?)
    }

    /// Where a walk begins.
    pub fn root(&self) -> Place {
        Place(tree::ROOT)
    }

    /// One step of a walk: what a folder has by this name. [`Self::get`] takes all its steps anew each time.
    pub fn child(&self, folder: Place, name: &[u8]) -> Option<(Place, Kind<'_>)> {
        let id = self.tree.child(folder.0, name)?;
        Some((Place(id), self.kind(id)?))
    }

    /// The beginning of `path` that leads to the first thing on it that is no folder.
    pub fn obstacle<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        self.tree.obstacle(path)
    }

    fn kind(&self, id: Id) -> Option<Kind<'_>> {
        Some(match &self.tree.node(id).content {
            Content::Directory(_) => Kind::Directory,
            Content::File { size, .. } | Content::Compressed { size, .. } => Kind::File(*size),
            Content::Symlink(target) => Kind::Symlink(target),
            Content::Device(device) => Kind::Device(*device),
            Content::Gone => return None,
        })
    }

    /// Writes the metadata and gives the output back, standing at its end. The
    /// image's length is a multiple of 4096.
    ///
    /// # Errors
    /// The image is beyond the format (2³² blocks); the output fails.
    pub fn finish(mut self) -> Result<(W, Summary), Error> {
        let layout = layout::plan(&self.tree, &self.bodies, self.options.time)?;
        let listings = self.output.block()?;
        let has_blocks = |placed: &&Placed| !placed.inline || placed.size >= BLOCK as u64;
        for placed in layout.placed.iter().filter(has_blocks) {
            let content = content(&self.tree, &layout, placed.id);
            let whole = whole_part(&content, placed);
            self.output.write(&content[..whole])?;
            self.output.pad()?;
        }
        let metadata = self.output.block()?;
        self.write_inodes(&layout, listings)?;
        self.output.pad()?;
        let blocks = self.output.block()?;
        let superblock = format::superblock(&Superblock {
            label: &self.options.label,
            uuid: self.options.uuid,
            time: layout.time,
            // The root is placed first, so its number is small.
            root: layout.nid(tree::ROOT) as u16,
            inodes: layout.placed.len() as u64,
            blocks,
            metadata,
            compressed: self.compressed,
        });
        let summary = Summary { inodes: layout.placed.len() as u64, blocks };
        Ok((self.output.finish(&superblock)?, summary))
    }

    fn write_inodes(&mut self, layout: &Layout, listings: u32) -> Result<(), Error> {
        let mut order: Vec<u32> = (0..layout.placed.len() as u32).collect();
        order.sort_by_key(|&index| layout.placed[index as usize].offset);
        let mut written = 0;
        let mut bytes = Vec::new();
        for index in order {
            let placed = &layout.placed[index as usize];
            let node = self.tree.node(placed.id);
            self.output.zeros(placed.offset - written)?;
            let listed = matches!(node.content, Content::Directory(_) | Content::Symlink(_));
            let block = placed.block + if listed { listings } else { 0 };
            let body = &self.bodies[node.xattrs as usize];
            bytes.clear();
            format::inode(node, &Placed { block, ..*placed }, body, index + 1, &mut bytes);
            bytes.extend_from_slice(body);
            match &node.content {
                Content::File { tail: Some(tail), .. } => {
                    self.tails.read(*tail, &mut bytes).map_err(Error::Write)?;
                }
                Content::Compressed { start, size, extents } => {
                    compressed::index(bytes.len(), extents, *size, *start, &mut bytes);
                }
                _ if placed.inline => {
                    let content = content(&self.tree, layout, placed.id);
                    bytes.extend_from_slice(&content[whole_part(&content, placed)..]);
                }
                _ => {}
            }
            self.output.write(&bytes)?;
            written = placed.offset + bytes.len() as u64;
        }
        Ok(())
    }

    fn link_new(&mut self, path: &[u8], node: tree::Node) -> Result<(), Error> {
        let id = self.tree.add(node)?;
        self.tree.link(path, id)
    }

    /// The number of an inode's encoded extended attributes.
    fn body(&mut self, path: &[u8], meta: &Meta) -> Result<u32, Error> {
        let body = xattr::encode(&meta.xattrs).map_err(|why| Error::entry(path, why))?;
        if body.is_empty() {
            return Ok(0);
        }
        if let Some(&index) = self.body_index.get(&*body) {
            return Ok(index);
        }
        let index = self.bodies.len() as u32;
        self.bodies.push(body.clone().into());
        self.body_index.insert(body.into(), index);
        Ok(index)
    }

    /// Ends a file whose last chunk has so many bytes: takes its tail back where that may follow the inode.
    fn end_file(&mut self, last: usize, xattrs: u32) -> Result<Option<Tail>, Error> {
        let tail = last % BLOCK;
        let head = EXTENDED + self.bodies[xattrs as usize].len();
        let fits = tail > 0 && head + tail <= BLOCK;
        let kept = if fits { self.tails.keep(self.output.last(tail)).map_err(Error::Write)? } else { None };
        if kept.is_some() {
            self.output.cut(tail);
        }
        self.output.pad()?;
        Ok(kept)
    }
}

/// The bytes of a directory or a symbolic link; none for the rest.
fn content<'t>(tree: &'t Tree, layout: &Layout, id: Id) -> std::borrow::Cow<'t, [u8]> {
    match &tree.node(id).content {
        Content::Symlink(target) => (&**target).into(),
        Content::Directory(children) => {
            let parent = layout.placed[layout.index[id as usize] as usize].parent;
            let dots: [(&[u8], Id); 2] = [(b".", id), (b"..", parent)];
            let children = children.iter().map(|(name, &child)| (&**name, child));
            let entries: Vec<_> = layout::merge(children, dots.into_iter())
                .map(|(name, id)| (name, layout.nid(id), format::file_type(&tree.node(id).content)))
                .collect();
            directory::encode(&entries).into()
        }
        _ => [].as_slice().into(),
    }
}

/// How much of a content lies in blocks of its own.
fn whole_part(content: &[u8], placed: &Placed) -> usize {
    if placed.inline { content.len() - content.len() % BLOCK } else { content.len() }
}
