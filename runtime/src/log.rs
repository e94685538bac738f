//! What went wrong, for people on standard error and for callers in the file that
//! `--log` names: containerd reads its last line to tell its user.

use crate::arguments::Globals;
use crate::error::Error;
use serde_json::json;
use spec::timestamp::rfc3339;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// Most letters of an error that are told: a name in config.json may have millions.
const LONGEST: usize = 4096;

/// Where lines go.
#[derive(Debug)]
pub struct Log {
    file: Option<PathBuf>,
    json: bool,
    only: bool,
}

impl Log {
    /// As the command line says.
    pub fn new(globals: &Globals) -> Self {
        Self { file: globals.log.clone(), json: globals.log_json, only: globals.log_only }
    }

    /// The command did not work. Nobody can be told that standard error is full.
    pub fn error(&self, error: &Error) {
        self.line("error", error);
        if !self.only {
            tell("error", error);
        }
    }

    /// The command worked, and something beside it did not: without a file people are told.
    pub fn warn(&self, error: &Error) {
        self.line("warning", error);
        if self.file.is_none() && !self.only {
            tell("warning", error);
        }
    }

    /// A log that cannot be written stops nothing.
    fn line(&self, level: &str, error: &Error) {
        let Some(path) = &self.file else { return };
        let time = rfc3339(SystemTime::now());
        let line = match self.json {
            true => json!({ "level": level, "msg": one_line(error), "time": time }).to_string(),
            false => format!("time={time:?} level={level} msg={:?}", one_line(error)),
        };
        let file = File::options().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}

/// Callers look for the first word, as for that of the peers.
fn tell(level: &str, error: &Error) {
    let _ = writeln!(std::io::stderr(), "skerry-runtime: {level}: {}", one_line(error));
}

/// One line, whatever names are in it: none of them speaks to the user's terminal.
fn one_line(error: &Error) -> String {
    let mut line = String::new();
    for letter in error.0.chars().take(LONGEST) {
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        let error = Error::new("open a\nb\x1b[2J: \u{e4}");
        assert_eq!(one_line(&error), "open a\\nb\\u{1b}[2J: \u{e4}");
        assert_eq!(one_line(&Error("\u{e4}".repeat(9_000_000))).chars().count(), LONGEST);
    }
}
