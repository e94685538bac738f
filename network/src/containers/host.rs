//! The node's side: what links, addresses, routes and tables are there, and the
//! kernel asked to make them as the records want them.

use super::links::{self, Observed, PREFIX, Step};
use super::record::Record;
use super::subnet::Taken;
use super::{ruleset, sources};
use crate::netlink::link::{Link, Notice};
use crate::netlink::nft::{answer, message};
use crate::netlink::{address, link, route};
use spec::network::Network;
use spec::node::Cidr;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use sys::cause::cause;
use sys::netlink::Netlink;

/// When nothing says how long a packet may be.
const ETHERNET: u32 = 1500;

/// What the kernel knows.
#[derive(Debug)]
pub struct Host {
    routing: Netlink,
    observed: Observed,
    routes: Vec<route::Found>,
    keeps_strays: bool,
}

impl Host {
    /// Looks.
    ///
    /// # Errors
    /// What could not be read, in words.
    pub fn look() -> Result<Self, String> {
        let failed = |error: io::Error| format!("list interfaces, addresses and routes: {}", cause(&error));
        let mut routing = Netlink::route().map_err(failed)?;
        let observed = observe(&mut routing).map_err(failed)?;
        let mut routes = Vec::new();
        routing.dump(route::list(), |kind, body| routes.extend(route::parse(kind, body))).map_err(failed)?;
        Ok(Self { routing, observed, routes, keeps_strays: false })
    }

    /// Interfaces of ours that no record knows stay: not every record, or network, could be read.
    pub fn keeps_strays(&mut self, keeps: bool) {
        self.keeps_strays = keeps;
    }

    /// The subnets that a new network must go around: of routes and addresses that
    /// are not ours.
    pub fn taken(&self) -> Vec<Taken> {
        let name =
            |index: u32| self.observed.links.iter().find(|link| link.index == index).map(|link| &*link.name);
        let others = |index: u32| name(index).filter(|name| !name.starts_with(PREFIX));
        let routes = self.routes.iter().filter_map(|route| {
            let subnet = Cidr { address: route.network?, prefix: route.prefix };
            let by = format!("the route of {}", others(route.index)?);
            (route.prefix > 0).then_some(Taken { subnet, by })
        });
        let addresses = self.observed.addresses.iter().filter_map(|&(index, address, prefix)| {
            let by = format!("the address {address} of {}", others(index)?);
            Some(Taken { subnet: Cidr { address, prefix }, by })
        });
        routes.chain(addresses).collect()
    }

    /// The greatest packet of the interface with the default route.
    pub fn mtu(&self) -> u32 {
        let defaults = self.routes.iter().filter(|route| route.prefix == 0);
        let best = defaults.min_by_key(|route| route.metric).map(|route| route.index);
        let link = self.observed.links.iter().find(|link| Some(link.index) == best);
        link.map_or(ETHERNET, |link| link.mtu)
    }

    /// The greatest packet of a link that leads to routers.
    pub fn mtu_of_routers(&self, name: &str) -> Option<u32> {
        let link = self.link(name)?;
        let leads = self.routes.iter().any(|route| route.index == link.index && route.routed);
        leads.then_some(link.mtu)
    }

    /// The link of a name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.observed.link(name)
    }

    /// The node's addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.observed.addresses.iter().map(|(_, address, _)| *address).collect()
    }

    /// Makes one end of a pair for a container in the namespace that `there` is.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn pair(&mut self, record: &Record, index: usize, bridge: &str, there: &fs::File) -> io::Result<()> {
        let interface = &record.interfaces[index];
        let bridge = self.link(bridge).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?.index;
        // The host's end has the container's address with another first byte.
        let [first, rest @ ..] = interface.mac.0;
        let mut mac = [first | 4, 0, 0, 0, 0, 0];
        mac[1..].copy_from_slice(&rest);
        let here = link::End { name: &interface.host_name, mac };
        let inside = link::End { name: &interface.name, mac: interface.mac.0 };
        let alias = format!("{} {}", record.container, interface.network);
        self.routing.change(link::pair(&here, bridge, &inside, there.as_fd(), &alias, interface.mtu))?;
        if filters_bridges() {
            self.observed = observe(&mut self.routing)?;
            let port = self.link(&interface.host_name).map_or(0, |link| link.index);
            self.routing.change(link::hairpin(port))?;
        }
        Ok(())
    }

    /// Lets a bridge's port speak to the bridge alone: what it sends to another port's is routed, and so
    /// passes what Services and policies say.
    ///
    /// # Errors
    /// What the kernel answered.
    pub fn isolate(&mut self, name: &str) -> io::Result<()> {
        self.observed = observe(&mut self.routing)?;
        let port = self.link(name).map_or(0, |link| link.index);
        self.routing.change(link::isolate(port))
    }

    /// Takes a link away, if it is there.
    ///
    /// # Errors
    /// What the kernel answered, in words.
    pub fn delete(&mut self, name: &str) -> Result<(), String> {
        match self.link(name).map(|link| link.index) {
            Some(index) => {
                self.step(&Step::Delete { index, name: name.to_owned() })?;
                self.observed.links.retain(|link| link.index != index);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Makes links and addresses as the records want them.
    ///
    /// # Errors
    /// The first step that failed, in words.
    pub fn reconcile(&mut self, networks: &[Network], records: &[Record]) -> Result<(), String> {
        let mut steps = links::steps(networks, records, &self.observed);
        steps.retain(|step| !self.keeps_strays || !matches!(step, Step::Delete { .. }));
        for step in &steps {
            self.step(step)?;
        }
        self.observed =
            observe(&mut self.routing).map_err(|error| format!("list interfaces: {}", cause(&error)))?;
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let failed = |what: String| move |error: io::Error| format!("{what}: {}", cause(&error));
        match step {
            Step::Delete { index, name } => match self.routing.change(link::delete(*index)) {
                // With its namespace, just before us.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
                result => result.map_err(failed(format!("remove {name}"))),
            },
            Step::Bridge { name, mac, mtu } => {
                self.bridge(name, mac.0, *mtu).map_err(failed(format!("make bridge {name}")))
            }
            Step::Join { port, bridge, isolated } => {
                let joined = self.join(port, bridge).and_then(|()| match isolated {
                    true => self.isolate(port),
                    false => Ok(()),
                });
                joined.map_err(failed(format!("make {port} a port of {bridge}")))
            }
            Step::Address { bridge, address } => {
                self.address(bridge, *address).map_err(failed(format!("set address {address} of {bridge}")))
            }
        }
    }

    fn join(&mut self, port: &str, bridge: &str) -> io::Result<()> {
        let index = |name| self.link(name).map_or(0, |link| link.index);
        self.routing.change(link::join(index(port), index(bridge)))
    }

    /// The kernel reads its settings for router advertisements when a link comes up,
    /// so it is switched on after them.
    fn bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        self.routing.change(link::bridge(name, mac, mtu))?;
        deafen(name)?;
        // A source address that does not live behind this bridge is not believed.
        fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "1")?;
        self.observed = observe(&mut self.routing)?;
        let index = self.link(name).map_or(0, |link| link.index);
        self.routing.change(link::up(index))
    }

    fn address(&mut self, bridge: &str, cidr: Cidr) -> io::Result<()> {
        let index = self.link(bridge).map_or(0, |link| link.index);
        self.routing.change(address::settle(index, cidr.address, cidr.prefix))
    }

    /// Makes our tables as the records want them.
    ///
    /// # Errors
    /// What the kernel answered, in words.
    pub fn filter(&self, networks: &[Network], records: &[Record]) -> Result<(), String> {
        // Where a kernel knows no tables of bridges, no pod is there; containers are.
        let of_pods = sources::DESIGN.settle(&sources::wanted(networks, records));
        ruleset::DESIGN.settle(&ruleset::wanted(networks, records)).and(of_pods)
    }

    /// A chain of somebody else's that drops forwarded packets: its table and name.
    ///
    /// # Errors
    /// What the kernel answered, in words.
    pub fn dropped_by(&self) -> Result<Option<(String, String)>, String> {
        let mut found = None;
        let each = |kind, body: &[u8]| found = found.take().or_else(|| answer::dropping_chain(kind, body));
        Netlink::netfilter()
            .and_then(|mut filter| filter.dump(message::list_chains(), each))
            .map_err(|error| format!("list the chains of nftables: {}", cause(&error)))?;
        Ok(found)
    }
}

/// Whether packets within a bridge, too, pass through nftables (br_netfilter): a
/// container's own published port leads back to it there, and not by way of routing.
fn filters_bridges() -> bool {
    let on = |family| fs::read_to_string(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"));
    ["iptables", "ip6tables"].into_iter().filter_map(|family| on(family).ok()).any(|text| text.trim() == "1")
}

/// Lets an interface take no address and no router from advertisements: on a bridge
/// a container could send them.
pub fn deafen(name: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // a kernel without IPv6
        result => result,
    }
}

/// The links and addresses of the namespace in which a socket was opened.
pub fn observe(routing: &mut Netlink) -> io::Result<Observed> {
    let mut observed = Observed::default();
    routing.dump(link::list(), |kind, body| match link::parse(kind, body) {
        Some(Notice::Changed(link)) => observed.links.push(link),
        Some(Notice::Gone(_)) | None => {}
    })?;
    routing.dump(address::list(), |kind, body| observed.addresses.extend(address::any(kind, body)))?;
    Ok(observed)
}
