//! `--format`: `table`, `json`, or a template as Docker's users write them, which are Go's:
//! `{{.Names}}: {{json .Ports}}`, `table {{.ID}}\t{{.Image}}`, `{{range .Mounts}}{{.Source}} {{end}}`.
//! `define`, `template`, `block`, `break` and `continue` are not there.

mod evaluate;
mod functions;
mod parse;
mod printf;
mod tokens;

use crate::table;
use functions::plain;
use parse::{Node, Operand, Pipeline};
use serde_json::Value;
use std::str::FromStr;

/// How objects are shown.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// With the command's own columns.
    Table,
    /// An object a line; of `inspect` a list of them.
    Json,
    /// A line per object.
    Template(Template),
}

/// What a line is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Laid out in columns (at each tab), with a heading.
    table: bool,
    nodes: Vec<Node>,
}

/// What a template alone sees: `{{.Label "KEY"}}`.
pub const LABEL: &str = "Label";

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
        Ok(Self::Template(Template { table, nodes: parse::parse(text)? }))
    }
}

impl Format {
    /// This field of an object is shown, if there is one.
    pub fn shows(&self, field: &str) -> bool {
        match self {
            Self::Table => false,
            Self::Json => true,
            Self::Template(template) => {
                self.names(field) || template.nodes.iter().any(|node| node.takes_all(true))
            }
        }
    }

    /// A template names this field, wherever it is.
    pub fn names(&self, field: &str) -> bool {
        let Self::Template(template) = self else { return false };
        template.nodes.iter().any(|node| node.names(field))
    }
}

/// A command's own table: heading and the names of its columns' fields.
pub type Columns = [(&'static str, &'static str)];

/// Shows objects.
///
/// # Errors
/// A template asks for what there is not, such as a field.
pub fn show(format: &Format, columns: &Columns, objects: &[Value]) -> Result<String, String> {
    match format {
        Format::Json => Ok(objects.iter().map(|object| format!("{}\n", without_methods(object))).collect()),
        Format::Table => {
            let heading: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
            let row = |object: &Value| columns.iter().map(|(_, field)| plain(&object[*field])).collect();
            Ok(table::table(&heading, &objects.iter().map(row).collect::<Vec<_>>()))
        }
        Format::Template(Template { table, nodes }) => {
            let mut lines: Vec<String> = table.then(|| heading(columns, nodes)).into_iter().collect();
            for object in objects {
                let line = evaluate::evaluate(nodes, object);
                lines.push(line.map_err(|why| format!("--format: {why}"))?);
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

/// An object without what is not its own.
fn without_methods(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove(LABEL);
    }
    object
}

/// What a template makes of the names of fields in place of their values.
fn heading(columns: &Columns, nodes: &[Node]) -> String {
    let word = |node: &Node| match node {
        Node::Text(text) => text.clone(),
        Node::Print(Pipeline { variables, commands, .. }) if variables.is_empty() => {
            commands.iter().find_map(|command| named(columns, command)).unwrap_or_default()
        }
        Node::Print(_) => String::new(),
        Node::Block { body, .. } => heading(columns, body),
    };
    nodes.iter().map(word).collect()
}

/// The heading of the first field that a command names.
fn named(columns: &Columns, command: &[Operand]) -> Option<String> {
    let known = |path: &[String]| {
        let name = path.last()?;
        let known = columns.iter().find(|(_, field)| field.eq_ignore_ascii_case(name));
        Some(known.map_or_else(|| name.to_uppercase(), |(heading, _)| (*heading).to_owned()))
    };
    match command {
        // As Docker does: the last part of the label's name.
        [Operand::Field(path), Operand::Literal(Value::String(label))] if path[..] == [LABEL] => {
            Some(label.rsplit('.').next().unwrap_or(label).replace(['-', '_'], " "))
        }
        operands => operands.iter().find_map(|operand| match operand {
            Operand::Field(path) | Operand::Variable(_, path) => known(path),
            Operand::Group(commands, path) => {
                known(path).or_else(|| commands.iter().find_map(|command| named(columns, command)))
            }
            Operand::Literal(_) | Operand::Function(_) => None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(format: &str) -> Result<String, String> {
        let objects = [
            json!({ "ID": "ab", "State": { "Pid": 7 }, "Size": null, "Label": { "a.the-tier": "front" } }),
            json!({ "ID": "cde", "State": { "Pid": 12 }, "Label": {} }),
        ];
        show(&format.parse()?, &[("CONTAINER ID", "ID"), ("SIZE", "Size")], &objects)
    }

    #[test]
    fn objects_are_shown_as_asked() {
        assert_eq!(shown("table").unwrap(), "CONTAINER ID   SIZE\nab\ncde\n");
        assert_eq!(shown("{{.ID}}={{ .State.Pid }}").unwrap(), "ab=7\ncde=12\n");
        assert_eq!(shown("{{json .State}}").unwrap(), "{\"Pid\":7}\n{\"Pid\":12}\n");
        assert_eq!(shown("table {{.ID}}\\t{{.State}}").unwrap().lines().next(), Some("CONTAINER ID   STATE"));
        assert_eq!(
            shown("table {{upper .ID}}\\t{{.Label \"a.the-tier\"}}").unwrap(),
            "CONTAINER ID   the tier\nAB             front\nCDE\n"
        );
        assert_eq!(shown("table {{if .ID}}{{(slice .ID 1)}}{{end}}").unwrap(), "CONTAINER ID\nb\nde\n");
        assert!(shown("json").unwrap().starts_with("{\"ID\":\"ab\",\"Size\":null,\"State\""));
        for all in ["{{json .}}", "{{. | json}}", "{{json $}}", "{{with $all := .}}{{json $all}}{{end}}"] {
            assert_eq!(shown(all), shown("json"), "{all}");
        }
        assert_eq!(shown("{{json .Label}}").unwrap(), "{\"a.the-tier\":\"front\"}\n{}\n");
    }

    #[test]
    fn what_is_shown_of_an_object_is_known() {
        for (format, shows) in [
            ("json", true),
            ("table", false),
            ("{{.Mounts}}", true),
            ("{{json .}}", true),
            ("{{range .Ports}}{{json $}}{{end}}", true),
            ("{{if .ID}}{{json .}}{{end}}", true),
            ("{{with $x := .}}{{$x.ID}}{{end}}", true),
            ("{{range .Ports}}{{json .}}{{end}}", false),
            ("{{.mounts}}", true),
            ("{{.ID}}", false),
        ] {
            assert_eq!(format.parse::<Format>().unwrap().shows("Mounts"), shows, "{format}");
        }
    }

    #[test]
    fn what_a_template_cannot_do_is_told() {
        assert!(shown("{{.ID").unwrap_err().contains("without"));
        assert!(shown("{{range .Mounts}}").unwrap_err().contains("there is no {{end}}"));
        assert_eq!(
            shown("{{.Name}}").unwrap_err(),
            "--format: there is no field \"Name\"; there are ID, Label, Size, State"
        );
    }
}
