//! Who has written more to the disk than it may ("Local ephemeral storage" of Kubernetes' documentation), as a function
//! of values. A pod that has goes, and nobody else is to blame: it gets no condition `DisruptionTarget`, as with a kubelet.

use crate::pod::{admission, qos, quantity};
use crate::storage::{Taken, Written};
use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};
use std::collections::BTreeMap;

const KEY: &str = "ephemeral-storage";

/// A pod has some limit of what it may write, and may be evicted for it.
pub fn is_limited(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    !admission::is_critical(pod)
        && (qos::sum_of_limits(spec, KEY).is_some() || volumes(spec).next().is_some())
}

/// What a pod has too much of, in the kubelet's words.
pub fn excess(spec: &PodSpec, written: &Written) -> Option<String> {
    let used = |of: &BTreeMap<String, Taken>, name: &str| of.get(name).map_or(0, |own| i128::from(own.bytes));
    let volume = volumes(spec).find(|(one, limit, _)| used(&written.volumes, &one.name) > *limit);
    if let Some((one, _, text)) = volume {
        return Some(format!("Usage of EmptyDir volume \"{}\" exceeds the limit \"{text}\". ", one.name));
    }
    let limit = qos::sum_of_limits(spec, KEY).map(|millis| millis / 1000);
    if let Some(limit) = limit.filter(|limit| i128::from(written.all().bytes) > *limit) {
        let limit = quantity::of_memory(u64::try_from(limit).unwrap_or(0));
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    let over = spec.containers.iter().find(|one| {
        let own = used(&written.roots, &one.name) + used(&written.logs, &one.name);
        qos::limit(one, KEY).is_some_and(|limit| own > limit / 1000)
    })?;
    let text = over.resources.as_ref().and_then(|own| own.limits.as_ref()?.get(KEY));
    let text = text.map(|text| text.0.as_str()).unwrap_or_default();
    Some(format!("Container {} exceeded its local ephemeral storage limit \"{text}\". ", over.name))
}

/// Volumes on the disk that may take so much, in bytes and as it is written; of those in memory the kernel takes care.
fn volumes(spec: &PodSpec) -> impl Iterator<Item = (&Volume, i128, &str)> {
    spec.volumes.iter().flatten().filter_map(|one| {
        let own =
            one.empty_dir.as_ref().filter(|own| own.medium.as_deref().unwrap_or_default().is_empty())?;
        let text = own.size_limit.as_ref()?.0.as_str();
        Some((one, quantity::units(text).filter(|limit| *limit > 0)?, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::eviction::CRITICAL;
    use serde_json::json;

    const MI: u64 = 1 << 20;

    fn spec(more: serde_json::Value) -> PodSpec {
        let limited =
            |name: &str, limit: &str| json!({ "name": name, "resources": { "limits": { KEY: limit } } });
        let mut spec = json!({
            "containers": [limited("a", "2Mi"), limited("b", "3Mi"), { "name": "c" }],
            "volumes": [
                { "name": "small", "emptyDir": { "sizeLimit": "1Mi" } },
                { "name": "any", "emptyDir": {} },
                { "name": "memory", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } },
            ],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn written(volumes: &[(&str, u64)], roots: &[(&str, u64)], logs: &[(&str, u64)]) -> Written {
        let of = |list: &[(&str, u64)]| {
            let taken = |bytes| Taken { bytes, inodes: 1 };
            list.iter().map(|(name, bytes)| ((*name).to_owned(), taken(*bytes))).collect()
        };
        Written { volumes: of(volumes), roots: of(roots), logs: of(logs), ..Written::default() }
    }

    #[test]
    fn what_is_too_much_is_named() {
        let table = [
            (written(&[("small", MI), ("any", 2 * MI)], &[("a", MI)], &[("a", MI)]), None),
            (
                written(&[("small", MI + 1)], &[("a", 9 * MI)], &[]),
                Some("Usage of EmptyDir volume \"small\" exceeds the limit \"1Mi\". "),
            ),
            (
                written(&[("any", 4 * MI)], &[("c", MI + 1)], &[]),
                Some("Pod ephemeral local storage usage exceeds the total limit of containers 5Mi. "),
            ),
            (
                written(&[], &[("a", MI), ("b", MI)], &[("a", MI + 1)]),
                Some("Container a exceeded its local ephemeral storage limit \"2Mi\". "),
            ),
        ];
        for (written, words) in table {
            assert_eq!(excess(&spec(json!({})), &written).as_deref(), words, "{written:?}");
        }
        let free = spec(json!({ "containers": [{ "name": "a" }], "volumes": [] }));
        assert_eq!(excess(&free, &written(&[("any", 99 * MI)], &[("a", 99 * MI)], &[])), None);
    }

    #[test]
    fn only_who_has_a_limit_is_looked_at_and_none_of_the_clusters_own() {
        let is = |more| is_limited(&Pod { spec: Some(spec(more)), ..Pod::default() });
        assert!(
            is(json!({})) && is(json!({ "volumes": [] })) && is(json!({ "containers": [{ "name": "a" }] }))
        );
        assert!(!is(json!({ "volumes": [], "containers": [{ "name": "a" }] })));
        assert!(!is(json!({ "priority": CRITICAL })));
    }
}
