//! Where datagrams to published ports were led. The kernel asks once for a client's socket, and as long as it goes on
//! sending its datagrams go where the first one went: to a container that has gone, or to the node itself when the port
//! led nowhere yet.

use super::record::Record;
use crate::netlink::conntrack::{self, Tracked};
use spec::network::{Port, Protocol};
use std::io;
use std::net::IpAddr;
use sys::netlink::Netlink;

/// Forgets those that were led to a container.
///
/// # Errors
/// What the kernel answered, such as that it lacks `nf_conntrack_netlink`.
pub fn forget_led(record: &Record) -> io::Result<()> {
    let own: Vec<IpAddr> =
        record.interfaces.iter().flat_map(|one| &one.addresses).map(|cidr| cidr.address).collect();
    forget(&record.ports, |one| own.contains(&one.answers.ip()) && one.answers != one.destination)
}

/// Forgets those that came to an address of the node's before these ports led anywhere.
///
/// # Errors
/// As [`forget_led`].
pub fn forget_early(ports: &[Port], own: &[IpAddr]) -> io::Result<()> {
    forget(ports, |one| is_early(one, ports, own))
}

fn is_early(one: &Tracked, ports: &[Port], own: &[IpAddr]) -> bool {
    let (address, number) = (one.destination.ip(), one.destination.port());
    let at = |published: Option<IpAddr>| published.is_none_or(|own| own.is_unspecified() || own == address);
    let is = |port: &&Port| at(port.address) && port.pairs().any(|(outside, _)| outside == number);
    one.answers == one.destination
        && own.contains(&address)
        && ports.iter().filter(|port| port.protocol == Protocol::Udp).any(|port| is(&port))
}

fn forget(ports: &[Port], stale: impl Fn(&Tracked) -> bool) -> io::Result<()> {
    if ports.iter().all(|port| port.protocol != Protocol::Udp) {
        return Ok(());
    }
    let of_udp = |one: &Tracked| one.protocol == Protocol::Udp.number() && stale(one);
    conntrack::forget_those(&mut Netlink::netfilter()?, of_udp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_to_the_port_itself_came_early() {
        let ports =
            ["5000-5001:50-51/udp", "192.0.2.2:53:53/udp", "8080:80"].map(|text| text.parse().unwrap());
        let own = ["192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        for (destination, answers, early) in [
            ("192.0.2.3:5001", "192.0.2.3:5001", true),
            ("192.0.2.3:5001", "10.210.0.2:51", false),
            ("192.0.2.3:5002", "192.0.2.3:5002", false),
            ("198.51.100.1:5001", "198.51.100.1:5001", false),
            ("192.0.2.2:53", "192.0.2.2:53", true),
            ("192.0.2.3:53", "192.0.2.3:53", false),
            ("192.0.2.2:8080", "192.0.2.2:8080", false),
        ] {
            let one = Tracked::between(17, destination, answers);
            assert_eq!(is_early(&one, &ports, &own), early, "{destination} {answers}");
        }
    }
}
