//! Why a test ends early.

use std::fmt;

/// What every test returns.
pub type Result<T = ()> = std::result::Result<T, Failure>;

/// A failure in words. The test runner prints it through `Debug`, so that is the
/// same as `Display`.
pub struct Failure(String);

impl Failure {
    /// A failure of these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Every error ends a test. (`Failure` itself is none, or this would overlap with
/// `From<T> for T`.)
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
