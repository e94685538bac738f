//! Ranges of addresses: merged, with holes, and as the elements of a set of nftables.

use crate::netlink::address::octets;
use crate::netlink::nft::message::Element;
use spec::node::Cidr;
use std::net::IpAddr;

/// The first and the last of a family's addresses, as numbers.
pub type Range = (u128, u128);

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number.
pub fn address(number: u128, v4: bool) -> IpAddr {
    if v4 { IpAddr::V4((number as u32).into()) } else { IpAddr::V6(number.into()) }
}

/// The addresses of a subnet.
pub fn of(subnet: Cidr) -> Range {
    let bits = if subnet.address.is_ipv4() { 32 } else { 128 };
    let behind = u128::MAX.checked_shr(128 - bits + u32::from(subnet.prefix)).unwrap_or(0);
    let host = if bits == 32 { behind & u128::from(u32::MAX) } else { behind };
    let address = number(subnet.address);
    (address & !host, address | host)
}

/// The same addresses in the fewest ranges, in order.
pub fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// What of a range is in none of the holes.
pub fn without(whole: Range, holes: &[Range]) -> Vec<Range> {
    let mut left = vec![whole];
    for &(first, last) in holes {
        let around = |(from, to): Range| {
            let below = first.checked_sub(1).map(|end| (from, to.min(end)));
            let above = last.checked_add(1).map(|start| (from.max(start), to));
            below.into_iter().chain(above).filter(|(from, to)| from <= to)
        };
        left = left.into_iter().flat_map(around).collect();
    }
    left
}

/// Subnets of a family as elements of a set of intervals.
pub fn elements(subnets: impl IntoIterator<Item = Cidr>, v4: bool) -> Vec<Element> {
    let ours = subnets.into_iter().filter(|subnet| subnet.address.is_ipv4() == v4);
    as_elements(merged(ours.map(of).collect()), v4)
}

/// Merged ranges as elements of a set of intervals: where each begins, and the first address behind it,
/// if there is one.
pub fn as_elements(ranges: Vec<Range>, v4: bool) -> Vec<Element> {
    let key = |number: u128| octets(address(number, v4)).1;
    let most = if v4 { u32::MAX.into() } else { u128::MAX };
    let pair = |(first, last): Range| {
        let start = Element { key: key(first), data: Vec::new(), end: false };
        let end = (last < most).then(|| Element { key: key(last + 1), data: Vec::new(), end: true });
        [Some(start), end]
    };
    ranges.into_iter().flat_map(pair).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(subnet: &str) -> Range {
        of(subnet.parse().unwrap())
    }

    #[test]
    fn a_subnet_is_all_of_its_addresses() {
        for (subnet, size) in
            [("10.1.2.3/32", 1), ("10.1.2.3/24", 256), ("0.0.0.0/0", 1 << 32), ("fd00::7/64", 1 << 64)]
        {
            let (first, last) = range(subnet);
            assert_eq!(last - first + 1, size, "{subnet}");
        }
        assert_eq!(range("::/0"), (0, u128::MAX));
        assert_eq!(range("10.1.2.3/24").0, 0x0a01_0200);
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let all = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "10.0.3.0/24"].map(range).to_vec();
        assert_eq!(merged(all), [(0x0a00_0000, 0x0a00_01ff), (0x0a00_0300, 0x0a00_03ff)]);
        assert_eq!(merged(vec![(0, u128::MAX), (7, 8)]), [(0, u128::MAX)]);
    }

    #[test]
    fn holes_are_cut_out() {
        for (whole, holes, left) in [
            ((10, 20), &[][..], &[(10, 20)][..]),
            ((10, 20), &[(10, 20)], &[]),
            ((10, 20), &[(12, 13), (18, 30)], &[(10, 11), (14, 17)]),
            ((10, 20), &[(0, 9), (21, 40)], &[(10, 20)]),
            ((0, u128::MAX), &[(0, 5)], &[(6, u128::MAX)]),
            ((0, u128::MAX), &[(5, u128::MAX)], &[(0, 4)]),
        ] {
            assert_eq!(without(whole, holes), left, "{whole:?} {holes:?}");
        }
    }

    #[test]
    fn elements_come_in_pairs_but_for_the_end_of_all_addresses() {
        let elements = |subnets: &[&str], v4| -> Vec<(Vec<u8>, bool)> {
            let list = elements(subnets.iter().map(|text| text.parse().unwrap()), v4);
            list.into_iter().map(|element| (element.key, element.end)).collect()
        };
        let both = ["10.0.0.0/24", "fd00::/64"];
        assert_eq!(elements(&both, true), [(vec![10, 0, 0, 0], false), (vec![10, 0, 1, 0], true)]);
        assert_eq!(elements(&both, false).len(), 2);
        assert_eq!(elements(&["128.0.0.0/1"], true), [(vec![128, 0, 0, 0], false)]);
    }
}
