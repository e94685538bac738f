//! `features`: what this runtime can do (`features.md`), told from the tables
//! that the code itself uses.

use crate::error::{Context, Result};
use crate::plan::{memory_policy_flags, memory_policy_modes, mount_option_names};
use crate::seccomp;
use serde_json::json;
use spec::bundle::{CAPABILITIES, NamespaceKind, OCI_VERSION};

/// The features as JSON.
///
/// # Errors
/// None that can happen.
pub fn features() -> Result<String> {
    let namespaces: Vec<&str> = NamespaceKind::ALL.iter().map(|kind| kind.name()).collect();
    let capabilities: Vec<String> = CAPABILITIES.iter().map(|name| format!("CAP_{name}")).collect();
    let flags: Vec<&str> = seccomp::FLAGS.iter().map(|(name, _)| *name).collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": mount_option_names(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": capabilities,
            "cgroup": { "v1": false, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": seccomp::ACTIONS,
                "operators": seccomp::OPERATORS,
                "archs": seccomp::ARCHITECTURES,
                "knownFlags": flags,
                "supportedFlags": flags,
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "memoryPolicy": { "modes": memory_policy_modes(), "flags": memory_policy_flags() },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": true },
        },
        "potentiallyUnsafeConfigAnnotations": [],
    });
    serde_json::to_string_pretty(&features).context(|| "write the features".into())
}
