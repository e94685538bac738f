//! The image that is pulled: 200 MB in 8 layers, the same bytes each time.

use ::tests::{Failure, Result, said};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LAYERS: u64 = 8;
/// Of the files of a layer, in bytes.
const LAYER_SIZE: u64 = 25_000_000;
/// Of a file, in bytes; most are small, as in a distribution.
const SIZES: [u64; 6] = [700, 2_000, 6_000, 20_000, 90_000, 1_000_000];

/// Writes it as an OCI layout named `layout` into a folder.
///
/// # Errors
///
/// When a file cannot be written, or what tar and gzip say.
pub fn write(folder: &Path) -> Result<PathBuf> {
    let layout = folder.join("layout");
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
    for number in 0..LAYERS {
        let archive = layer(folder, number)?;
        diff_ids.push(digest(&fs::read(&archive)?));
        said(Command::new("gzip").args(["-n", "-6"]).arg(&archive))?;
        let packed = fs::read(archive.with_extension("tar.gz"))?;
        layers.push(blob(&layout, "application/vnd.oci.image.layer.v1.tar+gzip", &packed)?);
        fs::remove_file(archive.with_extension("tar.gz"))?;
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = blob(&layout, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let manifest = blob(&layout, kind, manifest.to_string().as_bytes())?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(layout)
}

/// A layer's archive.
fn layer(folder: &Path, number: u64) -> Result<PathBuf> {
    let root = folder.join("root");
    let mut random = Random(number + 1);
    let (mut written, mut files) = (0, 0);
    while written < LAYER_SIZE {
        let size = SIZES[(random.next() % SIZES.len() as u64) as usize].min(LAYER_SIZE - written);
        let place = root.join(format!("layer{number}/{}", files / 50));
        fs::create_dir_all(&place)?;
        fs::write(place.join(format!("file{files}")), random.text(size as usize))?;
        (written, files) = (written + size, files + 1);
    }
    let archive = folder.join("layer.tar");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@1", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar"]);
    said(tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
    fs::remove_dir_all(&root)?;
    Ok(archive)
}

/// Adds a blob to a layout; its descriptor.
fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> Result<serde_json::Value> {
    let digest = digest(bytes);
    let name = digest.strip_prefix("sha256:").ok_or_else(|| Failure::new("not a digest of SHA-256"))?;
    fs::write(layout.join("blobs/sha256").join(name), bytes)?;
    Ok(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Marsaglia's xorshift, which gives the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Bytes of which gzip leaves two thirds.
    fn text(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            let number = self.next();
            match number % 3 {
                0 => bytes.extend(number.to_le_bytes()),
                _ => bytes.extend([b"word", b"and ", b"\0\0\0\0", b"more"][(number >> 8) as usize % 4]),
            }
        }
        bytes.truncate(size);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_gives_the_same_bytes() {
        assert_eq!(Random(3).text(1000), Random(3).text(1000));
        assert_ne!(Random(3).text(1000), Random(4).text(1000));
    }
}
