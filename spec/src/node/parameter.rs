//! Kernel parameters that a worker's pods may have beside the safe ones.

use crate::bundle::NamespaceKind;
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

/// A kernel parameter as sysctl(8) writes it with dots, or all whose names begin alike, with `*` at the end
/// (`--allowed-unsafe-sysctls` of a kubelet). It is one of a network's or of an IPC namespace: any other is the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter(String);

impl Parameter {
    /// A parameter of this name is allowed.
    pub fn takes_in(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == self.0,
        }
    }
}

impl FromStr for Parameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // All of shared memory's, and of messages', are the namespace's.
        let whole = ["kernel.msg*", "kernel.shm*"].contains(&text);
        let kind = NamespaceKind::of_parameter(text.strip_suffix('*').unwrap_or(text));
        match whole || matches!(kind, Some(NamespaceKind::Network | NamespaceKind::Ipc)) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("{text:?} is the node's: no parameter of a network or of IPC begins so")),
        }
    }
}

deserialize_from_str!(Parameter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_of_namespaces_are_allowed() {
        for text in ["net.core.somaxconn", "net.*", "net.ipv4.*", "kernel.shm*", "kernel.sem", "fs.mqueue.*"]
        {
            assert!(text.parse::<Parameter>().is_ok(), "{text}");
        }
        for text in ["", "*", "net*", "kernel.*", "vm.swappiness", "kernel.hostname", "net/core/somaxconn"] {
            assert!(text.parse::<Parameter>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_star_takes_in_what_begins_alike() {
        let takes_in = |own: &str, name: &str| own.parse::<Parameter>().unwrap().takes_in(name);
        assert!(takes_in("net.core.somaxconn", "net.core.somaxconn"));
        assert!(!takes_in("net.core.somaxconn", "net.core.somaxconn_2"));
        assert!(takes_in("net.ipv4.*", "net.ipv4.tcp_mem") && !takes_in("net.ipv4.*", "net.ipv6.route.gc"));
    }
}
