//! A plain reading of a plain archive: ustar headers alone, read by the table of POSIX, and of
//! folders, files, symbolic links and whiteouts what they become. It shares nothing with
//! `tar` and `layer`; what it does not understand it leaves to them.

use std::collections::{BTreeMap, BTreeSet};

const BLOCK: usize = 512;

/// What a path has.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub mode: u16,
    pub owner: (u32, u32),
    pub mtime: i64,
    pub content: Vec<u8>,
    /// Of a device, as erofs has it.
    pub device: u64,
    pub opaque: bool,
}

/// An archive's tree. None: it has something that this reading does not know.
pub(super) fn plain(archive: &[u8]) -> Option<BTreeMap<Vec<u8>, Node>> {
    let mut tree = BTreeMap::new();
    let (mut hidden, mut opaque) = (BTreeSet::new(), BTreeSet::new());
    let mut rest = archive;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        let (content, after) = content(header, after)?;
        rest = after;
        let path = path(header)?;
        match whiteout(&path)? {
            Whiteout::No => add(&mut tree, path, node(header, content)?)?,
            Whiteout::Of(path) => {
                hidden.insert(path);
            }
            Whiteout::In(folder) => {
                opaque.insert(folder);
            }
        }
    }
    for path in hidden {
        // Below a folder that hides all there is nothing left to hide.
        let ends = (0..path.len()).filter(|&at| path[at] == b'/').chain([0]);
        if ends.map(|at| &path[..at]).any(|folder| opaque.contains(folder)) {
            continue;
        }
        parents(&mut tree, &path)?;
        match tree.get(&path).map(|node| node.mode >> 12) {
            None => {
                let device = Node {
                    mode: 2 << 12,
                    owner: (0, 0),
                    mtime: 0,
                    content: Vec::new(),
                    device: 0,
                    opaque: false,
                };
                tree.insert(path, device);
            }
            Some(4) => {
                opaque.insert(path);
            }
            Some(_) => {}
        }
    }
    for folder in opaque.iter().filter(|folder| !folder.is_empty()) {
        parents(&mut tree, &[folder, &b"/x"[..]].concat())?;
        tree.get_mut(folder)?.opaque = true;
    }
    Some(tree)
}

/// An entry's content, and what follows it.
fn content<'a>(header: &[u8], after: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let size = octal(&header[124..136])?;
    // The size of what has no content is a matter of opinion.
    let size = match header[156] {
        b'0' => usize::try_from(size).ok()?,
        _ if size == 0 => 0,
        _ => return None,
    };
    Some((after.get(..size)?, after.get(size.next_multiple_of(BLOCK)..)?))
}

/// An entry's path, when it is written in the one simple way. What is no file, link or folder may be no entry at all, but tell
/// of others.
fn path(header: &[u8]) -> Option<Vec<u8>> {
    if &header[257..265] != b"ustar\x0000" || header[345] != 0 || !matches!(header[156], b'0' | b'2' | b'5') {
        return None;
    }
    let name = text(&header[..100])?;
    let name = if header[156] == b'5' { name.strip_suffix(b"/").unwrap_or(name) } else { name };
    let plain = |part: &[u8]| !part.is_empty() && part != b"." && part != b"..";
    name.split(|&byte| byte == b'/').all(plain).then(|| name.to_vec())
}

fn node(header: &[u8], content: &[u8]) -> Option<Node> {
    let (kind, content) = match header[156] {
        b'0' => (8, content),
        b'5' => (4, content),
        b'2' => (10, text(&header[157..257]).filter(|target| !target.is_empty())?),
        _ => return None,
    };
    let number = |range: std::ops::Range<usize>| octal(&header[range]);
    Some(Node {
        mode: kind << 12 | u16::try_from(number(100..108)? & 0o7777).ok()?,
        owner: (u32::try_from(number(108..116)?).ok()?, u32::try_from(number(116..124)?).ok()?),
        mtime: i64::try_from(number(136..148)?).ok()?,
        content: content.to_vec(),
        device: 0,
        opaque: false,
    })
}

enum Whiteout {
    No,
    Of(Vec<u8>),
    In(Vec<u8>),
}

/// What a path hides. None: AUFS's own, or no name.
fn whiteout(path: &[u8]) -> Option<Whiteout> {
    let mut names = path.rsplitn(2, |&byte| byte == b'/');
    let (name, folder) = (names.next()?, names.next().unwrap_or_default());
    if folder.split(|&byte| byte == b'/').any(|name| name.starts_with(b".wh..wh.")) {
        return None;
    }
    let beside = |name: &[u8]| if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() };
    match name.strip_prefix(b".wh.") {
        None => Some(Whiteout::No),
        Some(b".wh..opq") => Some(Whiteout::In(folder.to_vec())),
        Some(rest) if rest.starts_with(b".wh.") || matches!(rest, b"" | b"." | b"..") => None,
        Some(rest) => Some(Whiteout::Of(beside(rest))),
    }
}

/// Adds an entry, and the folders that it needs. None: something else is in the way.
fn add(tree: &mut BTreeMap<Vec<u8>, Node>, path: Vec<u8>, node: Node) -> Option<()> {
    parents(tree, &path)?;
    match tree.get(&path) {
        // A folder gives way to something else with all that is in it: not here.
        Some(before) if (before.mode >> 12 == 4) != (node.mode >> 12 == 4) => None,
        _ => {
            tree.insert(path, node);
            Some(())
        }
    }
}

/// The folders above a path, root's where they are missing.
fn parents(tree: &mut BTreeMap<Vec<u8>, Node>, path: &[u8]) -> Option<()> {
    for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let missing = || Node {
            mode: 4 << 12 | 0o755,
            owner: (0, 0),
            mtime: 0,
            content: Vec::new(),
            device: 0,
            opaque: false,
        };
        if tree.entry(path[..at].to_vec()).or_insert_with(missing).mode >> 12 != 4 {
            return None;
        }
    }
    Some(())
}

/// A field's text up to its first zero, which is followed by zeros alone.
fn text(field: &[u8]) -> Option<&[u8]> {
    let end = field.iter().position(|&byte| byte == 0)?;
    field[end..].iter().all(|&byte| byte == 0).then_some(&field[..end])
}

/// A number as POSIX has it: octal digits, then a zero or a blank.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let (last, digits) = field.split_last()?;
    if !matches!(last, 0 | b' ') || !digits.iter().all(|digit| matches!(digit, b'0'..=b'7')) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number << 3 | u64::from(digit - b'0')))
}
