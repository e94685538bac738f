//! Networks of the containers' own: bridges, addresses, published ports.
//!
//! A verb runs, does one thing and ends, as the plugins of CNI do. It reads what is
//! written down, decides, writes down what it decided, and only then makes it so.
//! Killed at any instruction, it leaves a record and a part of what the record
//! wants; the same verb again makes it whole, and `detach` takes all of it away.
//!
//! ```text
//! command ─┬─ attach ──┬─ grant      pure: addresses, interfaces, ports for one container
//!          ├─ detach   ├─ links      pure: what is to be done to links and bridges
//!          └─ networks ├─ ruleset    pure: what is to be done to our nftables table
//!                      ├─ sources    pure: who may say what by which pod's port
//!                      ├─ subnet     pure: which subnet a network gets
//!                      ├─ configured networks that node.toml wants
//!                      ├─ record     what a container was given
//!                      ├─ folder     the files
//!                      ├─ host       links, addresses and our tables as they are, and made as they should be
//!                      ├─ namespace  the container's side
//!                      ├─ datagrams  where they were led
//!                      ├─ forwarding the kernel's switches
//!                      ├─ occupied   who has a port already
//!                      ├─ modules    what the kernel needs loaded
//!                      ├─ told       the service is told
//!                      └─ upkeep     what somebody has taken away
//! ```

mod attach;
pub mod command;
pub mod configured;
mod datagrams;
mod detach;
pub mod folder;
pub mod forwarding;
pub mod grant;
pub mod host;
pub mod links;
pub mod modules;
mod namespace;
pub mod networks;
mod occupied;
pub mod record;
pub mod ruleset;
pub mod sources;
pub mod subnet;
mod told;
pub mod upkeep;

#[cfg(test)]
pub mod tests {
    use super::record::Record;
    use spec::network::{Attach, Interface, Mac, Membership, Network};

    /// A network of both families.
    pub fn network(name: &str, bridge: &str) -> Network {
        let third = if name == "bridge" { 0 } else { 4 };
        let subnets = [format!("10.210.{third}.1/22"), "fd00::1/64".to_owned()];
        Network {
            name: name.parse().unwrap(),
            bridge: bridge.into(),
            subnets: subnets.iter().map(|text| text.parse().unwrap()).collect(),
            internal: false,
            mtu: None,
            configured: false,
            cluster: None,
            labels: Default::default(),
        }
    }

    /// A container on one network.
    pub fn record(container: &str, network: &str, port: &str) -> Record {
        let membership = Membership::of(network.parse().unwrap());
        Record {
            container: container.parse().unwrap(),
            netns: format!("/run/skerry/netns/{container}"),
            asked: Attach { networks: vec![membership.clone()], ..Attach::default() },
            ports: Vec::new(),
            interfaces: vec![Interface {
                name: "eth0".into(),
                network: membership.network,
                host_name: port.into(),
                mac: Mac([2, 0, 10, 210, 0, 2]),
                addresses: vec!["10.210.0.2/22".parse().unwrap(), "fd00::2/64".parse().unwrap()],
                gateways: vec![[10, 210, 0, 1].into(), "fd00::1".parse().unwrap()],
                mtu: 1400,
            }],
            relayed: false,
        }
    }
}
