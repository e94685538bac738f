//! What the monitor waits for: one epoll instance, a number for each source.

use crate::log::Stream;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Where an event comes from. Containers, clients and sessions are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signal descriptor.
    Signals,
    /// PID 1 tells of exits.
    Subscription,
    /// The resolver's configuration.
    Resolver,
    /// The kernel log.
    KernelLog,
    /// A new client of the socket.
    Listener,
    /// A client.
    Client(usize),
    /// A container's output pipe.
    Output(usize, Stream),
    /// A container's input takes more.
    Input(usize),
    /// A process that is not our child.
    Adopted(usize),
    /// A session's output pipe.
    SessionOutput(usize, Stream),
    /// A session's input takes more.
    SessionInput(usize),
    /// A session's process that is not our child.
    SessionAdopted(usize),
}

impl Token {
    fn number(self) -> u64 {
        let (kind, index) = match self {
            Self::Signals => (0, 0),
            Self::Subscription => (1, 0),
            Self::Resolver => (2, 0),
            Self::Listener => (3, 0),
            Self::Client(index) => (4, index),
            Self::Output(index, Stream::Out) => (5, index),
            Self::Output(index, Stream::Err) => (6, index),
            Self::Input(index) => (7, index),
            Self::Adopted(index) => (8, index),
            Self::SessionOutput(index, Stream::Out) => (9, index),
            Self::SessionOutput(index, Stream::Err) => (10, index),
            Self::SessionInput(index) => (11, index),
            Self::SessionAdopted(index) => (12, index),
            Self::KernelLog => (13, 0),
        };
        (index as u64) << 4 | kind
    }

    fn of(number: u64) -> Option<Self> {
        let index = usize::try_from(number >> 4).ok()?;
        Some(match number & 15 {
            0 => Self::Signals,
            1 => Self::Subscription,
            2 => Self::Resolver,
            3 => Self::Listener,
            4 => Self::Client(index),
            5 => Self::Output(index, Stream::Out),
            6 => Self::Output(index, Stream::Err),
            7 => Self::Input(index),
            8 => Self::Adopted(index),
            9 => Self::SessionOutput(index, Stream::Out),
            10 => Self::SessionOutput(index, Stream::Err),
            11 => Self::SessionInput(index),
            12 => Self::SessionAdopted(index),
            13 => Self::KernelLog,
            _ => return None,
        })
    }
}

/// The epoll instance (epoll(7)).
#[derive(Debug)]
pub struct Poller(Epoll);

impl Poller {
    /// Waits for nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Tells as long as there is something to read.
    pub fn add(&self, source: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        Ok(self.0.add(source, EpollEvent::new(EpollFlags::EPOLLIN, token.number()))?)
    }

    /// Tells each time that something more is there to read; at once, if
    /// something is. An unfinished line may then stay in its pipe.
    pub fn add_edge(&self, source: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        Ok(self.0.add(source, EpollEvent::new(flags, token.number()))?)
    }

    /// Tells as long as there is something to read, or to be written, as `flags` say.
    pub fn watch(&self, source: BorrowedFd<'_>, token: Token, flags: EpollFlags) -> io::Result<()> {
        let mut event = EpollEvent::new(flags, token.number());
        match self.0.modify(source, &mut event) {
            Err(nix::errno::Errno::ENOENT) => Ok(self.0.add(source, event)?),
            done => Ok(done?),
        }
    }

    /// Tells no more of a source, though others may hold it open.
    pub fn remove(&self, source: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.0.delete(source)?)
    }

    /// Waits for events, at most for this long.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<Vec<Token>> {
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.0.wait(&mut events, timeout(limit)) {
            Err(nix::errno::Errno::EINTR) => 0,
            count => count?,
        };
        Ok(events[..count].iter().filter_map(|event| Token::of(event.data())).collect())
    }
}

/// A millisecond longer than asked for, rather than too short: whatever is due
/// is due when it is over.
fn timeout(limit: Option<Duration>) -> EpollTimeout {
    match limit {
        None => EpollTimeout::NONE,
        Some(Duration::ZERO) => EpollTimeout::ZERO,
        Some(limit) => {
            let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX - 1) + 1;
            EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::NONE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn tokens_come_back_as_they_went() {
        let tokens = [
            Token::Signals,
            Token::Subscription,
            Token::Resolver,
            Token::Listener,
            Token::Client(3),
            Token::Output(0, Stream::Out),
            Token::Output(7, Stream::Err),
            Token::Input(1),
            Token::Adopted(1000),
            Token::SessionOutput(5, Stream::Out),
            Token::SessionOutput(6, Stream::Err),
            Token::SessionInput(2),
            Token::SessionAdopted(usize::MAX >> 4),
        ];
        for token in tokens {
            assert_eq!(Token::of(token.number()), Some(token));
        }
        assert_eq!(Token::of(15), None);
    }

    #[test]
    fn what_is_written_after_an_unread_rest_is_told_again() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"an unfinished").unwrap();
        let poller = Poller::new().unwrap();
        let token = Token::Output(0, Stream::Out);
        poller.add_edge(reader.as_fd(), token).unwrap();
        assert_eq!(poller.wait(None).unwrap(), [token]);
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), []);
        writer.write_all(b" line").unwrap();
        assert_eq!(poller.wait(None).unwrap(), [token]);
    }
}
