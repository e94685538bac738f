//! Routes (rtnetlink(7), `RTM_NEWROUTE`).

use super::address::from_octets;
use super::address::octets;
use std::net::IpAddr;
use sys::netlink::wire::{Request, attributes, number};

/// Who made a route, as `ip route` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration.
    Static,
    /// A DHCP server.
    Dhcp,
}

/// Where packets to a network go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destination, of the same family as the rest.
    pub network: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The router, or nothing when the network is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The address that packets come from; the route goes away with it.
    pub source: Option<IpAddr>,
    /// Who made it.
    pub origin: Origin,
}

/// An interface's routes are weighed by its number, so that the same route
/// through two of them is two routes, and the first interface's is used.
const METRIC: u32 = 1000;
/// `linux/rtnetlink.h`; libc lacks it.
const RTNH_F_ONLINK: u32 = 4;
const REPLACE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

/// Sets a route of an interface.
///
/// The router counts as reachable even when no address's network contains it
/// (`RTNH_F_ONLINK`): clouds give addresses alone on their network.
pub fn replace(index: u32, route: &Route) -> Request {
    request(libc::RTM_NEWROUTE, REPLACE, index, route)
}

/// Takes a route of an interface away.
pub fn remove(index: u32, route: &Route) -> Request {
    request(libc::RTM_DELROUTE, 0, index, route)
}

fn request(kind: u16, flags: u16, index: u32, route: &Route) -> Request {
    let (family, network) = octets(route.network);
    let protocol = match route.origin {
        Origin::Static => libc::RTPROT_STATIC,
        Origin::Dhcp => 16, // RTPROT_DHCP
    };
    let scope = if route.gateway.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
    // struct rtmsg: family, destination's and source's prefix, service, table,
    // protocol, scope, type, flags (4).
    let mut body =
        [family, route.prefix, 0, 0, libc::RT_TABLE_MAIN, protocol, scope, libc::RTN_UNICAST, 0, 0, 0, 0];
    if route.gateway.is_some() {
        body[8..].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    }
    let mut request = Request::new(kind, flags, &body)
        .with(libc::RTA_OIF, &index.to_ne_bytes())
        .with(libc::RTA_PRIORITY, &(METRIC + index).to_ne_bytes());
    if route.prefix > 0 {
        request = request.with(libc::RTA_DST, &network);
    }
    if let Some(gateway) = route.gateway {
        request = request.with(libc::RTA_GATEWAY, &octets(gateway).1);
    }
    if let Some(source) = route.source {
        request = request.with(libc::RTA_PREFSRC, &octets(source).1);
    }
    request
}

/// `struct rtmsg`.
const BODY: usize = 12;

/// Asks for every route.
pub fn list() -> Request {
    Request::new(libc::RTM_GETROUTE, 0, &[0; BODY])
}

/// A route that is told from others' by its protocol alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The destination; an address of it.
    pub network: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// The router and the interface's number; without them nothing gets there, and is told so.
    pub to: Option<(IpAddr, u32)>,
}

impl Way {
    /// Roads that lead nowhere are taken when there is no other.
    fn metric(&self) -> u32 {
        if self.to.is_some() { 100 } else { 100_000 }
    }

    fn request(&self, kind: u16, flags: u16, protocol: u8) -> Request {
        let (family, network) = octets(self.network);
        let class = if self.to.is_some() { libc::RTN_UNICAST } else { libc::RTN_UNREACHABLE };
        let mut body = [family, self.prefix, 0, 0, libc::RT_TABLE_MAIN, protocol, 0, class, 0, 0, 0, 0];
        body[8..].copy_from_slice(&self.to.map_or(0, |_| RTNH_F_ONLINK).to_ne_bytes());
        let mut request = Request::new(kind, flags, &body)
            .with(libc::RTA_DST, &network)
            .with(libc::RTA_PRIORITY, &self.metric().to_ne_bytes());
        if let Some((gateway, index)) = self.to {
            request =
                request.with(libc::RTA_OIF, &index.to_ne_bytes()).with(libc::RTA_GATEWAY, &octets(gateway).1);
        }
        request
    }

    /// Sets it, in place of one of the same destination and kind.
    pub fn set(&self, protocol: u8) -> Request {
        self.request(libc::RTM_NEWROUTE, REPLACE, protocol)
    }

    /// Takes it away.
    pub fn remove(&self, protocol: u8) -> Request {
        self.request(libc::RTM_DELROUTE, 0, protocol)
    }
}

/// Reads a route of the main table and a protocol.
pub fn way(kind: u16, body: &[u8], wanted: u8) -> Option<Way> {
    let &[_, prefix, _, _, table, protocol, _, class, ..] = body else { return None };
    let (mut network, mut gateway, mut index) = (None, None, None);
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            libc::RTA_DST => network = from_octets(value),
            libc::RTA_GATEWAY => gateway = from_octets(value),
            libc::RTA_OIF => index = number(value, 0),
            _ => {}
        }
    }
    let ours = kind == libc::RTM_NEWROUTE && table == libc::RT_TABLE_MAIN && protocol == wanted;
    // IPv6 says of a road that leads nowhere that it goes by the loopback interface.
    let to = if class == libc::RTN_UNICAST { gateway.zip(index) } else { None };
    ours.then_some(Way { network: network?, prefix, to })
}

/// A route that is there, of any table but the local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The destination; nothing for a default route.
    pub network: Option<IpAddr>,
    /// Length of its prefix.
    pub prefix: u8,
    /// The interface.
    pub index: u32,
    /// The lowest is used.
    pub metric: u32,
    /// It names a router.
    pub routed: bool,
}

/// Reads a route to other machines.
pub fn parse(kind: u16, body: &[u8]) -> Option<Found> {
    let (prefix, table, class) = (*body.get(1)?, body[4], body.get(7)?);
    let mut found = Found { network: None, prefix, index: 0, metric: 0, routed: false };
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            libc::RTA_DST => found.network = from_octets(value),
            libc::RTA_OIF => found.index = number(value, 0)?,
            libc::RTA_GATEWAY => found.routed = true,
            libc::RTA_PRIORITY => found.metric = number(value, 0)?,
            _ => {}
        }
    }
    let wanted = kind == libc::RTM_NEWROUTE && table != libc::RT_TABLE_LOCAL && *class == libc::RTN_UNICAST;
    wanted.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::netlink::wire::{attributes, messages};

    /// The attributes' types, in order, and the scope.
    fn shape(route: &Route) -> (Vec<u16>, u8) {
        let bytes = replace(2, route).finish(0);
        let body = messages(&bytes).next().unwrap().body.to_vec();
        (attributes(&body[12..]).map(|(kind, _)| kind).collect(), body[6])
    }

    #[test]
    fn a_default_route_names_its_router_and_source() {
        let route = Route {
            network: [0; 4].into(),
            prefix: 0,
            gateway: Some([10, 0, 2, 2].into()),
            source: Some([10, 0, 2, 15].into()),
            origin: Origin::Dhcp,
        };
        let expected = vec![libc::RTA_OIF, libc::RTA_PRIORITY, libc::RTA_GATEWAY, libc::RTA_PREFSRC];
        assert_eq!(shape(&route), (expected, libc::RT_SCOPE_UNIVERSE));
    }

    #[test]
    fn a_route_reads_back_as_it_was_written() {
        let network = [192, 0, 2, 0].into();
        for gateway in [None, Some([192, 0, 2, 1].into())] {
            let route = Route { network, prefix: 24, gateway, source: None, origin: Origin::Static };
            let bytes = replace(2, &route).finish(0);
            let message = messages(&bytes).next().unwrap();
            let (index, metric, routed) = (2, METRIC + 2, gateway.is_some());
            let found = Found { network: Some(network), prefix: 24, index, metric, routed };
            assert_eq!(parse(message.kind, message.body), Some(found));
        }
    }

    #[test]
    fn a_way_reads_back_as_it_was_written_to_those_of_its_protocol() {
        for to in [None, Some((IpAddr::from([192, 0, 2, 3]), 7))] {
            let way = Way { network: [10, 244, 2, 0].into(), prefix: 24, to };
            let bytes = way.set(83).finish(0);
            let message = messages(&bytes).next().unwrap();
            assert_eq!(super::way(message.kind, message.body, 83), Some(way));
            assert_eq!(super::way(message.kind, message.body, 84), None);
        }
    }

    #[test]
    fn a_route_without_router_is_of_the_link() {
        let network = [169, 254, 169, 254].into();
        let route = Route { network, prefix: 32, gateway: None, source: None, origin: Origin::Static };
        assert_eq!(
            shape(&route),
            (vec![libc::RTA_OIF, libc::RTA_PRIORITY, libc::RTA_DST], libc::RT_SCOPE_LINK)
        );
    }
}
