//! What the service does for containers while it runs: ports that nftables cannot
//! serve are relayed, names are answered.
//!
//! ```text
//! mod ─┬─ wanted     pure: which sockets the records want
//!      ├─ poller     what is awaited
//!      ├─ open       sockets
//!      ├─ room       pure: how many connections there may be
//!      ├─ stream     TCP handed on
//!      ├─ datagrams  UDP handed on
//!      └─ answering ─┬─ directory  pure: who is called what, for whom
//!                    ├─ message    pure: DNS messages
//!                    └─ questions  those that other servers answer
//! ```
//!
//! Everything it must know it reads from the records: at its start, and whenever a
//! verb says that they have changed. Killed, it loses the connections that it was
//! handing on and the questions that it was asking, and nothing else.

mod answering;
mod datagrams;
mod directory;
pub mod message;
mod open;
mod poller;
mod questions;
mod room;
mod stream;
mod wanted;

use crate::containers::folder;
use crate::containers::upkeep::Upkeep;
use crate::now::Now;
use crate::random::Random;
use crate::say::say;
use answering::Asker;
use datagrams::Flows;
use directory::Directory;
use nix::sys::epoll::EpollFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use poller::Poller;
use questions::Pending;
use room::Account;
use spec::network::Protocol;
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use stream::{Outcome, Stream};
use sys::cause::cause;
use sys::descriptors;
use sys::socket::Spare;
use wanted::{Place, Role, wanted};

/// A datagram's greatest length.
const LARGEST: usize = 64 * 1024;
/// The greatest answer to a verb.
const ANSWER: usize = 4096;
/// Most verbs at a time.
const VERBS: usize = 64;
/// A question's connection on which nothing moves for so long is over.
const IDLE: Duration = Duration::from_secs(10);

/// What a descriptor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// Verbs connect here.
    Door,
    /// A verb.
    Verb(u64),
    /// A socket that the records want.
    Listener(Place),
    /// A connection that is handed on.
    Stream(u64),
    /// The container's side of a client's datagrams.
    Flow(Place, SocketAddr),
    /// A question under way.
    Question(u64),
    /// A client that asks by TCP and has not finished its question.
    Asker(u64),
}

#[derive(Debug)]
enum Listening {
    Tcp(OwnedFd),
    Udp(UdpSocket),
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

#[derive(Debug)]
struct Listener {
    role: Role,
    socket: Listening,
    flows: Flows,
}

/// A connection that is handed on.
#[derive(Debug)]
struct HandedOn {
    stream: Stream,
    /// Where it goes when it is refused.
    other: Option<SocketAddr>,
    account: Account,
    /// When it is over, if nothing moves until then.
    until: Option<Duration>,
}

/// Relay and names.
#[derive(Debug)]
pub struct Serving {
    poller: Poller<Source>,
    door: OwnedFd,
    verbs: BTreeMap<u64, OwnedFd>,
    directory: Directory,
    listeners: BTreeMap<Place, Listener>,
    streams: BTreeMap<u64, HandedOn>,
    /// Streams that could move more at once.
    busy: BTreeSet<u64>,
    questions: BTreeMap<u64, Pending>,
    askers: BTreeMap<u64, Asker>,
    servers: Vec<SocketAddr>,
    random: Random,
    buffer: Vec<u8>,
    /// How many descriptors may be open.
    descriptors: u64,
    /// One of them, that gives way when there are no others.
    spare: Spare,
    upkeep: Upkeep,
}

impl Serving {
    /// Serves what the records say.
    ///
    /// # Errors
    /// What it cannot work without.
    pub fn open(random: Random) -> io::Result<Self> {
        if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
        }
        let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        // The door first: a verb that comes while the records are read is heard then.
        let door = door()?;
        let mut poller = Poller::new()?;
        poller.add(Source::Door, door.as_fd(), EpollFlags::EPOLLIN)?;
        let mut serving = Self {
            poller,
            door,
            verbs: BTreeMap::new(),
            directory: Directory::default(),
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            busy: BTreeSet::new(),
            questions: BTreeMap::new(),
            askers: BTreeMap::new(),
            servers: Vec::new(),
            random,
            buffer: vec![0; LARGEST],
            descriptors,
            spare: Spare::default(),
            upkeep: Upkeep::default(),
        };
        serving.follow_records().iter().for_each(|line| say(format_args!("network: {line}")));
        Ok(serving)
    }

    /// Whom to ask for names that are not containers'.
    pub fn set_servers(&mut self, servers: Vec<SocketAddr>) {
        self.servers = servers;
    }

    /// Opens and closes sockets as the records want; gives what could not be done.
    fn follow_records(&mut self) -> Vec<String> {
        let (networks, records) = match (folder::all_networks(), folder::all_records()) {
            (Ok(networks), Ok(records)) => (networks, records),
            (Err(reason), _) | (_, Err(reason)) => return vec![reason],
        };
        let mut faults: Vec<String> =
            networks.faults.into_values().chain(records.faults.into_values()).collect();
        self.directory = Directory { networks: networks.there, records: records.there };
        self.upkeep.begin(Now::read().boot);
        let wanted = wanted(&self.directory.networks, &self.directory.records);
        let stale: Vec<Place> = self
            .listeners
            .iter()
            .filter(|(place, listener)| wanted.get(place) != Some(&listener.role))
            .map(|(&place, _)| place)
            .collect();
        for place in stale {
            let Some(listener) = self.listeners.remove(&place) else { continue };
            self.poller.forget(Source::Listener(place));
            listener.flows.clients().for_each(|client| self.poller.forget(Source::Flow(place, client)));
        }
        let missing: Vec<(Place, Role)> =
            wanted.into_iter().filter(|(place, _)| !self.listeners.contains_key(place)).collect();
        faults.extend(missing.into_iter().filter_map(|(place, role)| self.listen(place, role)));
        faults
    }

    /// What went wrong, if it is worth a word.
    fn listen(&mut self, place: Place, role: Role) -> Option<String> {
        let opened = open::listener(place).and_then(|socket| {
            let socket = match place.protocol {
                Protocol::Tcp => Listening::Tcp(socket),
                Protocol::Udp => Listening::Udp(socket.into()),
                Protocol::Sctp => return Err(ErrorKind::Unsupported.into()),
            };
            self.poller.add(Source::Listener(place), socket.as_fd(), EpollFlags::EPOLLIN)?;
            self.listeners.insert(place, Listener { role, socket, flows: Flows::default() });
            Ok(())
        });
        let error = opened.err()?;
        let Place { protocol, address } = place;
        match role {
            // A kernel without IPv6, and nobody asked for it.
            Role::Relay { named: false, .. } if address.is_ipv6() && error.kind() != ErrorKind::AddrInUse => {
                None
            }
            Role::Relay { to, .. } => Some(format!("relay {address}/{protocol} to {to}: {}", cause(&error))),
            Role::Names => Some(format!("answer names at {address}/{protocol}: {}", cause(&error))),
        }
    }

    /// When [`Self::time_out`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        if !self.busy.is_empty() {
            return Some(Duration::ZERO);
        }
        let questions = self.questions.values().map(|pending| pending.until);
        let askers = self.askers.values().map(|asker| asker.until);
        let streams = self.streams.values().filter_map(|handed_on| handed_on.until);
        questions
            .chain(askers)
            .chain(streams)
            .chain(self.listeners.values().filter_map(|listener| listener.flows.deadline()))
            .chain(self.upkeep.due())
            .min()
    }

    /// Does what is due.
    pub fn time_out(&mut self, now: Duration) {
        for number in std::mem::take(&mut self.busy) {
            self.advance(number, now);
        }
        let due = |until: Duration| until <= now;
        let questions = self.questions.iter().filter(|(_, pending)| due(pending.until));
        let questions: Vec<u64> = questions.map(|(&number, _)| number).collect();
        questions.into_iter().for_each(|number| self.ask_next(number, now));
        let askers = self.askers.iter().filter(|(_, asker)| due(asker.until));
        let askers: Vec<u64> = askers.map(|(&number, _)| number).collect();
        askers.into_iter().for_each(|number| self.let_asker_go(number));
        let streams = self.streams.iter().filter(|(_, handed_on)| handed_on.until.is_some_and(due));
        let streams: Vec<u64> = streams.map(|(&number, _)| number).collect();
        streams.into_iter().for_each(|number| self.let_stream_go(number));
        for (&place, listener) in &mut self.listeners {
            for client in listener.flows.close_idle(now) {
                self.poller.forget(Source::Flow(place, client));
            }
        }
        self.upkeep.time_out(&self.directory.networks, &self.directory.records, now);
    }

    /// Handles what has come.
    pub fn ready(&mut self, now: Duration) {
        for number in self.poller.ready() {
            // Closed by one of the events before.
            let Some(source) = self.poller.member(number) else { continue };
            match source {
                Source::Door => self.open_door(),
                Source::Verb(number) => self.hear(number),
                Source::Listener(place) => self.accept(place, now),
                Source::Stream(number) => self.advance(number, now),
                Source::Flow(place, client) => self.back(place, client, now),
                Source::Question(number) => self.answered(number, now),
                Source::Asker(number) => self.read_asker(number, now),
            }
        }
    }

    fn open_door(&mut self) {
        let Ok(verb) = self.spare.accept(self.door.as_fd()) else { return };
        // Each is heard at once: who says nothing is none, or hangs.
        if self.verbs.len() >= VERBS
            && let Some((silent, _)) = self.verbs.pop_first()
        {
            self.poller.forget(Source::Verb(silent));
        }
        let number = self.poller.number();
        if self.poller.add(Source::Verb(number), verb.as_fd(), EpollFlags::EPOLLIN).is_ok() {
            self.verbs.insert(number, verb);
        }
    }

    /// A verb has changed records: they are followed, then it is told.
    fn hear(&mut self, number: u64) {
        let mut packet = [0; 64];
        let heard = self.verbs.get(&number).is_some_and(|verb| {
            descriptors::receive(verb.as_fd(), &mut packet).is_ok_and(|(length, _)| length > 0)
        });
        if heard {
            let failures = self.follow_records();
            let answer = std::iter::once("ok".to_owned()).chain(failures).collect::<Vec<_>>().join("\n");
            let fitting = &answer.as_bytes()[..answer.len().min(ANSWER)];
            if let Some(verb) = self.verbs.get(&number) {
                let _ = descriptors::send(verb.as_fd(), fitting, &[]);
            }
        } else {
            self.verbs.remove(&number);
            self.poller.forget(Source::Verb(number));
        }
    }

    fn accept(&mut self, place: Place, now: Duration) {
        let Some(listener) = self.listeners.get(&place) else { return };
        match (listener.role, place.protocol) {
            (Role::Relay { to, other, .. }, Protocol::Tcp) => {
                let Ok(client) = self.spare.accept(listener.socket.as_fd()) else { return };
                let client = TcpStream::from(client);
                let is_closed = client.peer_addr().is_ok_and(|address| self.directory.is_closed(address));
                // Who has no room is let go, and hears so at once.
                if !is_closed && self.has_room(Account::Port(place)) {
                    let client = client.into();
                    self.hand_on(client, (to, other), &[], Account::Port(place), now);
                }
            }
            (Role::Relay { to, .. }, Protocol::Udp) => self.forth(place, to, now),
            (Role::Names, Protocol::Tcp) => self.admit_asker(place, now),
            (Role::Names, Protocol::Udp) => self.take_question(place, now),
            (_, Protocol::Sctp) => {}
        }
    }

    fn has_room(&self, new: Account) -> bool {
        let streams = self.streams.values().map(|handed_on| handed_on.account);
        let askers = self.askers.values().map(|asker| Account::Asker(asker.client));
        room::is_left(streams.chain(askers), new, self.descriptors)
    }

    /// Hands a connection on, to the other address when it is refused; without a container there it is let go.
    fn hand_on(
        &mut self,
        client: OwnedFd,
        (to, other): (SocketAddr, Option<SocketAddr>),
        first: &[u8],
        account: Account,
        now: Duration,
    ) {
        let Ok(stream) = Stream::new(client, to, first) else { return };
        let number = self.poller.number();
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        let mut add = |socket| self.poller.add(Source::Stream(number), socket, flags);
        if stream.sockets().into_iter().all(|socket| add(socket).is_ok()) {
            self.streams.insert(number, HandedOn { stream, other, account, until: None });
            self.advance(number, now);
        } else {
            self.poller.forget(Source::Stream(number));
        }
    }

    fn advance(&mut self, number: u64, now: Duration) {
        let Some(HandedOn { stream, account, until, .. }) = self.streams.get_mut(&number) else { return };
        let asks = matches!(account, Account::Asker(_));
        *until = asks.then_some(now + IDLE);
        match stream.advance() {
            // What a client says after the server's last word is no question any more.
            Outcome::Waits | Outcome::Busy if asks && stream.is_answered() => self.let_stream_go(number),
            Outcome::Waits => {}
            Outcome::Busy => _ = self.busy.insert(number),
            Outcome::Refused => self.hand_on_elsewhere(number, now),
            Outcome::Ended => self.let_stream_go(number),
        }
    }

    /// Nobody listens where a connection was handed on to.
    fn hand_on_elsewhere(&mut self, number: u64, now: Duration) {
        let Some(HandedOn { stream, other, account, .. }) = self.streams.remove(&number) else { return };
        self.poller.forget(Source::Stream(number));
        if let Some(to) = other {
            let client = stream.into_client();
            self.poller.release(client.as_fd());
            self.hand_on(client, (to, None), &[], account, now);
        }
    }

    fn let_stream_go(&mut self, number: u64) {
        self.streams.remove(&number);
        self.poller.forget(Source::Stream(number));
    }

    /// Clients' datagrams to the container.
    fn forth(&mut self, place: Place, to: SocketAddr, now: Duration) {
        let Some(Listener { socket: Listening::Udp(socket), flows, .. }) = self.listeners.get_mut(&place)
        else {
            return;
        };
        let directory = &self.directory;
        let taken = |client| !directory.is_closed(client);
        let (new, gone) = flows.forth(socket, to, taken, &mut self.buffer, now);
        gone.into_iter().for_each(|client| self.poller.forget(Source::Flow(place, client)));
        for client in new {
            if let Some(flow) = flows.socket(client) {
                let _ = self.poller.add(Source::Flow(place, client), flow.as_fd(), EpollFlags::EPOLLIN);
            }
        }
    }

    /// The container's datagrams to a client.
    fn back(&mut self, place: Place, client: SocketAddr, now: Duration) {
        if let Some(Listener { socket: Listening::Udp(socket), flows, .. }) = self.listeners.get_mut(&place) {
            flows.back(socket, client, &mut self.buffer, now);
        }
    }
}

impl AsFd for Serving {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

/// Where verbs knock; a killed program's socket file gives way.
fn door() -> io::Result<OwnedFd> {
    let path = Path::new(paths::NETWORK_SOCKET);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let door = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    bind(door.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&door, Backlog::new(64)?)?;
    Ok(door)
}
