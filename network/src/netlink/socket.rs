//! Netlink sockets: one that asks, one that listens.

use super::nft::message::batch_edge;
use super::wire::{HEADER, Request, messages, number};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
    socket, sockopt,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The kernel's datagrams to us are not longer than this (netlink(7)).
const LARGEST: usize = 32 * 1024;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_ND_USEROPT`, as bits.
const GROUPS: u32 = 1 | 1 << 8 | 1 << 19;

/// A batch of elements is one datagram; the usual limit would be 200 KiB.
const BATCH: usize = 4 << 20;

fn open(flags: SockFlag, groups: u32, protocol: SockProtocol) -> nix::Result<OwnedFd> {
    let flags = flags | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// The socket for requests. The kernel carries one out before it answers, and
/// answers at once, so waiting for the answer does not hold up the loop.
#[derive(Debug)]
pub struct Kernel {
    socket: OwnedFd,
    sequence: u32,
}

impl Kernel {
    /// Opens it.
    ///
    /// # Errors
    /// As socket(2) has them.
    pub fn open() -> io::Result<Self> {
        Ok(Self { socket: open(SockFlag::empty(), 0, SockProtocol::NetlinkRoute)?, sequence: 0 })
    }

    /// Opens one for nftables.
    ///
    /// # Errors
    /// As socket(2) has them.
    pub fn netfilter() -> io::Result<Self> {
        let socket = open(SockFlag::empty(), 0, SockProtocol::NetlinkNetFilter)?;
        // Only a process with privileges in the first user namespace may.
        let _ = setsockopt(&socket, sockopt::SndBufForce, &BATCH);
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for changes of nftables of which all are done at once or none.
    ///
    /// # Errors
    /// What the kernel answered to the first that it refused.
    pub fn batch(&mut self, changes: Vec<Request>) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let messages = [vec![batch_edge(false)], changes, vec![batch_edge(true)]].concat();
        let mut bytes = Vec::new();
        for request in messages {
            self.sequence = self.sequence.wrapping_add(1);
            bytes.extend(request.finish(self.sequence));
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
        self.answers(|_, _| {})
    }

    /// Asks for everything of a kind; `each` gets the types and bodies.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn dump(&mut self, request: Request, each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.send(request, DUMP)?;
        self.answers(each)
    }

    fn send(&mut self, request: Request, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.flagged(flags).finish(self.sequence);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(())
    }

    fn answers(&self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            for message in messages(&buffer[..length]).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    DONE => return Ok(()),
                    ERROR => return outcome(message.body),
                    kind => each(kind, message.body),
                }
            }
        }
    }
}

/// The error number that leads an `NLMSG_ERROR`, negative; 0 says "done".
fn outcome(body: &[u8]) -> io::Result<()> {
    match number(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        None => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

/// The socket on which notices of links, IPv6 addresses and router
/// advertisements come.
#[derive(Debug)]
pub struct Notices {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Notices {
    /// Opens it.
    ///
    /// # Errors
    /// As socket(2) has them.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: open(SockFlag::SOCK_NONBLOCK, GROUPS, SockProtocol::NetlinkRoute)?,
            buffer: vec![0; LARGEST],
        })
    }

    /// Reads one datagram: `each` gets the types and bodies.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `ENOBUFS` when notices were lost.
    pub fn read(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        messages(&self.buffer[..length]).for_each(|message| each(message.kind, message.body));
        Ok(())
    }
}

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

const _: () = assert!(HEADER == size_of::<libc::nlmsghdr>());
