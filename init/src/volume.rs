//! What a disk holds, told from its first bytes: kind of file system and label.
//!
//! | kind | magic | label |
//! |---|---|---|
//! | erofs | `e2 e1 f5 e0` at 1024 | 16 bytes at 1088 |
//! | ext4 | `53 ef` at 1080 | 16 bytes at 1144 |
//! | vfat | `FAT` at 82 or 54, `55 aa` at 510 | of the root directory, else 11 bytes at 71 or 43 |
//! | iso9660 | `CD001` at 32769 | 32 bytes at 32808 |
//!
//! Windows writes a vfat's label into the root directory alone: an entry with the attribute 08 (Microsoft's
//! "FAT: General Overview of On-Disk Format", 6).

/// Bytes from the start that [`identify`] looks at.
pub const HEAD: usize = 32_808 + 32;

/// A file system on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// As mount(2) names it.
    pub kind: &'static str,
    /// Its label, without the padding; may be empty.
    pub label: String,
}

/// Tells what file system begins with `head`, which may be shorter than [`HEAD`].
pub fn identify(head: &[u8]) -> Option<Volume> {
    let has = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let volume = |kind, offset: usize, length: usize| {
        let label = head.get(offset..offset + length)?;
        let end = label.iter().position(|&byte| byte == 0).unwrap_or(length);
        let label = String::from_utf8_lossy(&label[..end]).trim_end().to_owned();
        Some(Volume { kind, label })
    };
    if has(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        volume("erofs", 1088, 16)
    } else if has(1080, &[0x53, 0xef]) {
        volume("ext4", 1144, 16)
    } else if has(32_769, b"CD001") {
        volume("iso9660", 32_808, 32)
    } else if has(510, &[0x55, 0xaa]) && has(82, b"FAT") {
        volume("vfat", 71, 11)
    } else if has(510, &[0x55, 0xaa]) && has(54, b"FAT") {
        volume("vfat", 43, 11)
    } else {
        None
    }
}

/// Where the root directory of the vfat that begins with `head` lies, and its length; of FAT32, that of
/// its first cluster.
pub fn root_directory(head: &[u8]) -> Option<(u64, usize)> {
    let number = |offset: usize, length: usize| {
        let bytes = head.get(offset..offset + length)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let (sector, cluster, entries) = (number(11, 2)?, number(13, 1)?, number(17, 2)?);
    let table = match number(22, 2)? {
        0 => number(36, 4)?,
        short => short,
    };
    let tables = number(14, 2)? + number(16, 1)? * table;
    match entries {
        0 => {
            let before = number(44, 4)?.checked_sub(2)? * cluster;
            Some(((tables + before) * sector, (cluster * sector) as usize))
        }
        entries => Some((tables * sector, entries as usize * 32)),
    }
}

/// The label that a vfat's root directory has.
pub fn label_in(directory: &[u8]) -> Option<String> {
    let mut entries = directory.chunks_exact(32).take_while(|entry| entry[0] != 0);
    // A part of a long name has the attributes of a label, too; a removed entry begins with e5.
    let is_label = |entry: &&[u8]| entry[0] != 0xe5 && entry[11] & 0x18 == 0x08 && entry[11] & 0x3f != 0x0f;
    entries.find(is_label).map(|label| String::from_utf8_lossy(&label[..11]).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        for (offset, part) in parts {
            bytes[*offset..offset + part.len()].copy_from_slice(part);
        }
        bytes
    }

    #[test]
    fn each_kind_is_told_with_its_label() {
        type Parts = &'static [(usize, &'static [u8])];
        let cases: [(&str, Parts); 5] = [
            ("erofs", &[(1024, &[0xe2, 0xe1, 0xf5, 0xe0]), (1088, b"LABEL")]),
            ("ext4", &[(1080, &[0x53, 0xef]), (1144, b"LABEL")]),
            ("iso9660", &[(32_769, b"CD001"), (32_808, b"LABEL                           ")]),
            ("vfat", &[(510, &[0x55, 0xaa]), (82, b"FAT32   "), (71, b"LABEL      ")]),
            ("vfat", &[(510, &[0x55, 0xaa]), (54, b"FAT16   "), (43, b"LABEL      ")]),
        ];
        for (kind, parts) in cases {
            assert_eq!(identify(&head(parts)), Some(Volume { kind, label: "LABEL".into() }));
        }
    }

    #[test]
    fn the_root_directory_of_a_vfat_is_found() {
        // Sectors of 512 bytes, 4 a cluster, 32 of them before two tables.
        let fat16 = head(&[(11, &[0, 2, 4, 32, 0, 2, 0, 2]), (22, &[9, 0])]);
        assert_eq!(root_directory(&fat16), Some(((32 + 18) * 512, 512 * 32)));
        let fat32 = head(&[(11, &[0, 2, 4, 32, 0, 2, 0, 0]), (36, &[0, 1, 0, 0]), (44, &[3])]);
        assert_eq!(root_directory(&fat32), Some(((32 + 512 + 4) * 512, 4 * 512)));
        let noise = vec![0xff; HEAD];
        assert!(root_directory(&noise).is_some_and(|(offset, length)| offset > 0 && length <= 1 << 24));
        assert_eq!(root_directory(&[0; 40]), None);
        assert_eq!(root_directory(&[0; HEAD]), None);
    }

    #[test]
    fn a_label_is_told_from_files_and_parts_of_long_names() {
        let entry = |name: &[u8; 11], attributes: u8| {
            let mut entry = vec![0; 32];
            entry[..11].copy_from_slice(name);
            entry[11] = attributes;
            entry
        };
        let before = [
            entry(b"\xe5LD        ", 0x08),
            entry(b"Along name.", 0x0f),
            entry(b"FILE    TXT", 0x20),
            entry(b"FOLDER     ", 0x10),
        ];
        let with = [&before[..], &[entry(b"SKERRY     ", 0x08)]].concat().concat();
        assert_eq!(label_in(&with).as_deref(), Some("SKERRY"));
        assert_eq!(label_in(&before.concat()), None);
        let behind_the_end = [entry(&[0; 11], 0), entry(b"SKERRY     ", 0x28)].concat();
        assert_eq!(label_in(&behind_the_end), None);
    }

    #[test]
    fn a_blank_or_short_disk_holds_nothing() {
        assert_eq!(identify(&[0; HEAD]), None);
        assert_eq!(identify(&[]), None);
        assert_eq!(identify(&[0x55; 600]), None);
    }
}
