//! A container's network as `inspect` shows it, in Docker's words.

use crate::commands::list::addresses;
use serde_json::{Map, Value, json};
use spec::monitor::Summary;
use spec::network::{Attached, Interface};
use std::net::IpAddr;

/// `NetworkSettings`
pub fn settings(summary: &Summary, attached: Option<&Attached>) -> Value {
    let interfaces = attached.map(|attached| &*attached.interfaces).unwrap_or_default();
    let one = |name: &String| {
        let on = interfaces.iter().find(|interface| *interface.network == **name);
        (name.clone(), on.map_or_else(|| json!({}), interface))
    };
    let networks: Map<String, Value> = summary.networks.keys().map(one).collect();
    json!({
        "SandboxKey": attached.map(|attached| &attached.netns),
        "IPAddress": interfaces.first().and_then(|first| address(first, true)).map(|cidr| cidr.0),
        "DNS": attached.map(|attached| &attached.dns),
        "Ports": ports(summary),
        "Networks": networks,
    })
}

fn address(interface: &Interface, v4: bool) -> Option<(IpAddr, u8)> {
    let found = interface.addresses.iter().find(|cidr| cidr.address.is_ipv4() == v4);
    found.map(|cidr| (cidr.address, cidr.prefix))
}

fn interface(interface: &Interface) -> Value {
    let gateway = |v4| interface.gateways.iter().find(|gateway| gateway.is_ipv4() == v4);
    let (v4, v6) = (address(interface, true), address(interface, false));
    json!({
        "Interface": interface.name,
        "MacAddress": interface.mac,
        "IPAddress": v4.map(|cidr| cidr.0),
        "IPPrefixLen": v4.map(|cidr| cidr.1),
        "Gateway": gateway(true),
        "GlobalIPv6Address": v6.map(|cidr| cidr.0),
        "GlobalIPv6PrefixLen": v6.map(|cidr| cidr.1),
        "IPv6Gateway": gateway(false),
        "MTU": interface.mtu,
    })
}

/// `80/tcp` and where it leads from.
fn ports(summary: &Summary) -> Value {
    let mut ports = Map::new();
    for port in &summary.ports {
        let from = addresses(port)
            .map(|address| json!({ "HostIp": address.to_string(), "HostPort": port.node.to_string() }));
        let key = format!("{}/{}", port.container, port.protocol);
        match ports.entry(key).or_insert_with(|| json!([])) {
            Value::Array(list) => list.extend(from),
            _ => unreachable!("only lists were put there"),
        }
    }
    Value::Object(ports)
}
