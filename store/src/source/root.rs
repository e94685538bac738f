//! A root's files in a tar archive, as `docker export` writes them: one layer. The documents are made here.

use super::{Candidate, Files, Kind, LayerFile, docker};
use crate::digest::{Digest, Hashed};
use crate::oci::{Platform, media};
use serde_json::{Map, Value, json};
use std::io;
use sys::cause::cause;

/// What an image that is made of a root's files says of itself.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// The `config` of its configuration (image-spec, config.md).
    pub config: Map<String, Value>,
    /// When it was made (RFC 3339).
    pub created: String,
    /// What its history says of that.
    pub comment: String,
}

/// The one image of an archive that is a root's files.
pub(super) fn candidate(files: &mut Files, root: &Root, platform: &Platform) -> Result<Candidate, String> {
    let has_images = files.has("oci-layout") && files.has("index.json")
        || files.has("manifest.json") && docker::candidates(files).is_ok_and(|images| !images.is_empty());
    if has_images {
        return Err("holds images, not the files of a root".into());
    }
    let name = files.whole().ok_or("a folder of files; give an archive of them")?;
    let unread = |error: io::Error| format!("read it: {}", cause(&error));
    let size = files.length(&name).unwrap_or(0);
    if size == 0 {
        return Err("an empty file, no archive".into());
    }
    let bytes = files.open_file(&name).map_err(unread)?;
    let digest = Hashed::new(bytes, &Digest::sha256(b"")).finish().map_err(unread)?;
    let Root { config, created, comment } = root;
    let mut document = json!({
        "created": created,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [digest.to_string()] },
        "history": [{ "created": created, "comment": comment }],
    });
    if let Some(variant) = &platform.variant {
        document["variant"] = variant.as_str().into();
    }
    let layer = (media::LAYER.to_owned(), LayerFile { name, blob: (digest, size) });
    let picked = docker::made(document.to_string().into_bytes(), vec![layer]);
    Ok(Candidate { names: Vec::new(), tags: Vec::new(), kind: Kind::Root(Box::new(picked)) })
}
