//! Command lines, and what became of them.

use super::support::PATIENCE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program under test.
pub const SKERRY: &str = env!("CARGO_BIN_EXE_skerry");

/// What a command line came to.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub status: i32,
}

/// Words between spaces; those between single quotes stay together.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, piece) in line.split('\'').enumerate() {
        match index % 2 {
            0 => words.extend(piece.split_whitespace().map(str::to_owned)),
            _ => words.push(piece.to_owned()),
        }
    }
    words
}

/// One that takes too long is ended, which its status (124) says; and one that does not end half a minute after a signal.
fn command(line: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=30", "60", SKERRY]).args(words(line)).stdin(Stdio::null());
    command
}

/// `skerry LINE`
pub fn skerry(line: &str) -> Said {
    said(command(line).output().unwrap())
}

/// The same, with this on its standard input.
pub fn skerry_reads(line: &str, input: &[u8]) -> Said {
    let mut child =
        command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    said(child.wait_with_output().unwrap())
}

/// The same, which asks on standard error: this is done before it is answered.
pub fn skerry_is_answered(line: &str, meanwhile: impl FnOnce(), answer: &[u8]) -> Said {
    let mut child =
        command(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut asked, mut byte) = (Vec::new(), [0]);
    while !asked.ends_with(b"[y/N] ") {
        child.stderr.as_mut().unwrap().read_exact(&mut byte).unwrap();
        asked.extend(byte);
    }
    meanwhile();
    child.stdin.take().unwrap().write_all(answer).unwrap();
    said(child.wait_with_output().unwrap())
}

fn said(output: std::process::Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { out: text(&output.stdout), err: text(&output.stderr), status: output.status.code().unwrap_or(-1) }
}

/// What it says when it works: its standard output without the last newline.
#[track_caller]
pub fn says(line: &str) -> String {
    let said = skerry(line);
    assert_eq!(said.status, 0, "skerry {line}: {said:?}");
    said.out.trim_end().to_owned()
}

/// What it says when it ends with this status: its standard error without the last newline.
#[track_caller]
pub fn fails(line: &str, status: i32) -> String {
    let said = skerry(line);
    assert_eq!(said.status, status, "skerry {line}: {said:?}");
    said.err.trim_end().to_owned()
}

/// A command line that goes on. It ends with this value, since the place that it is in waits for all
/// that was started there.
pub struct Begun {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// Begins a command line and lets it go on.
pub fn begin(line: &str) -> Begun {
    let mut child = command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    Begun { child, out }
}

impl Begun {
    /// The next line of its output, with its newline.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line
    }

    /// Sends it a signal, which timeout(1) passes on.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Sends every `skerry` of this place a signal, by its number: one that timeout(1) does not pass on. IDs of processes
    /// mean something to those alone that are started here.
    pub fn signal_number(&self, number: i32) {
        let script = format!(
            "for own in /proc/[0-9]*; do [ \"$(cat $own/comm)\" != skerry ] || kill -{number} ${{own#/proc/}}; done"
        );
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Waits for its end; gives what it said since.
    pub fn end(mut self) -> Said {
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        Said { out, err, status }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A terminal with `skerry` on it.
pub struct Terminal {
    /// How it treated what is typed before anything ran on it.
    pub before: Termios,
    master: File,
    seen: String,
    child: Child,
}

impl Terminal {
    /// Types a command line at a terminal of 24 lines and 80 characters.
    pub fn of(line: &str) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let child = Command::new("setsid")
            .args(["--ctty", SKERRY])
            .args(words(line))
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self { before, master: pty.master.into(), seen: String::new(), child }
    }

    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        sys::terminal::set_size(self.master.as_fd(), rows, columns).unwrap();
    }

    /// How it treats what is typed.
    pub fn settings(&self) -> Termios {
        tcgetattr(self.master.as_fd()).unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Reads until this stands there, and forgets what stands before it, and it.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "{text:?} does not come; there is {:?}", self.seen);
        }
        let place = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..place);
    }

    fn read(&mut self) -> bool {
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        let mut events = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut events, patience).unwrap() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        let length = self.master.read(&mut bytes).unwrap_or(0);
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }

    /// The rest of what it says, and its exit status.
    pub fn end(&mut self) -> (String, i32) {
        while self.read() {}
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        (std::mem::take(&mut self.seen), status)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
