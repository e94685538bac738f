//! Why a command could not do what it was asked, and the exit status that says so.

use std::fmt;

/// A line for people and the exit status of the command.
#[derive(Debug)]
pub struct Error {
    /// The action, the object, the cause.
    pub message: String,
    /// 1; of `run` and `exec` 125, 126 or 127, as with Docker.
    pub status: u8,
}

/// The result of a command.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// With exit status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), status: 1 }
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

/// Adds to an error what was being done.
pub trait Context<T> {
    /// `action: cause`
    ///
    /// # Errors
    /// The same one, in words.
    fn context(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(format!("{}: {}", action(), cause(&error.to_string()))))
    }
}

/// The system's words without the number that Rust adds.
fn cause(words: &str) -> String {
    let words = words.split(" (os error ").next().unwrap_or(words);
    let mut letters = words.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_systems_without_its_number() {
        let missing = std::fs::File::open("/nowhere").context(|| "open /nowhere".into()).unwrap_err();
        assert_eq!(missing.message, "open /nowhere: no such file or directory");
        assert_eq!(cause("EOF of the image"), "EOF of the image");
    }
}
