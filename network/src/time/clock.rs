//! Does what the client wants: datagrams, and the kernel's clock.

use super::client::{Action, Client, Event, Sources};
use crate::now::Now;
use crate::random::Random;
use crate::say::{attempt, say};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use sys::cause::cause;

/// More than any answer that is understood.
const LARGEST: usize = 4096;

/// The client and its sockets. They are open while a round lasts: the kernel
/// picks other ports for the next one, which makes answers harder to forge.
#[derive(Debug)]
pub struct Clock {
    client: Client,
    sockets: Vec<UdpSocket>,
}

impl Clock {
    /// A clock that no server is known for. No time before `floor` is believed.
    pub fn new(random: Random, floor: Duration) -> Self {
        Self { client: Client::new(random, floor), sockets: Vec::new() }
    }

    /// Takes the servers that are known by now.
    pub fn follow(&mut self, sources: Sources) {
        self.give(Event::Sources(sources));
    }

    /// Does what is due.
    pub fn time_out(&mut self, now: Duration) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.give(Event::Timeout);
        }
    }

    /// When [`Self::time_out`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.client.deadline()
    }

    /// The sockets on which answers are awaited.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(AsFd::as_fd)
    }

    /// Reads what came.
    pub fn receive(&mut self) {
        let mut buffer = [0; LARGEST];
        while let Some((length, from)) =
            self.sockets.iter().find_map(|socket| socket.recv_from(&mut buffer).ok())
        {
            self.give(Event::Received(from, &buffer[..length]));
        }
    }

    fn give(&mut self, event: Event<'_>) {
        let (client, actions) = self.client.clone().next(event, Now::read());
        self.client = client;
        if self.client.listens() && self.sockets.is_empty() {
            let any = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), (Ipv6Addr::UNSPECIFIED, 0).into()];
            self.sockets = any.into_iter().filter_map(|address| open(address).ok()).collect();
        }
        actions.into_iter().for_each(|action| self.perform(action));
        if !self.client.listens() {
            self.sockets.clear();
        }
    }

    /// What cannot be sent counts as not answered.
    fn perform(&self, action: Action) {
        match action {
            Action::Send(to, bytes) => {
                let family = |socket: &&UdpSocket| {
                    socket.local_addr().is_ok_and(|address| address.is_ipv4() == to.is_ipv4())
                };
                let socket = self.sockets.iter().find(family);
                let _ = socket.map(|socket| socket.send_to(&bytes, to));
            }
            Action::Step(by) => _ = attempt(format_args!("set the clock"), step(by)),
            Action::Slew(by, interval) => {
                if let Err(error) = sys::clock::slew(by, interval) {
                    say(format_args!("slew the clock: {}", cause(&error)));
                }
            }
            Action::Report(report) => say(format_args!("clock: {report}")),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn step(by: i128) -> io::Result<()> {
    let nanoseconds = (Now::read().wall.as_nanos() as i128 + by).max(0) as u128;
    let time = Duration::from_nanos_u128(nanoseconds);
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from(time))?;
    sys::clock::declare_synchronised()
}
