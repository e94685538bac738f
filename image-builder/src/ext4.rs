//! The empty ext4 that the image carries for blank data disks, made when Skerry
//! itself was built (`build/main.rs`); [`spec::ext4_template`] is its form.

/// The template file.
pub const TEMPLATE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ext4.template"));

#[cfg(test)]
#[path = "../build/template.rs"]
mod reduction;

#[cfg(test)]
mod tests {
    use super::*;
    use spec::ext4_template::{BLOCK, SUPERBLOCK, SUPERBLOCK_OFFSET, decode, identify};

    /// A disk that held something else and was then formatted from the template.
    fn formatted(before: u8) -> Vec<u8> {
        let template = decode(TEMPLATE).unwrap();
        let mut disk = vec![before; template.blocks as usize * BLOCK];
        for extent in &template.extents {
            let place = extent.start as usize * BLOCK;
            let place = &mut disk[place..place + extent.blocks as usize * BLOCK];
            match extent.data {
                Some(data) => place.copy_from_slice(data),
                None => place.fill(0),
            }
        }
        disk
    }

    #[test]
    fn the_template_is_small_and_has_what_a_node_needs() {
        let disk = formatted(0);
        assert!(TEMPLATE.len() < 100 << 10, "{} bytes", TEMPLATE.len());
        let superblock = &disk[SUPERBLOCK_OFFSET..SUPERBLOCK_OFFSET + SUPERBLOCK];
        let label = &superblock[0x78..0x88];
        assert!(label.starts_with(spec::paths::DATA_LABEL.as_bytes()), "{label:?}");
        let ro_compat = u32::from_le_bytes(superblock[0x64..0x68].try_into().unwrap());
        assert_eq!(ro_compat & 0x8000, 0x8000, "the verity feature");
        identify(&mut superblock.try_into().unwrap(), [1; 16], [2; 16]).unwrap();
    }

    #[test]
    fn what_lay_on_the_disk_shows_in_free_blocks_alone() {
        let (clean, dirty) = (formatted(0), formatted(0xa5));
        let free = clean.chunks(BLOCK).zip(dirty.chunks(BLOCK)).filter(|(clean, dirty)| clean != dirty);
        assert!(free.clone().count() > 8192, "most of it is free");
        assert!(free.clone().all(|(clean, dirty)| clean.iter().all(|&byte| byte == 0) && dirty[0] == 0xa5));
        assert_eq!(reduction::reduce(&clean).unwrap(), TEMPLATE);
        assert!(reduction::reduce(&dirty).unwrap_err().contains("is free and has content"));
    }
}
