//! Where each inode comes to lie: pure arithmetic over the finished tree.
//!
//! Inodes stand in the order of a walk, level by level, so that what one
//! directory lists lies together. Nothing that fits into a block crosses one;
//! the gaps this leaves are filled with later, smaller inodes.

use super::format::{COMPACT, EXTENDED, SLOT};
use super::tree::{Content, Id, Node, ROOT, Time, Tree};
use super::{BLOCK, Error, compressed, directory};
use std::collections::BTreeMap;

/// How many of the latest gaps are remembered.
const GAPS: usize = 16;

/// An inode's place and form.
pub(super) struct Placed {
    pub id: Id,
    /// Offset in the metadata, a multiple of [`SLOT`].
    pub offset: u64,
    pub compact: bool,
    /// The tail of the content follows the inode.
    pub inline: bool,
    pub links: u32,
    pub size: u64,
    /// First block of the content; a directory's counts from the first block of
    /// all directories, a long symlink's likewise.
    pub block: u32,
    /// The folder that lists it first; its own for the root.
    pub parent: Id,
}

/// The plan of an image's metadata.
pub(super) struct Layout {
    /// In the order of the walk; the root first.
    pub placed: Vec<Placed>,
    /// Index into `placed` by inode; `u32::MAX` for one that is gone.
    pub index: Vec<u32>,
    /// The time that compact inodes share.
    pub time: Time,
    /// Blocks of directories and long symlinks.
    pub blocks: u32,
    /// Length of the metadata in bytes.
    pub length: u64,
}

impl Layout {
    /// The number under which directories list an inode.
    pub fn nid(&self, id: Id) -> u64 {
        self.placed[self.index[id as usize] as usize].offset / SLOT as u64
    }
}

/// Places every inode that the root reaches. `bodies` are the encoded extended
/// attributes that nodes refer to.
pub(super) fn plan(tree: &Tree, bodies: &[Box<[u8]>], time: Option<Time>) -> Result<Layout, Error> {
    let time = time.unwrap_or_else(|| commonest_time(tree));
    let mut layout =
        Layout { placed: Vec::new(), index: vec![u32::MAX; tree.nodes.len()], time, blocks: 0, length: 0 };
    let mut space = Space::new();
    visit(tree, bodies, &mut layout, &mut space, ROOT, ROOT)?;
    let mut next = 0;
    while let Some(placed) = layout.placed.get(next) {
        let parent = placed.id;
        if let Content::Directory(children) = &tree.node(parent).content {
            for &child in children.values() {
                if layout.index[child as usize] == u32::MAX {
                    visit(tree, bodies, &mut layout, &mut space, child, parent)?;
                }
            }
        }
        next += 1;
    }
    layout.length = space.end;
    Ok(layout)
}

fn visit(
    tree: &Tree,
    bodies: &[Box<[u8]>],
    layout: &mut Layout,
    space: &mut Space,
    id: Id,
    parent: Id,
) -> Result<(), Error> {
    let node = tree.node(id);
    let body = bodies[node.xattrs as usize].len();
    let mut placed = shape(tree, node, id, parent, layout.time);
    let head = if placed.compact { COMPACT } else { EXTENDED } + body;
    let tail = (placed.size % BLOCK as u64) as usize;
    placed.inline = match &node.content {
        Content::File { tail, .. } => tail.is_some(),
        Content::Directory(_) | Content::Symlink(_) => tail > 0 && head + tail <= BLOCK,
        Content::Compressed { .. } | Content::Device(_) | Content::Gone => false,
    };
    if let Content::Directory(_) | Content::Symlink(_) = node.content {
        let whole = if placed.inline { placed.size - tail as u64 } else { placed.size };
        placed.block = layout.blocks;
        layout.blocks = u32::try_from(whole.div_ceil(BLOCK as u64))
            .ok()
            .and_then(|blocks| layout.blocks.checked_add(blocks))
            .ok_or_else(|| Error::Image("directories of more than 2^32 blocks".into()))?;
    }
    placed.offset = space.take(match &node.content {
        Content::Compressed { size, .. } => compressed::with_index(head, *size),
        _ if placed.inline => head + tail,
        _ => head,
    });
    layout.index[id as usize] = layout.placed.len() as u32;
    layout.placed.push(placed);
    Ok(())
}

/// The inode's size, links and form; not yet its place.
fn shape(tree: &Tree, node: &Node, id: Id, parent: Id, time: Time) -> Placed {
    let (size, links, block) = match &node.content {
        Content::Directory(children) => {
            let dots: [&[u8]; 2] = [b".", b".."];
            let names = merge(children.keys().map(|name| &**name), dots.into_iter());
            let folders = children.values().filter(|&&child| is_directory(tree, child)).count();
            (directory::size(names), 2 + folders as u32, 0)
        }
        Content::File { start, size, .. } | Content::Compressed { start, size, .. } => {
            (*size, node.links, *start)
        }
        Content::Symlink(target) => (target.len() as u64, node.links, 0),
        Content::Device(_) | Content::Gone => (0, node.links, 0),
    };
    let compact = node.mtime == time
        && u16::try_from(node.uid.max(node.gid).max(links)).is_ok()
        && u32::try_from(size).is_ok();
    Placed { id, offset: 0, compact, inline: false, links, size, block, parent }
}

fn is_directory(tree: &Tree, id: Id) -> bool {
    matches!(tree.node(id).content, Content::Directory(_))
}

/// Merges two sorted sequences into one.
pub(super) fn merge<T: Ord>(
    a: impl Iterator<Item = T>,
    b: impl Iterator<Item = T>,
) -> impl Iterator<Item = T> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(left), Some(right)) if right < left => b.next(),
        (Some(_), _) => a.next(),
        (None, _) => b.next(),
    })
}

/// The time that most inodes have; of equals, the earliest.
fn commonest_time(tree: &Tree) -> Time {
    let mut counts = BTreeMap::<Time, u32>::new();
    for node in tree.nodes.iter().filter(|node| !matches!(node.content, Content::Gone)) {
        *counts.entry(node.mtime).or_default() += 1;
    }
    let mut best = (0, Time::default());
    for (time, count) in counts {
        if count > best.0 {
            best = (count, time);
        }
    }
    best.1
}

/// The metadata area as it is handed out.
struct Space {
    end: u64,
    /// Start and length of unused slots, oldest first.
    gaps: Vec<(u64, usize)>,
}

impl Space {
    /// Slot 0 stays unused: an inode number of 0 means "deleted" to some readers.
    fn new() -> Self {
        Self { end: SLOT as u64, gaps: Vec::new() }
    }

    fn take(&mut self, length: usize) -> u64 {
        let length = length.next_multiple_of(SLOT);
        if let Some(place) = self.gaps.iter().position(|&(_, gap)| length <= gap) {
            let (start, gap) = self.gaps[place];
            if gap == length {
                self.gaps.remove(place);
            } else {
                self.gaps[place] = (start + length as u64, gap - length);
            }
            return start;
        }
        let room = BLOCK - (self.end % BLOCK as u64) as usize;
        if length > room && room < BLOCK {
            if self.gaps.len() == GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((self.end, room));
            self.end += room as u64;
        }
        let start = self.end;
        self.end += length as u64;
        start
    }
}
