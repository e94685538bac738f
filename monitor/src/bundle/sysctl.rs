//! `sysctl`: kernel parameters that belong to a namespace of the container's own. Any
//! other would be the node's.

use spec::node::{Container, ContainerNetwork, Sharing};
use std::collections::BTreeMap;

/// Parameters of an IPC namespace (ipc_namespaces(7)).
const IPC: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "fs.mqueue.",
];

/// The container's parameters.
///
/// # Errors
/// One that is the node's, by name.
pub fn checked(container: &Container) -> Result<BTreeMap<String, String>, String> {
    for key in container.sysctls.keys() {
        let ipc = IPC.iter().any(|own| key == own || own.ends_with('.') && key.starts_with(own));
        let own = match key.starts_with("net.") {
            true => container.network != ContainerNetwork::Host,
            false => ipc && container.ipc == Sharing::Private,
        };
        if !own {
            return Err(format!("sysctls.{key}: it is the node's, not the container's own"));
        }
    }
    Ok(container.sysctls.clone())
}
