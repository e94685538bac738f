//! What an image will list: a tree of inodes in memory, without their bytes.

use super::Error;
use super::compressed::Extent;
use super::tails::Tail;
use std::collections::BTreeMap;

/// Longest name in a directory (`EROFS_NAME_LEN`).
const NAME_MAX: usize = 255;

/// A moment: seconds since 1970 and nanoseconds below 10⁹.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, UTC; may be negative.
    pub seconds: i64,
    /// Nanoseconds, less than 1,000,000,000.
    pub nanoseconds: u32,
}

impl Time {
    /// A whole second.
    pub const fn seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

/// What every inode has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, set-user-ID, set-group-ID and sticky: the lowest 12 bits of
    /// `st_mode`.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification; erofs keeps no other.
    pub mtime: Time,
    /// Extended attributes: full name, value. Names in `user.`, `trusted.`,
    /// `security.` and the two POSIX ACLs.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meta {
    /// Owned by root, at 1970, without extended attributes.
    pub fn root(mode: u16) -> Self {
        Self { mode, ..Self::default() }
    }
}

/// An inode that is nothing but its own metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Character device: major (12 bits) and minor (20 bits) number.
    Character(u32, u32),
    /// Block device: major (12 bits) and minor (20 bits) number.
    Block(u32, u32),
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// What a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A directory.
    Directory,
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link and its target.
    Symlink(&'a [u8]),
    /// Anything else.
    Device(Device),
}

pub(super) type Id = u32;
pub(super) const ROOT: Id = 0;

/// Most inodes, as many as there are numbers.
const INODES_MAX: u64 = Id::MAX as u64;

pub(super) enum Content {
    Directory(BTreeMap<Box<[u8]>, Id>),
    /// Whole blocks from `start` on; what is left of `size` is the tail, or, when
    /// `tail` is none, in one more block.
    File {
        start: u32,
        size: u64,
        tail: Option<Tail>,
    },
    /// Extents of a block each, from `start` on.
    Compressed {
        start: u32,
        size: u64,
        extents: Box<[Extent]>,
    },
    /// A target of `None` lies in the block `start`, because it does not fit behind the inode.
    Symlink(Box<[u8]>),
    Device(Device),
    /// Replaced or removed; not in the image.
    Gone,
}

pub(super) struct Node {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// Index of its encoded extended attributes; 0 is none.
    pub xattrs: u32,
    /// Names of a non-directory. A directory's links are counted at the end.
    pub links: u32,
    pub content: Content,
}

pub(super) struct Tree {
    pub nodes: Vec<Node>,
    /// Most inodes, the root and what was replaced among them.
    most: u64,
}

impl Tree {
    pub fn new() -> Self {
        let root = directory(&Meta::root(0o755), 0);
        Self { nodes: vec![root], most: INODES_MAX }
    }

    /// Refuses what goes beyond this many inodes.
    pub fn with_most(self, most: u64) -> Self {
        Self { most: most.min(INODES_MAX), ..self }
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    fn children(&self, id: Id) -> Option<&BTreeMap<Box<[u8]>, Id>> {
        match &self.node(id).content {
            Content::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// What the folder `id` has by this name; nothing when it is no folder.
    pub fn child(&self, id: Id, name: &[u8]) -> Option<Id> {
        self.children(id)?.get(name).copied()
    }

    /// The inode at `path`, if every folder on the way is one.
    pub fn find(&self, path: &[u8]) -> Option<Id> {
        components(path).try_fold(ROOT, |id, name| self.child(id, name))
    }

    /// The beginning of `path` that leads to the first thing on it that is no folder.
    pub fn obstacle<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let mut id = ROOT;
        for name in components(path) {
            id = self.child(id, name)?;
            if self.children(id).is_none() {
                let end = name.as_ptr() as usize - path.as_ptr() as usize + name.len();
                return Some(&path[..end]);
            }
        }
        None
    }

    /// Adds an inode without a name and gives its number.
    pub fn add(&mut self, node: Node) -> Result<Id, Error> {
        let id = self.nodes.len();
        if id as u64 >= self.most {
            return Err(Error::Image(format!("more than {} inodes", self.most)));
        }
        self.nodes.push(node);
        Ok(id as Id)
    }

    /// Gives the inode `id` the name `path` in place of what had it. Folders
    /// that are missing on the way are made: root's, mode 0755, at 1970.
    pub fn link(&mut self, path: &[u8], id: Id) -> Result<(), Error> {
        let (parent, name) = self.parent(path)?;
        if self.node(id).links == u32::MAX {
            return Err(Error::entry(path, "more than 2^32 links"));
        }
        self.node_mut(id).links += 1;
        let Content::Directory(children) = &mut self.node_mut(parent).content else {
            return Err(Error::entry(path, "its folder is not a directory"));
        };
        if let Some(before) = children.insert(name.into(), id) {
            self.drop_link(before);
        }
        Ok(())
    }

    /// Takes the name `path` away, with all below it. False: there was none.
    pub fn unlink(&mut self, path: &[u8]) -> bool {
        let Some((folder, name)) = split(path) else {
            return false;
        };
        let Some(parent) = self.find(folder) else {
            return false;
        };
        let Content::Directory(children) = &mut self.node_mut(parent).content else {
            return false;
        };
        match children.remove(name) {
            Some(id) => {
                self.drop_link(id);
                true
            }
            None => false,
        }
    }

    fn drop_link(&mut self, id: Id) {
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            let node = self.node_mut(id);
            node.links -= 1;
            if node.links > 0 {
                continue;
            }
            if let Content::Directory(children) = std::mem::replace(&mut node.content, Content::Gone) {
                doomed.extend(children.into_values());
            }
        }
    }

    /// The folder of `path`, made where it is missing, and the last name.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<(Id, &'p [u8]), Error> {
        let (folder, name) = split(path).ok_or_else(|| Error::entry(path, "the root cannot be replaced"))?;
        check_name(path, name)?;
        let mut id = ROOT;
        for component in components(folder) {
            check_name(path, component)?;
            let Some(children) = self.children(id) else {
                return Err(Error::entry(path, "its folder is not a directory"));
            };
            id = match children.get(component) {
                Some(&child) => child,
                None => self.add_folder(id, component)?,
            };
        }
        match self.children(id) {
            Some(_) => Ok((id, name)),
            None => Err(Error::entry(path, "its folder is not a directory")),
        }
    }

    fn add_folder(&mut self, parent: Id, name: &[u8]) -> Result<Id, Error> {
        let id = self.add(Node { links: 1, ..directory(&Meta::root(0o755), 0) })?;
        if let Content::Directory(children) = &mut self.node_mut(parent).content {
            children.insert(name.into(), id);
        }
        Ok(id)
    }
}

pub(super) fn directory(meta: &Meta, xattrs: u32) -> Node {
    node(meta, xattrs, Content::Directory(BTreeMap::new()))
}

pub(super) fn node(meta: &Meta, xattrs: u32, content: Content) -> Node {
    let Meta { mode, uid, gid, mtime, .. } = *meta;
    Node { mode: mode & 0o7777, uid, gid, mtime, xattrs, links: 0, content }
}

/// The names in a path; empty ones and `.` mean nothing.
pub(super) fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && *name != b".")
}

/// Folder and last name of a path. None: the root.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = components(path).next_back()?;
    let start = name.as_ptr() as usize - path.as_ptr() as usize;
    Some((&path[..start], name))
}

fn check_name(path: &[u8], name: &[u8]) -> Result<(), Error> {
    match name {
        b".." => Err(Error::entry(path, "a name is \"..\"")),
        _ if name.len() > NAME_MAX => Err(Error::entry(path, "a name is longer than 255 bytes")),
        _ if name.contains(&0) => Err(Error::entry(path, "a name holds a zero byte")),
        _ => Ok(()),
    }
}
