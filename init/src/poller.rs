//! What the event loop waits for: descriptors, each with a token that says whose it is.

use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::os::fd::AsFd;
use std::time::Duration;

/// Whose descriptor it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// Signals to PID 1.
    Signals,
    /// The control socket.
    Control,
    /// A client of it, by number.
    Client(u32),
    /// A service's output, by its place in the list.
    Output(u32),
    /// A service's ready line.
    Ready(u32),
    /// Devices that come and go.
    Devices,
    /// The power button.
    Button,
    /// The console takes more.
    Console,
}

impl Token {
    fn to_number(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0, 0),
            Self::Control => (1, 0),
            Self::Client(index) => (2, index),
            Self::Output(index) => (3, index),
            Self::Ready(index) => (4, index),
            Self::Devices => (5, 0),
            Self::Button => (6, 0),
            Self::Console => (7, 0),
        };
        kind << 32 | u64::from(index)
    }

    fn from_number(number: u64) -> Option<Self> {
        let index = number as u32;
        Some(match number >> 32 {
            0 => Self::Signals,
            1 => Self::Control,
            2 => Self::Client(index),
            3 => Self::Output(index),
            4 => Self::Ready(index),
            5 => Self::Devices,
            6 => Self::Button,
            7 => Self::Console,
            _ => return None,
        })
    }
}

/// An epoll instance (epoll(7)), level-triggered.
#[derive(Debug)]
pub struct Poller(Epoll);

impl Poller {
    /// One that waits for nothing yet.
    pub fn new() -> Result<Self> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Self).context(|| "create an epoll instance")
    }

    /// Waits for input, too.
    pub fn add(&self, descriptor: impl AsFd, token: Token) -> Result<()> {
        self.add_for(descriptor, token, EpollFlags::EPOLLIN)
    }

    /// Waits until more can be written, too.
    pub fn add_for_output(&self, descriptor: impl AsFd, token: Token) -> Result<()> {
        self.add_for(descriptor, token, EpollFlags::EPOLLOUT)
    }

    fn add_for(&self, descriptor: impl AsFd, token: Token, flags: EpollFlags) -> Result<()> {
        self.0
            .add(descriptor, EpollEvent::new(flags, token.to_number()))
            .context(|| format!("wait for {token:?}"))
    }

    /// Waits for it no more. A descriptor that is closed for good is forgotten by
    /// the kernel anyway.
    pub fn remove(&self, descriptor: impl AsFd) {
        let _ = self.0.delete(descriptor);
    }

    /// What can be read or written, after at most this time.
    pub fn wait(&self, timeout: Option<Duration>) -> Vec<Token> {
        // Rounded up: a deadline that is met too early would be met many times.
        let timeout = timeout.map_or(EpollTimeout::NONE, |time| {
            EpollTimeout::try_from(time.saturating_add(Duration::from_micros(999)))
                .unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); 32];
        match self.0.wait(&mut events, timeout) {
            Ok(count) => {
                events[..count].iter().filter_map(|event| Token::from_number(event.data())).collect()
            }
            Err(Errno::EINTR) => Vec::new(),
            Err(error) => {
                say!("wait for events: {}", sys::cause::cause(&error.into()));
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_reads_back_as_it_was_written() {
        for token in [
            Token::Signals,
            Token::Control,
            Token::Client(u32::MAX),
            Token::Output(3),
            Token::Ready(4),
            Token::Devices,
            Token::Button,
            Token::Console,
        ] {
            assert_eq!(Token::from_number(token.to_number()), Some(token));
        }
        assert_eq!(Token::from_number(99 << 32), None);
    }
}
