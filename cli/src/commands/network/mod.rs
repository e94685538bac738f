//! Networks of containers.

mod files;
mod settings;

pub use settings::settings;

use super::containers::{each, each_of, unless_missing};
use super::{Node, inspect::show_each, list, print, print_all};
use crate::arguments::networks::{Connect, Create, Disconnect, Inspect, List, Names, Network, Prune, Verb};
use crate::error::{Context, Error, Result};
use crate::filter::{Given, LABELS};
use crate::format;
use files::subnet;
use serde_json::{Map, Value, json};
use spec::monitor::{Object, Request, Summary};
use spec::network::{DEFAULT_NETWORK, Membership, Network as There};
use spec::node::Cidr;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::net::IpAddr;

/// Docker's, and two more. A network has no ID but its name.
const COLUMNS: [(&str, &str); 6] = [
    ("NETWORK ID", "ID"),
    ("NAME", "Name"),
    ("DRIVER", "Driver"),
    ("SCOPE", "Scope"),
    ("SUBNETS", "Subnets"),
    ("ORIGIN", "Origin"),
];

/// `skerry network`
pub fn network(node: &Node<'_>, asked: &Network) -> Result<()> {
    match &asked.verb {
        Verb::Ls(asked) => ls(asked),
        Verb::Create(asked) => create(node, asked),
        Verb::Rm(names) => remove(node, names),
        Verb::Inspect(asked) => inspect(node, asked),
        Verb::Connect(asked) => connect(node, asked),
        Verb::Disconnect(asked) => disconnect(node, asked),
        Verb::Prune(asked) => prune(node, asked),
    }
}

fn ls(asked: &List) -> Result<()> {
    let filters = Filters::new(&asked.filter, &KEYS)?;
    let mut networks = files::all()?;
    networks.retain(|network| filters.take(&network.name, "bridge", &network.labels));
    let machines = MACHINES.into_iter().filter(|(name, driver)| filters.take(name, driver, &BTreeMap::new()));
    if asked.quiet {
        let names = networks.iter().map(|network| &*network.name);
        names.chain(machines.map(|(name, _)| name)).for_each(print);
        return Ok(());
    }
    let mut objects: Vec<Value> = networks.iter().map(line).collect();
    objects.extend(machines.map(|(name, driver)| machine(name, driver)));
    print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    Ok(())
}

fn line(network: &There) -> Value {
    let subnets: Vec<String> = network.subnets.iter().map(subnet).collect();
    json!({
        "Name": network.name,
        "Driver": "bridge",
        "Subnets": subnets.join(", "),
        "Internal": network.internal,
        "Origin": origin(network),
        "ID": network.name,
        "Scope": SCOPE,
        "IPv6": has_v6(network),
        "Labels": network.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
        (format::LABEL): network.labels,
    })
}

/// What is no network of containers, with Docker's names for its kind.
const MACHINES: [(&str, &str); 2] = [("host", "host"), ("none", "null")];

/// One of them.
fn machine(name: &str, driver: &str) -> Value {
    json!({
        "Name": name,
        "Driver": driver,
        "Subnets": "",
        "Internal": false,
        "Origin": "machine",
        "ID": name,
        "Scope": SCOPE,
        "IPv6": false,
        "Labels": "",
        (format::LABEL): {},
    })
}

fn has_v6(network: &There) -> bool {
    network.subnets.iter().any(|gateway| gateway.address.is_ipv6())
}

const KEYS: [&str; 6] = ["name", "id", "label", "driver", "scope", "type"];

/// Docker's words for networks that somebody has made, and for the machine's own.
const CUSTOM: &str = "custom";
const BUILT_IN: &str = "builtin";

const SCOPE: &str = "local";

/// `--filter`: a network has all labels that are given, and of any other key one of the values.
struct Filters(Given);

impl Filters {
    fn new(words: &[String], keys: &[&str]) -> Result<Self> {
        Given::read(words, keys, |key, value| match (key, value) {
            ("type", kind) if ![CUSTOM, BUILT_IN].contains(&kind) => {
                Err(format!("neither {CUSTOM} nor {BUILT_IN}"))
            }
            _ => Ok(()),
        })
        .map(Self)
    }

    fn take(&self, name: &str, driver: &str, labels: &BTreeMap<String, String>) -> bool {
        let kind = if is_always_there(name) { BUILT_IN } else { CUSTOM };
        self.0.one("name", |value| name.contains(value))
            && self.0.one("id", |value| name.starts_with(value))
            && self.0.one("driver", |value| driver == value)
            && self.0.one("scope", |value| value == SCOPE)
            && self.0.one("type", |value| value == kind)
            && self.0.labels(labels)
    }
}

fn origin(network: &There) -> &'static str {
    match &*network.name {
        _ if network.configured => "node.toml",
        DEFAULT_NETWORK => "machine",
        _ => "person",
    }
}

fn create(node: &Node<'_>, asked: &Create) -> Result<()> {
    let mut words = vec!["create".to_owned(), asked.name.clone()];
    for subnet in subnets(&asked.subnet, &asked.gateway)? {
        words.extend(["--subnet".to_owned(), subnet]);
    }
    words.extend(asked.ipv6.then(|| "--ipv6".to_owned()));
    words.extend(asked.internal.then(|| "--internal".to_owned()));
    words.extend(asked.mtu.into_iter().flat_map(|mtu| ["--mtu".to_owned(), mtu.to_string()]));
    words.extend(asked.label.iter().map(|label| format!("--label={label}")));
    files::ask(&words)?;
    tell(node, &asked.name, "create");
    print(&asked.name);
    Ok(())
}

/// Subnets with their gateways' addresses, where those are given.
fn subnets(subnets: &[String], gateways: &[String]) -> Result<Vec<String>> {
    let mut cidrs: Vec<Cidr> = subnets
        .iter()
        .map(|text| text.parse().map_err(|why| Error::new(format!("--subnet: {why}"))))
        .collect::<Result<_>>()?;
    for text in gateways {
        let address: std::net::IpAddr =
            text.parse().map_err(|_| Error::new(format!("--gateway: {text:?} is not an address")))?;
        let inside = |cidr: &&mut Cidr| {
            cidr.address.is_ipv4() == address.is_ipv4() && subnet(cidr) == subnet(&Cidr { address, ..**cidr })
        };
        let cidr = cidrs.iter_mut().find(inside);
        cidr.ok_or_else(|| Error::new(format!("--gateway: {text} is in no --subnet")))?.address = address;
    }
    Ok(cidrs.iter().map(ToString::to_string).collect())
}

fn remove(node: &Node<'_>, names: &Names) -> Result<()> {
    let removed = |name: &String| unless_missing(names.force, remove_one(node, name).map(|()| name.clone()));
    each_of(names.networks.iter().map(removed), |name| name.iter().for_each(|name| print(name)))
}

fn remove_one(node: &Node<'_>, name: &str) -> Result<()> {
    if is_always_there(name) {
        return Err(Error::new(format!("network {name:?} is always there, and cannot be removed")));
    }
    files::must_be_there(name)?;
    let containers = list::all(node)?;
    let users = users(name, &containers);
    if !users.is_empty() {
        let users = users.join(", ");
        return Err(Error::new(format!(
            "network {name:?} is in use by {users}; network disconnect or rm them"
        )));
    }
    take_away(node, name)
}

fn take_away(node: &Node<'_>, name: &str) -> Result<()> {
    files::ask(&["remove".to_owned(), name.to_owned()])?;
    tell(node, name, "destroy");
    Ok(())
}

fn tell(node: &Node<'_>, name: &str, action: &str) {
    node.tell(Object::Network, name, action, &[("name", name), ("type", "bridge")]);
}

/// Neither a person's nor of `node.toml`.
fn is_always_there(name: &str) -> bool {
    [DEFAULT_NETWORK, "host", "none"].contains(&name)
}

/// Containers that are on a network, or will be when they run.
fn users<'a>(network: &str, containers: &'a [Summary]) -> Vec<&'a str> {
    let on = containers.iter().filter(|container| container.networks.contains_key(network));
    on.map(|container| &*container.name).collect()
}

fn inspect(node: &Node<'_>, asked: &Inspect) -> Result<()> {
    let containers = list::all(node)?;
    let found = asked.networks.iter().map(|name| inspected(name, &containers));
    show_each(asked.format.as_ref(), found)
}

/// One for `skerry inspect`.
pub fn shown(node: &Node<'_>, name: &str) -> Result<Value> {
    inspected(name, &list::all(node)?)
}

fn inspected(name: &str, containers: &[Summary]) -> Result<Value> {
    match MACHINES.into_iter().find(|(own, _)| *own == name) {
        Some((name, driver)) => Ok(json!({
            "Name": name,
            "Id": name,
            "Scope": SCOPE,
            "Driver": driver,
            "Internal": false,
            "EnableIPv6": false,
            "Labels": {},
            "Options": {},
            "IPAM": { "Config": [] },
            "Origin": "machine",
            "Containers": {},
        })),
        None => Ok(whole(&files::find(name)?, containers)),
    }
}

fn whole(network: &There, containers: &[Summary]) -> Value {
    let config: Vec<Value> = network
        .subnets
        .iter()
        .map(|gateway| json!({ "Subnet": subnet(gateway), "Gateway": gateway.address }))
        .collect();
    let on = containers.iter().filter_map(|container| {
        let addresses = container.networks.get(&*network.name).filter(|addresses| !addresses.is_empty())?;
        Some((container.id.clone(), member(network, &container.name, addresses)))
    });
    json!({
        "Name": network.name,
        "Id": network.name,
        "Scope": SCOPE,
        "Driver": "bridge",
        "Internal": network.internal,
        "EnableIPv6": has_v6(network),
        "Labels": network.labels,
        "Options": {},
        "IPAM": { "Config": config },
        "Bridge": network.bridge,
        "MTU": network.mtu,
        "Origin": origin(network),
        "Containers": on.collect::<Map<String, Value>>(),
    })
}

/// A container on a network: its addresses with the prefix length of the subnet, empty where it has none.
fn member(network: &There, name: &str, addresses: &[IpAddr]) -> Value {
    let of = |v4: bool| {
        let address = addresses.iter().find(|address| address.is_ipv4() == v4);
        let gateway = network.subnets.iter().find(|gateway| gateway.address.is_ipv4() == v4);
        let both = address.zip(gateway);
        both.map(|(address, gateway)| format!("{address}/{}", gateway.prefix)).unwrap_or_default()
    };
    json!({ "Name": name, "IPv4Address": of(true), "IPv6Address": of(false), "Addresses": addresses })
}

fn connect(node: &Node<'_>, asked: &Connect) -> Result<()> {
    let network = files::find(&asked.network)?;
    let mut membership = Membership::of(network.name);
    for (option, text) in [("--ip", &asked.ip), ("--ip6", &asked.ip6)] {
        let Some(text) = text else { continue };
        let wrong = || Error::new(format!("{option}: {text:?} is not an address"));
        membership.addresses.push(text.parse().map_err(|_| wrong())?);
    }
    membership.aliases = asked.alias.clone();
    node.done(&Request::Connect { name: asked.container.clone(), network: membership })
}

fn disconnect(node: &Node<'_>, asked: &Disconnect) -> Result<()> {
    let name = asked.network.parse().map_err(|why: String| Error::new(why))?;
    node.done(&Request::Disconnect { name: asked.container.clone(), network: name })
}

fn prune(node: &Node<'_>, asked: &Prune) -> Result<()> {
    let filters = Filters::new(&asked.filter, &LABELS)?;
    let containers = list::all(node)?;
    let mut networks = files::all()?;
    networks.retain(|network| origin(network) == "person" && users(&network.name, &containers).is_empty());
    networks.retain(|network| filters.take(&network.name, "bridge", &network.labels));
    if networks.is_empty() || !(asked.force || confirmed(&networks)?) {
        return Ok(());
    }
    let names: Vec<String> = networks.iter().map(|network| network.name.to_string()).collect();
    each(&names, |name| take_away(node, &name))
}

fn confirmed(networks: &[There]) -> Result<bool> {
    let names: Vec<&str> = networks.iter().map(|network| &*network.name).collect();
    eprint!("This removes the networks {}. Continue? [y/N] ", names.join(", "));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context(|| "read standard input".into())?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn removed(words: &[&str]) -> Result<()> {
        let words = ["skerry", "network", "rm"].iter().chain(words);
        let arguments = crate::arguments::Arguments::try_parse_from(words).unwrap();
        let crate::arguments::Command::Network(asked) = arguments.command else { panic!() };
        let nowhere = std::path::Path::new("/nowhere");
        network(&Node { socket: nowhere, store: nowhere }, &asked)
    }

    #[test]
    fn what_is_not_there_is_no_failure_to_who_insists_and_what_always_is_stays() {
        assert!(removed(&["-f", "no-such-network", "nor-this"]).is_ok());
        let told = removed(&["no-such-network", "nor-this"]).unwrap_err().message;
        assert!(told.starts_with("network \"nor-this\": there is none"), "{told}");
        for name in ["bridge", "host", "none"] {
            let told = removed(&["-f", name, "no-such-network"]).unwrap_err().message;
            assert_eq!(told, format!("network {name:?} is always there, and cannot be removed"));
        }
    }

    #[test]
    fn a_network_is_told_with_its_labels_and_found_by_them() {
        let labels = BTreeMap::from([("team".to_owned(), "web".to_owned())]);
        let network = There {
            name: "back".parse().unwrap(),
            bridge: "skerry1".into(),
            subnets: vec!["10.9.0.1/24".parse().unwrap()],
            internal: false,
            mtu: None,
            configured: false,
            cluster: None,
            labels,
        };
        let told = whole(&network, &[]);
        assert_eq!((&told["Labels"], &told["Scope"]), (&json!({ "team": "web" }), &json!("local")));
        let names = |object: Value| object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(line(&network)), names(machine("host", "host")));
        let table = format::show(&format::Format::Table, &COLUMNS, &[line(&network)]).unwrap();
        assert_eq!(
            table,
            "NETWORK ID   NAME   DRIVER   SCOPE   SUBNETS       ORIGIN\n\
             back         back   bridge   local   10.9.0.0/24   person\n"
        );
        let member = member(&network, "db", &["10.9.0.7".parse().unwrap()]);
        assert_eq!((&member["IPv4Address"], &member["IPv6Address"]), (&json!("10.9.0.7/24"), &json!("")));
        for (words, takes) in [
            (&["label=team", "label=team=web"][..], true),
            (&["label=team", "label=none"], false),
            (&["name=none", "name=ac"], true),
            (&["label!=team=db"], true),
            (&["label!=team"], false),
            (&["driver=host"], false),
            (&["type=custom", "scope=local", "id=b"], true),
            (&["type=builtin"], false),
            (&["scope=swarm"], false),
        ] {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            let filters = Filters::new(&words, &[&KEYS[..], &LABELS].concat()).unwrap();
            assert_eq!(filters.take(&network.name, "bridge", &network.labels), takes, "{words:?}");
        }
        assert!(Filters::new(&["name=x".to_owned()], &LABELS).is_err());
        assert!(Filters::new(&["type=mine".to_owned()], &KEYS).is_err());
        let machines = Filters::new(&["type=builtin".to_owned()], &KEYS).unwrap();
        assert!(machines.take("host", "host", &BTreeMap::new()));
    }

    #[test]
    fn a_gateway_goes_into_its_subnet() {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let made = subnets(&words(&["10.9.0.0/24", "fd09::/64"]), &words(&["fd09::fe", "10.9.0.254"]));
        assert_eq!(made.unwrap(), ["10.9.0.254/24", "fd09::fe/64"]);
        let error = subnets(&words(&["10.9.0.0/24"]), &words(&["10.8.0.1"])).unwrap_err().message;
        assert_eq!(error, "--gateway: 10.8.0.1 is in no --subnet");
    }
}
