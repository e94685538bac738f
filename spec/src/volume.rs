//! Named volumes, as they lie on the data disk.
//!
//! ```text
//! /var/lib/skerry/volumes/
//! ├── NAME/
//! │   ├── data/           what is mounted
//! │   ├── new/            being filled; a volume without `unused` is there once this was renamed to `data`
//! │   ├── unused          it was made by a person and has had no container yet: it is filled at its first use, if it is empty
//! │   └── volume.json     what that person said of it
//! ├── .NAME/              removed; what it held is on its way out
//! └── ..new/              one that a person makes, until it is whole
//! ```

use crate::node::Name;
use crate::paths::VOLUMES;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is mounted.
pub const DATA: &str = "data";

/// There until its first use.
pub const UNUSED: &str = "unused";

/// Its [`Volume`].
pub const FILE: &str = "volume.json";

/// One that is being made; it is no volume's place, nor where one goes.
pub const NEW: &str = "..new";

/// A volume's folder.
pub fn folder(name: &Name) -> PathBuf {
    Path::new(VOLUMES).join(&**name)
}

/// What it holds.
pub fn data(name: &Name) -> PathBuf {
    folder(name).join(DATA)
}

/// Its [`Volume`].
pub fn file(name: &Name) -> PathBuf {
    folder(name).join(FILE)
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
    #[serde(skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// Nanoseconds since 1970.
    pub created: Option<u64>,
    /// Free words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

fn is_false(value: &bool) -> bool {
    !value
}
