//! Archives of a few plain files, as images are handed on in them.

use super::BLOCK;
use std::io::{self, Read, Write};

/// Longest name, and least size that is too large, for a header alone.
const NAME_MAX: usize = 100;
const SIZE_MAX: u64 = 8 << 30;

/// An archive that grows. Its files belong to root, can be read by all and are of 1970, so the same
/// files give the same archive.
pub(crate) struct Archive<W> {
    output: W,
}

impl<W: Write> Archive<W> {
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Adds a file of `size` bytes, which `content` must have.
    pub fn file(&mut self, name: &str, size: u64, content: impl Read) -> io::Result<()> {
        if name.len() > NAME_MAX || size >= SIZE_MAX {
            let records = record("path", name) + &record("size", &size.to_string());
            self.output.write_all(&header("PaxHeader", b'x', records.len() as u64))?;
            self.padded(records.len() as u64, records.as_bytes())?;
        }
        let short = name.get(..name.len().min(NAME_MAX)).unwrap_or_default();
        self.output.write_all(&header(short, b'0', size))?;
        self.padded(size, content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<()> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()
    }

    fn padded(&mut self, size: u64, content: impl Read) -> io::Result<()> {
        if io::copy(&mut content.take(size), &mut self.output)? != size {
            return Err(io::Error::other("a file became shorter"));
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.output.write_all(&[0; BLOCK][..padding as usize])
    }
}

/// A record of a PAX header: its length, which counts itself, key and value (pax(1)).
fn record(key: &str, value: &str) -> String {
    let bare = key.len() + value.len() + 3;
    let mut length = bare;
    while length != bare + length.to_string().len() {
        length = bare + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

/// A ustar header. What is too large for it stands in a PAX header before.
fn header(name: &str, kind: u8, size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let size = if size < SIZE_MAX { size } else { 0 };
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::super::Reader;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = format!("blobs/sha512/{}", "f".repeat(128));
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file("a", 3, &b"abc"[..]).unwrap();
        archive.file(&long, 513, &[7; 600][..]).unwrap();
        archive.file("empty", 0, &b""[..]).unwrap();
        archive.finish().unwrap();
        let mut reader = Reader::new(&bytes[..]);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let mut content = Vec::new();
            reader.content().read_to_end(&mut content).unwrap();
            found.push((String::from_utf8(entry.path).unwrap(), content));
        }
        let expected = [("a".into(), b"abc".to_vec()), (long, vec![7; 513]), ("empty".into(), vec![])];
        assert_eq!(found, expected);
        assert!(Archive::new(Vec::new()).file("a", 4, &b"abc"[..]).is_err());
    }

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", "x"), "9 path=x\n");
        assert_eq!(record("size", "8589934592"), "19 size=8589934592\n");
    }
}
