//! What a user should know, a line each, on standard output: PID 1 puts it on the console and into
//! the log, with the agent's name before it.

use std::fmt;
use std::io::{Write, stdout};

/// Says a line. Nobody listening is no reason to end.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = stdout().write_all(format!("{line}\n").as_bytes());
}

/// Says what goes wrong again and again once, until it is something else or is over.
#[derive(Debug, Default)]
pub struct Trouble {
    last: Option<String>,
}

impl Trouble {
    /// Takes how an attempt came out; gives what it made, if it worked.
    pub fn of<T>(&mut self, what: &str, result: Result<T, String>) -> Option<T> {
        match result {
            Ok(made) => {
                if self.last.take().is_some() {
                    say(format_args!("{what}: works again"));
                }
                Some(made)
            }
            Err(reason) => {
                if self.last.as_ref() != Some(&reason) {
                    say(format_args!("{what}: {reason}"));
                    self.last = Some(reason);
                }
                None
            }
        }
    }
}
