//! What `docker save` writes: `manifest.json`, configurations, unpacked layers. Others pack them (crane, kaniko, Jib).
//!
//! There is no manifest in it as registries have them, so one is made, of the layers as they lie there: the
//! same archive gives the same bytes and so the same digest.

use super::{Candidate, Files, Kind, LayerFile, Picked};
use crate::compression;
use crate::digest::{Digest, Hashed};
use crate::oci::{CONFIG_MAX, ConfigFile, MANIFEST_MAX, media};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io;
use sys::cause::cause;

/// An element of `manifest.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

pub(super) fn candidates(files: &Files) -> Result<Vec<Candidate>, String> {
    if let Files::Folder(_) = files {
        return Err("an unpacked docker-archive; give the archive itself".into());
    }
    let bytes = files.read("manifest.json", MANIFEST_MAX)?;
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|error| format!("manifest.json: {error}"))?;
    items
        .into_iter()
        .map(|item| {
            let tags = item.repo_tags.iter().flatten();
            let names = tags.map(|tag| tag.parse()).collect::<Result<_, _>>()?;
            Ok(Candidate { names, tags: Vec::new(), kind: Kind::Docker(item) })
        })
        .collect()
}

pub(super) fn pick(files: &Files, item: &Item) -> Result<Picked, String> {
    let config = files.read(&item.config, CONFIG_MAX)?;
    let file: ConfigFile =
        serde_json::from_slice(&config).map_err(|error| format!("configuration {}: {error}", item.config))?;
    let names = item.layers.clone().unwrap_or_default();
    let layers: Vec<_> = (file.rootfs.diff_ids.iter().zip(&names))
        .map(|(diff_id, name)| layer(files, diff_id, name))
        .collect::<Result<_, String>>()?;
    Ok(made(config, layers))
}

/// An image of a configuration and layers that have no manifest yet; of each layer its media type, too.
pub(super) fn made(config: Vec<u8>, layers: Vec<(String, LayerFile)>) -> Picked {
    let described: Vec<Value> = layers.iter().map(|(media_type, LayerFile { blob: (digest, size), .. })| {
        json!({ "mediaType": media_type, "digest": digest.to_string(), "size": size })
    }).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": {
            "mediaType": media::CONFIG,
            "digest": Digest::sha256(&config).to_string(),
            "size": config.len(),
        },
        "layers": described,
    });
    let layers = layers.into_iter().map(|(_, layer)| layer).collect();
    Picked {
        media_type: media::MANIFEST.into(),
        index: None,
        manifest: manifest.to_string().into_bytes(),
        config,
        layers,
    }
}

/// A layer's media type, and the layer: one that is packed has a digest of its own, else it is what its diff ID says.
fn layer(files: &Files, diff_id: &Digest, name: &str) -> Result<(String, LayerFile), String> {
    let size = files.length(name).ok_or_else(|| format!("layer {name} is not in the archive"))?;
    let unread = |error: io::Error| format!("read {name}: {}", cause(&error));
    let open = || files.open_file(name).map_err(unread);
    let suffix = compression::suffix(open()?).map_err(unread)?;
    let digest = match suffix {
        "" => diff_id.clone(),
        _ => Hashed::new(open()?, diff_id).finish().map_err(unread)?,
    };
    Ok((format!("{}{suffix}", media::LAYER), LayerFile { name: name.to_owned(), blob: (digest, size) }))
}
