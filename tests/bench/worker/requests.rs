//! What nodes ask of the API server, from its audit log.

use ::tests::{Cluster, Result};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The log of requests by nodes.
pub struct Requests(PathBuf);

/// Every request by a node, when it ends.
const OF_NODES: &str = r#""omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "userGroups": ["system:nodes"]}, {"level": "None"}]"#;

/// Every change and every request by a node or by who is to be one, when it comes.
const OF_ALL: &str = r#""omitStages": ["ResponseStarted", "ResponseComplete"],
    "rules": [{"level": "Metadata", "userGroups": ["system:nodes", "system:bootstrappers"]},
              {"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]}, {"level": "None"}]"#;

impl Requests {
    /// Starts a cluster that keeps one.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::start`].
    pub fn of_cluster(folder: PathBuf) -> Result<(Cluster, Self)> {
        Self::with_policy(folder, OF_NODES)
    }

    /// The same, of changes by others, too, and with each when it comes.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::start`].
    pub fn of_all(folder: PathBuf) -> Result<(Cluster, Self)> {
        Self::with_policy(folder, OF_ALL)
    }

    fn with_policy(folder: PathBuf, rules: &str) -> Result<(Cluster, Self)> {
        let (policy, log) = (folder.join("audit.json"), folder.join("audit.log"));
        let head = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "#;
        fs::write(&policy, format!("{head}{rules}}}"))?;
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

    /// All, each when it came, as a time of RFC 3339, who asked, and what for.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn all(&self) -> Result<Vec<(String, String)>> {
        let text = fs::read_to_string(&self.0)?;
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        Ok(events
            .map(|event| {
                let word =
                    |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
                let what = format!("{}: {} {}", word("/user/username"), word("/verb"), word("/requestURI"));
                (word("/requestReceivedTimestamp"), what)
            })
            .collect())
    }
}
