//! What is mounted: `/proc/self/mountinfo` (proc(5)).

use crate::error::{Result, io_error};
use spec::mountinfo::unescape;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub point: PathBuf,
    pub kind: String,
    /// Its files' owners are seen as a user namespace has them.
    pub is_mapped: bool,
    /// The file system's own options, unescaped.
    options: Vec<u8>,
}

impl Mount {
    /// True when an overlay has this folder among its layers, by its path or its name alone (`classic`).
    pub fn lists(&self, folder: &Path) -> bool {
        let names = [Some(folder.as_os_str()), folder.file_name()].map(|name| name.map(OsStr::as_bytes));
        let mut values = self.options.split(|byte| b",:=".contains(byte));
        values.any(|value| names.contains(&Some(value)))
    }
}

pub(super) fn read() -> Result<Vec<Mount>> {
    let path = Path::new("/proc/self/mountinfo");
    let text = std::fs::read(path).map_err(io_error("read", path))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

pub(super) fn parse(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut words = after.split(' ');
        let kind = words.next()?.to_owned();
        let mut fields = before.split(' ').skip(4);
        let point = OsString::from_vec(unescape(fields.next()?.as_bytes())).into();
        let is_mapped = fields.next()?.split(',').any(|option| option == "idmapped");
        Some(Mount { point, kind, is_mapped, options: unescape(words.nth(1).unwrap_or_default().as_bytes()) })
    };
    text.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_their_escapes() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n\
            40 1 0:9 / /c/root rw - overlay overlay rw,lowerdir=/l/a:/l/b:c,upperdir=/u";
        let mounts = parse(text);
        assert_eq!((mounts[0].point.as_path(), mounts[0].kind.as_str()), (Path::new("/mnt 2"), "ext4"));
        assert!(mounts[1].lists(Path::new("/l/b")) && mounts[1].lists(Path::new("/l/a")));
        assert!(mounts[1].lists(Path::new("/l/c")) && !mounts[1].lists(Path::new("/l")));
    }
}
