//! The kernel asked to make the ways so.

use super::plan::{Plan, difference, mac, plan, routes};
use super::{ID, OVERHEAD, Routes, TUNNEL as NAME, guard};
use crate::cluster::pods;
use crate::containers::host::{deafen, observe};
use crate::containers::links::Observed;
use crate::containers::subnet::host;
use crate::containers::{folder, forwarding, modules};
use crate::dhcp::Mac;
use crate::netlink::link::{self, Tunnel};
use crate::netlink::neighbour::{self, Neighbour};
use crate::netlink::nft::design::Elements;
use crate::netlink::{address, route};
use spec::network::TUNNEL_PORT;
use spec::node::Cidr;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use sys::cause::cause;
use sys::netlink::Netlink;

/// What tells our routes from others' (`rtm_protocol`); nobody else's number.
const PROTOCOL: u8 = 83;

/// Makes the node's ways so; writes only what differs. Gives a line for each node to which none leads, or of which
/// the kernel refused something: what is wrong with one is no trouble of the others.
///
/// # Errors
/// What the kernel refused of this node's own, in words.
pub fn settle(wanted: &Routes) -> Result<Vec<String>, String> {
    let _lock = folder::lock()?;
    let failed = |error: io::Error| format!("list interfaces and routes: {}", cause(&error));
    let mut kernel = Netlink::route().map_err(failed)?;
    let observed = observe(&mut kernel).map_err(failed)?;
    let mut plan = plan(wanted, &observed);
    forwarding::switch_on()?;
    let tunnel = match make_tunnel(&mut kernel, wanted, &plan, &observed) {
        Err(reason) if !plan.is_tunnelled() => {
            plan.faults.push(reason);
            None
        }
        result => result?,
    };
    if let Some(index) = tunnel {
        let set = set_entries(&mut kernel, index, &plan.entries);
        plan.faults.extend(set.map_err(|error| format!("list where {NAME} leads: {}", cause(&error)))?);
    }
    let mut there = Vec::new();
    kernel
        .dump(route::list(), |kind, body| there.extend(route::way(kind, body, PROTOCOL)))
        .map_err(failed)?;
    let (gone, new) = difference(&there, &routes(&plan, tunnel));
    for (verb, ways) in [("remove", gone), ("set", new)] {
        for way in ways {
            let request = if verb == "set" { way.set(PROTOCOL) } else { way.remove(PROTOCOL) };
            match kernel.change(request) {
                // With its interface, since it was listed.
                Err(error) if verb == "remove" && error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) => plan.faults.push(format!(
                    "{verb} the route to {}/{}: {}",
                    way.network,
                    way.prefix,
                    cause(&error)
                )),
                Ok(()) => {}
            }
        }
    }
    if tunnel.is_none() {
        remove_tunnel(&mut kernel, &observed)?;
        guard::DESIGN.settle(&Elements::new())?;
    }
    Ok(plan.faults)
}

fn remove_tunnel(kernel: &mut Netlink, observed: &Observed) -> Result<(), String> {
    let Some(link) = observed.link(NAME) else { return Ok(()) };
    kernel.change(link::delete(link.index)).map_err(|error| format!("remove {NAME}: {}", cause(&error)))
}

/// The number of the tunnel's interface, when there are other nodes. One of another address or length of
/// packets is made anew.
fn make_tunnel(
    kernel: &mut Netlink,
    wanted: &Routes,
    plan: &Plan,
    observed: &Observed,
) -> Result<Option<u32>, String> {
    let Some(local) = plan.tunnel else { return Ok(None) };
    let tunnel = Tunnel {
        name: NAME,
        mac: mac(local),
        id: ID,
        local,
        port: TUNNEL_PORT,
        mtu: below(local, observed) - OVERHEAD,
    };
    guard::DESIGN.settle(&guard::wanted(wanted, plan))?;
    let there = observed.link(NAME);
    if there.is_none_or(|link| link.mac != Mac(tunnel.mac) || link.mtu != tunnel.mtu) {
        modules::load_these(&["vxlan"])?;
        remove_tunnel(kernel, observed)?;
        kernel.change(link::tunnel(&tunnel)).map_err(|error| format!("make {NAME}: {}", cause(&error)))?;
    }
    if plan.is_tunnelled() {
        pods::fit(tunnel.mtu)?;
    }
    let index = settle_tunnel(kernel, &wanted.subnets);
    index.map(Some).map_err(|error| format!("set up {NAME}: {}", cause(&error)))
}

/// The greatest packet of the interface with an address.
fn below(local: IpAddr, observed: &Observed) -> u32 {
    let index = observed.addresses.iter().find(|(_, address, _)| *address == local).map(|found| found.0);
    let link = observed.links.iter().find(|link| Some(link.index) == index);
    link.map_or(1500, |link| link.mtu).max(1280 + OVERHEAD)
}

/// What the node itself sends to pods by the tunnel comes from the address it has among its own: it is
/// the only one to which they can answer the same way.
fn settle_tunnel(kernel: &mut Netlink, subnets: &[Cidr]) -> io::Result<u32> {
    deafen(NAME)?;
    let observed = observe(kernel)?;
    let link = observed.link(NAME).ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    for &subnet in subnets {
        let own = host(subnet, 1);
        let prefix = crate::containers::subnet::longest(own);
        if !observed.addresses.contains(&(link.index, own, prefix)) {
            kernel.change(address::settle(link.index, own, prefix))?;
        }
    }
    if !link.up {
        kernel.change(link::up(link.index))?;
    }
    Ok(link.index)
}

/// Gives a line for each that the kernel refused.
fn set_entries(kernel: &mut Netlink, index: u32, wanted: &BTreeSet<Neighbour>) -> io::Result<Vec<String>> {
    let mut there = BTreeSet::new();
    for tunnel in [false, true] {
        kernel
            .dump(neighbour::list(tunnel), |kind, body| there.extend(neighbour::parse(kind, body, index)))?;
    }
    let gone = there.difference(wanted).map(|entry| (entry, entry.remove(index)));
    let new = wanted.difference(&there).map(|entry| (entry, entry.set(index)));
    let refused = gone.chain(new).filter_map(|(entry, request)| {
        let error = kernel.change(request).err()?;
        Some(format!("set where {NAME} leads to {}: {}", entry.address, cause(&error)))
    });
    Ok(refused.collect())
}
