//! Descriptors that travel with a packet over a unix socket (unix(7),
//! `SCM_RIGHTS`).

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Most descriptors that one packet carries (`SCM_MAX_FD`).
pub const MOST: usize = 253;

/// Sends one packet with descriptors, duplicates of which the peer receives.
/// A peer that went away is an error and no `SIGPIPE` (`sendmsg(2)`).
///
/// # Errors
/// `EPIPE`, `EAGAIN` on a non-blocking or timed-out socket, `EMSGSIZE`;
/// `ETOOMANYREFS` when too many descriptors are in flight.
pub fn send(socket: BorrowedFd<'_>, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let messages = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(packet)];
    sendmsg::<()>(socket.as_raw_fd(), &parts, messages, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Room for what comes along with a packet (cmsg(3)).
// SAFETY: the call reckons with a length.
const SPACE: usize = unsafe { libc::CMSG_SPACE((MOST * size_of::<RawFd>()) as u32) } as usize;

/// Receives one packet into `buffer`, with the descriptors that came along,
/// close-on-exec (`recvmsg(2)`). Zero bytes mean that the peer closed.
///
/// # Errors
/// `EAGAIN` on a non-blocking or timed-out socket; `EMSGSIZE` when the packet or its descriptors did
/// not fit, into `buffer` or into what this process may open: what came of them is closed.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket, buffer, &mut [0; SPACE.div_ceil(size_of::<u64>())])
}

fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    space: &mut [u64],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: of zeros it is a header that names nothing.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    (header.msg_control, header.msg_controllen) = (space.as_mut_ptr().cast(), size_of_val(space));
    // SAFETY: the kernel writes no more than the lengths say to what the header names, which outlives the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has just filled it in, and this is the only place that looks at it.
    let descriptors = unsafe { owned(&header) };
    if header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    Ok((length, descriptors))
}

/// The descriptors that a header names. Not nix's, which gives none of them when some did not fit: those
/// would stay open.
///
/// # Safety
/// `recvmsg` has filled in the header and what it names, and nobody owns the descriptors.
unsafe fn owned(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the macro looks at a header that was filled in.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or within the space that the header names, which is aligned as a `u64` is.
    while let Some(message) = unsafe { at.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: its data begins within the same space, at such an alignment.
            let data = unsafe { libc::CMSG_DATA(at) }.cast::<RawFd>();
            let bytes = message.cmsg_len - (data.addr() - at.addr());
            for place in 0..bytes / size_of::<RawFd>() {
                // SAFETY: so many descriptors lie there, and the kernel made them for us with this very packet.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(data.add(place).read()) });
            }
        }
        // SAFETY: as above; what follows is still in the same header's space.
        at = unsafe { libc::CMSG_NXTHDR(header, at) };
    }
    descriptors
}

/// Closes every descriptor from `first` on but these (`close_range(2)`). For a process that is about to exec:
/// whoever owns one of the others must neither use nor close it any more.
///
/// # Errors
/// `ENOSYS` before Linux 5.9.
pub fn close_from(first: u32, kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let kept = kept.iter().map(|one| one.as_raw_fd().cast_unsigned());
    let mut next = first;
    while let Some(one) = kept.clone().filter(|one| *one >= next).min() {
        if next < one {
            close_range(next, one - 1)?;
        }
        next = one + 1;
    }
    close_range(next, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: nobody uses what lies between, as `close_from` wants it of its caller.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes descriptors, those whose numbers follow one another by one call (`close_range(2)`,
/// Linux 5.9).
pub fn close_all(mut descriptors: Vec<OwnedFd>) {
    descriptors.sort_by_key(AsRawFd::as_raw_fd);
    for run in descriptors.chunk_by(|one, next| one.as_raw_fd() + 1 == next.as_raw_fd()) {
        let (first, last) = (run[0].as_raw_fd(), run[run.len() - 1].as_raw_fd());
        // SAFETY: all from the first to the last are owned here and are not used after this.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    descriptors.into_iter().for_each(std::mem::forget);
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap()
    }

    #[test]
    fn a_pipe_sent_over_a_socket_still_carries_what_is_written() {
        let (here, there) = pair();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(here.as_fd(), b"store x", &[writer.as_fd()]).unwrap();
        drop(writer);
        let mut buffer = [0; 64];
        let (length, mut descriptors) = receive(there.as_fd(), &mut buffer).unwrap();
        assert_eq!((&buffer[..length], descriptors.len()), (&b"store x"[..], 1));
        let mut writer = std::fs::File::from(descriptors.remove(0));
        writer.write_all(b"hello").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_packet_that_does_not_fit_is_an_error() {
        let (here, there) = pair();
        send(here.as_fd(), b"0123456789", &[]).unwrap();
        let error = receive(there.as_fd(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    }

    #[test]
    fn what_came_of_descriptors_that_do_not_fit_is_closed() {
        let (here, there) = pair();
        let (mut reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the call takes integers alone.
        unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        send(here.as_fd(), b"store x", &[writer.as_fd(); 3]).unwrap();
        drop(writer);
        // Room for two of them, as for a process that may open two more.
        let error = receive_with(there.as_fd(), &mut [0; 64], &mut [0; 3]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        // Another test's child may have one until it has executed its program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while reader.read(&mut [0]).is_err() {
            assert!(std::time::Instant::now() < until, "a writer is left");
            std::thread::yield_now();
        }
    }

    #[test]
    fn all_but_some_close() {
        // Numbers that no other test has.
        let (mut reader, writer) = std::io::pipe().unwrap();
        // SAFETY: the call takes integers alone.
        let raise = |number: RawFd| unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
        let numbers: Vec<RawFd> = (700..704).map(raise).collect();
        assert_eq!(numbers, [700, 701, 702, 703]);
        drop(writer);
        // SAFETY: they were made above, for this test alone.
        let kept = [701, 703].map(|number| unsafe { OwnedFd::from_raw_fd(number) });
        close_from(700, &[kept[1].as_fd(), kept[0].as_fd(), reader.as_fd()]).unwrap();
        let is_open = |number: i32| std::path::Path::new(&format!("/proc/self/fd/{number}")).exists();
        assert_eq!(numbers.into_iter().map(is_open).collect::<Vec<_>>(), [false, true, false, true]);
        drop(kept);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn all_of_a_list_close_and_nothing_else() {
        let mut pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
        let (mut kept, writer) = pipes.remove(1);
        let ends = pipes.into_iter().flat_map(|(reader, writer)| [reader.into(), writer.into()]);
        close_all(ends.chain([writer.into()]).collect());
        // The other end is closed, and this one is not.
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    }
}
