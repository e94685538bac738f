//! One interface of the node: which are ours, what the configuration gives
//! them, and when one has nothing more to hope for.

use crate::dhcp::Mac;
use crate::dhcp::client::Client;
use crate::dhcp::socket::Socket;
use crate::netlink::link::Link;
use crate::netlink::route::{Origin, Route};
use spec::node::{Cidr, Network};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A link may take this long to come up before that is worth a line: a network
/// card negotiates for up to three seconds.
pub const CARRIER_PATIENCE: Duration = Duration::from_secs(5);

/// A DHCP server or a router may take this long before "ready" no longer waits.
pub const ADDRESS_PATIENCE: Duration = Duration::from_secs(15);

/// An interface that this program looks after.
#[derive(Debug)]
pub struct Interface {
    /// As the kernel described it last.
    pub link: Link,
    /// What the configuration gives it.
    pub plan: Plan,
    /// The DHCP client, unless the configuration switches it off.
    pub client: Option<Client>,
    /// On which its answers come.
    pub socket: Option<Socket>,
    /// When it is no longer [`Progress::Hopeful`].
    pub patience: Option<Duration>,
    /// How far it has come.
    pub progress: Progress,
    /// Addresses that the kernel made, as far as they were reported.
    pub autoconfigured: BTreeSet<IpAddr>,
    /// It was up, and somebody has switched it off.
    off: bool,
}

impl Interface {
    /// An interface that was just found, before anything was done to it.
    pub fn new(link: Link, plan: Plan, client: Option<Client>, now: Duration) -> Self {
        let progress = if plan.addresses.is_empty() { Progress::Hopeful } else { Progress::Configured };
        Self {
            link: Link { carrier: false, ..link },
            plan,
            client,
            socket: None,
            patience: Some(now + CARRIER_PATIENCE),
            progress,
            autoconfigured: BTreeSet::new(),
            off: false,
        }
    }

    /// Takes note of whether it is up; says whether it is so again, after somebody has switched it off.
    pub fn switched(&mut self, up: bool) -> bool {
        let was_off = self.off;
        // A word of before it was switched on first may come late.
        self.off = !up && (was_off || self.link.up);
        up && was_off
    }

    /// Takes note of the carrier; says whether it has changed.
    pub fn set_carrier(&mut self, carrier: bool, now: Duration) -> bool {
        let changed = self.link.carrier != carrier;
        if changed {
            self.link.carrier = carrier;
            self.patience = Some(now + if carrier { ADDRESS_PATIENCE } else { CARRIER_PATIENCE });
        }
        changed
    }

    /// Gives hope up when it is time to; says whether there is no carrier then.
    pub fn lose_patience(&mut self, now: Duration) -> bool {
        if self.patience.is_none_or(|until| now < until) {
            return false;
        }
        self.patience = None;
        if self.progress == Progress::Hopeful {
            self.progress = Progress::Waiting;
        }
        !self.link.carrier
    }

    /// When something is to be done.
    pub fn deadline(&self) -> Option<Duration> {
        self.client.as_ref().and_then(Client::deadline).into_iter().chain(self.patience).min()
    }
}

/// How far an interface has come: what "ready" waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It may soon have an address.
    Hopeful,
    /// Nobody answers, or there is no carrier.
    Waiting,
    /// It has an address.
    Configured,
}

/// What the configuration gives an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Ask for a lease.
    pub dhcp: bool,
    /// Let the kernel accept router advertisements.
    pub slaac: bool,
    /// Addresses to set.
    pub addresses: Vec<Cidr>,
    /// Default routes to set.
    pub routes: Vec<Route>,
    /// Greatest packet to set.
    pub mtu: Option<u32>,
}

/// Whether an interface is looked after: network cards, and what the
/// configuration names. Bridges, `veth` pairs and the like are made by someone
/// who knows what they are for.
pub fn ours(link: &Link, network: &Network) -> bool {
    let card = link.kind.is_none() && !link.port;
    link.ethernet && (card || network.interfaces.contains_key(link.name.as_str()))
}

/// What the configuration gives an interface of this name.
pub fn plan(name: &str, network: &Network) -> Plan {
    let settings = network.interfaces.get(name).cloned().unwrap_or_default();
    Plan {
        dhcp: settings.dhcp.unwrap_or(settings.addresses.is_empty()),
        slaac: settings.slaac,
        routes: settings.gateways.iter().map(|&gateway| default_route(gateway)).collect(),
        addresses: settings.addresses,
        mtu: settings.mtu,
    }
}

fn default_route(gateway: IpAddr) -> Route {
    let network = match gateway {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Route { network, prefix: 0, gateway: Some(gateway), source: None, origin: Origin::Static }
}

/// What is said of interfaces that are configured and not there.
pub fn absent(network: &Network, there: &BTreeSet<&str>) -> Vec<String> {
    let absent = network.interfaces.keys().filter(|name| !there.contains(&***name));
    let names: Vec<&str> = there.iter().copied().collect();
    let others = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    absent.map(|name| format!("network.interfaces.{name}: no such interface yet: {others}")).collect()
}

/// The node's name: the configured one is set by PID 1 and left alone; else a
/// DHCP server's, else one made of the first network card's address.
pub fn host_name(configured: bool, leased: Option<&str>, first: Option<Mac>) -> Option<String> {
    if configured {
        return None;
    }
    leased.map(str::to_owned).or_else(|| first.map(|mac| format!("skerry-{mac}")))
}

/// Whether nothing is gained by waiting longer for an address.
pub fn settled(all: impl Iterator<Item = Progress>) -> bool {
    let mut hopeful = false;
    for progress in all {
        match progress {
            Progress::Configured => return true,
            Progress::Hopeful => hopeful = true,
            Progress::Waiting => {}
        }
    }
    !hopeful
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::node::{Layer, load};

    fn network(text: &str) -> Network {
        load(&[Layer { origin: "test".into(), text: text.into() }]).unwrap().network
    }

    fn link(name: &str) -> Link {
        Link {
            index: 2,
            name: name.into(),
            mac: Mac([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
            ethernet: true,
            up: false,
            carrier: false,
            kind: None,
            port: false,
            mtu: 1500,
        }
    }

    #[test]
    fn what_is_configured_and_not_there_is_named() {
        let network = network("[network.interfaces.ens3]\n[network.interfaces.eth0]\n");
        let lines = |there: &[&str]| absent(&network, &there.iter().copied().collect());
        assert_eq!(lines(&["eth0", "eth1"]), ["network.interfaces.ens3: no such interface yet: eth0, eth1"]);
        assert_eq!(lines(&[])[1], "network.interfaces.eth0: no such interface yet: there is none");
        assert!(lines(&["ens3", "eth0"]).is_empty());
    }

    #[test]
    fn only_one_that_was_up_comes_back() {
        let mut interface =
            Interface::new(link("eth0"), plan("eth0", &Network::default()), None, Duration::ZERO);
        let mut told = |up| {
            let again = interface.switched(up);
            interface.link.up = up;
            again
        };
        assert_eq!([false, false, true, true].map(&mut told), [false; 4], "by this program");
        assert_eq!([false, false, true, true].map(&mut told), [false, false, true, false]);
    }

    #[test]
    fn network_cards_are_ours_and_software_interfaces_only_when_named() {
        let named = network("[network.interfaces.veth0]\n");
        assert!(ours(&link("eth0"), &named));
        assert!(!ours(&Link { ethernet: false, ..link("tun0") }, &named));
        assert!(!ours(&Link { port: true, ..link("eth0") }, &named), "a bridge's port");
        let veth = |name| Link { kind: Some("veth".into()), ..link(name) };
        assert!(!ours(&veth("veth1"), &named));
        assert!(ours(&veth("veth0"), &named));
    }

    #[test]
    fn an_interface_without_configuration_asks_for_everything() {
        let plan = plan("eth0", &Network::default());
        assert!(plan.dhcp && plan.slaac && plan.addresses.is_empty() && plan.routes.is_empty());
    }

    #[test]
    fn addresses_switch_dhcp_off_unless_it_is_asked_for() {
        let text = "[network.interfaces.eth0]\naddresses = [\"192.0.2.7/24\"]\ngateways = [\"192.0.2.1\", \"fe80::1\"]\n";
        let fixed = plan("eth0", &network(text));
        assert!(!fixed.dhcp);
        let prefixes: Vec<String> = fixed.routes.iter().map(|route| route.network.to_string()).collect();
        assert_eq!(prefixes, ["0.0.0.0", "::"]);
        assert!(plan("eth0", &network(&format!("{text}dhcp = true\n"))).dhcp);
    }

    #[test]
    fn the_host_name_is_configured_or_leased_or_made() {
        let mac = Some(link("eth0").mac);
        assert_eq!(host_name(true, Some("n1"), mac), None);
        assert_eq!(host_name(false, Some("n1"), mac).as_deref(), Some("n1"));
        assert_eq!(host_name(false, None, mac).as_deref(), Some("skerry-525400123456"));
        assert_eq!(host_name(false, None, None), None);
    }

    #[test]
    fn hope_ends_and_a_missing_carrier_is_said_once() {
        let seconds = Duration::from_secs;
        let plan = plan("eth0", &Network::default());
        let mut interface = Interface::new(link("eth0"), plan, None, seconds(10));
        assert!(!interface.lose_patience(seconds(14)));
        assert!(interface.lose_patience(seconds(15)));
        assert!(!interface.lose_patience(seconds(16)));
        assert_eq!(interface.progress, Progress::Waiting);
        assert!(interface.set_carrier(true, seconds(20)));
        assert!(!interface.set_carrier(true, seconds(21)));
        assert_eq!(interface.deadline(), Some(seconds(35)));
        assert!(!interface.lose_patience(seconds(35)), "there is a carrier");
    }

    #[test]
    fn ready_waits_only_for_what_can_come_soon() {
        use Progress::{Configured, Hopeful, Waiting};
        for (all, ready) in [
            (&[][..], true),
            (&[Hopeful], false),
            (&[Waiting], true),
            (&[Waiting, Hopeful], false),
            (&[Hopeful, Configured], true),
        ] {
            assert_eq!(settled(all.iter().copied()), ready, "{all:?}");
        }
    }
}
