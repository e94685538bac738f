//! The configuration in force, from the layers that PID 1 wrote, and the image's time.

use serde::Deserialize;
use spec::node::{Bridge, Layer, Name, Network, load_part, named_networks};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use sys::texts::of_folder;

/// What this program needs of `node.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The node's name.
    pub hostname: Option<Name>,
    /// The node's interfaces.
    pub network: Network,
    /// Networks of containers.
    #[serde(deserialize_with = "named_networks")]
    pub networks: BTreeMap<Name, Bridge>,
}

/// Reads the layers of a folder, lowest first by name. A folder that is not
/// there holds none, and every key its default.
///
/// # Errors
/// A layer that cannot be read or does not parse; the message names it.
pub fn read(folder: &Path) -> Result<Node, String> {
    let files = of_folder(folder, "toml")?.unwrap_or_default();
    let layers: Vec<Layer> = files.into_iter().map(Layer::from).collect();
    load_part(&layers).map_err(|error| error.to_string())
}

/// The time before which no right clock is: the image's own, since 1970. Not the
/// time of the last shutdown, which a wrong clock may have shown.
pub fn clock_floor(manifest: &Path) -> Duration {
    let text = fs::read_to_string(manifest).unwrap_or_default();
    spec::manifest::read(&text).map_or(Duration::ZERO, |manifest| Duration::from_secs(manifest.time))
}
