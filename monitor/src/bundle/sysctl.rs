//! `sysctl`: kernel parameters that belong to a namespace of the container's own. Any
//! other would be the node's.

use spec::bundle::NamespaceKind;
use spec::node::{Container, ContainerNetwork, Ipc};
use std::collections::BTreeMap;

/// Docker's, for a network of its own: who is not root may take ports below 1024, and ping.
const USUAL: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// The container's parameters.
///
/// # Errors
/// One that is the node's, by name.
pub fn checked(container: &Container) -> Result<BTreeMap<String, String>, String> {
    let own_network = !matches!(container.network(), ContainerNetwork::Host | ContainerNetwork::Container(_));
    for key in container.sysctls.keys() {
        let own = match NamespaceKind::of_parameter(key) {
            Some(NamespaceKind::Network) => own_network,
            Some(NamespaceKind::Ipc) => !matches!(container.ipc, Ipc::Host | Ipc::Container(_)),
            // Its host name has a key of its own.
            _ => false,
        };
        if !own {
            return Err(format!("sysctls.{key}: it is the node's, not the container's own"));
        }
    }
    let usual = USUAL.iter().filter(|_| own_network).map(|&(key, value)| (key.to_owned(), value.to_owned()));
    // What was asked for has the last word.
    Ok(usual.chain(container.sysctls.clone()).collect())
}
