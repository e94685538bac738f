//! A service's output: bytes become lines, lines go to a bounded file.
//!
//! A disk that does not answer stops whoever touches it, and PID 1 must not stop: the files are
//! written by a process of its own, PID 1's program started with [`ARGUMENT`]. PID 1 hands it each
//! line over a socket and never waits for it; what finds no room there is dropped, and counted.
//!
//! `NAME.log` grows to [`LIMIT`], then becomes `NAME.log.1` in place of the one
//! before it. A line that cannot be written (a full disk) is dropped, which is
//! said once.

use crate::error::{Context, Result};
use crate::{clock, console};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use spec::paths;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use sys::process::{Spawn, spawn};

/// The argument with which PID 1 starts the process that writes.
pub const ARGUMENT: &str = "log";

/// Greatest log file, in bytes.
const LIMIT: u64 = 1 << 20;
/// A longer line is divided.
const LONGEST_LINE: usize = 4096;
/// Room for lines that wait to be written, in bytes, which takes memory only while they do.
const ROOM: usize = 4 << 20;
/// Room for one line in words that cannot steer a terminal, with its service's name and the time.
const LONGEST_PACKET: usize = 4 * LONGEST_LINE;

/// Bytes of which no line has come yet.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes what was read, and gives every line that is now whole.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in part.chunks(LONGEST_LINE) {
                if self.0.len() + piece.len() > LONGEST_LINE {
                    lines.extend(self.finish());
                }
                self.0.extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.0.pop();
                lines.extend(self.finish().or(Some(String::new())));
            }
        }
        lines
    }

    /// The last line, when it had no end.
    pub fn finish(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.0);
        (!bytes.is_empty()).then(|| plain(&bytes))
    }
}

/// Text that cannot steer a terminal.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\r')
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// PID 1's way to the process that writes, which is started with the first line, and again when it was killed.
#[derive(Debug, Default)]
pub struct Writer {
    socket: Option<OwnedFd>,
    dropped: u64,
    closed: bool,
}

impl Writer {
    /// Hands over a service's line with the time; never waits.
    pub fn write(&mut self, name: &str, line: &str) {
        if self.dropped > 0
            && self.send(name, &format!("lines of services dropped before this: {}", self.dropped))
        {
            self.dropped = 0;
        }
        if self.dropped > 0 || !self.send(name, line) {
            self.dropped += 1;
        }
    }

    fn send(&mut self, name: &str, line: &str) -> bool {
        let packet = format!("{name} {} {line}", clock::stamp());
        // Once more where the process was killed.
        for _ in 0..2 {
            if self.socket.is_none() && !self.closed {
                self.socket = start().ok();
            }
            let Some(socket) = &self.socket else { return false };
            match sys::descriptors::send(socket.as_fd(), packet.as_bytes(), &[]) {
                Ok(()) => return true,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => self.socket = None,
            }
        }
        false
    }

    /// Has the process end, once it has written all, and so let go of the data disk.
    pub fn close(&mut self) {
        (self.socket, self.closed) = (None, true);
    }
}

fn start() -> io::Result<OwnedFd> {
    let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // All that is read of a pipe at a time finds room, in short lines, too.
    let _ = setsockopt(&ours, sockopt::SndBufForce, &ROOM);
    let argv = [c"/proc/self/exe".to_owned(), std::ffi::CString::new(ARGUMENT)?];
    let null: OwnedFd = OpenOptions::new().write(true).open("/dev/null")?.into();
    let said = console::descriptor().unwrap_or(null);
    let descriptors = [its.as_fd(), said.as_fd(), said.as_fd()];
    let oom_score_adj = Some(c"-900");
    spawn(&Spawn { argv: &argv, env: &[], descriptors: &descriptors, cgroup: None, oom_score_adj })?;
    Ok(ours)
}

/// The process that writes: what comes over its standard input, until PID 1 closes it. Signals to all that runs do not end
/// it, so that the last lines are written, too.
pub fn run() {
    let _ = SigSet::all().thread_block();
    console::open();
    let (mut logs, mut packet) = (BTreeMap::new(), vec![0; LONGEST_PACKET]);
    while let Ok((length @ 1.., _)) = sys::descriptors::receive(io::stdin().as_fd(), &mut packet) {
        let text = String::from_utf8_lossy(&packet[..length]);
        if let Some((name, line)) = text.split_once(' ') {
            logs.entry(name.to_owned()).or_insert_with(|| Log::new(name)).write(line);
        }
        console::flush();
    }
}

/// The file of one service, opened with its first line.
#[derive(Debug)]
struct Log {
    path: String,
    file: Option<(File, u64)>,
    dropping: bool,
}

impl Log {
    /// The log of the service of this name.
    fn new(name: &str) -> Self {
        Self { path: format!("{}/services/{name}.log", paths::LOG), file: None, dropping: false }
    }

    /// Appends a line.
    fn write(&mut self, line: &str) {
        match self.append(line) {
            Ok(()) => self.dropping = false,
            Err(error) if !self.dropping => {
                say!("{error}; its lines are dropped until they can be written");
                (self.dropping, self.file) = (true, None);
            }
            Err(_) => self.file = None,
        }
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let text = format!("{line}\n");
        let doing = || format!("write {}", self.path);
        if self.file.as_ref().is_some_and(|(_, size)| size + text.len() as u64 > LIMIT) {
            self.file = None;
            fs::rename(&self.path, format!("{}.1", self.path)).context(doing)?;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path).context(doing)?);
        }
        if let Some((file, size)) = &mut self.file {
            let written = file.write_all(text.as_bytes());
            if written.is_err() {
                // The next line begins a line, whenever there is room for it.
                let _ = file.set_len(*size);
            }
            written.context(doing)?;
            *size += text.len() as u64;
        }
        Ok(())
    }
}

fn open(path: &str) -> std::io::Result<(File, u64)> {
    if let Some((folder, _)) = path.rsplit_once('/') {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"on"), [""; 0]);
        assert_eq!(lines.push(b"e\n\ntwo\r\nth"), ["one", "", "two"]);
        assert_eq!(lines.finish().as_deref(), Some("th"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn an_endless_line_is_divided_and_controls_are_shown_harmless() {
        let mut lines = Lines::default();
        let pieces = lines.push(&[b'x'; 2 * LONGEST_LINE + 1]);
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, LONGEST_LINE]);
        assert_eq!(lines.finish().as_deref(), Some("x"));
        assert_eq!(lines.push(b"\x1b[2J\xff\t\n"), ["\u{fffd}[2J\u{fffd}\t"]);
    }

    #[test]
    fn a_disk_that_stands_still_costs_lines_and_no_time() {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, its) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let mut writer = Writer { socket: Some(ours), ..Writer::default() };
        // More than any socket holds.
        for number in 0..100_000 {
            writer.write("web", &format!("line {number}"));
        }
        let mut packet = vec![0; LONGEST_PACKET];
        let mut receive = || {
            let (length, _) = sys::descriptors::receive(its.as_fd(), &mut packet).ok()?;
            Some(String::from_utf8_lossy(&packet[..length]).into_owned())
        };
        let first = receive().unwrap();
        assert!(first.starts_with("web ") && first.ends_with(" line 0"), "{first}");
        let written = 1 + std::iter::from_fn(&mut receive).count();
        writer.write("web", "again");
        let dropped = format!(" lines of services dropped before this: {}", 100_000 - written);
        assert!(receive().unwrap().ends_with(&dropped));
        assert!(receive().unwrap().ends_with(" again"));
        writer.close();
        writer.write("web", "after the end");
        assert!(receive().is_none_or(|text| text.is_empty()));
    }

    #[test]
    fn a_log_is_turned_over_at_its_limit() {
        let folder = std::env::temp_dir().join(format!("skerry-log-{}", std::process::id()));
        let path = folder.join("x.log").to_string_lossy().into_owned();
        let mut log = Log { path: path.clone(), file: None, dropping: false };
        let line = "y".repeat(1000);
        for _ in 0..LIMIT / 1000 + 1 {
            log.write(&line);
        }
        let size = |path: &str| fs::metadata(path).unwrap().len();
        assert!(size(&format!("{path}.1")) <= LIMIT);
        assert!(size(&path) < LIMIT / 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
