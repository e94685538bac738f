//! Why a command could not do what it was asked, and the exit status that says so.

use nix::sys::signal::Signal;
use spec::monitor::Code;
use std::fmt;
use std::io;

/// A line for people and the exit status of the command.
#[derive(Debug)]
pub struct Error {
    /// The action, the object, the cause; empty where nothing is to be told.
    pub message: String,
    /// 1; of `run` and `exec` 125, 126 or 127, as with Docker.
    pub status: u8,
    /// What the monitor said of a failure of its own.
    pub code: Option<Code>,
    /// The monitor said that the program could not be run: no container goes on behind this error.
    pub unstarted: bool,
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// With exit status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: 1, code: None, unstarted: false }
    }

    /// Of something that there is none of.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { code: Some(Code::NotFound), ..Self::new(message) }
    }

    /// With another exit status.
    #[must_use]
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What comes of writing to who reads us. That they have gone is told to nobody, and ends us as SIGPIPE ends other
/// programs.
///
/// # Errors
/// That, without words; any other with `to`, what was written to.
pub fn written(done: io::Result<()>, to: &str) -> Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Error::new("").with_status(128 + Signal::SIGPIPE as u8))
        }
        done => done.context(|| format!("write to {to}")),
    }
}

/// The cause of an error in words, as a line names it last.
pub trait Cause {
    /// Such as `permission denied`.
    fn cause(&self) -> String;
}

impl Cause for std::io::Error {
    fn cause(&self) -> String {
        sys::cause::cause(self)
    }
}

impl Cause for nix::errno::Errno {
    fn cause(&self) -> String {
        sys::cause::cause(&(*self).into())
    }
}

impl Cause for serde_json::Error {
    fn cause(&self) -> String {
        self.to_string()
    }
}

impl Cause for spec::monitor::Wrong {
    fn cause(&self) -> String {
        self.to_string()
    }
}

/// Adds to an error what was being done.
pub trait Context<T> {
    /// `action: cause`
    ///
    /// # Errors
    /// The same one, in words.
    fn context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Cause> Context<T> for std::result::Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(format!("{}: {}", action(), error.cause())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_systems_without_its_number() {
        let missing = std::fs::File::open("/nowhere").context(|| "open /nowhere".into()).unwrap_err();
        assert_eq!(missing.message, "open /nowhere: no such file or directory");
        let full: nix::Result<()> = Err(nix::errno::Errno::ENOSPC);
        let words = full.context(|| "write x".into()).unwrap_err().message;
        assert_eq!(words, "write x: no space left on device");
    }
}
