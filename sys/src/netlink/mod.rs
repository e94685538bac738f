//! Requests to the kernel over netlink(7), and what it answers.
//!
//! What is asked, and of which part of the kernel, is the caller's: [`wire`] puts messages
//! together and takes them apart.

pub mod wire;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use wire::{HEADER, Message, Request, messages, number};

/// The kernel's datagrams to us are not longer than this.
pub const LARGEST: usize = 32 * 1024;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// What is listed has changed meanwhile, and something may be missing.
const INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

/// How often a list is asked for that changes while it is told.
const TRIES: usize = 10;

/// A batch of elements is one datagram; the usual limit would be 200 KiB.
const BATCH: usize = 4 << 20;

/// A socket for requests to the network namespace in which it was opened. The kernel carries
/// one out before it answers, and answers at once, so waiting for the answer holds nobody up.
#[derive(Debug)]
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens one for links, addresses and routes (rtnetlink(7)).
    ///
    /// # Errors
    /// As socket(2) has them.
    pub fn route() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// Opens one for nftables.
    ///
    /// # Errors
    /// As socket(2) has them.
    pub fn netfilter() -> io::Result<Self> {
        let netlink = Self::open(SockProtocol::NetlinkNetFilter)?;
        // Only a process with privileges in the first user namespace may.
        let _ = setsockopt(&netlink.socket, sockopt::SndBufForce, &BATCH);
        Ok(netlink)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends messages as one, which a beginning and an end of a batch make one change: all of it
    /// is done or nothing.
    ///
    /// # Errors
    /// What the kernel answered to the first that it refused.
    pub fn batch(&mut self, messages: Vec<Request>) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(request.finish(self.sequence));
        }
        if bytes.len() > BATCH {
            let _ = setsockopt(&self.socket, sockopt::SndBufForce, &bytes.len());
        }
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        self.refusal(first)
    }

    /// The kernel has carried the batch out, or refused it, when send(2) returns, and
    /// said what it refused: there is nothing to wait for.
    fn refusal(&self, first: u32) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST];
        let mut result = Ok(());
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Err(nix::errno::Errno::EAGAIN) => return result,
                received => received?,
            };
            let ours = messages(&buffer[..length]).filter(|message| message.sequence >= first);
            for message in ours.filter(|message| message.kind == ERROR) {
                result = result.and(outcome(message.body));
            }
        }
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn change(&mut self, request: Request) -> io::Result<()> {
        self.send(request, ACK)?;
        self.answers(|_, _| {}).map(drop)
    }

    /// Asks for one thing; `each` gets the types and bodies of what is answered.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn ask(&mut self, request: Request, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.send(request, ACK)?;
        self.answers(each).map(drop)
    }

    /// Asks for everything of a kind; `each` gets the types and bodies, of a list that is whole.
    ///
    /// # Errors
    /// What the kernel answered; `EINTR` when it has changed as often as it was asked for.
    pub fn dump(&mut self, request: Request, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        for _ in 0..TRIES {
            self.send(request.clone(), DUMP)?;
            let mut list = Vec::new();
            if self.answers(|kind, body| list.push((kind, body.to_vec())))? {
                list.iter().for_each(|(kind, body)| each(*kind, body));
                return Ok(());
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINTR))
    }

    /// Asks for everything of a kind, of which there may be much: nothing is kept, and what has changed meanwhile may be
    /// missing.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn skim(&mut self, request: Request, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.send(request, DUMP)?;
        self.answers(each).map(drop)
    }

    fn send(&mut self, request: Request, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.flagged(flags).finish(self.sequence);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(())
    }

    /// Reads to the end; tells whether that is all.
    fn answers(&self, mut each: impl FnMut(u16, &[u8])) -> io::Result<bool> {
        let (mut buffer, mut whole) = (vec![0; LARGEST], true);
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let ours = messages(&buffer[..length]).filter(|message| message.sequence == self.sequence);
            if let Some(result) = take(ours, &mut whole, &mut each) {
                return result.map(|()| whole);
            }
        }
    }
}

/// Takes answers; gives how it came out when the last of them is among these. A list ends with an error, too.
fn take<'a>(
    answers: impl Iterator<Item = Message<'a>>,
    whole: &mut bool,
    each: &mut impl FnMut(u16, &[u8]),
) -> Option<io::Result<()>> {
    for message in answers {
        *whole &= message.flags & INTERRUPTED == 0;
        match message.kind {
            // Old kernels end it without a word.
            DONE if message.body.is_empty() => return Some(Ok(())),
            DONE | ERROR => return Some(outcome(message.body)),
            kind => each(kind, message.body),
        }
    }
    None
}

/// The error number that leads an `NLMSG_ERROR`, negative; 0 says "done".
fn outcome(body: &[u8]) -> io::Result<()> {
    match number(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        None => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

const _: () = assert!(HEADER == size_of::<libc::nlmsghdr>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_ends_in_an_error_or_has_changed_is_not_whole() {
        let taken = |parts: &[(u16, u16, &[u8])]| {
            let bytes: Vec<u8> = parts
                .iter()
                .flat_map(|&(kind, flags, body)| Request::new(kind, flags, body).finish(1))
                .collect();
            let (mut whole, mut seen) = (true, 0);
            let result = take(messages(&bytes), &mut whole, &mut |_, _| seen += 1);
            (result.map(|result| result.map_err(|error| error.raw_os_error())), whole, seen)
        };
        let (one, done): (_, (u16, u16, &[u8])) = ((20, 2, &[0; 8][..]), (DONE, 2, &[0; 4]));
        assert_eq!(taken(&[one, one]), (None, true, 2));
        assert_eq!(taken(&[one, done]), (Some(Ok(())), true, 1));
        assert_eq!(taken(&[one, (DONE, 2, &[])]), (Some(Ok(())), true, 1));
        let failed = (-libc::ENOMEM).to_ne_bytes();
        assert_eq!(taken(&[one, (DONE, 2, &failed)]), (Some(Err(Some(libc::ENOMEM))), true, 1));
        assert_eq!(taken(&[(20, 2 | INTERRUPTED, &[0; 8]), done]), (Some(Ok(())), false, 1));
        assert_eq!(taken(&[one, (DONE, 2 | INTERRUPTED, &[0; 4])]), (Some(Ok(())), false, 1));
    }

    #[test]
    fn an_outcome_is_an_error_number_or_nothing() {
        assert!(outcome(&[0; 4]).is_ok());
        assert_eq!(outcome(&(-libc::EPERM).to_ne_bytes()).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(outcome(&[]).is_err());
    }
}
