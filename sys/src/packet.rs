//! Packet sockets: frames of one interface below the kernel's own IP, for
//! programs that speak before the interface has an address.

use libc::{c_int, c_void, sock_filter, sock_fprog, sockaddr_ll, socklen_t};
use nix::sys::socket::{LinkAddr, SockaddrLike};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// One instruction of a classic BPF program (socket(7), `SO_ATTACH_FILTER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, `BPF_*` or'ed together.
    pub code: u16,
    /// Instructions to skip when a jump's condition holds.
    pub jump_true: u8,
    /// Instructions to skip when it does not.
    pub jump_false: u8,
    /// Operand.
    pub operand: u32,
}

/// The address of a station on an interface's link (packet(7)).
///
/// `interface` is the interface's index, `protocol` an `ETH_P_*` number in host
/// byte order, `station` the six bytes of its MAC address; zeros to bind.
#[must_use]
pub fn address(interface: u32, protocol: u16, station: [u8; 6]) -> LinkAddr {
    let mut hardware = [0; 8];
    hardware[..6].copy_from_slice(&station);
    let raw = sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: interface.cast_signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: hardware,
    };
    // SAFETY: `raw` is a whole sockaddr_ll that outlives the call, which copies
    // it; the length given is its own.
    let address =
        unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(size_of::<sockaddr_ll>() as u32)) };
    address.unwrap_or_else(|| unreachable!("the family of a sockaddr_ll is AF_PACKET"))
}

/// Lets only packets that the program accepts into the socket (socket(7),
/// `SO_ATTACH_FILTER`).
///
/// # Errors
/// `EINVAL` when the kernel refuses the program.
pub fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<sock_filter> = program
        .iter()
        .map(|step| sock_filter { code: step.code, jt: step.jump_true, jf: step.jump_false, k: step.operand })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: `program` points at `length` instructions of `filter`, alive until
    // the call returns; the kernel copies them and keeps no pointer.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast::<c_void>(),
            size_of::<sock_fprog>() as socklen_t,
        )
    };
    check(result)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
