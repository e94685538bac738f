//! What can go wrong: one line that names the action, the object and the cause.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;
use sys::cause::cause;

/// A fault that ends the build. It is printed once, by `main`.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(String);

/// What a step gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A fault in these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }

    /// `ACTION PATH: CAUSE`.
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        Self(format!("{action} {}: {}", path.display(), cause(error)))
    }

    /// The same fault behind the name of what it happened in.
    pub fn within(self, place: impl Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_action_object_and_cause() {
        let full = io::Error::from_raw_os_error(28);
        let error = Error::io("write", Path::new("out/root.erofs"), &full);
        assert_eq!(error.to_string(), "write out/root.erofs: no space left on device");
        let error = Error::new("bad").within("recipe.toml:3:1");
        assert_eq!(error.to_string(), "recipe.toml:3:1: bad");
    }
}
