//! `run` and `exec` without `--detach`: stays until the program ends, hands on
//! signals, and plays the terminal's other side when nobody else does.

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::libc::{SIGCHLD, SIGURG, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::terminal;

/// Signals are taken from here on; made before the program is, so that none is missed.
#[derive(Debug)]
pub struct Foreground {
    signals: SignalFd,
    /// The other end of the console socket.
    console: Option<OwnedFd>,
}

/// Our own terminal while it belongs to the program's.
struct Relay {
    master: OwnedFd,
    before: Option<Termios>,
    /// Our input has not ended.
    input: bool,
}

impl Foreground {
    /// Takes signals, and terminals over a socket of its own when `terminal`.
    ///
    /// # Errors
    /// Those of signalfd(2) and socketpair(2).
    pub fn new(terminal: bool) -> Result<(Self, Option<OwnedFd>)> {
        let all = SigSet::all();
        all.thread_block().context(|| "take signals".into())?;
        let signals = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context(|| "take signals".into())?;
        if !terminal {
            return Ok((Self { signals, console: None }, None));
        }
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .context(|| "make a console socket".into())?;
        Ok((Self { signals, console: Some(ours) }, Some(theirs)))
    }

    /// Waits for the program's end; returns what a shell would: its exit status, or
    /// 128 and the signal.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait(mut self, pid: i32) -> Result<u8> {
        let mut relay = self.console.take().map(Relay::new).transpose()?;
        loop {
            // Signals that came since `new` are events too.
            wait_for_events(&self.signals, relay.as_ref())?;
            relay.iter_mut().for_each(Relay::pump);
            if let Some(status) = self.take_signals(pid, relay.as_ref())? {
                relay.iter().for_each(Relay::drain);
                return Ok(status);
            }
        }
    }

    fn take_signals(&mut self, pid: i32, relay: Option<&Relay>) -> Result<Option<u8>> {
        while let Some(signal) = self.signals.read_signal().context(|| "take signals".into())? {
            match signal.ssi_signo as i32 {
                SIGCHLD | SIGURG => {}
                SIGWINCH => relay.into_iter().for_each(Relay::resize),
                // It may have ended just now.
                number => drop(sys::process::kill(pid, number)),
            }
        }
        let ended = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG))
            .context(|| "wait for the program".into())?;
        Ok(match ended {
            WaitStatus::Exited(_, status) => Some(status as u8),
            WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32 as u8),
            _ => None,
        })
    }
}

fn wait_for_events(signals: &SignalFd, relay: Option<&Relay>) -> Result<()> {
    let stdin = io::stdin();
    let mut events = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    if let Some(relay) = relay {
        events.push(PollFd::new(relay.master.as_fd(), PollFlags::POLLIN));
        if relay.input {
            events.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
    }
    match poll(&mut events, PollTimeout::NONE) {
        Err(Errno::EINTR) => Ok(()),
        result => result.map(drop).context(|| "wait for events".into()),
    }
}

impl Relay {
    fn new(console: OwnedFd) -> Result<Self> {
        let (_, mut sent) = sys::descriptors::receive(console.as_fd(), &mut [0; 4096])
            .context(|| "take the terminal".into())?;
        let master = sent.pop().ok_or_else(|| crate::error::Error::new("no terminal came"))?;
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context(|| "make the terminal raw".into())?;
        }
        let relay = Self { master, before, input: true };
        relay.resize();
        Ok(relay)
    }

    fn resize(&self) {
        if let Ok((rows, columns)) = terminal::size(io::stdin().as_fd()) {
            let _ = terminal::set_size(self.master.as_fd(), rows, columns);
        }
    }

    /// Hands on what is there, in both directions.
    fn pump(&mut self) {
        let stdin = io::stdin();
        if self.input && is_ready(stdin.as_fd()) {
            self.input = copy(stdin.as_fd(), self.master.as_fd());
        }
        if is_ready(self.master.as_fd()) {
            copy(self.master.as_fd(), io::stdout().as_fd());
        }
    }

    /// What the program said last.
    fn drain(&self) {
        while is_ready(self.master.as_fd()) && copy(self.master.as_fd(), io::stdout().as_fd()) {}
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

fn is_ready(descriptor: BorrowedFd<'_>) -> bool {
    let mut events = [PollFd::new(descriptor, PollFlags::POLLIN)];
    poll(&mut events, PollTimeout::ZERO) == Ok(1) && events[0].any() == Some(true)
}

/// Hands on a part; false at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 4096];
    let Ok(length @ 1..) = read(from, &mut buffer) else { return false };
    let mut left = &buffer[..length];
    while let Ok(written @ 1..) = write(to, left) {
        left = &left[written..];
        if left.is_empty() {
            return true;
        }
    }
    false
}
