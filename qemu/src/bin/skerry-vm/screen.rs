//! Standard output: the node's console, and now and then a line of ours.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// Keeps our lines from beginning in the middle of one of the node's.
pub struct Screen {
    /// Whether the last line is still open.
    open: Mutex<bool>,
}

impl Screen {
    pub fn new() -> Self {
        Self { open: Mutex::new(false) }
    }

    /// Shows what came from the node.
    pub fn show(&self, bytes: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        *open = bytes.last().is_some_and(|&byte| byte != b'\n');
        out.flush()
    }

    /// Shows a line of ours. Whoever reads no more is no reason to stop here.
    pub fn line(&self, text: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if *open { "\r\n" } else { "" };
        *open = false;
        let _nobody_reads = write!(io::stdout(), "{before}{text}\r\n").and_then(|()| io::stdout().flush());
    }
}
