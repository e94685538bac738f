//! A log's files, read entry by entry, over rotations.
//!
//! ```text
//! N.log             what is written now
//! N.log.1           what it was before it was rotated; or
//! N.log.TIME        several of them, in the order of their names
//! ```
//!
//! What is open is followed by its inode: it is read to its end when it has been renamed.
//!
//! Pods that look after logs may write below [`ROOT`]. So no link is followed there, and what is no regular file is
//! not opened.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use sys::regular::Folder;

/// Where all logs lie.
const ROOT: &str = "/var/log";

/// Bytes that are read at once.
const PIECE: usize = 32 * 1024;

/// Longest entry that is waited for; what is longer is cut.
const LONGEST: usize = 1 << 20;

/// A place in a log.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

/// The folder of a log, if it is there.
fn folder(path: &Path) -> io::Result<Option<Folder>> {
    match Folder::of(path, Path::new(ROOT)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// The names of what there is of a log in its folder, oldest first.
fn chain(folder: &Folder, name: &OsStr) -> Vec<OsString> {
    let is_rotated = |own: &OsString| {
        let rest =
            own.to_str().zip(name.to_str()).and_then(|(own, name)| own.strip_prefix(name)?.strip_prefix('.'));
        rest.is_some_and(|rest| !rest.ends_with("gz") && !rest.ends_with("tmp"))
    };
    let entries = folder.list().into_iter().flatten().flatten();
    let mut files: Vec<OsString> = entries.map(|entry| entry.file_name()).filter(is_rotated).collect();
    files.sort();
    files.push(name.to_owned());
    files
}

impl Reader {
    /// At the beginning of all that there is, or so many entries before the end.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn new(path: &Path, tail: Option<u64>) -> io::Result<Self> {
        let mut reader = Self { path: path.to_owned(), open: None };
        let Some(folder) = folder(path)? else { return Ok(reader) };
        let files = chain(&folder, name(path));
        let Some(mut left) = tail else {
            reader.open = files.iter().find_map(|file| Open::at(&folder, file).ok());
            return Ok(reader);
        };
        for file in files.iter().rev() {
            let Ok(mut open) = Open::at(&folder, file) else { continue };
            open.offset = back(&open.file, &mut left)?;
            reader.open = Some(open);
            if left == 0 {
                break;
            }
        }
        Ok(reader)
    }

    /// Where it is: for who watches it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next whole entries; empty at the end of what there is now.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(open) = &mut self.open {
                let entries = open.read()?;
                if !entries.is_empty() {
                    return Ok(entries);
                }
            }
            if !self.step()? {
                return Ok(Vec::new());
            }
        }
    }

    /// Goes on to the next file, if there is one.
    fn step(&mut self) -> io::Result<bool> {
        let inode = self.open.as_ref().map(|open| open.inode);
        let Some(folder) = folder(&self.path)? else { return Ok(false) };
        let is_open = |file: &OsStr| {
            let now = folder.find(file).and_then(|found| found.metadata());
            now.is_ok_and(|now| Some(now.ino()) == inode)
        };
        if is_open(name(&self.path)) {
            return Ok(false);
        }
        let files = chain(&folder, name(&self.path));
        // Who is more rotations behind than there are files goes on with the oldest.
        let next = files.iter().position(|file| is_open(file)).map_or(0, |place| place + 1);
        let Some(open) = files.iter().skip(next).find_map(|file| Open::at(&folder, file).ok()) else {
            return Ok(false);
        };
        // What was written between the last reading and the renaming is read first.
        if let Some(before) = &mut self.open {
            let entries = before.read()?;
            if !entries.is_empty() {
                before.offset -= entries.len() as u64;
                return Ok(true);
            }
        }
        self.open = Some(open);
        Ok(true)
    }
}

impl Open {
    fn at(folder: &Folder, name: &OsStr) -> io::Result<Self> {
        let file = folder.open(name, File::options().read(true))?;
        let inode = file.metadata()?.ino();
        Ok(Self { file, inode, offset: 0 })
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut size = PIECE;
        loop {
            let mut bytes = vec![0; size];
            let length = full_read(&self.file, &mut bytes, self.offset)?;
            bytes.truncate(length);
            let end = match bytes.iter().rposition(|&byte| byte == b'\n') {
                Some(newline) => newline + 1,
                None if length == size && size < LONGEST => {
                    size *= 2;
                    continue;
                }
                // Longer than any entry may be; or not whole yet.
                None if length == size => length,
                None => 0,
            };
            bytes.truncate(end);
            self.offset += end as u64;
            return Ok(bytes);
        }
    }
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn full_read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// The offset of the last `left` entries of a file; `left` is less by those that there are.
fn back(file: &File, left: &mut u64) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut bytes = vec![0; PIECE];
    // The last of them ends the last entry.
    let mut newlines = left.saturating_add(1);
    while end > 0 {
        let start = end.saturating_sub(PIECE as u64);
        let piece = &mut bytes[..(end - start) as usize];
        let length = full_read(file, piece, start)?;
        for place in (0..length).rev().filter(|&place| piece[place] == b'\n') {
            newlines -= 1;
            if newlines == 0 {
                *left = 0;
                return Ok(start + place as u64 + 1);
            }
        }
        end = start;
    }
    *left = newlines - 1;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("skerry-logs-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, lines: std::ops::Range<u32>) {
            let mut file = File::options().create(true).append(true).open(self.0.join(name)).unwrap();
            for line in lines {
                writeln!(file, "line {line}").unwrap();
            }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn all(reader: &mut Reader) -> Vec<u32> {
        let mut text = Vec::new();
        loop {
            let piece = reader.read().unwrap();
            if piece.is_empty() {
                break;
            }
            text.extend(piece);
        }
        let text = String::from_utf8(text).unwrap();
        text.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn a_log_is_read_over_all_its_files() {
        let folder = Folder::new("chain");
        folder.write("0.log.20260102-030405", 0..10);
        folder.write("0.log.20260103-030405", 10..5000);
        folder.write("0.log.20260101-030405.gz", 90..91);
        folder.write("0.log", 5000..5010);
        folder.write("1.log", 90..91);
        let path = folder.0.join("0.log");
        assert_eq!(all(&mut Reader::new(&path, None).unwrap()), Vec::from_iter(0..5010));
        for tail in [0, 1, 9, 10, 11, 4000, 5005, 5010, 9000_u32] {
            let got = all(&mut Reader::new(&path, Some(tail.into())).unwrap());
            assert_eq!(got, Vec::from_iter(5010_u32.saturating_sub(tail)..5010), "the last {tail}");
        }
    }

    #[test]
    fn what_is_put_in_a_logs_place_is_neither_waited_for_nor_read() {
        let folder = Folder::new("place");
        nix::unistd::mkfifo(&folder.0.join("0.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        folder.write("0.log.1", 0..3);
        folder.write("secret", 90..92);
        std::os::unix::fs::symlink("secret", folder.0.join("0.log.2")).unwrap();
        let path = folder.0.join("0.log");
        let (done, result) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let read = |tail| all(&mut Reader::new(&path, tail).unwrap());
            done.send((read(None), read(Some(9)))).unwrap();
        });
        let read = result.recv_timeout(std::time::Duration::from_secs(60)).expect("it waits");
        assert_eq!(read, (vec![0, 1, 2], vec![0, 1, 2]));
    }

    #[test]
    fn a_follower_loses_nothing_when_the_log_is_rotated() {
        let folder = Folder::new("rotate");
        let (path, before) = (folder.0.join("0.log"), folder.0.join("0.log.1"));
        let mut reader = Reader::new(&path, None).unwrap();
        assert!(all(&mut reader).is_empty(), "there is none yet");
        folder.write("0.log", 0..3);
        assert_eq!(all(&mut reader), [0, 1, 2]);
        folder.write("0.log", 3..5);
        fs::rename(&path, &before).unwrap();
        folder.write("0.log", 5..7);
        assert_eq!(all(&mut reader), [3, 4, 5, 6]);
        fs::rename(&path, &before).unwrap();
        assert!(all(&mut reader).is_empty(), "the new file is not there yet");
        folder.write("0.log", 7..8);
        assert_eq!(all(&mut reader), [7]);
        folder.write("0.log", 8..9);
        fs::rename(&path, &before).unwrap();
        folder.write("0.log", 9..10);
        fs::rename(&path, &before).unwrap();
        folder.write("0.log", 10..11);
        assert_eq!(all(&mut reader), [8, 9, 10], "its own file is open still");
    }

    #[test]
    fn an_entry_that_is_not_whole_is_waited_for() {
        let folder = Folder::new("whole");
        let path = folder.0.join("0.log");
        fs::write(&path, "line 1\nline").unwrap();
        let mut reader = Reader::new(&path, None).unwrap();
        assert_eq!(all(&mut reader), [1]);
        fs::write(&path, "line 1\nline 2\n").unwrap();
        assert_eq!(all(&mut reader), [2]);
        fs::write(&path, vec![b'x'; 3 * LONGEST / 2]).unwrap();
        assert_eq!(Reader::new(&path, None).unwrap().read().unwrap().len(), LONGEST);
    }
}
