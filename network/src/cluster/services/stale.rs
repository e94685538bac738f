//! What was decided by what is no longer so.
//!
//! A TCP connection to an endpoint that has gone ends by itself. A UDP client may go on with the same port for ever,
//! and as long as it does the kernel leads it where it led the first datagram: nowhere. A client that is kept at
//! an endpoint would come back to it. Both are forgotten: a kept client when nobody new is led to its endpoint, a
//! connection when its endpoint serves no more. What was before is not always known, as when an agent was killed between
//! a change and this: then every kept client is looked at.

use super::Protocol;
use super::content::{Front, View};
use super::kernel::elements;
use super::place::{Placed, end, key};
use super::table::{Map, TABLE};
use crate::netlink::address;
use crate::netlink::conntrack::{self, Tracked};
use crate::netlink::nft::message;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use sys::netlink::Netlink;

/// Endpoints by front.
type Ends = BTreeMap<Front, BTreeSet<SocketAddr>>;

/// Forgets whoever is kept where nobody is led by now; `after` is all there is.
///
/// # Errors
/// What the kernel answered.
pub fn sweep(after: &Placed) -> io::Result<()> {
    let (ends, sticky) = (ends(after), sticky(after));
    let ends = by_key(ends.iter().filter(|(front, _)| sticky.contains(front)));
    let mut kernel = Netlink::netfilter()?;
    for v4 in [true, false] {
        forget_clients(&mut kernel, v4, |front, end| {
            let ends = ends.get(front);
            ends.is_none_or(|ends| end.is_none_or(|end| !ends.contains(&end)))
        })?;
    }
    Ok(())
}

/// Forgets what no longer leads to an endpoint of its front.
///
/// # Errors
/// What the kernel answered.
pub fn forget(before: &Placed, after: &Placed) -> io::Result<()> {
    let connections = changed(&before.serving, &after.serving);
    let clients = clients(before, after);
    if connections.is_empty() && clients.is_empty() {
        return Ok(());
    }
    let mut kernel = Netlink::netfilter()?;
    for v4 in [true, false] {
        let kept = || {
            before
                .leads
                .iter()
                .chain(&after.leads)
                .any(|((_, front), lead)| front.v4 == v4 && lead.seconds > 0)
        };
        if !clients.is_empty() && kept() {
            let clients = by_key(&clients);
            forget_clients(&mut kernel, v4, |front, end| {
                let ends = clients.get(front);
                ends.is_some_and(|ends| end.is_none_or(|end| !ends.contains(&end)))
            })?;
        }
    }
    match connections.is_empty() {
        true => Ok(()),
        false => forget_connections(&mut kernel, &connections),
    }
}

/// Fronts whose kept clients are to be forgotten, but for those at these endpoints.
fn clients(before: &Placed, after: &Placed) -> Ends {
    let mut clients = changed(&ends(before), &ends(after));
    // Who comes from outside and was kept while this node led him anywhere.
    let direct = after.leads.iter().filter(|(at, _)| at.0 == View::Direct && !before.leads.contains_key(at));
    clients.extend(direct.map(|((_, front), lead)| (*front, lead.ends.iter().copied().collect())));
    clients.extend(no_longer_sticky(before, after).map(|front| (front, BTreeSet::new())));
    clients
}

/// Fronts of which an endpoint has gone, or of which there was none before, and those that have gone themselves;
/// each with its endpoints by now.
fn changed(had: &Ends, have: &Ends) -> Ends {
    let fronts: BTreeSet<Front> = had.keys().chain(have.keys()).copied().collect();
    let of = |all: &Ends, front: &Front| all.get(front).cloned().unwrap_or_default();
    let each = fronts.into_iter().map(|front| (front, of(had, &front), of(have, &front)));
    each.filter(|(_, had, have)| had.is_empty() || !had.is_subset(have))
        .map(|(front, _, have)| (front, have))
        .collect()
}

/// Fronts whose clients were kept and are no more.
fn no_longer_sticky(before: &Placed, after: &Placed) -> impl Iterator<Item = Front> {
    let left = sticky(after);
    sticky(before).into_iter().filter(move |front| !left.contains(front))
}

/// Fronts whose clients are kept.
fn sticky(placed: &Placed) -> BTreeSet<Front> {
    placed.leads.iter().filter(|(_, lead)| lead.seconds > 0).map(|((_, front), _)| *front).collect()
}

/// Endpoints by the key that a front has in the table.
fn by_key<'a>(
    ends: impl IntoIterator<Item = (&'a Front, &'a BTreeSet<SocketAddr>)>,
) -> BTreeMap<Vec<u8>, &'a BTreeSet<SocketAddr>> {
    ends.into_iter().map(|(front, ends)| (key(*front), ends)).collect()
}

/// To where new clients are led, however a front is seen.
fn ends(placed: &Placed) -> Ends {
    let mut all = Ends::new();
    for ((_, front), lead) in &placed.leads {
        all.entry(*front).or_default().extend(&lead.ends);
    }
    all
}

/// Whether a connection leads to what is no longer its front's endpoint. One to a port of the node was led on, or came
/// to one of the node's own addresses before the port led anywhere: others' ports have the same numbers.
fn is_stale(connection: &Tracked, changed: &Ends, own: &BTreeSet<IpAddr>) -> bool {
    let led = connection.answers != connection.destination;
    let (address, port) = (connection.destination.ip(), connection.destination.port());
    let udp =
        |address| Front { address, v4: connection.destination.is_ipv4(), protocol: Protocol::Udp, port };
    let elsewhere = |front| changed.get(&front).is_some_and(|ends| !ends.contains(&connection.answers));
    let of_udp = connection.protocol == Protocol::Udp as u8;
    of_udp && (elsewhere(udp(Some(address))) || (led || own.contains(&address)) && elsewhere(udp(None)))
}

fn forget_connections(kernel: &mut Netlink, changed: &Ends) -> io::Result<()> {
    let mut own = BTreeSet::new();
    Netlink::route()?.dump(address::list(), |kind, body| {
        own.extend(address::any(kind, body).map(|(_, address, _)| address));
    })?;
    conntrack::forget_those(kernel, |connection| is_stale(connection, changed, &own))
}

/// Forgets kept clients of a family by their front's key and their endpoint.
fn forget_clients(
    kernel: &mut Netlink,
    v4: bool,
    gone: impl Fn(&[u8], Option<SocketAddr>) -> bool,
) -> io::Result<()> {
    let map = Map::Kept.shape(v4);
    let mut list = elements(kernel, map.name)?;
    list.retain(|element| {
        let front = element.key.len().checked_sub(if v4 { 4 } else { 16 });
        front.is_some_and(|length| gone(&element.key[..length], end(&element.data)))
    });
    for element in list {
        let changes = message::delete_elements(TABLE, &map, &[element]);
        match kernel.batch(message::batch(changes)) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::content::Lead;
    use super::*;

    fn placed(ends: &[&str], seconds: u32) -> Placed {
        let front =
            Front { address: Some([10, 96, 0, 10].into()), v4: true, protocol: Protocol::Udp, port: 53 };
        let ends: Vec<SocketAddr> = ends.iter().map(|end| end.parse().unwrap()).collect();
        let leads = (!ends.is_empty()).then_some(((View::Common, front), Lead { seconds, ends }));
        Placed { leads: leads.into_iter().collect(), ..Placed::default() }
    }

    const A: &str = "10.244.1.2:53";
    const B: &str = "10.244.1.3:53";

    #[test]
    fn what_loses_no_endpoint_is_left_alone() {
        for (before, after, fronts) in
            [(&[A][..], &[A][..], 0), (&[A], &[A, B], 0), (&[A, B], &[A], 1), (&[A], &[], 1), (&[], &[A], 1)]
        {
            assert_eq!(clients(&placed(before, 0), &placed(after, 0)).len(), fronts, "{before:?} {after:?}");
        }
    }

    #[test]
    fn connections_of_before_an_agent_came_anew_are_looked_at_once() {
        let serving = |ends: &[&str]| {
            let (_, front) = *placed(&[A], 0).leads.keys().next().unwrap();
            Ends::from([(front, ends.iter().map(|end| end.parse().unwrap()).collect())])
        };
        let found = super::super::place::read(&placed(&[A], 0).elements()).serving;
        assert_eq!(changed(&found, &serving(&[A, B])), serving(&[A, B]));
        assert_eq!(changed(&found, &Ends::new()), serving(&[]));
        assert!(changed(&serving(&[A]), &serving(&[A, B])).is_empty());
    }

    #[test]
    fn a_connection_to_a_port_of_the_node_is_one_to_an_address_of_its_own_or_was_led() {
        let front = Front { address: None, v4: true, protocol: Protocol::Udp, port: 30053 };
        let changed = Ends::from([(front, BTreeSet::from([A.parse().unwrap()]))]);
        let own = BTreeSet::from(["192.0.2.2".parse().unwrap()]);
        for (destination, answers, stale) in [
            ("192.0.2.2:30053", A, false),
            ("192.0.2.2:30053", B, true),
            ("192.0.2.2:30053", "192.0.2.2:30053", true),
            ("192.0.2.2:30054", "192.0.2.2:30054", false),
            ("203.0.113.1:30053", "203.0.113.1:30053", false),
            ("203.0.113.1:30053", B, true),
        ] {
            let connection = Tracked::between(17, destination, answers);
            assert_eq!(is_stale(&connection, &changed, &own), stale, "{destination} {answers}");
        }
        assert!(!is_stale(&Tracked::between(6, "192.0.2.2:30053", B), &changed, &own), "by TCP");
    }

    #[test]
    fn who_is_kept_elsewhere_is_free_when_only_this_nodes_endpoints_are_his() {
        let before = placed(&[A, B], 9);
        let mut after = before.clone();
        let front = *after.leads.keys().map(|(_, front)| front).next().unwrap();
        let ours = Lead { seconds: 9, ends: vec![A.parse().unwrap()] };
        after.leads.insert((View::Direct, front), ours);
        assert_eq!(clients(&before, &after), Ends::from([(front, BTreeSet::from([A.parse().unwrap()]))]));
        assert!(clients(&after, &after).is_empty() && clients(&after, &before).is_empty());
    }

    #[test]
    fn clients_are_free_when_their_service_keeps_nobody_any_more() {
        let count = |before, after| no_longer_sticky(&placed(&[A], before), &placed(&[A], after)).count();
        assert_eq!([count(9, 0), count(9, 5), count(0, 9), count(0, 0)], [1, 0, 0, 0]);
    }
}
