//! What nodes ask of the API server, from its audit log.

use ::tests::{Cluster, Result};
use std::fs;
use std::path::PathBuf;

/// The log of requests by nodes.
pub struct Requests(PathBuf);

/// Every request by a node, when it ends.
const POLICY: &str = r#"{
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "userGroups": ["system:nodes"]}, {"level": "None"}]
}"#;

impl Requests {
    /// Starts a cluster that keeps one.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::start`].
    pub fn of_cluster(folder: PathBuf) -> Result<(Cluster, Self)> {
        let (policy, log) = (folder.join("audit.json"), folder.join("audit.log"));
        fs::write(&policy, POLICY)?;
        let words = [("audit-policy-file", &policy), ("audit-log-path", &log)];
        let words = words.map(|(option, path)| format!("--{option}={}", path.display()));
        Ok((Cluster::start_with_api_server(words)?, Self(log)))
    }

    /// How many of this node have ended.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn of_node(&self, name: &str) -> Result<u64> {
        let user = format!("\"system:node:{name}\"");
        let text = fs::read_to_string(&self.0)?;
        Ok(text.lines().filter(|line| line.contains(&user)).count() as u64)
    }
}
