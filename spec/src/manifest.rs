//! What a program reads of an image's manifest: the floor of its clock, the
//! memory it needs and the kernel it is for.
//!
//! `skerry-image` writes the whole of it to `manifest.toml` beside the kernel, and
//! to [`crate::paths::IMAGE_MANIFEST`] in the root. Keys that are not named here are
//! for people and are passed over.

use crate::value;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The part of `manifest.toml` that programs read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The image's time in seconds since 1970, derived from what went in: no
    /// clock that is right shows less.
    pub time: u64,
    /// The least memory that the image needs.
    pub least_memory: LeastMemory,
    /// What is known of the kernel that the root's modules are for: `release` is what `uname -r` says of it.
    #[serde(default)]
    pub kernel: BTreeMap<String, String>,
}

/// `[least-memory]`: the machine's memory, as QEMU's `-m` gives it, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeastMemory {
    /// With the root on a disk.
    pub disk: u64,
    /// With the root in memory.
    pub memory: u64,
}

/// Reads a manifest.
///
/// # Errors
/// What is wrong, in one line.
pub fn read(text: &str) -> Result<Manifest, String> {
    value::parse(text).map_err(|fault| fault.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_people_is_passed_over() {
        let text = "time = 7\n[kernel]\nversion = \"6.12\"\n[least-memory]\ndisk = 96\nmemory = 128\n";
        let least_memory = LeastMemory { disk: 96, memory: 128 };
        assert_eq!(
            read(text),
            Ok(Manifest {
                time: 7,
                least_memory,
                kernel: BTreeMap::from([("version".into(), "6.12".into())])
            })
        );
    }

    #[test]
    fn a_manifest_without_what_programs_need_is_refused() {
        assert!(read("time = 7").unwrap_err().contains("least-memory"));
        assert!(read("time").is_err());
    }
}
