//! `[cluster]`: the Kubernetes cluster whose worker this node is.

use crate::quantity::{Bytes, Span};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// `[cluster]`; without [`Cluster::server`] the node is no worker.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Cluster {
    /// The API server, `https://HOST:PORT`.
    pub server: Option<String>,
    /// Certificates of who signs the API server's, in PEM.
    pub ca: Option<String>,
    /// In place of `ca`: the hash that `kubeadm` prints, `sha256:HEX` of such a certificate's public key.
    pub ca_cert_hash: Option<String>,
    /// Certificates of who signs those of clients of the node's own server, in PEM; else who signs the API server's.
    pub client_ca: Option<String>,
    /// A bootstrap token, `ID.SECRET`. Only a node that has no certificate yet needs it.
    pub token: Option<String>,
    /// Labels of the Node object, beside those that every node has.
    pub labels: BTreeMap<String, String>,
    /// Taints that the Node object has when it is made.
    pub taints: Vec<Taint>,
    /// Addresses of the node as the cluster knows it, at most one per family, the first of which it prefers; else that
    /// of the interface which leads to the API server.
    #[serde(deserialize_with = "node_ip")]
    pub node_ip: Vec<IpAddr>,
    /// Most pods.
    pub max_pods: u32,
    /// Most tasks of one pod; none but what all pods have together without it.
    pub pod_pids_limit: Option<u32>,
    /// How long a container's log grows before it is rotated, in bytes.
    pub container_log_max_size: Bytes,
    /// Memory that pods cannot have, in bytes.
    pub reserved_memory: Bytes,
    /// Processors that pods cannot have: 0.5 is half of one.
    pub reserved_cpus: f64,
    /// Pods are evicted when less memory is available.
    pub eviction_memory: Bytes,
    /// Pods are evicted when less of the data disk is free, in percent.
    pub eviction_disk: u8,
    /// Pods are evicted, with their grace, when less memory is available for a while.
    pub eviction_soft_memory: Option<Bytes>,
    /// Pods are evicted, with their grace, when less of the data disk is free for a while, in percent.
    pub eviction_soft_disk: Option<u8>,
    /// How long there may be less.
    pub eviction_soft_grace: Span,
    /// Once pods are evicted for memory, they are until so much more is available than they are evicted at.
    pub eviction_minimum_reclaim_memory: Bytes,
    /// The same of the data disk, in percent of it.
    pub eviction_minimum_reclaim_disk: u8,
    /// Images that nothing needs are removed when more of the data disk is used, in percent.
    pub image_gc_high: u8,
    /// Until no more of it is used, in percent.
    pub image_gc_low: u8,
    /// How long an image stays at least that nothing needs.
    pub image_gc_age: Span,
    /// How long an image stays at most that nothing needs, however much room there is.
    pub image_gc_max_age: Option<Span>,
    /// The cluster's domain of names.
    pub domain: String,
    /// The cluster's name servers; without them the Service `kube-system/kube-dns`.
    pub dns: Vec<IpAddr>,
    /// Who serves Services: the node itself, or a program of the cluster such as kube-proxy.
    pub services: By,
    /// Who gives pods their network: the node itself, or CNI plugins.
    pub pod_network: By,
    /// Which other nodes' pods are reached through the tunnel.
    pub tunnel: Tunnel,
    /// Kernel parameters that pods may set for themselves beside the safe ones, as sysctl(8) writes them with dots; one that
    /// ends with `*` is all that begin alike.
    pub allowed_sysctls: Vec<String>,
    /// Files of the node with a pod each.
    pub static_pods: Option<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            server: None,
            ca: None,
            ca_cert_hash: None,
            client_ca: None,
            token: None,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            node_ip: Vec::new(),
            max_pods: 110,
            pod_pids_limit: None,
            container_log_max_size: Bytes(10 << 20),
            reserved_memory: Bytes(24 << 20),
            reserved_cpus: 0.0,
            eviction_memory: Bytes(8 << 20),
            eviction_disk: 10,
            eviction_soft_memory: None,
            eviction_soft_disk: None,
            eviction_soft_grace: Span::seconds(90),
            eviction_minimum_reclaim_memory: Bytes(0),
            eviction_minimum_reclaim_disk: 0,
            image_gc_high: 85,
            image_gc_low: 80,
            image_gc_age: Span::seconds(120),
            image_gc_max_age: None,
            domain: "cluster.local".to_owned(),
            dns: Vec::new(),
            services: By::Node,
            pod_network: By::Node,
            tunnel: Tunnel::Needed,
            allowed_sysctls: Vec::new(),
            static_pods: None,
        }
    }
}

/// An address, or a list of at most one per family.
fn node_ip<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    from.deserialize_any(NodeIp)
}

struct NodeIp;

impl<'de> Visitor<'de> for NodeIp {
    type Value = Vec<IpAddr>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an address, or a list of one per family")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse()
            .map(|address| vec![address])
            .map_err(|_| E::custom(format!("{text:?} is not an address")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        while let Some(address) = list.next_element::<IpAddr>()? {
            if addresses.iter().any(|own| own.is_ipv4() == address.is_ipv4()) {
                return Err(de::Error::custom("a node has at most one address per family"));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }
}

/// Who does something for the cluster's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Skerry.
    Node,
    /// A program that the cluster brings.
    Cluster,
}

/// When a tunnel leads to another node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tunnel {
    /// When the node is on none of this node's subnets.
    Needed,
    /// Always: the network between them passes on no packets but those of the nodes' own addresses.
    Always,
}

/// A taint, written as `kubectl taint` has it: `KEY[=VALUE]:EFFECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl FromStr for Taint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a taint such as key=value:NoSchedule");
        let (key, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (key, value) = match key.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (key, None),
        };
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
        if key.is_empty() || !known {
            return Err(wrong());
        }
        Ok(Self { key: key.to_owned(), value, effect: effect.to_owned() })
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_some() { "=" } else { "" };
        write!(out, "{}{equals}{}:{}", self.key, self.value.as_deref().unwrap_or_default(), self.effect)
    }
}

deserialize_from_str!(Taint);

#[cfg(test)]
mod tests {
    use super::super::{Layer, load};
    use super::*;

    fn cluster(text: &str) -> Result<Cluster, String> {
        let text = format!("[cluster]\n{text}");
        load(&[Layer { origin: "test".into(), text }]).map(|node| node.cluster).map_err(|error| error.message)
    }

    #[test]
    fn nothing_said_is_no_worker() {
        assert_eq!(cluster("").unwrap(), Cluster::default());
        assert!(Cluster::default().server.is_none());
    }

    #[test]
    fn what_kubeadm_prints_is_enough() {
        let own = cluster(
            "server = \"https://10.0.0.1:6443\"\nca-cert-hash = \"sha256:ab\"\ntoken = \"a.b\"\n\
             taints = [\"a/b=c:NoSchedule\", \"d:NoExecute\"]\nreserved-memory = \"64M\"\nservices = \"cluster\"\n\
             tunnel = \"always\"\npod-pids-limit = 1024\ncontainer-log-max-size = \"50M\"\nallowed-sysctls = [\"net.core.somaxconn\"]\n",
        )
        .unwrap();
        assert_eq!(own.server.as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(own.tunnel, Tunnel::Always);
        assert_eq!((own.pod_pids_limit, own.container_log_max_size), (Some(1024), Bytes(50 << 20)));
        assert!(own.allowed_sysctls == ["net.core.somaxconn"]);
        assert_eq!(own.taints[0].value.as_deref(), Some("c"));
        assert_eq!((own.taints[1].to_string().as_str(), own.services), ("d:NoExecute", By::Cluster));
    }

    #[test]
    fn a_node_has_an_address_of_each_family() {
        for (text, count) in [("\"10.0.0.1\"", 1), ("[\"2001:db8::1\", \"10.0.0.1\"]", 2), ("[]", 0)] {
            assert_eq!(cluster(&format!("node-ip = {text}")).unwrap().node_ip.len(), count, "{text}");
        }
        for text in ["\"10.0.0\"", "7", "[\"10.0.0.1\", \"10.0.0.2\"]", "[\"x\"]"] {
            assert!(cluster(&format!("node-ip = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_taint_is_refused() {
        for text in ["a", ":NoExecute", "a=b:Never", ""] {
            assert!(text.parse::<Taint>().is_err(), "{text}");
            assert!(cluster(&format!("taints = [\"{text}\"]")).is_err());
        }
    }
}
