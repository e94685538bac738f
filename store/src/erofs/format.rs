//! The bytes of the superblock and of inodes (`fs/erofs/erofs_fs.h`), little-endian.

use super::layout::Placed;
use super::tree::{Content, Device, Node, Time};
use super::{BLOCK, xattr};
use spec::crc32c;

const MAGIC: u32 = 0xe0f5_e1e2;
const SUPERBLOCK: usize = 1024;
/// `SB_CHKSUM` and `MTIME`: there is a checksum, and the one time is the
/// modification's.
const FEATURE_COMPAT: u32 = 0x1 | 0x2;

/// `LZ4_0PADDING`: what is compressed stands at the end of its block.
const FEATURE_INCOMPAT: u32 = 0x1;

/// Sizes of an inode's two forms.
pub(super) const COMPACT: usize = 32;
pub(super) const EXTENDED: usize = 64;

/// Unit of an inode's number: its place in the metadata.
pub(super) const SLOT: usize = 32;

/// What the superblock says.
pub(super) struct Superblock<'a> {
    pub label: &'a str,
    pub uuid: [u8; 16],
    pub time: Time,
    pub root: u16,
    pub inodes: u64,
    pub blocks: u32,
    /// First block of the metadata.
    pub metadata: u32,
    /// Some file is.
    pub compressed: bool,
}

/// Block 0: 1024 bytes for boot loaders, then the superblock.
pub(super) fn superblock(of: &Superblock<'_>) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |offset: usize, bytes: &[u8]| {
        block[SUPERBLOCK + offset..][..bytes.len()].copy_from_slice(bytes);
    };
    put(0, &MAGIC.to_le_bytes());
    put(8, &FEATURE_COMPAT.to_le_bytes());
    put(12, &[BLOCK.trailing_zeros() as u8]);
    put(14, &of.root.to_le_bytes());
    put(16, &of.inodes.to_le_bytes());
    put(24, &of.time.seconds.to_le_bytes());
    put(32, &of.time.nanoseconds.to_le_bytes());
    put(36, &of.blocks.to_le_bytes());
    put(40, &of.metadata.to_le_bytes());
    put(48, &of.uuid);
    put(64, of.label.as_bytes());
    if of.compressed {
        put(80, &FEATURE_INCOMPAT.to_le_bytes());
    }
    let checksum = crc32c::update(!0, &block[SUPERBLOCK..]);
    block[SUPERBLOCK + 4..][..4].copy_from_slice(&checksum.to_le_bytes());
    block
}

/// Values of `i_format`'s data layout.
const PLAIN: u16 = 0;
const COMPRESSED_FULL: u16 = 1;
const INLINE: u16 = 2;

/// Writes an inode without what follows it.
pub(super) fn inode(node: &Node, placed: &Placed, body: &[u8], number: u32, bytes: &mut Vec<u8>) {
    let layout = match node.content {
        Content::Compressed { .. } => COMPRESSED_FULL,
        _ if placed.inline => INLINE,
        _ => PLAIN,
    };
    let extended = u16::from(!placed.compact);
    let mode = node.mode | type_bits(&node.content);
    let union = match &node.content {
        Content::Device(device) => device_number(*device),
        Content::Compressed { extents, .. } => extents.len() as u32,
        _ => placed.block,
    };
    bytes.extend_from_slice(&(layout << 1 | extended).to_le_bytes());
    bytes.extend_from_slice(&(xattr::count(body.len()) as u16).to_le_bytes());
    bytes.extend_from_slice(&mode.to_le_bytes());
    if placed.compact {
        bytes.extend_from_slice(&(placed.links as u16).to_le_bytes());
        bytes.extend_from_slice(&(placed.size as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&union.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&(node.uid as u16).to_le_bytes());
        bytes.extend_from_slice(&(node.gid as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        return;
    }
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&placed.size.to_le_bytes());
    for field in [union, number, node.uid, node.gid] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(&node.mtime.seconds.to_le_bytes());
    bytes.extend_from_slice(&node.mtime.nanoseconds.to_le_bytes());
    bytes.extend_from_slice(&placed.links.to_le_bytes());
    bytes.extend_from_slice(&[0; 16]);
}

/// The type in `st_mode` (inode(7)).
fn type_bits(content: &Content) -> u16 {
    match content {
        Content::Directory(_) => 0o040_000,
        Content::File { .. } | Content::Compressed { .. } | Content::Gone => 0o100_000,
        Content::Symlink(_) => 0o120_000,
        Content::Device(Device::Character(..)) => 0o020_000,
        Content::Device(Device::Block(..)) => 0o060_000,
        Content::Device(Device::Fifo) => 0o010_000,
        Content::Device(Device::Socket) => 0o140_000,
    }
}

/// The type in a directory entry, the kernel's `FT_*`.
pub(super) fn file_type(content: &Content) -> u8 {
    match content {
        Content::File { .. } | Content::Compressed { .. } | Content::Gone => 1,
        Content::Directory(_) => 2,
        Content::Device(Device::Character(..)) => 3,
        Content::Device(Device::Block(..)) => 4,
        Content::Device(Device::Fifo) => 5,
        Content::Device(Device::Socket) => 6,
        Content::Symlink(_) => 7,
    }
}

/// The kernel's `new_encode_dev`.
fn device_number(device: Device) -> u32 {
    match device {
        Device::Character(major, minor) | Device::Block(major, minor) => {
            minor & 0xff | major << 8 | (minor & !0xff) << 12
        }
        Device::Fifo | Device::Socket => 0,
    }
}
