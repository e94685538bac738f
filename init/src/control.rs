//! The control socket's side of PID 1; [`spec::control`] is the language.
//!
//! Only root's processes may speak here. A client that does not read its answers
//! is closed: PID 1 never waits for one.

use crate::error::{Context, Result};
use crate::exits::Exits;
use crate::poller::{Poller, Token};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt,
};
use spec::control::{Exit, MAX_DESCRIPTORS, MAX_PACKET, Request, Shutdown};
use spec::paths;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::ops::Bound;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use sys::descriptors;
use sys::socket::Spare;

/// What PID 1 may open. The store of descriptors has no more than half of it, so that a client gone
/// wild cannot take all.
const MOST_OPEN: u64 = 32 * 1024;
/// Most clients.
const MOST_CLIENTS: usize = 256;

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// Whose it is.
    pid: i32,
    subscribed: bool,
}

/// The socket, its clients, and the descriptors kept for them.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
    /// What gives way to a client that there is no other descriptor for.
    spare: Spare,
    clients: BTreeMap<u32, Client>,
    next_client: u32,
    kept: BTreeMap<String, Vec<OwnedFd>>,
    most_kept: usize,
    buffer: Vec<u8>,
}

/// What a client asks of the rest of PID 1.
pub struct Around<'a> {
    /// The ring of exits.
    pub exits: &'a Exits,
    /// The services' states.
    pub status: &'a dyn Fn() -> String,
    /// Loads kernel modules.
    pub load: &'a mut dyn FnMut(&[String]),
}

impl Control {
    /// Opens the socket.
    pub fn open(poller: &Poller) -> Result<Self> {
        let doing = || format!("listen at {}", paths::INIT_SOCKET);
        fs::create_dir_all(paths::RUN).context(|| format!("create {}", paths::RUN))?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).context(doing)?;
        let address = UnixAddr::new(paths::INIT_SOCKET).context(doing)?;
        bind(socket.as_raw_fd(), &address).context(doing)?;
        listen(&socket, Backlog::new(64).unwrap_or(Backlog::MAXCONN)).context(doing)?;
        poller.add(&socket, Token::Control)?;
        // A thousand containers are more than the kernel's usual limit.
        let most_kept = sys::process::may_open(MOST_OPEN) / 2;
        Ok(Self::new(socket, most_kept as usize))
    }

    fn new(socket: OwnedFd, most_kept: usize) -> Self {
        let (clients, kept) = (BTreeMap::new(), BTreeMap::new());
        let spare = Spare::default();
        Self { socket, spare, clients, next_client: 0, kept, most_kept, buffer: Vec::new() }
    }

    /// Takes a new client, if it is root's.
    pub fn accept(&mut self, poller: &Poller) {
        let Ok(client) = self.spare.accept(self.socket.as_fd()) else { return };
        if !getsockopt(&client, sockopt::PeerCredentials).is_ok_and(|peer| peer.uid() == 0) {
            return;
        }
        self.admit(client, poller);
    }

    /// Where there are too many, the first of the process that has the most gives way; one that waits for exits, and whose
    /// process does, only when there are no others.
    fn admit(&mut self, client: OwnedFd, poller: &Poller) {
        let pid = getsockopt(&client, sockopt::PeerCredentials).map_or(0, |peer| peer.pid());
        if self.clients.len() >= MOST_CLIENTS {
            let of = |pid: i32| self.clients.values().filter(|client| client.pid == pid).count();
            let waits = |pid: i32| self.clients.values().any(|client| client.subscribed && client.pid == pid);
            let rank = |client: &Client| (!waits(client.pid), !client.subscribed, of(client.pid));
            let first = self.clients.iter().rev().max_by_key(|(_, client)| rank(client));
            if let Some(number) = first.map(|(number, _)| *number) {
                self.clients.remove(&number);
            }
        }
        if poller.add(&client, Token::Client(self.next_client)).is_ok() {
            self.clients.insert(self.next_client, Client { socket: client, pid, subscribed: false });
            self.next_client = self.next_client.wrapping_add(1);
        }
    }

    /// Reads one request of a client and answers it. A shutdown is handed back.
    pub fn serve(&mut self, number: u32, around: Around<'_>) -> Option<Shutdown> {
        self.buffer.resize(MAX_PACKET, 0);
        let client = self.clients.get(&number)?;
        let (packet, descriptors) = match descriptors::receive(client.socket.as_fd(), &mut self.buffer) {
            Ok((0, _)) => {
                self.clients.remove(&number);
                return None;
            }
            Ok((length, descriptors)) => {
                (String::from_utf8_lossy(&self.buffer[..length]).into_owned(), descriptors)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                let answer = format!("error {}", sys::cause::cause(&error));
                self.answer(number, &answer, None);
                return None;
            }
        };
        #[cfg(feature = "panic-test")]
        if packet == "skerry-panic-test" {
            panic!("skerry-panic-test: asked to by a test");
        }
        let request: std::result::Result<Request, String> = packet.parse();
        let shutdown = match request {
            Ok(Request::Shutdown(how)) => Some(how),
            _ => None,
        };
        let (answer, fetched) =
            match request.and_then(|request| self.perform(request, number, descriptors, around)) {
                Ok((answer, fetched)) => (answer, fetched),
                Err(reason) => (format!("error {reason}"), None),
            };
        self.answer(number, &answer, fetched.as_deref());
        shutdown
    }

    /// The answer's text, and the name whose descriptors go with it.
    fn perform(
        &mut self,
        request: Request,
        number: u32,
        descriptors: Vec<OwnedFd>,
        around: Around<'_>,
    ) -> std::result::Result<(String, Option<String>), String> {
        if !descriptors.is_empty() && !matches!(request, Request::Store(_)) {
            return Err("only store takes descriptors".to_owned());
        }
        let mut answer = "ok".to_owned();
        match request {
            Request::Shutdown(_) => {}
            Request::Status => {
                answer.push('\n');
                answer.push_str((around.status)().trim_end());
            }
            Request::Store(name) => self.store(name, descriptors)?,
            Request::Fetch(name) => return Ok((answer, Some(name))),
            Request::Drop(name) => {
                drop(self.kept.remove(&name).ok_or_else(|| format!("nothing is kept under {name}"))?);
            }
            Request::Names(after) => {
                let further = self.kept.range::<str, _>((Bound::Excluded(&*after), Bound::Unbounded));
                list(&mut answer, further.map(|(name, _)| name));
            }
            Request::Load(names) => (around.load)(&names),
            Request::Exits(seq) => list(&mut answer, around.exits.from(seq)),
            Request::Subscribe => {
                if let Some(client) = self.clients.get_mut(&number) {
                    client.subscribed = true;
                }
            }
        }
        Ok((answer, None))
    }

    fn store(&mut self, name: String, descriptors: Vec<OwnedFd>) -> std::result::Result<(), String> {
        if descriptors.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
            return Err(format!("store takes 1 to {MAX_DESCRIPTORS} descriptors, not {}", descriptors.len()));
        }
        let others = self.kept.iter().filter(|(other, _)| **other != name).map(|(_, kept)| kept.len());
        if others.sum::<usize>() + descriptors.len() > self.most_kept {
            return Err(format!("no more than {} descriptors are kept", self.most_kept));
        }
        self.kept.insert(name, descriptors);
        Ok(())
    }

    fn answer(&mut self, number: u32, text: &str, fetched: Option<&str>) {
        let Some(client) = self.clients.get(&number) else { return };
        let kept = fetched.and_then(|name| self.kept.get(name)).map(Vec::as_slice).unwrap_or_default();
        let kept: Vec<_> = kept.iter().map(AsFd::as_fd).collect();
        if descriptors::send(client.socket.as_fd(), text.as_bytes(), &kept).is_err() {
            self.clients.remove(&number);
        }
    }

    /// Tells every subscriber of an exit.
    pub fn publish(&mut self, exit: &Exit) {
        let text = exit.to_string();
        self.clients.retain(|_, client| {
            !client.subscribed || descriptors::send(client.socket.as_fd(), text.as_bytes(), &[]).is_ok()
        });
    }

    /// Closes what is kept, so that nothing holds a file system.
    pub fn close_kept(&mut self) {
        self.kept.clear();
    }
}

/// A line each, the first ones, as many as fit into a packet.
fn list(answer: &mut String, lines: impl Iterator<Item = impl fmt::Display>) {
    for line in lines {
        let before = answer.len();
        let _ = write!(answer, "\n{line}");
        if answer.len() > MAX_PACKET {
            answer.truncate(before);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::socketpair;

    fn end() -> OwnedFd {
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap().0
    }

    #[test]
    fn the_store_counts_descriptors_and_not_names() {
        let mut control = Control::new(end(), 3);
        let mut store =
            |name: &str, count| control.store(name.to_owned(), (0..count).map(|_| end()).collect()).is_ok();
        assert!(store("a", 2) && !store("b", 2) && store("b", 1) && !store("c", 1));
        assert!(store("a", 2), "in place of what was there");
        assert!(!store("a", 3));
    }

    #[test]
    fn of_too_many_clients_the_first_that_waits_for_nothing_gives_way() {
        let (mut control, poller) = (Control::new(end(), 0), Poller::new().unwrap());
        control.admit(end(), &poller);
        control.clients.get_mut(&0).unwrap().subscribed = true;
        for _ in 0..MOST_CLIENTS + 1 {
            control.admit(end(), &poller);
        }
        let numbers: Vec<u32> = control.clients.keys().copied().collect();
        assert_eq!((numbers.len(), numbers[0], numbers[1]), (MOST_CLIENTS, 0, 3));
    }

    #[test]
    fn who_waits_for_exits_gives_way_to_nobody_while_others_can() {
        let (mut control, poller) = (Control::new(end(), 0), Poller::new().unwrap());
        for pid in 0..MOST_CLIENTS as i32 {
            control.admit(end(), &poller);
            // The first two are the monitor's, all others those of processes with one each.
            let client = control.clients.values_mut().next_back().unwrap();
            (client.pid, client.subscribed) = (pid.max(1), pid == 1);
        }
        control.admit(end(), &poller);
        let numbers: Vec<u32> = control.clients.keys().copied().take(3).collect();
        assert_eq!(numbers, [0, 1, 3]);
        control.clients.values_mut().for_each(|client| client.subscribed = true);
        control.admit(end(), &poller);
        assert_eq!(control.clients.len(), MOST_CLIENTS, "somebody new is heard all the same");
        assert!(control.clients.values().any(|client| !client.subscribed));
    }

    #[test]
    fn a_list_ends_with_the_packet() {
        let exit = Exit { seq: 1_000_000, pid: 1_000_000, start_time: 1_000_000_000, status: 65_000 };
        let exits = vec![exit; 4096];
        let mut answer = "ok".to_owned();
        list(&mut answer, exits.iter());
        assert!(answer.len() <= MAX_PACKET && answer.len() > MAX_PACKET - 64);
        assert_eq!(answer.lines().last().unwrap().parse(), Ok(exit));
    }
}
