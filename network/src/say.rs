//! What a user should know, a line each, on standard output: PID 1 puts it on
//! the console and into the log.

use std::fmt;
use std::io::{self, Write, stdout};
use sys::cause::cause;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_plain_words() {
        assert_eq!(cause(&io::Error::from_raw_os_error(libc::EPERM)), "operation not permitted");
        assert_eq!(cause(&io::Error::other("No such luck")), "no such luck");
    }
}
