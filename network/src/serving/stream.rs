//! A TCP connection handed on: what comes on one socket goes out on the other,
//! through a pipe, so that no byte is copied to this program (splice(2)).

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};
use nix::sys::socket::{Shutdown, getsockopt, setsockopt, shutdown, sockopt};
use nix::unistd::{pipe2, write};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A pipe's usual room.
const ROOM: usize = 64 * 1024;
/// Seconds without a word before a peer is asked whether it is there.
const SILENCE: u32 = 120;
/// As much as a connection may move before others have their turn.
const TURNS: usize = 16;

/// One direction.
#[derive(Debug)]
struct Flow {
    from_pipe: OwnedFd,
    to_pipe: OwnedFd,
    pending: usize,
    /// The sender has said its last.
    over: bool,
    /// The receiver knows.
    done: bool,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing moves until a socket is ready.
    Waits,
    /// More could move at once.
    Busy,
    /// Nobody listens there: nothing has moved.
    Refused,
    /// Both sides have ended, or one has broken off.
    Ended,
}

/// A client's connection and ours to the container.
#[derive(Debug)]
pub struct Stream {
    client: OwnedFd,
    server: OwnedFd,
    connected: bool,
    up: Flow,
    down: Flow,
}

impl Stream {
    /// Begins to hand a client's connection on; `first` was read from it already.
    ///
    /// # Errors
    /// No descriptors left, or no way there.
    pub fn new(client: OwnedFd, to: SocketAddr, first: &[u8]) -> io::Result<Self> {
        let server = super::open::stream(to)?;
        for socket in [&client, &server] {
            stay_alive(socket)?;
        }
        let mut up = Flow::new()?;
        up.pending = write(&up.to_pipe, first)?;
        Ok(Self { client, server, connected: false, up, down: Flow::new()? })
    }

    /// The client's socket and the container's.
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.client.as_fd(), self.server.as_fd()]
    }

    /// The client's connection alone.
    pub fn into_client(self) -> OwnedFd {
        self.client
    }

    /// The server has said its last, and the client has been given all of it.
    pub fn is_answered(&self) -> bool {
        self.down.done
    }

    /// Moves what can be moved.
    pub fn advance(&mut self) -> Outcome {
        match self.try_advance() {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Ended,
        }
    }

    fn try_advance(&mut self) -> nix::Result<Outcome> {
        if !self.connected {
            match getsockopt(&self.server, sockopt::SocketError)? {
                0 if connected(&self.server) => self.connected = true,
                0 => return Ok(Outcome::Waits),
                libc::ECONNREFUSED => return Ok(Outcome::Refused),
                error => return Err(Errno::from_raw(error)),
            }
        }
        let more_up = self.up.pump(self.client.as_fd(), self.server.as_fd())?;
        let more_down = self.down.pump(self.server.as_fd(), self.client.as_fd())?;
        Ok(match (self.up.done && self.down.done, more_up || more_down) {
            (true, _) => Outcome::Ended,
            (false, true) => Outcome::Busy,
            (false, false) => Outcome::Waits,
        })
    }
}

/// A peer that has gone without a word is asked whether it is there, and given up some minutes later.
fn stay_alive(socket: &OwnedFd) -> nix::Result<()> {
    setsockopt(socket, sockopt::KeepAlive, &true)?;
    setsockopt(socket, sockopt::TcpKeepIdle, &SILENCE)?;
    setsockopt(socket, sockopt::TcpKeepInterval, &(SILENCE / 4))
}

/// Whether a connection that has no error is one, or is still being made.
fn connected(socket: &OwnedFd) -> bool {
    nix::sys::socket::getpeername::<nix::sys::socket::SockaddrStorage>(socket.as_raw_fd()).is_ok()
}

impl Flow {
    fn new() -> io::Result<Self> {
        let (from_pipe, to_pipe) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { from_pipe, to_pipe, pending: 0, over: false, done: false })
    }

    /// Says whether more could be moved at once.
    fn pump(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> nix::Result<bool> {
        for _ in 0..TURNS {
            let taken = self.take(from)?;
            let given = self.give(to)?;
            if !taken && !given {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From the socket into the pipe.
    fn take(&mut self, from: BorrowedFd<'_>) -> nix::Result<bool> {
        if self.over || self.pending >= ROOM {
            return Ok(false);
        }
        match splice(from, None, &self.to_pipe, None, ROOM, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => self.over = true,
            Ok(count) => self.pending += count,
            // The pipe has room by the byte, but not by the page: what is in it goes first.
            Err(Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// From the pipe into the other socket, and the end after the last byte.
    fn give(&mut self, to: BorrowedFd<'_>) -> nix::Result<bool> {
        if self.pending == 0 {
            if self.over && !self.done {
                self.done = true;
                shutdown(to.as_raw_fd(), Shutdown::Write)?;
            }
            return Ok(false);
        }
        match splice(&self.from_pipe, None, to, None, self.pending, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(count) => self.pending -= count,
            Err(Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A client, a server, and the connection between them handed on.
    fn handed_on(first: &[u8]) -> (TcpStream, TcpStream, Stream) {
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let inside = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(outside.local_addr().unwrap()).unwrap();
        let accepted = sys::socket::accept(outside.as_fd()).unwrap();
        let stream = Stream::new(accepted, inside.local_addr().unwrap(), first).unwrap();
        let (server, _) = inside.accept().unwrap();
        (client, server, stream)
    }

    fn settle(stream: &mut Stream) -> Outcome {
        loop {
            match stream.advance() {
                Outcome::Busy => {}
                outcome => return outcome,
            }
        }
    }

    #[test]
    fn bytes_go_both_ways_and_each_end_is_handed_on() {
        let (mut client, mut server, mut stream) = handed_on(b"first ");
        client.write_all(b"question").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut text = String::new();
        while settle(&mut stream) == Outcome::Waits && !stream.up.done {}
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "first question");
        server.write_all(b"answer").unwrap();
        drop(server);
        while settle(&mut stream) != Outcome::Ended {}
        drop(stream);
        text.clear();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "answer");
    }

    #[test]
    fn a_slow_reader_holds_the_sender_and_loses_nothing() {
        const SIZE: usize = 8 << 20;
        let (mut client, mut server, mut stream) = handed_on(b"");
        let writer = std::thread::spawn(move || {
            client.write_all(&vec![7; SIZE]).unwrap();
        });
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::thread::yield_now();
            server.read_to_end(&mut all).unwrap();
            all
        });
        while settle(&mut stream) != Outcome::Ended && !stream.up.done {
            assert!(stream.up.pending <= 2 * ROOM);
        }
        drop(stream);
        writer.join().unwrap();
        assert!(reader.join().unwrap() == vec![7; SIZE]);
    }

    #[test]
    fn peers_that_are_gone_without_a_word_are_noticed() {
        let (_client, _server, stream) = handed_on(b"");
        for socket in stream.sockets() {
            assert!(getsockopt(&socket, sockopt::KeepAlive).unwrap());
            assert_eq!(getsockopt(&socket, sockopt::TcpKeepIdle), Ok(SILENCE));
        }
    }

    #[test]
    fn nobody_there_is_told() {
        // It has its port, and does not listen.
        let held = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(held.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let free = getsockname::<SockaddrIn>(held.as_raw_fd()).unwrap();
        let free = SocketAddr::from((free.ip(), free.port()));
        let outside = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(outside.local_addr().unwrap()).unwrap();
        let accepted = sys::socket::accept(outside.as_fd()).unwrap();
        let mut stream = match Stream::new(accepted, free, b"") {
            Ok(stream) => stream,
            Err(error) => return assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED)),
        };
        while settle(&mut stream) != Outcome::Refused {}
    }
}
