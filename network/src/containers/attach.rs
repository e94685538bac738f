//! `attach`: a container on its networks. Doing it again changes nothing, and
//! mends what is missing.

use super::folder::{all_records, lock, records};
use super::grant::{There, grant};
use super::host::{Host, deafen, observe};
use super::record::Record;
use super::subnet::longest;
use super::{configured, datagrams, detach, forwarding, modules, namespace, occupied, told};
use crate::netlink::route::{Origin, Route};
use crate::netlink::{address, link, route};
use spec::network::{Attach, Attached, Interface, Network, Port, Protocol, TUNNEL_PORT};
use spec::node::Name;
use spec::paths;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use sys::cause::cause;
use sys::netlink::Netlink;

/// Attaches a container; `netns` is made when it lies below [`paths::NETNS`]. When
/// the first time fails, nothing of it is left.
///
/// # Errors
/// What could not be done, in words.
pub fn attach(container: &Name, netns: &str, asked: &Attach) -> Result<Attached, String> {
    let lock = lock()?;
    if !asked.networks.is_empty() {
        modules::load()?;
    }
    let mut host = Host::look()?;
    let there = all_records()?;
    let all = configured::networks_for(&host, asked, &there)?;
    let whole = all.faults.is_empty() && there.whole_but(container).is_ok();
    let networks = all.there;
    let (ours, others): (Vec<Record>, Vec<Record>) =
        there.there.iter().cloned().partition(|record| record.container == *container);
    let before = ours.first();
    if before.is_none() && !asked.networks.is_empty() {
        // What it would be given may be another's.
        there.whole_but(container)?;
    }
    let there = There { networks: &networks, others: &others, before, mtu: host.mtu() };
    let gateways: Vec<IpAddr> =
        networks.iter().flat_map(|network| &network.subnets).map(|subnet| subnet.address).collect();
    let is_worker = networks.iter().any(|network| network.cluster.is_some());
    let check = |port| match is_worker && is_tunnels(port) {
        true => Err(format!("publish {port}: port {TUNNEL_PORT}/udp is for the tunnel between nodes")),
        false => occupied::check(port, &gateways),
    };
    let is_free = |port| check(port).is_ok();
    let mut record = grant(container, netns, asked, there, &is_free)?;
    let published = before.map(|before| &*before.ports).unwrap_or_default();
    let new = record.ports.iter().filter(|port| !published.contains(port));
    new.copied().try_for_each(check)?;
    let dropped_by = if asked.networks.is_empty() { None } else { host.dropped_by()? };
    record.relayed = dropped_by.is_some();
    records().write(container, &record)?;
    host.keeps_strays(!whole);
    let result = realize(&mut host, &networks, &others, before, &record);
    if let Err(reason) = result {
        // A container that has run with what it had before keeps what still works.
        if before.is_none() {
            let _ = detach::undo(&mut host, &networks, &others, &record);
        }
        return Err(reason);
    }
    let mut warnings: Vec<String> =
        dropped_by.into_iter().map(|(table, chain)| dropped(&table, &chain)).collect();
    if record.interfaces.len() + record.ports.len() > 0 {
        // The service may be waiting for it, and would not answer.
        drop(lock);
        warnings.extend(told::tell());
    }
    Ok(record.answer(&networks, warnings))
}

/// Whether what other nodes send by the tunnel would be led to who publishes a port. The kernel listens there only once
/// there is another node.
fn is_tunnels(port: Port) -> bool {
    port.protocol == Protocol::Udp && port.pairs().any(|(outside, _)| outside == TUNNEL_PORT)
}

fn dropped(table: &str, chain: &str) -> String {
    format!(
        "chain {chain} of table {table} drops forwarded packets: the container reaches only its network, \
         and its published ports are relayed"
    )
}

/// Makes what the record says, in the order in which each needs the one before.
fn realize(
    host: &mut Host,
    networks: &[Network],
    others: &[Record],
    before: Option<&Record>,
    record: &Record,
) -> Result<(), String> {
    let path = Path::new(&record.netns);
    if path.starts_with(paths::NETNS) {
        namespace::make(path)?;
    }
    for stale in before.into_iter().flat_map(|before| &before.interfaces) {
        // Its routes are set below, whatever they were.
        let same = |one: &Interface| Interface { gateways: stale.gateways.clone(), ..one.clone() } == *stale;
        if !record.interfaces.iter().any(same) {
            host.delete(&stale.host_name)?;
        }
    }
    let all: Vec<Record> = others.iter().chain([record]).cloned().collect();
    host.reconcile(networks, &all)?;
    host.filter(networks, &all)?;
    // At worst they are forgotten when their clients have been silent for a while.
    let _ = datagrams::forget_early(&record.ports, &host.addresses());
    if !record.interfaces.is_empty() {
        forwarding::switch_on()?;
    }
    let failed = |error: io::Error| format!("set up network namespace {}: {}", record.netns, cause(&error));
    let there = File::open(path).map_err(failed)?;
    for (index, interface) in record.interfaces.iter().enumerate() {
        if host.link(&interface.host_name).is_none() {
            let bridge = networks.iter().find(|network| network.name == interface.network);
            let bridge = bridge.map_or("", |network| &network.bridge);
            host.pair(record, index, bridge, &there)
                .map_err(|error| format!("make {}: {}", interface.host_name, cause(&error)))?;
        }
        let of = networks.iter().find(|network| network.name == interface.network);
        if of.is_some_and(|network| network.cluster.is_some()) {
            host.isolate(&interface.host_name)
                .map_err(|error| format!("isolate {}: {}", interface.host_name, cause(&error)))?;
        }
    }
    namespace::inside(path, |_| settle(&record.interfaces)).map_err(failed)
}

/// Inside: loopback, addresses, routes.
fn settle(interfaces: &[Interface]) -> io::Result<()> {
    let mut kernel = Netlink::route()?;
    let observed = observe(&mut kernel)?;
    let index = |name: &str| {
        let missing = || io::Error::other(format!("there is no {name}"));
        observed.link(name).map(|link| link.index).ok_or_else(missing)
    };
    kernel.change(link::up(index("lo")?))?;
    for interface in interfaces {
        let index = index(&interface.name)?;
        deafen(&interface.name)?;
        if interface.addresses.iter().any(|cidr| cidr.prefix == longest(cidr.address)) {
            // The router is right to be sent everything, though it may name a neighbour as the shorter way.
            refuse_redirects(&interface.name)?;
        }
        for cidr in &interface.addresses {
            kernel.change(address::settle(index, cidr.address, cidr.prefix))?;
        }
        kernel.change(link::up(index))?;
        for &gateway in &interface.gateways {
            let network = match gateway.is_ipv4() {
                true => Ipv4Addr::UNSPECIFIED.into(),
                false => Ipv6Addr::UNSPECIFIED.into(),
            };
            let default =
                Route { network, prefix: 0, gateway: Some(gateway), source: None, origin: Origin::Static };
            kernel.change(route::replace(index, &default))?;
        }
    }
    Ok(())
}

/// Lets an interface of this namespace, in which nothing is forwarded, believe no router's word of a shorter way.
fn refuse_redirects(name: &str) -> io::Result<()> {
    for path in [format!("ipv4/conf/{name}"), "ipv4/conf/all".to_owned(), format!("ipv6/conf/{name}")] {
        match fs::write(format!("/proc/sys/net/{path}/accept_redirects"), "0") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // a kernel without IPv6
            result => result?,
        }
    }
    Ok(())
}
