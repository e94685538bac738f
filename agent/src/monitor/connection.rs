//! One connection to the monitor: frames in, bytes out. Every wait here may be given up in the
//! middle and begun again; nothing is lost by it.

use super::{Error, Result};
use serde::Serialize;
use spec::monitor::{Frame, Hello, Kind, Reader, Request, VERSION};
use std::io;
use std::path::Path;
use std::time::Duration;
use sys::cause::cause;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// How long a monitor may take to greet: it does so at once, unless it stands still.
const GREETING: Duration = Duration::from_secs(30);

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    reader: Reader,
    /// What is to be sent.
    pending: Vec<u8>,
    closed: bool,
}

/// What happened first.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// A frame came.
    Frame(Frame),
    /// All that was to be sent is sent.
    Sent,
    /// The monitor went away.
    Closed,
}

impl Connection {
    /// Connects, exchanges greetings and sends a request.
    pub async fn open(socket: &Path, request: &Request) -> Result<Self> {
        let silent = |_| Error::Away(format!("{}: no greeting within {GREETING:?}", socket.display()));
        let mut connection = timeout(GREETING, Self::greet(socket)).await.map_err(silent)??;
        // Whether a request that was cut off here arrived is not known: the next read says so.
        connection.closed = connection.stream.write_all(&message(request)?).await.is_err();
        Ok(connection)
    }

    async fn greet(socket: &Path) -> Result<Self> {
        let away = |error: io::Error| Error::Away(format!("{}: {}", socket.display(), cause(&error)));
        let mut stream = UnixStream::connect(socket).await.map_err(away)?;
        let program = concat!("skerry-agent ", env!("CARGO_PKG_VERSION")).to_owned();
        stream.write_all(&message(&Hello { version: VERSION, program })?).await.map_err(away)?;
        let mut connection = Self { stream, reader: Reader::default(), pending: Vec::new(), closed: false };
        let Some(frame) = connection.frame().await? else {
            return Err(Error::Away("it went away".into()));
        };
        if !serde_json::from_slice::<Hello>(&frame.payload).is_ok_and(|hello| hello.version == VERSION) {
            let other = super::reply(&frame)?;
            return Err(Error::Language(format!("{other:?} as a greeting")));
        }
        Ok(connection)
    }

    /// The next frame; none when the monitor went away.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        loop {
            match self.next().await? {
                Happened::Frame(frame) => return Ok(Some(frame)),
                Happened::Closed => return Ok(None),
                Happened::Sent => {}
            }
        }
    }

    /// Waits for what happens next, and sends what is to be sent meanwhile.
    pub async fn next(&mut self) -> Result<Happened> {
        loop {
            if let Some(frame) = self.reader.frame().map_err(|wrong| Error::Language(wrong.to_string()))? {
                return Ok(Happened::Frame(frame));
            }
            if self.closed {
                return Ok(Happened::Closed);
            }
            let interest = match self.pending.is_empty() {
                true => Interest::READABLE,
                false => Interest::READABLE | Interest::WRITABLE,
            };
            let Ok(ready) = self.stream.ready(interest).await else {
                self.closed = true;
                continue;
            };
            if ready.is_readable() {
                self.fill();
            }
            if ready.is_writable() && !self.pending.is_empty() && self.flush() {
                return Ok(Happened::Sent);
            }
        }
    }

    /// Has a message sent by the waits that follow.
    pub fn say(&mut self, request: &Request) -> Result<()> {
        self.pending.extend(message(request)?);
        Ok(())
    }

    /// Has a program's input sent by the waits that follow.
    pub fn input(&mut self, bytes: &[u8]) {
        self.pending.extend(Frame::encode(Kind::Input, bytes));
    }

    /// How much is still to be sent.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Reads what is there.
    fn fill(&mut self) {
        let mut bytes = [0; PIECE];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => self.closed = true,
            Ok(length) => self.reader.push(&bytes[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }

    /// Writes what is taken; says whether that was all. A monitor that takes nothing any more has
    /// still said what there is to read.
    fn flush(&mut self) -> bool {
        match self.stream.try_write(&self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pending.clear(),
        }
        self.pending.is_empty()
    }
}

fn message(message: &impl Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_vec(message).map_err(|error| Error::Language(error.to_string()))?;
    Ok(Frame::encode(Kind::Message, &text))
}
