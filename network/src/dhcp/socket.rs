//! How messages leave and come: below the kernel's IP while there is no
//! address, as ordinary datagrams while one is renewed. Neither socket is open
//! when no answer is awaited, so a node at rest pays nothing.

use super::frame::{self, CLIENT, SERVER};
use super::{Mac, message::Message};
use nix::sys::socket::sockopt::{BindToDevice, Broadcast, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, recv, sendto, setsockopt, socket,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sys::packet::{self, Instruction};

const IPV4: u16 = libc::ETH_P_IP as u16;
/// More than any link's packet that a server could send us.
const LARGEST: usize = 9216;

/// Accepts whole IPv4 UDP packets to the client's port; the packet begins with
/// the IP header. The rest of the link's traffic never wakes this program.
const FILTER: [Instruction; 9] = [
    load(libc::BPF_B | libc::BPF_ABS, 9),
    unless_equal(libc::IPPROTO_UDP as u32, 6),
    load(libc::BPF_H | libc::BPF_ABS, 6),
    Instruction {
        code: (libc::BPF_JMP | libc::BPF_JSET) as u16,
        jump_true: 4,
        jump_false: 0,
        operand: 0x1fff,
    },
    Instruction {
        code: (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16,
        jump_true: 0,
        jump_false: 0,
        operand: 0,
    },
    load(libc::BPF_H | libc::BPF_IND, 2),
    unless_equal(CLIENT as u32, 1),
    verdict(u32::MAX),
    verdict(0),
];

const fn load(how: u32, at: u32) -> Instruction {
    Instruction { code: (libc::BPF_LD | how) as u16, jump_true: 0, jump_false: 0, operand: at }
}

const fn unless_equal(value: u32, skip: u8) -> Instruction {
    Instruction {
        code: (libc::BPF_JMP | libc::BPF_JEQ) as u16,
        jump_true: 0,
        jump_false: skip,
        operand: value,
    }
}

const fn verdict(bytes: u32) -> Instruction {
    Instruction { code: libc::BPF_RET as u16, jump_true: 0, jump_false: 0, operand: bytes }
}

/// A socket on which messages come.
#[derive(Debug)]
pub enum Socket {
    /// Below the kernel's IP, on the interface of this number.
    Link(OwnedFd, u32),
    /// Bound to an address of ours.
    Udp(OwnedFd),
}

impl Socket {
    /// Opens a socket on the link of an interface.
    ///
    /// # Errors
    /// As packet(7) has them.
    pub fn on_link(interface: u32) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // Without a protocol nothing comes before the filter is in place.
        let socket = socket(AddressFamily::Packet, SockType::Datagram, flags, None)?;
        packet::attach_filter(socket.as_fd(), &FILTER)?;
        bind(socket.as_raw_fd(), &packet::address(interface, IPV4, [0; 6]))?;
        Ok(Self::Link(socket, interface))
    }

    /// Opens a socket at an address of an interface.
    ///
    /// # Errors
    /// As udp(7) has them.
    pub fn at_address(interface: &str, address: Ipv4Addr) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        setsockopt(&socket, ReuseAddr, &true)?;
        setsockopt(&socket, Broadcast, &true)?;
        setsockopt(&socket, BindToDevice, &interface.into())?;
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, CLIENT)))?;
        Ok(Self::Udp(socket))
    }

    /// Sends a message; `to` matters only above IP.
    ///
    /// # Errors
    /// As sendto(2) has them.
    pub fn send(&self, message: &[u8], to: Ipv4Addr) -> io::Result<()> {
        match self {
            Self::Link(socket, interface) => {
                let everyone = packet::address(*interface, IPV4, Mac::BROADCAST.0);
                sendto(socket.as_raw_fd(), &frame::encode(message), &everyone, MsgFlags::empty())?;
            }
            Self::Udp(socket) => {
                let server = SockaddrIn::from(SocketAddrV4::new(to, SERVER));
                sendto(socket.as_raw_fd(), message, &server, MsgFlags::empty())?;
            }
        }
        Ok(())
    }

    /// The next message; nothing when what came was none.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; `ENETDOWN` once after the link went down.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let mut buffer = [0; LARGEST];
        let length = recv(self.as_fd().as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let bytes = &buffer[..length];
        let message = match self {
            Self::Link(..) => frame::decode(bytes),
            Self::Udp(_) => Some(bytes),
        };
        Ok(message.and_then(Message::parse))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Link(socket, _) | Self::Udp(socket) => socket.as_fd(),
        }
    }
}
