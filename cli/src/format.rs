//! `--format`: `table`, `json`, or Docker's templates, as far as they name fields:
//! `{{.Names}}: {{json .Ports}}`, `table {{.ID}}\t{{.Image}}`.

use crate::table;
use serde_json::Value;
use std::str::FromStr;

/// How objects are shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// With the command's own columns.
    Table,
    /// An object a line.
    Json,
    /// A line per object.
    Template {
        /// Laid out in columns (at each tab), with a heading.
        table: bool,
        /// What a line is made of.
        parts: Vec<Part>,
    },
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// As it is.
    Text(String),
    /// A field, by its names from the outside in.
    Field {
        /// `.State.Status`
        path: Vec<String>,
        /// In JSON.
        json: bool,
    },
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => return Ok(Self::Table),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        let (table, text) = match text.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        Ok(Self::Template { table, parts: parts(text)? })
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) =
            after.split_once("}}").ok_or_else(|| format!("{text:?}: \"{{{{\" without \"}}}}\""))?;
        parts.push(Part::Text(unescape(before)));
        parts.push(field(inside)?);
        rest = after;
    }
    parts.push(Part::Text(unescape(rest)));
    parts.retain(|part| *part != Part::Text(String::new()));
    Ok(parts)
}

fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn field(text: &str) -> Result<Part, String> {
    let wrong = || {
        format!(
            "{{{{{text}}}}}: a template names fields, {{{{.Name}}}} or {{{{json .Name}}}}; `--format json` shows all"
        )
    };
    let (json, name) = match text.trim().strip_prefix("json ") {
        Some(name) => (true, name.trim()),
        None => (false, text.trim()),
    };
    let names = name.strip_prefix('.').ok_or_else(wrong)?;
    let path: Vec<String> = names.split('.').filter(|_| !names.is_empty()).map(str::to_owned).collect();
    let plain = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if path.iter().all(plain) { Ok(Part::Field { path, json }) } else { Err(wrong()) }
}

/// A command's own table: heading and the names of its columns' fields.
pub type Columns = [(&'static str, &'static str)];

/// Shows objects.
///
/// # Errors
/// A template names a field that there is none of, and there are these.
pub fn show(format: &Format, columns: &Columns, objects: &[Value]) -> Result<String, String> {
    match format {
        Format::Json => Ok(objects.iter().map(|object| format!("{object}\n")).collect()),
        Format::Table => {
            let heading: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
            let row = |object: &Value| columns.iter().map(|(_, field)| plain(&object[*field])).collect();
            Ok(table::table(&heading, &objects.iter().map(row).collect::<Vec<_>>()))
        }
        Format::Template { table, parts } => {
            let mut lines: Vec<String> = table.then(|| heading(columns, parts)).into_iter().collect();
            for object in objects {
                lines.push(line(parts, object)?);
            }
            if !table {
                return Ok(lines.into_iter().map(|line| line + "\n").collect());
            }
            let cells = |line: String| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
            let rows: Vec<Vec<String>> = lines.into_iter().map(cells).collect();
            Ok(table::lay_out(rows.iter()))
        }
    }
}

fn heading(columns: &Columns, parts: &[Part]) -> String {
    let word = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Field { path, .. } => {
            let name = path.last().map_or("", String::as_str);
            let known = columns.iter().find(|(_, field)| *field == name);
            known.map_or_else(|| name.to_uppercase(), |(heading, _)| (*heading).to_owned())
        }
    };
    parts.iter().map(word).collect()
}

fn line(parts: &[Part], object: &Value) -> Result<String, String> {
    let text = |part: &Part| match part {
        Part::Text(text) => Ok(text.clone()),
        Part::Field { path, json } => {
            let value = find(object, path)?;
            Ok(if *json { value.to_string() } else { plain(value) })
        }
    };
    parts.iter().map(text).collect()
}

fn find<'v>(object: &'v Value, path: &[String]) -> Result<&'v Value, String> {
    let mut value = object;
    for name in path {
        value = value.get(name).ok_or_else(|| {
            let there: Vec<&str> =
                value.as_object().into_iter().flat_map(|map| map.keys()).map(String::as_str).collect();
            format!("--format: there is no field {name:?}; there are {}", there.join(", "))
        })?;
    }
    Ok(value)
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(format: &str) -> Result<String, String> {
        let objects = [
            json!({ "ID": "ab", "State": { "Pid": 7 }, "Size": null }),
            json!({ "ID": "cde", "State": { "Pid": 12 } }),
        ];
        show(&format.parse()?, &[("CONTAINER ID", "ID"), ("SIZE", "Size")], &objects)
    }

    #[test]
    fn objects_are_shown_as_asked() {
        assert_eq!(shown("table").unwrap(), "CONTAINER ID   SIZE\nab\ncde\n");
        assert_eq!(shown("{{.ID}}={{ .State.Pid }}").unwrap(), "ab=7\ncde=12\n");
        assert_eq!(shown("{{json .State}}").unwrap(), "{\"Pid\":7}\n{\"Pid\":12}\n");
        assert_eq!(shown("table {{.ID}}\\t{{.State}}").unwrap().lines().next(), Some("CONTAINER ID   STATE"));
        assert!(shown("json").unwrap().starts_with("{\"ID\":\"ab\""));
    }

    #[test]
    fn what_a_template_cannot_do_is_told() {
        assert!(shown("{{.ID").unwrap_err().contains("without"));
        assert!(shown("{{range .Mounts}}").unwrap_err().contains("a template names fields"));
        assert_eq!(
            shown("{{.Id}}").unwrap_err(),
            "--format: there is no field \"Id\"; there are ID, Size, State"
        );
    }
}
