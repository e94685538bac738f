//! An image as `inspect` shows it.

use super::container::{self, keys, or_null};
use crate::commands::{Node, images};
use crate::error::Result;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{Details, Image};

/// An image for `inspect`.
///
/// # Errors
/// It is not here, or damaged.
pub fn image(node: &Node<'_>, name: &str) -> Result<Value> {
    let (image, stores) = (images::find(node, name)?, node.stores());
    let mut names = stores.list()?;
    names.retain(|listed| listed.digest == image.digest);
    let digests = names.iter().map(|listed| {
        let index = stores.details(&listed.name).ok().and_then(|details| details.index);
        images::by_digest(&listed.name, &index.unwrap_or_else(|| listed.digest.clone()))
    });
    let digests: BTreeSet<String> = digests.collect();
    let tags: Vec<String> = names.iter().map(|listed| listed.name.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(|name| images::familiar(name)).collect();
    let details = match names.is_empty() {
        false => stores.details(&image.name)?,
        true => stores.details_by_digest(&image.digest)?,
    };
    let mut object = object(&image, &details);
    object["RepoTags"] = json!(tags);
    object["RepoDigests"] = json!(digests);
    Ok(object)
}

fn object(image: &Image, details: &Details) -> Value {
    let (config, platform) = (&image.config, &details.platform);
    let layers: Vec<String> = image.layers.iter().map(|layer| layer.diff_id.to_string()).collect();
    json!({
        "Id": image.digest.to_string(),
        "Created": details.created,
        "Architecture": platform.architecture,
        "Variant": platform.variant.as_deref().unwrap_or_default(),
        "Os": platform.os,
        "Size": details.size,
        "Config": {
            "Entrypoint": or_null(&config.entrypoint),
            "Cmd": or_null(&config.cmd),
            "Env": config.env,
            "WorkingDir": config.working_dir,
            "User": config.user,
            "StopSignal": config.stop_signal,
            "ExposedPorts": keys(&config.exposed_ports),
            "Volumes": keys(&config.volumes),
            "Labels": config.labels,
            "Healthcheck": container::health(config.healthcheck.as_ref()),
        },
        "RootFS": { "Type": "layers", "Layers": layers },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Config, Digest, Platform};

    #[test]
    fn an_image_is_told_in_dockers_words() {
        let config = Config { exposed_ports: vec!["80/tcp".into()], ..Config::default() };
        let name = "nginx".parse().unwrap();
        let platform = Platform::host();
        let image =
            Image { name, digest: Digest::sha256(b""), index: None, config, platform, layers: Vec::new() };
        let details = Details {
            created: Some("2024-05-06T07:08:09Z".into()),
            layers: 0,
            size: 7,
            platform: Platform {
                os: "linux".into(),
                architecture: "arm64".into(),
                variant: Some("v8".into()),
            },
            index: None,
            history: Vec::new(),
        };
        let told = object(&image, &details);
        assert_eq!(told["Config"]["ExposedPorts"], json!({ "80/tcp": {} }));
        assert_eq!((&told["Architecture"], &told["Variant"]), (&json!("arm64"), &json!("v8")));
        assert_eq!((&told["Size"], &told["Created"]), (&json!(7), &json!("2024-05-06T07:08:09Z")));
        assert_eq!(told["Config"]["Cmd"], Value::Null);
    }
}
