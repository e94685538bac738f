//! The descriptors that are awaited, and what each is there for.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How many events are taken at once.
const AT_ONCE: usize = 64;

/// An epoll set whose members are told apart by a value each.
#[derive(Debug)]
pub struct Poller<T> {
    epoll: Epoll,
    members: BTreeMap<u64, T>,
    next: u64,
}

impl<T: Copy> Poller<T> {
    /// A set without members.
    ///
    /// # Errors
    /// As epoll_create1(2) has them.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, members: BTreeMap::new(), next: 0 })
    }

    /// A number that was not given yet.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Awaits a descriptor; the kernel forgets it when it is closed.
    ///
    /// # Errors
    /// As epoll_ctl(2) has them.
    pub fn add(&mut self, member: T, descriptor: BorrowedFd<'_>, flags: EpollFlags) -> io::Result<()> {
        let number = self.number();
        self.epoll.add(descriptor, EpollEvent::new(flags, number))?;
        self.members.insert(number, member);
        Ok(())
    }

    /// Forgets members that were closed.
    pub fn forget(&mut self, gone: impl Fn(&T) -> bool) {
        self.members.retain(|_, member| !gone(member));
    }

    /// No longer awaits a descriptor that stays open.
    pub fn release(&self, descriptor: BorrowedFd<'_>) {
        let _ = self.epoll.delete(descriptor);
    }

    /// The members that are ready, without waiting; by number, because handling one may
    /// close another.
    pub fn ready(&self) -> Vec<u64> {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        events[..count].iter().map(EpollEvent::data).collect()
    }

    /// The member of a number, if it is still one.
    pub fn member(&self, number: u64) -> Option<T> {
        self.members.get(&number).copied()
    }
}

impl<T> AsFd for Poller<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
