//! `import --change`: what an image says of itself, in the words of a Dockerfile.

use crate::error::{self, Error};
use crate::line;
use serde_json::{Map, Value, json};
use spec::network::Port;

const KEYWORDS: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR";

/// The `config` of an image's configuration (image-spec, config.md), of instructions; the last of a kind counts, but for
/// those that add something.
///
/// # Errors
/// Which instruction is wrong.
pub fn config(instructions: &[String]) -> error::Result<Map<String, Value>> {
    let mut config = Map::new();
    for text in instructions {
        change(&mut config, text).map_err(|why| Error::new(format!("--change {text:?}: {why}")))?;
    }
    Ok(config)
}

fn change(config: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    let text = text.trim();
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err(format!("it is one of {KEYWORDS}, and what that is to be"));
    }
    match keyword.to_ascii_uppercase().as_str() {
        "CMD" => set(config, "Cmd", command(rest)),
        "ENTRYPOINT" => set(config, "Entrypoint", command(rest)),
        "STOPSIGNAL" => set(config, "StopSignal", rest.into()),
        "USER" => set(config, "User", rest.into()),
        "WORKDIR" => set(config, "WorkingDir", format!("/{}", rest.trim_start_matches('/')).into()),
        "ENV" => pairs(rest)?.into_iter().for_each(|(name, value)| env(config, &name, &value)),
        "LABEL" => {
            pairs(rest)?.into_iter().for_each(|(name, value)| add(config, "Labels", name, value.into()));
        }
        "EXPOSE" => {
            for word in line::split(rest)? {
                let port: Port = word.parse()?;
                let inside = port.pairs().map(|(_, inside)| format!("{inside}/{}", port.protocol));
                inside.for_each(|name| add(config, "ExposedPorts", name, json!({})));
            }
        }
        "VOLUME" => {
            let folders = array(rest).map_or_else(|| line::split(rest), Ok)?;
            folders.into_iter().for_each(|folder| add(config, "Volumes", folder, json!({})));
        }
        _ => return Err(format!("it is none of {KEYWORDS}")),
    }
    Ok(())
}

fn set(config: &mut Map<String, Value>, key: &str, value: Value) {
    config.insert(key.to_owned(), value);
}

fn add(config: &mut Map<String, Value>, key: &str, name: String, value: Value) {
    if let Some(all) = config.entry(key).or_insert_with(|| json!({})).as_object_mut() {
        all.insert(name, value);
    }
}

/// One of a name takes the place of an earlier one.
fn env(config: &mut Map<String, Value>, name: &str, value: &str) {
    if let Some(all) = config.entry("Env").or_insert_with(|| json!([])).as_array_mut() {
        let is_other =
            |one: &Value| one.as_str().and_then(|one| one.split_once('=')).is_none_or(|(own, _)| own != name);
        all.retain(is_other);
        all.push(format!("{name}={value}").into());
    }
}

fn array(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A list as JSON is a program and its arguments, anything else a line for the image's shell.
fn command(text: &str) -> Value {
    array(text).unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()]).into()
}

/// `NAME=VALUE NAME="A VALUE"`, or `NAME A VALUE`, which is one.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let words = line::split(text)?;
    if let [name, value @ ..] = &words[..]
        && !name.contains('=')
        && !value.is_empty()
    {
        return Ok(vec![(name.clone(), value.join(" "))]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("{word:?} is not NAME=VALUE")),
    };
    words.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(instructions: &[&str]) -> error::Result<Value> {
        config(&instructions.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).map(Value::Object)
    }

    #[test]
    fn an_image_says_what_the_instructions_say() {
        let instructions = [
            "CMD [\"httpd\", \"-f\"]",
            "entrypoint exec /start now",
            "ENV A=1 B=\"two words\"",
            "ENV C three words",
            "ENV A=4",
            "EXPOSE 80 53/udp",
            "LABEL tier=front \"two words\"=x",
            "ENV D \"in quotes\"",
            "STOPSIGNAL SIGINT",
            "USER 7:8",
            "VOLUME [\"/data\"]",
            "VOLUME /more /logs",
            "WORKDIR srv",
        ];
        let expected = json!({
            "Cmd": ["httpd", "-f"],
            "Entrypoint": ["/bin/sh", "-c", "exec /start now"],
            "Env": ["B=two words", "C=three words", "A=4", "D=in quotes"],
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Labels": { "tier": "front", "two words": "x" },
            "StopSignal": "SIGINT",
            "User": "7:8",
            "Volumes": { "/data": {}, "/more": {}, "/logs": {} },
            "WorkingDir": "/srv",
        });
        assert_eq!(changed(&instructions).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_changed_is_told() {
        for (instruction, told) in [
            ("RUN true", "it is none of CMD, ENTRYPOINT"),
            ("CMD", "and what that is to be"),
            ("ENV A=1 B", "\"B\" is not NAME=VALUE"),
            ("ENV =1", "\"=1\" is not NAME=VALUE"),
            ("LABEL a=\"b", "a \" is not closed"),
            ("EXPOSE x", "\"x\" is not a published port"),
        ] {
            let error = changed(&[instruction]).unwrap_err().to_string();
            assert!(error.starts_with("--change ") && error.contains(told), "{instruction}: {error}");
        }
    }
}
