//! A command at a terminal, as a user types it.

use crate::{Failure, Result};
use qemu::Accelerator;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

/// Ctrl-C.
pub const CTRL_C: u8 = 3;

/// A command that runs on a terminal of its own, script(1)'s. Dropping it hangs up.
#[derive(Debug)]
pub struct Terminal {
    script: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Terminal {
    /// Runs a line of shell by `script`, which is script(1) as somebody starts it
    /// somewhere.
    ///
    /// # Errors
    ///
    /// When it is not installed.
    pub fn run(script: &mut Command, line: &str) -> Result<Self> {
        script.args(["-qec", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        // Of these cargo told this program alone: another cargo would build anew what looks at them.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
                script.env_remove(name);
            }
        }
        let mut script = script.spawn()?;
        let output = script.stdout.take().ok_or_else(|| Failure::new("script has no output"))?;
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if tell.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self { script, lines, seen: Vec::new() })
    }

    /// Waits for a line with this text and returns it.
    ///
    /// # Errors
    ///
    /// When none comes in time; everything that was on the screen is in it.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        self.read_until(|line| line.contains(text))?
            .ok_or_else(|| Failure::new(format!("the command ended without {text:?}:\n{}", self.screen())))
    }

    /// Waits for lines with these texts, in whichever order.
    ///
    /// # Errors
    ///
    /// When one does not come in time; everything that was on the screen is in it.
    pub fn wait_for_all(&mut self, texts: &[&str]) -> Result {
        let from = self.seen.len();
        for text in texts {
            if !self.seen[from..].iter().any(|line| line.contains(text)) {
                self.wait_for(text)?;
            }
        }
        Ok(())
    }

    /// Presses a key.
    ///
    /// # Errors
    ///
    /// When the command has ended.
    pub fn press(&mut self, key: u8) -> Result {
        let keys = self.script.stdin.as_mut().ok_or_else(|| Failure::new("script has no input"))?;
        Ok(keys.write_all(&[key]).and_then(|()| keys.flush())?)
    }

    /// Waits for the command's end.
    ///
    /// # Errors
    ///
    /// When it does not come in time.
    pub fn end(&mut self) -> Result<ExitStatus> {
        self.read_until(|_| false)?;
        Ok(self.script.wait()?)
    }

    /// Everything that was on the screen.
    pub fn screen(&self) -> String {
        self.seen.join("\n")
    }

    fn read_until(&mut self, is_it: impl Fn(&str) -> bool) -> Result<Option<String>> {
        let end = Instant::now() + Accelerator::detect().patience();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if is_it(&line) {
                        return Ok(Some(line));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Failure::new(format!("nothing more in time:\n{}", self.screen())));
                }
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended_already = self.script.kill();
        let _status = self.script.wait();
    }
}
