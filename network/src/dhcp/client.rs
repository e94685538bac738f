//! What a DHCP client does next (RFC 2131 §4.4), a pure state machine.
//!
//! ```text
//!            no carrier                 ACK               T1            T2
//!   Off ◄──────────────── any      ┌──────────► Bound ──────► Renewing ──────► Rebinding
//!    │ carrier                     │              ▲  ▲ ACK        │ ACK            │ ACK
//!    ├──────► Selecting ─OFFER─► Requesting       │  └────────────┴────────────────┤
//!    │            ▲    ◄─no answer─┘ │ NAK        │ ACK, or no answer               │ NAK,
//!    │            └──── Pausing ◄────┴────────────┼─────────────────────────────────┘ expiry
//!    └─ with a lease ──────────────► Rebooting ───┘
//! ```
//!
//! A program that was killed comes back with the lease that it had written down:
//! it takes the address over at once and asks for it in `Rebooting`, so nothing
//! that uses the address notices. The same happens when a cable was pulled out.

use super::action::{Action, Event, Identity, Report, To};
use super::lease::{Lease, usable};
use super::message::{Kind, Message, option};
use crate::random::Random;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Before a question is repeated the first time. RFC 2131 proposes four seconds;
/// a link that drops its first packets would make every boot wait for them.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(64);
/// Requests without an answer before a new server is looked for.
const REQUESTS: u32 = 4;
/// Requests for a known address before it is used unconfirmed.
const REBOOT_REQUESTS: u32 = 3;
/// Discoveries without an answer before that is worth a line.
const QUIET_DISCOVERIES: u32 = 3;

/// Options that a server is asked for; 121 must stand before 3 (RFC 3442).
const PARAMETERS: [u8; 12] = [
    option::SUBNET_MASK,
    option::CLASSLESS_ROUTES,
    option::ROUTER,
    option::DNS,
    option::HOST_NAME,
    option::DOMAIN,
    option::MTU,
    option::NTP,
    option::LEASE_TIME,
    option::RENEWAL_TIME,
    option::REBINDING_TIME,
    option::SEARCH,
];

/// A question under way.
#[derive(Clone, Debug)]
struct Asking {
    xid: u32,
    since: Duration,
    /// When the last message left; a lease counts from there.
    sent: Duration,
    tries: u32,
    again: Duration,
}

#[derive(Clone, Debug)]
enum State {
    Off(Option<Lease>),
    Selecting(Asking),
    Requesting(Asking, Offer),
    Rebooting(Asking, Lease),
    Pausing(Duration),
    Bound(Lease),
    Renewing(Asking, Lease),
    Rebinding(Asking, Lease),
}

#[derive(Clone, Copy, Debug)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

/// The client of one interface.
#[derive(Clone, Debug)]
pub struct Client {
    identity: Identity,
    random: Random,
    refusals: u32,
    complained: bool,
    state: State,
}

/// The client after an event, and what it wants done, in order.
pub type Next = (Client, Vec<Action>);

impl Client {
    /// A client without carrier; `lease` is that of a program before it.
    pub fn new(identity: Identity, random: Random, lease: Option<Lease>) -> Self {
        Self { identity, random, refusals: 0, complained: false, state: State::Off(lease) }
    }

    /// When [`Event::Timeout`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        let end = self.state.held().and_then(|lease| lease.term.end());
        self.state.due().into_iter().chain(end).min()
    }

    /// Whether an answer is awaited.
    pub fn listens(&self) -> bool {
        self.state.asking().is_some()
    }

    /// Takes an event.
    pub fn next(mut self, event: Event, now: Duration) -> Next {
        let state = std::mem::replace(&mut self.state, State::Off(None));
        match event {
            Event::Carrier => self.carrier(state, now),
            Event::NoCarrier => self.stay(State::Off(state.lease())),
            Event::Received(message) => self.received(state, &message, now),
            Event::Timeout => self.timeout(state, now),
        }
    }

    fn carrier(self, state: State, now: Duration) -> Next {
        match state {
            State::Off(Some(lease)) if lease.term.holds(now) => self.reboot(lease, now),
            State::Off(Some(lease)) => self.expire(lease, now),
            State::Off(None) => self.select(now),
            other => self.stay(other),
        }
    }

    fn received(self, state: State, message: &Message, now: Duration) -> Next {
        let asked = state.asking().is_some_and(|asking| asking.xid == message.xid);
        if !asked || message.chaddr != self.identity.mac {
            return self.stay(state);
        }
        let server = message.address(option::SERVER);
        match (state, message.kind) {
            (State::Selecting(asking), Kind::Offer) => match offer(message) {
                Some(offer) => self.request(Asking { tries: 0, ..asking }, offer, now),
                None => self.stay(State::Selecting(asking)),
            },
            (State::Requesting(asking, offer), kind)
                if server != Some(offer.server) || kind == Kind::Offer =>
            {
                self.stay(State::Requesting(asking, offer))
            }
            (State::Requesting(..), Kind::Nak) => self.refused(None, message, now),
            (
                State::Rebooting(_, lease) | State::Renewing(_, lease) | State::Rebinding(_, lease),
                Kind::Nak,
            ) => self.refused(Some(lease), message, now),
            (state, Kind::Ack) => self.acknowledged(state, message),
            (state, _) => self.stay(state),
        }
    }

    fn acknowledged(mut self, state: State, ack: &Message) -> Next {
        let sent = state.asking().map(|asking| asking.sent);
        let Some(lease) = sent.and_then(|sent| Lease::from_ack(ack, sent)) else {
            return self.stay(state);
        };
        let quiet = matches!(state, State::Renewing(..)) && !self.complained;
        let mut actions = Vec::new();
        let before = state.lease();
        let same = before.as_ref().is_some_and(|before| before.address == lease.address);
        actions.extend(before.filter(|_| !same).map(Action::Remove));
        actions.push(Action::Configure(lease.clone(), Some(ack.clone())));
        if !(quiet && same) {
            actions.push(Action::Report(Report::Leased(lease.clone())));
        }
        self.refusals = 0;
        self.complained = false;
        self.state = State::Bound(lease);
        (self, actions)
    }

    fn timeout(mut self, state: State, now: Duration) -> Next {
        if let Some(lease) = state.held().filter(|lease| !lease.term.holds(now)) {
            let lease = lease.clone();
            return match state {
                State::Off(_) => self.expire_without_carrier(lease),
                _ => self.expire(lease, now),
            };
        }
        if state.due().is_none_or(|due| now < due) {
            return self.stay(state);
        }
        match state {
            State::Off(_) => self.stay(state),
            State::Pausing(_) => self.select(now),
            State::Selecting(asking) => self.discover(asking, now),
            State::Requesting(asking, _) if asking.tries >= REQUESTS => self.select(now),
            State::Requesting(asking, offer) => self.request(asking, offer, now),
            State::Rebooting(asking, lease) if asking.tries >= REBOOT_REQUESTS => self.unconfirmed(lease),
            State::Rebooting(asking, lease) => self.ask_again(asking, lease, now),
            State::Bound(lease) => {
                let asking = self.asking(now);
                self.renew(asking, lease, now)
            }
            State::Renewing(asking, lease) => self.renew(asking, lease, now),
            State::Rebinding(asking, lease) => self.rebind(asking, lease, now),
        }
    }

    /// Looks for a server.
    fn select(mut self, now: Duration) -> Next {
        let asking = self.asking(now);
        self.discover(asking, now)
    }

    fn discover(mut self, asking: Asking, now: Duration) -> Next {
        let mut actions = Vec::new();
        if asking.tries == QUIET_DISCOVERIES && !self.complained {
            self.complained = true;
            actions.push(Action::Report(Report::NoAnswer));
        }
        let asking = self.sent(asking, now);
        actions.push(Action::Send(self.message(Kind::Discover, &asking, []), To::Link));
        self.state = State::Selecting(asking);
        (self, actions)
    }

    /// Asks for what was offered.
    fn request(mut self, asking: Asking, offer: Offer, now: Duration) -> Next {
        let asking = self.sent(asking, now);
        let options = [(option::REQUESTED_ADDRESS, offer.address), (option::SERVER, offer.server)];
        let message = self.message(Kind::Request, &asking, options);
        self.state = State::Requesting(asking, offer);
        (self, vec![Action::Send(message, To::Link)])
    }

    /// Takes a lease of before over and asks whether it still holds here.
    fn reboot(mut self, lease: Lease, now: Duration) -> Next {
        let asking = self.asking(now);
        let adopt = Action::Configure(lease.clone(), None);
        let (client, mut actions) = self.ask_again(asking, lease, now);
        actions.insert(0, adopt);
        (client, actions)
    }

    fn ask_again(mut self, asking: Asking, lease: Lease, now: Duration) -> Next {
        let asking = self.sent(asking, now);
        let message = self.message(Kind::Request, &asking, [(option::REQUESTED_ADDRESS, lease.address)]);
        self.state = State::Rebooting(asking, lease);
        (self, vec![Action::Send(message, To::Link)])
    }

    /// RFC 2131 §3.2: without an answer the rest of the lease may be used.
    fn unconfirmed(self, lease: Lease) -> Next {
        let report = Action::Report(Report::Unconfirmed(lease.clone()));
        (Self { state: State::Bound(lease), ..self }, vec![report])
    }

    fn renew(mut self, asking: Asking, lease: Lease, now: Duration) -> Next {
        let Some(rebind) = lease.term.rebind().filter(|&rebind| now < rebind) else {
            return self.rebind(asking, lease, now);
        };
        let again = self.half_way(now, rebind, &lease);
        let asking = Asking { sent: now, again, tries: asking.tries + 1, ..asking };
        let message = self.renewal(&asking, lease.address);
        let to = To::Server(lease.address, lease.server);
        self.state = State::Renewing(asking, lease);
        (self, vec![Action::Send(message, to)])
    }

    fn rebind(mut self, asking: Asking, lease: Lease, now: Duration) -> Next {
        let mut actions = Vec::new();
        if !self.complained {
            self.complained = true;
            actions.push(Action::Report(Report::NotRenewed(lease.clone())));
        }
        let end = lease.term.end().unwrap_or(Duration::MAX);
        let again = self.half_way(now, end, &lease);
        let asking = Asking { sent: now, again, tries: asking.tries + 1, ..asking };
        actions.push(Action::Send(self.renewal(&asking, lease.address), To::Broadcast(lease.address)));
        self.state = State::Rebinding(asking, lease);
        (self, actions)
    }

    fn refused(mut self, lease: Option<Lease>, nak: &Message, now: Duration) -> Next {
        let mut actions: Vec<Action> = lease.map(Action::Remove).into_iter().collect();
        actions.push(Action::Report(Report::Refused(nak.text(option::TEXT))));
        let pause = retry(self.refusals) / 2;
        self.refusals += 1;
        self.state = State::Pausing(now + self.random.around(pause));
        (self, actions)
    }

    fn expire(mut self, lease: Lease, now: Duration) -> Next {
        self.complained = false;
        let (client, mut actions) = self.select(now);
        actions.splice(0..0, [Action::Remove(lease), Action::Report(Report::Expired)]);
        (client, actions)
    }

    fn expire_without_carrier(self, lease: Lease) -> Next {
        let actions = vec![Action::Remove(lease), Action::Report(Report::Expired)];
        (Self { state: State::Off(None), ..self }, actions)
    }

    fn stay(self, state: State) -> Next {
        (Self { state, ..self }, Vec::new())
    }

    fn asking(&mut self, now: Duration) -> Asking {
        Asking { xid: self.random.next() as u32, since: now, sent: now, tries: 0, again: now }
    }

    fn sent(&mut self, asking: Asking, now: Duration) -> Asking {
        let again = now + self.random.around(retry(asking.tries));
        Asking { sent: now, again, tries: asking.tries + 1, ..asking }
    }

    /// Half the time until `limit`, as RFC 2131 §4.4.5 has it; its least of a
    /// minute only for leases that are long enough for it.
    fn half_way(&mut self, now: Duration, limit: Duration, lease: &Lease) -> Duration {
        let whole = lease.term.limits.map_or(Duration::MAX, |limits| limits.end);
        let least = (whole / 16).clamp(Duration::from_secs(1), Duration::from_secs(60));
        let wait = (limit.saturating_sub(now) / 2).max(least);
        now + self.random.around(wait)
    }

    fn renewal(&self, asking: &Asking, address: Ipv4Addr) -> Message {
        Message { ciaddr: address, ..self.message(Kind::Request, asking, []) }
    }

    fn message<const N: usize>(
        &self,
        kind: Kind,
        asking: &Asking,
        addresses: [(u8, Ipv4Addr); N],
    ) -> Message {
        let mut client = vec![1]; // Ethernet
        client.extend(self.identity.mac.0);
        let mut options = BTreeMap::from([
            (option::CLIENT, client),
            (option::PARAMETERS, PARAMETERS.to_vec()),
            (option::LARGEST, 1472_u16.to_be_bytes().to_vec()),
        ]);
        options.extend(
            self.identity.host_name.as_ref().map(|name| (option::HOST_NAME, name.clone().into_bytes())),
        );
        options.extend(addresses.map(|(code, address)| (code, address.octets().to_vec())));
        Message {
            kind,
            xid: asking.xid,
            secs: u16::try_from((asking.sent - asking.since).as_secs()).unwrap_or(u16::MAX),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            chaddr: self.identity.mac,
            options,
        }
    }
}

impl State {
    fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Selecting(asking)
            | Self::Requesting(asking, _)
            | Self::Rebooting(asking, _)
            | Self::Renewing(asking, _)
            | Self::Rebinding(asking, _) => Some(asking),
            Self::Off(_) | Self::Pausing(_) | Self::Bound(_) => None,
        }
    }

    fn held(&self) -> Option<&Lease> {
        match self {
            Self::Off(lease) => lease.as_ref(),
            Self::Rebooting(_, lease)
            | Self::Bound(lease)
            | Self::Renewing(_, lease)
            | Self::Rebinding(_, lease) => Some(lease),
            Self::Selecting(_) | Self::Requesting(..) | Self::Pausing(_) => None,
        }
    }

    fn lease(self) -> Option<Lease> {
        self.held().cloned()
    }

    /// When the state's own time is up, the lease's end aside.
    fn due(&self) -> Option<Duration> {
        match self {
            Self::Off(_) => None,
            Self::Pausing(until) => Some(*until),
            Self::Bound(lease) => lease.term.renew(),
            Self::Renewing(asking, lease) => {
                Some(lease.term.rebind().map_or(asking.again, |rebind| rebind.min(asking.again)))
            }
            other => other.asking().map(|asking| asking.again),
        }
    }
}

/// 2, 4, 8, 16, 32, then 64 seconds.
fn retry(tries: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << tries.min(5)).min(LONGEST_RETRY)
}

fn offer(message: &Message) -> Option<Offer> {
    let server = message.address(option::SERVER)?;
    usable(message.yiaddr).then_some(Offer { address: message.yiaddr, server })
}

#[cfg(test)]
mod tests;
