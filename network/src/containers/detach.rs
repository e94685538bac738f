//! `detach`: all of a container's network taken away. What a killed verb left is
//! taken away too, whichever it was; that there is nothing is no error.

use super::attach::others;
use super::folder::{all_records, lock, records};
use super::host::Host;
use super::record::Record;
use super::{namespace, told};
use crate::netlink::conntrack::{self, Tracked};
use spec::network::{Network, Protocol};
use spec::node::Name;
use spec::paths;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use sys::netlink::Netlink;

/// Detaches a container.
///
/// # Errors
/// What could not be done, in words; the rest is done nevertheless.
pub fn detach(container: &Name) -> Result<(), String> {
    let lock = lock()?;
    let (networks, others) = others(container)?;
    let ours = all_records()?.into_iter().find(|record| record.container == *container);
    let mut host = Host::look()?;
    let result = match &ours {
        Some(record) => undo(&mut host, &networks, &others, record),
        // A namespace without a record is of an `attach` that another kernel's boot or a hand cut short.
        None => rest(&mut host, &networks, &others, &Path::new(paths::NETNS).join(&**container)),
    };
    // The service may be waiting for it, and would not answer.
    drop(lock);
    told::tell();
    result
}

/// Takes away what a record says. The record goes first: links that no record knows
/// are removed by every verb from then on, so none outlives a kill for long.
pub fn undo(host: &mut Host, networks: &[Network], others: &[Record], record: &Record) -> Result<(), String> {
    let forgotten = records().remove(&record.container);
    let result = forgotten.and(rest(host, networks, others, &PathBuf::from(&record.netns)));
    if record.ports.iter().any(|port| port.protocol == Protocol::Udp) {
        // At worst they are forgotten when their clients have been silent for a while.
        let _ = forget(record);
    }
    result
}

/// Has the kernel forget where datagrams to the container's ports were led. A client that goes on with its
/// socket would be led there for as long as it does.
fn forget(record: &Record) -> io::Result<()> {
    let own: Vec<IpAddr> =
        record.interfaces.iter().flat_map(|one| &one.addresses).map(|cidr| cidr.address).collect();
    let stale = |one: &Tracked| {
        one.protocol == Protocol::Udp.number()
            && own.contains(&one.answers.ip())
            && one.answers != one.destination
    };
    let (mut kernel, mut list) = (Netlink::netfilter()?, Vec::new());
    kernel.dump(conntrack::list(), |kind, body| list.extend(conntrack::parse(kind, body).filter(stale)))?;
    list.iter().try_for_each(|connection| kernel.change(conntrack::forget(connection)))
}

fn rest(host: &mut Host, networks: &[Network], others: &[Record], netns: &Path) -> Result<(), String> {
    let filtered = host.filter(networks, others);
    let removed = host.reconcile(networks, others);
    let let_go = match netns.starts_with(paths::NETNS) {
        true => namespace::remove(netns),
        false => Ok(()),
    };
    filtered.and(removed).and(let_go)
}
