//! What a layer's bytes are packed with, judged by their first bytes.
//!
//! Media types say it too, but archives that Docker writes name none, and what
//! is wrong is caught by the diff ID in any case.

use crate::zstd::Zstd;
use flate2::bufread::MultiGzDecoder;
use std::io::{self, BufRead, Cursor, Read};

/// Longest beginning by which a form is known: that of xz.
const START_MAX: u64 = 6;

/// What a layer's media type ends with (image-spec, layer.md, "Media Types"), by the layer's own first bytes.
///
/// # Errors
/// The input cannot be read.
pub(crate) fn suffix(input: impl Read) -> io::Result<&'static str> {
    Ok(match Form::begun(input)? {
        Form::Gzip => "+gzip",
        Form::Zstd => "+zstd",
        Form::Plain | Form::Unknown(_) => "",
    })
}

/// True of what [`unpack`] does not pass on as it is: it may be packed with something that is known by name alone.
///
/// # Errors
/// The input cannot be read.
pub(crate) fn is_packed(input: impl Read) -> io::Result<bool> {
    Form::begun(input).map(|form| !matches!(form, Form::Plain))
}

enum Form {
    Gzip,
    Zstd,
    Plain,
    /// Known by name alone.
    Unknown(&'static str),
}

impl Form {
    fn begun(input: impl Read) -> io::Result<Self> {
        let mut start = Vec::new();
        input.take(START_MAX).read_to_end(&mut start)?;
        Ok(Self::of(&start))
    }

    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Unknown("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Unknown("bzip2"),
            _ => Self::Plain,
        }
    }
}

/// Unpacks gzip (all members) or zstd (all frames), and passes anything else on.
///
/// # Errors
/// The input cannot be read, or is packed with something else that is known by name.
pub fn unpack<'r>(mut input: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    // From a connection they may come one by one.
    let mut start = Vec::new();
    input.by_ref().take(START_MAX).read_to_end(&mut start)?;
    let whole = Cursor::new(start.clone()).chain(input);
    match Form::of(&start) {
        Form::Gzip => Ok(Box::new(MultiGzDecoder::new(whole))),
        Form::Zstd => Ok(Box::new(Zstd::new(whole))),
        Form::Plain => Ok(Box::new(whole)),
        Form::Unknown(name) => Err(io::Error::other(format!("{name} compression is not supported"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::{BufReader, Write};

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unpack(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn every_member_and_frame_is_read() {
        assert_eq!(unpacked(b"plain").unwrap(), b"plain");
        assert_eq!(unpacked(b"").unwrap(), b"");
        assert_eq!(unpacked(&[gzip(b"one"), gzip(b""), gzip(b"two")].concat()).unwrap(), b"onetwo");
        let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let frames =
            [&skippable[..], &zstd(b"one"), &skippable, &zstd(b""), &zstd(b"two"), &skippable].concat();
        assert_eq!(unpacked(&frames).unwrap(), b"onetwo");
    }

    #[test]
    fn bytes_may_come_one_by_one() {
        for packed in [gzip(b"content"), zstd(b"content"), b"content".to_vec(), b"c".to_vec()] {
            let (mut slow, whole) = (Vec::new(), unpacked(&packed).unwrap());
            unpack(BufReader::with_capacity(1, &packed[..])).unwrap().read_to_end(&mut slow).unwrap();
            assert_eq!(slow, whole);
        }
        let slow = unpack(BufReader::with_capacity(1, &b"\xfd7zXZ\0"[..]));
        assert!(slow.err().unwrap().to_string().contains("xz"));
    }

    #[test]
    fn what_is_cut_or_unknown_is_an_error() {
        for packed in [gzip(&[7; 1000]), zstd(&[7; 1000])] {
            for cut in [5, packed.len() / 2, packed.len() - 1] {
                let result = unpacked(&packed[..cut]);
                // The checksum at a zstd frame's end may be missing: the diff ID is the check.
                assert!(result.is_err() || packed[0] == 0x28 && result.unwrap().len() == 1000, "{cut}");
            }
        }
        assert!(unpacked(b"\xfd7zXZ\0").unwrap_err().to_string().contains("xz"));
        assert!(unpacked(b"BZh9").unwrap_err().to_string().contains("bzip2"));
        assert!(unpacked(&[&gzip(b"x")[..], b"garbage"].concat()).is_err());
    }
}
