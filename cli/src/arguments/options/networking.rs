//! Its networks and its ports.

use super::parse;
use crate::error::{Error, Result};
use clap::Args;
use spec::network::Membership;
use spec::node::{Container, ContainerNetwork};
use std::net::IpAddr;

#[derive(Clone, Debug, Default, Args)]
pub struct Networking {
    /// A network (several times for several), host, none or container:NAME; bridge without
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Its IPv4 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// Its IPv6 address on the first network
    #[arg(long, value_name = "ADDRESS")]
    ip6: Option<String>,
    /// One more name by which containers of its networks find it
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// [[ADDRESS:][PORT]:]PORT[/udp|/sctp], ports of this machine that lead to it; ranges too
    #[arg(short, long, value_name = "PORTS")]
    publish: Vec<String>,
    /// Publish every port that it exposes, at one that is free
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// PORT[-PORT][/udp|/sctp] that it exposes, beside the image's
    #[arg(long, value_name = "PORT")]
    expose: Vec<String>,
    /// A first process of ours reaps what its programs leave behind
    #[arg(long)]
    init: bool,
}

impl Networking {
    /// Adds what was said.
    ///
    /// # Errors
    /// Which option says what it must not.
    pub fn add(&self, container: Container) -> Result<Container> {
        let ports = |option: &str, words: &[String]| {
            words.iter().map(|text| parse(option, text)).collect::<Result<Vec<_>>>()
        };
        let network = self.network()?;
        let published = ports("--publish", &self.publish)?;
        let discards = matches!(network, ContainerNetwork::Host | ContainerNetwork::None);
        if discards && (self.publish_all || !published.is_empty()) {
            eprintln!(
                "skerry: ports are published of networks of containers alone, not with --network host or none"
            );
        }
        Ok(Container {
            network: Some(network),
            network_alias: self.network_alias.clone(),
            ports: if discards { Vec::new() } else { published },
            publish_all: self.publish_all && !discards,
            expose: ports("--expose", &self.expose)?,
            init: self.init,
            ..container
        })
    }

    fn network(&self) -> Result<ContainerNetwork> {
        let addresses = [("--ip", &self.ip), ("--ip6", &self.ip6)].into_iter();
        let addresses: Vec<IpAddr> = addresses
            .filter_map(|(option, text)| Some(parse(option, text.as_ref()?)))
            .collect::<Result<_>>()?;
        let mut network = match &*self.network {
            [] => ContainerNetwork::usual(),
            [one] if !one.contains('=') => parse("--network", one)?,
            all => ContainerNetwork::On(all.iter().map(|text| membership(text)).collect::<Result<_>>()?),
        };
        match &mut network {
            ContainerNetwork::On(networks) => networks[0].addresses.extend(addresses),
            _ if !addresses.is_empty() => return Err(Error::new("--ip: it has no network of its own")),
            _ => {}
        }
        Ok(network)
    }
}

/// In place of an address: this machine's, as the container reaches it, which is known when it has a network.
const GATEWAY: &str = "host-gateway";

/// `NAME:ADDRESS`, as `node.toml` has it, of that or `NAME=ADDRESS`; an IPv6 address may be in brackets.
///
/// # Errors
/// There is no name, or no address.
pub fn host(text: &str) -> Result<String> {
    let wrong = || Error::new(format!("--add-host {text:?}: neither NAME:ADDRESS nor NAME:{GATEWAY}"));
    let (name, address) = text.split_once('=').or_else(|| text.split_once(':')).ok_or_else(wrong)?;
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let known = bare == GATEWAY || bare.parse::<IpAddr>().is_ok();
    if name.is_empty() || name.contains(char::is_whitespace) || !known {
        return Err(wrong());
    }
    Ok(format!("{name}:{bare}"))
}

/// `NAME`, or Docker's `name=NAME,ip=ADDRESS,alias=NAME`.
fn membership(text: &str) -> Result<Membership> {
    let long = text.split_once("name=").filter(|(before, _)| before.is_empty() || before.ends_with(','));
    let Some((before, rest)) = long else { return parse("--network", text) };
    let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
    let options = format!("{before}{after}").replace("ip6=", "ip=");
    parse("--network", &format!("{name}:{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(words: &[&str], ip: Option<&str>) -> Result<String> {
        let network = words.iter().map(|&word| word.to_owned()).collect();
        let networking = Networking { network, ip: ip.map(str::to_owned), ..Networking::default() };
        Ok(serde_json::to_string(&networking.network()?).unwrap())
    }

    #[test]
    fn without_a_network_of_its_own_nothing_is_published_and_it_runs_all_the_same() {
        let published = |network: &str| {
            let (network, publish) = (vec![network.to_owned()], vec!["8080:80".to_owned()]);
            let networking = Networking { network, publish, publish_all: true, ..Networking::default() };
            let container = networking.add(Container::of("x")).unwrap();
            (container.ports.len(), container.publish_all)
        };
        for network in ["host", "none"] {
            assert_eq!(published(network), (0, false), "{network}");
        }
        // The monitor refuses it of another's, as Docker does.
        assert_eq!((published("container:web"), published("back")), ((1, true), (1, true)));
    }

    #[test]
    fn a_host_is_a_name_and_an_address() {
        for (text, expected) in [
            ("db:10.0.0.7", "db:10.0.0.7"),
            ("db=10.0.0.7", "db:10.0.0.7"),
            ("db:::1", "db:::1"),
            ("db=[fd00::7]", "db:fd00::7"),
            ("db:[fd00::7]", "db:fd00::7"),
            ("host.docker.internal:host-gateway", "host.docker.internal:host-gateway"),
            ("host.docker.internal=host-gateway", "host.docker.internal:host-gateway"),
        ] {
            assert_eq!(host(text).unwrap(), expected);
        }
        for text in
            ["db", "db:", ":10.0.0.7", "=10.0.0.7", "db:10.0.0", "db:gateway", "a b:10.0.0.7", "db=[::1"]
        {
            let told = host(text).unwrap_err().message;
            assert_eq!(told, format!("--add-host {text:?}: neither NAME:ADDRESS nor NAME:host-gateway"));
        }
    }

    #[test]
    fn a_network_is_said_in_dockers_ways() {
        for (words, ip, expected) in [
            (&[][..], None, r#""bridge""#),
            (&["host"], None, r#""host""#),
            (&["container:web"], None, r#""container:web""#),
            (&["back"], Some("10.9.0.7"), r#""back:ip=10.9.0.7""#),
            (&["name=back,ip=10.9.0.7,alias=db"], None, r#""back:ip=10.9.0.7,alias=db""#),
            (&["alias=db,name=back,ip6=fd00::7"], None, r#""back:ip=fd00::7,alias=db""#),
            (&["front", "name=back,alias=db"], None, r#"["front","back:alias=db"]"#),
        ] {
            assert_eq!(network(words, ip).unwrap(), expected, "{words:?}");
        }
        for (words, told) in [
            (&["host", "back"][..], "--network: \"host\" is no network of containers"),
            (&["name=back,mac=1"], "--network: \"mac=1\" is neither"),
            (&["host"], "--ip: it has no network"),
        ] {
            let error = network(words, Some("10.9.0.7")).unwrap_err().message;
            assert!(error.starts_with(told), "{error}");
        }
    }
}
