//! A connection of the monitor's socket: bytes that come and bytes that wait to go. It never
//! waits for its peer; what it holds for one is bounded.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, recv, send};
use serde::Serialize;
use spec::monitor::{Code, Failure, Frame, Kind, MAX_FRAME, Reader, Reply};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// Nothing more is made for a client that has this much waiting.
const ENOUGH: usize = 64 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    reader: Reader,
    waiting: Vec<u8>,
    sent: usize,
    /// Nothing is read from it for now.
    pub held: bool,
    /// Its socket should tell when it takes more.
    pub blocked: bool,
    /// It is closed once all is sent.
    pub ending: bool,
    /// Input for a program that did not take it yet.
    pub input: Vec<u8>,
    /// There is no more after that.
    pub input_ended: bool,
    watched: EpollFlags,
}

/// What a reading came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// Perhaps whole frames.
    Bytes,
    /// Nothing more, now.
    Nothing,
    /// The client has left.
    Gone,
}

impl Client {
    /// Takes on an accepted socket, which must not block.
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            reader: Reader::default(),
            waiting: Vec::new(),
            sent: 0,
            held: false,
            blocked: false,
            ending: false,
            input: Vec::new(),
            input_ended: false,
            watched: EpollFlags::empty(),
        }
    }

    /// Reads what has come, one piece of it.
    pub fn read(&mut self) -> Came {
        let mut bytes = vec![0; PIECE];
        match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Came::Gone,
            Ok(length) => {
                self.reader.push(&bytes[..length]);
                Came::Bytes
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Came::Nothing,
            Err(_) => Came::Gone,
        }
    }

    /// The peer is gone, whatever of its words was not read.
    pub fn is_gone(&self) -> bool {
        // Its end comes unasked.
        poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::empty())], PollTimeout::ZERO) == Ok(1)
    }

    /// The next whole frame that has come; what is none is an error in words.
    pub fn frame(&mut self) -> Result<Option<Frame>, String> {
        self.reader.frame().map_err(|wrong| wrong.to_string())
    }

    /// Says something.
    pub fn say(&mut self, message: &impl Serialize) {
        let text = serde_json::to_vec(message).unwrap_or_default();
        if text.len() < MAX_FRAME {
            self.put(Kind::Message, &text);
        } else {
            let message = "the answer is too long for a frame".to_owned();
            self.say(&Reply::Failed(Failure { code: Code::Internal, message }));
        }
    }

    /// Says the last thing.
    pub fn finish(&mut self, reply: &Reply) {
        self.say(reply);
        self.ending = true;
    }

    /// Says why not, as the last thing.
    pub fn fail(&mut self, code: Code, message: impl Into<String>) {
        self.finish(&Reply::Failed(Failure::new(code, &message.into())));
    }

    /// Puts a frame behind what waits, and sends what can be sent.
    pub fn put(&mut self, kind: Kind, payload: &[u8]) {
        self.waiting.extend(Frame::encode(kind, payload));
        self.flush();
    }

    /// There is enough for it to read.
    pub fn is_full(&self) -> bool {
        self.waiting.len() - self.sent >= ENOUGH
    }

    /// All was sent.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends what can be sent. A peer that is gone takes all.
    pub fn flush(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while self.sent < self.waiting.len() {
            match send(self.socket.as_raw_fd(), &self.waiting[self.sent..], flags) {
                Ok(length) => self.sent += length,
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => break,
            }
        }
        // The memory goes, too: most clients have nothing waiting.
        (self.waiting, self.sent) = (Vec::new(), 0);
    }

    /// What the poller should look for, when that is something else than before.
    pub fn interest(&mut self) -> Option<EpollFlags> {
        let mut wanted = EpollFlags::empty();
        wanted.set(EpollFlags::EPOLLIN, !self.held && !self.ending);
        wanted.set(EpollFlags::EPOLLOUT, self.blocked || !self.is_empty());
        (std::mem::replace(&mut self.watched, wanted) != wanted).then_some(wanted)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Client, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Client::new(ours.into()), theirs)
    }

    #[test]
    fn frames_come_and_go() {
        let (mut client, mut peer) = pair();
        assert_eq!(client.interest(), Some(EpollFlags::EPOLLIN));
        assert_eq!((client.interest(), client.read()), (None, Came::Nothing));
        peer.write_all(&Frame::encode(Kind::Input, b"abc")).unwrap();
        assert_eq!(client.read(), Came::Bytes);
        assert_eq!(client.frame().unwrap().unwrap().payload, b"abc");
        client.finish(&Reply::Done);
        assert!(client.is_empty() && client.ending);
        drop(client);
        let mut text = Vec::new();
        peer.read_to_end(&mut text).unwrap();
        assert!(text.ends_with(b"{\"reply\":\"done\"}"));
    }

    #[test]
    fn the_end_of_a_client_is_seen_though_it_is_not_heard() {
        let (client, mut peer) = pair();
        peer.write_all(&Frame::encode(Kind::Input, b"abc")).unwrap();
        assert!(!client.is_gone());
        drop(peer);
        assert!(client.is_gone());
    }

    #[test]
    fn a_client_that_does_not_read_has_a_bounded_amount_waiting() {
        let (mut client, mut peer) = pair();
        let mut sent = 0;
        while !client.is_full() {
            client.put(Kind::Output, &[b'x'; 10_000]);
            sent += 10_005;
        }
        assert_eq!(client.interest(), Some(EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT));
        peer.set_nonblocking(true).unwrap();
        let mut came = 0;
        let mut bytes = [0; 4096];
        while came < sent {
            match peer.read(&mut bytes) {
                Ok(length) => came += length,
                Err(_) => client.flush(),
            }
        }
        assert!(client.is_empty());
        assert_eq!(client.interest(), Some(EpollFlags::EPOLLIN));
    }

    #[test]
    fn a_peer_that_left_is_noticed_and_costs_nothing() {
        let (mut client, peer) = pair();
        drop(peer);
        client.put(Kind::Output, b"nobody reads this");
        assert!(client.is_empty());
        assert_eq!(client.read(), Came::Gone);
    }
}
