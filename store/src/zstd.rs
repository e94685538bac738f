//! zstd (RFC 8878): frames one after the other, each of which says how much memory it needs.

use crate::windows::{Loan, WINDOW_MAX};
use ruzstd::decoding::BlockDecodingStrategy;
use std::io::{self, BufRead, Read};

/// What a frame begins with, in the order of its bytes; a skippable one with 0x50 to 0x5f in the first place.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Longest header of a frame.
const HEADER_MAX: usize = 18;

/// Frames, one after the other; skippable ones are skipped.
pub(crate) struct Zstd<R> {
    input: R,
    loan: Option<Loan>,
    within: bool,
}

impl<R: BufRead> Zstd<R> {
    pub fn new(input: R) -> Self {
        Self { input, loan: None, within: false }
    }

    /// Begins the next frame that has content. False: there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            let mut magic = [0; 4];
            self.input.read_exact(&mut magic)?;
            match magic {
                MAGIC => return self.begin_frame().map(|()| true),
                [0x50..=0x5f, rest @ ..] if rest == SKIPPABLE => self.skip()?,
                _ => return Err(io::Error::other("zstd: no frame where one should begin")),
            }
        }
        self.loan = None;
        Ok(false)
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        if io::copy(&mut (&mut self.input).take(length), &mut io::sink())? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn begin_frame(&mut self) -> io::Result<()> {
        let mut header = Vec::with_capacity(HEADER_MAX);
        header.extend_from_slice(&MAGIC);
        (&mut self.input).take(1).read_to_end(&mut header)?;
        let Some(descriptor) = header.get(4).copied() else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let fields = Fields::of(descriptor);
        (&mut self.input).take(fields.length() as u64).read_to_end(&mut header)?;
        let window = fields.window(&header[5..]).ok_or(io::ErrorKind::UnexpectedEof)?;
        if window > WINDOW_MAX {
            let (asked, most) = (window.div_ceil(1 << 20), WINDOW_MAX >> 20);
            return Err(io::Error::other(format!("zstd: a window of {asked} MiB, more than {most} MiB")));
        }
        if !self.loan.as_ref().is_some_and(|loan| loan.fits(window)) {
            // Given back first: two who have some and want more would wait for each other.
            self.loan = None;
            self.loan = Some(Loan::take(window));
        }
        let begun = self.loan.as_mut().map(|loan| loan.decoder().reset(&header[..]));
        begun.unwrap_or(Ok(())).map_err(|error| io::Error::other(format!("zstd: {error}")))
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within && !self.begin()? {
                return Ok(0);
            }
            let Some(loan) = &mut self.loan else {
                return Ok(0);
            };
            let decoder = loan.decoder();
            self.within = true;
            while decoder.can_collect() == 0 && !decoder.is_finished() {
                decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| io::Error::other(format!("zstd: {error}")))?;
            }
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.within = false;
        }
    }
}

/// Which fields a frame's header has after its descriptor, and how long they are.
struct Fields {
    window: usize,
    dictionary: usize,
    content: usize,
}

impl Fields {
    fn of(descriptor: u8) -> Self {
        let single = descriptor & 0x20 != 0;
        Self {
            window: usize::from(!single),
            dictionary: [0, 1, 2, 4][usize::from(descriptor & 3)],
            content: [usize::from(single), 2, 4, 8][usize::from(descriptor >> 6)],
        }
    }

    fn length(&self) -> usize {
        self.window + self.dictionary + self.content
    }

    /// The window's size; of a frame in a single segment its content's. None: the header is cut.
    fn window(&self, fields: &[u8]) -> Option<u64> {
        if self.window == 1 {
            let byte = fields.first()?;
            let base = 1 << (10 + (byte >> 3));
            return Some(base + base / 8 * u64::from(byte & 7));
        }
        let mut size = [0; 8];
        size[..self.content].copy_from_slice(fields.get(self.dictionary..self.length())?);
        // Two bytes count from 256, since one is enough for less.
        u64::from_le_bytes(size).checked_add(if self.content == 2 { 256 } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unpacks a frame with this descriptor and these fields, and an empty last block.
    fn refusal(descriptor: u8, fields: &[u8]) -> String {
        let frame = [&MAGIC[..], &[descriptor], fields, &[1, 0, 0]].concat();
        let mut out = Vec::new();
        Zstd::new(&frame[..]).read_to_end(&mut out).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn windows_are_read_from_either_field_and_absurd_ones_refused() {
        assert_eq!(refusal(0, &[17 << 3]), "");
        assert_eq!(refusal(0, &[17 << 3 | 1]), "zstd: a window of 144 MiB, more than 128 MiB");
        assert_eq!(refusal(0, &[31 << 3 | 7]), "zstd: a window of 3932160 MiB, more than 128 MiB");
        assert_eq!(refusal(0xa0, &[0, 0, 0, 0x40]), "zstd: a window of 1024 MiB, more than 128 MiB");
        assert!(refusal(0xe0, &[0xff; 8]).ends_with("MiB, more than 128 MiB"));
    }

    #[test]
    fn lengths_of_fields_are_as_the_descriptor_says() {
        for (descriptor, fields, window) in [
            (0x20, &[5][..], 5),
            (0x60, &[1, 1], 513),
            (0x23, &[9, 9, 9, 9, 7], 7),
            (0xc1, &[0x0a, 9, 1, 1, 1, 1, 1, 1, 1, 1], 2048 + 512),
        ] {
            let read = Fields::of(descriptor);
            assert_eq!((read.length(), read.window(fields)), (fields.len(), Some(window)), "{descriptor:#x}");
            assert!(read.window == 1 || read.window(&fields[..fields.len() - 1]).is_none());
        }
    }

    #[test]
    fn what_is_no_frame_is_told() {
        let mut out = Vec::new();
        let error = Zstd::new(&[&MAGIC[..], &[0, 0, 1, 0, 0], b"more"].concat()[..]).read_to_end(&mut out);
        assert_eq!(error.unwrap_err().to_string(), "zstd: no frame where one should begin");
        assert!(Zstd::new(&MAGIC[..]).read_to_end(&mut out).is_err());
    }
}
