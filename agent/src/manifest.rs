//! An object in a text that a person has written, YAML or JSON.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// The object of a text.
///
/// # Errors
/// In one line: where the text is no YAML, or which field is not what it should be (`spec.containers[0].ports: …`).
pub fn read<K: DeserializeOwned>(text: &str) -> Result<K, String> {
    // JSON is YAML, too. YAML is read into values alone: a reader for each kind of object would be large.
    // Its octal numbers are those of YAML 1.1, as `kubectl` and kubelets read them: 0644 is 420.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
    let json = value.to_string();
    serde_json::from_str(&json).map_err(|error| {
        let words = error.to_string();
        let words = words.split(" at line ").next().unwrap_or_default();
        match field(&json, error.column()) {
            field if field.is_empty() => words.to_owned(),
            field => format!("{field}: {words}"),
        }
    })
}

/// The field that ends at a column, from 1, of a line of JSON.
fn field(json: &str, column: usize) -> String {
    /// Where we are in an array or an object.
    enum Place {
        At(usize),
        Of(Option<String>),
    }
    let before = json.get(..column.saturating_sub(1)).unwrap_or(json);
    let mut places: Vec<Place> = Vec::new();
    let mut rest = before.char_indices();
    while let Some((start, sign)) = rest.next() {
        match (sign, places.last_mut()) {
            ('{', _) => places.push(Place::Of(None)),
            ('[', _) => places.push(Place::At(0)),
            ('}' | ']', _) => drop(places.pop()),
            (',', Some(Place::At(index))) => *index += 1,
            (',', Some(Place::Of(key))) => *key = None,
            ('"', place) => {
                let mut escaped = false;
                let end = rest.by_ref().find(|(_, sign)| {
                    let ends = *sign == '"' && !escaped;
                    escaped = *sign == '\\' && !escaped;
                    ends
                });
                if let (Some(Place::Of(key @ None)), Some((end, _))) = (place, end) {
                    *key = Some(before[start + 1..end].to_owned());
                }
            }
            _ => {}
        }
    }
    let mut field = String::new();
    for place in places {
        match place {
            Place::At(index) => field.push_str(&format!("[{index}]")),
            Place::Of(Some(key)) => {
                let dot = if field.is_empty() { "" } else { "." };
                field.push_str(&format!("{dot}{key}"));
            }
            Place::Of(None) => {}
        }
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;

    #[test]
    fn numbers_are_those_of_kubectl() {
        let text = "spec: { volumes: [{ name: v, secret: { defaultMode: 0644 } }], containers: [{ name: m, resources: { limits: { cpu: 1 } } }] }";
        let spec = read::<Pod>(text).unwrap().spec.unwrap();
        assert_eq!(spec.volumes.unwrap()[0].secret.as_ref().unwrap().default_mode, Some(0o644));
        let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
        assert_eq!(limits["cpu"].0, "1");
    }

    #[test]
    fn a_field_that_is_not_what_it_should_be_is_named() {
        for (text, words) in [
            ("a: [", "line"),
            ("5", "invalid type: integer `5`, expected Pod"),
            (
                "metadata: { labels: { a: 5 } }",
                "metadata.labels.a: invalid type: integer `5`, expected a string",
            ),
            (
                "spec:\n  containers:\n  - name: a\n  - name: b\n    ports: [{ containerPort: 1 }, { containerPort: x }]",
                "spec.containers[1].ports[1].containerPort: invalid type: string \"x\", expected i32",
            ),
            (
                r#"{ "metadata": { "annotations": { "a\"}": "{[" }, "name": [] } }"#,
                "metadata.name: invalid type: sequence, expected a string",
            ),
            (
                "spec: { hostPID: \"true\" }",
                "spec.hostPID: invalid type: string \"true\", expected a boolean",
            ),
        ] {
            let error = read::<Pod>(text).unwrap_err();
            assert!(error.contains(words) && !error.contains('\n'), "{text:?}: {error}");
        }
    }
}
