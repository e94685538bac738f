//! What the agent needs of `node.toml`, from the layers that PID 1 wrote.

use serde::Deserialize;
use spec::node::{Cluster, Layer, Name, load_part};
use std::collections::BTreeMap;
use std::path::Path;

/// What the agent needs of `node.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The node's name, if the configuration gives one.
    pub hostname: Option<Name>,
    /// The cluster.
    pub cluster: Cluster,
    /// How registries are reached, by their hosts.
    pub registries: BTreeMap<String, Registry>,
}

/// What the agent needs of `[registries."HOST"]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Registry {
    /// Who is asked for its images first.
    pub mirrors: Vec<String>,
}

impl Node {
    /// Mirrors of registries, by their hosts.
    pub fn mirrors(&self) -> BTreeMap<String, Vec<String>> {
        self.registries.iter().map(|(host, own)| (host.clone(), own.mirrors.clone())).collect()
    }
}

/// Reads and merges the layers of a folder, lowest first by name.
///
/// # Errors
/// A layer that cannot be read or does not parse; the message names it.
pub fn read(folder: &Path) -> Result<Node, String> {
    let files = sys::texts::of_folder(folder, "toml")?.unwrap_or_default();
    let layers: Vec<Layer> = files.into_iter().map(Layer::from).collect();
    load_part(&layers).map_err(|error| error.to_string())
}
