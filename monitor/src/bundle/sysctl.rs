//! `sysctl`: kernel parameters that belong to a namespace of the container's own. Any
//! other would be the node's.

use spec::bundle::NamespaceKind;
use spec::node::{Container, ContainerNetwork, Sharing};
use std::collections::BTreeMap;

/// The container's parameters.
///
/// # Errors
/// One that is the node's, by name.
pub fn checked(container: &Container) -> Result<BTreeMap<String, String>, String> {
    for key in container.sysctls.keys() {
        let own = match NamespaceKind::of_parameter(key) {
            Some(NamespaceKind::Network) => {
                !matches!(container.network(), ContainerNetwork::Host | ContainerNetwork::Container(_))
            }
            Some(NamespaceKind::Ipc) => container.ipc == Sharing::Private,
            // Its host name has a key of its own.
            _ => false,
        };
        if !own {
            return Err(format!("sysctls.{key}: it is the node's, not the container's own"));
        }
    }
    Ok(container.sysctls.clone())
}
