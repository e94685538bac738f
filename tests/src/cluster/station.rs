//! Machines on the cluster's wire: addresses, tap devices, disks and configurations by name.

use super::{Cluster, GATEWAY, SERVER, registry};
use crate::{Failure, Image, Node, Result};
use qemu::{Disk, Network};
use std::fs::File;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

/// The machines of a cluster; the first has the address that ends in 11.
#[derive(Debug, Default)]
pub(super) struct Stations(Mutex<Vec<Station>>);

#[derive(Debug)]
struct Station {
    name: String,
    has_card: bool,
}

impl Stations {
    /// The number of the machine of this name, from 1.
    fn number(&self, name: &str) -> u8 {
        self.with(name, |number, _| number)
    }

    /// The same, and whether it has a network card only from now on.
    fn number_with_card(&self, name: &str) -> (u8, bool) {
        self.with(name, |number, station| (number, !std::mem::replace(&mut station.has_card, true)))
    }

    fn with<T>(&self, name: &str, action: impl FnOnce(u8, &mut Station) -> T) -> T {
        let mut stations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = stations.iter().position(|known| known.name == name).unwrap_or_else(|| {
            stations.push(Station { name: name.to_owned(), has_card: false });
            stations.len() - 1
        });
        action(u8::try_from(index + 1).unwrap_or(u8::MAX), &mut stations[index])
    }
}

/// The address of machine `number`.
fn address(number: u8) -> Ipv4Addr {
    let [a, b, c, _] = GATEWAY.octets();
    Ipv4Addr::new(a, b, c, 10 + number)
}

impl Cluster {
    /// A machine on the cluster's wire that joins nothing: its host name is `name`, and its address,
    /// its network card and its data disk are the same each time it is asked for.
    ///
    /// # Errors
    ///
    /// When its tap device or its disk cannot be made.
    pub fn station(&self, name: &str) -> Result<Node> {
        let (tap, mac) = self.card(name)?;
        let disk = self.parts.folder.join(format!("{name}.disk"));
        if !disk.exists() {
            File::create(&disk)?.set_len(4 << 30)?;
        }
        Ok(Node::new()
            .memory(512)
            .network(Network::tap(self.parts.namespace.path(), &tap, &mac))
            .disk(Disk::new(disk).serial("data"))
            .config(format!(
                "hostname = \"{name}\"\ndata.disk = \"serial:data\"\n\n[network.interfaces.eth0]\n\
                 addresses = [\"{}/24\"]\ngateways = [\"{GATEWAY}\"]\nslaac = false\n",
                self.address_of(name)
            )))
    }

    /// The tap device and the address of the network card that belong to this name.
    pub(super) fn card(&self, name: &str) -> Result<(String, String)> {
        let (number, is_new) = self.parts.stations.number_with_card(name);
        if number > 200 {
            return Err(Failure::new("more than 200 machines on one wire"));
        }
        let tap = format!("tap{number}");
        if is_new {
            self.parts.namespace.add_tap(&tap)?;
        }
        Ok((tap, format!("52:54:00:30:00:{number:02x}")))
    }

    /// A machine that joins the cluster as `name`, by what `kubeadm token create --print-join-command`
    /// tells: address, hash of the authority, token.
    ///
    /// # Errors
    ///
    /// When its tap device or its disk cannot be made.
    pub fn node(&self, name: &str) -> Result<Node> {
        self.node_and(name, "")
    }

    /// The same with further lines of `[cluster]`.
    ///
    /// # Errors
    ///
    /// Those of [`Self::node`].
    pub fn node_and(&self, name: &str, more: &str) -> Result<Node> {
        let (hash, token) = (self.ca_hash(), self.token());
        self.node_with(name, &format!("ca-cert-hash = \"{hash}\"\ntoken = \"{token}\"\n{more}"))
    }

    /// A machine with an agent for this cluster's API server, and these lines of `[cluster]` beside the
    /// server's.
    ///
    /// # Errors
    ///
    /// When its tap device or its disk cannot be made.
    pub fn node_with(&self, name: &str, lines: &str) -> Result<Node> {
        let join = format!("[cluster]\nserver = \"{SERVER}\"\n{lines}{}", registry::node_lines());
        Ok(self.station(name)?.image(Image::worker()).more_config(&join))
    }

    /// Lines of a node's configuration: the cluster's registry is a mirror of this one.
    pub fn mirror_of(&self, registry: &str) -> String {
        registry::mirror_lines(registry)
    }

    /// Lays a way from the wire to each node's pods, for who asks a pod from outside the nodes: the API
    /// server, for one that extends it, or a test.
    ///
    /// # Errors
    ///
    /// What kubectl or ip(8) says.
    pub fn route_to_pods(&self) -> Result {
        let path = r#"{range .items[*]}{.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}"#;
        for line in self.kubectl(&format!("get nodes -o jsonpath='{path}'"))?.lines() {
            if let [pods, node] = line.split_whitespace().collect::<Vec<_>>()[..] {
                self.parts.namespace.ip(&format!("route replace {pods} via {node}"))?;
            }
        }
        Ok(())
    }

    /// The address of the machine of this name.
    pub fn address_of(&self, name: &str) -> Ipv4Addr {
        address(self.parts.stations.number(name))
    }
}
