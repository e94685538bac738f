//! Reduces an ext4 image of one block group to the blocks that must be written.

use spec::ext4_template::{BLOCK, Extent, Template, encode};

/// Byte offset of the first group descriptor's block bitmap location:
/// `bg_block_bitmap_lo` of `struct ext4_group_desc`, in block 1.
const BITMAP_LOCATION: usize = BLOCK;

/// What a block is to the template.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Free,
    Zero,
    Content,
}

/// The template file of an ext4 image.
///
/// # Errors
/// An image that is not whole blocks of one group, or whose bitmap calls a block
/// free that has content.
pub fn reduce(image: &[u8]) -> Result<Vec<u8>, String> {
    let blocks = image.len() / BLOCK;
    if !image.len().is_multiple_of(BLOCK) || !(2..=BLOCK * 8).contains(&blocks) {
        return Err("the image is not one block group".into());
    }
    let location: [u8; 4] = std::array::from_fn(|index| image[BITMAP_LOCATION + index]);
    let bitmap = image.chunks_exact(BLOCK).nth(u32::from_le_bytes(location) as usize);
    let bitmap = bitmap.ok_or("the block bitmap lies outside of the image")?;
    let kinds = image.chunks_exact(BLOCK).enumerate().map(|(number, block)| kind(bitmap, number, block));
    let kinds = kinds.collect::<Result<Vec<Kind>, String>>()?;
    Ok(encode(&Template { blocks: blocks as u64, extents: extents(&kinds, image) }))
}

fn kind(bitmap: &[u8], number: usize, block: &[u8]) -> Result<Kind, String> {
    let used = bitmap[number / 8] >> (number % 8) & 1 == 1;
    let zero = block.iter().all(|&byte| byte == 0);
    match (used, zero) {
        (true, true) => Ok(Kind::Zero),
        (true, false) => Ok(Kind::Content),
        (false, true) => Ok(Kind::Free),
        (false, false) => Err(format!("block {number} is free and has content")),
    }
}

/// Runs of one kind, the free ones left out.
fn extents<'a>(kinds: &[Kind], image: &'a [u8]) -> Vec<Extent<'a>> {
    let mut start = 0;
    let runs = kinds.chunk_by(|before, after| before == after).map(|run| {
        let first = start;
        start += run.len();
        let bytes = &image[first * BLOCK..start * BLOCK];
        let data = (run[0] == Kind::Content).then_some(bytes);
        (run[0], Extent { start: first as u64, blocks: run.len() as u32, data })
    });
    runs.filter(|(kind, _)| *kind != Kind::Free).map(|(_, extent)| extent).collect()
}
