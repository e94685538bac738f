//! Words of the kernel's tables of mounts (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A path or an option as it is: blank, tab, newline and backslash stand there in octal, `\040`.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let octal = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok();
    let mut parts = text.split(|byte| *byte == b'\\');
    let mut out = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(octal);
        out.push(code.unwrap_or(b'\\'));
        out.extend_from_slice(if code.is_some() { &part[3..] } else { part });
    }
    out
}

/// Where what a path shows is mounted, and whether others are told of what is mounted in it ("shared",
/// mount_namespaces(7)). The path is absolute and without links.
pub fn mount_of(table: &[u8], path: &Path) -> Option<(PathBuf, bool)> {
    let mounts = table.split(|byte| *byte == b'\n').filter_map(|line| {
        // ID, parent, device, root, mount point, options, what is told to whom, "-".
        let mut words = line.split(|byte| *byte == b' ').skip(4);
        let point = PathBuf::from(OsString::from_vec(unescape(words.next()?)));
        let is_shared =
            words.skip(1).take_while(|word| *word != b"-").any(|word| word.starts_with(b"shared:"));
        Some((point, is_shared))
    });
    // Of those at one place the last lies on the others.
    mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_back_and_nothing_else_is() {
        for (text, means) in [
            ("/a b", "/a b"),
            (r"/a\040b\134040", r"/a b\040"),
            (r"\011\012", "\t\n"),
            (r"\04", r"\04"),
            (r"\9", r"\9"),
        ] {
            assert_eq!(String::from_utf8(unescape(text.as_bytes())).unwrap(), means, "{text}");
        }
    }

    #[test]
    fn a_path_is_on_the_mount_that_lies_on_top_there() {
        let table = b"21 1 8:1 / / rw shared:1 - ext4 /dev/root rw\n\
            22 21 0:5 / /srv rw,noatime - tmpfs t rw\n\
            23 21 0:6 / /srv/a\\040b rw master:3 - tmpfs t rw\n\
            24 23 0:7 / /srv/a\\040b rw shared:4 master:3 - tmpfs t rw\n";
        for (path, point, shared) in [
            ("/", "/", true),
            ("/srvx", "/", true),
            ("/srv/c", "/srv", false),
            ("/srv/a b/d", "/srv/a b", true),
        ] {
            assert_eq!(mount_of(table, Path::new(path)), Some((point.into(), shared)), "{path}");
        }
        assert_eq!(mount_of(b"", Path::new("/")), None);
    }
}
