//! Archives in cpio's "newc" form, as the kernel unpacks them into its first root
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! A header is `070701` and thirteen numbers of eight hexadecimal digits; name and
//! content are each padded with zeros to four bytes. Archives may follow one another, with
//! zeros between them. No file may have 4 GiB or more.

use crate::tree::{Content, Kind, Node, Tree};
use std::io::{self, Read, Write};

/// The greatest length of a file, in bytes.
pub const MAX_FILE: u64 = u32::MAX as u64;

/// Archives are padded to this many bytes, as GNU cpio does.
const BLOCK: u64 = 512;

/// Writes a tree as one archive; every file bears the time `time` (seconds since 1970).
///
/// # Errors
/// What reading a file or writing the archive gives; a file that got shorter
/// while it was read, or is longer than [`MAX_FILE`].
pub fn write(tree: &Tree, time: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut archive = Archive { out, written: 0, time: u32::try_from(time).unwrap_or(u32::MAX), inode: 0 };
    for (path, node) in tree.iter() {
        archive.node(path, node)?;
    }
    archive.header("TRAILER!!!", &Header::default())?;
    let end = archive.written.next_multiple_of(BLOCK);
    archive.zeros(end)
}

struct Archive<'a> {
    out: &'a mut dyn Write,
    written: u64,
    time: u32,
    inode: u32,
}

#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u32,
    time: u32,
    size: u32,
    device: (u32, u32),
}

impl Archive<'_> {
    fn node(&mut self, path: &str, node: &Node) -> io::Result<()> {
        self.inode += 1;
        let mut header = Header {
            inode: self.inode,
            mode: node.mode.into(),
            uid: node.uid,
            gid: node.gid,
            links: 1,
            time: self.time,
            ..Header::default()
        };
        match &node.kind {
            Kind::Directory => {
                header.mode |= 0o040_000;
                header.links = 2;
                self.header(path, &header)
            }
            Kind::Character { major, minor } => {
                header.mode |= 0o020_000;
                header.device = (*major, *minor);
                self.header(path, &header)
            }
            Kind::Symlink(target) => {
                header.mode |= 0o120_000;
                self.entry(path, header, &Content::Bytes(target.as_bytes().to_vec()))
            }
            Kind::File(content) => {
                header.mode |= 0o100_000;
                self.entry(path, header, content)
            }
        }
    }

    fn header(&mut self, name: &str, header: &Header) -> io::Result<()> {
        let Header { inode, mode, uid, gid, links, time, size, device: (major, minor) } = header;
        let length = name.len() + 1;
        let mut text = String::from("070701");
        for number in [inode, mode, uid, gid, links, time, size, &0, &0, major, minor, &(length as u32), &0] {
            text += &format!("{number:08x}");
        }
        self.bytes(text.as_bytes())?;
        self.bytes(name.as_bytes())?;
        self.bytes(&[0])?;
        self.pad()
    }

    fn entry(&mut self, name: &str, mut header: Header, content: &Content) -> io::Result<()> {
        let length = content.length();
        let too_long = || io::Error::other(format!("/{name} has more bytes than a cpio archive can hold"));
        header.size = u32::try_from(length).map_err(|_| too_long())?;
        self.header(name, &header)?;
        let copied = io::copy(&mut content.open()?.take(length), self.out)?;
        if copied != length {
            return Err(io::Error::other(format!("/{name} got shorter while it was read")));
        }
        self.written += copied;
        self.pad()
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        self.zeros(self.written.next_multiple_of(4))
    }

    /// Zeros up to the offset `end`.
    fn zeros(&mut self, end: u64) -> io::Result<()> {
        let count = (end - self.written) as usize;
        self.bytes(&[0; BLOCK as usize][..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(nodes: Vec<(&str, Node)>) -> Vec<u8> {
        let mut tree = Tree::default();
        for (path, node) in nodes {
            tree.insert(path, node).unwrap();
        }
        let mut out = Vec::new();
        write(&tree, 0x1234, &mut out).unwrap();
        out
    }

    #[test]
    fn a_file_is_header_name_and_content_padded_to_four() {
        let out = archive(vec![("/init", Node::bytes(0o755, "hello"))]);
        let header = "070701000000010000 81ed0000000000000000000000010000123400000005\
                      00000000000000000000000000000000 0000000500000000"
            .replace(' ', "");
        assert_eq!(std::str::from_utf8(&out[..110]).unwrap(), header);
        assert_eq!(&out[110..124], b"init\0\0hello\0\0\0");
        assert_eq!(&out[124..130], b"070701");
        assert_eq!(&out[124 + 110..124 + 121], b"TRAILER!!!\0");
        assert_eq!(out.len(), 512);
    }

    #[test]
    fn other_tools_read_the_archive() {
        let out = archive(vec![
            (
                "/dev/console",
                Node { kind: Kind::Character { major: 5, minor: 1 }, mode: 0o600, uid: 0, gid: 0 },
            ),
            ("/etc/mtab", Node::symlink("/proc/self/mounts")),
            ("/etc/x", Node { uid: 7, gid: 8, ..Node::bytes(0o640, vec![b'x'; 5000]) }),
        ]);
        let Ok(mut cpio) = std::process::Command::new("cpio")
            .args(["-itvn", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
        else {
            eprintln!("skipped: cpio is not installed");
            return;
        };
        cpio.stdin.take().unwrap().write_all(&out).unwrap();
        let listing = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        for (line, begin, end) in [
            (0, "drwxr-xr-x   2 0        0", " dev"),
            (1, "crw-------   1 0        0          5,   1", " dev/console"),
            (3, "lrwxrwxrwx   1 0        0", " etc/mtab -> /proc/self/mounts"),
            (4, "-rw-r-----   1 7        8            5000", " etc/x"),
        ] {
            assert!(lines[line].starts_with(begin) && lines[line].ends_with(end), "{}", lines[line]);
        }
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let content = Content::Outside { path: "/dev/zero".into(), length: MAX_FILE + 1 };
        let mut tree = Tree::default();
        tree.insert("/root.erofs", Node::file(0o644, content)).unwrap();
        let error = write(&tree, 0, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("/root.erofs has more bytes"), "{error}");
    }
}
