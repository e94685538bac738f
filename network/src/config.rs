//! The configuration in force, from the layers that PID 1 wrote, and the image's time.

use serde::Deserialize;
use spec::node::{Bridge, Layer, Name, Network, load_part, named_networks};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

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
    let layers = layers(folder).map_err(|cause| format!("read {}: {cause}", folder.display()))?;
    load_part(&layers).map_err(|error| error.to_string())
}

/// The time before which no right clock is: the image's own, since 1970. Not the
/// time of the last shutdown, which a wrong clock may have shown.
pub fn clock_floor(manifest: &Path) -> Duration {
    let text = fs::read_to_string(manifest).unwrap_or_default();
    spec::manifest::read(&text).map_or(Duration::ZERO, |manifest| Duration::from_secs(manifest.time))
}

fn layers(folder: &Path) -> io::Result<Vec<Layer>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let layer =
        |path: &Path| fs::read_to_string(path).map(|text| Layer { origin: path.display().to_string(), text });
    paths.iter().map(|path| layer(path)).collect()
}
