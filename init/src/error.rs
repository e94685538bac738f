//! What could not be done, in one line: action, object, cause.

use std::fmt;
use std::io;
use sys::cause::cause;

/// A line such as `mount proc on /proc: permission denied`.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(pub String);

/// What a step returns.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Puts action and object before a cause.
pub trait Context<T> {
    /// `doing` is asked for only when something went wrong.
    fn context<S: fmt::Display>(self, doing: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context<S: fmt::Display>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| Error(format!("{}: {}", doing(), cause(&error))))
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context<S: fmt::Display>(self, doing: impl FnOnce() -> S) -> Result<T> {
        self.map_err(io::Error::from).context(doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn an_error_reads_action_object_cause() {
        let error = Err::<(), _>(Errno::EACCES).context(|| "mount proc on /proc").unwrap_err();
        assert_eq!(error.to_string(), "mount proc on /proc: permission denied");
        assert_eq!(cause(&Errno::EIO.into()), "I/O error");
    }
}
