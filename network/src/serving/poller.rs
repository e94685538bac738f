//! The descriptors that are awaited, and what each is there for.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How many events are taken at once.
const AT_ONCE: usize = 64;

/// An epoll set whose members are told apart by a value each.
#[derive(Debug)]
pub struct Poller<T> {
    epoll: Epoll,
    members: BTreeMap<u64, T>,
    /// The members' numbers: one has as many as it has descriptors.
    numbers: BTreeSet<(T, u64)>,
    next: u64,
}

impl<T: Copy + Ord> Poller<T> {
    /// A set without members.
    ///
    /// # Errors
    /// As epoll_create1(2) has them.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, members: BTreeMap::new(), numbers: BTreeSet::new(), next: 0 })
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
        self.numbers.insert((member, number));
        Ok(())
    }

    /// Forgets a member that was closed.
    pub fn forget(&mut self, gone: T) {
        let numbers = self.numbers.range((gone, 0)..=(gone, u64::MAX));
        for (_, number) in numbers.copied().collect::<Vec<_>>() {
            self.members.remove(&number);
            self.numbers.remove(&(gone, number));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_member_is_forgotten_and_nothing_of_others() {
        let mut poller = Poller::new().unwrap();
        let pipes = [(); 3].map(|()| std::io::pipe().unwrap());
        for (member, (_, writer)) in ["a", "b", "a"].into_iter().zip(&pipes) {
            poller.add(member, writer.as_fd(), EpollFlags::EPOLLOUT).unwrap();
        }
        let members = |poller: &Poller<&'static str>| -> Vec<_> {
            poller.ready().into_iter().filter_map(|number| poller.member(number)).collect()
        };
        assert_eq!(members(&poller).len(), 3);
        poller.forget("a");
        assert_eq!((members(&poller), poller.members.len(), poller.numbers.len()), (vec!["b"], 1, 1));
    }
}
