//! Files that are stored compressed: where their bytes are cut, and the index behind their inodes.
//!
//! A file is cut into extents. Each is as many bytes as LZ4 packs into one block of the image, at least a
//! block's worth; where it packs none, a block is stored as it is. A compressed block ends with its bytes and
//! begins with zeros (`LZ4_0PADDING`). Behind the inode lies a full index: eight bytes for each 4096 of the file,
//! a logical cluster, that say which extent begins in it, or how far away the one that covers it began.
//!
//! Source: the kernel's `fs/erofs/erofs_fs.h` (`struct z_erofs_lcluster_index`) and `fs/erofs/zmap.c`.

use super::BLOCK;
use lz4_flex::block::compress;

/// Most bytes in an extent: to read one of them, all are unpacked.
const EXTENT_MAX: usize = 32 << 10;

/// What an index's entry says of its logical cluster (`Z_EROFS_LCLUSTER_TYPE_…`).
const PLAIN: u16 = 0;
const HEAD: u16 = 1;
const NONHEAD: u16 = 2;

/// Between an inode and the first entry of its index, from a multiple of eight on: a header that only other
/// features read, and its padding.
const HEADER: usize = 16;
const ENTRY: usize = 8;

/// A run of a file's bytes that takes one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its first byte's offset in the file.
    pub start: u64,
    /// Stored as it is.
    pub plain: bool,
}

/// Length of an inode with extended attributes (`head` bytes) and the index of `size` bytes.
pub(super) fn with_index(head: usize, size: u64) -> usize {
    head.next_multiple_of(ENTRY) + HEADER + size.div_ceil(BLOCK as u64) as usize * ENTRY
}

/// Cuts a file's bytes into extents and gives their blocks. None: it saves no block.
pub(super) fn pack(bytes: &[u8]) -> Option<(Box<[Extent]>, Vec<u8>)> {
    let (mut extents, mut blocks) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let (taken, packed) = longest(rest).unwrap_or_else(|| {
            let taken = rest.len().min(BLOCK);
            (taken, rest[..taken].to_vec())
        });
        let plain = packed.len() == taken;
        extents.push(Extent { start: start as u64, plain });
        let zeros = BLOCK - packed.len();
        blocks.resize(blocks.len() + if plain { 0 } else { zeros }, 0);
        blocks.extend_from_slice(&packed);
        blocks.resize(extents.len() * BLOCK, 0);
        start += taken;
    }
    (blocks.len() < bytes.len()).then_some((extents.into(), blocks))
}

/// The longest beginning of `bytes` that packs into a block, and its packed bytes. None: not even a block's
/// worth does, or what is left gets no shorter.
fn longest(bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let most = bytes.len().min(EXTENT_MAX);
    let packed = |length: usize| Some(compress(&bytes[..length])).filter(|packed| packed.len() <= BLOCK);
    if let Some(packed) = packed(most).filter(|packed| packed.len() < most) {
        return Some((most, packed));
    }
    let (mut good, mut bad) = (BLOCK, most);
    let mut best = (good < bad).then(|| packed(good).filter(|packed| packed.len() < BLOCK)).flatten()?;
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        match packed(middle) {
            Some(packed) => (good, best) = (middle, packed),
            None => bad = middle,
        }
    }
    Some((good, best))
}

/// Writes what follows an inode of `head` bytes: up to its index, then the index of `size` bytes whose first
/// extent is in the block `first`.
pub(super) fn index(head: usize, extents: &[Extent], size: u64, first: u32, bytes: &mut Vec<u8>) {
    let padding = head.next_multiple_of(ENTRY) - head + HEADER;
    bytes.resize(bytes.len() + padding, 0);
    let cluster = |offset: u64| offset / BLOCK as u64;
    let ends = extents.iter().skip(1).map(|next| next.start).chain([size]);
    for ((extent, end), block) in extents.iter().zip(ends).zip(first..) {
        let head = cluster(extent.start);
        // The next extent's cluster; the last extent owns the file's last cluster, too.
        let next = if end == size { cluster(size - 1) + 1 } else { cluster(end) };
        let kind = if extent.plain { PLAIN } else { HEAD };
        entry(kind, (extent.start % BLOCK as u64) as u16, block, bytes);
        for between in head + 1..next {
            let (back, ahead) = ((between - head) as u32, (next - between) as u32);
            entry(NONHEAD, 0, back | ahead << 16, bytes);
        }
    }
}

fn entry(kind: u16, offset: u16, union: u32, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&union.to_le_bytes());
}
