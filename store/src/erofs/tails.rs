//! The ends of files, which wait until it is known where their inodes lie.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How many bytes wait in memory when there is no scratch file.
pub const TAIL_BUDGET: usize = 32 << 20;

/// How many bytes go to the scratch file at a time.
const CHUNK: usize = 1 << 20;

/// Where one of them is.
#[derive(Clone, Copy)]
pub(super) struct Tail {
    at: u64,
    length: u16,
}

/// All of them: in a scratch file, the last ones in memory; or all in memory.
#[derive(Default)]
pub(super) struct Tails {
    scratch: Option<File>,
    /// How many bytes the scratch file has.
    written: u64,
    memory: Vec<u8>,
}

impl Tails {
    /// Keeps them in this file, which is empty.
    pub fn in_file(scratch: File) -> Self {
        Self { scratch: Some(scratch), ..Self::default() }
    }

    /// Keeps a tail, shorter than a block. None: there is no room.
    pub fn keep(&mut self, bytes: &[u8]) -> io::Result<Option<Tail>> {
        let room = if self.scratch.is_some() { CHUNK } else { TAIL_BUDGET };
        if self.memory.len() + bytes.len() > room {
            let Some(scratch) = &self.scratch else {
                return Ok(None);
            };
            scratch.write_all_at(&self.memory, self.written)?;
            self.written += self.memory.len() as u64;
            self.memory.clear();
        }
        let at = self.written + self.memory.len() as u64;
        self.memory.extend_from_slice(bytes);
        Ok(Some(Tail { at, length: bytes.len() as u16 }))
    }

    /// Adds a tail to these bytes.
    pub fn read(&self, tail: Tail, to: &mut Vec<u8>) -> io::Result<()> {
        let (start, length) = (to.len(), usize::from(tail.length));
        match (tail.at.checked_sub(self.written), &self.scratch) {
            (Some(at), _) => to.extend_from_slice(&self.memory[at as usize..][..length]),
            (None, Some(scratch)) => {
                to.resize(start + length, 0);
                scratch.read_exact_at(&mut to[start..], tail.at)?;
            }
            (None, None) => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_come_back_from_memory_and_from_the_file() {
        let path = std::env::temp_dir().join(format!("skerry-tails-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        for mut tails in [Tails::default(), Tails::in_file(file)] {
            let bytes = |number: u32| vec![number as u8; 1 + number as usize % 4095];
            let kept: Vec<_> = (0..2000).map(|number| tails.keep(&bytes(number)).unwrap().unwrap()).collect();
            for (number, tail) in kept.into_iter().enumerate() {
                let mut read = b"before".to_vec();
                tails.read(tail, &mut read).unwrap();
                assert_eq!(read, [b"before".to_vec(), bytes(number as u32)].concat());
            }
            assert!(tails.scratch.is_none() || tails.memory.len() <= CHUNK && tails.written > 0);
        }
        let mut tails = Tails::default();
        let fits = TAIL_BUDGET / 4000;
        assert!((0..fits).all(|_| tails.keep(&[1; 4000]).unwrap().is_some()));
        assert!(tails.keep(&[1; 4000]).unwrap().is_none());
    }
}
