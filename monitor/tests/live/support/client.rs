//! A connection to the monitor.

use super::PATIENCE;
use serde::Serialize;
use spec::monitor::{Frame, Hello, Kind, Reader, Reply, Request, VERSION};
use spec::paths::MONITOR_SOCKET;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A connection of one request.
pub struct Client {
    pub stream: UnixStream,
    reader: Reader,
    /// What was asked for is joined again: its name stays.
    again: bool,
}

/// All that came over a connection.
#[derive(Debug, Default)]
pub struct Said {
    pub session: Option<String>,
    pub out: Vec<u8>,
    pub err: Vec<u8>,
    /// Bytes that had come when the session was named.
    named: usize,
    /// The last message; none when the monitor went away first.
    pub end: Option<Reply>,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub fn status(&self) -> Option<u8> {
        match &self.end {
            Some(Reply::Exited { status, .. }) => Some(*status),
            _ => None,
        }
    }

    /// What is to be said to `resume`.
    pub fn resume(&self) -> Request {
        let received = (self.out.len() + self.err.len() - self.named) as u64;
        Request::Resume { session: self.session.clone().expect("streams have a name"), received }
    }
}

impl Client {
    /// Connects and says nothing.
    pub fn connect() -> Self {
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(MONITOR_SOCKET) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    return Self { stream, reader: Reader::default(), again: false };
                }
                Err(error) => assert!(Instant::now() < end, "connect: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Connects and asks; nothing when the monitor died meanwhile.
    pub fn ask(request: &Request) -> Option<Self> {
        let mut client = Self::connect();
        client.say(&Hello { version: VERSION, program: "test".into() })?;
        client.say(request)?;
        let hello = client.message()?;
        assert!(hello.contains("\"version\":1"), "{hello}");
        client.again = matches!(request, Request::Resume { .. });
        Some(client)
    }

    pub fn say(&mut self, message: &impl Serialize) -> Option<()> {
        self.write(Kind::Message, &serde_json::to_vec(message).unwrap())
    }

    pub fn write(&mut self, kind: Kind, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(&Frame::encode(kind, bytes)).ok()
    }

    /// The next frame; nothing when the monitor went away.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.reader.frame().expect("the monitor sends frames") {
                return Some(frame);
            }
            let mut bytes = [0; 1 << 16];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(length) => self.reader.push(&bytes[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
                Err(_) => return None,
            }
        }
    }

    pub fn message(&mut self) -> Option<String> {
        let frame = self.frame()?;
        assert_eq!(frame.kind, Kind::Message);
        Some(String::from_utf8(frame.payload).unwrap())
    }

    pub fn reply(&mut self) -> Option<Reply> {
        Some(serde_json::from_str(&self.message()?).unwrap())
    }

    /// Takes in one frame; false after the last.
    pub fn take(&mut self, said: &mut Said) -> bool {
        let Some(frame) = self.frame() else { return false };
        match frame.kind {
            Kind::Output => said.out.extend(frame.payload),
            Kind::Error => said.err.extend(frame.payload),
            Kind::Message => match serde_json::from_slice(&frame.payload).unwrap() {
                Reply::Streams { .. } if std::mem::take(&mut self.again) => {}
                Reply::Streams { session, .. } => {
                    (said.session, said.named) = (session, said.out.len() + said.err.len());
                }
                reply => {
                    said.end = Some(reply);
                    return false;
                }
            },
            Kind::Input => panic!("the monitor sends no input"),
        }
        true
    }

    /// Takes in all to the end.
    pub fn follow(&mut self) -> Said {
        let mut said = Said::default();
        while self.take(&mut said) {}
        said
    }

    /// Takes in frames until the output has these words.
    #[track_caller]
    pub fn until(&mut self, said: &mut Said, words: &str) {
        while !said.text().contains(words) {
            assert!(self.take(said), "{words:?} never came: {:?} {:?}", said.text(), said.end);
        }
    }
}

/// The bytes that a program wrote, from the lines of its log.
pub fn bytes_of(log: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("an entry ends with a newline");
        let mut words = line.splitn(4, |&byte| byte == b' ');
        assert_eq!(words.next().unwrap().len(), 30, "{:?}", String::from_utf8_lossy(line));
        words.next().unwrap();
        let finished = words.next().unwrap() == b"F";
        bytes.extend_from_slice(words.next().unwrap());
        bytes.extend(finished.then_some(b'\n'));
    }
    bytes
}

pub fn signal(pid: u32, number: i32) {
    if let Ok(process) = sys::pidfd::open(pid.cast_signed()) {
        let _ = sys::pidfd::signal(process.as_fd(), number);
    }
}
