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
    let tray = |stream: Stream| pipes.trays.get(stream as usize).map(|(reader, _)| reader.as_fd());
    for _ in 0..64 {
        if let Some((stream, length)) = session.owed {
            let Some(tray) = tray(stream) else { return true };
            let moved = transfer(tray, peer, length);
            session.owed = (moved < length).then_some((stream, length - moved));
            if session.owed.is_some() {
                return false;
            }
            continue;
        }
        fill_trays(pipes);
        let waiting = |stream: Stream| tray(stream).map_or(0, held);
        let Some(stream) = Stream::ALL.into_iter().find(|stream| waiting(*stream) > 0) else { return true };
        let length = waiting(stream).min(PIECE);
        if !takes_a_frame(peer) || !send_head(peer, stream, length) {
            return false;
        }
        session.owed = Some((stream, length));
    }
    false
}

/// Moves what the sources have into trays that are empty.
fn fill_trays(pipes: &Pipes) {
    for (source, (reader, writer)) in pipes.sources.iter().zip(&pipes.trays) {
        if held(reader.as_fd()) == 0 {
            // A terminal that nobody has open any more is an error, and has nothing.
            let _ = splice(source, None, writer, None, PIECE, SpliceFFlags::SPLICE_F_NONBLOCK);
        }
    }
}

/// How many bytes lie in a pipe.
fn held(pipe: BorrowedFd<'_>) -> usize {
    sys::socket::pending(pipe).unwrap_or(0)
}

/// Moves bytes from a tray to a socket; those that the kernel does not take stay.
fn transfer(tray: BorrowedFd<'_>, peer: BorrowedFd<'_>, length: usize) -> usize {
    let mut moved = 0;
    while moved < length {
        match splice(tray, None, peer, None, length - moved, SpliceFFlags::SPLICE_F_NONBLOCK) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Progress, Record};
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::sys::socket::{setsockopt, sockopt};
    use nix::unistd::{pipe2, read, write};
    use spec::monitor::Reader;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    /// Many small pieces, which a socket with little room takes in several goes.
    const PACKETS: usize = 100;
    const PACKET: [u8; 100] = [b'x'; 100];

    #[test]
    fn a_program_that_reads_its_own_output_breaks_no_frame() {
        let (source, out) = pipe2(OFlag::O_CLOEXEC | OFlag::O_DIRECT | OFlag::O_NONBLOCK).unwrap();
        let thief = source.try_clone().unwrap();
        fcntl(&out, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        setsockopt(&ours, sockopt::SndBuf, &1).unwrap();
        let mut session = Session {
            id: String::new(),
            record: Record {
                key: "a".parse().unwrap(),
                tty: false,
                input: false,
                progress: Progress::Starting,
            },
            container: 0,
            pipes: Some(Pipes::new(vec![source], None).unwrap()),
            console: None,
            client: None,
            owed: None,
            adopted: None,
            due: None,
            check: false,
            said: None,
        };
        for _ in 0..PACKETS {
            write(&out, &PACKET).unwrap();
        }
        assert!(!flow(&mut session, ours.as_fd()), "the socket is full");
        // Now the program takes what it can.
        let mut bytes = vec![0; 1 << 16];
        let mut stolen = 0;
        while let Ok(length) = read(&thief, &mut bytes) {
            stolen += length;
        }
        let (mut reader, mut came) = (Reader::default(), 0);
        for _ in 0..PACKETS {
            let _ = flow(&mut session, ours.as_fd());
            if let Ok(length) = theirs.read(&mut bytes) {
                reader.push(&bytes[..length]);
            }
        }
        while let Some(frame) = reader.frame().unwrap() {
            came += frame.payload.len();
        }
        assert!(flow(&mut session, ours.as_fd()), "{:?} is owed for ever", session.owed);
        assert!(stolen > 0 && came > 0);
        assert_eq!(came + stolen, PACKETS * PACKET.len());
    }
}
