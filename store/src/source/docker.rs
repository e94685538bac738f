//! What `docker save` writes: `manifest.json`, configurations, unpacked layers.
//!
//! There is no manifest in it as registries have them, so one is made: the
//! same archive gives the same bytes and so the same digest.

use super::{Candidate, Files, Kind, LayerFile, Picked};
use crate::digest::Digest;
use crate::oci::{CONFIG_MAX, ConfigFile, MANIFEST_MAX, media};
use serde::Deserialize;
use serde_json::json;

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
            Ok(Candidate { names, kind: Kind::Docker(item) })
        })
        .collect()
}

pub(super) fn pick(files: &Files, item: &Item) -> Result<Picked, String> {
    let config = files.read(&item.config, CONFIG_MAX)?;
    let file: ConfigFile =
        serde_json::from_slice(&config).map_err(|error| format!("configuration {}: {error}", item.config))?;
    let names = item.layers.clone().unwrap_or_default();
    let layers: Vec<_> = (file.rootfs.diff_ids.iter().zip(&names))
        .map(|(id, name)| {
            let size = files.length(name).ok_or_else(|| format!("layer {name} is not in the archive"))?;
            Ok(json!({ "mediaType": media::LAYER, "digest": id.to_string(), "size": size }))
        })
        .collect::<Result<_, String>>()?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": {
            "mediaType": media::CONFIG,
            "digest": Digest::sha256(&config).to_string(),
            "size": config.len(),
        },
        "layers": layers,
    });
    let layers = names.into_iter().map(|name| LayerFile { name, blob: None }).collect();
    Ok(Picked {
        media_type: media::MANIFEST.into(),
        manifest: manifest.to_string().into_bytes(),
        config,
        layers,
    })
}
