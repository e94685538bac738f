//! `networks`: named networks, made, listed and removed. A network is a file; its
//! bridge is there while a container is on it.

use super::folder::{All, all_networks, all_records, lock, networks};
use super::forwarding::has_v6;
use super::host::Host;
use super::links::PREFIX;
use super::record::Record;
use super::subnet::{self, Taken, taken_by};
use crate::random::Random;
use spec::network::Network;
use spec::node::{Bridge, Name, RESERVED};

/// Makes a network.
///
/// # Errors
/// It exists, or its subnet collides.
pub fn create(name: &Name, wish: &Bridge) -> Result<Network, String> {
    let _lock = lock()?;
    let there = all_networks()?;
    if there.there.iter().any(|network| network.name == *name) || there.faults.contains_key(&**name) {
        return Err(format!("network {:?} exists", &**name));
    }
    if RESERVED.contains(&&**name) {
        return Err(format!("{:?} is no name of a network", &**name));
    }
    add(name, wish, &there, &Host::look()?, false)
}

/// Makes a network beside others, in place of the one of its name.
///
/// # Errors
/// It collides with another, or may: that one cannot be read.
pub fn add(
    name: &Name,
    wish: &Bridge,
    all: &All<Network>,
    host: &Host,
    configured: bool,
) -> Result<Network, String> {
    all.whole_but(name)?;
    let there = &*all.there;
    let taken: Vec<Taken> = taken_by(there).chain(host.taken()).collect();
    let random = has_v6().then(|| Random::from_kernel(u64::from(std::process::id())).next());
    let network = Network { configured, ..design(name, wish, there, &taken, random)? };
    networks().write(name, &network)?;
    Ok(network)
}

/// A network that collides with nothing; `random` gives its IPv6 subnet, if it is to
/// have one.
fn design(
    name: &Name,
    wish: &Bridge,
    there: &[Network],
    taken: &[Taken],
    random: Option<u64>,
) -> Result<Network, String> {
    let mut subnets =
        wish.subnets.iter().map(|&one| subnet::given(one, taken)).collect::<Result<Vec<_>, _>>()?;
    let has_v6 = subnets.iter().any(|subnet| subnet.address.is_ipv6());
    if wish.ipv6 && !has_v6 {
        let random = random.ok_or("IPv6 is asked for, and this kernel has none")?;
        subnets.push(subnet::unique_local(random));
    }
    if wish.subnets.is_empty() {
        subnets.push(subnet::choose(taken)?);
    }
    subnets.sort_by_key(|subnet| subnet.address.is_ipv6());
    if subnets.len() > 2
        || subnets.windows(2).any(|pair| pair[0].address.is_ipv4() == pair[1].address.is_ipv4())
    {
        return Err("a network has at most one subnet per family".to_owned());
    }
    let mut bridges = (0..).map(|number: u32| format!("{PREFIX}{number}"));
    let free = |bridge: &String| there.iter().all(|network| network.bridge != *bridge);
    let bridge = bridges.find(free).unwrap_or_default();
    Ok(Network {
        name: name.clone(),
        bridge,
        subnets,
        internal: wish.internal,
        mtu: wish.mtu,
        configured: false,
        cluster: None,
        labels: wish.labels.clone(),
    })
}

/// Removes a network, also one whose file cannot be read.
///
/// # Errors
/// There is none, or containers are on it.
pub fn remove(name: &Name) -> Result<(), String> {
    let _lock = lock()?;
    let all = all_networks()?;
    if !all.faults.contains_key(&**name) && named(all, name)?.configured {
        return Err(format!("network {:?} belongs to node.toml", &**name));
    }
    let on = members(name, &all_records()?.there);
    match on.is_empty() {
        true => networks().remove(name),
        false => Err(format!("network {:?} is in use by {}", &**name, on.join(", "))),
    }
}

/// The network of a name.
///
/// # Errors
/// There is none, or its file cannot be read.
pub fn find(name: &Name) -> Result<Network, String> {
    named(all_networks()?, name)
}

fn named(all: All<Network>, name: &Name) -> Result<Network, String> {
    if let Some(fault) = all.faults.get(&**name) {
        return Err(fault.clone());
    }
    let found = all.there.into_iter().find(|network| network.name == *name);
    found.ok_or_else(|| format!("there is no network {:?}", &**name))
}

/// A line per network that can be read: name, bridge, subnets, containers; `-` for nothing.
///
/// # Errors
/// A folder cannot be listed.
pub fn list() -> Result<String, String> {
    let records = all_records()?.there;
    let line = |network: &Network| {
        let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
        let members = members(&network.name, &records);
        let members = if members.is_empty() { "-".to_owned() } else { members.join(",") };
        format!("{} {} {} {members}\n", network.name, network.bridge, subnets.join(","))
    };
    Ok(all_networks()?.there.iter().map(line).collect())
}

/// Whether those on the network of this name are pods of a cluster.
pub fn has_pods(networks: &[Network], name: &Name) -> bool {
    networks.iter().any(|network| network.name == *name && network.cluster.is_some())
}

pub fn members(network: &str, records: &[Record]) -> Vec<String> {
    let on = records.iter().filter(|record| record.on(network).is_some());
    on.map(|record| record.name().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::network;

    fn wish(subnets: &[&str]) -> Bridge {
        Bridge { subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(), ..Bridge::default() }
    }

    fn new(wish: &Bridge) -> Result<Network, String> {
        let there = [network("bridge", "skerry0"), network("back", "skerry2")];
        let taken: Vec<Taken> = taken_by(&there).collect();
        design(&"new".parse().unwrap(), wish, &there, &taken, Some(7))
    }

    #[test]
    fn a_network_gets_the_first_free_bridge_and_subnets() {
        let network = new(&Bridge { ipv6: true, ..wish(&[]) }).unwrap();
        assert_eq!(network.bridge, "skerry1");
        let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
        assert_eq!(subnets, ["10.210.8.1/22", "fd00:0:7::1/64"]);
    }

    #[test]
    fn ipv6_is_there_when_it_was_asked_for() {
        let count = |ipv6, subnets: &[&str]| new(&Bridge { ipv6, ..wish(subnets) }).unwrap().subnets.len();
        assert_eq!([count(false, &[]), count(true, &[])], [1, 2]);
        assert_eq!([count(false, &["10.9.0.0/24"]), count(true, &["10.9.0.0/24"])], [1, 2]);
        assert_eq!([count(false, &["fd01::/64"]), count(true, &["fd01::/64"])], [1, 1]);
        assert_eq!(count(true, &["10.9.0.0/24", "fd01::/64"]), 2);
    }

    #[test]
    fn given_subnets_are_taken_ipv4_first() {
        let subnets = new(&wish(&["fd01::/64", "10.9.0.0/24"])).unwrap().subnets;
        assert_eq!(subnets, ["10.9.0.1/24".parse().unwrap(), "fd01::1/64".parse().unwrap()]);
        assert!(new(&wish(&["10.9.0.0/24", "10.8.0.0/24"])).unwrap_err().contains("at most one subnet"));
        let error = new(&wish(&["10.210.0.0/24"])).unwrap_err();
        assert_eq!(error, "subnet 10.210.0.0/24 overlaps 10.210.0.1/22, network \"bridge\"");
    }

    #[test]
    fn a_network_goes_around_the_pods_of_all_nodes() {
        let cluster = Some(vec!["10.210.4.0/22".parse().unwrap()]);
        let there = [Network { cluster, ..network("bridge", "skerry0") }];
        let taken: Vec<Taken> = taken_by(&there).collect();
        let network = design(&"new".parse().unwrap(), &Bridge::default(), &there, &taken, None).unwrap();
        assert_eq!(network.subnets, ["10.210.8.1/22".parse().unwrap()]);
    }
}
