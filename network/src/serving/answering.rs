//! Names: a question is answered from the records, or handed to other servers.

use super::directory::Known;
use super::message::{self, Code, Question};
use super::questions::Pending;
use super::room::Account;
use super::wanted::Place;
use super::{Listening, Serving, Source};
use nix::sys::epoll::EpollFlags;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

/// Most questions under way; more are not answered.
const MOST: usize = 512;
/// Most questions of one client; of more it is told that they failed.
const MOST_OF_ONE: usize = 64;
/// Before a client that asks by TCP must have finished its question.
const PATIENCE: Duration = Duration::from_secs(10);
const DNS: u16 = 53;

/// A client that asks by TCP: a question is its length (2), then itself.
#[derive(Debug)]
pub struct Asker {
    /// Who asks.
    pub client: IpAddr,
    socket: TcpStream,
    read: Vec<u8>,
    /// When it is let go.
    pub until: Duration,
}

impl Serving {
    /// Answers a question that came by UDP, or hands it on.
    pub(super) fn take_question(&mut self, place: Place, now: Duration) {
        let Some(Listening::Udp(socket)) = self.listeners.get(&place).map(|listener| &listener.socket) else {
            return;
        };
        let Ok((length, client)) = socket.recv_from(&mut self.buffer) else { return };
        let query = self.buffer[..length].to_vec();
        let answer = match message::read(&query) {
            None => message::nothing(&query, Code::Malformed),
            Some(question) => match self.known(client.ip(), &query, &question, false) {
                Ok(answer) => answer,
                Err(()) => return self.hand_question_on(place, client, query, now),
            },
        };
        self.tell(place, client, answer);
    }

    /// The answer that the records give; an error when others must be asked.
    fn known(
        &self,
        client: IpAddr,
        query: &[u8],
        question: &Question,
        tcp: bool,
    ) -> Result<Option<Vec<u8>>, ()> {
        let turn = u16::from_be_bytes([query[0], query[1]]);
        Ok(match self.directory.look_up(client, question, turn) {
            Known::Addresses(list) => Some(message::addresses(query, question, &list, tcp)),
            Known::Name(name) => Some(message::pointer(query, question, &name)),
            Known::NoName => message::nothing(query, Code::NoName),
            Known::Refused => message::nothing(query, Code::Refused),
            Known::AskOthers => return Err(()),
        })
    }

    fn hand_question_on(&mut self, place: Place, client: SocketAddr, query: Vec<u8>, now: Duration) {
        let own = self.questions.values().filter(|pending| pending.client.ip() == client.ip()).count();
        if own >= MOST_OF_ONE {
            return self.tell(place, client, message::nothing(&query, Code::Failed));
        }
        if self.questions.len() >= MOST {
            return; // It will be asked again.
        }
        let number = self.poller.number();
        self.questions.insert(number, Pending::new(place, client, query, &mut self.random));
        self.ask_next(number, now);
    }

    /// Asks the next server; when none is left the client is told so.
    pub(super) fn ask_next(&mut self, number: u64, now: Duration) {
        self.poller.forget(Source::Question(number));
        let Some(pending) = self.questions.get(&number) else { return };
        let servers = self.servers(pending.client.ip());
        let Some(pending) = self.questions.get_mut(&number) else { return };
        let asked = pending.next_server(&servers, now);
        if asked && let Some(socket) = pending.socket() {
            let added = self.poller.add(Source::Question(number), socket, EpollFlags::EPOLLIN);
            return added.unwrap_or_else(|_| pending.until = now);
        }
        let failure = pending.failure();
        self.reply(number, failure);
    }

    /// Takes what a server answered.
    pub(super) fn answered(&mut self, number: u64, now: Duration) {
        let Some(pending) = self.questions.get(&number) else { return };
        match pending.answer(&mut self.buffer) {
            Ok(Some(answer)) => self.reply(number, Some(answer)),
            Ok(None) => {} // Not its answer.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.ask_next(number, now),
        }
    }

    fn reply(&mut self, number: u64, answer: Option<Vec<u8>>) {
        self.poller.forget(Source::Question(number));
        let Some(pending) = self.questions.remove(&number) else { return };
        self.tell(pending.place, pending.client, answer);
    }

    fn tell(&self, place: Place, client: SocketAddr, answer: Option<Vec<u8>>) {
        let listener = self.listeners.get(&place).map(|listener| &listener.socket);
        if let (Some(answer), Some(Listening::Udp(socket))) = (answer, listener) {
            let _ = socket.send_to(&answer, client);
        }
    }

    /// The servers that the asking container was given, or the node's own. Where this program does
    /// not look after interfaces, those that the node's resolver knows.
    fn servers(&self, client: IpAddr) -> Vec<SocketAddr> {
        let own = self.directory.servers(client);
        let mut servers: Vec<SocketAddr> = own.iter().map(|server| SocketAddr::new(*server, DNS)).collect();
        if servers.is_empty() {
            servers.clone_from(&self.servers);
        }
        if servers.is_empty() {
            let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            let lines = text.lines().filter_map(|line| line.strip_prefix("nameserver "));
            servers =
                lines.filter_map(|line| Some(SocketAddr::new(line.trim().parse().ok()?, DNS))).collect();
        }
        servers.retain(|server| self.listeners.keys().all(|place| place.address != *server));
        servers
    }

    /// Takes a client that asks by TCP.
    pub(super) fn admit_asker(&mut self, place: Place, now: Duration) {
        let Some(listener) = self.listeners.get(&place) else { return };
        let Ok(socket) = self.spare.accept(listener.socket.as_fd()).map(TcpStream::from) else {
            return;
        };
        let Ok(client) = socket.peer_addr().map(|client| client.ip()) else { return };
        if !self.has_room(Account::Asker(client)) {
            return;
        }
        let number = self.poller.number();
        if self.poller.add(Source::Asker(number), socket.as_fd(), EpollFlags::EPOLLIN).is_ok() {
            self.askers.insert(number, Asker { client, socket, read: Vec::new(), until: now + PATIENCE });
        }
    }

    /// Reads from a client that asks by TCP. A question for others makes the whole
    /// connection one with the first of them.
    pub(super) fn read_asker(&mut self, number: u64, now: Duration) {
        let Some(asker) = self.askers.get_mut(&number) else { return };
        match asker.socket.read(&mut self.buffer) {
            Ok(count) if count > 0 => asker.read.extend(&self.buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            _ => return self.let_asker_go(number),
        }
        while let Some(outcome) = self.answer_asker(number) {
            if outcome.is_err() {
                let Some(asker) = self.askers.remove(&number) else { return };
                self.poller.forget(Source::Asker(number));
                self.poller.release(asker.socket.as_fd());
                if let Some(&server) = self.servers(asker.client).first() {
                    let account = Account::Asker(asker.client);
                    self.hand_on(asker.socket.into(), (server, None), &asker.read, account, now);
                }
                return;
            }
        }
    }

    /// Answers one whole question; nothing when there is none, an error when it is one
    /// for others.
    fn answer_asker(&mut self, number: u64) -> Option<Result<(), ()>> {
        let asker = self.askers.get(&number)?;
        let (length, rest) = asker.read.split_first_chunk::<2>()?;
        let query = rest.get(..usize::from(u16::from_be_bytes(*length)))?.to_vec();
        let client = asker.client;
        let answer = match message::read(&query) {
            None => message::nothing(&query, Code::Malformed),
            Some(question) => match self.known(client, &query, &question, true) {
                Ok(answer) => answer,
                Err(()) => return Some(Err(())),
            },
        };
        let asker = self.askers.get_mut(&number)?;
        asker.read.drain(..2 + query.len());
        let answer = answer?;
        let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        // Short, and the first on its connection: it fits into the socket's buffer.
        asker.socket.write_all(&framed).ok()?;
        Some(Ok(()))
    }

    /// Lets a client that asks by TCP go.
    pub(super) fn let_asker_go(&mut self, number: u64) {
        self.askers.remove(&number);
        self.poller.forget(Source::Asker(number));
    }
}
