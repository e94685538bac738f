//! The ways to other nodes' pods: routes of our own, told from all others by their protocol, 83.
//!
//! A node on one of this node's subnets is its pods' router. To others a tunnel leads, VXLAN of UDP
//! port 4789: what every node must know of the others for it follows from their `Node` objects, so
//! that nobody has to learn or announce anything. Its frames are for the hardware address that is made
//! of the node's address, and a neighbour's entry gives that to the router that the route names.
//!
//! A node with others has its end of the tunnel though none of its own ways goes by it: each decides for itself
//! whether another is on its subnet, and who does not think so sends by the tunnel.
//!
//! What is for this node's subnet and no pod's is refused here: sent on, it could come back.

mod guard;
mod kernel;
mod plan;

pub use kernel::settle;

/// The tunnel's name.
pub(super) const TUNNEL: &str = "skerry-vxlan";
/// The number of the network within the tunnel.
const ID: u32 = 83;

use serde::Deserialize;
use spec::node::Cidr;
use std::net::IpAddr;

/// What the tunnel takes of the greatest packet: Ethernet, IPv6, UDP and VXLAN.
pub const OVERHEAD: u32 = 14 + 40 + 8 + 8;

/// What ways there should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Routes {
    /// This node's `podCIDRs`.
    pub subnets: Vec<Cidr>,
    /// This node's addresses as its `Node` has them: others find it by the first of a family.
    pub addresses: Vec<IpAddr>,
    /// The cluster's other nodes.
    pub others: Vec<Other>,
    /// All go by the tunnel: for networks that pass on no packets but those of the nodes' own addresses.
    #[serde(default)]
    pub tunnel_only: bool,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Other {
    /// Its name.
    pub name: String,
    /// Its `podCIDRs`.
    pub subnets: Vec<Cidr>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}
