//! `[networks.NAME]`: networks of containers that the configuration wants.

use super::attachment::RESERVED;
use super::{Cidr, Name};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;

/// `[networks.NAME]`: a bridge of the node's that containers are on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Bridge {
    /// Its subnets, at most one per family, `10.9.0.0/24`, or with the gateway's address, `10.9.0.254/24`.
    /// Chosen without any.
    #[serde(deserialize_with = "subnets")]
    pub subnets: Vec<Cidr>,
    /// An IPv6 subnet is chosen when none is given.
    pub ipv6: bool,
    /// No way out and none in.
    pub internal: bool,
    /// Greatest packet in bytes; the one of the interface with the default route without it.
    pub mtu: Option<u32>,
    /// Free words, for people and programs.
    pub labels: BTreeMap<String, String>,
}

/// Whether a subnet has room for a gateway and a container.
pub fn has_room(subnet: &Cidr) -> bool {
    subnet.prefix <= if subnet.address.is_ipv4() { 30 } else { 126 }
}

fn subnets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Cidr>, D::Error> {
    let subnets = Vec::<Cidr>::deserialize(from)?;
    if let Some(small) = subnets.iter().find(|subnet| !has_room(subnet)) {
        return Err(de::Error::custom(format!("subnet {small} has no room for a gateway and a container")));
    }
    let of = |v4| subnets.iter().filter(|subnet| subnet.address.is_ipv4() == v4).count();
    if of(true) > 1 || of(false) > 1 {
        return Err(de::Error::custom("a network has at most one subnet per family"));
    }
    Ok(subnets)
}

/// Reads all of them: words that `network` has for something else are no names.
///
/// # Errors
/// Such a name, and those of their keys.
pub fn named<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Name, Bridge>, D::Error> {
    let networks = BTreeMap::<Name, Bridge>::deserialize(from)?;
    match networks.keys().find(|name| RESERVED.contains(&&***name)) {
        Some(name) => Err(de::Error::custom(format!("{name:?} is no name of a network", name = &**name))),
        None => Ok(networks),
    }
}
