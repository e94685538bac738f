//! The terminal: whom it sends Ctrl-C to and, in `--interactive`, keys one by one.
//!
//! make(1) and its like end with an error when Ctrl-C reaches them, so a run puts
//! itself alone in the foreground ([`Foreground`]).
//!
//! The settings that keys one by one need ([`Keys`]) are taken back in the end,
//! whatever that end is: a small shell waits for the end of a pipe that only this process holds, and
//! then restores them, after a clean end, a panic and SIGKILL alike.

use nix::unistd::{Pid, getpgrp, setpgid, tcgetpgrp, tcsetpgrp};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Waits for its standard input to end, then gives the terminal, which is its
/// standard output, the settings in `$0`. A process of the background may only do
/// so when it ignores SIGTTOU (tcsetattr(3)).
const RESTORE: &str = r#"trap '' TTOU INT TERM HUP QUIT; cat >/dev/null; stty "$0" 0<&1"#;

/// The terminal's foreground, which goes back to who had it when dropped.
///
/// The caller has blocked SIGTTOU and SIGTSTP: giving the terminal back is done
/// from the background, and a stop by Ctrl-Z would leave a terminal that nobody
/// reads.
pub struct Foreground {
    before: Option<Pid>,
}

impl Foreground {
    /// Takes the foreground of the terminal on standard input, if it is one and
    /// this process is part of its foreground; else changes nothing.
    pub fn take() -> Self {
        let own = Pid::from_raw(0);
        let before = tcgetpgrp(io::stdin()).ok().filter(|&group| group == getpgrp());
        let taken =
            before.is_some() && setpgid(own, own).is_ok() && tcsetpgrp(io::stdin(), getpgrp()).is_ok();
        Self { before: before.filter(|_| taken) }
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _terminal_gone = tcsetpgrp(io::stdin(), before);
        }
    }
}

/// A terminal whose keys come one by one; dropping it restores its settings.
pub struct Keys {
    restorer: Child,
}

impl Keys {
    /// Takes the terminal on standard input.
    pub fn take() -> Result<Self, String> {
        if !io::stdin().is_terminal() {
            return Err("--interactive needs a terminal on standard input".into());
        }
        let settings = stty(&["-g"])?;
        let terminal = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|cause| format!("duplicate standard input: {}", qemu::words(&cause)))?;
        let restorer = Command::new("sh")
            .args(["-c", RESTORE, settings.trim()])
            .stdin(Stdio::piped())
            .stdout(terminal)
            .process_group(0)
            .spawn()
            .map_err(|cause| format!("run sh: {}", qemu::words(&cause)))?;
        let keys = Self { restorer };
        stty(&["-icanon", "-echo", "-isig", "-iexten", "-ixon", "-icrnl", "min", "1", "time", "0"])?;
        Ok(keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        drop(self.restorer.stdin.take());
        let _ended = self.restorer.wait();
    }
}

fn stty(words: &[&str]) -> Result<String, String> {
    let output = Command::new("stty")
        .args(words)
        .stdin(Stdio::inherit())
        .output()
        .map_err(|cause| format!("run stty: {}", qemu::words(&cause)))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("set the terminal: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
