//! The terminal that the command was typed on.

use crate::error::{Context, Result};
use nix::sys::termios::{
    InputFlags, LocalFlags, OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr,
};
use spec::monitor::Size;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

/// What a serial line's driver goes by, beside the control flags (uart_set_termios of the kernel).
const LINE: InputFlags = InputFlags::IGNBRK
    .union(InputFlags::BRKINT)
    .union(InputFlags::IGNPAR)
    .union(InputFlags::PARMRK)
    .union(InputFlags::INPCK);

/// Standard input is raw until this is dropped: each key goes to the container as it is.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    /// What the line itself is like stays: a UART that is set up anew drops what has come and was
    /// not read yet.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn new() -> Result<Self> {
        let words = || "make the terminal raw".to_owned();
        let before = tcgetattr(io::stdin().as_fd()).context(words)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        raw.control_flags = before.control_flags;
        raw.input_flags |= before.input_flags & LINE;
        tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &raw).context(words)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}

/// Standard input is as a person expects it, whatever a program that was killed has left behind.
///
/// # Errors
/// It is no terminal.
pub fn sane() -> Result<()> {
    let words = || "set up the terminal".to_owned();
    let mut settings = tcgetattr(io::stdin().as_fd()).context(words)?;
    settings.input_flags |= InputFlags::ICRNL | InputFlags::IXON;
    settings.output_flags |= OutputFlags::OPOST | OutputFlags::ONLCR;
    settings.local_flags |= LocalFlags::ISIG
        | LocalFlags::ICANON
        | LocalFlags::IEXTEN
        | LocalFlags::ECHO
        | LocalFlags::ECHOE
        | LocalFlags::ECHOK;
    tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &settings).context(words)
}

/// What is typed is not shown until this is dropped.
#[derive(Debug)]
pub struct Hidden(Termios);

impl Hidden {
    /// # Errors
    /// Standard input is no terminal.
    pub fn new() -> Result<Self> {
        let words = || "hide what is typed".to_owned();
        let before = tcgetattr(io::stdin().as_fd()).context(words)?;
        let mut hidden = before.clone();
        hidden.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &hidden).context(words)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}

/// Standard input is a terminal.
pub fn is_there() -> bool {
    io::stdin().is_terminal()
}

/// Its size, of whichever of the standard three is a terminal.
pub fn size() -> Option<Size> {
    let of = |result: io::Result<(u16, u16)>| result.ok().filter(|size| *size != (0, 0));
    of(sys::terminal::size(io::stdin().as_fd()))
        .or_else(|| of(sys::terminal::size(io::stdout().as_fd())))
        .map(|(rows, columns)| Size { rows, columns })
}
