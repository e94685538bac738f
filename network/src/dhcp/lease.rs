//! What a server's acknowledgement gives: address, routes, names, times.

use super::message::{Kind, Message, option};
use crate::dns;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A lease that never ends.
const FOR_EVER: u32 = u32::MAX;

/// Where packets to a destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination's network.
    pub network: Ipv4Addr,
    /// Length of its prefix; 0 with `0.0.0.0` is the default route.
    pub prefix: u8,
    /// The router, or nothing when the network is on the link itself.
    pub gateway: Option<Ipv4Addr>,
}

/// An address and what came with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The interface's address.
    pub address: Ipv4Addr,
    /// Length of its network's prefix.
    pub prefix: u8,
    /// The server that gave it.
    pub server: Ipv4Addr,
    /// Routes beside that to the address's own network.
    pub routes: Vec<Route>,
    /// Name servers.
    pub dns: Vec<Ipv4Addr>,
    /// Domains to search.
    pub search: Vec<String>,
    /// The node's name.
    pub host_name: Option<String>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// The link's greatest packet.
    pub mtu: Option<u32>,
    /// When it ends.
    pub term: Term,
}

/// The times of a lease, on the clock that counts from boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// When it was asked for: RFC 2131 §4.4.1 counts from there.
    pub start: Duration,
    /// Its length and the two times at which it is renewed, T1 and T2, from
    /// `start`; nothing when it never ends.
    pub limits: Option<Limits>,
}

/// Times from a lease's start; `renew <= rebind <= end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// T1: ask the server that gave it.
    pub renew: Duration,
    /// T2: ask every server.
    pub rebind: Duration,
    /// The address must not be used any more.
    pub end: Duration,
}

impl Term {
    /// When T1 is.
    pub fn renew(&self) -> Option<Duration> {
        self.limits.map(|limits| self.start + limits.renew)
    }

    /// When T2 is.
    pub fn rebind(&self) -> Option<Duration> {
        self.limits.map(|limits| self.start + limits.rebind)
    }

    /// When the lease ends.
    pub fn end(&self) -> Option<Duration> {
        self.limits.map(|limits| self.start + limits.end)
    }

    /// Whether the address may still be used.
    pub fn holds(&self, now: Duration) -> bool {
        self.end().is_none_or(|end| now < end)
    }
}

impl Lease {
    /// Reads an acknowledgement of a request sent at `start`; nothing when it
    /// lacks what a lease needs or gives an address that no host can have.
    pub fn from_ack(ack: &Message, start: Duration) -> Option<Self> {
        if ack.kind != Kind::Ack || !usable(ack.yiaddr) {
            return None;
        }
        let mask = ack.address(option::SUBNET_MASK);
        Some(Self {
            address: ack.yiaddr,
            prefix: mask.map_or_else(|| Some(class_prefix(ack.yiaddr)), prefix)?,
            server: ack.address(option::SERVER)?,
            routes: routes(ack),
            dns: ack.addresses(option::DNS),
            search: search(ack),
            host_name: ack.text(option::HOST_NAME).and_then(|name| host_name(&name)),
            ntp: ack.addresses(option::NTP),
            mtu: mtu(ack),
            term: Term { start, limits: limits(ack)? },
        })
    }
}

/// Whether a host can have this address.
pub fn usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// Times that contradict each other, and those that have come at once, are replaced by RFC 2131's own:
/// half and seven eighths of the lease. A lease of no time at all is none.
fn limits(ack: &Message) -> Option<Option<Limits>> {
    let seconds = ack.number(option::LEASE_TIME).filter(|&seconds| seconds > 0)?;
    if seconds == FOR_EVER {
        return Some(None);
    }
    let end = Duration::from_secs(seconds.into());
    let time = |code| ack.number(code).filter(|&seconds| seconds > 0).map(|s| Duration::from_secs(s.into()));
    let rebind = time(option::REBINDING_TIME).filter(|&time| time < end).unwrap_or(end * 7 / 8);
    let renew = time(option::RENEWAL_TIME).filter(|&time| time <= rebind);
    Some(Some(Limits { renew: renew.unwrap_or((end / 2).min(rebind)), rebind, end }))
}

/// Length of a mask's prefix, when it is one.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() >= 32).then(|| bits.leading_ones() as u8)
}

/// The prefix of the days before masks, for a server that sends none.
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

/// Option 121 replaces the router option (RFC 3442).
fn routes(ack: &Message) -> Vec<Route> {
    if let Some(routes) = ack.options.get(&option::CLASSLESS_ROUTES).and_then(|value| classless(value)) {
        return routes;
    }
    let router = ack.addresses(option::ROUTER).into_iter().find(|&router| usable(router));
    router
        .map(|router| Route { network: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some(router) })
        .into_iter()
        .collect()
}

/// Prefix length, as many bytes of the network as that needs, router; repeated.
fn classless(mut value: &[u8]) -> Option<Vec<Route>> {
    let mut routes = Vec::new();
    while let [prefix @ 0..=32, rest @ ..] = value {
        let (significant, rest) = rest.split_at_checked(usize::from(prefix.div_ceil(8)))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut network = [0; 4];
        network[..significant.len()].copy_from_slice(significant);
        let mask = u32::MAX.checked_shl(32 - u32::from(*prefix)).unwrap_or(0);
        let gateway = Ipv4Addr::from_octets(*gateway);
        routes.push(Route {
            network: Ipv4Addr::from_bits(u32::from_be_bytes(network) & mask),
            prefix: *prefix,
            gateway: (!gateway.is_unspecified()).then_some(gateway),
        });
        value = rest;
    }
    (value.is_empty() && !routes.is_empty()).then_some(routes)
}

/// The search list (RFC 3397), else the domain.
fn search(ack: &Message) -> Vec<String> {
    let list = ack.options.get(&option::SEARCH).and_then(|value| dns::names(value)).unwrap_or_default();
    if !list.is_empty() {
        return list;
    }
    let domain = ack.text(option::DOMAIN).unwrap_or_default();
    domain
        .split(' ')
        .map(|name| name.trim_end_matches('.'))
        .filter(|name| dns::plain(name))
        .map(str::to_owned)
        .collect()
}

/// The first label of a name, when it can be a host's.
fn host_name(name: &str) -> Option<String> {
    let label = name.split('.').next()?;
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
    (label.len() <= 63 && plain && edge(label.bytes().next()) && edge(label.bytes().last()))
        .then(|| label.to_owned())
}

/// Below 576 (RFC 791's least) a value is a mistake of the server's; below IPv6's least (RFC 8200), with which the
/// kernel would switch IPv6 off on the interface, it is that.
fn mtu(ack: &Message) -> Option<u32> {
    let value: [u8; 2] = ack.options.get(&option::MTU)?.as_slice().try_into().ok()?;
    Some(u32::from(u16::from_be_bytes(value))).filter(|&mtu| mtu >= 576).map(|mtu| mtu.max(1280))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::Mac;
    use std::collections::BTreeMap;

    fn ack(options: &[(u8, &[u8])]) -> Message {
        let mut all: BTreeMap<u8, Vec<u8>> = BTreeMap::from([
            (option::SERVER, vec![10, 0, 2, 2]),
            (option::LEASE_TIME, 3600_u32.to_be_bytes().to_vec()),
            (option::SUBNET_MASK, vec![255, 255, 255, 0]),
        ]);
        all.extend(options.iter().map(|&(code, value)| (code, value.to_vec())));
        Message {
            kind: Kind::Ack,
            xid: 1,
            secs: 0,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 2, 15),
            chaddr: Mac::default(),
            options: all,
        }
    }

    fn lease(options: &[(u8, &[u8])]) -> Lease {
        Lease::from_ack(&ack(options), Duration::from_secs(100)).unwrap()
    }

    fn refused(options: &[(u8, &[u8])]) -> bool {
        Lease::from_ack(&ack(options), Duration::ZERO).is_none()
    }

    #[test]
    fn times_count_from_the_request() {
        let seconds = |options: &[(u8, &[u8])]| {
            let term = lease(options).term;
            [term.renew(), term.rebind(), term.end()].map(|time| time.map_or(0, |time| time.as_secs()))
        };
        let number = |n: u32| n.to_be_bytes();
        assert_eq!(seconds(&[]), [1900, 3250, 3700]);
        assert_eq!(
            seconds(&[(option::RENEWAL_TIME, &number(10)), (option::REBINDING_TIME, &number(20))]),
            [110, 120, 3700]
        );
        assert_eq!(
            seconds(&[(option::RENEWAL_TIME, &number(9000)), (option::REBINDING_TIME, &number(8000))]),
            [1900, 3250, 3700],
            "times after the end are not believed"
        );
        assert_eq!(seconds(&[(option::REBINDING_TIME, &number(60))]), [160, 160, 3700]);
        let at_once = [(option::RENEWAL_TIME, &number(0)[..]), (option::REBINDING_TIME, &number(0))];
        assert_eq!(seconds(&at_once), [1900, 3250, 3700], "it would be asked for without end");
        assert_eq!(seconds(&[(option::LEASE_TIME, &number(u32::MAX))]), [0, 0, 0]);
        assert!(lease(&[(option::LEASE_TIME, &number(u32::MAX))]).term.holds(Duration::MAX));
    }

    #[test]
    fn what_is_no_lease_is_refused() {
        assert!(refused(&[(option::LEASE_TIME, &[0, 0, 0, 0])]));
        assert!(refused(&[(option::LEASE_TIME, &[1])]));
        assert!(refused(&[(option::SERVER, &[])]));
        assert!(refused(&[(option::SUBNET_MASK, &[255, 0, 255, 0])]), "a mask with a hole");
        for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255]] {
            let ack = Message { yiaddr: Ipv4Addr::from_octets(address), ..ack(&[]) };
            assert_eq!(Lease::from_ack(&ack, Duration::ZERO), None, "{address:?}");
        }
    }

    #[test]
    fn every_mask_is_a_prefix() {
        for bits in 0..=32_u32 {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            assert_eq!(prefix(Ipv4Addr::from_bits(mask)), Some(bits as u8));
        }
        assert_eq!(lease(&[]).prefix, 24);
    }

    #[test]
    fn the_router_is_the_default_route_unless_classless_routes_come() {
        let router: (u8, &[u8]) = (option::ROUTER, &[10, 0, 2, 1, 10, 0, 2, 9]);
        let default =
            Route { network: Ipv4Addr::UNSPECIFIED, prefix: 0, gateway: Some([10, 0, 2, 1].into()) };
        assert_eq!(lease(&[router]).routes, [default]);
        let classless: &[u8] =
            &[0, 10, 0, 2, 7, 12, 172, 31, 10, 0, 2, 8, 32, 169, 254, 169, 254, 0, 0, 0, 0];
        let routes = lease(&[router, (option::CLASSLESS_ROUTES, classless)]).routes;
        assert_eq!(
            routes,
            [
                Route { gateway: Some([10, 0, 2, 7].into()), ..default },
                Route { network: [172, 16, 0, 0].into(), prefix: 12, gateway: Some([10, 0, 2, 8].into()) },
                Route { network: [169, 254, 169, 254].into(), prefix: 32, gateway: None },
            ]
        );
        for malformed in [&[33, 1, 2, 3, 4][..], &[24, 10, 0], &[0, 1], &[]] {
            assert_eq!(lease(&[router, (option::CLASSLESS_ROUTES, malformed)]).routes, [default]);
        }
    }

    #[test]
    fn names_are_taken_when_they_can_be_names() {
        assert_eq!(lease(&[(option::HOST_NAME, b"n1.example.org")]).host_name.as_deref(), Some("n1"));
        for bad in [&b"-n"[..], b"n-", b"a_b", b"..", b"", b"a b", &[0xff]] {
            assert_eq!(lease(&[(option::HOST_NAME, bad)]).host_name, None, "{bad:?}");
        }
        assert_eq!(lease(&[(option::DOMAIN, b"example.org.")]).search, ["example.org"]);
        assert_eq!(lease(&[(option::DOMAIN, b"a\nnameserver 6.6.6.6")]).search, [""; 0]);
        let list = b"\x03eng\x07example\x03org\x00\x05sales\xc0\x04";
        assert_eq!(
            lease(&[(option::DOMAIN, b"x"), (option::SEARCH, list)]).search,
            ["eng.example.org", "sales.example.org"]
        );
    }

    #[test]
    fn an_mtu_below_the_least_is_a_mistake() {
        assert_eq!(lease(&[(option::MTU, &[5, 0xdc])]).mtu, Some(1500));
        assert_eq!(lease(&[(option::MTU, &[2, 0x40])]).mtu, Some(1280));
        assert_eq!(lease(&[(option::MTU, &[0, 68])]).mtu, None);
        assert_eq!(lease(&[(option::MTU, &[68])]).mtu, None);
    }
}
