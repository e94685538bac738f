//! A container's network as `inspect` shows it, in Docker's words.

use crate::commands::list::addresses;
use serde_json::{Map, Value, json};
use spec::monitor::{Port, Summary};
use spec::network::{Attached, Interface};
use spec::node::ContainerNetwork;
use std::net::IpAddr;

/// `NetworkSettings`: the same fields whether it runs or not. `network` is what it is to be on, `exposed` its ports that
/// may be published.
pub fn settings(
    summary: &Summary,
    attached: Option<&Attached>,
    network: &ContainerNetwork,
    exposed: &Map<String, Value>,
) -> Value {
    let interfaces = attached.map(|attached| &*attached.interfaces).unwrap_or_default();
    let one = |name: &String| {
        let on = interfaces.iter().find(|interface| *interface.network == **name);
        let mut shown = interface(on);
        shown["NetworkID"] = json!(name);
        shown["Aliases"] = json!(aliases(network, name));
        (name.clone(), shown)
    };
    let networks: Map<String, Value> = summary.networks.keys().map(one).collect();
    let mut settings = interface(interfaces.first());
    settings["SandboxKey"] = json!(attached.map_or("", |attached| &attached.netns));
    settings["DNS"] = json!(attached.map(|attached| &attached.dns));
    settings["Ports"] = ports(summary, exposed);
    settings["Networks"] = Value::Object(networks);
    settings
}

fn aliases(network: &ContainerNetwork, name: &str) -> Vec<String> {
    let ContainerNetwork::On(all) = network else { return Vec::new() };
    let found = all.iter().find(|one| *one.network == *name);
    found.map(|one| one.aliases.clone()).unwrap_or_default()
}

/// An interface; empty where there is none.
fn interface(interface: Option<&Interface>) -> Value {
    let address = |v4: bool| {
        let addresses = interface.into_iter().flat_map(|interface| &interface.addresses);
        let found = addresses.into_iter().find(|cidr| cidr.address.is_ipv4() == v4);
        found.map_or((String::new(), 0), |cidr| (cidr.address.to_string(), cidr.prefix))
    };
    let gateway = |v4: bool| {
        let mut gateways = interface.into_iter().flat_map(|interface| &interface.gateways);
        gateways.find(|gateway| gateway.is_ipv4() == v4).map(IpAddr::to_string).unwrap_or_default()
    };
    let (v4, v6) = (address(true), address(false));
    json!({
        "Interface": interface.map_or("", |interface| &interface.name),
        "MacAddress": interface.map(|interface| interface.mac.to_string()).unwrap_or_default(),
        "IPAddress": v4.0,
        "IPPrefixLen": v4.1,
        "Gateway": gateway(true),
        "GlobalIPv6Address": v6.0,
        "GlobalIPv6PrefixLen": v6.1,
        "IPv6Gateway": gateway(false),
        "MTU": interface.map_or(0, |interface| interface.mtu),
    })
}

/// `80/tcp` and where it leads from; of one that runs, those that lead from nowhere, too.
fn ports(summary: &Summary, exposed: &Map<String, Value>) -> Value {
    let mut ports = Map::new();
    for port in &summary.ports {
        let from = addresses(port)
            .map(|address| json!({ "HostIp": address.to_string(), "HostPort": port.node.to_string() }));
        match ports.entry(named(port)).or_insert_with(|| json!([])) {
            Value::Array(list) => list.extend(from),
            _ => unreachable!("only lists were put there"),
        }
    }
    if summary.status.started.is_some() {
        for key in exposed.keys().filter(|key| summary.ports.iter().all(|port| *key != &named(port))) {
            ports.insert(key.clone(), Value::Null);
        }
    }
    Value::Object(ports)
}

fn named(port: &Port) -> String {
    format!("{}/{}", port.container, port.protocol)
}
