//! What a disk holds, told from its first bytes: kind of file system and label.
//!
//! | kind | magic | label |
//! |---|---|---|
//! | erofs | `e2 e1 f5 e0` at 1024 | 16 bytes at 1088 |
//! | ext4 | `53 ef` at 1080 | 16 bytes at 1144 |
//! | vfat | `FAT` at 82 or 54, `55 aa` at 510 | 11 bytes at 71 or 43 |
//! | iso9660 | `CD001` at 32769 | 32 bytes at 32808 |

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
    fn a_blank_or_short_disk_holds_nothing() {
        assert_eq!(identify(&[0; HEAD]), None);
        assert_eq!(identify(&[]), None);
        assert_eq!(identify(&[0x55; 600]), None);
    }
}
