//! The image as it grows: blocks appended to a seekable output.

use super::{BLOCK, Error};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// How much is read from a file at a time; also the unit in which holes are found.
pub const CHUNK: usize = 64 << 10;

/// An output that starts empty and whose unwritten parts read as zero, such as
/// a new file. A long run of zeros becomes a hole.
pub(super) struct Output<W> {
    inner: W,
    /// [`BUFFER`] bytes, of which so many wait.
    buffer: Box<[u8]>,
    filled: usize,
    /// Offset in the image of the buffer's first byte.
    base: u64,
}

impl<W: Write + Seek> Output<W> {
    /// Starts behind block 0, which [`Self::finish`] writes.
    pub fn new(mut inner: W) -> Result<Self, Error> {
        inner.seek(SeekFrom::Start(BLOCK as u64)).map_err(Error::Write)?;
        Ok(Self { inner, buffer: vec![0; BUFFER].into(), filled: 0, base: BLOCK as u64 })
    }

    /// Offset in the image of the next byte.
    pub fn position(&self) -> u64 {
        self.base + self.filled as u64
    }

    /// Address of the next block, which must be where the output stands.
    pub fn block(&self) -> Result<u32, Error> {
        debug_assert_eq!(self.position() % BLOCK as u64, 0);
        u32::try_from(self.position() / BLOCK as u64)
            .map_err(|_| Error::Image("larger than 2^32 blocks of 4096 bytes".into()))
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.make_room(bytes.len())?;
        if bytes.len() <= BUFFER {
            self.buffer[self.filled..][..bytes.len()].copy_from_slice(bytes);
            self.filled += bytes.len();
            return Ok(());
        }
        self.inner.write_all(bytes).map_err(Error::Write)?;
        self.base += bytes.len() as u64;
        Ok(())
    }

    /// Appends what `reader` gives, at most [`CHUNK`] bytes, and tells how much that is; less only at its end.
    pub fn copy(&mut self, reader: &mut impl Read) -> Result<io::Result<usize>, Error> {
        self.make_room(CHUNK)?;
        let copied = fill(reader, &mut self.buffer[self.filled..][..CHUNK]);
        self.filled += copied.as_ref().copied().unwrap_or(0);
        Ok(copied)
    }

    /// The last bytes of what was copied just now.
    pub fn last(&self, count: usize) -> &[u8] {
        &self.buffer[self.filled - count..self.filled]
    }

    /// Takes them back.
    pub fn cut(&mut self, count: usize) {
        self.filled -= count;
    }

    /// Appends zeros: short runs as bytes, long ones as a hole.
    pub fn zeros(&mut self, count: u64) -> Result<(), Error> {
        let room = BUFFER - self.filled;
        if count <= room.min(BLOCK) as u64 {
            self.buffer[self.filled..][..count as usize].fill(0);
            self.filled += count as usize;
            return Ok(());
        }
        self.flush()?;
        self.base += count;
        self.inner.seek(SeekFrom::Start(self.base)).map_err(Error::Write)?;
        Ok(())
    }

    /// Appends zeros up to the next block.
    pub fn pad(&mut self) -> Result<(), Error> {
        let beyond = self.position() % BLOCK as u64;
        if beyond == 0 { Ok(()) } else { self.zeros(BLOCK as u64 - beyond) }
    }

    /// Writes block 0 and gives the output back, standing at its end.
    pub fn finish(mut self, first: &[u8; BLOCK]) -> Result<W, Error> {
        self.flush()?;
        self.inner.seek(SeekFrom::Start(0)).map_err(Error::Write)?;
        self.inner.write_all(first).map_err(Error::Write)?;
        self.inner.seek(SeekFrom::Start(self.base)).map_err(Error::Write)?;
        self.inner.flush().map_err(Error::Write)?;
        Ok(self.inner)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.inner.write_all(&self.buffer[..self.filled]).map_err(Error::Write)?;
        self.base += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// Writes what waits where so many bytes do not fit behind it.
    fn make_room(&mut self, bytes: usize) -> Result<(), Error> {
        if self.filled + bytes > BUFFER { self.flush() } else { Ok(()) }
    }
}

/// Reads until the buffer is full or the reader ends.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
