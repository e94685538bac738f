//! A program of the control plane, which ends with this process at the latest.

use super::namespace::Namespace;
use crate::Result;
use qemu::Process;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How many lines of a log are shown.
const SHOWN: usize = 10;

/// A running program and its log; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Program {
    process: Process,
    log: PathBuf,
}

impl Program {
    /// Runs `file` in the namespace with a log, which is appended to, in `folder`.
    pub fn start(namespace: &Namespace, file: &Path, arguments: &[String], folder: &Path) -> Result<Self> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = namespace.owned(&file.display().to_string());
        command.args(arguments).stdout(output.try_clone()?).stderr(output);
        Ok(Self { process: Process::spawn(command)?, log })
    }

    /// Whether it has ended.
    pub fn ended(&self) -> bool {
        self.process.wait(std::time::Duration::ZERO).is_some()
    }

    /// The last lines of its log, under its name.
    pub fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        let last: String = last.iter().flat_map(|line| line.chars().take(200).chain(['\n'])).collect();
        format!("--- {} ---\n{last}", self.log.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.end();
    }
}
