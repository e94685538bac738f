//! Named volumes, as they lie on the data disk.
//!
//! ```text
//! /var/lib/skerry/volumes/
//! ├── NAME/
//! │   ├── data/           what is mounted
//! │   └── volume.json     what a person said of it, if one made it before its first use
//! └── .NAME/              removed; what it held is on its way out
//! ```

use crate::node::Name;
use crate::paths::VOLUMES;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A volume's folder.
pub fn folder(name: &Name) -> PathBuf {
    Path::new(VOLUMES).join(&**name)
}

/// What it holds.
pub fn data(name: &Name) -> PathBuf {
    folder(name).join("data")
}

/// Its [`Volume`].
pub fn file(name: &Name) -> PathBuf {
    folder(name).join("volume.json")
}

/// Where it goes when it is removed; no volume can be called so.
pub fn aside(name: &Name) -> PathBuf {
    Path::new(VOLUMES).join(format!(".{name}"))
}

/// What a person said of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Volume {
    /// Nobody gave it a name: it goes once no container uses it.
    pub anonymous: bool,
}
