//! `detach`: all of a container's network taken away. What a killed verb left is
//! taken away too, whichever it was; that there is nothing is no error.

use super::folder::{all_networks, all_records, lock, records};
use super::host::Host;
use super::record::Record;
use super::{datagrams, namespace, told};
use spec::network::Network;
use spec::node::Name;
use spec::paths;
use std::path::{Path, PathBuf};

/// Detaches a container.
///
/// # Errors
/// What could not be done, in words; the rest is done nevertheless.
pub fn detach(container: &Name) -> Result<(), String> {
    let lock = lock()?;
    let (networks, there) = (all_networks()?, all_records()?);
    let mut host = Host::look()?;
    host.keeps_strays(!networks.faults.is_empty() || there.whole_but(container).is_err());
    let networks = networks.there;
    let is_damaged = there.faults.contains_key(&**container);
    let (ours, others): (Vec<Record>, Vec<Record>) =
        there.there.into_iter().partition(|record| record.container == *container);
    if is_damaged {
        records().remove(container)?;
    }
    let result = match ours.first() {
        Some(record) => undo(&mut host, &networks, &others, record),
        // A namespace without a record is of an `attach` that another kernel's boot or a hand cut short, or its record
        // could not be read.
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
    // Those that no record knows stay while one cannot be read.
    let deleted = record.interfaces.iter().try_for_each(|interface| host.delete(&interface.host_name));
    let result = forgotten.and(deleted).and(rest(host, networks, others, &PathBuf::from(&record.netns)));
    // At worst they are forgotten when their clients have been silent for a while.
    let _ = datagrams::forget_led(record);
    result
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
