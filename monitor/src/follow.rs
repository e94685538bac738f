//! A reader of a container's log: the one of `logs` and of `attach`. It reads the files that
//! [`crate::log`] writes and holds nothing but a place in them, so that a client may be as slow
//! as it likes.
//!
//! It follows a rotation by the files' numbers: what it has open is read to its end, then
//! comes the file that took its place. Whoever reads lines and is a whole log behind misses what lies
//! between; for who reads the program's bytes its output is held up before ([`Follower::behind`]).

use crate::log::{self, Stream, predecessor};
use spec::timestamp::rfc3339;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Bytes that are read at once; more than the longest entry.
const PIECE: usize = 64 * 1024;

/// Length of an entry's time.
const STAMP: usize = 30;

/// A place in a container's log: the number of a file, which no other file of that log has, and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of its inode and its birth; 0 for a file that is not there yet.
    pub file: u64,
    /// In bytes.
    pub offset: u64,
}

/// What is made of the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Their lines as they are, between two times.
    Lines {
        /// Not before this.
        since: Option<String>,
        /// Not after this.
        until: Option<String>,
    },
    /// The bytes that the program wrote, without the first so many.
    Bytes(u64),
}

/// A reader.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    place: Place,
    shape: Shape,
    /// Where it ends, if it does.
    pub limit: Option<Place>,
}

/// What a reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// Some entries, each with its stream.
    Some(Vec<(Stream, Vec<u8>)>),
    /// Nothing more, for now.
    End,
    /// The limit is reached.
    Limit,
}

/// The end of a log as it is now.
pub fn end(path: &Path) -> Place {
    log::look(path)
        .map_or(Place { file: 0, offset: 0 }, |now| Place { file: number(&now), offset: now.len() })
}

/// A file's number. An inode's alone is given again to the file after the next.
fn number(file: &Metadata) -> u64 {
    let born = file.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    file.ino() ^ born.as_secs() ^ (u64::from(born.subsec_nanos()) << 32)
}

/// A time as entries have it.
pub fn stamp(nanoseconds: u64) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}

impl Follower {
    /// Begins at a place; at the beginning of all that is there without one, or when that
    /// file is gone.
    pub fn new(path: PathBuf, from: Option<Place>, shape: Shape) -> Self {
        let before = predecessor(&path);
        let at = |path: &Path, place: Place| {
            let file = log::open(path).ok()?;
            (number(&file.metadata().ok()?) == place.file).then_some((Some(file), place))
        };
        let found = from.and_then(|place| at(&path, place).or_else(|| at(&before, place)));
        let first = || {
            let file = log::open(&before).or_else(|_| log::open(&path)).ok()?;
            Some((number(&file.metadata().ok()?), file))
        };
        let waits = from.is_some_and(|place| place.file == 0);
        let (file, place) = found.unwrap_or_else(|| match first().filter(|_| !waits) {
            Some((number, file)) => (Some(file), Place { file: number, offset: 0 }),
            None => (None, Place { file: 0, offset: 0 }),
        });
        Self { path, file, place, shape, limit: None }
    }

    /// Where it is: behind all that it has given, as far as that was not to be left out.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Begins so many lines before the end.
    ///
    /// # Errors
    /// A log that cannot be read.
    pub fn tail(path: PathBuf, lines: u64, shape: Shape) -> io::Result<Self> {
        let mut left = lines;
        for file in [path.clone(), predecessor(&path)] {
            let Ok(open) = log::open(&file) else { continue };
            let now = open.metadata()?;
            let offset = back(&open, now.len(), &mut left)?;
            if left == 0 {
                return Ok(Self::new(path, Some(Place { file: number(&now), offset }), shape));
            }
        }
        Ok(Self::new(path, None, shape))
    }

    /// Reads on.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn read(&mut self) -> io::Result<Read> {
        loop {
            if self
                .limit
                .is_some_and(|limit| limit.file == self.place.file && limit.offset <= self.place.offset)
            {
                return Ok(Read::Limit);
            }
            let entries = self.piece()?;
            if !entries.is_empty() {
                let made: Vec<_> = entries
                    .split_inclusive(|&byte| byte == b'\n')
                    .filter_map(|line| self.make(line))
                    .collect();
                if made.is_empty() {
                    continue;
                }
                return Ok(Read::Some(made));
            }
            if !self.next_file()? {
                return Ok(if self.limit.is_some() { Read::Limit } else { Read::End });
            }
        }
    }

    /// Bytes of the log that it has not read.
    pub fn behind(&self) -> u64 {
        let look = |path: &Path| log::look(path).map_or((0, 0), |now| (number(&now), now.len()));
        let [before, now] = [look(&predecessor(&self.path)), look(&self.path)];
        let length = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |own| own.len());
        let after = match self.place.file {
            file if file == now.0 => 0,
            file if file == before.0 => now.1,
            _ => before.1 + now.1,
        };
        length.saturating_sub(self.place.offset) + after
    }

    /// The next whole entries of the file at hand.
    fn piece(&mut self) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let end =
            self.limit.filter(|limit| limit.file == self.place.file).map_or(u64::MAX, |limit| limit.offset);
        let most = usize::try_from(end - self.place.offset).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; most];
        let length = file.read_at(&mut bytes, self.place.offset)?;
        let whole = bytes[..length].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        bytes.truncate(whole);
        self.place.offset += whole as u64;
        Ok(bytes)
    }

    /// Goes to the file that took the place of the one at hand.
    fn next_file(&mut self) -> io::Result<bool> {
        let look = |path: &Path| log::look(path).map_or(0, |now| number(&now));
        let before = predecessor(&self.path);
        let (now, old) = (look(&self.path), look(&before));
        if now == self.place.file || now == 0 {
            return Ok(false);
        }
        // What was written between the last reading and the rotation.
        if let Some(file) = &self.file
            && file.metadata()?.len() > self.place.offset
            && self.piece_is_there(file)?
        {
            return Ok(true);
        }
        let next =
            if old == self.place.file || old == 0 || self.file.is_none() { &self.path } else { &before };
        let file = log::open(next)?;
        self.place = Place { file: number(&file.metadata()?), offset: 0 };
        self.file = Some(file);
        Ok(true)
    }

    fn piece_is_there(&self, file: &File) -> io::Result<bool> {
        let mut bytes = vec![0; PIECE];
        let length = file.read_at(&mut bytes, self.place.offset)?;
        Ok(bytes[..length].contains(&b'\n'))
    }

    fn make(&mut self, line: &[u8]) -> Option<(Stream, Vec<u8>)> {
        let entry = Entry::of(line)?;
        match &mut self.shape {
            Shape::Lines { since, until } => {
                let time = &line[..STAMP];
                let fits = since.as_ref().is_none_or(|since| time >= since.as_bytes())
                    && until.as_ref().is_none_or(|until| time <= until.as_bytes());
                fits.then(|| (entry.stream, line.to_vec()))
            }
            Shape::Bytes(skip) => {
                let end: &[u8] = if entry.finished { b"\n" } else { b"" };
                let bytes = [entry.text, end].concat();
                let passed = bytes.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
                *skip -= passed as u64;
                (passed < bytes.len()).then(|| (entry.stream, bytes[passed..].to_vec()))
            }
        }
    }
}

/// An entry of the log; what is none is passed over.
struct Entry<'a> {
    stream: Stream,
    finished: bool,
    text: &'a [u8],
}

impl<'a> Entry<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n")?;
        let mut words = line.splitn(4, |&byte| byte == b' ');
        words.next().filter(|time| time.len() == STAMP)?;
        let stream = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let finished = words.next()? == b"F";
        Some(Self { stream, finished, text: words.next()? })
    }
}

/// Where the last `left` finished lines before `end` begin; what is not there stays in `left`.
fn back(file: &File, end: u64, left: &mut u64) -> io::Result<u64> {
    let (mut at, mut rest) = (end, Vec::new());
    if *left == 0 {
        return Ok(end);
    }
    while at > 0 {
        let from = at.saturating_sub(PIECE as u64);
        let mut bytes = vec![0; usize::try_from(at - from).unwrap_or(PIECE)];
        file.read_exact_at(&mut bytes, from)?;
        bytes.append(&mut rest);
        at = from;
        let mut line_end = bytes.len();
        while let Some(newline) = bytes[..line_end.saturating_sub(1)].iter().rposition(|&byte| byte == b'\n')
        {
            if is_finished(&bytes[newline + 1..line_end]) {
                if *left == 0 {
                    return Ok(from + line_end as u64);
                }
                *left -= 1;
            }
            line_end = newline + 1;
        }
        bytes.truncate(line_end);
        rest = bytes;
    }
    if is_finished(&rest) {
        if *left == 0 {
            return Ok(rest.len() as u64);
        }
        *left -= 1;
    }
    Ok(0)
}

fn is_finished(line: &[u8]) -> bool {
    Entry::of(line).is_some_and(|entry| entry.finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogFile;
    use std::fs;

    struct World {
        folder: PathBuf,
        log: LogFile,
        count: u64,
    }

    fn world(test: &str, limit: u64) -> World {
        let folder = std::env::temp_dir().join(format!("skerry-follow-{}-{test}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        World { log: LogFile::new(folder.join("a.log"), limit), folder, count: 0 }
    }

    impl World {
        fn path(&self) -> PathBuf {
            self.folder.join("a.log")
        }

        fn write(&mut self, count: u64) {
            for _ in 0..count {
                let line = format!("{} stdout F line {}\n", stamp(self.count * 1_000_000_000), self.count);
                let offset = self.log.prepare(line.len()).unwrap();
                self.log.complete(offset, line.as_bytes()).unwrap();
                self.count += 1;
            }
        }
    }

    impl Drop for World {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.folder).unwrap();
        }
    }

    fn lines() -> Shape {
        Shape::Lines { since: None, until: None }
    }

    fn text(follower: &mut Follower) -> Vec<String> {
        let mut all = Vec::new();
        while let Read::Some(entries) = follower.read().unwrap() {
            for (_, bytes) in entries {
                let text = String::from_utf8(bytes).unwrap();
                all.push(text.trim_end().rsplit(' ').next().unwrap().to_owned());
            }
        }
        all
    }

    fn numbers(from: u64, to: u64) -> Vec<String> {
        (from..to).map(|number| number.to_string()).collect()
    }

    #[test]
    fn a_rotated_file_is_followed_without_a_gap() {
        // About 21 lines in a file.
        let mut world = world("rotation", 1000);
        let mut follower = Follower::new(world.path(), None, lines());
        assert_eq!(follower.read().unwrap(), Read::End, "there is no file yet");
        let mut seen = Vec::new();
        for round in 0..40 {
            world.write(1 + round % 19);
            seen.extend(text(&mut follower));
        }
        assert_eq!(seen, numbers(0, world.count));
    }

    #[test]
    fn the_last_lines_are_found_over_both_files() {
        let mut world = world("tail", 1000);
        world.write(30);
        for count in [0, 1, 5, 25, 30, 99] {
            let mut follower = Follower::tail(world.path(), count, lines()).unwrap();
            assert_eq!(text(&mut follower), numbers(30_u64.saturating_sub(count), 30), "{count}");
        }
    }

    #[test]
    fn the_last_lines_are_found_in_a_large_file_with_parts_of_lines() {
        let world = world("large", 0);
        let part = format!("{} stdout P {}\n", stamp(0), "x".repeat(16 * 1024));
        let end = format!("{} stdout F end\n", stamp(0));
        fs::write(world.path(), [part.repeat(9), end.clone()].concat().repeat(5)).unwrap();
        let mut follower = Follower::tail(world.path(), 2, Shape::Bytes(0)).unwrap();
        let mut length = 0;
        while let Read::Some(entries) = follower.read().unwrap() {
            length += entries.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
        }
        assert_eq!(length, 2 * (9 * 16 * 1024 + 4));
    }

    #[test]
    fn two_times_bound_what_is_told() {
        let mut world = world("times", 10_000);
        world.write(10);
        let shape = Shape::Lines { since: Some(stamp(3_000_000_000)), until: Some(stamp(5_000_000_000)) };
        assert_eq!(text(&mut Follower::new(world.path(), None, shape)), numbers(3, 6));
    }

    #[test]
    fn the_programs_bytes_go_on_where_the_reader_stopped() {
        let mut world = world("bytes", 1000);
        world.write(3);
        let from = end(&world.path());
        world.write(30);
        let bytes = |skip| {
            let mut follower = Follower::new(world.path(), Some(from), Shape::Bytes(skip));
            let mut all = Vec::new();
            while let Read::Some(entries) = follower.read().unwrap() {
                all.extend(entries.into_iter().flat_map(|(_, bytes)| bytes));
            }
            String::from_utf8(all).unwrap()
        };
        let all: String = (3..33).map(|number| format!("line {number}\n")).collect();
        for skip in [0, 1, 7, 8, 100, all.len()] {
            assert_eq!(bytes(skip as u64), all[skip..], "{skip}");
        }
    }

    #[test]
    fn a_limit_ends_it_also_in_an_older_file() {
        let mut world = world("limit", 1000);
        world.write(5);
        let limit = end(&world.path());
        world.write(25);
        let mut follower = Follower::new(world.path(), None, lines());
        follower.limit = Some(limit);
        assert_eq!(text(&mut follower), numbers(0, 5));
        assert_eq!(follower.read().unwrap(), Read::Limit);
    }
}
