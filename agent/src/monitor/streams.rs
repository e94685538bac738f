//! A program's streams, which outlive a monitor: when it is killed they are joined again at the
//! byte where it left. Input that the program had not read is lost then.

use super::connection::{Connection, Happened};
use super::{Error, Monitor, Result, reply};
use spec::monitor::{Code, Frame, Kind, Reply, Request, Size};
use tokio::time::Instant;

/// So much input may wait before no more is taken.
const WAITING: usize = 64 * 1024;

/// Streams that are open.
#[derive(Debug)]
pub struct Streams {
    monitor: Monitor,
    connection: Option<Connection>,
    session: Option<String>,
    tty: bool,
    /// Bytes of output and error that have come.
    received: u64,
    input_ended: bool,
    size: Option<Size>,
}

/// What comes over streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Standard output, or all that a terminal has.
    Output(Vec<u8>),
    /// Standard error.
    Error(Vec<u8>),
    /// Input that waited has gone; [`Streams::takes_input`] may have changed.
    Room,
    /// The program has ended; nothing follows.
    Exited {
        /// 0 to 255.
        status: u8,
        /// Why it could not be run at all.
        error: Option<String>,
    },
    /// There is nothing more, of a log; nothing follows.
    Done,
}

impl Streams {
    pub(super) fn new(monitor: Monitor, connection: Connection, session: Option<String>, tty: bool) -> Self {
        Self {
            monitor,
            connection: Some(connection),
            session,
            tty,
            received: 0,
            input_ended: false,
            size: None,
        }
    }

    /// They come from one terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Whether input is taken now; else [`Event::Room`] will say when.
    #[must_use]
    pub fn takes_input(&self) -> bool {
        !self.input_ended && self.connection.as_ref().is_some_and(|own| own.pending() < WAITING)
    }

    /// Has input sent while [`Streams::next`] waits.
    pub fn input(&mut self, bytes: &[u8]) {
        if let Some(connection) = self.connection.as_mut().filter(|_| !self.input_ended) {
            connection.input(bytes);
        }
    }

    /// There is no more input.
    ///
    /// # Errors
    /// None that is expected.
    pub fn end_input(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.input_ended, true) {
            return Ok(());
        }
        self.connection.as_mut().map_or(Ok(()), |own| own.say(&Request::InputEnded))
    }

    /// The terminal has another size.
    ///
    /// # Errors
    /// None that is expected.
    pub fn resize(&mut self, size: Size) -> Result<()> {
        self.size = Some(size);
        self.connection.as_mut().map_or(Ok(()), |own| own.say(&Request::Resize(size)))
    }

    /// Sends a signal to the program of an `exec`.
    ///
    /// # Errors
    /// None that is expected.
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        self.connection.as_mut().map_or(Ok(()), |own| own.say(&Request::Signal { signal }))
    }

    /// What comes next; may be dropped and called again.
    ///
    /// # Errors
    /// The monitor was killed and the streams could not be joined again.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            let Some(connection) = &mut self.connection else {
                self.resume().await?;
                return Ok(Event::Room);
            };
            match connection.next().await? {
                Happened::Sent => return Ok(Event::Room),
                Happened::Closed => self.connection = None,
                Happened::Frame(frame) => {
                    if let Some(event) = self.take(frame)? {
                        return Ok(event);
                    }
                }
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Result<Option<Event>> {
        let length = frame.payload.len() as u64;
        let event = match frame.kind {
            Kind::Output => Event::Output(frame.payload),
            Kind::Error => Event::Error(frame.payload),
            Kind::Input => return Ok(None),
            Kind::Message => {
                return match reply(&frame)? {
                    Reply::Exited { status, error, .. } => Ok(Some(Event::Exited { status, error })),
                    Reply::Done => Ok(Some(Event::Done)),
                    Reply::Streams { session, .. } => {
                        (self.session, self.received) = (session, 0);
                        Ok(None)
                    }
                    other => Err(Error::Language(format!("{other:?} amid a program's output"))),
                };
            }
        };
        self.received += length;
        Ok(Some(event))
    }

    /// Joins the streams again. A wait that was given up here may have left the monitor in the
    /// belief that somebody has them: that passes.
    async fn resume(&mut self) -> Result<()> {
        let session = self.session.clone().ok_or(Error::Gone)?;
        let request = Request::Resume { session, received: self.received };
        let end = Instant::now() + self.monitor.patience;
        loop {
            match self.monitor.begin(&request).await {
                Ok((connection, Reply::Streams { .. })) => return self.joined(connection),
                Ok((_, other)) => return Err(Error::Language(format!("{other:?} when streams were joined"))),
                Err(Error::Failed(failure)) if failure.code == Code::State && Instant::now() < end => {
                    tokio::time::sleep(super::PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says again what the last monitor may not have heard.
    fn joined(&mut self, mut connection: Connection) -> Result<()> {
        if let Some(size) = self.size {
            connection.say(&Request::Resize(size))?;
        }
        if self.input_ended {
            connection.say(&Request::InputEnded)?;
        }
        self.connection = Some(connection);
        Ok(())
    }
}
