//! `make fuzz TARGET=layer`

use super::model;
use crate::erofs::check;
use crate::layer::{Limits, convert};
use std::collections::BTreeMap;
use std::io::Cursor;

const BLOCK: usize = 512;

/// What a layer may have here: enough for every rule, and little memory.
const LIMITS: Limits = Limits { bytes: 1 << 22, entries: 200, names: 1 << 16 };

/// A layer becomes an image, the same each time, that a reader which shares nothing with the writer
/// reads, and in which is what a plain reading of the archive says; or an error of one line. Checksums of
/// headers are made right first: with wrong ones nothing would ever be read.
///
/// # Panics
/// That does not hold.
pub fn layer(bytes: &[u8]) {
    let mut archive = bytes.to_vec();
    seal(&mut archive);
    let Some(image) = image(&archive) else { return };
    let found = read(&image);
    if let Some(expected) = model::plain(&archive) {
        for (path, node) in &expected {
            let name = path.escape_ascii();
            assert_eq!(found.get(path), Some(node), "{name}");
        }
        assert_eq!(found.len(), expected.len(), "there is more in the image");
    }
}

/// What an archive becomes, when it becomes something.
fn image(archive: &[u8]) -> Option<Vec<u8>> {
    let made = || convert(archive, Cursor::new(Vec::new()), [0; 16], &LIMITS);
    match (made(), made()) {
        (Ok((one, report)), Ok((other, _))) => {
            assert!(one.get_ref() == other.get_ref(), "two images of one layer");
            assert!(report.entries <= LIMITS.entries && report.notes.iter().all(|note| !note.contains('\n')));
            Some(one.into_inner())
        }
        (Err(one), Err(other)) => {
            let (one, other) = (one.to_string(), other.to_string());
            assert!(one == other && !one.is_empty() && !one.contains('\n'), "{one:?}, {other:?}");
            None
        }
        _ => panic!("once an image, once none"),
    }
}

/// Reads a whole image: each path but the root with what is there.
pub(super) fn read(image: &[u8]) -> BTreeMap<Vec<u8>, model::Node> {
    let mut tree = BTreeMap::new();
    let mut links: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut folders = vec![(Vec::new(), check::root(image))];
    while let Some((folder, nid)) = folders.pop() {
        for (name, nid) in check::entries(&check::inode(image, nid)) {
            assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/'));
            let path = if folder.is_empty() { name } else { [&folder[..], b"/", &name].concat() };
            let inode = check::inode(image, nid);
            let kind = inode.mode >> 12;
            if kind == 4 {
                folders.push((path.clone(), nid));
            } else {
                links.entry(nid).or_insert((inode.links, 0)).1 += 1;
            }
            let content = if kind == 4 { Vec::new() } else { inode.content };
            let node = model::Node {
                mode: inode.mode,
                owner: (inode.uid, inode.gid),
                mtime: inode.mtime.0,
                content,
                device: if kind == 2 || kind == 6 { inode.device } else { 0 },
                opaque: inode.xattrs.iter().any(|(name, _)| name == "trusted.overlay.opaque"),
            };
            assert!(tree.insert(path, node).is_none(), "a name twice");
        }
    }
    for (said, counted) in links.values() {
        assert_eq!(said, counted, "links of an inode");
    }
    tree
}

/// The image of an input, as [`layer`] makes it.
#[cfg(test)]
pub(super) fn image_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut archive = bytes.to_vec();
    seal(&mut archive);
    image(&archive)
}

/// Makes the checksum of each block right that may be a header.
fn seal(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        if header.iter().any(|&byte| byte != 0) {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        at += BLOCK
            * (1 + model::octal(&header[124..136]).unwrap_or(0).min(1 << 20).div_ceil(BLOCK as u64) as usize);
    }
}
