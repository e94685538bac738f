//! `--init`: the first process of a container whose program does not look after children that
//! are not its own.
//!
//! The monitor binds this program into the container as [`NAME`] and runs `/dev/init -- PROGRAM …`. It runs
//! the program as its child, hands it every signal, reaps whatever comes to it, and ends as the program
//! did, with which the kernel ends the rest. The program has the terminal: it is in the
//! foreground, in a process group of its own.

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, execvp, getpid, setpgid, tcsetpgrp};
use std::ffi::{CString, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStringExt;
use sys::cause::cause;
use sys::fork::{exit_now, fork};
use sys::process::{kill, peek_ended, reap};

/// What it is called in a container.
pub const NAME: &str = "/dev/init";

const CANNOT: u8 = 125;

/// Runs the program of the command line; gives the exit status. `None` when this is not what was
/// called.
pub fn run_if_called() -> Option<u8> {
    let mut words = std::env::args_os();
    if words.next()? != NAME {
        return None;
    }
    let argv = words.skip_while(|word| word == "--").map(OsString::into_vec).map(CString::new).collect();
    let told = |reason: String| {
        eprintln!("{NAME}: {reason}");
        CANNOT
    };
    Some(match argv {
        Ok(argv) => run(argv).unwrap_or_else(|error| told(format!("start a program: {}", cause(&error)))),
        Err(_) => told("a zero byte in an argument".to_owned()),
    })
}

fn run(argv: Vec<CString>) -> io::Result<u8> {
    if argv.is_empty() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // A blocked signal reaches the first process of a PID namespace, too.
    let all = SigSet::all();
    all.thread_set_mask()?;
    let signals = SignalFd::new(&all)?;
    set_child_subreaper(true)?;
    let Some(child) = fork(0, None)? else { become_the_program(&argv) };
    loop {
        let Some(signal) = signals.read_signal()? else { continue };
        match signal.ssi_signo.cast_signed() {
            nix::libc::SIGCHLD => {
                if let Some(status) = reap_all(child) {
                    return Ok(status);
                }
            }
            // It may be gone by now, which the next signal tells.
            number => drop(kill(child, number)),
        }
    }
}

/// Reaps whoever has ended; gives the child's exit status if it is among them.
fn reap_all(child: i32) -> Option<u8> {
    let mut status = None;
    while let Some(ended) = peek_ended() {
        reap(ended.pid);
        if ended.pid == child {
            status = Some(code(ended.status));
        }
    }
    status
}

/// As a shell tells it.
pub fn code(status: i32) -> u8 {
    let number = match nix::libc::WIFSIGNALED(status) {
        true => 128 + nix::libc::WTERMSIG(status),
        false => nix::libc::WEXITSTATUS(status),
    };
    (number & 0xff) as u8
}

fn become_the_program(argv: &[CString]) -> ! {
    let input = io::stdin();
    // Every signal is blocked, so nobody is stopped for writing to the terminal's state.
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    if input.is_terminal() {
        let _ = tcsetpgrp(&input, getpid());
    }
    let _ = SigSet::empty().thread_set_mask();
    let Err(error) = execvp(&argv[0], argv);
    let error = io::Error::from(error);
    eprintln!("{NAME}: exec {:?}: {}", argv[0], cause(&error));
    exit_now(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_a_shells_number() {
        assert_eq!((code(3 << 8), code(9), code(255 << 8), code(64)), (3, 137, 255, 192));
    }
}
