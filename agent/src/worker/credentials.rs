//! A pod's own credentials for registries (`imagePullSecrets`).

use super::Worker;
use crate::pod::env::Needed;
use crate::volume;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

impl Worker {
    /// The folder with the credentials of a pod's `imagePullSecrets`, if it has some: all of a host, in their order.
    pub(super) async fn credentials(&self, pod: &Pod) -> Option<std::path::PathBuf> {
        let names = names(pod);
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let mut auths: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut missing = Vec::new();
        for name in names {
            let needed = [Needed::Secret(name.to_owned())];
            let read = self.context.sources.data(&self.context.api, &namespace, &needed).await;
            let Some(secret) = read.ok().and_then(|(_, mut secrets)| secrets.remove(name)) else {
                missing.push(name);
                continue;
            };
            for (key, entry) in entries(&secret) {
                auths.entry(key).or_default().push(entry);
            }
        }
        if !missing.is_empty() {
            let words = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.context.events.say(pod, None, false, "FailedToRetrieveImagePullSecret", words);
        }
        if auths.is_empty() {
            return None;
        }
        let folder = volume::place::run(&self.uid).join("docker");
        let write = || -> std::io::Result<()> {
            use std::os::unix::fs::OpenOptionsExt;
            std::fs::create_dir_all(&folder)?;
            let mut options = std::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(folder.join("config.json"))?;
            std::io::Write::write_all(&mut file, &serde_json::to_vec(&serde_json::json!({ "auths": auths }))?)
        };
        write().ok().map(|()| folder)
    }
}

/// The Secrets that a pod names. Service accounts may give it some without a name, which are none.
fn names(pod: &Pod) -> Vec<&str> {
    let all = pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten());
    all.map(|own| own.name.as_str()).filter(|name| !name.is_empty()).collect()
}

/// What a Secret has for registries, in today's form (`kubernetes.io/dockerconfigjson`) or the older one.
fn entries(secret: &BTreeMap<String, Vec<u8>>) -> Map<String, Value> {
    let read = |key: &str| secret.get(key).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let today = read(".dockerconfigjson").and_then(|mut own| own.get_mut("auths").map(Value::take));
    match today.or_else(|| read(".dockercfg")) {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_without_a_name_is_none() {
        let secrets = json!([{ "name": "" }, { "name": "a" }, {}]);
        let spec = json!({ "containers": [], "imagePullSecrets": secrets });
        let pod: Pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        assert_eq!(names(&pod), ["a"]);
        assert!(names(&Pod::default()).is_empty());
    }

    #[test]
    fn a_secret_has_registries_in_two_forms() {
        let of = |key: &str, text: Value| {
            let secret = [(key.to_owned(), serde_json::to_vec(&text).unwrap())].into();
            entries(&secret).keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(of(".dockerconfigjson", json!({ "auths": { "a": {}, "b": {} } })), ["a", "b"]);
        assert_eq!(of(".dockercfg", json!({ "c": {} })), ["c"]);
        assert!(of(".dockerconfigjson", json!("no")).is_empty() && of("other", json!({})).is_empty());
    }
}
