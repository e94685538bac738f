//! Images for tests, made in a folder of their own.

use crate::digest::Digest;
use crate::tar::build::Archive;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of its own per test, gone with it.
pub(super) struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("skerry-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An OCI layout that grows.
pub(super) struct Layout(pub PathBuf);

impl Layout {
    pub fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        Self(path)
    }

    pub fn blob(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        fs::write(self.path(&digest), bytes).unwrap();
        digest
    }

    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join("blobs/sha256").join(digest.hex())
    }

    pub fn document(&self, media_type: &str, value: &Value) -> Value {
        let bytes = value.to_string().into_bytes();
        json!({ "mediaType": media_type, "digest": self.blob(&bytes).to_string(), "size": bytes.len() })
    }

    /// Adds an image whose layers are given packed and unpacked; gives its manifest's descriptor.
    pub fn image(&self, architecture: &str, layers: &[(Vec<u8>, Vec<u8>)]) -> Value {
        let ids: Vec<_> = layers.iter().map(|(_, tar)| Digest::sha256(tar).to_string()).collect();
        let config = self.document(
            "application/vnd.oci.image.config.v1+json",
            &json!({ "os": "linux", "architecture": architecture, "created": "2024-05-06T07:08:09Z", "config": { "Cmd": ["/x"] }, "rootfs": { "diff_ids": ids } }),
        );
        let descriptors: Vec<_> = layers
            .iter()
            .map(|(packed, _)| {
                let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
                json!({ "mediaType": media_type, "digest": self.blob(packed).to_string(), "size": packed.len() })
            })
            .collect();
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": descriptors });
        self.document("application/vnd.oci.image.manifest.v1+json", &manifest)
    }

    pub fn index(&self, entries: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        fs::write(self.0.join("index.json"), index).unwrap();
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer with one file, packed and unpacked.
pub(super) fn layer(name: &str, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let tar = Archive::new().file(name, content).end();
    (gzip(&tar), tar)
}

/// Files of a folder, whatever their depth, as an archive.
pub(super) fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    files.iter().fold(Archive::new(), |archive, (name, bytes)| archive.file(name, bytes)).end()
}

/// Every path below a folder, sorted.
pub(super) fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { paths.push(path) }
        }
    }
    paths.sort();
    paths
}
