//! What Services come to, as elements of the table: each endpoint of a front has a number, and keeps it for as
//! long as there are so many, so that a change is as small as what has changed.

use super::Protocol;
use super::content::{Content, Front, Lead, View};
use super::table::{Kind, Map};
use crate::netlink::address::{from_octets, octets};
use crate::netlink::nft::message::Element;
use crate::ranges::{self, Range};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use sys::netlink::wire::number;

/// Elements by map and family.
pub type Elements = BTreeMap<(Map, bool), BTreeSet<Element>>;

/// What is in the table of one Service, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Which front leads where, the endpoints in the order of their numbers.
    pub leads: BTreeMap<(View, Front), Lead<Vec<SocketAddr>>>,
    /// Fronts of UDP with the endpoints at which a client may stay.
    pub serving: BTreeMap<Front, BTreeSet<SocketAddr>>,
    /// Fronts that are refused.
    pub refused: BTreeSet<Front>,
    /// Fronts that are not answered.
    pub dropped: BTreeSet<Front>,
    /// Fronts at which nobody is answered.
    pub silent: BTreeSet<Front>,
    /// Services' addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Fronts that are for these clients alone.
    pub guarded: BTreeMap<Front, Vec<Range>>,
}

impl Placed {
    /// Places a content where a front's endpoints have had their numbers before.
    pub fn of(content: Content, before: &Self) -> Self {
        let Content { leads, serving, refused, dropped, silent, addresses, guarded } = content;
        let place = |(at, lead): ((View, Front), Lead<BTreeSet<SocketAddr>>)| {
            let had = before.leads.get(&at).map(|lead| &*lead.ends).unwrap_or_default();
            (at, Lead { seconds: lead.seconds, ends: arrange(had, lead.ends) })
        };
        let leads = leads.into_iter().map(place).collect();
        Self { leads, serving, refused, dropped, silent, addresses, guarded }
    }

    /// Every front that is led, refused or silent.
    pub fn fronts(&self) -> impl Iterator<Item = Front> + use<> {
        let led = self.leads.keys().map(|(_, front)| *front);
        let all: BTreeSet<Front> = led.chain(self.refused.iter().chain(&self.silent).copied()).collect();
        all.into_iter()
    }

    /// Adds another's.
    pub fn merge(&mut self, other: Self) {
        self.leads.extend(other.leads);
        self.serving.extend(other.serving);
        self.refused.extend(other.refused);
        self.dropped.extend(other.dropped);
        self.silent.extend(other.silent);
        self.addresses.extend(other.addresses);
        self.guarded.extend(other.guarded);
    }

    /// The kinds of chains that it needs.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let each = self.leads.iter().map(|(&(view, _), lead)| kinds(view, lead));
        let silence = (!self.silent.is_empty()).then_some(Kind::Silence);
        each.flat_map(|(pick, keep)| pick.into_iter().chain(keep)).chain(silence)
    }

    /// Everything as elements, by map and family.
    pub fn elements(&self) -> Elements {
        let mut all = Elements::new();
        let mut put = |map, v4, key: Vec<u8>, data: Vec<u8>| {
            all.entry((map, v4)).or_default().insert(Element { key, data, end: false });
        };
        for (&(view, front), lead) in &self.leads {
            for (end, number) in lead.ends.iter().zip(0_u32..) {
                put(
                    Map::Ends(view),
                    front.v4,
                    [key(front), number.to_ne_bytes().to_vec()].concat(),
                    end_data(*end),
                );
            }
            let (pick, keep) = kinds(view, lead);
            for (map, kind) in [(Map::Count(view), pick), (Map::Sticky, keep)] {
                kind.into_iter().for_each(|kind| put(map, front.v4, key(front), kind.name().into_bytes()));
            }
        }
        for (map, fronts) in [(Map::Refused, &self.refused), (Map::Dropped, &self.dropped)] {
            fronts.iter().for_each(|front| put(map, front.v4, key(*front), Vec::new()));
        }
        for &front in &self.silent {
            put(Map::Count(View::Common), front.v4, key(front), Kind::Silence.name().into_bytes());
        }
        for (&front, clients) in &self.guarded {
            put(Map::Guarded, front.v4, key(front), Vec::new());
            for &(first, last) in clients {
                let at = |number| [key(front), octets(ranges::address(number, front.v4)).1].concat();
                put(Map::Allowed, front.v4, at(first), at(last));
            }
        }
        for &address in &self.addresses {
            put(Map::Addresses, address.is_ipv4(), octets(address).1, Vec::new());
        }
        all
    }
}

impl From<Placed> for Content {
    fn from(placed: Placed) -> Self {
        let Placed { leads, serving, refused, dropped, silent, addresses, guarded } = placed;
        let lead = |Lead { seconds, ends }: Lead<Vec<SocketAddr>>| Lead {
            seconds,
            ends: ends.into_iter().collect(),
        };
        let leads = leads.into_iter().map(|(at, one)| (at, lead(one))).collect();
        Self { leads, serving, refused, dropped, silent, addresses, guarded }
    }
}

/// The chain that picks one of a front's endpoints, and the one that keeps its clients there.
fn kinds(view: View, lead: &Lead<Vec<SocketAddr>>) -> (Option<Kind>, Option<Kind>) {
    let count = lead.ends.len() as u32;
    let pick = (count > 1).then_some(Kind::Pick(view, count));
    (pick, (lead.seconds > 0).then_some(Kind::Keep(lead.seconds)))
}

/// Numbers for endpoints: who stays keeps his, who is new gets that of one who has gone, and holes are filled from
/// the end.
fn arrange(had: &[SocketAddr], wanted: BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
    let known: BTreeSet<&SocketAddr> = had.iter().collect();
    let mut new: Vec<SocketAddr> = wanted.iter().filter(|end| !known.contains(end)).copied().collect();
    let mut placed: Vec<SocketAddr> = Vec::with_capacity(wanted.len());
    let mut stay: Vec<Option<SocketAddr>> =
        had.iter().map(|end| wanted.contains(end).then_some(*end)).collect();
    for number in 0..wanted.len() {
        let own = stay.get_mut(number).and_then(Option::take);
        let last = || stay.iter_mut().rev().find_map(Option::take);
        placed.extend(own.or_else(|| new.pop()).or_else(last));
    }
    placed
}

/// A front as the key of a map.
pub fn key(front: Front) -> Vec<u8> {
    let all: IpAddr = if front.v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let address = octets(front.address.unwrap_or(all)).1;
    [address, vec![front.protocol as u8, 0, 0, 0], padded(front.port)].concat()
}

/// An endpoint as what a map leads to.
pub fn end_data(end: SocketAddr) -> Vec<u8> {
    [octets(end.ip()).1, padded(end.port())].concat()
}

fn padded(port: u16) -> Vec<u8> {
    [port.to_be_bytes(), [0; 2]].concat()
}

/// A front, from a map's key; what follows it is left.
fn front(bytes: &[u8], v4: bool) -> Option<(Front, &[u8])> {
    let (address, rest) = bytes.split_at_checked(if v4 { 4 } else { 16 })?;
    let (&[protocol, _, _, _, high, low, _, _], rest) = rest.split_first_chunk()?;
    let address = from_octets(address).filter(|address| !address.is_unspecified());
    let protocol = Protocol::of(protocol)?;
    Some((Front { address, v4, protocol, port: u16::from_be_bytes([high, low]) }, rest))
}

/// An endpoint, from what a map leads to.
pub fn end(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) =
        bytes.split_last_chunk::<4>().map(|(address, port)| (address, [port[0], port[1]]))?;
    Some(SocketAddr::new(from_octets(address)?, u16::from_be_bytes(port)))
}

/// Which fronts lead where, as maps hold it. Where clients may stay they do not tell: nowhere, as far as is known.
pub fn read(elements: &Elements) -> Placed {
    let mut placed = Placed::default();
    let mut numbered: BTreeMap<(View, Front), BTreeMap<u32, SocketAddr>> = BTreeMap::new();
    for view in [View::Common, View::Direct] {
        for v4 in [true, false] {
            let ends = elements.get(&(Map::Ends(view), v4)).into_iter().flatten();
            for (front, index, end) in ends.filter_map(|one| {
                let (front, rest) = front(&one.key, v4)?;
                Some((front, number(rest, 0)?, end(&one.data)?))
            }) {
                numbered.entry((view, front)).or_default().insert(index, end);
            }
        }
    }
    placed.leads.extend(
        numbered.into_iter().map(|(at, ends)| (at, Lead { seconds: 0, ends: ends.into_values().collect() })),
    );
    let of_udp = placed.leads.keys().map(|(_, front)| *front).filter(|front| front.protocol == Protocol::Udp);
    placed.serving = of_udp.map(|front| (front, BTreeSet::new())).collect();
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(numbers: &[u8]) -> Vec<SocketAddr> {
        numbers.iter().map(|&number| SocketAddr::from(([10, 244, 1, number], 80))).collect()
    }

    #[test]
    fn endpoints_keep_their_numbers() {
        for (had, wanted, placed) in [
            (&[][..], &[1, 2, 3][..], &[3, 2, 1][..]),
            (&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]),
            (&[1, 2, 3], &[1, 3, 4], &[1, 4, 3]),
            (&[1, 2, 3, 4], &[1, 3, 4], &[1, 4, 3]),
            (&[1, 2, 3], &[3], &[3]),
            (&[1, 2], &[1, 2, 3], &[1, 2, 3]),
        ] {
            let said = arrange(&ends(had), ends(wanted).into_iter().collect());
            assert_eq!(said, ends(placed), "{had:?} {wanted:?}");
        }
    }

    fn placed(numbers: &[u8], seconds: u32) -> Placed {
        let front =
            Front { address: Some([10, 96, 0, 1].into()), v4: true, protocol: Protocol::Tcp, port: 80 };
        let lead = Lead { seconds, ends: ends(numbers) };
        Placed { leads: BTreeMap::from([((View::Common, front), lead)]), ..Placed::default() }
    }

    #[test]
    fn one_endpoint_alone_is_not_counted() {
        let maps =
            |placed: Placed| -> Vec<Map> { placed.elements().into_keys().map(|(map, _)| map).collect() };
        assert_eq!(maps(placed(&[1], 0)), [Map::Ends(View::Common)]);
        assert_eq!(maps(placed(&[1], 9)), [Map::Ends(View::Common), Map::Sticky]);
        let both = placed(&[1, 2], 9).kinds().collect::<Vec<_>>();
        assert_eq!(both, [Kind::Pick(View::Common, 2), Kind::Keep(9)]);
        assert!(
            both.iter().chain([&Kind::Silence]).all(|kind| Kind::of(kind.name().as_bytes()) == Some(*kind))
        );
    }

    #[test]
    fn what_maps_hold_reads_back_with_its_numbers() {
        let mut two = placed(&[3, 1, 2], 0);
        let front = Front { address: None, v4: false, protocol: Protocol::Sctp, port: 30080 };
        let ends = vec!["[fd44::2]:80".parse().unwrap()];
        two.leads.insert((View::Direct, front), Lead { seconds: 0, ends });
        assert_eq!(read(&two.elements()), two);
    }

    #[test]
    fn a_fronts_key_is_as_the_rules_load_it() {
        let front = Front { address: None, v4: false, protocol: Protocol::Udp, port: 0x1234 };
        let expected = [vec![0; 16], vec![17, 0, 0, 0], vec![0x12, 0x34, 0, 0]].concat();
        assert_eq!(key(front), expected);
    }
}
