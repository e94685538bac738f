//! `containers.NAME.network`: where a container's packets go.

use super::Name;
use crate::network::{DEFAULT_NETWORK, Membership};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Words that are no names of networks.
pub const RESERVED: [&str; 4] = ["host", "none", "container", "default"];

/// `containers.NAME.network`: `"host"`, `"none"`, `"container:NAME"`, a network or a list of them, each
/// `NAME[:ip=ADDRESS][,alias=NAME]…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// The node's own.
    Host,
    /// None but a loopback interface.
    None,
    /// Another container's, which must run: its name, or the first digits of its ID.
    Container(Name),
    /// Networks of containers, in the order of the interfaces; none of one that was taken off its last, and may be put on
    /// others.
    On(Vec<Membership>),
}

impl Network {
    /// The network of containers that name none.
    pub fn usual() -> Self {
        let name = DEFAULT_NETWORK.parse().unwrap_or_else(|_| unreachable!("it is a name"));
        Self::On(vec![Membership::of(name)])
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ => match another(text) {
                Some(other) => other.map(Self::Container),
                None => Ok(Self::On(vec![text.parse()?])),
            },
        }
    }
}

/// The other container of `container:NAME`, if it is such a text.
pub(super) fn another(text: &str) -> Option<Result<Name, String>> {
    let other = text.strip_prefix("container:")?;
    // As Docker writes names.
    Some(shortened(other.strip_prefix('/').unwrap_or(other)).parse())
}

/// An ID is longer than a name; its first twelve digits name the same container.
fn shortened(text: &str) -> &str {
    let is_id = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_id { &text[..12] } else { text }
}

impl FromStr for Membership {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, options) = text.split_once(':').unwrap_or((text, ""));
        let name = match name {
            "default" => DEFAULT_NETWORK,
            name if RESERVED.contains(&name) => return Err(format!("{text:?} is no network of containers")),
            name => name,
        };
        let mut membership = Self::of(name.parse()?);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("ip", address)) => {
                    let address: IpAddr =
                        address.parse().map_err(|_| format!("{address:?} is not an address"))?;
                    membership.addresses.push(address);
                }
                Some(("alias", name)) => membership.aliases.push(name.to_owned()),
                _ => return Err(format!("{option:?} is neither ip=ADDRESS nor alias=NAME")),
            }
        }
        Ok(membership)
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses.iter().map(|address| format!("ip={address}"));
        let options: Vec<String> =
            addresses.chain(self.aliases.iter().map(|name| format!("alias={name}"))).collect();
        let colon = if options.is_empty() { "" } else { ":" };
        write!(out, "{}{colon}{}", self.network, options.join(","))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Host => to.serialize_str("host"),
            Self::None => to.serialize_str("none"),
            Self::Container(name) => to.collect_str(&format_args!("container:{name}")),
            Self::On(networks) if networks.len() == 1 => to.collect_str(&networks[0]),
            Self::On(networks) => to.collect_seq(networks.iter().map(ToString::to_string)),
        }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Words)
    }
}

struct Words;

impl<'de> Visitor<'de> for Words {
    type Value = Network;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("host, none, container:NAME, a network or a list of networks")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Network, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Network, A::Error> {
        let mut networks = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            networks.push(text.parse().map_err(de::Error::custom)?);
        }
        Ok(Network::On(networks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Network, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_network_reads_back_as_it_was_written() {
        for text in [
            r#""host""#,
            r#""none""#,
            r#""container:web""#,
            r#""back""#,
            r#""back:ip=10.9.0.7,ip=fd00::7,alias=db,alias=store""#,
            r#"["front","back:alias=db"]"#,
            "[]",
        ] {
            assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
        }
        assert_eq!(read(r#""default""#).unwrap(), Network::usual());
        let id = format!("\"container:{}\"", "0123456789abcdef".repeat(4));
        assert_eq!(read(&id).unwrap(), Network::Container("0123456789ab".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for (text, words) in [
            (r#""mesh/1""#, "is not a name"),
            (r#"["host"]"#, "is no network of containers"),
            (r#""back:ip=10""#, "is not an address"),
            (r#""back:mac=1""#, "is neither ip=ADDRESS nor alias=NAME"),
            (r#""container:""#, "is not a name"),
            ("7", "expected host, none"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
