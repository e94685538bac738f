//! Sockets: listening ones and those that reach out, none of which blocks.

use super::wanted::{DNS, Place};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, connect, listen, setsockopt, socket,
    sockopt,
};
use spec::network::Protocol;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

fn open(protocol: Protocol, address: SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
        Protocol::Sctp => return Err(Errno::EPROTONOSUPPORT),
    };
    socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

/// Listens. IPv6's `::` leaves IPv4 alone, which has a socket of its own; an address
/// may come later than the socket, as a bridge's does.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`; a kernel without the family.
pub fn listener(place: Place) -> io::Result<OwnedFd> {
    let socket = open(place.protocol, place.address)?;
    if place.address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if place.protocol == Protocol::Tcp {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    if place.address.port() == DNS {
        // A container's published port at every address, and names at the gateways, which are heard there.
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(place.address))?;
    if place.protocol == Protocol::Tcp {
        listen(&socket, Backlog::MAXCONN)?;
    }
    Ok(socket)
}

/// Begins to connect: the socket can be written to once it is, or has failed.
///
/// # Errors
/// Those that show at once.
pub fn stream(to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(Protocol::Tcp, to)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// A UDP socket that hears one peer alone, from a port that nobody can guess.
///
/// # Errors
/// There is no way to the peer.
pub fn datagrams(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(Protocol::Udp, to)?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(socket.into())
}
