//! What a file cannot have as a static pod: it needs nothing of the API server, and there is to be a picture of it there
//! (a kubelet's `PreventStaticPodAPIReferences`).

use crate::pod::next;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeProjection};
use std::collections::BTreeSet;

/// Why a pod is not taken, if so.
pub fn of(pod: &Pod) -> Option<String> {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    if name.len() > 253 || !name.split('.').all(is_part) {
        return Some(format!(
            "metadata.name: {name:?} is no name of a pod: a-z, 0-9, '-' and '.', 253 at most"
        ));
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    if !is_label(namespace) {
        return Some(format!("metadata.namespace: {namespace:?} is no name: a-z, 0-9 and '-', 63 at most"));
    }
    let mut names = BTreeSet::new();
    for (_, container) in next::containers(spec) {
        let name = container.name.as_str();
        if !is_label(name) {
            return Some(format!("container {name:?}: no name of a container: a-z, 0-9 and '-', 63 at most"));
        }
        if !names.insert(name) {
            return Some(format!("container {name:?}: more than one has this name"));
        }
    }
    references(spec).map(|what| format!("static pods may not reference {what}"))
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

/// What may be between the dots of a pod's name: there the API server takes more letters than a DNS label has.
fn is_part(text: &str) -> bool {
    let plain = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.iter().all(|&sign| plain(sign) || sign == b'-')
        && [bytes.first(), bytes.last()].into_iter().flatten().all(|&sign| plain(sign))
}

/// What of the API server's a pod needs, in a kubelet's words.
fn references(spec: &PodSpec) -> Option<&'static str> {
    if spec.service_account_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Some("serviceaccounts");
    }
    if spec.image_pull_secrets.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("secrets");
    }
    if spec.resource_claims.as_ref().is_some_and(|all| !all.is_empty()) {
        return Some("resourceclaims");
    }
    let mut containers = next::containers(spec);
    let of_container = containers.find_map(|(_, container)| of_environment(container));
    of_container.or_else(|| spec.volumes.iter().flatten().find_map(of_volume))
}

fn of_environment(container: &Container) -> Option<&'static str> {
    let from = container.env_from.iter().flatten();
    let whole = from.map(|own| (own.secret_ref.is_some(), own.config_map_ref.is_some()));
    let each = container.env.iter().flatten().filter_map(|own| own.value_from.as_ref());
    let each = each.map(|own| (own.secret_key_ref.is_some(), own.config_map_key_ref.is_some()));
    whole.chain(each).find_map(|own| match own {
        (true, _) => Some("secrets"),
        (_, true) => Some("configmaps"),
        _ => None,
    })
}

fn of_volume(own: &Volume) -> Option<&'static str> {
    let projected = own.projected.iter().flat_map(|all| all.sources.iter().flatten());
    if own.config_map.is_some() {
        Some("configmaps (via configmap volumes)")
    } else if own.secret.is_some() {
        Some("secrets (via secret volumes)")
    } else if own.csi.is_some() {
        Some("csidrivers (via CSI volumes)")
    } else if own.persistent_volume_claim.is_some() {
        Some("persistentvolumeclaims")
    } else if own.ephemeral.is_some() {
        Some("persistentvolumeclaims (via ephemeral volumes)")
    } else {
        projected.into_iter().find_map(of_source)
    }
}

fn of_source(own: &VolumeProjection) -> Option<&'static str> {
    if own.config_map.is_some() {
        Some("configmaps (via projected volumes)")
    } else if own.secret.is_some() {
        Some("secrets (via projected volumes)")
    } else if own.service_account_token.is_some() {
        Some("serviceaccounts (via projected volumes)")
    } else if own.cluster_trust_bundle.is_some() {
        Some("clustertrustbundles")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn fault(name: &str, spec: Value) -> Option<String> {
        of(&serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap())
    }

    #[test]
    fn names_are_those_that_the_api_server_takes() {
        let one = |name: &str| fault(name, json!({ "containers": [{ "name": "m" }] }));
        for name in ["web", "web.v1", "0", &"a".repeat(253)] {
            assert_eq!(one(name), None, "{name}");
        }
        for name in ["", "Web_1", "-web", "web-", "a..b", &"a".repeat(254)] {
            assert!(one(name).is_some_and(|words| words.contains("metadata.name")), "{name}");
        }
        let twice = json!({ "containers": [{ "name": "m" }, { "name": "m" }] });
        assert_eq!(fault("web", twice).unwrap(), "container \"m\": more than one has this name");
        for name in ["a.b", &"a".repeat(64)] {
            assert!(fault("web", json!({ "containers": [{ "name": name }] })).is_some(), "{name}");
        }
    }

    #[test]
    fn nothing_of_the_api_servers_is_needed() {
        let of = |more: Value| {
            let mut spec = json!({ "containers": [{ "name": "m" }] });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            fault("web", spec)
        };
        let volume = |own: Value| {
            let mut all = json!({ "name": "v" });
            all.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
            of(json!({ "volumes": [all] }))
        };
        let env = |own: Value| {
            of(json!({ "containers": [{ "name": "m", "env": [{ "name": "A", "valueFrom": own }] }] }))
        };
        assert_eq!(volume(json!({ "hostPath": { "path": "/etc" } })), None);
        assert_eq!(volume(json!({ "projected": { "sources": [{ "downwardAPI": {} }] } })), None);
        assert_eq!(env(json!({ "fieldRef": { "fieldPath": "metadata.name" } })), None);
        let words = |what: &str| Some(format!("static pods may not reference {what}"));
        assert_eq!(env(json!({ "secretKeyRef": { "name": "s", "key": "k" } })), words("secrets"));
        assert_eq!(env(json!({ "configMapKeyRef": { "name": "s", "key": "k" } })), words("configmaps"));
        assert_eq!(of(json!({ "serviceAccountName": "web" })), words("serviceaccounts"));
        assert_eq!(volume(json!({ "secret": { "secretName": "s" } })), words("secrets (via secret volumes)"));
        let token = json!({ "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } });
        assert_eq!(volume(token), words("serviceaccounts (via projected volumes)"));
    }
}
