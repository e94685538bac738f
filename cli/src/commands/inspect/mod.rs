//! `inspect`: all that is known, in the shape that Docker's users know.

mod container;
mod host;
mod image;

use super::containers::each_of;
use super::{Node, network, print_all};
use crate::arguments::Inspect;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::keeper::NOBODY;
use container::container;
use image::image;
use serde_json::Value;
use spec::monitor::Code;

/// Containers first, then images, volumes and networks, unless one kind is asked for.
pub fn inspect(node: &Node<'_>, asked: &Inspect) -> Result<()> {
    let found = asked.names.iter().map(|name| one(node, name, asked.r#type.as_deref(), asked.size));
    show_each(asked.format.as_ref(), found)
}

/// Shows those that there are.
///
/// # Errors
/// The last failure; those before it are told.
pub fn show_each(format: Option<&Format>, found: impl Iterator<Item = Result<Value>>) -> Result<()> {
    let mut objects = Vec::new();
    let all = each_of(found, |object| objects.push(object));
    show(format, &objects)?;
    all
}

/// Objects as they are, laid out for reading, or as the format says.
fn show(format: Option<&Format>, objects: &[Value]) -> Result<()> {
    let text = match format {
        None | Some(Format::Table) => serde_json::to_string_pretty(objects).unwrap_or_default() + "\n",
        Some(Format::Json) => serde_json::to_string(objects).unwrap_or_default() + "\n",
        Some(format) => format::show(format, &[], objects).map_err(Error::new)?,
    };
    print_all(&text);
    Ok(())
}

fn one(node: &Node<'_>, name: &str, kind: Option<&str>, size: bool) -> Result<Value> {
    match kind {
        Some("container") => container(node, name, size),
        Some("image") => image(node, name),
        Some("network") => network::shown(node, name),
        Some("volume") => super::volumes::known(node, name),
        _ => match container(node, name, size) {
            // Any other error is of a container that there is, or nobody can tell.
            Err(first) if is_missing(&first) => other(node, name),
            found => found,
        },
    }
}

/// What is no container.
fn other(node: &Node<'_>, name: &str) -> Result<Value> {
    image(node, name)
        .map_err(|error| if error.message.contains("is not here") { neither(name) } else { error })
        .or_else(|told| super::volumes::known(node, name).map_err(|_| told))
        .or_else(|told| network::shown(node, name).map_err(|_| told))
}

/// There is no such container, or nobody to have one.
pub fn is_missing(error: &Error) -> bool {
    error.message.starts_with(NOBODY) || error.code == Some(Code::NotFound)
}

/// The error of a name that nothing has.
pub fn neither(name: &str) -> Error {
    Error::new(format!("{name:?}: there is no such container or image"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_monitor::{HELLO, with_monitor};
    use std::path::Path;

    #[test]
    fn what_keeps_a_container_from_being_told_is_told() {
        let one = |answer: &str| {
            let told = with_monitor(&[&[HELLO, answer]], |socket| {
                one(&Node { socket, store: Path::new("/proc/none") }, "web", None, true)
            });
            told.unwrap_err().message
        };
        let failed = |code: &str, message: &str| {
            format!(r#"{{"reply":"failed","code":"{code}","message":"{message}"}}"#)
        };
        assert_eq!(one(&failed("internal", "the answer is too long")), "the answer is too long");
        let several = "container web: several IDs begin so";
        assert_eq!(one(&failed("invalid", several)), several);
        let none = one(&failed("not-found", "container web: there is none"));
        assert_eq!(none, "\"web\": there is no such container or image");
    }
}
