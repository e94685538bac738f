//! A container's environment, and what `$(NAME)` in its command stands for.
//!
//! `envFrom` comes first, then `env`, in order; a later one of the same name wins. Services of the namespace
//! stand below both. What refers to something that is not there, and is not optional, is an error.

use super::{env_file, fields, huge, next};
use k8s_openapi::api::core::v1::{Container, EnvVar, Pod};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What files of volumes say, by the volume and the path in it, if they are there.
pub type Files = BTreeMap<(String, String), Option<String>>;

/// What values may refer to.
#[derive(Debug)]
pub struct Sources<'a> {
    /// ConfigMaps of the pod's namespace that were asked for and are there.
    pub config_maps: &'a BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Secrets, alike.
    pub secrets: &'a BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Files of the pod's volumes.
    pub files: &'a Files,
    /// Variables of Services.
    pub services: &'a BTreeMap<String, String>,
    /// The pod's addresses.
    pub pod: &'a [IpAddr],
    /// The node's addresses.
    pub node: &'a [IpAddr],
    /// What pods of this node may have, for limits that are not set: thousandths of processors, bytes.
    pub allocatable: Allocatable,
}

/// What a node's pods may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of processors.
    pub millicpu: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk.
    pub disk: u64,
    /// Bytes of huge pages.
    pub huge_pages: huge::Bytes,
}

/// Something that a container needs before it can be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// A ConfigMap by name.
    ConfigMap(String),
    /// A Secret by name.
    Secret(String),
}

/// What a container's environment refers to.
pub fn needed(container: &Container) -> Vec<Needed> {
    let mut needed = Vec::new();
    for from in container.env_from.iter().flatten() {
        needed.extend(from.config_map_ref.iter().map(|map| Needed::ConfigMap(map.name.clone())));
        needed.extend(from.secret_ref.iter().map(|secret| Needed::Secret(secret.name.clone())));
    }
    for from in container.env.iter().flatten().filter_map(|one| one.value_from.as_ref()) {
        needed.extend(from.config_map_key_ref.iter().map(|key| Needed::ConfigMap(key.name.clone())));
        needed.extend(from.secret_key_ref.iter().map(|key| Needed::Secret(key.name.clone())));
    }
    needed.sort();
    needed.dedup();
    needed
}

/// Files of volumes that a container's environment refers to: the volume and the path in it.
pub fn files(container: &Container) -> BTreeSet<(String, String)> {
    let from =
        container.env.iter().flatten().filter_map(|one| one.value_from.as_ref()?.file_key_ref.as_ref());
    from.map(|own| (own.volume_name.clone(), own.path.clone())).collect()
}

/// A container's environment.
///
/// # Errors
/// What is not there, in words (`CreateContainerConfigError`).
pub fn environment(
    pod: &Pod,
    container: &Container,
    from: &Sources<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = from.services.clone();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let named =
            source.config_map_ref.iter().map(|own| ("configmap", &own.name, own.optional, from.config_maps));
        let secrets = source.secret_ref.iter().map(|own| ("secret", &own.name, own.optional, from.secrets));
        for (kind, name, optional, all) in named.chain(secrets) {
            match all.get(name) {
                Some(data) => {
                    env.extend(data.iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))))
                }
                None if optional == Some(true) => {}
                None => return Err(format!("{kind} \"{name}\" not found")),
            }
        }
    }
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, &env, from)? {
            env.insert(variable.name.clone(), value);
        }
    }
    Ok(env)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    env: &BTreeMap<String, String>,
    from: &Sources<'_>,
) -> Result<Option<String>, String> {
    let Some(source) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), env)));
    };
    if let Some(field) = &source.field_ref {
        return fields::field(pod, &field.field_path, from).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        let spec = pod.spec.as_ref();
        let other = resource.container_name.as_deref().and_then(|name| next::find(spec?, name));
        let container = other.map_or(container, |(_, container)| container);
        let divisor = resource.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
        return fields::resource(pod, container, &resource.resource, divisor, from.allocatable).map(Some);
    }
    if let Some(own) = &source.file_key_ref {
        let (volume, path, key) = (&own.volume_name, &own.path, &own.key);
        let text = from.files.get(&(volume.clone(), path.clone())).and_then(Option::as_deref);
        let found = text.map_or(Ok(None), |text| env_file::value(text, key));
        return match found.map_err(|reason| format!("{path} of volume \"{volume}\": {reason}"))? {
            None if own.optional != Some(true) => Err(format!(
                "environment variable key \"{key}\" not found in file \"{path}\" of volume \"{volume}\""
            )),
            found => Ok(found),
        };
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (kind, name, key, optional, all) = match (&source.config_map_key_ref, &source.secret_key_ref) {
        (Some(own), _) => ("configmap", &own.name, &own.key, own.optional, from.config_maps),
        (_, Some(own)) => ("secret", &own.name, &own.key, own.optional, from.secrets),
        _ => return Err(format!("env {}: valueFrom of a kind that this node does not know", variable.name)),
    };
    match all.get(name).map(|data| data.get(key)) {
        Some(Some(value)) => Ok(Some(text(value))),
        _ if optional == Some(true) => Ok(None),
        None => Err(format!("{kind} \"{name}\" not found")),
        Some(None) => {
            let kind = if kind == "secret" { "Secret" } else { "ConfigMap" };
            Err(format!("couldn't find key {key} in {kind} {namespace}/{name}"))
        }
    }
}

/// Puts values in the place of `$(NAME)`; `$$` is a dollar sign, and a name that is not known stays as it is.
pub fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    expand_by(text, |name| env.get(name).cloned().unwrap_or_else(|| format!("$({name})")))
}

/// The same for a path, of which no part may be missing.
///
/// # Errors
/// A name that is not known, or has no value.
pub fn expand_path(text: &str, env: &BTreeMap<String, String>) -> Result<String, String> {
    let mut missing = None;
    let path = expand_by(text, |name| match env.get(name).filter(|value| !value.is_empty()) {
        Some(value) => value.clone(),
        None => {
            missing.get_or_insert_with(|| name.to_owned());
            String::new()
        }
    });
    missing.map_or(Ok(path), |name| Err(format!("missing value for {name:?}")))
}

fn expand_by(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('$') {
        out.push_str(&rest[..place]);
        let after = &rest[place + 1..];
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
            out.push_str(&value(name));
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made(container: serde_json::Value) -> Result<BTreeMap<String, String>, String> {
        let pod = serde_json::from_value(json!({
            "metadata": { "name": "p", "namespace": "n", "labels": { "a/b": "c" } },
            "spec": { "containers": [{ "name": "m", "resources": { "limits": { "cpu": "1500m" } } }], "nodeName": "node" },
        }))
        .unwrap();
        let data = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.as_bytes().to_vec())]);
        let sources = Sources {
            config_maps: &BTreeMap::from([("map".to_owned(), data("k", "v"))]),
            secrets: &BTreeMap::from([("key".to_owned(), data("s", "x"))]),
            files: &Files::from([
                (("v".to_owned(), "env".to_owned()), Some("K='file'".to_owned())),
                (("v".to_owned(), "none".to_owned()), None),
            ]),
            services: &BTreeMap::from([("KUBERNETES_SERVICE_HOST".to_owned(), "10.96.0.1".to_owned())]),
            pod: &["10.1.0.2".parse().unwrap()],
            node: &["192.0.2.1".parse().unwrap()],
            allocatable: Allocatable { millicpu: 2000, memory: 64 << 20, ..Allocatable::default() },
        };
        environment(&pod, &serde_json::from_value(container).unwrap(), &sources)
    }

    #[test]
    fn values_come_from_everywhere() {
        let env = made(json!({
            "name": "m",
            "envFrom": [{ "prefix": "P_", "configMapRef": { "name": "map" } }, { "secretRef": { "name": "none", "optional": true } }],
            "env": [
                { "name": "A", "value": "a" },
                { "name": "B", "value": "$(A)/$(P_k)/$(NO)/$$(A)/$KUBERNETES" },
                { "name": "C", "valueFrom": { "fieldRef": { "fieldPath": "metadata.labels['a/b']" } } },
                { "name": "D", "valueFrom": { "secretKeyRef": { "name": "key", "key": "s" } } },
                { "name": "E", "valueFrom": { "secretKeyRef": { "name": "key", "key": "no", "optional": true } } },
                { "name": "F", "valueFrom": { "resourceFieldRef": { "containerName": "m", "resource": "limits.cpu" } } },
                { "name": "G", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            ],
        }))
        .unwrap();
        let of = |key: &str| env.get(key).map(String::as_str);
        assert_eq!(of("B"), Some("a/v/$(NO)/$(A)/$KUBERNETES"));
        assert_eq!((of("C"), of("D"), of("E"), of("F")), (Some("c"), Some("x"), None, Some("2")));
        assert_eq!((of("G"), of("KUBERNETES_SERVICE_HOST")), (Some("10.1.0.2"), Some("10.96.0.1")));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let key = |name: &str, key: &str| {
            made(
                json!({ "name": "m", "env": [{ "name": "A", "valueFrom": { "configMapKeyRef": { "name": name, "key": key } } }] }),
            )
        };
        assert_eq!(key("no", "k").unwrap_err(), "configmap \"no\" not found");
        assert_eq!(key("map", "no").unwrap_err(), "couldn't find key no in ConfigMap n/map");
        let from = made(json!({ "name": "m", "envFrom": [{ "secretRef": { "name": "no" } }] }));
        assert_eq!(from.unwrap_err(), "secret \"no\" not found");
    }

    #[test]
    fn values_come_from_files_of_volumes() {
        let of = |path: &str, key: &str, optional| {
            let own = json!({ "volumeName": "v", "path": path, "key": key, "optional": optional });
            made(json!({ "name": "m", "env": [{ "name": "A", "valueFrom": { "fileKeyRef": own } }] }))
                .map(|env| env.get("A").cloned())
        };
        assert_eq!(of("env", "K", false), Ok(Some("file".to_owned())));
        assert_eq!((of("env", "L", true), of("none", "K", true)), (Ok(None), Ok(None)));
        assert!(of("env", "L", false).unwrap_err().contains("key \"L\" not found in file \"env\""));
        assert!(of("none", "K", false).unwrap_err().contains("not found in file \"none\""));
    }

    #[test]
    fn no_part_of_a_path_may_be_missing() {
        let env = [("A", "1"), ("NONE", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        assert_eq!(expand_path("x/$(A)/$$(A)", &env).as_deref(), Ok("x/1/$(A)"));
        assert_eq!(expand_path("$(NONE)", &env).unwrap_err(), "missing value for \"NONE\"");
        assert_eq!(expand_path("a/$(B)/$(NONE)", &env).unwrap_err(), "missing value for \"B\"");
    }

    #[test]
    fn dollars_stay_where_they_mean_nothing() {
        let env = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, means) in
            [("$", "$"), ("$(", "$("), ("$(A", "$(A"), ("$$$(A)", "$1"), ("a$(A)b", "a1b"), ("$()", "$()")]
        {
            assert_eq!(expand(text, &env), means, "{text}");
        }
    }
}
