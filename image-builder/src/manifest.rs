//! `manifest.toml`: what an image was made of. [`spec::manifest`] is the part that programs read.

use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

/// The whole of it. Nothing in it depends on where, when or by whom it was built.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The image's time in seconds since 1970.
    pub time: u64,
    /// The same for people.
    pub date: String,
    /// This program and its version.
    pub builder: String,
    /// In MiB.
    pub least_memory: Least,
    /// The kernel.
    pub kernel: Kernel,
    /// The modules by name.
    pub modules: Modules,
    /// Our programs: hash by name.
    pub programs: BTreeMap<String, String>,
    /// The container images by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
    /// The recipe's files and the node's configuration: hash by path.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// What was written, by name; absent in the root's own copy, which cannot
    /// know its own hash.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Output>,
}

/// `[least-memory]`
#[derive(Clone, Debug, Serialize)]
pub struct Least {
    /// With the root on a disk.
    pub disk: u64,
    /// With the root in memory.
    pub memory: u64,
}

/// `[kernel]`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// Hash of the kernel's image.
    pub sha256: String,
    /// `uname -r`, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Debian package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Hash of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package_sha256: Option<String>,
}

/// `[modules]`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Modules {
    /// Whether their signatures were left out.
    pub strip_signatures: bool,
    /// Those of the initramfs.
    pub initramfs: Vec<String>,
    /// Those of the root.
    pub root: Vec<String>,
    /// Hashes of their files as packaged, uncompressed.
    pub sha256: BTreeMap<String, String>,
}

/// `[images.NAME]`
#[derive(Clone, Debug, Serialize)]
pub struct Image {
    /// Digest of the image's manifest.
    pub digest: String,
}

/// `[outputs.NAME]`
#[derive(Clone, Debug, Serialize)]
pub struct Output {
    /// Length in bytes.
    pub size: u64,
    /// Hash.
    pub sha256: String,
}

/// The file's text.
pub fn text(manifest: &Manifest) -> Result<String> {
    let body =
        toml::to_string(manifest).map_err(|error| Error::new(format!("write the manifest: {error}")))?;
    Ok(format!("# What this image was made of. Written by skerry-image.\n{body}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_what_they_need_of_it() {
        let manifest = Manifest {
            time: 7,
            date: "1970-01-01T00:00:07Z".into(),
            builder: "skerry-image".into(),
            least_memory: Least { disk: 96, memory: 128 },
            kernel: Kernel {
                sha256: "aa".into(),
                release: None,
                package: None,
                version: None,
                package_sha256: None,
            },
            modules: Modules {
                strip_signatures: false,
                initramfs: vec![],
                root: vec!["overlay".into()],
                sha256: BTreeMap::new(),
            },
            programs: BTreeMap::from([("init".into(), "bb".into())]),
            images: BTreeMap::from([("nginx".into(), Image { digest: "sha256:cc".into() })]),
            files: BTreeMap::new(),
            outputs: BTreeMap::new(),
        };
        let text = text(&manifest).unwrap();
        let read = spec::manifest::read(&text).unwrap();
        assert_eq!((read.time, read.least_memory.disk, read.least_memory.memory), (7, 96, 128));
        assert!(!text.contains("outputs") && text.contains("[images.nginx]"), "{text}");
    }
}
