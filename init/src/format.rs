//! Making an ext4 without mkfs: the template of the image is written to the disk
//! and given an identity of its own. [`spec::ext4_template`] says how and why.

use crate::disks::Disk;
use crate::error::{Context, Error, Result};
use spec::ext4_template::{self, BLOCK, SUPERBLOCK, SUPERBLOCK_OFFSET, Template};
use spec::node::Format;
use spec::paths;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

const MIB: usize = 1 << 20;
/// Where the superblock has the volume's label, 16 bytes.
const LABEL: usize = 0x78;

/// Whether the disk that the configuration names is to be formatted.
pub fn is_wanted(disk: &Disk, format: Format) -> Result<bool> {
    match format {
        Format::Never => Ok(false),
        Format::Always => Ok(true),
        Format::Blank if disk.volume.is_some() => Ok(false),
        Format::Blank => is_blank(disk),
    }
}

fn is_blank(disk: &Disk) -> Result<bool> {
    if disk.bytes < 2 * MIB as u64 {
        return Ok(false);
    }
    let doing = || format!("look whether {} is blank", disk.path());
    let file = File::open(disk.path()).context(doing)?;
    let (mut first, mut last) = (vec![0; MIB], vec![0; MIB]);
    file.read_exact_at(&mut first, 0).context(doing)?;
    file.read_exact_at(&mut last, disk.bytes - MIB as u64).context(doing)?;
    if last.iter().any(|&byte| byte != 0) {
        return Ok(false);
    }
    if first.iter().all(|&byte| byte == 0) {
        return Ok(true);
    }
    let image = read_image()?;
    Ok(ext4_template::decode(&image).is_ok_and(|template| was_interrupted(&first, &template)))
}

/// Whether the beginning of a disk holds nothing but zeros and blocks of the
/// template, block 0 not among them: an earlier formatting was interrupted.
fn was_interrupted(first: &[u8], template: &Template<'_>) -> bool {
    let zero = |block: &[u8]| block.iter().all(|&byte| byte == 0);
    let mut blocks = first.chunks_exact(BLOCK).enumerate();
    let first_is_zero = blocks.next().is_some_and(|(_, block)| zero(block));
    first_is_zero
        && blocks.all(|(number, block)| zero(block) || block_of(template, number as u64) == Some(block))
}

fn block_of<'a>(template: &Template<'a>, number: u64) -> Option<&'a [u8]> {
    let extent = template
        .extents
        .iter()
        .find(|extent| (extent.start..extent.start + u64::from(extent.blocks)).contains(&number))?;
    extent.data?.chunks_exact(BLOCK).nth((number - extent.start) as usize)
}

fn read_image() -> Result<Vec<u8>> {
    fs::read(paths::EXT4_TEMPLATE).context(|| format!("read {}", paths::EXT4_TEMPLATE))
}

/// Writes the template with a fresh identity. Block 0, without which there is no
/// file system, comes last and after everything else is on the disk.
pub fn write_template(disk: &Disk, label: &str) -> Result<()> {
    let doing = || format!("format {}", disk.path());
    let image = read_image()?;
    let template =
        ext4_template::decode(&image).map_err(|error| Error(format!("{}: {error}", paths::EXT4_TEMPLATE)))?;
    if disk.bytes < template.blocks * BLOCK as u64 {
        let least = (template.blocks * BLOCK as u64) >> 20;
        return Err(Error(format!("{}: smaller than the {least} MiB that ext4 needs here", doing())));
    }
    let first =
        block_of(&template, 0).ok_or_else(|| Error(format!("{}: the template has no block 0", doing())))?;
    let first = identified(first, label)?;
    // Exclusive: a disk that is in use is not formatted.
    let file =
        OpenOptions::new().write(true).custom_flags(nix::libc::O_EXCL).open(disk.path()).context(doing)?;
    let zeros = vec![0; MIB];
    // A disk that held something before must not be taken for it in between.
    file.write_all_at(&zeros[..BLOCK], 0).context(doing)?;
    for extent in &template.extents {
        let (mut at, end) =
            (extent.start.max(1) * BLOCK as u64, (extent.start + u64::from(extent.blocks)) * BLOCK as u64);
        while at < end {
            let chunk = match extent.data {
                Some(data) => &data[(at - extent.start * BLOCK as u64) as usize..],
                None => &zeros[..MIB.min((end - at) as usize)],
            };
            file.write_all_at(chunk, at).context(doing)?;
            at += chunk.len() as u64;
        }
    }
    file.sync_all().context(doing)?;
    file.write_all_at(&first, 0).context(doing)?;
    file.sync_all().context(doing)
}

fn identified(block: &[u8], label: &str) -> Result<Vec<u8>> {
    let mut block = block.to_vec();
    let place = &mut block[SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + SUPERBLOCK];
    let label = label.bytes().chain(std::iter::repeat(0));
    place[LABEL..LABEL + 16].iter_mut().zip(label).for_each(|(to, byte)| *to = byte);
    let mut random = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context(|| "read /dev/urandom")?;
    let (mut uuid, mut seed) = ([0; 16], [0; 16]);
    uuid.copy_from_slice(&random[..16]);
    seed.copy_from_slice(&random[16..]);
    uuid[6] = uuid[6] & 0x0f | 0x40; // version 4, random (RFC 9562)
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let mut superblock = [0; SUPERBLOCK];
    superblock.copy_from_slice(place);
    ext4_template::identify(&mut superblock, uuid, seed)
        .map_err(|error| Error(format!("{}: {error}", paths::EXT4_TEMPLATE)))?;
    place.copy_from_slice(&superblock);
    Ok(block)
}

/// Bytes in a block of the ext4 on a device, and the number of its blocks.
pub fn extent(device: &str) -> Result<(u64, u64)> {
    let mut superblock = [0; SUPERBLOCK];
    let file = File::open(device).context(|| format!("read {device}"))?;
    file.read_exact_at(&mut superblock, SUPERBLOCK_OFFSET as u64).context(|| format!("read {device}"))?;
    let word = |offset: usize| {
        u64::from(u32::from_le_bytes(std::array::from_fn(|index| superblock[offset + index])))
    };
    Ok((1024 << word(0x18).min(6), word(0x04) | word(0x150) << 32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::ext4_template::Extent;

    #[test]
    fn an_interrupted_formatting_is_told_from_somebody_elses_disk() {
        let data: Vec<u8> = (0..3 * BLOCK).map(|at| (at / BLOCK + 1) as u8).collect();
        let template =
            Template { blocks: 64, extents: vec![Extent { start: 0, blocks: 3, data: Some(&data) }] };
        let mut disk = vec![0; 8 * BLOCK];
        disk[BLOCK..3 * BLOCK].copy_from_slice(&data[BLOCK..]);
        assert!(was_interrupted(&disk, &template));
        disk[5 * BLOCK] = 1;
        assert!(!was_interrupted(&disk, &template), "a block that is not of the template");
        disk[5 * BLOCK] = 0;
        disk[0] = 1;
        assert!(!was_interrupted(&disk, &template), "block 0 was written: no interruption");
    }
}
