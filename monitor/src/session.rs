//! One more program in a container: what `exec` runs.
//!
//! ```text
//! /run/skerry/monitor/sessions/ID/
//! ├── record          which container, which process, JSON
//! ├── process.json    what the runtime is told
//! ├── pid             written by the runtime once the program runs
//! ├── console         the socket over which a terminal comes
//! └── runtime.log     why it could not be run
//! ```
//!
//! A health check's program has one pipe for its output and its errors; the monitor keeps the first of what comes, and
//! it ends with the monitor.
//!
//! Of all others the output takes no part in the container's log. It goes from their pipes to their client's socket
//! by splice(2), so that no byte is ever with the monitor: a monitor that is killed leaves
//! each where the program has put it or where the client reads it. Between each and the socket is a
//! *tray*, one more pipe: a terminal cannot be spliced to a socket, and a program may read its own
//! output pipe, while a frame's head promises bytes that nobody else may take. PID 1's store keeps all of them as
//! `monitor:exec:ID`, in this order: output, error, or the terminal's master; both ends of each one's
//! tray; then the pipe of its input, if there is one and no terminal.
//!
//! A frame's head is written when its bytes are known to lie in the tray and the
//! socket has room for them all. A kill between the two leaves a client with a head alone, which
//! counts for nothing, and the bytes in the tray.

use crate::cells::Adopted;
use crate::life::{End, Process, Time};
use crate::log::{Stream, pipe};
use crate::place;
use nix::errno::Errno;
use nix::unistd::read;
use serde::{Deserialize, Serialize};
use spec::monitor::Kind;
use spec::node::Name;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

/// How long one whose client is gone with a monitor waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Most bytes of one frame: a socket that polls writable has room for several.
pub const PIECE: usize = 16 * 1024;

/// Bytes that are told of what a health check writes, as with Docker.
const TOLD: usize = 4096;

/// What a health check writes: as much as is told of it.
#[derive(Debug)]
pub struct Said {
    /// Its output and its errors, read without waiting.
    pub pipe: OwnedFd,
    bytes: Vec<u8>,
    more: bool,
}

impl Said {
    /// Nothing yet.
    pub fn new(pipe: OwnedFd) -> Self {
        Self { pipe, bytes: Vec::new(), more: false }
    }

    /// Takes a good part of what the pipe holds, for the program is not to wait; says whether anything may come yet.
    pub fn listen(&mut self) -> bool {
        let mut bytes = [0; PIECE];
        match read(&self.pipe, &mut bytes) {
            Ok(0) => false,
            Ok(length) => {
                let kept = length.min(TOLD - self.bytes.len());
                self.bytes.extend_from_slice(&bytes[..kept]);
                self.more |= kept < length;
                true
            }
            Err(error) => matches!(error, Errno::EAGAIN | Errno::EINTR),
        }
    }

    /// The text of what has come until now.
    pub fn text(&mut self) -> String {
        let held = |pipe: &OwnedFd| sys::socket::pending(pipe.as_fd()).unwrap_or(0);
        while !self.more && held(&self.pipe) > 0 && self.listen() {}
        let end = if self.more { "..." } else { "" };
        format!("{}{end}", String::from_utf8_lossy(&self.bytes))
    }
}

/// Where its bytes come from.
#[derive(Debug)]
pub struct Pipes {
    /// Output and error; or a terminal.
    pub sources: Vec<OwnedFd>,
    /// Between each source and the socket: a pipe's read end and its write end.
    pub trays: Vec<(OwnedFd, OwnedFd)>,
    /// Its input, of a terminal the master.
    pub sink: Option<OwnedFd>,
}

/// Where it is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// The runtime is at work.
    Starting,
    /// Its program runs.
    Running(Process),
    /// It has ended.
    Ended(End),
}

/// What must outlive the monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The container's key.
    pub key: Name,
    /// It has a terminal.
    pub tty: bool,
    /// The pipe of its input is the last of its descriptors.
    pub input: bool,
    /// How far it is.
    pub progress: Progress,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    /// 16 hexadecimal digits.
    pub id: String,
    /// What is on disk.
    pub record: Record,
    /// The container's number.
    pub container: usize,
    /// Nothing for one that nobody follows.
    pub pipes: Option<Pipes>,
    /// Waits for the terminal.
    pub console: Option<OwnedFd>,
    /// Who follows it.
    pub client: Option<usize>,
    /// A frame whose head was sent lacks so many bytes of this stream.
    pub owed: Option<(Stream, usize)>,
    /// Its process is not our child.
    pub adopted: Option<Adopted>,
    /// When it is given up, without a client.
    pub due: Option<Time>,
    /// It is a health check.
    pub check: bool,
    /// What that has written.
    pub said: Option<Said>,
}

/// A session's folder.
pub fn folder(id: &str) -> PathBuf {
    place::sessions().join(id)
}

/// Its descriptors' name in PID 1's store.
pub fn kept(id: &str) -> String {
    format!("monitor:exec:{id}")
}

/// The kind of frames that a stream's bytes travel in.
pub fn kind(stream: Stream) -> Kind {
    match stream {
        Stream::Out => Kind::Output,
        Stream::Err => Kind::Error,
    }
}

impl Session {
    /// Writes its record.
    ///
    /// # Errors
    /// Those of writing a file.
    pub fn write(&self) -> io::Result<()> {
        let folder = folder(&self.id);
        fs::create_dir_all(&folder)?;
        sys::file::replace(&folder.join("record"), &serde_json::to_vec(&self.record)?)
    }

    /// The process, while it is not known to have ended.
    pub fn process(&self) -> Option<Process> {
        match self.record.progress {
            Progress::Running(process) => Some(process),
            _ => None,
        }
    }

    /// The descriptors of its sources that wake the monitor.
    pub fn sources(&self) -> Vec<(Stream, BorrowedFd<'_>)> {
        let sources = self.pipes.iter().flat_map(|pipes| &pipes.sources);
        Stream::ALL.into_iter().zip(sources.map(AsFd::as_fd)).collect()
    }
}

impl Pipes {
    /// With a tray for each source.
    ///
    /// # Errors
    /// Those of pipe(2).
    pub fn new(sources: Vec<OwnedFd>, sink: Option<OwnedFd>) -> io::Result<Self> {
        let trays = sources.iter().map(|_| pipe()).collect::<io::Result<_>>()?;
        Ok(Self { sources, trays, sink })
    }

    /// From what PID 1 keeps.
    pub fn of(record: &Record, descriptors: Vec<OwnedFd>) -> Option<Self> {
        let count = if record.tty { 1 } else { 2 };
        let mut descriptors = descriptors.into_iter();
        let sources: Vec<_> = descriptors.by_ref().take(count).collect();
        let trays: Vec<_> =
            sources.iter().map_while(|_| descriptors.next().zip(descriptors.next())).collect();
        let sink = match record.tty {
            true => sources.first().and_then(|master| master.try_clone().ok()),
            false => descriptors.next().filter(|_| record.input),
        };
        (trays.len() == count).then_some(Self { sources, trays, sink })
    }

    /// All that PID 1 keeps, in its order.
    pub fn all(&self) -> Vec<BorrowedFd<'_>> {
        let trays = self.trays.iter().flat_map(|(reader, writer)| [reader.as_fd(), writer.as_fd()]);
        // A terminal is its own input.
        let sink = self.sink.iter().filter(|_| self.sources.len() > 1).map(AsFd::as_fd);
        self.sources.iter().map(AsFd::as_fd).chain(trays).chain(sink).collect()
    }
}

/// The sessions on disk.
pub fn read_all() -> Vec<(String, Option<Record>)> {
    let entries = fs::read_dir(place::sessions()).into_iter().flatten().flatten();
    let read = |id: String| {
        let text = fs::read(folder(&id).join("record")).ok();
        let record = text.and_then(|text| serde_json::from_slice(&text).ok());
        (id, record)
    };
    entries.filter_map(|entry| entry.file_name().into_string().ok()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn record(tty: bool, input: bool) -> Record {
        let progress = Progress::Running(Process { pid: 7, start_time: 9 });
        Record { key: "web".parse().unwrap(), tty, input, progress }
    }

    fn descriptors(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn descriptors_come_back_as_they_were_kept() {
        for (tty, input, count) in [(false, false, 6), (false, true, 7), (true, true, 3), (true, false, 3)] {
            let pipes = Pipes::of(&record(tty, input), descriptors(count)).unwrap();
            assert_eq!(pipes.all().len(), count, "{tty} {input}");
            assert_eq!((pipes.trays.len(), pipes.sink.is_some()), (2 - usize::from(tty), tty || input));
        }
        for (tty, count) in [(true, 2), (false, 5), (false, 2), (false, 0)] {
            assert!(Pipes::of(&record(tty, false), descriptors(count)).is_none());
        }
        // Its input was closed meanwhile.
        assert!(Pipes::of(&record(false, true), descriptors(6)).unwrap().sink.is_none());
    }

    #[test]
    fn of_what_a_check_writes_the_first_is_kept_and_the_rest_taken() {
        let said = |text: &[u8]| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let mut said = Said::new(reader.into());
            writer.write_all(text).unwrap();
            said.text()
        };
        assert_eq!((said(b""), said(b"not \xff well\n")), (String::new(), "not \u{fffd} well\n".into()));
        assert_eq!(said(&[b'x'; TOLD]), "x".repeat(TOLD));
        assert_eq!(said(&[b'x'; TOLD + 1]), "x".repeat(TOLD) + "...");
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut said = Said::new(reader.into());
        writer.write_all(&[b'x'; 3 * PIECE]).unwrap();
        drop(writer);
        let pieces = std::iter::repeat_with(|| said.listen()).take_while(|more| *more).count();
        assert_eq!((pieces, said.text().len()), (3, TOLD + 3));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = record(true, false);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
