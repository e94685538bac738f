//! Questions that other servers answer: handed on under a number of ours, from a
//! socket each, to one server after the other until one answers.

use super::message::{Code, answers, nothing};
use super::open;
use super::wanted::Place;
use crate::random::Random;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Before a question goes to the next server.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a question is asked, whatever the number of servers.
const ATTEMPTS: usize = 4;

/// A question under way.
#[derive(Debug)]
pub struct Pending {
    /// The socket on which it came, and on which its answer goes.
    pub place: Place,
    /// Who asked.
    pub client: SocketAddr,
    query: Vec<u8>,
    number: [u8; 2],
    socket: Option<UdpSocket>,
    attempt: usize,
    /// When [`Self::next_server`] is due.
    pub until: Duration,
}

impl Pending {
    /// Takes a question; nothing is sent yet.
    pub fn new(place: Place, client: SocketAddr, query: Vec<u8>, random: &mut Random) -> Self {
        let number = (random.next() as u16).to_be_bytes();
        Self { place, client, query, number, socket: None, attempt: 0, until: Duration::ZERO }
    }

    /// Asks the next server that can be reached; says whether there was one.
    pub fn next_server(&mut self, servers: &[SocketAddr], now: Duration) -> bool {
        while self.attempt < ATTEMPTS && !servers.is_empty() {
            let server = servers[self.attempt % servers.len()];
            self.attempt += 1;
            let mut query = self.query.clone();
            query[..2].copy_from_slice(&self.number);
            let sent = open::datagrams(server).and_then(|socket| socket.send(&query).map(|_| socket));
            if let Ok(socket) = sent {
                self.socket = Some(socket);
                self.until = now + PATIENCE;
                return true;
            }
        }
        false
    }

    /// On which the answer comes.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// Reads an answer, and gives it the client's own number; an error says that the
    /// server is not there.
    ///
    /// # Errors
    /// As recv(2) has them, `WouldBlock` too.
    pub fn answer(&self, buffer: &mut [u8]) -> std::io::Result<Option<Vec<u8>>> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let length = socket.recv(buffer)?;
        let mut answer = buffer[..length].to_vec();
        let ours = answer.starts_with(&self.number) && answers(&self.query, &answer);
        if ours {
            answer[..2].copy_from_slice(&self.query[..2]);
        }
        Ok(ours.then_some(answer))
    }

    /// What the client gets when nobody answers.
    pub fn failure(&self) -> Option<Vec<u8>> {
        nothing(&self.query, Code::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Record, question};
    use nix::poll::{PollFd, PollFlags, poll};
    use spec::network::Protocol;
    use std::os::fd::AsFd;

    #[test]
    fn an_answer_is_one_to_the_question_that_was_asked() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = Place { protocol: Protocol::Udp, address: "127.0.0.1:53".parse().unwrap() };
        let query = question(7, "a.example", Record::A).unwrap();
        let client = "127.0.0.1:9".parse().unwrap();
        let mut pending = Pending::new(place, client, query.clone(), &mut Random::new(3));
        assert!(pending.next_server(&[server.local_addr().unwrap()], Duration::ZERO));
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        let asked = buffer[..length].to_vec();
        let taken = || {
            // How soon it comes is the kernel's.
            let mut waits = [PollFd::new(pending.socket.as_ref().unwrap().as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut waits, 60_000_u16), Ok(1), "nothing comes");
            pending.answer(&mut [0; 512]).unwrap()
        };
        let answered = |number: &[u8], name: &str, kind: Record, bits: u8| {
            let mut answer = question(0, name, kind).unwrap();
            answer[..2].copy_from_slice(number);
            answer[2] |= bits;
            server.send_to(&answer, from).unwrap();
            taken().map(|answer| answer[..2].to_vec())
        };
        let number = &asked[..2];
        assert_eq!(answered(number, "b.example", Record::A, 0x80), None, "another name");
        assert_eq!(answered(number, "a.example", Record::Aaaa, 0x80), None, "another type");
        assert_eq!(answered(number, "a.example", Record::A, 0), None, "a question");
        assert_eq!(answered(&[!number[0], number[1]], "a.example", Record::A, 0x80), None, "another number");
        assert_eq!(answered(number, "A.eXample", Record::A, 0x80), Some(query[..2].to_vec()));
        server.send_to(&asked[..3], from).unwrap();
        assert_eq!(taken(), None, "a piece");
    }
}
