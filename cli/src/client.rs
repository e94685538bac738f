//! A connection to the monitor: one request each (see [`spec::monitor`]).

use crate::error::{Context, Error, Result};
use crate::keeper;
use serde::Serialize;
use spec::monitor::{Code, Failure, Frame, Happening, Hello, Kind, Reader, Reply, Request, VERSION};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long, and how often, a monitor that went away is looked for.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// How long a monitor may take to greet: it does so at once, unless it stands still.
const GREETING: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// How long a monitor that is told something is waited for.
const TOLD: Duration = Duration::from_secs(2);

const SET_UP: &str = "set up the monitor's socket";

/// A connection.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    reader: Reader,
}

impl Client {
    /// Connects, to a monitor that is started for it if need be, and asks.
    ///
    /// # Errors
    /// There is no monitor; it speaks another version.
    pub fn ask(socket: &Path, request: &Request) -> Result<Self> {
        Self::over(keeper::connect(socket)?, request, GREETING)
    }

    /// Asks a monitor that is there.
    ///
    /// # Errors
    /// There is none; it speaks another version.
    pub fn ask_there(socket: &Path, request: &Request) -> Result<Self> {
        let stream = keeper::reach(socket).context(|| format!("connect to {}", socket.display()))?;
        Self::over(stream, request, GREETING)
    }

    /// Tells a monitor that is there, if it wants to know, what was done without it.
    pub fn tell(socket: &Path, what: Happening) {
        let told = |stream: UnixStream| {
            // What was done is done, whatever keeps the monitor from hearing of it.
            stream.set_write_timeout(Some(TOLD)).context(|| SET_UP.into())?;
            Self::over(stream, &Request::Tell(Box::new(what)), TOLD)?.next_within(TOLD)
        };
        // Nobody follows events where there is none, and an older one knows of containers alone.
        let _ = keeper::reach(socket).map(told);
    }

    /// Connects, and asks for nothing yet.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn connect(socket: &Path) -> Result<Self> {
        let mut client = Self { stream: keeper::connect(socket)?, reader: Reader::default() };
        let sent = client.send(&Self::hello());
        client.greeting(GREETING)?;
        sent.map(|()| client)
    }

    /// What a monitor that is there calls itself, `skerry-monitor 1.2.3`; none: there is none.
    pub fn program(socket: &Path) -> Option<String> {
        let mut client = Self { stream: keeper::reach(socket).ok()?, reader: Reader::default() };
        client.send(&Self::hello()).ok()?;
        let hello: Hello = serde_json::from_slice(&client.next_within(TOLD).ok()??.payload).ok()?;
        Some(hello.program)
    }

    fn hello() -> Hello {
        Hello { version: VERSION, program: concat!("skerry ", env!("CARGO_PKG_VERSION")).to_owned() }
    }

    fn over(stream: UnixStream, request: &Request, greeting: Duration) -> Result<Self> {
        let mut client = Self { stream, reader: Reader::default() };
        let sent = client.send(&Self::hello()).and_then(|()| client.send(request));
        // One that refuses us says why before it closes.
        client.greeting(greeting)?;
        sent?;
        Ok(client)
    }

    /// Asks and takes the one answer.
    ///
    /// # Errors
    /// What the monitor says, or that it went away.
    pub fn answer(socket: &Path, request: &Request) -> Result<Reply> {
        Self::ask(socket, request)?.reply()
    }

    /// Asks a monitor that was killed a moment ago, and may be once more, until one answers.
    ///
    /// # Errors
    /// What the monitor says; none answers within [`PATIENCE`].
    pub fn insist(socket: &Path, request: &Request) -> Result<(Self, Reply)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = Self::ask(socket, request).and_then(|mut client| Ok((client.next()?, client)));
            match asked {
                Ok((Some(Frame { payload, .. }), client)) => return Ok((client, reply(&payload)?)),
                Ok((None, _)) if Instant::now() >= end => return Err(gone()),
                Err(error) if Instant::now() >= end => return Err(error),
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The monitor went away.
    pub fn send(&mut self, message: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec(message).context(|| "write a request".into())?;
        self.stream.write_all(&Frame::encode(Kind::Message, &text)).map_err(|_| gone())
    }

    /// From now on nothing waits: [`Self::offer`] writes what there is room for, and [`Self::fill`] reads what is
    /// there.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn nonblocking(&self) -> Result<()> {
        self.stream.set_nonblocking(true).context(|| SET_UP.into())
    }

    /// Writes of some bytes as many as there is room for.
    ///
    /// # Errors
    /// There is none (`WouldBlock`); the monitor went away.
    pub fn offer(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    /// The next message, when nothing else can come.
    ///
    /// # Errors
    /// [`Reply::Failed`] as an error; the monitor went away.
    pub fn reply(&mut self) -> Result<Reply> {
        while let Some(frame) = self.next()? {
            if let Some(reply) = heard(message(&frame)?) {
                return Ok(reply);
            }
        }
        Err(gone())
    }

    /// The same of what has come by now; none: it is still to come.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub fn reply_that_came(&mut self) -> Result<Option<Reply>> {
        while let Some(frame) = self.buffered()? {
            if let Some(reply) = heard(message(&frame)?) {
                return Ok(Some(reply));
            }
        }
        Ok(None)
    }

    /// The same of a request that does no harm when it is asked twice: of the next monitor, when this one is killed.
    ///
    /// # Errors
    /// [`Reply::Failed`] as an error; there is no next monitor.
    pub fn reply_or_ask_again(&mut self, socket: &Path, request: &Request) -> Result<Reply> {
        loop {
            while let Some(frame) = self.next()? {
                if let Some(reply) = heard(message(&frame)?) {
                    return Ok(reply);
                }
            }
            let said;
            (*self, said) = Self::insist(socket, request)?;
            if let Some(reply) = heard(said) {
                return Ok(reply);
            }
        }
    }

    /// The text that follows an answer, up to its end.
    ///
    /// # Errors
    /// What the monitor says in its place; the monitor went away.
    pub fn rest(&mut self) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.next()? {
            if frame.kind == Kind::Output {
                bytes.extend(frame.payload);
            } else if heard(message(&frame)?) == Some(Reply::Done) {
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Err(gone())
    }

    /// The next frame; none when the monitor went away.
    ///
    /// # Errors
    /// What comes is no frame.
    pub fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(Some(frame));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The same of a monitor that has it at hand.
    fn next_within(&mut self, limit: Duration) -> Result<Option<Frame>> {
        let end = Instant::now() + limit;
        self.stream.set_read_timeout(Some(limit)).context(|| SET_UP.into())?;
        let mut open = true;
        let frame = loop {
            match self.buffered()? {
                None if open && Instant::now() < end => open = self.fill()?,
                None if open => {
                    return Err(Error::new(format!("the monitor does not answer within {limit:?}")));
                }
                frame => break frame,
            }
        };
        self.stream.set_read_timeout(None).context(|| SET_UP.into())?;
        Ok(frame)
    }

    /// A frame that has come already.
    ///
    /// # Errors
    /// What came is no frame.
    pub fn buffered(&mut self) -> Result<Option<Frame>> {
        self.reader.frame().context(|| "the monitor's answer".into())
    }

    /// Reads what is there, and waits for it; false when the monitor went away.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn fill(&mut self) -> Result<bool> {
        let mut bytes = [0; 1 << 16];
        match self.stream.read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.reader.push(&bytes[..length]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => Ok(true),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(error).context(|| "read the monitor's answer".into()),
        }
    }

    fn greeting(&mut self, limit: Duration) -> Result<()> {
        let Some(Frame { payload, .. }) = self.next_within(limit)? else { return Err(gone()) };
        if serde_json::from_slice::<Hello>(&payload).is_ok_and(|hello| hello.version == VERSION) {
            return Ok(());
        }
        let other = reply(&payload)?;
        Err(Error::new(format!("the monitor greeted with {other:?}")))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Reads a message; a failure is an error.
///
/// # Errors
/// It says that something failed, or is none.
pub fn reply(payload: &[u8]) -> Result<Reply> {
    match serde_json::from_slice(payload).context(|| "the monitor's answer".into())? {
        Reply::Failed(Failure { code, message }) => {
            Err(Error { message, status: status(code), code: Some(code), unstarted: false })
        }
        reply => Ok(reply),
    }
}

fn message(frame: &Frame) -> Result<Reply> {
    match frame.kind {
        Kind::Message => reply(&frame.payload),
        _ => Err(Error::new("the monitor sent a program's output that nobody asked for")),
    }
}

/// What is an answer; a warning is told, and is none.
fn heard(reply: Reply) -> Option<Reply> {
    match reply {
        Reply::Warning { text } => {
            eprintln!("skerry: {text}");
            None
        }
        reply => Some(reply),
    }
}

fn status(code: Code) -> u8 {
    match code {
        Code::NoProgram => 127,
        Code::NotExecutable => 126,
        _ => 1,
    }
}

/// Another monitor is not the one that was asked.
pub fn gone() -> Error {
    Error::new("the monitor went away; it comes back by itself, ask again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};

    #[test]
    fn an_answer_comes_after_the_greeting() {
        let answer = with_monitor(&[&[HELLO, r#"{"reply":"done"}"#]], |socket| {
            Client::answer(socket, &Request::Start { name: "web".into() })
        });
        assert_eq!(answer.unwrap(), Reply::Done);
    }

    #[test]
    fn a_monitor_says_what_it_is() {
        assert_eq!(with_monitor(&[&[HELLO]], Client::program), Some("test".to_owned()));
        assert_eq!(Client::program(Path::new("/nowhere/socket")), None);
    }

    #[test]
    fn a_failure_is_an_error_with_the_monitors_words() {
        let failed =
            r#"{"reply":"failed","code":"no-program","message":"container \"web\": no such program"}"#;
        let error =
            with_monitor(&[&[HELLO, failed]], |socket| Client::answer(socket, &Request::List)).unwrap_err();
        assert_eq!((error.message.as_str(), error.status), ("container \"web\": no such program", 127));
    }

    #[test]
    fn a_monitor_that_stands_still_is_not_waited_for() {
        let socket = std::env::temp_dir().join(format!("skerry-still-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = Client::answer(&socket, &Request::List).unwrap_err();
        assert_eq!(error.message, "the monitor does not answer within 1s");
        let begun = Instant::now();
        let what = Happening {
            object: spec::monitor::Object::Image,
            id: "a".to_owned(),
            action: "pull".to_owned(),
            attributes: Default::default(),
        };
        Client::tell(&socket, what);
        assert_eq!(Client::program(&socket), None);
        assert!(begun.elapsed() < 5 * TOLD, "{:?}", begun.elapsed());
        std::fs::remove_file(&socket).unwrap();
        drop(listener);
    }

    #[test]
    fn another_version_and_a_sudden_end_are_told() {
        let refused = r#"{"reply":"failed","code":"version","message":"this monitor speaks version 2"}"#;
        let error = with_monitor(&[&[refused]], |socket| Client::answer(socket, &Request::List)).unwrap_err();
        assert_eq!(error.message, "this monitor speaks version 2");
        let error = with_monitor(&[&[HELLO]], |socket| Client::answer(socket, &Request::List)).unwrap_err();
        assert!(error.message.starts_with("the monitor went away"), "{error}");
        let error = Client::answer(Path::new("/nowhere/socket"), &Request::List).unwrap_err();
        assert_eq!(
            error.message,
            "no monitor runs here: connect to /nowhere/socket: no such file or directory"
        );
    }
}
