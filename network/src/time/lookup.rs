//! Which addresses have the time servers' names: questions to name servers, one
//! at a time, each repeated at the next server when there is no answer.

use super::client::Action;
use crate::dns::{self, Record};
use crate::random::Random;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Before a question goes to the next name server.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a question is asked, whatever the number of name servers.
const ATTEMPTS: usize = 4;
/// Most time servers that are asked.
const MOST: usize = 4;

/// A look-up under way, or done.
#[derive(Clone, Debug)]
pub struct Lookup {
    dns: Vec<SocketAddr>,
    names: VecDeque<(String, Record)>,
    question: Vec<u8>,
    attempt: usize,
    until: Duration,
    each: usize,
    found: Vec<IpAddr>,
}

impl Lookup {
    /// Servers given as addresses need no question. Of one name all addresses are
    /// taken (a pool's name stands for many servers), of several one each.
    pub fn new(servers: &[String], dns: &[SocketAddr]) -> Self {
        let addresses = servers.iter().filter_map(|server| server.parse().ok());
        let names = servers.iter().filter(|server| server.parse::<IpAddr>().is_err());
        Self {
            dns: dns.to_vec(),
            names: names.map(|name| (name.clone(), Record::A)).collect(),
            question: Vec::new(),
            attempt: 0,
            until: Duration::ZERO,
            each: if servers.len() == 1 { MOST } else { 1 },
            found: addresses.take(MOST).collect(),
        }
    }

    /// The addresses, once there is nothing left to ask.
    pub fn done(&self) -> Option<&[IpAddr]> {
        let over = self.names.is_empty() || self.dns.is_empty() || self.found.len() >= MOST;
        over.then_some(&self.found)
    }

    /// When [`Self::time_out`] is due.
    pub fn deadline(&self) -> Duration {
        self.until
    }

    /// Asks the first question that is left.
    pub fn ask(&mut self, random: &mut Random, now: Duration) -> Vec<Action> {
        self.attempt = 0;
        while let Some((name, record)) = self.names.front().filter(|_| self.done().is_none()) {
            if let Some(question) = dns::question(random.next() as u16, name, *record) {
                self.question = question;
                return self.send(now);
            }
            self.names.pop_front(); // No name that anyone could know.
        }
        Vec::new()
    }

    fn send(&mut self, now: Duration) -> Vec<Action> {
        self.until = now + PATIENCE;
        vec![Action::Send(self.server(), self.question.clone())]
    }

    fn server(&self) -> SocketAddr {
        self.dns[self.attempt % self.dns.len()]
    }

    /// Takes a datagram.
    pub fn received(
        &mut self,
        from: SocketAddr,
        bytes: &[u8],
        random: &mut Random,
        now: Duration,
    ) -> Vec<Action> {
        if self.done().is_some() || from != self.server() {
            return Vec::new();
        }
        let Some(addresses) = dns::answer(&self.question, bytes) else { return Vec::new() };
        let none = addresses.is_empty();
        self.found.extend(addresses.into_iter().take(self.each.min(MOST - self.found.len())));
        self.next_question(none, random, now)
    }

    /// Asks the next server, or the next question.
    pub fn time_out(&mut self, random: &mut Random, now: Duration) -> Vec<Action> {
        self.attempt += 1;
        if self.attempt < ATTEMPTS {
            return self.send(now);
        }
        self.next_question(false, random, now)
    }

    /// A name without IPv4 addresses may have one of IPv6.
    fn next_question(&mut self, no_address: bool, random: &mut Random, now: Duration) -> Vec<Action> {
        if let Some((name, record)) = self.names.pop_front()
            && no_address
            && record == Record::A
        {
            self.names.push_front((name, Record::Aaaa));
        }
        self.ask(random, now)
    }
}
