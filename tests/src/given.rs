//! Numbers that somebody gives to tests.

use crate::{Failure, Result};

/// The number in this environment variable, if there is one.
///
/// # Errors
///
/// When what is there is no number.
pub fn given(variable: &str) -> Result<Option<u64>> {
    let read = |text: String| {
        let number = text.parse::<u64>();
        number.map_err(|_| Failure::new(format!("{variable}={text} is no number")))
    };
    std::env::var(variable).ok().map(read).transpose()
}
