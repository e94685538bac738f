//! A session's output: from its pipes to its client, in frames, by splice(2), so that a kill of the
//! monitor leaves it in the pipe or with the client.

use crate::log::Stream;
use crate::session::{PIECE, Pipes, Session, kind};
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Moves what waits in a session's pipes to its client, in frames; says whether all was moved.
pub(super) fn flow(session: &mut Session, peer: BorrowedFd<'_>) -> bool {
    let Some(pipes) = &session.pipes else { return true };
    for _ in 0..64 {
        if let Some((stream, length)) = session.owed {
            let Some(source) = outlet(pipes, stream) else { return true };
            let moved = transfer(source, peer, length);
            session.owed = (moved < length).then_some((stream, length - moved));
            if session.owed.is_some() {
                return false;
            }
            continue;
        }
        fill_tray(pipes);
        let waiting =
            |stream: &Stream| outlet(pipes, *stream).and_then(|source| sys::socket::pending(source).ok());
        let next = Stream::ALL.into_iter().find(|stream| waiting(stream).is_some_and(|count| count > 0));
        let Some(stream) = next else { return true };
        let length = waiting(&stream).unwrap_or(0).min(PIECE);
        if !takes_a_frame(peer) || !send_head(peer, stream, length) {
            return false;
        }
        session.owed = Some((stream, length));
    }
    false
}

/// Where a stream's bytes are spliced from.
fn outlet(pipes: &Pipes, stream: Stream) -> Option<BorrowedFd<'_>> {
    match (&pipes.tray, stream) {
        (Some((reader, _)), Stream::Out) => Some(reader.as_fd()),
        (Some(_), Stream::Err) => None,
        (None, Stream::Out) => pipes.sources.first().map(AsFd::as_fd),
        (None, Stream::Err) => pipes.sources.get(1).map(AsFd::as_fd),
    }
}

/// Moves what a terminal has into the tray, once that is empty.
fn fill_tray(pipes: &Pipes) {
    let (Some((reader, writer)), Some(master)) = (&pipes.tray, pipes.sources.first()) else { return };
    if sys::socket::pending(reader.as_fd()).is_ok_and(|count| count == 0) {
        // A terminal that nobody has open any more is an error, and has nothing.
        let _ = splice(master, None, writer, None, PIECE, SpliceFFlags::SPLICE_F_NONBLOCK);
    }
}

/// Moves bytes from a pipe to a socket; those that the kernel does not take stay.
fn transfer(source: BorrowedFd<'_>, peer: BorrowedFd<'_>, length: usize) -> usize {
    let mut moved = 0;
    while moved < length {
        match splice(source, None, peer, None, length - moved, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => break,
            Ok(more) => moved += more,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            // The peer is gone, which its end will tell.
            Err(_) => return length,
        }
    }
    moved
}

/// A unix socket that polls writable has three quarters of its buffer free, several frames.
fn takes_a_frame(peer: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(peer, PollFlags::POLLOUT)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

fn send_head(peer: BorrowedFd<'_>, stream: Stream, length: usize) -> bool {
    let mut head = (length as u32 + 1).to_be_bytes().to_vec();
    head.push(kind(stream) as u8);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    // So small a piece goes whole or not at all.
    send(peer.as_raw_fd(), &head, flags) == Ok(head.len())
}
