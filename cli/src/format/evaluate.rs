//! What a template comes to for an object.

use super::functions::{call, index, is_something, plain};
use super::parse::{Command, Kind, Node, Operand, Pipeline};
use serde_json::Value;

/// The text of a template for an object. A field that there is none of is nothing in conditions and in `with`,
/// and an error elsewhere.
///
/// # Errors
/// What cannot be done, in words.
pub fn evaluate(nodes: &[Node], object: &Value) -> Result<String, String> {
    let mut scope = Scope { variables: vec![(String::new(), object.clone())], text: String::new() };
    scope.nodes(nodes, object)?;
    Ok(scope.text)
}

struct Scope {
    /// By name, the innermost last; the first is `$`.
    variables: Vec<(String, Value)>,
    text: String,
}

/// Whether there must be a field that is named.
#[derive(Clone, Copy, PartialEq)]
enum Fields {
    Needed,
    Wanted,
}

impl Scope {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.text.push_str(text),
                Node::Print(of) => {
                    let value = self.commands(&of.commands, dot, Fields::Needed)?;
                    match &of.variables[..] {
                        [] => self.text += &plain(&value),
                        names => self.set(names, of.assigns, value, Value::Null)?,
                    }
                }
                Node::Block { kind, of, body, otherwise } => {
                    let outside = self.variables.len();
                    self.block(*kind, of, (body, otherwise), dot)?;
                    self.variables.truncate(outside);
                }
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        kind: Kind,
        of: &Pipeline,
        (body, otherwise): (&[Node], &[Node]),
        dot: &Value,
    ) -> Result<(), String> {
        let fields = if kind == Kind::Range { Fields::Needed } else { Fields::Wanted };
        let value = self.commands(&of.commands, dot, fields)?;
        if kind == Kind::Range {
            let elements = elements(value)?;
            if elements.is_empty() {
                return self.nodes(otherwise, dot);
            }
            let outside = self.variables.len();
            for (place, element) in elements {
                self.set(&of.variables, of.assigns, element.clone(), place)?;
                self.nodes(body, &element)?;
                self.variables.truncate(outside);
            }
            return Ok(());
        }
        let holds = is_something(&value);
        self.set(&of.variables, of.assigns, value.clone(), Value::Null)?;
        match (holds, kind) {
            (false, _) => self.nodes(otherwise, dot),
            (true, Kind::With) => self.nodes(body, &value),
            (true, _) => self.nodes(body, dot),
        }
    }

    /// Gives variables their values: the last the value, one before it its place.
    fn set(&mut self, names: &[String], assigns: bool, value: Value, place: Value) -> Result<(), String> {
        let values = match names.len() {
            0 => return Ok(()),
            1 => vec![value],
            _ => vec![place, value],
        };
        for (name, value) in names.iter().zip(values) {
            match self.variables.iter_mut().rfind(|(known, _)| assigns && known == name) {
                Some((_, known)) => *known = value,
                None if assigns => return Err(unknown(name)),
                None => self.variables.push((name.clone(), value)),
            }
        }
        Ok(())
    }

    fn commands(&self, commands: &[Command], dot: &Value, fields: Fields) -> Result<Value, String> {
        let mut value = None;
        for command in commands {
            value = Some(self.command(command, value, dot, fields)?);
        }
        Ok(value.unwrap_or_default())
    }

    fn command(
        &self,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
        fields: Fields,
    ) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        if let Operand::Function(name) = first
            && matches!(name.as_str(), "and" | "or")
        {
            return self.either(name == "or", rest, piped, dot, fields);
        }
        let arguments = rest.iter().map(|operand| self.operand(operand, dot, fields));
        let arguments: Vec<Value> = arguments.chain(piped.map(Ok)).collect::<Result<_, String>>()?;
        match first {
            Operand::Function(name) if name == "json" => {
                let own: Vec<Value> = arguments.into_iter().map(|value| self.own(value)).collect();
                call(name, &own)
            }
            Operand::Function(name) => call(name, &arguments),
            first => {
                let value = self.operand(first, dot, fields)?;
                // `.Label "maintainer"`
                arguments.iter().try_fold(value, |value, argument| index(&value, argument))
            }
        }
    }

    /// What a value is without what a template alone sees of the object that is shown.
    fn own(&self, value: Value) -> Value {
        match self.variables.first() {
            Some((_, object)) if *object == value => super::without_methods(object),
            _ => value,
        }
    }

    /// The first that is something, or that is not; the others are not looked at.
    fn either(
        &self,
        or: bool,
        operands: &[Operand],
        piped: Option<Value>,
        dot: &Value,
        fields: Fields,
    ) -> Result<Value, String> {
        let mut value = None;
        for operand in operands {
            let one = self.operand(operand, dot, fields)?;
            if is_something(&one) == or {
                return Ok(one);
            }
            value = Some(one);
        }
        piped.or(value).ok_or_else(|| format!("{} takes values", if or { "or" } else { "and" }))
    }

    fn operand(&self, operand: &Operand, dot: &Value, fields: Fields) -> Result<Value, String> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field(path) => find(dot, path, fields).cloned(),
            Operand::Variable(name, path) => {
                let known = self.variables.iter().rfind(|(known, _)| known == name);
                let (_, value) = known.ok_or_else(|| unknown(name))?;
                find(value, path, fields).cloned()
            }
            Operand::Function(name) => call(name, &[]),
            Operand::Group(commands, path) => {
                let value = self.commands(commands, dot, fields)?;
                find(&value, path, fields).cloned()
            }
        }
    }
}

fn unknown(name: &str) -> String {
    format!("there is no variable ${name}")
}

/// What a range goes through: elements and their places.
fn elements(value: Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => {
            Ok(values.into_iter().enumerate().map(|(at, value)| (at.into(), value)).collect())
        }
        Value::Object(map) => Ok(map.into_iter().map(|(name, value)| (name.into(), value)).collect()),
        other => Err(format!("range: {other} has no elements")),
    }
}

static NOTHING: Value = Value::Null;

/// A field by its name. Docker's own templates and what it prints as JSON write some differently, as `.ID` and `Id`:
/// one that differs in that alone is it.
fn find<'v>(object: &'v Value, path: &[String], fields: Fields) -> Result<&'v Value, String> {
    let mut value = object;
    for name in path {
        let alike = || value.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        value = match value.get(name).or_else(|| alike().map(|(_, value)| value)) {
            Some(value) => value,
            None if fields == Fields::Wanted => return Ok(&NOTHING),
            None => return Err(missing(value, name)),
        };
    }
    Ok(value)
}

fn missing(value: &Value, name: &str) -> String {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            let there: Vec<&str> = map.keys().map(String::as_str).collect();
            format!("there is no field {name:?}; there are {}", there.join(", "))
        }
        _ => format!("there is no field {name:?}; there are none"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;
    use serde_json::json;

    fn shown(template: &str) -> Result<String, String> {
        let object = json!({
            "Name": "/web",
            "Args": ["-g", "daemon off;"],
            "State": { "Pid": 7, "Running": true },
            "Config": { "Labels": { "a.b": "c" }, "Env": null },
            "NetworkSettings": {
                "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }], "81/tcp": null },
                "Networks": { "back": { "IPAddress": "10.0.0.2" }, "my-net": { "IPAddress": "10.1.0.2" } },
            },
            "Mounts": [
                { "Type": "volume", "Name": "data", "Destination": "/d" },
                { "Type": "bind", "Destination": "/e" },
            ],
        });
        evaluate(&parse(template)?, &object)
    }

    #[test]
    fn dockers_own_examples_are_understood() {
        for (template, expected) in [
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.0.0.2 10.1.0.2 "),
            (
                "{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{with $c}}>{{(index $c 0).HostPort}}{{end}} {{end}}",
                "80/tcp>8080 81/tcp ",
            ),
            ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{index .Config.Labels \"a.b\"}}|{{index .Config.Labels \"none\"}}", "c|"),
            ("{{(index .NetworkSettings.Networks \"my-net\").IPAddress}}", "10.1.0.2"),
            ("{{join .Args \" \"}}", "-g daemon off;"),
            ("{{.Args}}", "[-g daemon off;]"),
            ("{{json .Mounts | len}} {{json .State}}", "87 {\"Pid\":7,\"Running\":true}"),
            ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
            ("{{if eq .State.Health.Status \"healthy\"}}yes{{else if .State.Running}}up{{end}}", "up"),
            (
                "{{range .Mounts}}{{if eq .Type \"volume\"}}{{.Name}}:{{.Destination}}{{println}}{{end}}{{end}}",
                "data:/d\n",
            ),
            ("{{range $i, $m := .Mounts}}{{if $i}}, {{end}}{{$i}}={{$m.Destination}}{{end}}", "0=/d, 1=/e"),
            (
                "{{with .Config}}{{.Labels}} {{$.Name}}{{end}}{{with .Config.Env}}x{{else}}-{{end}}",
                "map[a.b:c] /web-",
            ),
            ("{{range .Config.Env}}{{.}}{{else}}no env{{end}}", "no env"),
            ("{{$n := 0}}{{range .Args}}{{$n = .}}{{end}}{{$n}}", "daemon off;"),
            ("{{printf \"%s %d\" .Name .State.Pid | upper}}", "/WEB 7"),
            (
                "{{and .State.Running .State.Pid}} {{or .Config.Env \"x\"}} {{not .State.Running}}",
                "7 x false",
            ),
            ("{{slice .Name 1}}{{ .Name | len }}", "web4"),
            ("{{.Config.Labels \"a.b\"}}", "c"),
            ("{{.state.PID}}", "7"),
        ] {
            assert_eq!(shown(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (template, told) in [
            ("{{.State.Colour}}", "there is no field \"Colour\"; there are Pid, Running"),
            ("{{.Name.Colour}}", "there is no field \"Colour\"; there are none"),
            ("{{range .Name}}{{end}}", "range: \"/web\" has no elements"),
            ("{{$x}}", "there is no variable $x"),
            ("{{$x = 1}}", "there is no variable $x"),
            ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "there is no variable $x"),
            ("{{and}}", "and takes values"),
            ("{{.Name \"x\"}}", "\"/web\" has no \"x\""),
        ] {
            assert_eq!(shown(template), Err(told.to_owned()), "{template}");
        }
    }
}
