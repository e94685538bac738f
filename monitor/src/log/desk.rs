//! The desk: the pipe that holds the one batch being logged. The module above
//! tells why each step stands where it does.

use super::cri::{self, Stream};
use super::file::LogFile;
use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice, tee};
use nix::unistd::{pipe2, read};
use spec::node::Name;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;
use sys::cause::cause;

/// What a pipe holds unless its size was changed, and the most of one batch.
const PIPE: usize = 64 * 1024;

/// Most of a batch from a terminal, which cannot be looked at before it is taken.
const TERMINAL: usize = 4096;

/// The mark is always this long, so that no older one shows behind it.
const MARK: usize = 256;

/// Where a batch comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The container.
    pub name: &'a Name,
    /// Which of its outputs.
    pub stream: Stream,
    /// The read end of its pipe, or the master of its terminal.
    pub pipe: BorrowedFd<'a>,
    /// It is a terminal.
    pub terminal: bool,
}

/// What a pass over a pipe came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pipe is empty.
    Empty,
    /// The pipe is empty and nobody can write to it any more.
    Closed,
    /// Only an unfinished line is in it.
    Unfinished,
    /// A batch was logged, or dropped; there may be more.
    Batch(Option<Note>),
}

/// What is to be said of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Note {
    /// It cannot be written, for this reason.
    Dropping(String),
    /// It can be written again, and this many bytes are missing.
    Dropped(u64),
}

/// What the mark says of the batch that is on the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    name: Name,
    stream: Stream,
    stamp: String,
    offset: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.name, self.stream, self.stamp, self.offset)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let [name, stream, stamp, offset] = words[..] else {
            return Err(format!("{text:?} is not a mark"));
        };
        let offset = offset.parse().map_err(|_| format!("{offset:?} is not an offset"))?;
        Ok(Self { name: name.parse()?, stream: stream.parse()?, stamp: stamp.to_owned(), offset })
    }
}

/// The next step of a batch, with what the steps before it found.
#[derive(Debug)]
enum Step {
    Look,
    Mark(usize),
    Take(usize, Result<Mark, String>),
    Write(Result<Mark, String>),
    Clear(Option<Note>),
    Done(Outcome),
}

/// The desk and what is needed to work at it.
#[derive(Debug)]
pub struct Desk {
    reader: OwnedFd,
    writer: OwnedFd,
    scratch: (OwnedFd, OwnedFd),
    mark: File,
    buffer: Vec<u8>,
}

/// Makes a pipe for a desk: its read end, its write end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

impl Desk {
    /// Sits down at a desk, perhaps one with a batch on it ([`Desk::resume`]
    /// comes first then), with its mark in this file.
    pub fn open(reader: OwnedFd, writer: OwnedFd, mark: &Path) -> io::Result<Self> {
        let mark = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(mark)?;
        Ok(Self { reader, writer, scratch: pipe()?, mark, buffer: Vec::new() })
    }

    /// Logs one batch from a pipe; an unfinished line only when it is `overdue`.
    pub fn pass(
        &mut self,
        source: Source<'_>,
        log: &mut LogFile,
        stamp: &str,
        overdue: bool,
    ) -> io::Result<Outcome> {
        let mut step = Step::Look;
        loop {
            step = match step {
                Step::Done(outcome) => return Ok(outcome),
                step => self.advance(step, source, log, stamp, overdue)?,
            }
        }
    }

    /// The bytes of the batch that the last pass logged.
    pub fn batch(&self) -> &[u8] {
        &self.buffer
    }

    /// Finishes the batch that a killed monitor left on the desk; `log` gives
    /// that of its container.
    pub fn resume(&mut self, log: impl FnOnce(&Name) -> LogFile) -> io::Result<Option<Note>> {
        look(self.reader.as_fd(), &self.scratch, &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let note = match self.read_mark() {
            Ok(mark) => self.write(&mut log(&mark.name), &mark),
            Err(reason) => Some(Note::Dropping(reason)),
        };
        self.clear()?;
        Ok(note)
    }

    fn advance(
        &mut self,
        step: Step,
        source: Source<'_>,
        log: &mut LogFile,
        stamp: &str,
        overdue: bool,
    ) -> io::Result<Step> {
        Ok(match step {
            Step::Look if source.terminal => Step::Mark(TERMINAL),
            Step::Look => match look(source.pipe, &self.scratch, &mut self.buffer)? {
                Looked::Closed => Step::Done(Outcome::Closed),
                Looked::Open if self.buffer.is_empty() => Step::Done(Outcome::Empty),
                Looked::Open => match cri::cut(&self.buffer, overdue) {
                    0 => Step::Done(Outcome::Unfinished),
                    cut => Step::Mark(cut),
                },
            },
            Step::Mark(cut) => {
                let mark = self.write_mark(cut, source, log, stamp);
                if mark.is_err() {
                    // That of the batch before is not this one's.
                    let _ = self.mark.write_all_at(format!("{:MARK$}", "none\n").as_bytes(), 0);
                }
                Step::Take(cut, mark)
            }
            Step::Take(cut, mark) => {
                let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
                match splice(source.pipe, None, &self.writer, None, cut, flags) {
                    // Somebody else reads this pipe, the container itself perhaps.
                    Ok(0) | Err(Errno::EAGAIN) => Step::Done(Outcome::Empty),
                    // Nobody has it open on the other side.
                    Err(Errno::EIO) if source.terminal => Step::Done(Outcome::Closed),
                    Ok(taken) if source.terminal => {
                        look(self.reader.as_fd(), &self.scratch, &mut self.buffer)?;
                        self.buffer.truncate(taken);
                        Step::Write(mark)
                    }
                    Ok(taken) => {
                        self.buffer.truncate(taken);
                        Step::Write(mark)
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Step::Write(mark) => Step::Clear(match mark {
                Ok(mark) => self.write(log, &mark),
                Err(reason) => log.dropped(self.buffer.len(), &reason).map(Note::Dropping),
            }),
            Step::Clear(note) => {
                self.clear()?;
                Step::Done(Outcome::Batch(note))
            }
            Step::Done(outcome) => Step::Done(outcome),
        })
    }

    fn write_mark(
        &mut self,
        cut: usize,
        source: Source<'_>,
        log: &mut LogFile,
        stamp: &str,
    ) -> Result<Mark, String> {
        // How many lines a terminal will give is not known; a log may grow a little beyond its limit.
        let length = match source.terminal {
            true => 2 * cut,
            false => cri::entries(stamp, source.stream, &self.buffer[..cut]).len(),
        };
        let offset = log.prepare(length).map_err(|error| cause(&error))?;
        let (name, stream) = (source.name.clone(), source.stream);
        let mark = Mark { name, stream, stamp: stamp.to_owned(), offset };
        let text = format!("{:MARK$}", format!("{mark}\n"));
        self.mark.write_all_at(text.as_bytes(), 0).map_err(|error| cause(&error))?;
        Ok(mark)
    }

    fn read_mark(&self) -> Result<Mark, String> {
        let mut text = [0; MARK];
        let length = self.mark.read_at(&mut text, 0).map_err(|error| cause(&error))?;
        let text = String::from_utf8_lossy(&text[..length]);
        text.lines().next().unwrap_or_default().parse()
    }

    fn write(&mut self, log: &mut LogFile, mark: &Mark) -> Option<Note> {
        let entries = cri::entries(&mark.stamp, mark.stream, &self.buffer);
        match log.complete(mark.offset, &entries) {
            Ok(()) => log.written().map(Note::Dropped),
            Err(error) => log.dropped(self.buffer.len(), &cause(&error)).map(Note::Dropping),
        }
    }

    fn clear(&mut self) -> io::Result<()> {
        let mut away = [0; 4096];
        loop {
            match read(&self.reader, &mut away) {
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

enum Looked {
    Open,
    Closed,
}

/// Copies what a pipe holds, up to [`PIPE`] bytes, and leaves it there.
fn look(pipe: BorrowedFd<'_>, scratch: &(OwnedFd, OwnedFd), buffer: &mut Vec<u8>) -> io::Result<Looked> {
    buffer.clear();
    let copied = match tee(pipe, &scratch.1, PIPE, SpliceFFlags::SPLICE_F_NONBLOCK) {
        Ok(0) => return Ok(Looked::Closed),
        Err(Errno::EAGAIN) => return Ok(Looked::Open),
        copied => copied?,
    };
    buffer.resize(copied, 0);
    let mut done = 0;
    while done < copied {
        match read(&scratch.0, &mut buffer[done..])? {
            0 => break,
            more => done += more,
        }
    }
    Ok(Looked::Open)
}

#[cfg(test)]
mod tests;
