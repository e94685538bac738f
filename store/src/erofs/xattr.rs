//! Extended attributes in the form in which they follow an inode.

/// The kernel's limits (`XATTR_NAME_MAX`, and 16 bits for a value's size).
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = u16::MAX as usize;

/// Namespaces and the number that stands for each; the longest match counts.
const PREFIXES: [(&[u8], u8); 6] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"trusted.", 4),
    (b"security.", 6),
    (b"lustre.", 5),
    (b"user.", 1),
];

/// Splits a name into its namespace's number and the rest. None: erofs, and so
/// the kernel, has no such namespace; or a zero byte would end the name when it is read.
fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    if name.contains(&0) {
        return None;
    }
    PREFIXES.iter().find_map(|&(prefix, index)| {
        let rest = name.strip_prefix(prefix)?;
        (prefix.ends_with(b".") != rest.is_empty()).then_some((index, rest))
    })
}

/// True when an image can hold an extended attribute of this name.
pub fn is_known_xattr(name: &[u8]) -> bool {
    split(name).is_some()
}

/// Encodes attributes, sorted by name, behind their header of 12 bytes. Empty
/// when there are none; else a multiple of 4 bytes.
pub(super) fn encode(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, String> {
    if xattrs.is_empty() {
        return Ok(Vec::new());
    }
    let mut sorted: Vec<_> = xattrs.iter().collect();
    sorted.sort();
    let mut body = vec![0; 12];
    for pair in sorted.windows(2) {
        if pair[0].0 == pair[1].0 {
            return Err(format!("extended attribute {} twice", pair[0].0.escape_ascii()));
        }
    }
    for (name, value) in sorted {
        let (index, rest) = split(name)
            .ok_or_else(|| format!("extended attribute {} has no known name", name.escape_ascii()))?;
        if name.len() > NAME_MAX || value.len() > VALUE_MAX {
            return Err(format!("extended attribute {} is too long", name.escape_ascii()));
        }
        body.push(rest.len() as u8);
        body.push(index);
        body.extend_from_slice(&(value.len() as u16).to_le_bytes());
        body.extend_from_slice(rest);
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    match u16::try_from(count(body.len())) {
        Ok(_) => Ok(body),
        Err(_) => Err("more than 256 KiB of extended attributes".into()),
    }
}

/// The inode's `i_xattr_icount` for a body of this length.
pub(super) fn count(length: usize) -> usize {
    if length == 0 { 0 } else { (length - 12) / 4 + 1 }
}

/// The attributes of a body that [`encode`] made.
pub(super) fn decode(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rest = body.get(12..).unwrap_or_default();
    let mut xattrs = Vec::new();
    while let [name_length, index, low, high, tail @ ..] = rest {
        let (name, value) = (usize::from(*name_length), usize::from(u16::from_le_bytes([*low, *high])));
        let prefix = PREFIXES.iter().find(|(_, known)| known == index).map_or(&[][..], |&(prefix, _)| prefix);
        xattrs.push(([prefix, &tail[..name]].concat(), tail[name..name + value].to_vec()));
        rest = &tail[(4 + name + value).next_multiple_of(4) - 4..];
    }
    xattrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_read_back_sorted() {
        let pair = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        let xattrs = [
            pair("user.long", &[7; 1001]),
            pair("security.capability", &[1; 20]),
            pair("system.posix_acl_access", b"acl"),
            pair("trusted.overlay.opaque", b"y"),
            pair("user.empty", b""),
        ];
        let mut sorted = xattrs.to_vec();
        sorted.sort();
        let body = encode(&xattrs).unwrap();
        assert_eq!(decode(&body), sorted);
        assert_eq!(12 + 4 * (count(body.len()) - 1), body.len());
    }

    #[test]
    fn what_erofs_cannot_hold_is_refused() {
        let one = |name: &str, length| encode(&[(name.as_bytes().to_vec(), vec![0; length])]);
        for name in ["com.apple.x", "user.", "user.a\0b", "system.posix_acl_accessory", "system.nfs4_acl", ""]
        {
            assert!(one(name, 1).unwrap_err().contains("no known name"), "{name}");
        }
        assert!(one("user.x", 65_536).unwrap_err().contains("too long"));
        assert!(one(&format!("user.{}", "x".repeat(251)), 1).unwrap_err().contains("too long"));
    }
}
