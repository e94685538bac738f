//! What went wrong, as one line: `action object: cause`.
//!
//! Nobody acts on the kind of a failure here: every one undoes what was done and
//! ends up in the log and on standard error, so an error is its text.

use std::fmt;

/// A line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

/// What most functions of this program give.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The cause of an error in words, without its number.
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

impl Cause for lexopt::Error {
    fn cause(&self) -> String {
        self.to_string()
    }
}

impl Cause for Error {
    fn cause(&self) -> String {
        self.0.clone()
    }
}

/// Says what was being done, and to what.
pub trait Context<T> {
    /// `action object: cause`; the words are only made when there is an error.
    ///
    /// # Errors
    /// The same, in words.
    fn context(self, words: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Cause> Context<T> for std::result::Result<T, E> {
    fn context(self, words: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error(format!("{}: {}", words(), error.cause())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_action_object_and_cause() {
        let result = std::fs::read("/no/such").context(|| "read /no/such".to_owned());
        assert_eq!(result.unwrap_err().0, "read /no/such: no such file or directory");
        let result: nix::Result<()> = Err(nix::errno::Errno::EIO);
        assert_eq!(result.context(|| "read disk".to_owned()).unwrap_err().0, "read disk: I/O error");
    }
}
