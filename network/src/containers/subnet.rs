//! Which subnets a network gets, and what a chosen one collides with.

use spec::network::Network;
use spec::node::Cidr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 subnets of networks that choose none: 64 of 1021 addresses here, then as
/// many in each of the others.
const POOLS: [[u8; 2]; 3] = [[10, 210], [172, 30], [10, 67]];
const PREFIX: u8 = 22;
/// Containers of one IPv6 subnet.
const PREFIX_V6: u8 = 64;

/// A network that is in use, and what to call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Any address in it.
    pub subnet: Cidr,
    /// `the route of eth0`, `network "back"`.
    pub by: String,
}

/// What other networks have taken; of the pods' also where the pods of other nodes are.
pub fn taken_by(networks: &[Network]) -> impl Iterator<Item = Taken> {
    networks.iter().flat_map(|network| {
        let by = format!("network {:?}", &*network.name);
        let elsewhere = network.cluster.iter().flatten();
        network.subnets.iter().chain(elsewhere).map(move |&subnet| Taken { subnet, by: by.clone() })
    })
}

/// Whether two subnets have an address in common.
pub fn overlap(a: Cidr, b: Cidr) -> bool {
    let prefix = a.prefix.min(b.prefix);
    a.address.is_ipv4() == b.address.is_ipv4() && number(a.address, prefix) == number(b.address, prefix)
}

/// Whether an address lies in a subnet.
pub fn contains(subnet: Cidr, address: IpAddr) -> bool {
    overlap(subnet, Cidr { address, prefix: longest(address) })
}

/// An address as a number, without the bits behind the prefix.
fn number(address: IpAddr, prefix: u8) -> u128 {
    let (bits, length) = match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, prefix),
        IpAddr::V6(v6) => (v6.to_bits(), prefix),
    };
    bits.checked_shr(128 - u32::from(length)).unwrap_or(0)
}

/// How many bits an address has.
pub fn longest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// An address of a subnet by its number in it: 0 is the subnet's own.
pub fn host(subnet: Cidr, number: u32) -> IpAddr {
    match subnet.address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix)).unwrap_or(0);
            Ipv4Addr::from_bits((v4.to_bits() & mask) + number).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix)).unwrap_or(0);
            Ipv6Addr::from_bits((v6.to_bits() & mask) + u128::from(number)).into()
        }
    }
}

/// How many addresses a subnet has for gateway and containers: without the subnet's
/// own and IPv4's broadcast address; as many as anybody wants at most.
pub fn size(subnet: Cidr) -> u32 {
    let bits = u32::from(longest(subnet.address) - subnet.prefix).min(20);
    (1_u32 << bits).saturating_sub(2)
}

/// A subnet as a user gives it, with the gateway's address: the first one, unless the
/// user gave another than the subnet's own.
///
/// # Errors
/// One that has no room for a gateway and a container, or that collides.
pub fn given(subnet: Cidr, taken: &[Taken]) -> Result<Cidr, String> {
    if size(subnet) < 2 {
        return Err(format!("subnet {subnet} has no room for a gateway and a container"));
    }
    if let Some(other) = taken.iter().find(|other| overlap(other.subnet, subnet)) {
        return Err(format!("subnet {subnet} overlaps {}, {}", other.subnet, other.by));
    }
    let address = if subnet.address == host(subnet, 0) { host(subnet, 1) } else { subnet.address };
    Ok(Cidr { address, ..subnet })
}

/// The first IPv4 subnet that collides with nothing.
///
/// # Errors
/// There is none.
pub fn choose(taken: &[Taken]) -> Result<Cidr, String> {
    let all = POOLS.iter().flat_map(|&[a, b]| {
        (0..=u8::MAX).step_by(4).map(move |c| Cidr { address: [a, b, c, 1].into(), prefix: PREFIX })
    });
    let mut free = all.filter(|&subnet| !taken.iter().any(|other| overlap(other.subnet, subnet)));
    free.next().ok_or_else(|| "every subnet for a new network is in use: give one".to_owned())
}

/// A unique local IPv6 subnet (RFC 4193) of these 40 random bits.
pub fn unique_local(random: u64) -> Cidr {
    let global = u128::from(random & 0xff_ffff_ffff) << 80;
    let address = Ipv6Addr::from_bits(0xfd << 120 | global | 1);
    Cidr { address: address.into(), prefix: PREFIX_V6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn taken(list: &[&str]) -> Vec<Taken> {
        list.iter().map(|text| Taken { subnet: cidr(text), by: "the route of eth0".into() }).collect()
    }

    #[test]
    fn subnets_overlap_when_one_holds_the_other() {
        for (a, b, expected) in [
            ("10.0.0.0/8", "10.210.0.0/22", true),
            ("10.210.3.9/32", "10.210.0.0/22", true),
            ("10.210.4.0/22", "10.210.0.0/22", false),
            ("fd00::/8", "fd00:1::/64", true),
            ("fd00::/64", "fd00:0:0:1::/64", false),
            ("::/0", "10.0.0.0/8", false),
        ] {
            assert_eq!(
                (overlap(cidr(a), cidr(b)), overlap(cidr(b), cidr(a))),
                (expected, expected),
                "{a} {b}"
            );
        }
        assert!(contains(cidr("10.210.0.1/22"), [10, 210, 3, 255].into()));
        assert!(!contains(cidr("10.210.0.1/22"), [10, 210, 4, 0].into()));
    }

    #[test]
    fn a_new_network_goes_around_what_is_there() {
        assert_eq!(choose(&[]), Ok(cidr("10.210.0.1/22")));
        assert_eq!(choose(&taken(&["10.210.1.7/32", "10.210.4.0/23"])), Ok(cidr("10.210.8.1/22")));
        assert_eq!(choose(&taken(&["10.0.0.0/8"])), Ok(cidr("172.30.0.1/22")));
        assert!(choose(&taken(&["10.0.0.0/8", "172.16.0.0/12"])).is_err());
    }

    #[test]
    fn a_collision_names_both() {
        let error = given(cidr("10.210.0.0/16"), &taken(&["10.210.8.0/22"])).unwrap_err();
        assert_eq!(error, "subnet 10.210.0.0/16 overlaps 10.210.8.0/22, the route of eth0");
        assert!(given(cidr("10.0.0.0/31"), &[]).unwrap_err().contains("no room"));
    }

    #[test]
    fn the_gateway_is_the_first_address_or_the_given_one() {
        for (given_one, expected) in
            [("10.9.0.0/24", "10.9.0.1/24"), ("10.9.0.254/24", "10.9.0.254/24"), ("fd00::/64", "fd00::1/64")]
        {
            assert_eq!(given(cidr(given_one), &[]), Ok(cidr(expected)));
        }
        assert_eq!(unique_local(0x12_3456_789a), cidr("fd12:3456:789a::1/64"));
    }

    #[test]
    fn a_subnets_addresses_are_counted_without_its_ends() {
        assert_eq!(
            (size(cidr("10.0.0.0/30")), size(cidr("10.0.0.0/24")), size(cidr("10.0.0.0/32"))),
            (2, 254, 0)
        );
        assert_eq!(host(cidr("10.9.0.7/24"), 2), IpAddr::from([10, 9, 0, 2]));
        assert_eq!(host(cidr("fd00::1/64"), 258), "fd00::102".parse::<IpAddr>().unwrap());
    }
}
