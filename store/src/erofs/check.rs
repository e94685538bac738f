//! A reader of uncompressed erofs images for tests, written from the kernel's
//! description alone and sharing nothing with the writer.

fn number(image: &[u8], at: usize, bytes: usize) -> u64 {
    image[at..at + bytes].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// An inode as it lies in an image.
pub(crate) struct Inode {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: (i64, u32),
    pub links: u64,
    pub device: u64,
    pub content: Vec<u8>,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// The root's inode number.
pub(crate) fn root(image: &[u8]) -> u64 {
    assert_eq!(number(image, 1024, 4), 0xe0f5_e1e2, "magic");
    number(image, 1024 + 14, 2)
}

pub(crate) fn inode(image: &[u8], nid: u64) -> Inode {
    let at = (number(image, 1024 + 40, 4) * 4096 + nid * 32) as usize;
    let field = |offset: usize, bytes: usize| number(image, at + offset, bytes);
    let format = field(0, 2);
    let extended = format & 1 == 1;
    let icount = field(2, 2) as usize;
    let xattr_size = if icount == 0 { 0 } else { 12 + 4 * (icount - 1) };
    let xattrs_at = at + if extended { 64 } else { 32 };
    let (size, union) = if extended { (field(8, 8), field(16, 4)) } else { (field(8, 4), field(16, 4)) };
    let (uid, gid, links) = if extended {
        (field(24, 4), field(28, 4), field(44, 4))
    } else {
        (field(24, 2), field(26, 2), field(6, 2))
    };
    let time_at = if extended { at + 32 } else { 1024 + 24 };
    let mode = field(4, 2) as u16;
    let has_content = matches!(mode >> 12, 4 | 8 | 10);
    let whole = if format >> 1 == 2 { size / 4096 * 4096 } else { size } as usize;
    let mut content = Vec::new();
    if has_content {
        let start = union as usize * 4096;
        content.extend(&image[start..][..whole]);
        let tail_at = xattrs_at + xattr_size;
        let tail = size as usize - whole;
        assert!(tail == 0 || tail_at / 4096 == (tail_at + tail - 1) / 4096, "a tail crosses a block");
        content.extend(&image[tail_at..][..tail]);
    }
    Inode {
        mode,
        uid: uid as u32,
        gid: gid as u32,
        mtime: (number(image, time_at, 8) as i64, number(image, time_at + 8, 4) as u32),
        links,
        device: union,
        content,
        xattrs: xattrs(&image[xattrs_at..][..xattr_size]),
    }
}

fn xattrs(mut body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut xattrs = Vec::new();
    body = body.get(12..).unwrap_or_default();
    while !body.is_empty() {
        let (name, value) = (body[0] as usize, number(body, 2, 2) as usize);
        let prefix =
            ["", "user.", "system.posix_acl_access", "system.posix_acl_default", "trusted.", "", "security."]
                [body[1] as usize];
        let text = format!("{prefix}{}", String::from_utf8_lossy(&body[4..4 + name]));
        xattrs.push((text, body[4 + name..4 + name + value].to_vec()));
        body = &body[(4 + name + value).next_multiple_of(4)..];
    }
    xattrs.sort();
    xattrs
}

/// The entries of a directory but `.` and `..`: name and inode number.
pub(crate) fn entries(directory: &Inode) -> Vec<(Vec<u8>, u64)> {
    let mut entries = Vec::new();
    for block in directory.content.chunks(4096) {
        let count = number(block, 8, 2) as usize / 12;
        let start = |entry: usize| number(block, entry * 12 + 8, 2) as usize;
        for entry in 0..count {
            let end = if entry + 1 < count { start(entry + 1) } else { block.len() };
            let name = block[start(entry)..end].split(|&byte| byte == 0).next().unwrap().to_vec();
            entries.push((name, number(block, entry * 12, 8)));
        }
    }
    assert!(entries.is_sorted(), "a directory is not sorted");
    entries.retain(|(name, _)| name != b"." && name != b"..");
    entries
}

/// Every path, sorted, with what it is: `/d dir`, `/f file CONTENT`, `/l link TARGET`,
/// `/c char MAJOR:MINOR`, then its extended attributes.
#[cfg(test)]
pub(crate) fn list(image: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut folders = vec![(String::new(), root(image))];
    while let Some((path, nid)) = folders.pop() {
        let inode = inode(image, nid);
        let text = String::from_utf8_lossy(&inode.content);
        let kind = match inode.mode >> 12 {
            4 => {
                let children = entries(&inode).into_iter();
                folders.extend(children.map(|(name, nid)| (format!("{path}/{}", name.escape_ascii()), nid)));
                "dir".to_owned()
            }
            8 => format!("file {text}"),
            10 => format!("link {text}"),
            2 => format!("char {}:{}", inode.device >> 8 & 0xfff, inode.device & 0xff),
            other => format!("type {other}"),
        };
        let xattrs =
            inode.xattrs.iter().map(|(name, value)| format!(" {name}={}", String::from_utf8_lossy(value)));
        let path = if path.is_empty() { "/" } else { &path };
        lines.push(format!("{path} {kind}{}", xattrs.collect::<String>()));
    }
    lines.sort();
    lines
}
