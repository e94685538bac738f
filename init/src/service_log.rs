//! A service's output: bytes become lines, lines go to a bounded file.
//!
//! `NAME.log` grows to [`LIMIT`], then becomes `NAME.log.1` in place of the one
//! before it. A line that cannot be written (a full disk) is dropped, which is
//! said once.

use crate::clock;
use crate::error::{Context, Result};
use spec::paths;
use std::fs::{self, File, OpenOptions};
use std::io::Write;

/// Greatest log file, in bytes.
const LIMIT: u64 = 1 << 20;
/// A longer line is divided.
const LONGEST_LINE: usize = 4096;

/// Bytes of which no line has come yet.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// Takes what was read, and gives every line that is now whole.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            for piece in part.chunks(LONGEST_LINE) {
                if self.0.len() + piece.len() > LONGEST_LINE {
                    lines.extend(self.finish());
                }
                self.0.extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.0.pop();
                lines.extend(self.finish().or(Some(String::new())));
            }
        }
        lines
    }

    /// The last line, when it had no end.
    pub fn finish(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.0);
        (!bytes.is_empty()).then(|| plain(&bytes))
    }
}

/// Text that cannot steer a terminal.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end_matches('\r')
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

/// The file of one service, opened with its first line.
#[derive(Debug)]
pub struct Log {
    path: String,
    file: Option<(File, u64)>,
    dropping: bool,
}

impl Log {
    /// The log of the service of this name.
    pub fn new(name: &str) -> Self {
        Self { path: format!("{}/services/{name}.log", paths::LOG), file: None, dropping: false }
    }

    /// Appends a line with the time.
    pub fn write(&mut self, line: &str) {
        match self.append(line) {
            Ok(()) => self.dropping = false,
            Err(error) if !self.dropping => {
                say!("{error}; its lines are dropped until they can be written");
                (self.dropping, self.file) = (true, None);
            }
            Err(_) => self.file = None,
        }
    }

    /// Lets go of the file, so that its file system can be unmounted.
    pub fn close(&mut self) {
        self.file = None;
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let text = format!("{} {line}\n", clock::stamp());
        let doing = || format!("write {}", self.path);
        if self.file.as_ref().is_some_and(|(_, size)| size + text.len() as u64 > LIMIT) {
            self.file = None;
            fs::rename(&self.path, format!("{}.1", self.path)).context(doing)?;
        }
        if self.file.is_none() {
            self.file = Some(open(&self.path).context(doing)?);
        }
        if let Some((file, size)) = &mut self.file {
            file.write_all(text.as_bytes()).context(doing)?;
            *size += text.len() as u64;
        }
        Ok(())
    }
}

fn open(path: &str) -> std::io::Result<(File, u64)> {
    if let Some((folder, _)) = path.rsplit_once('/') {
        fs::create_dir_all(folder)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines_wherever_they_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"on"), [""; 0]);
        assert_eq!(lines.push(b"e\n\ntwo\r\nth"), ["one", "", "two"]);
        assert_eq!(lines.finish().as_deref(), Some("th"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn an_endless_line_is_divided_and_controls_are_shown_harmless() {
        let mut lines = Lines::default();
        let pieces = lines.push(&[b'x'; 2 * LONGEST_LINE + 1]);
        assert_eq!(pieces.iter().map(String::len).collect::<Vec<_>>(), [LONGEST_LINE, LONGEST_LINE]);
        assert_eq!(lines.finish().as_deref(), Some("x"));
        assert_eq!(lines.push(b"\x1b[2J\xff\t\n"), ["\u{fffd}[2J\u{fffd}\t"]);
    }

    #[test]
    fn a_log_is_turned_over_at_its_limit() {
        let folder = std::env::temp_dir().join(format!("skerry-log-{}", std::process::id()));
        let path = folder.join("x.log").to_string_lossy().into_owned();
        let mut log = Log { path: path.clone(), file: None, dropping: false };
        let line = "y".repeat(1000);
        for _ in 0..LIMIT / 1000 + 1 {
            log.write(&line);
        }
        let size = |path: &str| fs::metadata(path).unwrap().len();
        assert!(size(&format!("{path}.1")) <= LIMIT);
        assert!(size(&path) < LIMIT / 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
