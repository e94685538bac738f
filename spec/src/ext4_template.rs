//! An empty ext4 file system as its few blocks that matter: how a node formats a
//! disk without mkfs.
//!
//! `mke2fs` makes a small file system when Skerry is built; `skerry-image` puts it
//! in the root at [`crate::paths::EXT4_TEMPLATE`] in this form; PID 1 writes it to a
//! blank disk and the kernel grows it (`EXT4_IOC_RESIZE_FS`).
//!
//! ```text
//! offset  size  all numbers little-endian
//! 0       8     "SKERRYE4"
//! 8       4     version, 1
//! 12      4     CRC-32C, inverted first and last, of every byte from offset 16 on
//! 16      8     length of the file system in blocks of 4,096 bytes: the smallest disk
//! 24      4     number of records
//! 28      4     zero
//! 32      16×n  records: first block (8), number of blocks (4), kind (4)
//! then          the blocks of the records of kind 1, in order
//! ```
//!
//! Kind 0: blocks in use that are zero (inode table, journal). They must be
//! written, since a disk counts as blank by its ends alone and a journal that
//! was left there would be replayed. Kind 1: blocks with content. A block in no
//! record is free: what it holds does not matter. Records ascend and do not overlap.
//!
//! A writer writes every block but block 0, waits until they are on the disk, and then
//! writes block 0 with the superblock that [`identify`] made its own. A disk
//! interrupted before that has no file system, and its first MiB holds zeros and
//! blocks of the template alone, which tells it from anybody else's.

use crate::crc32c;
use std::fmt;

/// Bytes in a block.
pub const BLOCK: usize = 4096;

/// Where the superblock begins on the disk, in bytes; it is in block 0.
pub const SUPERBLOCK_OFFSET: usize = 1024;

/// Bytes in the superblock.
pub const SUPERBLOCK: usize = 1024;

const MAGIC: &[u8; 8] = b"SKERRYE4";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const RECORD: usize = 16;
/// What the checksum covers begins here.
const COVERED: usize = 16;

/// A run of blocks that must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent<'a> {
    /// First block on the disk.
    pub start: u64,
    /// Number of blocks.
    pub blocks: u32,
    /// What they hold, `blocks` × [`BLOCK`] bytes; zeros when absent.
    pub data: Option<&'a [u8]>,
}

/// What a template file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    /// Length of the file system in blocks; a smaller disk cannot hold it.
    pub blocks: u64,
    /// What to write, in ascending order.
    pub extents: Vec<Extent<'a>>,
}

/// Why bytes are not a template, or not a superblock to be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(&'static str);

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Error {}

/// The file's bytes.
///
/// # Panics
/// When an extent's data is not as long as its blocks say.
#[must_use]
pub fn encode(template: &Template<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(template.blocks.to_le_bytes());
    file.extend((template.extents.len() as u32).to_le_bytes());
    file.extend(0_u32.to_le_bytes());
    for extent in &template.extents {
        file.extend(extent.start.to_le_bytes());
        file.extend(extent.blocks.to_le_bytes());
        file.extend(u32::from(extent.data.is_some()).to_le_bytes());
    }
    for extent in &template.extents {
        let data = extent.data.unwrap_or_default();
        assert!(extent.data.is_none() || data.len() == extent.blocks as usize * BLOCK);
        file.extend(data);
    }
    let sum = !crc32c::update(!0, &file);
    [&MAGIC[..], &VERSION.to_le_bytes(), &sum.to_le_bytes(), &file].concat()
}

/// Reads a template file.
///
/// # Errors
/// A file that is cut, damaged, of another version, or whose records reach out of
/// the file system.
pub fn decode(file: &[u8]) -> Result<Template<'_>, Error> {
    if file.len() < HEADER || &file[..8] != MAGIC {
        return Err(Error("not an ext4 template"));
    }
    if u32_at(file, 8) != VERSION {
        return Err(Error("an ext4 template of another version"));
    }
    if u32_at(file, 12) != !crc32c::update(!0, &file[COVERED..]) {
        return Err(Error("a damaged ext4 template"));
    }
    let blocks = u64_at(file, 16);
    let count = u32_at(file, 24) as usize;
    let records = count.checked_mul(RECORD).and_then(|length| file[HEADER..].get(..length));
    let records = records.ok_or(Error("an ext4 template without all of its records"))?;
    let mut data = &file[HEADER + records.len()..];
    let mut extents = Vec::with_capacity(count);
    let mut free_from = 0;
    for record in records.chunks_exact(RECORD) {
        let extent = read_extent(record, &mut data)?;
        let end = extent.start.checked_add(extent.blocks.into());
        let end = end.filter(|&end| extent.start >= free_from && end <= blocks);
        free_from = end.ok_or(Error("an ext4 template whose records overlap or reach out"))?;
        extents.push(extent);
    }
    if data.is_empty() { Ok(Template { blocks, extents }) } else { Err(Error("trailing bytes")) }
}

fn read_extent<'a>(record: &[u8], data: &mut &'a [u8]) -> Result<Extent<'a>, Error> {
    let blocks = u32_at(record, 8);
    let held = match u32_at(record, 12) {
        0 => None,
        1 => {
            let length = (blocks as usize).checked_mul(BLOCK);
            let (held, rest) = length
                .and_then(|length| data.split_at_checked(length))
                .ok_or(Error("an ext4 template without all of its blocks"))?;
            *data = rest;
            Some(held)
        }
        _ => return Err(Error("an ext4 template with a record of unknown kind")),
    };
    Ok(Extent { start: u64_at(record, 0), blocks, data: held })
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[offset + index]))
}

/// Offsets in `struct ext4_super_block`, as the kernel's
/// `Documentation/filesystems/ext4/super.rst` gives them.
mod field {
    pub const MAGIC: usize = 0x38;
    pub const INCOMPAT: usize = 0x60;
    pub const RO_COMPAT: usize = 0x64;
    pub const UUID: usize = 0x68;
    pub const HASH_SEED: usize = 0xec;
    pub const CHECKSUM: usize = 0x3fc;
}

/// Gives an empty file system its own identity, in its superblock alone: the
/// UUID, the seed of its directory hashes, and the superblock's checksum.
///
/// # Errors
/// Anything but the superblock of an ext4 with `metadata_csum` and
/// `metadata_csum_seed`: with the seed derived from the UUID instead, every other
/// checksum would break.
pub fn identify(superblock: &mut [u8; SUPERBLOCK], uuid: [u8; 16], hash_seed: [u8; 16]) -> Result<(), Error> {
    const CSUM_SEED: u32 = 0x2000;
    const METADATA_CSUM: u32 = 0x400;
    if superblock[field::MAGIC..field::MAGIC + 2] != [0x53, 0xef] {
        return Err(Error("not an ext4 superblock"));
    }
    if u32_at(superblock, field::INCOMPAT) & CSUM_SEED == 0
        || u32_at(superblock, field::RO_COMPAT) & METADATA_CSUM == 0
    {
        return Err(Error("an ext4 superblock without metadata_csum_seed"));
    }
    superblock[field::UUID..field::UUID + 16].copy_from_slice(&uuid);
    superblock[field::HASH_SEED..field::HASH_SEED + 16].copy_from_slice(&hash_seed);
    let sum = crc32c::update(!0, &superblock[..field::CHECKSUM]);
    superblock[field::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(data: &[u8]) -> Template<'_> {
        Template {
            blocks: 64,
            extents: vec![
                Extent { start: 0, blocks: 2, data: Some(data) },
                Extent { start: 2, blocks: 40, data: None },
            ],
        }
    }

    fn refused(file: &[u8]) -> &'static str {
        decode(file).unwrap_err().0
    }

    #[test]
    fn a_template_reads_back_as_it_was_written() {
        let data = vec![7; 2 * BLOCK];
        let template = example(&data);
        let file = encode(&template);
        assert_eq!(file.len(), HEADER + 2 * RECORD + data.len());
        assert_eq!(decode(&file), Ok(template));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let data = vec![7; 2 * BLOCK];
        let file = encode(&example(&data));
        for byte in (0..HEADER + 2 * RECORD).chain([file.len() - 1]) {
            let mut damaged = file.clone();
            damaged[byte] ^= 0x10;
            assert!(decode(&damaged).is_err(), "byte {byte}");
        }
        for length in [0, 7, HEADER, HEADER + RECORD, file.len() - 1] {
            assert!(decode(&file[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn records_that_overlap_or_reach_out_are_refused() {
        let at = |start, blocks| Extent { start, blocks, data: None };
        for extents in [vec![at(0, 65)], vec![at(u64::MAX, 1)], vec![at(0, 4), at(3, 1)]] {
            let file = encode(&Template { blocks: 64, extents });
            assert!(refused(&file).contains("overlap or reach out"));
        }
    }

    #[test]
    fn a_superblock_gets_its_identity_and_a_new_checksum() {
        let mut superblock = [0; SUPERBLOCK];
        assert!(identify(&mut superblock, [1; 16], [2; 16]).is_err());
        superblock[field::MAGIC..field::MAGIC + 2].copy_from_slice(&[0x53, 0xef]);
        assert!(identify(&mut superblock, [1; 16], [2; 16]).is_err());
        superblock[field::INCOMPAT + 1] = 0x20;
        superblock[field::RO_COMPAT + 1] = 0x04;
        identify(&mut superblock, [1; 16], [2; 16]).unwrap();
        assert_eq!(superblock[field::UUID..field::UUID + 16], [1; 16]);
        assert_eq!(superblock[field::HASH_SEED..field::HASH_SEED + 16], [2; 16]);
        let sum = crc32c::update(!0, &superblock[..field::CHECKSUM]);
        assert_eq!(u32_at(&superblock, field::CHECKSUM), sum);
    }
}
