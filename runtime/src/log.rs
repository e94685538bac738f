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

/// Where lines go.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<PathBuf>,
    json: bool,
}

impl Log {
    /// As the command line says.
    pub fn new(globals: &Globals) -> Self {
        Self { file: globals.log.clone(), json: globals.log_json }
    }

    /// The command did not work.
    pub fn error(&self, error: &Error) {
        self.line("error", error);
        eprintln!("skerry-runtime: {error}");
    }

    /// The command worked, and something beside it did not.
    pub fn warn(&self, error: &Error) {
        self.line("warning", error);
    }

    /// A log that cannot be written stops nothing.
    fn line(&self, level: &str, error: &Error) {
        let Some(path) = &self.file else { return };
        let time = rfc3339(SystemTime::now());
        let line = match self.json {
            true => json!({ "level": level, "msg": error.0, "time": time }).to_string(),
            false => format!("time={time:?} level={level} msg={:?}", error.0),
        };
        let file = File::options().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}
