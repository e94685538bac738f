//! Entry after entry.

use super::header::{Dialect, Header, number};
use super::pax::{self, Records};
use super::sparse::{self, Map};
use super::{BLOCK, Entry, Error, HEADER_MAX, Kind};
use crate::erofs::{Device, Time};
use std::io::{self, Read};
use std::mem;

/// Reads an archive from its beginning to its end.
pub struct Reader<R> {
    input: R,
    /// Stored bytes of the current entry not yet read, and the padding behind them.
    stored: u64,
    padding: u64,
    map: Map,
    size: u64,
    path: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Begins at the archive's first byte.
    pub fn new(input: R) -> Self {
        Self { input, stored: 0, padding: 0, map: Map::default(), size: 0, path: Vec::new() }
    }

    /// Gives the input back, wherever it stands.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Passes over what is left of the current entry and reads the next header.
    /// None: the archive has ended.
    ///
    /// # Errors
    /// The input fails or ends within an entry; a header is wrong or unsupported.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let (mut records, mut spent) = (Records::default(), 0);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let size = header.size().map_err(|why| self.invalid(why))?;
            if !matches!(header.kind(), b'x' | b'X' | b'g' | b'L' | b'K') {
                return self.entry(&header, size, records).map(Some);
            }
            spent += size;
            if spent > HEADER_MAX {
                return Err(self.invalid("extended headers of more than 1 MiB"));
            }
            self.stored = size;
            self.padding = padding(size);
            let mut bytes = vec![0; size as usize];
            self.exact(&mut bytes)?;
            self.stored = 0;
            extend(&mut records, header.kind(), bytes).map_err(|why| self.invalid(why))?;
        }
    }

    /// The current entry's content, holes as zeros.
    pub fn content(&mut self) -> Content<'_, R> {
        Content { position: 0, piece: 0, reader: self }
    }

    fn invalid(&self, why: impl Into<String>) -> Error {
        Error::invalid(&self.path, why)
    }

    /// The next header block that is not the end of the archive.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let Some(header) = self.block()?.map(Header) else {
            return Ok(None);
        };
        if header.is_zero() {
            return match self.block()? {
                Some(next) if !Header(next).is_zero() => Err(self.invalid("a lone block of zeros follows")),
                _ => Ok(None),
            };
        }
        if header.is_valid() {
            Ok(Some(header))
        } else {
            Err(self.invalid("the next header's checksum is wrong"))
        }
    }

    fn entry(&mut self, header: &Header, stored: u64, records: Records) -> Result<Entry, Error> {
        let path = records.path.clone().unwrap_or_else(|| header.path());
        self.path.clone_from(records.sparse.name.as_ref().unwrap_or(&path));
        let mut entry = describe(header, records.path.is_some().then_some(path), &records)
            .map_err(|why| self.invalid(why))?;
        // Only regular files have content; a size on another type is an old archiver's remark.
        let stored = records.size.unwrap_or(stored);
        self.stored = if entry.kind == Kind::File { stored } else { 0 };
        self.padding = padding(self.stored);
        self.map = Map::default();
        entry.size = self.stored;
        if entry.kind == Kind::File {
            self.sparse(header, &records, &mut entry)?;
        }
        self.size = entry.size;
        Ok(entry)
    }

    /// Reads the map of a sparse file, whichever form it has.
    fn sparse(&mut self, header: &Header, records: &Records, entry: &mut Entry) -> Result<(), Error> {
        let of = &records.sparse;
        let numbers = if header.kind() == b'S' {
            entry.size = number(&header.0[483..495])
                .and_then(|size| u64::try_from(size).ok())
                .ok_or_else(|| self.invalid("the size of a sparse file is not a number"))?;
            self.old_gnu_map(header)?
        } else if let (Some(1), Some(0)) = (of.major, of.minor) {
            let found = sparse::read_lines(|| self.exact_block())?;
            let (numbers, blocks) = found.map_err(|why| self.invalid(why))?;
            self.stored = self
                .stored
                .checked_sub(blocks * BLOCK as u64)
                .ok_or_else(|| self.invalid("the map of a sparse file is longer than its data"))?;
            entry.size = of.real_size.ok_or_else(|| self.invalid("a sparse file without its size"))?;
            numbers
        } else if of.major.unwrap_or(0) == 0 && of.real_size.is_some() {
            entry.size = of.real_size.unwrap_or_default();
            of.map.clone()
        } else if of.major.is_some() {
            return Err(self.invalid("a sparse file of an unknown version"));
        } else {
            return Ok(());
        };
        self.map = Map::new(&numbers, entry.size, self.stored).map_err(|why| self.invalid(why))?;
        if let Some(name) = &of.name {
            entry.path.clone_from(name);
        }
        Ok(())
    }

    /// The old GNU map: four pieces in the header, 21 in each block that follows.
    fn old_gnu_map(&mut self, header: &Header) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        let mut block = header.0;
        let (mut pieces, mut more) = (386..482, 482);
        loop {
            for field in block[pieces].chunks(12).filter(|field| field[0] != 0) {
                let value = number(field).and_then(|value| u64::try_from(value).ok());
                numbers.push(value.ok_or_else(|| self.invalid("the map of a sparse file is malformed"))?);
            }
            if block[more] == 0 {
                break;
            }
            if numbers.len() as u64 * 12 > HEADER_MAX {
                return Err(self.invalid("the map of a sparse file is too long"));
            }
            block = self.exact_block()?;
            (pieces, more) = (0..504, 504);
        }
        // A last piece of no length only marks the end.
        if let [.., _, 0] = numbers[..] {
            numbers.truncate(numbers.len() - 2);
        }
        Ok(numbers)
    }

    /// Passes over what is left of the current entry. The archive may end in the padding: umoci's do,
    /// and Go's archive/tar, so docker and containerd, takes that for its end.
    fn skip(&mut self) -> Result<(), Error> {
        let (stored, padding) = (mem::take(&mut self.stored), mem::take(&mut self.padding));
        if self.pass(stored)? < stored {
            return Err(self.truncated());
        }
        self.pass(padding).map(drop)
    }

    /// How many bytes there were of so many.
    fn pass(&mut self, bytes: u64) -> Result<u64, Error> {
        io::copy(&mut (&mut self.input).take(bytes), &mut io::sink()).map_err(Error::Read)
    }

    fn truncated(&self) -> Error {
        Error::Truncated { path: self.path.clone() }
    }

    /// A whole block, or none at the input's end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Error> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(Error::Truncated { path: Vec::new() }),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
        Ok(Some(block))
    }

    fn exact_block(&mut self) -> Result<[u8; BLOCK], Error> {
        self.block()?.ok_or_else(|| self.truncated())
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.truncated(),
            _ => Error::Read(error),
        })
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Takes an extended header into the records of the entry to come.
fn extend(records: &mut Records, kind: u8, bytes: Vec<u8>) -> Result<(), String> {
    let name = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()));
        bytes
    };
    match kind {
        b'L' => records.path = Some(name(bytes)),
        b'K' => records.link = Some(name(bytes)),
        b'g' => {
            if let Some(key) = pax::changes_entries(&bytes)? {
                let key = key.escape_ascii();
                return Err(format!("a global PAX header with {key} is not supported"));
            }
        }
        _ => records.read(&bytes)?,
    }
    Ok(())
}

/// Brings a header and its records into one.
fn describe(header: &Header, path: Option<Vec<u8>>, records: &Records) -> Result<Entry, String> {
    let path = path.unwrap_or_else(|| header.path());
    let uid = records.uid.map_or_else(|| header.uid(), Ok)?;
    let gid = records.gid.map_or_else(|| header.gid(), Ok)?;
    let mtime = records.mtime.map_or_else(|| header.mtime().map(Time::seconds), Ok)?;
    let kind = kind(header, &path)?;
    let xattrs = records.xattrs.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let link = records.link.clone().unwrap_or_else(|| header.link());
    Ok(Entry { path, kind, link, size: 0, mode: header.mode()?, uid, gid, mtime, xattrs })
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind, String> {
    Ok(match header.kind() {
        0 if header.dialect() != Dialect::Gnu && path.ends_with(b"/") => Kind::Directory,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink,
        b'2' => Kind::Symlink,
        b'3' => header.device().map(|(major, minor)| Kind::Device(Device::Character(major, minor)))?,
        b'4' => header.device().map(|(major, minor)| Kind::Device(Device::Block(major, minor)))?,
        b'5' => Kind::Directory,
        b'6' => Kind::Device(Device::Fifo),
        other => return Err(format!("entries of type '{}' are not supported", other.escape_ascii())),
    })
}

/// A file's content. What is not read is passed over by the next header.
pub struct Content<'a, R> {
    reader: &'a mut Reader<R>,
    /// Offset in the file, holes counted.
    position: u64,
    /// Piece of the map that the offset is in or before.
    piece: usize,
}

impl<R: Read> Content<'_, R> {
    /// How many bytes from here on are alike, and whether they are stored.
    fn run(&mut self) -> (u64, bool) {
        let reader = &*self.reader;
        if reader.map.pieces.is_empty() && reader.stored > 0 {
            return (reader.stored, true);
        }
        while let Some(&(offset, length)) = reader.map.pieces.get(self.piece) {
            if self.position < offset {
                return (offset - self.position, false);
            }
            if self.position < offset + length {
                return (offset + length - self.position, true);
            }
            self.piece += 1;
        }
        (reader.size - self.position, false)
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (run, stored) = self.run();
        let length = buffer.len().min(usize::try_from(run).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..length];
        let count = if stored {
            let count = self.reader.input.read(buffer)?;
            if count == 0 && length > 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut within it"));
            }
            self.reader.stored -= count as u64;
            count
        } else {
            buffer.fill(0);
            length
        };
        self.position += count as u64;
        Ok(count)
    }
}
