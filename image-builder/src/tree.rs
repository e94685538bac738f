//! A tree of files in memory: what goes into an archive or a file system.
//!
//! Nothing of the workstation shows in it: owners, modes and the one time are
//! the image's own. Large contents stay where they are until they are written.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Files by path without a leading `/`, parents before children. The tree's own
/// root is not listed.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Node>);

/// A file of any kind.
#[derive(Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a file is.
#[derive(Debug)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to this path.
    Symlink(String),
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// What a regular file holds.
#[derive(Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What this file of the workstation holds.
    Outside {
        /// Where it is.
        path: PathBuf,
        /// Its length in bytes when it was looked at.
        length: u64,
    },
}

impl Content {
    /// A file of the workstation, not yet read.
    pub fn outside(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| Error::io("read", path, &error))?;
        Ok(Self::Outside { path: path.to_owned(), length: metadata.len() })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Outside { length, .. } => *length,
        }
    }

    /// The content from its first byte on; never more of it than [`Self::length`].
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(bytes.as_slice())),
            Self::Outside { path, length } => Ok(Box::new(File::open(path)?.take(*length))),
        }
    }
}

impl Node {
    /// A folder of root's.
    pub fn directory(mode: u16) -> Self {
        Self { kind: Kind::Directory, mode, uid: 0, gid: 0 }
    }

    /// A regular file of root's.
    pub fn file(mode: u16, content: Content) -> Self {
        Self { kind: Kind::File(content), mode, uid: 0, gid: 0 }
    }

    /// A regular file of root's that holds these bytes.
    pub fn bytes(mode: u16, bytes: impl Into<Vec<u8>>) -> Self {
        Self::file(mode, Content::Bytes(bytes.into()))
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, uid: 0, gid: 0 }
    }
}

impl Tree {
    /// Puts a file at an absolute path and makes the folders above it.
    ///
    /// # Errors
    /// A path that is taken, or that leads through something that is no folder.
    pub fn insert(&mut self, path: &str, node: Node) -> Result<()> {
        let key = path.trim_matches('/');
        for (slash, _) in key.match_indices('/') {
            let above = self.0.entry(key[..slash].to_owned()).or_insert_with(|| Node::directory(0o755));
            if !matches!(above.kind, Kind::Directory) {
                return Err(Error::new(format!("/{} is not a folder", &key[..slash])));
            }
        }
        match self.0.get_mut(key) {
            // Folders appear on their own above files; naming one sets its mode.
            Some(old) if matches!((&old.kind, &node.kind), (Kind::Directory, Kind::Directory)) => *old = node,
            Some(_) => return Err(Error::new(format!("/{key} is already in the image"))),
            None => drop(self.0.insert(key.to_owned(), node)),
        }
        Ok(())
    }

    /// Puts a file where there is none yet.
    pub fn insert_absent(&mut self, path: &str, node: Node) -> Result<()> {
        if self.0.contains_key(path.trim_matches('/')) { Ok(()) } else { self.insert(path, node) }
    }

    /// Every file in order, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Bytes of all regular files together, each rounded up to whole blocks of
    /// 4,096 bytes, and a block for every 64 files' own records: about what a file
    /// system of them takes.
    pub fn blocks_size(&self) -> u64 {
        let files = self.0.values().filter_map(|node| match &node.kind {
            Kind::File(content) => Some(content.length().next_multiple_of(4096)),
            _ => None,
        });
        files.sum::<u64>() + self.0.len().div_ceil(64) as u64 * 4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn folders_appear_above_files_and_come_first() {
        let mut tree = Tree::default();
        tree.insert("/a/b/c", Node::bytes(0o644, "x")).unwrap();
        tree.insert("/a-z", Node::bytes(0o644, "x")).unwrap();
        assert_eq!(paths(&tree), ["a", "a-z", "a/b", "a/b/c"]);
    }

    #[test]
    fn a_path_is_taken_once_but_a_folder_may_be_named_again() {
        let mut tree = Tree::default();
        tree.insert("/tmp/x", Node::bytes(0o644, "x")).unwrap();
        tree.insert("/tmp", Node::directory(0o1777)).unwrap();
        assert!(matches!(tree.iter().next(), Some(("tmp", Node { mode: 0o1777, .. }))));
        for (path, words) in [("/tmp/x", "already in the image"), ("/tmp/x/y", "/tmp/x is not a folder")] {
            let error = tree.insert(path, Node::bytes(0o644, "y")).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        tree.insert_absent("/tmp/x", Node::bytes(0o644, "y")).unwrap();
        assert_eq!(paths(&tree), ["tmp", "tmp/x"]);
    }
}
