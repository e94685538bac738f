//! What a user should know, a line each, on standard output: PID 1 puts it on
//! the console and into the log.

use nix::errno::Errno;
use std::fmt;
use std::io::{self, Write, stdout};

/// Says a line. Nobody listening is no reason to end.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = stdout().write_all(format!("{line}\n").as_bytes());
}

/// Says what could not be done and why; tells whether it could.
pub fn attempt(what: fmt::Arguments<'_>, result: io::Result<()>) -> bool {
    if let Err(error) = &result {
        say(format_args!("{what}: {}", cause(error)));
    }
    result.is_ok()
}

/// An error's words without its number, lower case.
pub fn cause(error: &io::Error) -> String {
    let text = match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    };
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_plain_words() {
        assert_eq!(cause(&io::Error::from_raw_os_error(libc::EPERM)), "operation not permitted");
        assert_eq!(cause(&io::Error::other("No such luck")), "no such luck");
    }
}
