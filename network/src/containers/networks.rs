//! `networks`: named networks, made, listed and removed. A network is a file; its
//! bridge is there while a container is on it.

use super::folder::{all_networks, all_records, lock, networks};
use super::forwarding::has_v6;
use super::host::Host;
use super::links::PREFIX;
use super::record::Record;
use super::subnet::{self, Taken, taken_by};
use crate::random::Random;
use spec::network::{Attach, DEFAULT_NETWORK, Network};
use spec::node::{Cidr, Name};

/// What a new network is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// At most one per family; chosen without any.
    pub subnets: Vec<Cidr>,
    /// No way out and none in.
    pub internal: bool,
    /// Greatest packet.
    pub mtu: Option<u32>,
}

/// Makes a network.
///
/// # Errors
/// It exists, or its subnet collides.
pub fn create(name: &Name, wish: &Wish) -> Result<Network, String> {
    let _lock = lock()?;
    let there = all_networks()?;
    if there.iter().any(|network| network.name == *name) {
        return Err(format!("network {:?} exists", &**name));
    }
    add(name, wish, &there, &Host::look()?)
}

fn add(name: &Name, wish: &Wish, there: &[Network], host: &Host) -> Result<Network, String> {
    let taken: Vec<Taken> = taken_by(there).chain(host.taken()).collect();
    let random = has_v6().then(|| Random::from_kernel(u64::from(std::process::id())).next());
    let network = design(name, wish, there, &taken, random)?;
    networks().write(name, &network)?;
    Ok(network)
}

/// A network that collides with nothing; `random` gives its IPv6 subnet, if it is to
/// have one.
fn design(
    name: &Name,
    wish: &Wish,
    there: &[Network],
    taken: &[Taken],
    random: Option<u64>,
) -> Result<Network, String> {
    let mut subnets = match wish.subnets.is_empty() {
        true => {
            let v6 = random.map(subnet::unique_local);
            [subnet::choose(taken)?].into_iter().chain(v6).collect()
        }
        false => wish.subnets.iter().map(|&one| subnet::given(one, taken)).collect::<Result<Vec<_>, _>>()?,
    };
    subnets.sort_by_key(|subnet| subnet.address.is_ipv6());
    if subnets.len() > 2
        || subnets.windows(2).any(|pair| pair[0].address.is_ipv4() == pair[1].address.is_ipv4())
    {
        return Err("a network has at most one subnet per family".to_owned());
    }
    let mut bridges = (0..).map(|number: u32| format!("{PREFIX}{number}"));
    let free = |bridge: &String| there.iter().all(|network| network.bridge != *bridge);
    let bridge = bridges.find(free).unwrap_or_default();
    Ok(Network { name: name.clone(), bridge, subnets, internal: wish.internal, mtu: wish.mtu })
}

/// Every network, after the default one was made if it is asked for and not there.
///
/// # Errors
/// A file that does not parse, or no subnet for it.
pub fn with_default(host: &Host, asked: &Attach) -> Result<Vec<Network>, String> {
    let mut all = all_networks()?;
    let wanted = asked.networks.iter().find(|membership| &*membership.network == DEFAULT_NETWORK);
    if let Some(membership) = wanted.filter(|_| all.iter().all(|network| &*network.name != DEFAULT_NETWORK)) {
        all.push(add(&membership.network, &Wish::default(), &all, host)?);
    }
    Ok(all)
}

/// Removes a network.
///
/// # Errors
/// There is none, or containers are on it.
pub fn remove(name: &Name) -> Result<(), String> {
    let _lock = lock()?;
    find(name)?;
    let on = members(name, &all_records()?);
    match on.is_empty() {
        true => networks().remove(name),
        false => Err(format!("network {:?} is in use by {}", &**name, on.join(", "))),
    }
}

/// The network of a name.
///
/// # Errors
/// There is none.
pub fn find(name: &Name) -> Result<Network, String> {
    let found = all_networks()?.into_iter().find(|network| network.name == *name);
    found.ok_or_else(|| format!("there is no network {:?}", &**name))
}

/// A line per network: name, bridge, subnets, containers; `-` for nothing.
///
/// # Errors
/// A file that does not parse.
pub fn list() -> Result<String, String> {
    let records = all_records()?;
    let line = |network: &Network| {
        let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
        let members = members(&network.name, &records);
        let members = if members.is_empty() { "-".to_owned() } else { members.join(",") };
        format!("{} {} {} {members}\n", network.name, network.bridge, subnets.join(","))
    };
    Ok(all_networks()?.iter().map(line).collect())
}

fn members(network: &str, records: &[Record]) -> Vec<String> {
    let on = records.iter().filter(|record| record.on(network).is_some());
    on.map(|record| record.container.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::tests::network;

    fn wish(subnets: &[&str]) -> Wish {
        Wish { subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(), ..Wish::default() }
    }

    fn new(wish: &Wish) -> Result<Network, String> {
        let there = [network("default", "skerry0"), network("back", "skerry2")];
        let taken: Vec<Taken> = taken_by(&there).collect();
        design(&"new".parse().unwrap(), wish, &there, &taken, Some(7))
    }

    #[test]
    fn a_network_gets_the_first_free_bridge_and_subnets() {
        let network = new(&Wish::default()).unwrap();
        assert_eq!(network.bridge, "skerry1");
        let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
        assert_eq!(subnets, ["10.210.8.1/22", "fd00:0:7::1/64"]);
    }

    #[test]
    fn given_subnets_are_taken_ipv4_first() {
        let subnets = new(&wish(&["fd01::/64", "10.9.0.0/24"])).unwrap().subnets;
        assert_eq!(subnets, ["10.9.0.1/24".parse().unwrap(), "fd01::1/64".parse().unwrap()]);
        assert!(new(&wish(&["10.9.0.0/24", "10.8.0.0/24"])).unwrap_err().contains("at most one subnet"));
        let error = new(&wish(&["10.210.0.0/24"])).unwrap_err();
        assert_eq!(error, "subnet 10.210.0.0/24 overlaps 10.210.0.1/22, network \"default\"");
    }
}
