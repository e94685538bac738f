//! The downward API: fields of a pod, and its containers' resources, as texts.

use super::env::{Allocatable, Sources};
use super::{huge, qos, quantity};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A field of a pod, by its path.
///
/// # Errors
/// There is no such field.
pub fn field(pod: &Pod, path: &str, from: &Sources<'_>) -> Result<String, String> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let first = |list: &[IpAddr]| list.first().map(ToString::to_string).unwrap_or_default();
    let all = |list: &[IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => first(from.node),
        "status.hostIPs" => all(from.node),
        "status.podIP" => first(from.pod),
        "status.podIPs" => all(from.pod),
        _ => {
            let key = |list: &str| path.strip_prefix(list)?.strip_prefix("['")?.strip_suffix("']");
            let of = |map: Option<&BTreeMap<String, String>>, key: &str| {
                map.and_then(|map| map.get(key)).cloned().unwrap_or_default()
            };
            if let Some(key) = key("metadata.labels") {
                of(metadata.labels.as_ref(), key)
            } else if let Some(key) = key("metadata.annotations") {
                of(metadata.annotations.as_ref(), key)
            } else {
                return Err(format!("unsupported fieldPath: {path}"));
            }
        }
    })
}

/// `key="value"` a line, in the order of the keys.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A text as Go and C write it, which is how everybody reads these files. What joins the sign before it, as accents and
/// the parts of an emoji do, stands as it is.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for sign in text.chars() {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(sign))),
            sign if is_printed(sign) => quoted.push(sign),
            '\0'..='\u{ffff}' => quoted.push_str(&format!("\\u{:04x}", u32::from(sign))),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(sign))),
        }
    }
    quoted.push('"');
    quoted
}

/// A sign is seen, or belongs to one that is: Rust escapes an accent only where no letter is before it. It takes some
/// signs for accents that are but instructions (joiners, tags).
fn is_printed(sign: char) -> bool {
    let text: String = ['a', sign].iter().collect();
    let instructs = matches!(sign, '\u{200c}' | '\u{200d}' | '\u{e0020}'..='\u{e007f}');
    !instructs && text.escape_debug().count() == 2
}

/// A container's limit or request in multiples of a divisor, rounded up; a limit that is not set is
/// all that pods of the node may have.
///
/// # Errors
/// There is no such resource, or the divisor is no quantity.
pub fn resource(
    pod: &Pod,
    container: &Container,
    name: &str,
    divisor: &str,
    allocatable: Allocatable,
) -> Result<String, String> {
    let divisor =
        quantity::millis(divisor).ok_or_else(|| format!("divisor {divisor:?} is not a quantity"))?;
    let divisor = if divisor == 0 { 1000 } else { divisor };
    let (list, key) = name.split_once('.').unwrap_or(("", name));
    let most = match key {
        "cpu" => i128::from(allocatable.millicpu),
        "memory" => i128::from(allocatable.memory) * 1000,
        "ephemeral-storage" => i128::from(allocatable.disk) * 1000,
        _ if key.starts_with("hugepages-") => {
            let sizes = huge::SIZES.iter().zip(allocatable.huge_pages);
            sizes.filter(|(size, _)| size.resource == key).map(|(_, bytes)| i128::from(bytes) * 1000).sum()
        }
        _ => return Err(format!("unsupported container resource: {name}")),
    };
    let amount = match list {
        "limits" => {
            let spec = pod.spec.as_ref();
            spec.map_or_else(|| qos::limit(container, key), |spec| qos::bound(spec, container, key))
                .unwrap_or(most)
        }
        "requests" => qos::request(container, key).unwrap_or(0),
        _ => return Err(format!("unsupported container resource: {name}")),
    };
    Ok((amount.div_euclid(divisor) + i128::from(amount.rem_euclid(divisor) != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_are_counted_in_the_divisor_and_rounded_up() {
        let container: Container = serde_json::from_value(json!({
            "name": "m", "resources": { "limits": { "cpu": "250m" }, "requests": { "memory": "33Mi" } },
        }))
        .unwrap();
        let node = Allocatable { millicpu: 1500, memory: 64 << 20, disk: 7, ..Allocatable::default() };
        let of =
            |name: &str, divisor: &str| resource(&Pod::default(), &container, name, divisor, node).unwrap();
        assert_eq!(
            (of("limits.cpu", "1"), of("limits.cpu", "1m"), of("limits.cpu", "0")),
            ("1".into(), "250".into(), "1".into())
        );
        assert_eq!((of("requests.memory", "32Mi"), of("limits.memory", "1Mi")), ("2".into(), "64".into()));
        assert_eq!(
            (of("requests.cpu", "1m"), of("limits.ephemeral-storage", "1")),
            ("250".into(), "7".into())
        );
        assert!(
            resource(&Pod::default(), &container, "limits.gpu", "1", node).is_err()
                && resource(&Pod::default(), &container, "cpu", "1", node).is_err()
        );
    }

    #[test]
    fn labels_are_lines() {
        let map = BTreeMap::from([("b".to_owned(), "2\n".to_owned()), ("a".to_owned(), "\"".to_owned())]);
        assert_eq!(lines(Some(&map)), "a=\"\\\"\"\nb=\"2\\n\"");
        for (text, expected) in [
            ("❤\u{fe0f} {}", "❤\u{fe0f} {}"),
            ("e\u{301}\u{fe0f}", "e\u{301}\u{fe0f}"),
            ("\u{301}", "\u{301}"),
            ("\x1b[1m\0\x07\x7f", r"\x1b[1m\x00\a\x7f"),
            ("\u{200b}\u{200d}\u{a0}\u{e0001}", r"\u200b\u200d\u00a0\U000e0001"),
        ] {
            let map = BTreeMap::from([("a".to_owned(), text.to_owned())]);
            assert_eq!(lines(Some(&map)), format!("a=\"{expected}\""));
        }
    }
}
