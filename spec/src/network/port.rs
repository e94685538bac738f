//! Published ports, as they are written after `-p`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// What has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its number in an IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Ports of the node that lead to a container: `[[ADDRESS:][PORT[-PORT]]:]PORT[-PORT][/udp|/sctp]`.
/// An IPv6 address stands in brackets. Without an address, every one of the node's leads there;
/// without a port of the node, or with 0, it chooses one. A range leads to a range of as many ports, or, to
/// a single port, from the first of it that is free (docker-run(1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// TCP without `/udp` or `/sctp`.
    pub protocol: Protocol,
    /// The node's address; every one without it.
    pub address: Option<IpAddr>,
    /// The node's first port; 0 leaves the choice to the node.
    pub host: u16,
    /// The container's first port.
    pub container: u16,
    /// How many ports in a row, at least 1.
    pub count: u16,
    /// From how many ports in a row, `host` the first of them, the node chooses one; 1 when it does not.
    pub among: u16,
}

impl Port {
    /// The node is to choose its port.
    pub fn is_open(self) -> bool {
        self.host == 0 || self.among > 1
    }

    /// Whether `other` is this one with the node's choice made.
    pub fn may_become(self, other: Self) -> bool {
        let fits = self.host == 0 || other.host.checked_sub(self.host).is_some_and(|step| step < self.among);
        fits && other.among == 1 && Self { host: self.host, among: self.among, ..other } == self
    }

    /// The pairs of the node's and the container's port, one by one.
    pub fn pairs(self) -> impl Iterator<Item = (u16, u16)> {
        (0..self.count).map(move |step| (self.host + step, self.container + step))
    }
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a published port such as 127.0.0.1:8080:80/udp");
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((ports, "sctp")) => (ports, Protocol::Sctp),
            Some(_) => return Err(wrong()),
        };
        let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
        let (address, host) = match rest.rsplit_once(':') {
            None => (None, rest),
            Some((address, host)) => (address_of(address).ok_or_else(wrong)?, host),
        };
        let (container, inside) = range(container).ok_or_else(wrong)?;
        let (host, count) = match host {
            // As with Docker and bind(2), any that is free.
            "" | "0" => (0, inside),
            host => range(host).ok_or_else(wrong)?,
        };
        let among = match (count, inside) {
            (count, 1) => count,
            (count, inside) if count == inside => 1,
            _ => return Err(format!("{text:?} has {count} ports outside and {inside} inside")),
        };
        Ok(Self {
            protocol,
            address,
            host,
            container,
            count: inside,
            among: if host == 0 { 1 } else { among },
        })
    }
}

/// `0.0.0.0` and `[::]` are every address of one family, which [`Port`] keeps as they are.
fn address_of(text: &str) -> Option<Option<IpAddr>> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(inside) => inside.parse().ok().filter(IpAddr::is_ipv6).map(Some),
        None if text.is_empty() => Some(None),
        None => text.parse().ok().filter(IpAddr::is_ipv4).map(Some),
    }
}

/// A range's first port and its length.
fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let count = last.checked_sub(first)?.checked_add(1)?;
    (first > 0).then_some((first, count))
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V4(address)) => write!(out, "{address}:")?,
            Some(IpAddr::V6(address)) => write!(out, "[{address}]:")?,
            None => {}
        }
        let outside = self.count.max(self.among);
        for (first, count, end) in [(self.host, outside, ":"), (self.container, self.count, "")] {
            match count {
                _ if first == 0 && self.address.is_none() => {}
                _ if first == 0 => out.write_str(end)?,
                1 => write!(out, "{first}{end}")?,
                count => write!(out, "{first}-{}{end}", first + (count - 1))?,
            }
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => out.write_str("/udp"),
            Protocol::Sctp => out.write_str("/sctp"),
        }
    }
}

impl Serialize for Port {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_reads_back_as_it_was_written() {
        for text in [
            "8080:80",
            "127.0.0.1:8080:80",
            "[::1]:53:53/udp",
            "0.0.0.0:1:65535",
            "8000-8009:80-89",
            "8000-8010:80",
            "127.0.0.1:8000-8010:80/udp",
            "[2001:db8::1]:8000-8001:1-2/udp",
            "80",
            "80-82/udp",
            "5060:5060/sctp",
            "127.0.0.1::80",
            "[::1]::53/udp",
        ] {
            assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
        }
        assert_eq!("8080:80/tcp".parse(), "8080:80".parse::<Port>());
        for (text, same) in
            [("0:80", "80"), ("127.0.0.1:0:80", "127.0.0.1::80"), ("[::1]:0:53/udp", "[::1]::53/udp")]
        {
            assert_eq!(text.parse::<Port>(), same.parse(), "{text}");
        }
    }

    #[test]
    fn a_range_is_as_many_pairs() {
        let port: Port = "8000-8002:80-82".parse().unwrap();
        assert_eq!(port.pairs().collect::<Vec<_>>(), [(8000, 80), (8001, 81), (8002, 82)]);
    }

    #[test]
    fn one_port_of_a_range_is_chosen() {
        let port: Port = "8000-8010:80".parse().unwrap();
        assert!(port.is_open());
        for (text, fits) in [
            ("8000:80", true),
            ("8010:80", true),
            ("8011:80", false),
            ("7999:80", false),
            ("8000:81", false),
            ("8000:80/udp", false),
            ("8000-8010:80", false),
        ] {
            assert_eq!(port.may_become(text.parse().unwrap()), fits, "{text}");
        }
        let any: Port = "80".parse().unwrap();
        assert_eq!([":80", "0:80", "::80"].map(str::parse), [Ok(any), Ok(any), Ok(any)]);
        assert!(any.may_become("49152:80".parse().unwrap()));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "0",
            "80:",
            "80:0",
            "x:80",
            "80:65536",
            "8002-8000:1-3",
            "1::80",
            "::1:80:80",
            "[127.0.0.1]:1:1",
            "80:80/dccp",
            "0-1:0-1",
            "0-65535:0-65535",
        ] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
        let error = "8000-8001:80-82".parse::<Port>().unwrap_err();
        assert!(error.contains("2 ports outside and 3 inside"), "{error}");
    }
}
