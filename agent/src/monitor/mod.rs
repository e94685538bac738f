//! The monitor, asked without waiting for it: [`spec::monitor`] is the language.
//!
//! | what fails | when | what the caller may do |
//! |---|---|---|
//! | [`Error::Failed`] | the monitor says no | as its code says |
//! | [`Error::Away`] | nobody took the request, for [`PATIENCE`] | ask again, nothing has happened |
//! | [`Error::Gone`] | the monitor was killed while it had the request | look what came of it, then ask again |
//! | [`Error::Language`] | what it said makes no sense | report it |
//!
//! A request that changes nothing, or the same when it comes twice, is asked again here and so
//! never ends in [`Error::Gone`].

mod connection;
mod streams;
#[cfg(test)]
mod tests;

pub use streams::{Event, Streams};

use crate::server::stats::durations::DURATIONS;
use connection::Connection;
use spec::monitor::{Failure, Frame, Kind, Reply, Request, Summary, Wait};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a monitor that is away is looked for: PID 1 starts it again at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Where the monitor is to be found.
#[derive(Clone, Debug)]
pub struct Monitor {
    socket: Arc<PathBuf>,
    patience: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It says no.
    Failed(Failure),
    /// It is not there, for this reason; the request did not reach it.
    Away(String),
    /// It was killed while it had the request, which may have been done or not.
    Gone,
    /// It said something that was not expected.
    Language(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => out.write_str(&failure.message),
            Self::Away(reason) => write!(out, "ask the monitor: {reason}"),
            Self::Gone => out.write_str("ask the monitor: it was killed while it had the request"),
            Self::Language(reason) => write!(out, "the monitor's answer: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// A result of asking.
pub type Result<T> = std::result::Result<T, Error>;

impl Monitor {
    /// The monitor whose socket this is, [`spec::paths::MONITOR_SOCKET`] on a node.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: Arc::new(socket.into()), patience: PATIENCE }
    }

    /// The same, looked for no longer than this when it is away.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks and takes the one answer, which is never [`Reply::Failed`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ask(&self, request: &Request) -> Result<Reply> {
        Ok(self.begin(request).await?.1)
    }

    /// Starts a container; says whether it runs. A monitor that is killed over it may have started it, or does when it is
    /// back.
    ///
    /// # Errors
    /// See [`Error`]; never [`Error::Gone`].
    pub async fn run(&self, id: &str) -> Result<bool> {
        loop {
            let Err(error) = self.ask(&Request::Start { name: id.to_owned() }).await else { return Ok(true) };
            let state = match self.ask(&Request::Inspect { name: id.to_owned() }).await {
                Ok(Reply::Container { summary, .. }) => summary.status.state,
                _ => String::new(),
            };
            match (state.as_str(), error) {
                ("running" | "paused" | "stopping", _) => return Ok(true),
                ("created", Error::Gone) => tokio::time::sleep(PAUSE).await,
                (_, Error::Gone) => return Ok(false),
                (_, error) => return Err(error),
            }
        }
    }

    /// The text of a container's bundle, while there is one, also of one that follows for its length.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn config(&self, id: &str) -> Result<Option<String>> {
        let (mut connection, answer) = self.begin(&Request::Inspect { name: id.to_owned() }).await?;
        let Reply::Container { config, config_follows, .. } = answer else {
            return Err(Error::Language(format!("{answer:?} to \"inspect\"")));
        };
        if !config_follows {
            return Ok(config);
        }
        let mut bytes = Vec::new();
        loop {
            let frame = connection.frame().await?.ok_or(Error::Gone)?;
            if frame.kind == Kind::Output {
                bytes.extend(frame.payload);
            } else if reply(&frame)? == Reply::Done {
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }

    /// Every container, in however many messages they come.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<Vec<Summary>> {
        let end = Instant::now() + self.patience;
        'anew: loop {
            let (mut connection, mut answer) = self.begin(&Request::List).await?;
            let mut all = Vec::new();
            loop {
                let Reply::Containers { containers, more } = answer else {
                    return Err(Error::Language(format!("{answer:?} to \"list\"")));
                };
                all.extend(containers);
                if !more {
                    return Ok(all);
                }
                match connection.frame().await? {
                    Some(frame) => answer = reply(&frame)?,
                    None if Instant::now() >= end => return Err(Error::Away("it went away".into())),
                    None => continue 'anew,
                }
            }
        }
    }

    /// Asks for streams: `logs`, `attach`, `exec`, `resume`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream(&self, request: &Request) -> Result<Streams> {
        match self.begin(request).await? {
            (connection, Reply::Streams { session, tty }) => {
                Ok(Streams::new(self.clone(), connection, session, tty))
            }
            (_, other) => Err(Error::Language(format!("{other:?} in place of streams"))),
        }
    }

    /// Asks for what goes on: `events`, `stats` with `follow`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn replies(&self, request: &Request) -> Result<Replies> {
        Ok(Replies { connection: self.sent(request, Instant::now() + self.patience).await? })
    }

    /// Asks until there is a first answer, and counts how long that took.
    async fn begin(&self, request: &Request) -> Result<(Connection, Reply)> {
        let begun = Instant::now();
        let answer = self.answer(request).await;
        if let Some(operation) = operation(request) {
            DURATIONS.add_operation(operation, begun.elapsed(), answer.is_err());
        }
        answer
    }

    async fn answer(&self, request: &Request) -> Result<(Connection, Reply)> {
        let end = Instant::now() + self.patience;
        loop {
            let mut connection = self.sent(request, end).await?;
            match connection.frame().await? {
                Some(frame) => return Ok((connection, reply(&frame)?)),
                None if !may_come_twice(request) => return Err(Error::Gone),
                None if Instant::now() >= end => return Err(Error::Away("it went away".into())),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// A connection to a monitor that has greeted and been asked.
    async fn sent(&self, request: &Request, end: Instant) -> Result<Connection> {
        loop {
            match Connection::open(&self.socket, request).await {
                Err(Error::Away(_)) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
                result => return result,
            }
        }
    }
}

/// Messages that go on until the monitor, or who listens, leaves.
#[derive(Debug)]
pub struct Replies {
    connection: Connection,
}

impl Replies {
    /// The next message; may be dropped and called again.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Gone`] when the monitor was killed.
    pub async fn next(&mut self) -> Result<Reply> {
        let frame = self.connection.frame().await?.ok_or(Error::Gone)?;
        reply(&frame)
    }
}

/// What a message says; a failure is an error.
fn reply(frame: &Frame) -> Result<Reply> {
    if frame.kind != Kind::Message {
        return Err(Error::Language("a program's output that nobody asked for".into()));
    }
    match serde_json::from_slice(&frame.payload) {
        Ok(Reply::Failed(failure)) => Err(Error::Failed(failure)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(Error::Language(error.to_string())),
    }
}

/// The kubelet's name of what a runtime is asked for, if it has one.
fn operation(request: &Request) -> Option<&'static str> {
    Some(match request {
        Request::List => "list_containers",
        Request::Inspect { .. } => "container_status",
        Request::Create(_) => "create_container",
        Request::Start { .. } => "start_container",
        Request::Stop { .. } => "stop_container",
        Request::Remove { .. } => "remove_container",
        Request::Update(_) => "update_container",
        Request::Exec(_) => "exec",
        Request::Attach { .. } => "attach",
        _ => return None,
    })
}

/// Whether it does no harm that a request is done twice: it only looks, or what it asks for is so
/// already. A container that is started twice may have run twice.
fn may_come_twice(request: &Request) -> bool {
    match request {
        Request::List
        | Request::Inspect { .. }
        | Request::Stop { .. }
        | Request::Logs(_)
        | Request::Resume { .. }
        | Request::Stats { .. }
        | Request::Top { .. }
        | Request::Events { .. }
        | Request::Update(_) => true,
        Request::Wait { condition, .. } => *condition == Wait::NotRunning,
        Request::Attach { start, .. } => !start,
        _ => false,
    }
}
