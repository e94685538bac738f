//! The socket on which the kernel tells of links, IPv6 addresses and router advertisements.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::netlink::LARGEST;
use sys::netlink::wire::messages;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_ND_USEROPT`, as bits.
const GROUPS: u32 = 1 | 1 << 8 | 1 << 19;

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
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self { socket, buffer: vec![0; LARGEST] })
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
