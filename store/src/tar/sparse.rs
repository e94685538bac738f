//! Where the data of a sparse file lies.

use super::{BLOCK, pax};

/// Most pieces of data in one file: what a header of 1 MiB could list, and more
/// than any file system reports for one.
const PIECES_MAX: usize = 1 << 17;

/// Offsets and lengths of a file's data, ascending; between them are holes.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub pieces: Vec<(u64, u64)>,
}

impl Map {
    /// Checks a list of offsets and lengths in turn against the file's full
    /// size and the length of its stored data.
    pub fn new(numbers: &[u64], real_size: u64, stored: u64) -> Result<Self, String> {
        let (pairs, odd) = numbers.as_chunks::<2>();
        if !odd.is_empty() || pairs.len() > PIECES_MAX {
            return Err("the map of a sparse file is incomplete or too long".into());
        }
        let (mut end, mut total) = (0_u64, 0_u64);
        for &[offset, length] in pairs {
            let next = offset.checked_add(length).filter(|&next| offset >= end && next <= real_size);
            end = next.ok_or("the map of a sparse file overlaps or leaves the file")?;
            total += length;
        }
        if total != stored {
            return Err("the map of a sparse file does not fit its data".into());
        }
        Ok(Self { pieces: pairs.iter().map(|&[offset, length]| (offset, length)).collect() })
    }
}

/// Takes a version 1.0 map, decimal numbers on lines of their own in whole
/// blocks before the data. `more` gives the next block.
pub(super) fn read_lines(
    mut more: impl FnMut() -> Result<[u8; BLOCK], super::Error>,
) -> Result<Numbers, super::Error> {
    let mut lines = Lines { numbers: Vec::new(), digits: Vec::new(), blocks: 0 };
    while !lines.is_complete() {
        let block = more()?;
        lines.blocks += 1;
        if let Err(why) = lines.take(&block) {
            return Ok(Err(why));
        }
    }
    lines.numbers.remove(0);
    Ok(Ok((lines.numbers, lines.blocks)))
}

/// The numbers of a map and how many blocks they took; or why they are wrong.
pub(super) type Numbers = Result<(Vec<u64>, u64), String>;

struct Lines {
    /// The count of pieces, then an offset and a length for each.
    numbers: Vec<u64>,
    digits: Vec<u8>,
    blocks: u64,
}

impl Lines {
    fn is_complete(&self) -> bool {
        self.numbers.first().is_some_and(|&count| self.numbers.len() as u64 > count.saturating_mul(2))
    }

    fn take(&mut self, block: &[u8; BLOCK]) -> Result<(), String> {
        for &byte in block {
            if self.is_complete() {
                return Ok(());
            }
            if byte != b'\n' {
                self.digits.push(byte);
            } else {
                self.numbers.push(pax::whole(&self.digits)?);
                self.digits.clear();
            }
            let count = self.numbers.first().copied().unwrap_or(0);
            if self.digits.len() > 20 || count > PIECES_MAX as u64 {
                return Err("the map of a sparse file is malformed or too long".into());
            }
        }
        Ok(())
    }
}
