//! Directory entries, packed into blocks.
//!
//! A block holds an array of 12-byte entries and behind it their names. Entries
//! are sorted by name through all blocks, `.` and `..` among them, because the
//! kernel searches by halves, first among blocks, then within one.

use super::BLOCK;

const ENTRY: usize = 12;

/// How many bytes the listing of these names takes: whole blocks, then the
/// used part of the last one.
pub(super) fn size<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut full, mut used) = (0, 0);
    for name in names {
        let need = ENTRY + name.len();
        if used + need > BLOCK {
            full += 1;
            used = 0;
        }
        used += need;
    }
    full * BLOCK as u64 + used as u64
}

/// Name, inode number and type (`FT_*`) of an entry.
pub(super) type Entry<'a> = (&'a [u8], u64, u8);

/// Writes the listing; every block but the last is padded with zeros.
pub(super) fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let (block, after) = rest.split_at(fitting(rest));
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        encode_block(block, &mut bytes);
        rest = after;
    }
    bytes
}

/// How many of these entries fit into one block.
fn fitting(entries: &[Entry<'_>]) -> usize {
    let mut used = 0;
    entries
        .iter()
        .take_while(|(name, ..)| {
            used += ENTRY + name.len();
            used <= BLOCK
        })
        .count()
}

fn encode_block(entries: &[Entry<'_>], bytes: &mut Vec<u8>) {
    let mut name_offset = entries.len() * ENTRY;
    for (name, nid, file_type) in entries {
        bytes.extend_from_slice(&nid.to_le_bytes());
        bytes.extend_from_slice(&(name_offset as u16).to_le_bytes());
        bytes.extend_from_slice(&[*file_type, 0]);
        name_offset += name.len();
    }
    for (name, ..) in entries {
        bytes.extend_from_slice(name);
    }
}
