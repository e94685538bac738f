//! Manifests and indexes, and what is refused of them.

use super::{Platform, media, null_is_default};
use crate::digest::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A pointer to a blob (image-spec, descriptor.md).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default, deserialize_with = "null_is_default")]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: Option<BTreeMap<String, Option<String>>>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)?.as_deref()
    }
}

/// An image's manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// What a document turned out to be.
#[derive(Clone, Debug)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: Option<u32>,
    #[serde(default, deserialize_with = "null_is_default")]
    media_type: String,
    #[serde(default)]
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// Most layers of an image: what one overlay can stack (`OVL_MAX_STACK`).
const LAYERS_MAX: usize = 500;

/// Reads a manifest or an index, OCI's or Docker's.
pub(crate) fn read(bytes: &[u8]) -> Result<Document, String> {
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format!("not a manifest: {error}"))?;
    if raw.schema_version == Some(1)
        || raw.media_type.starts_with("application/vnd.docker.distribution.manifest.v1")
    {
        return Err("a manifest of Docker's schema 1, which is not supported".into());
    }
    if raw.schema_version != Some(2) {
        return Err("not a manifest: schemaVersion is not 2".into());
    }
    match (raw.config, raw.layers, raw.manifests) {
        // Go writes an empty list as null.
        (Some(config), layers, None) => {
            let layers = layers.unwrap_or_default();
            let is_old =
                raw.media_type == media::DOCKER_MANIFEST && OLD_CONFIGS.contains(&&*config.media_type);
            check(raw.artifact_type.as_deref(), is_old, &config, &layers)?;
            Ok(Document::Manifest(Manifest { config, layers }))
        }
        (None, None, manifests) if manifests.is_some() || is_index(&raw.media_type) => {
            Ok(Document::Index(manifests.unwrap_or_default()))
        }
        _ => Err("neither a manifest (config, layers) nor an index (manifests)".into()),
    }
}

fn is_index(media_type: &str) -> bool {
    matches!(media_type, media::INDEX | media::DOCKER_LIST)
}

/// A manifest's own media type: what it was named as, when that is a manifest's, or what its configuration tells.
pub(crate) fn media_type(named: &str, manifest: &Manifest) -> &'static str {
    match (named, manifest.config.media_type.as_str()) {
        (media::MANIFEST, _) => media::MANIFEST,
        (media::DOCKER_MANIFEST, _) | (_, media::DOCKER_CONFIG) => media::DOCKER_MANIFEST,
        _ => media::MANIFEST,
    }
}

/// Media types of configurations in Docker's manifests of 2016, which a fault of the registry has put there
/// (distribution/issues/1621); Docker takes them, too.
const OLD_CONFIGS: [&str; 4] = ["application/octet-stream", "application/json", "text/html", ""];

fn check(
    artifact: Option<&str>,
    is_old: bool,
    config: &Descriptor,
    layers: &[Descriptor],
) -> Result<(), String> {
    if !is_old && !matches!(config.media_type.as_str(), media::CONFIG | media::DOCKER_CONFIG) {
        let kind = artifact.unwrap_or(&config.media_type);
        return Err(format!("an artifact of type {kind:?}, not a container image"));
    }
    if layers.len() > LAYERS_MAX {
        return Err(format!("{} layers, more than {LAYERS_MAX}", layers.len()));
    }
    match layers.iter().find(|layer| !is_layer(&layer.media_type)) {
        Some(layer) => Err(format!("layer {} of unsupported type {:?}", layer.digest, layer.media_type)),
        None => Ok(()),
    }
}

fn is_layer(media_type: &str) -> bool {
    let oci = media_type
        .strip_prefix("application/vnd.oci.image.layer.v1.tar")
        .or_else(|| media_type.strip_prefix("application/vnd.oci.image.layer.nondistributable.v1.tar"));
    let docker = media_type
        .strip_prefix("application/vnd.docker.image.rootfs.diff.tar")
        .or_else(|| media_type.strip_prefix("application/vnd.docker.image.rootfs.foreign.diff.tar"));
    matches!(oci, Some("" | "+gzip" | "+zstd")) || matches!(docker, Some("" | ".gzip" | ".zstd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(config: &str, layer: &str) -> String {
        let digest = Digest::sha256(b"");
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{config}","digest":"{digest}","size":0}},
               "layers":[{{"mediaType":"{layer}","digest":"{digest}","size":0}}]}}"#
        )
    }

    fn refusal(text: &str) -> String {
        read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn both_families_are_read() {
        for (config, layer) in [
            (media::CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (media::DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ] {
            assert!(matches!(read(manifest(config, layer).as_bytes()), Ok(Document::Manifest(_))));
        }
        assert!(matches!(read(br#"{"schemaVersion":2,"manifests":[]}"#), Ok(Document::Index(_))));
    }

    #[test]
    fn an_empty_list_may_be_null() {
        let digest = Digest::sha256(b"");
        let config = format!(r#"{{"mediaType":"{}","digest":"{digest}","size":0}}"#, media::CONFIG);
        for layers in ["", r#","layers":null"#, r#","layers":[],"mediaType":null"#] {
            let text = format!(r#"{{"schemaVersion":2,"config":{config}{layers}}}"#);
            let Ok(Document::Manifest(manifest)) = read(text.as_bytes()) else { panic!("{text}") };
            assert!(manifest.layers.is_empty());
        }
        let text = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":null}}"#, media::INDEX);
        assert!(matches!(read(text.as_bytes()), Ok(Document::Index(entries)) if entries.is_empty()));
    }

    #[test]
    fn docker_s_manifests_of_2016_are_read() {
        let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        for config in OLD_CONFIGS {
            let text = manifest(config, layer);
            assert!(refusal(&text).contains("not a container image"), "{config}");
            let own = format!(r#"{{"mediaType":"{}","#, media::DOCKER_MANIFEST);
            let Ok(Document::Manifest(read)) = read(text.replacen('{', &own, 1).as_bytes()) else {
                panic!("{config}")
            };
            assert_eq!(media_type(media::DOCKER_MANIFEST, &read), media::DOCKER_MANIFEST);
        }
    }

    #[test]
    fn what_is_null_in_a_descriptor_is_not_there() {
        let entry = format!(
            r#"{{"mediaType":null,"digest":"{}","size":0,"annotations":{{"k":null,"l":"v"}}}}"#,
            Digest::sha256(b"")
        );
        let entry: Descriptor = serde_json::from_str(&entry).unwrap();
        assert_eq!([entry.annotation("k"), entry.annotation("l")], [None, Some("v")]);
    }

    #[test]
    fn a_media_type_is_one_of_two() {
        let hostile = [media::MANIFEST, "; charset=utf-8"].concat();
        for config in [media::CONFIG, media::DOCKER_CONFIG] {
            let Ok(Document::Manifest(manifest)) = read(manifest(config, media::LAYER).as_bytes()) else {
                panic!("a manifest");
            };
            let own = if config == media::CONFIG { media::MANIFEST } else { media::DOCKER_MANIFEST };
            for named in ["", media::INDEX, media::DOCKER_LIST, &hostile] {
                assert_eq!(media_type(named, &manifest), own, "{named}");
            }
            for named in [media::MANIFEST, media::DOCKER_MANIFEST] {
                assert_eq!(media_type(named, &manifest), named);
            }
        }
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        assert!(refusal(r#"{"schemaVersion":1,"fsLayers":[]}"#).contains("schema 1"));
        let artifact = manifest("application/vnd.cncf.helm.config.v1+json", media::LAYER);
        assert!(refusal(&artifact).contains("helm"));
        let encrypted = manifest(media::CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
        assert!(refusal(&encrypted).contains("encrypted"));
        assert!(refusal("{}").contains("schemaVersion"));
        assert!(refusal("[").contains("not a manifest"));
        assert!(refusal(&"[".repeat(100_000)).contains("not a manifest"));
    }
}
