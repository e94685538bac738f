//! Networks that `node.toml` wants: there before the first container needs them, as the configuration
//! says by now, and gone with it. What containers are on stays as it is until they have left.

use super::folder::{All, all_networks, all_records, lock, networks};
use super::host::Host;
use super::networks::{add, members};
use super::record::Record;
use super::subnet;
use crate::config;
use spec::network::{Attach, DEFAULT_NETWORK, Network};
use spec::node::{Bridge, Cidr, Name};
use spec::paths;
use std::collections::BTreeMap;
use std::path::Path;

/// Makes all of them, and takes away those that the configuration no longer has; gives a line for
/// each that could not be made.
///
/// # Errors
/// What is written down cannot be read.
pub fn settle(wanted: &BTreeMap<Name, Bridge>) -> Result<Vec<String>, String> {
    let _lock = lock()?;
    let (records, mut faults) = (all_records()?, Vec::new());
    let mut all = all_networks()?;
    faults.extend(records.faults.values().chain(all.faults.values()).cloned());
    for gone in all.there.extract_if(.., |network| network.configured && !wanted.contains_key(&network.name))
    {
        if members(&gone.name, &records.there).is_empty() {
            networks().remove(&gone.name)?;
        }
    }
    let host = Host::look()?;
    for (name, wish) in wanted {
        if let Err(reason) = ensure(name, wish, &mut all, &records.there, &host, true) {
            faults.push(format!("networks.{name}: {reason}"));
        }
    }
    Ok(faults)
}

/// Every network, after those were made that are asked for and wanted by the configuration, and
/// the default one.
///
/// # Errors
/// One that is asked for cannot be read, or there is no subnet for it.
pub fn networks_for(host: &Host, asked: &Attach, records: &All<Record>) -> Result<All<Network>, String> {
    let wanted = config::read(Path::new(paths::CONFIG_LAYERS))?.networks;
    let mut all = all_networks()?;
    for name in asked.networks.iter().map(|membership| &membership.network) {
        match wanted.get(name) {
            Some(wish) => ensure(name, wish, &mut all, &records.there, host, true)?,
            None if &**name == DEFAULT_NETWORK => {
                ensure(name, &Bridge::default(), &mut all, &records.there, host, false)?;
            }
            None => all.faults.get(&**name).map_or(Ok(()), |fault| Err(fault.clone()))?,
        }
    }
    Ok(all)
}

/// Makes one that is not there, or is another than is wanted while no container is on it.
fn ensure(
    name: &Name,
    wish: &Bridge,
    all: &mut All<Network>,
    records: &[Record],
    host: &Host,
    configured: bool,
) -> Result<(), String> {
    let position = all.there.iter().position(|network| network.name == *name);
    if let Some(position) = position {
        let there = &all.there[position];
        if (there.configured == configured && agrees(there, wish)) || !members(name, records).is_empty() {
            return Ok(());
        }
        all.there.remove(position);
    }
    // Also in place of a file that cannot be read, unless containers are on what that was.
    if let Some(fault) = all.faults.get(&**name).filter(|_| !members(name, records).is_empty()) {
        return Err(fault.clone());
    }
    let made = add(name, wish, all, host, configured)?;
    all.faults.remove(&**name);
    all.there.push(made);
    Ok(())
}

/// Whether a network is what is wanted; what that leaves open may be anything.
fn agrees(network: &Network, wish: &Bridge) -> bool {
    let has = |subnets: &[Cidr], v4| subnets.iter().any(|subnet| subnet.address.is_ipv4() == v4);
    let wants_v4 = wish.subnets.is_empty() || has(&wish.subnets, true);
    let wants_v6 = wish.ipv6 || has(&wish.subnets, false);
    let there = |one| subnet::given(one, &[]).is_ok_and(|subnet| network.subnets.contains(&subnet));
    network.internal == wish.internal
        && network.mtu == wish.mtu
        && network.labels == wish.labels
        && wish.subnets.iter().all(|&one| there(one))
        && has(&network.subnets, true) == wants_v4
        && has(&network.subnets, false) == wants_v6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::network;

    #[test]
    fn a_network_agrees_with_what_the_configuration_leaves_open() {
        let there = network("bridge", "skerry0");
        let wish = |subnets: &[&str]| Bridge {
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            ..Bridge::default()
        };
        let both = ["10.210.0.0/22", "fd00::/64"];
        for (wish, expected) in [
            (wish(&both), true),
            (Bridge { ipv6: true, ..wish(&[]) }, true),
            (Bridge { ipv6: true, ..wish(&both[..1]) }, true),
            (wish(&[]), false),
            (wish(&both[..1]), false),
            (wish(&both[1..]), false),
            (wish(&["10.210.0.254/22", "fd00::/64"]), false),
            (Bridge { ipv6: true, ..wish(&["10.9.0.0/24"]) }, false),
            (Bridge { internal: true, ..wish(&both) }, false),
            (Bridge { mtu: Some(1400), ..wish(&both) }, false),
            (Bridge { labels: [("a".to_owned(), "b".to_owned())].into(), ..wish(&both) }, false),
        ] {
            assert_eq!(agrees(&there, &wish), expected, "{wish:?}");
        }
        let mut usual = there;
        usual.subnets.truncate(1);
        assert!(agrees(&usual, &wish(&[])) && !agrees(&usual, &Bridge { ipv6: true, ..wish(&[]) }));
    }
}
