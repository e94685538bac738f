//! Commands run inside a node, which has no shell of its own.
//!
//! The test image carries a static busybox and a script, `tests/probe/serve`, that
//! PID 1 runs as the service `probe`. It reads commands from a virtio-serial port
//! and answers there. Released images have neither (a test checks that).
//!
//! A request is a line `ID BASE64(COMMAND)`, an answer `ID STATUS BASE64(OUTPUT)`.

use crate::{Failure, Result, base64};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Name of the virtio-serial port.
pub(crate) const CHANNEL: &str = "skerry.probe";

/// What a command left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit status of its shell.
    pub status: i32,
    /// Standard output and standard error, in the order in which they came.
    pub text: String,
}

/// The workstation's static busybox.
///
/// # Errors
///
/// When it is not installed.
pub fn busybox() -> Result<PathBuf> {
    let known = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let found = known.into_iter().find(|file| file.exists());
    found.ok_or_else(|| Failure::new("busybox is not installed; it is in the Debian package busybox-static"))
}

/// The tests' end of the channel.
#[derive(Debug)]
pub(crate) struct Probe {
    channel: Mutex<Channel>,
    limit: Duration,
}

#[derive(Debug)]
struct Channel {
    stream: BufReader<UnixStream>,
    next: u64,
}

impl Probe {
    pub fn new(channel: &UnixStream, limit: Duration) -> Result<Self> {
        let stream = BufReader::new(channel.try_clone()?);
        Ok(Self { channel: Mutex::new(Channel { stream, next: 1 }), limit })
    }

    /// Runs `command` by the node's test shell.
    pub fn run(&self, command: &str) -> Result<Output> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let id = channel.send(command)?;
        let end = Instant::now() + self.limit;
        loop {
            let line =
                channel.line(end).map_err(|cause| Failure::new(format!("run {command:?}: {cause}")))?;
            // An answer that a request before this one did not wait for is passed over.
            if let Some(output) = read_answer(&line, id) {
                return Ok(output);
            }
        }
    }

    /// Asks for `command` and leaves it at that.
    pub fn begin(&self, command: &str) -> Result {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).send(command).map(drop)
    }
}

impl Channel {
    /// Asks for `command` and returns the number of its answer.
    fn send(&mut self, command: &str) -> Result<u64> {
        let id = self.next;
        self.next += 1;
        let request = format!("{id} {}\n", base64::encode(command.as_bytes()));
        self.stream.get_mut().write_all(request.as_bytes())?;
        Ok(id)
    }

    /// The next line; a part that came before the limit passed is not lost, since
    /// the connection is of no more use then.
    fn line(&mut self, end: Instant) -> std::io::Result<String> {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(std::io::Error::other("the machine ended")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(std::io::Error::other("no answer in time"))
            }
            result => result.map(|_| line),
        }
    }
}

fn read_answer(line: &str, id: u64) -> Option<Output> {
    let mut words = line.trim_end().splitn(3, ' ');
    if words.next()?.parse() != Ok(id) {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let bytes = base64::decode(words.next().unwrap_or_default())?;
    Some(Output { status, text: String::from_utf8_lossy(&bytes).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn an_answer_finds_its_question() {
        let (host, guest) = UnixStream::pair().unwrap();
        let node = thread::spawn(move || {
            let mut lines = BufReader::new(guest.try_clone().unwrap());
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            (&guest).write_all(b"0 0 bGF0ZQ==\n1 3 b2s=\n").unwrap();
            line
        });
        let output = Probe::new(&host, Duration::from_secs(10)).unwrap().run("a").unwrap();
        assert_eq!(output, Output { status: 3, text: "ok".into() });
        assert_eq!(node.join().unwrap(), "1 YQ==\n");
    }

    #[test]
    fn silence_is_told_with_the_command() {
        let (host, _guest) = UnixStream::pair().unwrap();
        let error = Probe::new(&host, Duration::from_millis(1)).unwrap().run("ps").unwrap_err();
        assert_eq!(error.to_string(), "run \"ps\": no answer in time");
    }
}
