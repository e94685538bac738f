//! The image as it grows: blocks appended to a seekable output.

use super::{BLOCK, Error};
use std::io::{Seek, SeekFrom, Write};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 20;

/// An output that starts empty and whose unwritten parts read as zero, such as
/// a new file. A long run of zeros becomes a hole.
pub(super) struct Output<W> {
    inner: W,
    buffer: Vec<u8>,
    /// Offset in the image of the buffer's first byte.
    base: u64,
}

impl<W: Write + Seek> Output<W> {
    /// Starts behind block 0, which [`Self::finish`] writes.
    pub fn new(mut inner: W) -> Result<Self, Error> {
        inner.seek(SeekFrom::Start(BLOCK as u64)).map_err(Error::Write)?;
        Ok(Self { inner, buffer: Vec::with_capacity(BUFFER), base: BLOCK as u64 })
    }

    /// Offset in the image of the next byte.
    pub fn position(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Address of the next block, which must be where the output stands.
    pub fn block(&self) -> Result<u32, Error> {
        debug_assert_eq!(self.position() % BLOCK as u64, 0);
        u32::try_from(self.position() / BLOCK as u64)
            .map_err(|_| Error::Image("larger than 2^32 blocks of 4096 bytes".into()))
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() < BUFFER {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        self.inner.write_all(bytes).map_err(Error::Write)?;
        self.base += bytes.len() as u64;
        Ok(())
    }

    /// Appends zeros: short runs as bytes, long ones as a hole.
    pub fn zeros(&mut self, count: u64) -> Result<(), Error> {
        if let Some(room) = BUFFER.checked_sub(self.buffer.len())
            && count <= (room as u64).min(BLOCK as u64)
        {
            self.buffer.resize(self.buffer.len() + count as usize, 0);
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
        self.inner.write_all(&self.buffer).map_err(Error::Write)?;
        self.base += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
