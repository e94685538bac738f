//! What lies in a volume of configMap, secret, downwardAPI or projected: files by path, as a function of
//! what the API server and the pod say.

use crate::pod::env::{Needed, Sources};
use crate::pod::{fields, next};
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, Pod, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use std::collections::BTreeMap;

/// Files by their path in the volume: bytes and mode.
pub type Payload = BTreeMap<String, (Vec<u8>, u32)>;

/// Tokens of the pod's service account by what was asked for.
pub type Tokens = BTreeMap<TokenKey, String>;

/// Which token: for whom, and for how many seconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    /// The audience; the API server without one.
    pub audience: Option<String>,
    /// Seconds.
    pub seconds: i64,
}

impl TokenKey {
    fn of(token: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: token.audience.clone().filter(|own| !own.is_empty()),
            seconds: token.expiration_seconds.unwrap_or(3600),
        }
    }
}

const MODE: i32 = 0o644;

/// A volume of this kind has its content from here.
pub fn is_payload(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

fn projections(volume: &Volume) -> impl Iterator<Item = &VolumeProjection> {
    volume.projected.iter().flat_map(|own| own.sources.iter().flatten())
}

/// ConfigMaps and Secrets that a volume is made of.
pub fn needed(volume: &Volume) -> Vec<Needed> {
    let mut needed: Vec<Needed> = Vec::new();
    needed.extend(volume.config_map.iter().map(|own| Needed::ConfigMap(own.name.clone())));
    needed.extend(volume.secret.iter().filter_map(|own| own.secret_name.clone()).map(Needed::Secret));
    for source in projections(volume) {
        needed.extend(source.config_map.iter().map(|own| Needed::ConfigMap(own.name.clone())));
        needed.extend(source.secret.iter().map(|own| Needed::Secret(own.name.clone())));
    }
    needed
}

/// What the pod says of itself lies in it.
pub fn has_fields(volume: &Volume) -> bool {
    volume.downward_api.is_some() || projections(volume).any(|source| source.downward_api.is_some())
}

/// Tokens that a volume is made of.
pub fn tokens(volume: &Volume) -> Vec<TokenKey> {
    projections(volume).filter_map(|source| source.service_account_token.as_ref()).map(TokenKey::of).collect()
}

/// What lies in a volume.
///
/// # Errors
/// What is not there and not optional, in words.
pub fn payload(pod: &Pod, volume: &Volume, from: &Sources<'_>, tokens: &Tokens) -> Result<Payload, String> {
    let mut files = Payload::new();
    if let Some(own) = &volume.config_map {
        let source = Source::map(&own.name, own.items.as_deref(), own.optional, from);
        take(&mut files, &source, own.default_mode)?;
    }
    if let Some(own) = &volume.secret {
        let name = own.secret_name.as_deref().unwrap_or_default();
        let source = Source::secret(name, own.items.as_deref(), own.optional, from);
        take(&mut files, &source, own.default_mode)?;
    }
    if let Some(own) = &volume.downward_api {
        downward(&mut files, pod, own.items.as_deref(), own.default_mode, from)?;
    }
    let mode = volume.projected.as_ref().and_then(|own| own.default_mode);
    for source in projections(volume) {
        if let Some(own) = &source.config_map {
            take(&mut files, &Source::map(&own.name, own.items.as_deref(), own.optional, from), mode)?;
        } else if let Some(own) = &source.secret {
            take(&mut files, &Source::secret(&own.name, own.items.as_deref(), own.optional, from), mode)?;
        } else if let Some(own) = &source.downward_api {
            downward(&mut files, pod, own.items.as_deref(), mode, from)?;
        } else if let Some(own) = &source.service_account_token {
            let token = tokens.get(&TokenKey::of(own)).ok_or("no token of the service account")?;
            put(&mut files, &own.path, token.clone().into_bytes(), token_mode(pod).or(mode))?;
        } else {
            return Err("a projected source of a kind that this node does not know".to_owned());
        }
    }
    Ok(files)
}

/// A token is for its owner alone where that is the containers' group or user; else it is as other files of the volume.
fn token_mode(pod: &Pod) -> Option<i32> {
    let spec = pod.spec.as_ref();
    let context = spec.and_then(|spec| spec.security_context.as_ref());
    if context.is_some_and(|context| context.fs_group.is_some()) {
        return Some(0o600);
    }
    let shared = context.and_then(|context| context.run_as_user);
    let users = spec
        .into_iter()
        .flat_map(next::containers)
        .map(|(_, container)| container.security_context.as_ref().and_then(|own| own.run_as_user).or(shared));
    let mut users: Vec<_> = users.collect();
    users.dedup();
    // One user for all: the files are that user's (see `owner`).
    matches!(users[..], [Some(_)]).then_some(0o600)
}

/// The user whom a pod's tokens belong to: the one that all its containers run as.
pub fn owner(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let shared = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users: Vec<_> = next::containers(spec)
        .map(|(_, container)| container.security_context.as_ref().and_then(|own| own.run_as_user).or(shared))
        .collect();
    users.dedup();
    match users[..] {
        [Some(user)] => u32::try_from(user).ok(),
        _ => None,
    }
}

struct Source<'a> {
    kind: &'a str,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: Option<bool>,
    all: &'a BTreeMap<String, BTreeMap<String, Vec<u8>>>,
}

impl<'a> Source<'a> {
    fn map(
        name: &'a str,
        items: Option<&'a [KeyToPath]>,
        optional: Option<bool>,
        from: &Sources<'a>,
    ) -> Self {
        Self { kind: "configmap", name, items, optional, all: from.config_maps }
    }

    fn secret(
        name: &'a str,
        items: Option<&'a [KeyToPath]>,
        optional: Option<bool>,
        from: &Sources<'a>,
    ) -> Self {
        Self { kind: "secret", name, items, optional, all: from.secrets }
    }
}

fn take(files: &mut Payload, source: &Source<'_>, mode: Option<i32>) -> Result<(), String> {
    let Source { kind, name, items, optional, all } = source;
    let optional = *optional == Some(true);
    let Some(data) = all.get(*name) else {
        return if optional { Ok(()) } else { Err(format!("{kind} \"{name}\" not found")) };
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return data.iter().try_for_each(|(key, value)| put(files, key, value.clone(), mode));
    };
    for item in items {
        match data.get(&item.key) {
            Some(value) => put(files, &item.path, value.clone(), item.mode.or(mode))?,
            None if optional => {}
            None => return Err(format!("{kind} \"{name}\" references non-existent key: {}", item.key)),
        }
    }
    Ok(())
}

fn downward(
    files: &mut Payload,
    pod: &Pod,
    items: Option<&[DownwardAPIVolumeFile]>,
    mode: Option<i32>,
    from: &Sources<'_>,
) -> Result<(), String> {
    for item in items.into_iter().flatten() {
        let text = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => fields::field(pod, &field.field_path, from)?,
            (None, Some(own)) => {
                let name = own.container_name.as_deref().unwrap_or_default();
                let found = pod.spec.as_ref().and_then(|spec| next::find(spec, name));
                let (_, container) =
                    found.ok_or_else(|| format!("downwardAPI: there is no container \"{name}\""))?;
                let divisor = own.divisor.as_ref().map_or("1", |divisor| divisor.0.as_str());
                fields::resource(pod, container, &own.resource, divisor, from.allocatable)?
            }
            (None, None) => {
                return Err(format!("downwardAPI: {}: neither a field nor a resource", item.path));
            }
        };
        put(files, &item.path, text.into_bytes(), item.mode.or(mode))?;
    }
    Ok(())
}

fn put(files: &mut Payload, path: &str, bytes: Vec<u8>, mode: Option<i32>) -> Result<(), String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !path.split('/').all(plain) || path.starts_with("..") {
        return Err(format!("{path:?} is not a path within a volume"));
    }
    // The API allows 0 to 0777.
    files.insert(path.to_owned(), (bytes, (mode.unwrap_or(MODE) & 0o777).unsigned_abs()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::env::Allocatable;
    use serde_json::json;

    fn made(volume: serde_json::Value) -> Result<Payload, String> {
        let pod = serde_json::from_value(json!({ "metadata": { "name": "p", "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "m" }] } })).unwrap();
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let data = BTreeMap::from([("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]);
        let all = BTreeMap::from([("there".to_owned(), data)]);
        let sources = Sources {
            config_maps: &all,
            secrets: &all,
            files: &BTreeMap::new(),
            services: &BTreeMap::new(),
            pod: &[],
            node: &[],
            allocatable: Allocatable::default(),
        };
        let tokens = Tokens::from([(TokenKey { audience: None, seconds: 600 }, "t".to_owned())]);
        payload(&pod, &volume, &sources, &tokens)
    }

    fn paths(payload: &Payload) -> Vec<(&str, u32)> {
        payload.iter().map(|(path, (_, mode))| (path.as_str(), *mode)).collect()
    }

    #[test]
    fn keys_become_files() {
        let all =
            made(json!({ "name": "v", "configMap": { "name": "there", "defaultMode": 0o400 } })).unwrap();
        assert_eq!(paths(&all), [("a", 0o400), ("b", 0o400)]);
        let some = made(json!({ "name": "v", "secret": { "secretName": "there", "items": [{ "key": "b", "path": "x/y", "mode": 0o600 }] } })).unwrap();
        assert_eq!((paths(&some), &some["x/y"].0[..]), (vec![("x/y", 0o600)], &b"2"[..]));
    }

    #[test]
    fn a_projected_volume_is_all_of_them() {
        let volume = json!({ "name": "v", "projected": { "sources": [
            { "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } },
            { "configMap": { "name": "there", "items": [{ "key": "a", "path": "ca.crt" }] } },
            { "configMap": { "name": "none", "optional": true } },
            { "downwardAPI": { "items": [{ "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } },
        ] } });
        let own = made(volume.clone()).unwrap();
        assert_eq!(paths(&own), [("ca.crt", 0o644), ("labels", 0o644), ("token", 0o644)]);
        let mut private = volume.clone();
        private["projected"]["defaultMode"] = json!(0o400);
        assert_eq!(made(private).unwrap()["token"].1, 0o400, "a token is as the others");
        assert_eq!((&own["token"].0[..], &own["labels"].0[..]), (&b"t"[..], &b"a=\"b\""[..]));
        let volume: Volume = serde_json::from_value(volume).unwrap();
        assert_eq!((needed(&volume).len(), tokens(&volume).len(), is_payload(&volume)), (2, 1, true));
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_climbs_out() {
        assert_eq!(
            made(json!({ "name": "v", "configMap": { "name": "none" } })).unwrap_err(),
            "configmap \"none\" not found"
        );
        assert_eq!(
            made(json!({ "name": "v", "configMap": { "name": "none", "optional": true } })),
            Ok(Payload::new())
        );
        let item = |key: &str, path: &str| {
            made(
                json!({ "name": "v", "secret": { "secretName": "there", "items": [{ "key": key, "path": path }] } }),
            )
        };
        assert_eq!(item("c", "x").unwrap_err(), "secret \"there\" references non-existent key: c");
        for path in ["../x", "/x", "a/../../x", "", "..data/x"] {
            assert!(item("a", path).unwrap_err().contains("not a path"), "{path}");
        }
    }
}
