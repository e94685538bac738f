//! What an SNTP client does next, a pure state machine.
//!
//! ```text
//!   Idle ──due──► Resolving ──addresses──► Asking ──answers, or silence──► Idle
//! ```
//!
//! A round asks up to four servers at once and believes the one in the middle, so
//! that of three a wrong one does no harm. Far off, the clock is set; near, the
//! kernel slews it. Rounds become rarer while the clock stays right, and while
//! nobody answers.

use super::lookup::Lookup;
use super::packet::{self, Answer, Sample};
use crate::now::Now;
use crate::random::Random;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 123;
/// The kernel slews no more than this (adjtimex(2)).
const STEP: i128 = 500_000_000;
/// How long answers are awaited.
const PATIENCE: Duration = Duration::from_secs(3);
const SHORTEST: Duration = Duration::from_secs(64);
const LONGEST: Duration = Duration::from_secs(2048);
const FIRST_RETRY: Duration = Duration::from_secs(4);
/// Rounds without success before that is worth a line.
const QUIET_ROUNDS: u32 = 3;

/// Whom to ask, and whether there is a network to do it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Time servers, names or addresses.
    pub servers: Vec<String>,
    /// Name servers.
    pub dns: Vec<SocketAddr>,
    /// Whether some interface has an address.
    pub online: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Other servers, or the network has come or gone.
    Sources(Sources),
    /// A datagram came.
    Received(SocketAddr, &'a [u8]),
    /// [`Client::deadline`] has passed.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this datagram.
    Send(SocketAddr, Vec<u8>),
    /// Add this many nanoseconds to the clock at once.
    Step(i128),
    /// Let the kernel add them bit by bit until about the next round.
    Slew(i64, Duration),
    /// Say this.
    Report(Report),
}

/// What a user should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The clock was far off and was set.
    Stepped(i128, IpAddr),
    /// The clock is near; said once.
    Near(i128, IpAddr),
    /// Names of servers have no address.
    Unknown,
    /// No server answers.
    NoAnswer,
    /// A server's time is before the image was made.
    TooEarly(IpAddr),
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Stepped(by, server) => {
                write!(out, "set by {} seconds, after {server}", Milliseconds(by))
            }
            Self::Near(by, server) => {
                write!(out, "{} seconds from {server}", Milliseconds(by))
            }
            Self::Unknown => out.write_str("no address of a time server found, still asking"),
            Self::NoAnswer => out.write_str("no answer from a time server, still asking"),
            Self::TooEarly(server) => {
                write!(out, "{server} shows a time before this image was made: not believed")
            }
        }
    }
}

/// Nanoseconds as seconds with a sign and three digits.
struct Milliseconds(i128);

impl fmt::Display for Milliseconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let milliseconds = self.0.unsigned_abs() / 1_000_000;
        write!(out, "{sign}{}.{:03}", milliseconds / 1000, milliseconds % 1000)
    }
}

#[derive(Clone, Debug)]
struct Probe {
    server: IpAddr,
    nonce: u64,
    sent: Duration,
    sample: Option<Sample>,
    over: bool,
}

#[derive(Clone, Debug)]
enum State {
    Idle(Option<Duration>),
    Resolving(Lookup),
    Asking(Vec<Probe>, Duration),
}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    random: Random,
    /// Since 1970; no clock that is right shows less.
    floor: Duration,
    sources: Sources,
    state: State,
    interval: Duration,
    failures: u32,
    content: bool,
    /// Servers that do not want to be asked.
    unwilling: Vec<IpAddr>,
}

/// The client after an event, and what it wants done, in order.
pub type Next = (Client, Vec<Action>);

impl Client {
    /// A client that knows no server. No time before `floor` is believed.
    pub fn new(random: Random, floor: Duration) -> Self {
        let sources = Sources::default();
        Self {
            random,
            floor,
            sources,
            state: State::Idle(None),
            interval: SHORTEST,
            failures: 0,
            content: false,
            unwilling: Vec::new(),
        }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Idle(due) => *due,
            State::Resolving(lookup) => Some(lookup.deadline()),
            State::Asking(_, until) => Some(*until),
        }
    }

    /// Whether a datagram is awaited.
    pub fn listens(&self) -> bool {
        !matches!(self.state, State::Idle(_))
    }

    /// Takes an event.
    pub fn next(mut self, event: Event<'_>, now: Now) -> Next {
        let state = std::mem::replace(&mut self.state, State::Idle(None));
        match event {
            Event::Sources(sources) if sources == self.sources => self.stay(state),
            Event::Sources(sources) => self.sources(sources, now),
            Event::Timeout => self.time_out(state, now),
            Event::Received(from, bytes) => self.received(state, from, bytes, now),
        }
    }

    fn stay(self, state: State) -> Next {
        (Self { state, ..self }, Vec::new())
    }

    fn sources(mut self, sources: Sources, now: Now) -> Next {
        self.sources = sources;
        self.failures = 0;
        if self.sources.servers.is_empty() || !self.sources.online {
            return self.stay(State::Idle(None));
        }
        self.round(now)
    }

    fn round(mut self, now: Now) -> Next {
        let mut lookup = Lookup::new(&self.sources.servers, &self.sources.dns);
        let actions = lookup.ask(&mut self.random, now.boot);
        self.looked(lookup, actions, now)
    }

    fn looked(mut self, lookup: Lookup, actions: Vec<Action>, now: Now) -> Next {
        match lookup.done() {
            None => {
                self.state = State::Resolving(lookup);
                (self, actions)
            }
            Some([]) => self.failed(Report::Unknown, now),
            Some(servers) => self.ask(servers, now),
        }
    }

    fn ask(mut self, servers: &[IpAddr], now: Now) -> Next {
        let willing = servers.iter().filter(|server| !self.unwilling.contains(server));
        let random = &mut self.random;
        let probes: Vec<Probe> = willing
            .map(|&server| Probe { server, nonce: random.next(), sent: now.wall, sample: None, over: false })
            .collect();
        if probes.is_empty() {
            return self.failed(Report::NoAnswer, now);
        }
        let send = |probe: &Probe| {
            Action::Send(SocketAddr::new(probe.server, PORT), packet::request(probe.nonce).to_vec())
        };
        let actions = probes.iter().map(send).collect();
        self.state = State::Asking(probes, now.boot + PATIENCE);
        (self, actions)
    }

    fn received(mut self, state: State, from: SocketAddr, bytes: &[u8], now: Now) -> Next {
        match state {
            State::Idle(_) => self.stay(state),
            State::Resolving(mut lookup) => {
                let actions = lookup.received(from, bytes, &mut self.random, now.boot);
                self.looked(lookup, actions, now)
            }
            State::Asking(mut probes, until) => {
                let probe = probes.iter_mut().find(|probe| from == SocketAddr::new(probe.server, PORT));
                probe.into_iter().for_each(|probe| self.answered(probe, bytes, now));
                if probes.iter().all(|probe| probe.over) {
                    return self.conclude(&probes, now);
                }
                self.stay(State::Asking(probes, until))
            }
        }
    }

    fn answered(&mut self, probe: &mut Probe, bytes: &[u8], now: Now) {
        let answer = packet::answer(bytes, probe.nonce, probe.sent, now.wall, self.pivot());
        let Some(answer) = answer.filter(|_| !probe.over) else { return };
        probe.over = true;
        match answer {
            Answer::Sample(sample) => probe.sample = Some(sample),
            Answer::Slower => self.interval = LONGEST,
            Answer::Leave => self.unwilling.push(probe.server),
        }
    }

    /// Tells the round of 136 years: the image is not older than half of one.
    fn pivot(&self) -> Duration {
        self.floor.max(Duration::from_secs(1_767_225_600)) // 2026
    }

    fn time_out(mut self, state: State, now: Now) -> Next {
        match state {
            State::Idle(Some(due)) if due <= now.boot => self.round(now),
            State::Resolving(mut lookup) if lookup.deadline() <= now.boot => {
                let actions = lookup.time_out(&mut self.random, now.boot);
                self.looked(lookup, actions, now)
            }
            State::Asking(probes, until) if until <= now.boot => self.conclude(&probes, now),
            early => self.stay(early),
        }
    }

    fn conclude(self, probes: &[Probe], now: Now) -> Next {
        let Some((server, sample)) = middle(probes) else { return self.failed(Report::NoAnswer, now) };
        if (now.wall.as_nanos() as i128) + sample.offset < self.floor.as_nanos() as i128 {
            return self.failed(Report::TooEarly(server), now);
        }
        self.measured(server, sample.offset, now)
    }

    fn measured(mut self, server: IpAddr, offset: i128, now: Now) -> Next {
        let mut actions = Vec::new();
        if offset.abs() > STEP {
            self.interval = SHORTEST;
            actions.extend([Action::Step(offset), Action::Report(Report::Stepped(offset, server))]);
        } else {
            actions.push(Action::Slew(offset as i64, self.interval));
            let news = (!self.content).then_some(Action::Report(Report::Near(offset, server)));
            actions.extend(news);
        }
        self.content = true;
        self.failures = 0;
        self.state = State::Idle(Some(now.boot + self.random.around(self.interval)));
        self.interval = (self.interval * 2).min(LONGEST);
        (self, actions)
    }

    fn failed(mut self, why: Report, now: Now) -> Next {
        self.failures = self.failures.saturating_add(1);
        let news =
            self.failures == QUIET_ROUNDS || (self.failures == 1 && matches!(why, Report::TooEarly(_)));
        if news {
            self.content = false;
        }
        let wait = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST);
        self.state = State::Idle(Some(now.boot + self.random.around(wait)));
        (self, news.then_some(Action::Report(why)).into_iter().collect())
    }
}

/// The sample in the middle; of two in the middle that which travelled faster.
fn middle(probes: &[Probe]) -> Option<(IpAddr, Sample)> {
    let mut samples: Vec<(IpAddr, Sample)> =
        probes.iter().filter_map(|probe| Some((probe.server, probe.sample?))).collect();
    samples.sort_by_key(|(_, sample)| sample.offset);
    let (low, high) = (samples.len().saturating_sub(1) / 2, samples.len() / 2);
    samples.get(low..=high)?.iter().min_by_key(|(_, sample)| sample.delay).copied()
}

#[cfg(test)]
mod tests;
