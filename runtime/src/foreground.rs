//! `run` and `exec` without `--detach`: stays until the program ends, hands on
//! signals, and plays the terminal's other side when nobody else does.

use crate::error::{Context, Result};
use crate::reaper;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc::{SIGCHLD, SIGURG, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};
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

/// Our own terminal while it belongs to the program's. Nobody is waited for to write: the program may be waiting for
/// what it has written to be read.
struct Relay {
    /// Does not block.
    master: OwnedFd,
    /// Our output; a terminal or pipe of it does not block.
    output: OwnedFd,
    before: Option<Termios>,
    /// Our input has not ended.
    input: bool,
    /// The program has closed its terminal, which it may open again.
    closed: bool,
    /// On the way to the program.
    typed: Vec<u8>,
    /// On the way to our output.
    said: Vec<u8>,
}

/// How often is looked for a terminal that is open again, in milliseconds.
const AGAIN: u8 = 100;
/// As much as a terminal holds of what was written before the program ended, and more.
const PENDING: usize = 256 * 1024;

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
                relay.iter_mut().for_each(|relay| relay.drain(&self.signals));
                return Ok(status);
            }
        }
    }

    fn take_signals(&mut self, pid: i32, relay: Option<&Relay>) -> Result<Option<u8>> {
        loop {
            let signal = self.signals.read_signal().context(|| "take signals".into())?;
            match signal.map(|signal| signal.ssi_signo as i32) {
                no_more @ (None | Some(SIGCHLD)) => {
                    let ended = sys::process::reap_if_ended(pid).context(|| "wait for the program".into())?;
                    if ended.is_some() || no_more.is_none() {
                        return Ok(ended.map(reaper::code));
                    }
                }
                Some(SIGURG) => {}
                Some(SIGWINCH) => relay.into_iter().for_each(Relay::resize),
                // It may have ended just now.
                Some(number) => drop(sys::process::kill(pid, number)),
            }
        }
    }
}

fn wait_for_events(signals: &SignalFd, relay: Option<&Relay>) -> Result<()> {
    let stdin = io::stdin();
    let mut events = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    relay.into_iter().for_each(|relay| relay.events(stdin.as_fd(), &mut events));
    // A terminal that nobody has open is an event all the time.
    let timeout = if relay.is_some_and(|relay| relay.closed) { AGAIN.into() } else { PollTimeout::NONE };
    match poll(&mut events, timeout) {
        Err(Errno::EINTR) => Ok(()),
        result => result.map(drop).context(|| "wait for events".into()),
    }
}

impl Relay {
    fn new(console: OwnedFd) -> Result<Self> {
        let (_, mut sent) = sys::descriptors::receive(console.as_fd(), &mut [0; 4096])
            .context(|| "take the terminal".into())?;
        let master = sent.pop().ok_or_else(|| crate::error::Error::new("no terminal came"))?;
        let flags = OFlag::from_bits_retain(
            fcntl(&master, FcntlArg::F_GETFL).context(|| "take the terminal".into())?,
        );
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))
            .context(|| "take the terminal".into())?;
        let output = own_output().context(|| "open standard output".into())?;
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            // It is ours that makes a new line of a line feed (`perform::Console`).
            raw.output_flags |= OutputFlags::OPOST;
            tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context(|| "make the terminal raw".into())?;
        }
        let (typed, said) = (Vec::new(), Vec::new());
        let relay = Self { master, output, before, input: true, closed: false, typed, said };
        relay.resize();
        Ok(relay)
    }

    fn resize(&self) {
        let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
        let mut own = [input.as_fd(), output.as_fd(), error.as_fd()].into_iter();
        if let Some((rows, columns)) = own.find_map(|one| terminal::size(one).ok()) {
            let _ = terminal::set_size(self.master.as_fd(), rows, columns);
        }
    }

    /// What is waited for: what can be read once the last is handed on, and who takes what is on its way.
    fn events<'a>(&'a self, stdin: BorrowedFd<'a>, all: &mut Vec<PollFd<'a>>) {
        let mut wait =
            |one, flags: PollFlags| all.extend((!flags.is_empty()).then(|| PollFd::new(one, flags)));
        let when = |wanted: bool, flag| if wanted { flag } else { PollFlags::empty() };
        wait(stdin, when(self.input && self.typed.is_empty(), PollFlags::POLLIN));
        wait(self.output.as_fd(), when(!self.said.is_empty(), PollFlags::POLLOUT));
        if !self.closed {
            let read = when(self.said.is_empty(), PollFlags::POLLIN);
            wait(self.master.as_fd(), read | when(!self.typed.is_empty(), PollFlags::POLLOUT));
        }
    }

    /// Hands on what is there, in both directions.
    fn pump(&mut self) {
        let stdin = io::stdin();
        if self.input && self.typed.is_empty() && !ready(stdin.as_fd(), PollFlags::POLLIN).is_empty() {
            self.input = fill(stdin.as_fd(), &mut self.typed);
        }
        flush(self.master.as_fd(), &mut self.typed);
        self.read();
        flush(self.output.as_fd(), &mut self.said);
    }

    /// Takes what the program has said, if the last of it is handed on. Whether there was any.
    fn read(&mut self) -> bool {
        let events = ready(self.master.as_fd(), PollFlags::POLLIN);
        self.closed = events.contains(PollFlags::POLLHUP) && !events.contains(PollFlags::POLLIN);
        if events.contains(PollFlags::POLLHUP) {
            self.typed.clear();
        }
        let is_there = self.said.is_empty() && events.contains(PollFlags::POLLIN);
        is_there && fill(self.master.as_fd(), &mut self.said) && !self.said.is_empty()
    }

    /// What the program said last, unless a signal says not to wait for who reads it. Who has stayed behind may say
    /// more for ever.
    fn drain(&mut self, signals: &SignalFd) {
        let mut left = PENDING;
        loop {
            flush(self.output.as_fd(), &mut self.said);
            if !self.said.is_empty() {
                let output = PollFd::new(self.output.as_fd(), PollFlags::POLLOUT);
                let _ =
                    poll(&mut [output, PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
                if ends_us(signals) {
                    return;
                }
            } else if left == 0 || !self.read() {
                return;
            }
            left = left.saturating_sub(self.said.len());
        }
    }
}

/// Our output, opened anew where it may block, so that others who have it do not find it changed.
fn own_output() -> io::Result<OwnedFd> {
    let stdout = io::stdout();
    let kind = SFlag::from_bits_truncate(fstat(&stdout)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFCHR || kind == SFlag::S_IFIFO {
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        if let Ok(output) = open("/proc/self/fd/1", flags, Mode::empty()) {
            return Ok(output);
        }
    }
    stdout.as_fd().try_clone_to_owned()
}

fn ends_us(signals: &SignalFd) -> bool {
    let mut ends = false;
    while let Ok(Some(signal)) = signals.read_signal() {
        ends |= !matches!(signal.ssi_signo.cast_signed(), SIGCHLD | SIGURG | SIGWINCH);
    }
    ends
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, before);
        }
    }
}

fn ready(descriptor: BorrowedFd<'_>, flags: PollFlags) -> PollFlags {
    let mut events = [PollFd::new(descriptor, flags)];
    let _ = poll(&mut events, PollTimeout::ZERO);
    events[0].revents().unwrap_or(PollFlags::empty())
}

/// Reads a part; false at the end.
fn fill(from: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> bool {
    let mut part = [0; 4096];
    match read(from, &mut part) {
        Ok(length) => {
            buffer.extend(&part[..length]);
            length > 0
        }
        Err(error) => matches!(error, Errno::EAGAIN | Errno::EINTR),
    }
}

/// Writes what is taken now. What nobody will take any more is let go.
fn flush(to: BorrowedFd<'_>, buffer: &mut Vec<u8>) {
    while !buffer.is_empty() && !ready(to, PollFlags::POLLOUT).is_empty() {
        match write(to, buffer) {
            Ok(written) => drop(buffer.drain(..written)),
            Err(Errno::EAGAIN) => return,
            Err(Errno::EINTR) => {}
            Err(_) => buffer.clear(),
        }
    }
}
