//! Whom to ask for names and the time: what the configuration says, else what
//! DHCP servers and routers told each interface.

use crate::dhcp::lease::Lease;
use crate::dns;
use crate::netlink::advertisement::Advertisement;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::str::FromStr;
use std::time::Duration;

const DNS_PORT: u16 = 53;

/// Name servers of an interface's routers that are kept, and as many domains: RFC 8106 has three in mind, and anybody on
/// the link can advertise more.
const MOST: usize = 16;

/// A name server; one with a link-local address is reached through an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    address: IpAddr,
    through: Option<(u32, String)>,
}

impl NameServer {
    fn new(address: IpAddr, index: u32, interface: &str) -> Self {
        let local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Self { address, through: local.then(|| (index, interface.to_owned())) }
    }

    /// Where to send a question.
    pub fn socket_address(&self) -> SocketAddr {
        match (self.address, &self.through) {
            (IpAddr::V6(v6), Some((index, _))) => SocketAddrV6::new(v6, DNS_PORT, 0, *index).into(),
            (address, _) => (address, DNS_PORT).into(),
        }
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.address)?;
        self.through.as_ref().map_or(Ok(()), |(_, interface)| write!(out, "%{interface}"))
    }
}

/// A name server or domain that a router advertised, and when that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    end: Duration,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Server(IpAddr),
    Domain(String),
}

impl What {
    fn is_server(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Server(address) => write!(out, "{} {address}", self.end.as_secs()),
            What::Domain(name) => write!(out, "{} {name}", self.end.as_secs()),
        }
    }
}

impl FromStr for Advertised {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (end, what) = line.split_once(' ').ok_or(())?;
        let what = match what.parse() {
            Ok(address) => What::Server(address),
            Err(_) if dns::plain(what) => What::Domain(what.to_owned()),
            Err(_) => return Err(()),
        };
        Ok(Self { end: Duration::from_secs(end.parse().map_err(|_| ())?), what })
    }
}

#[derive(Clone, Debug, Default)]
struct Source {
    interface: String,
    lease: Option<Lease>,
    advertised: Vec<Advertised>,
}

/// Everything that was told, by interface.
#[derive(Clone, Debug, Default)]
pub struct Names {
    configured: spec::node::Network,
    sources: BTreeMap<u32, Source>,
}

impl Names {
    /// Nothing but the configuration.
    pub fn new(configured: spec::node::Network) -> Self {
        Self { configured, sources: BTreeMap::new() }
    }

    /// An interface has come.
    pub fn add(&mut self, index: u32, interface: &str, advertised: Vec<Advertised>) {
        self.sources.insert(index, Source { interface: interface.to_owned(), lease: None, advertised });
    }

    /// An interface has gone.
    pub fn remove(&mut self, index: u32) {
        self.sources.remove(&index);
    }

    /// An interface has got a lease, or lost it.
    pub fn set_lease(&mut self, index: u32, lease: Option<Lease>) {
        if let Some(source) = self.sources.get_mut(&index) {
            source.lease = lease;
        }
    }

    /// The lease of an interface.
    pub fn lease(&self, index: u32) -> Option<&Lease> {
        self.sources.get(&index)?.lease.as_ref()
    }

    /// A router has told something; gives the whole list of its interface, to be
    /// written down.
    pub fn advertise(
        &mut self,
        advertisement: Advertisement,
        now: Duration,
    ) -> Option<(&str, &[Advertised])> {
        let source = self.sources.get_mut(&advertisement.index)?;
        let end = now + advertisement.lifetime;
        let servers = advertisement.dns.into_iter().map(|address| What::Server(address.into()));
        for what in servers.chain(advertisement.search.into_iter().map(What::Domain)) {
            source.advertised.retain(|entry| entry.what != what && entry.end > now);
            let same = source.advertised.iter().filter(|entry| entry.what.is_server() == what.is_server());
            // Who came first stays as long as he says so.
            if end > now && same.count() < MOST {
                source.advertised.push(Advertised { end, what });
            }
        }
        Some((&source.interface, &source.advertised))
    }

    /// Forgets what has ended.
    pub fn expire(&mut self, now: Duration) {
        self.sources.values_mut().for_each(|source| source.advertised.retain(|entry| entry.end > now));
    }

    /// When [`Self::expire`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.sources.values().flat_map(|source| &source.advertised).map(|entry| entry.end).min()
    }

    /// Name servers, best first.
    pub fn servers(&self) -> Vec<NameServer> {
        if !self.configured.dns.is_empty() {
            return self
                .configured
                .dns
                .iter()
                .map(|&address| NameServer { address, through: None })
                .collect();
        }
        unique(self.sources.iter().flat_map(|(&index, source)| {
            let leased = source.lease.iter().flat_map(|lease| lease.dns.iter().map(|&v4| v4.into()));
            let advertised = source.advertised.iter().filter_map(|entry| match entry.what {
                What::Server(address) => Some(address),
                What::Domain(_) => None,
            });
            leased.chain(advertised).map(move |address| NameServer::new(address, index, &source.interface))
        }))
    }

    /// Domains to search, best first.
    pub fn search(&self) -> Vec<String> {
        if !self.configured.search.is_empty() {
            return self.configured.search.clone();
        }
        unique(self.sources.values().flat_map(|source| {
            let leased = source.lease.iter().flat_map(|lease| lease.search.clone());
            leased.chain(source.advertised.iter().filter_map(|entry| match &entry.what {
                What::Domain(name) => Some(name.clone()),
                What::Server(_) => None,
            }))
        }))
    }

    /// Time servers, names or addresses.
    pub fn time_servers(&self) -> Vec<String> {
        if !self.configured.ntp.is_empty() {
            return self.configured.ntp.clone();
        }
        let leases = self.sources.values().filter_map(|source| source.lease.as_ref());
        unique(leases.flat_map(|lease| lease.ntp.iter().map(ToString::to_string)))
    }

    /// The name that a DHCP server gave this node.
    pub fn host_name(&self) -> Option<&str> {
        self.sources.values().find_map(|source| source.lease.as_ref()?.host_name.as_deref())
    }

    /// The text of `/etc/resolv.conf` (resolv.conf(5)).
    pub fn resolv_conf(&self) -> String {
        let mut text = String::from("# Written by skerry-network, replaced as leases come and go.\n");
        for server in self.servers() {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let search = self.search();
        if !search.is_empty() {
            text.push_str(&format!("search {}\n", search.join(" ")));
        }
        text
    }
}

fn unique<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut list, item| {
        if !list.contains(&item) {
            list.push(item);
        }
        list
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::lease::Term;

    fn lease() -> Lease {
        Lease {
            address: [10, 0, 2, 15].into(),
            prefix: 24,
            server: [10, 0, 2, 2].into(),
            routes: Vec::new(),
            dns: vec![[10, 0, 2, 3].into()],
            search: vec!["lan".into()],
            host_name: Some("n1".into()),
            ntp: vec![[10, 0, 2, 4].into()],
            mtu: None,
            term: Term { start: Duration::ZERO, limits: None },
        }
    }

    fn advertisement(lifetime: u64) -> Advertisement {
        Advertisement {
            index: 2,
            lifetime: Duration::from_secs(lifetime),
            dns: vec!["fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
            search: vec!["lan".into(), "six".into()],
        }
    }

    fn told() -> Names {
        let mut names = Names::default();
        names.add(2, "eth0", Vec::new());
        names.set_lease(2, Some(lease()));
        names.advertise(advertisement(60), Duration::from_secs(100));
        names
    }

    #[test]
    fn what_was_told_is_put_together() {
        let names = told();
        let text = names.resolv_conf();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["nameserver 10.0.2.3", "nameserver fe80::1%eth0", "nameserver 2001:db8::1", "search lan six"]
        );
        assert_eq!(names.time_servers(), ["10.0.2.4"]);
        assert_eq!(names.host_name(), Some("n1"));
        assert_eq!(names.servers()[1].socket_address().to_string(), "[fe80::1%2]:53");
    }

    #[test]
    fn the_configuration_stands_above_what_was_told() {
        let mut names = told();
        names.configured.dns = vec![[9, 9, 9, 9].into()];
        names.configured.search = vec!["own".into()];
        names.configured.ntp = vec!["time.own".into()];
        assert!(names.resolv_conf().ends_with("\nnameserver 9.9.9.9\nsearch own\n"));
        assert_eq!(names.time_servers(), ["time.own"]);
    }

    #[test]
    fn advertisements_end_and_can_be_withdrawn() {
        let mut names = told();
        assert_eq!(names.deadline(), Some(Duration::from_secs(160)));
        names.expire(Duration::from_secs(159));
        assert_eq!(names.servers().len(), 3);
        names.advertise(advertisement(0), Duration::from_secs(159));
        assert_eq!(names.servers().len(), 1);
        let mut names = told();
        names.expire(Duration::from_secs(160));
        assert_eq!((names.servers().len(), names.deadline()), (1, None));
    }

    #[test]
    fn of_many_that_are_advertised_the_first_are_kept() {
        let mut names = told();
        let first = names.servers();
        for number in 0..10_000_u32 {
            let mut one = advertisement(u64::from(u32::MAX));
            one.dns = vec![std::net::Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(number + 100))];
            one.search = vec![format!("n{number}.example")];
            names.advertise(one, Duration::from_secs(101));
        }
        assert!(names.servers().starts_with(&first) && names.servers().len() <= 1 + MOST);
        assert!(names.search().len() <= 2 + MOST, "{}", names.search().len());
        // It has ended, and so there is room.
        let before = names.servers().len();
        names.expire(Duration::from_secs(160));
        names.advertise(advertisement(60), Duration::from_secs(161));
        assert_eq!(names.servers().len(), before);
    }

    #[test]
    fn an_interface_takes_its_names_with_it() {
        let mut names = told();
        names.remove(2);
        assert_eq!(names.resolv_conf().lines().count(), 1);
        names.set_lease(2, Some(lease()));
        assert_eq!(names.host_name(), None);
    }

    #[test]
    fn advertisements_read_back_as_they_were_written() {
        let mut names = told();
        let (interface, list) = names.advertise(advertisement(60), Duration::from_secs(100)).unwrap();
        assert_eq!((interface, list.len()), ("eth0", 4));
        for entry in list {
            assert_eq!(entry.to_string().parse().as_ref(), Ok(entry));
        }
        for line in ["", "x", "1 a b", "x 10.0.0.1", "5 a\tb"] {
            assert_eq!(line.parse::<Advertised>(), Err(()), "{line:?}");
        }
    }
}
