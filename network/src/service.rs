//! The node's network as a whole: takes notices, messages and time-outs, hands
//! them to the machines that decide, and does what those want done.
//!
//! Whatever fails is said once and left at that: the machines ask again in time,
//! and nothing here is worth ending the program for.

use crate::config::Node;
use crate::dhcp::action::{Action, Event, Identity, To};
use crate::dhcp::client::Client;
use crate::dhcp::lease::{self, Lease};
use crate::dhcp::message::{Message, Side};
use crate::dhcp::socket::Socket;
use crate::interface::{self, Interface, Plan, Progress};
use crate::names::{NameServer, Names};
use crate::netlink::address::Autoconfigured;
use crate::netlink::advertisement::Advertisement;
use crate::netlink::link::{Link, Notice};
use crate::netlink::route::{Origin, Route};
use crate::netlink::{address, link, route};
use crate::random::Random;
use crate::say::{attempt, say};
use crate::state::State;
use crate::time::client::Sources;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use std::{fs, io};
use sys::netlink::Netlink;

/// Everything but the event loop.
#[derive(Debug)]
pub struct Service {
    node: Node,
    kernel: Netlink,
    state: State,
    random: Random,
    /// Whom to ask for names and the time.
    pub names: Names,
    interfaces: BTreeMap<u32, Interface>,
    /// When it is said which of those that are configured have not come.
    patience: Option<Duration>,
}

impl Service {
    /// A service that knows no interface yet.
    pub fn new(node: Node, kernel: Netlink, state: State, random: Random, now: Duration) -> Self {
        let names = Names::new(node.network.clone());
        let patience = Some(now + interface::CARRIER_PATIENCE);
        Self { node, kernel, state, random, names, interfaces: BTreeMap::new(), patience }
    }

    /// Looks at every interface there is: at the start, and when notices were lost.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn look(&mut self, now: Duration) -> io::Result<()> {
        let mut found = Vec::new();
        self.kernel.dump(link::list(), |kind, body| found.extend(link::parse(kind, body)))?;
        let present = |index: &u32| {
            found.iter().any(|notice| matches!(notice, Notice::Changed(link) if link.index == *index))
        };
        let gone: Vec<u32> = self.interfaces.keys().copied().filter(|index| !present(index)).collect();
        gone.into_iter().for_each(|index| self.gone(index));
        found.into_iter().for_each(|notice| self.notice(notice, now));
        Ok(())
    }

    /// Takes a notice about a link.
    pub fn notice(&mut self, notice: Notice, now: Duration) {
        match notice {
            Notice::Gone(index) => self.gone(index),
            Notice::Changed(link) if self.interfaces.contains_key(&link.index) => self.changed(link, now),
            Notice::Changed(link) if interface::ours(&link, &self.node.network) => self.come(link, now),
            Notice::Changed(_) => {}
        }
    }

    /// Takes a notice about an address that the kernel made.
    pub fn autoconfigured(&mut self, notice: Autoconfigured) {
        let Some(interface) = self.interfaces.get_mut(&notice.index) else { return };
        if !notice.there {
            interface.autoconfigured.remove(&notice.address);
            return;
        }
        interface.progress = Progress::Configured;
        if interface.autoconfigured.insert(notice.address) {
            let name = &interface.link.name;
            say(format_args!("{name}: {}/{} from a router's advertisement", notice.address, notice.prefix));
        }
    }

    /// Takes what a router advertised.
    pub fn advertised(&mut self, advertisement: Advertisement, now: Duration) {
        let ours = self.interfaces.get(&advertisement.index).is_some_and(|interface| interface.plan.slaac);
        if !ours {
            return;
        }
        if let Some((name, list)) = self.names.advertise(advertisement, now) {
            attempt(
                format_args!("{name}: write down a router's advertisement"),
                self.state.keep_advertised(name, list),
            );
        }
    }

    fn gone(&mut self, index: u32) {
        self.names.remove(index);
        if let Some(interface) = self.interfaces.remove(&index) {
            say(format_args!("{}: gone", interface.link.name));
        }
    }

    fn come(&mut self, link: Link, now: Duration) {
        let (index, name) = (link.index, link.name.clone());
        let plan = interface::plan(&name, &self.node.network);
        let client = plan.dhcp.then(|| self.client(&link, now));
        self.names.add(index, &name, self.state.advertised(&name));
        let carrier = link.carrier;
        let interface = Interface::new(link, plan, client, now);
        self.set_up(index, &interface.link.name, &interface.plan);
        self.interfaces.insert(index, interface);
        self.carrier(index, carrier, now);
    }

    fn client(&mut self, link: &Link, now: Duration) -> Client {
        let host_name = self.node.hostname.as_ref().map(ToString::to_string);
        let lease = self.state.lease(&link.name, now);
        Client::new(Identity { mac: link.mac, host_name }, self.random.fork(), lease)
    }

    /// Switches an interface on and gives it what is configured. The kernel reads
    /// its settings for router advertisements when the link comes up.
    fn set_up(&mut self, index: u32, name: &str, plan: &Plan) {
        accept_advertisements(name, plan.slaac);
        if let Some(mtu) = plan.mtu {
            attempt(format_args!("{name}: set mtu {mtu}"), self.kernel.change(link::mtu(index, mtu)));
        }
        attempt(format_args!("{name}: switch on"), self.kernel.change(link::up(index)));
        let mut set = plan.addresses.clone();
        set.retain(|cidr| {
            let request = address::replace(index, cidr.address, cidr.prefix, None);
            let what = format_args!("{name}: set address {}/{}", cidr.address, cidr.prefix);
            attempt(what, self.kernel.change(request))
        });
        plan.routes.iter().for_each(|route| self.route(index, name, route));
        for cidr in set {
            say(format_args!("{name}: {}/{} from the configuration", cidr.address, cidr.prefix));
        }
    }

    fn route(&mut self, index: u32, name: &str, route: &Route) {
        let what = format_args!("{name}: set route to {}/{}", route.network, route.prefix);
        attempt(what, self.kernel.change(route::replace(index, route)));
    }

    fn changed(&mut self, link: Link, now: Duration) {
        let Some(interface) = self.interfaces.get_mut(&link.index) else { return };
        let (index, carrier) = (link.index, link.carrier);
        let returns = interface.switched(link.up);
        interface.link = Link { carrier: interface.link.carrier, ..link };
        if returns {
            let (name, plan) = (interface.link.name.clone(), interface.plan.clone());
            // When somebody switched it off the kernel took its routes, and its addresses of IPv6.
            self.set_up(index, &name, &plan);
        }
        self.carrier(index, carrier, now);
    }

    fn carrier(&mut self, index: u32, carrier: bool, now: Duration) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        if interface.set_carrier(carrier, now) {
            self.dhcp(index, if carrier { Event::Carrier } else { Event::NoCarrier }, now);
        }
    }

    /// Gives an interface's DHCP client an event and does what it wants.
    fn dhcp(&mut self, index: u32, event: Event, now: Duration) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        let Some(client) = interface.client.take() else { return };
        let (client, actions) = client.next(event, now);
        interface.client = Some(client);
        actions.into_iter().for_each(|action| self.perform(index, action, now));
        self.close_idle_socket(index);
    }

    fn perform(&mut self, index: u32, action: Action, now: Duration) {
        match action {
            Action::Send(message, to) => self.send(index, &message, to),
            Action::Configure(lease, ack) => self.configure(index, &lease, ack.as_ref(), now),
            Action::Remove(lease) => self.unconfigure(index, &lease),
            Action::Report(report) => say(format_args!("{}: {report}", self.name(index))),
        }
    }

    fn send(&mut self, index: u32, message: &Message, to: To) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        let name = &interface.link.name;
        let fits = matches!(
            (&interface.socket, to),
            (Some(Socket::Link(..)), To::Link) | (Some(Socket::Udp(_)), To::Server(..) | To::Broadcast(_))
        );
        let (target, open) = match to {
            To::Link => (Ipv4Addr::BROADCAST, None),
            To::Broadcast(from) => (Ipv4Addr::BROADCAST, Some(from)),
            To::Server(from, server) => (server, Some(from)),
        };
        if !fits {
            let socket = open.map_or_else(|| Socket::on_link(index), |from| Socket::at_address(name, from));
            interface.socket =
                socket.map_err(|cause| say(format_args!("{name}: open a socket for DHCP: {cause}"))).ok();
        }
        if let Some(socket) = &interface.socket {
            attempt(
                format_args!("{name}: send to a DHCP server"),
                socket.send(&message.encode(Side::Client), target),
            );
        }
    }

    fn close_idle_socket(&mut self, index: u32) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        let waits = interface.client.as_ref().is_some_and(|client| client.listens());
        if !waits {
            interface.socket = None;
        }
    }

    /// Writes the lease down, then gives the interface its address and routes.
    fn configure(&mut self, index: u32, lease: &Lease, ack: Option<&Message>, now: Duration) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        interface.progress = Progress::Configured;
        let name = interface.link.name.clone();
        let mtu = lease.mtu.filter(|_| interface.plan.mtu.is_none());
        if let Some(ack) = ack {
            attempt(
                format_args!("{name}: write down the lease"),
                self.state.keep_lease(&name, lease.term.start, ack),
            );
        }
        if let Some(mtu) = mtu {
            attempt(format_args!("{name}: set mtu {mtu}"), self.kernel.change(link::mtu(index, mtu)));
        }
        let left = lease.term.end().map(|end| end.saturating_sub(now));
        let request = address::replace(index, lease.address.into(), lease.prefix, left);
        attempt(
            format_args!("{name}: set address {}/{}", lease.address, lease.prefix),
            self.kernel.change(request),
        );
        let before = self.names.lease(index).filter(|before| before.address == lease.address).cloned();
        if let Some(before) = before.as_ref().filter(|before| before.prefix != lease.prefix) {
            let removed = self.remove_address(index, before);
            attempt(format_args!("{name}: remove address {}/{}", before.address, before.prefix), removed);
        }
        lease.routes.iter().for_each(|one| self.route(index, &name, &leased(one, lease)));
        for gone in before.iter().flat_map(|before| withdrawn(before, lease)) {
            let what = format_args!("{name}: remove route to {}/{}", gone.network, gone.prefix);
            // The kernel may have been first: it goes with its router's link.
            attempt(what, or_gone(self.kernel.change(route::remove(index, &gone)), libc::ESRCH));
        }
        self.names.set_lease(index, Some(lease.clone()));
    }

    /// The kernel may have been first: it knows the lease's end, too.
    fn remove_address(&mut self, index: u32, lease: &Lease) -> io::Result<()> {
        let request = address::delete(index, lease.address.into(), lease.prefix);
        or_gone(self.kernel.change(request), libc::EADDRNOTAVAIL)
    }

    /// Takes the address away, then forgets the lease.
    fn unconfigure(&mut self, index: u32, lease: &Lease) {
        let Some(interface) = self.interfaces.get_mut(&index) else { return };
        interface.progress = Progress::Hopeful;
        let name = interface.link.name.clone();
        let result = self.remove_address(index, lease);
        attempt(format_args!("{name}: remove address {}", lease.address), result);
        attempt(format_args!("{name}: forget the lease"), self.state.drop_lease(&name));
        self.names.set_lease(index, None);
    }

    /// Reads what came on an interface's socket.
    pub fn receive(&mut self, index: u32, now: Duration) {
        loop {
            let Some(socket) = self.interfaces.get(&index).and_then(|interface| interface.socket.as_ref())
            else {
                return;
            };
            match socket.receive() {
                Ok(Some(message)) => self.dhcp(index, Event::Received(message), now),
                Ok(None) => {}
                Err(_) => return,
            }
        }
    }

    /// Does what is due on every interface.
    pub fn time_out(&mut self, now: Duration) {
        self.names.expire(now);
        for interface in self.interfaces.values_mut() {
            if interface.lose_patience(now) {
                say(format_args!("{}: no carrier", interface.link.name));
            }
        }
        if self.patience.is_some_and(|until| until <= now) {
            self.patience = None;
            let there: BTreeSet<&str> = self.interfaces.values().map(|one| one.link.name.as_str()).collect();
            for line in interface::absent(&self.node.network, &there) {
                say(format_args!("{line}"));
            }
        }
        let due = |interface: &Interface| {
            interface.client.as_ref().and_then(Client::deadline).is_some_and(|deadline| deadline <= now)
        };
        let due: Vec<u32> =
            self.interfaces.iter().filter(|(_, interface)| due(interface)).map(|(&index, _)| index).collect();
        due.into_iter().for_each(|index| self.dhcp(index, Event::Timeout, now));
    }

    /// When [`Self::time_out`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        let interfaces = self.interfaces.values().filter_map(Interface::deadline);
        interfaces.chain(self.names.deadline()).chain(self.patience).min()
    }

    /// The sockets on which answers are awaited, by interface.
    pub fn sockets(&self) -> impl Iterator<Item = (u32, BorrowedFd<'_>)> {
        self.interfaces
            .iter()
            .filter_map(|(&index, interface)| Some((index, interface.socket.as_ref()?.as_fd())))
    }

    /// The name that the node should have; nothing when PID 1 has set it.
    pub fn host_name(&self) -> Option<String> {
        let first = self.interfaces.values().next().map(|interface| interface.link.mac);
        interface::host_name(self.node.hostname.is_some(), self.names.host_name(), first)
    }

    /// Whether nothing is gained by waiting longer for an address.
    pub fn settled(&self) -> bool {
        interface::settled(self.interfaces.values().map(|interface| interface.progress))
    }

    /// Whether there is any interface to look after.
    pub fn has_interfaces(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// Whom to ask for the time.
    pub fn time_sources(&self) -> Sources {
        Sources {
            servers: self.names.time_servers(),
            dns: self.name_servers(),
            online: self.interfaces.values().any(|interface| interface.progress == Progress::Configured),
        }
    }

    /// Whom to ask for names.
    pub fn name_servers(&self) -> Vec<SocketAddr> {
        self.names.servers().iter().map(NameServer::socket_address).collect()
    }

    fn name(&self, index: u32) -> &str {
        self.interfaces.get(&index).map_or("", |interface| &interface.link.name)
    }
}

/// A route of a lease.
fn leased(route: &lease::Route, lease: &Lease) -> Route {
    Route {
        network: route.network.into(),
        prefix: route.prefix,
        gateway: route.gateway.map(Into::into),
        source: Some(lease.address.into()),
        origin: Origin::Dhcp,
    }
}

/// Routes that a lease had and its renewal has not; one to the same network by another router replaces the old one.
fn withdrawn<'a>(before: &'a Lease, now: &'a Lease) -> impl Iterator<Item = Route> + 'a {
    let stays = |route: &lease::Route| {
        now.routes.iter().any(|own| (own.network, own.prefix) == (route.network, route.prefix))
    };
    before.routes.iter().filter(move |route| !stays(route)).map(|route| leased(route, before))
}

/// That what is to be removed is not there is no error.
fn or_gone(result: io::Result<()>, absent: i32) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(absent) => Ok(()),
        result => result,
    }
}

/// Tells the kernel whether to configure an interface by router advertisements;
/// 2 says "even when this node forwards packets", as it does for its containers.
fn accept_advertisements(name: &str, accept: bool) {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/accept_ra");
    match fs::write(&path, if accept { "2" } else { "0" }) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {} // a kernel without IPv6
        result => _ = attempt(format_args!("write {path}"), result),
    }
}
