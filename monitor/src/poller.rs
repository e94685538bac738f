//! What the monitor waits for: one epoll instance, a number for each source.

use crate::log::Stream;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Where an event comes from. Containers are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The signal descriptor.
    Signals,
    /// PID 1 tells of exits.
    Subscription,
    /// The resolver's configuration.
    Resolver,
    /// A container's output pipe.
    Output(usize, Stream),
    /// A process that is not our child.
    Adopted(usize),
}

impl Token {
    fn number(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::Subscription => 1,
            Self::Resolver => 2,
            Self::Output(index, Stream::Out) => (index as u64 + 1) << 2,
            Self::Output(index, Stream::Err) => (index as u64 + 1) << 2 | 1,
            Self::Adopted(index) => (index as u64 + 1) << 2 | 2,
        }
    }

    fn of(number: u64) -> Option<Self> {
        let index = (number >> 2).checked_sub(1).and_then(|index| usize::try_from(index).ok());
        Some(match (index, number & 3) {
            (None, 0) => Self::Signals,
            (None, 1) => Self::Subscription,
            (None, 2) => Self::Resolver,
            (Some(index), 0) => Self::Output(index, Stream::Out),
            (Some(index), 1) => Self::Output(index, Stream::Err),
            (Some(index), 2) => Self::Adopted(index),
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
            Token::Output(0, Stream::Out),
            Token::Output(7, Stream::Err),
            Token::Adopted(1000),
        ];
        for token in tokens {
            assert_eq!(Token::of(token.number()), Some(token));
        }
        assert_eq!(Token::of(3), None);
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
