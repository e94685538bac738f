//! Layers of configuration: each checked by itself, then merged.

use super::Node;
use super::check::{Wrong, check};
use crate::value::{self, Fault};
use serde::de::DeserializeOwned;
use std::fmt;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One source of configuration.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Where it came from, as a message names it: a path, a disk, `skerry.set`.
    pub origin: String,
    /// Its text, TOML.
    pub text: String,
}

impl From<(String, String)> for Layer {
    /// Of a file's path and its text.
    fn from((origin, text): (String, String)) -> Self {
        Self { origin, text }
    }
}

/// Why a layer was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// [`Layer::origin`] of the layer at fault.
    pub origin: String,
    /// Line and column, both from 1, where the text is at fault; absent when
    /// only the merged whole is.
    pub position: Option<(usize, usize)>,
    /// What is wrong, in one line.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.origin)?;
        if let Some((line, column)) = self.position {
            write!(out, ":{line}:{column}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(layer: &Layer, fault: &Fault) -> Self {
        let position = fault.span.as_ref().map(|span| position(&layer.text, span.start));
        Self { position, ..Self::of_the_whole(layer, fault) }
    }

    /// The value's place in the last layer that has it; of what no layer says, that of the table above it.
    fn refused(layers: &[Layer], wrong: &Wrong) -> Self {
        let found = (1..=wrong.keys.len()).rev().find_map(|depth| place(layers, &wrong.keys[..depth]));
        let layer = found.as_ref().map(|(layer, _)| *layer).or(layers.last());
        Self {
            origin: layer.map(|layer| layer.origin.clone()).unwrap_or_default(),
            position: found.map(|(layer, start)| position(&layer.text, start)),
            message: line(&wrong.to_string()),
        }
    }

    /// Its place, if it has one, is in the text of some layer, nobody knows which.
    fn of_the_whole(layer: &Layer, fault: &Fault) -> Self {
        Self { origin: layer.origin.clone(), position: None, message: line(&fault.message) }
    }
}

/// What a console shows in one line: a quoted key may have anything in it.
fn line(message: &str) -> String {
    message.replace(char::is_control, "?")
}

/// The last layer that has a key, and where its value begins, or of a table its name.
fn place<'l>(layers: &'l [Layer], keys: &[String]) -> Option<(&'l Layer, usize)> {
    layers.iter().rev().find_map(|layer| {
        let root = DeTable::parse(&layer.text).ok()?;
        let (last, way) = keys.split_last()?;
        let table =
            way.iter().try_fold(root.get_ref(), |table, key| table.get(&**key)?.get_ref().as_table())?;
        let (key, value) = table.get_key_value(&**last)?;
        let span = if value.get_ref().is_table() { key.span() } else { value.span() };
        Some((layer, span.start))
    })
}

/// Line and column of a byte offset, both counted from 1, columns in characters.
#[must_use]
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    (line, column)
}

/// Checks every layer and merges them, the later over the earlier: tables merge,
/// arrays and scalars replace.
///
/// A layer may leave out what another gives (a container's `image`, say), so
/// what is missing is judged in the merged whole and named with the last layer.
/// So are ranges, and values that must go with one another, each named with the last layer that has it.
///
/// # Errors
/// The first layer that is not TOML, has an unknown key or a wrong type; the last one when the whole
/// is incomplete; that with a value out of range.
pub fn load(layers: &[Layer]) -> Result<Node, Error> {
    let node = load_part(layers)?;
    check(&node).map_err(|wrong| Error::refused(layers, &wrong))?;
    Ok(node)
}

/// As [`load`], for a program that needs a few of the keys and is small for it: `T`
/// names those; the rest, and ranges, PID 1 has checked before it wrote the layers.
///
/// # Errors
/// As [`load`], of the keys that `T` knows.
pub fn load_part<T: DeserializeOwned + Default>(layers: &[Layer]) -> Result<T, Error> {
    let mut merged = Spanned::new(0..0, DeTable::new());
    let mut node = T::default();
    for layer in layers {
        let table = DeTable::parse(&layer.text).map_err(|error| Error::new(layer, &error.into()))?;
        merge(merged.get_mut(), table.into_inner());
        // With everything below it in place, a fault of this layer shows here;
        // its own text tells where, unless only the combination is at fault.
        node = value::read(merged.clone()).map_err(|fault| {
            let alone = value::parse::<T>(&layer.text).err();
            let same = alone.filter(|alone| alone.message == fault.message);
            same.map_or_else(|| Error::of_the_whole(layer, &fault), |same| Error::new(layer, &same))
        })?;
    }
    Ok(node)
}

fn merge<'a>(lower: &mut DeTable<'a>, upper: DeTable<'a>) {
    for (key, value) in upper {
        let span = value.span();
        match (lower.get_mut(&key).map(Spanned::get_mut), value.into_inner()) {
            (Some(DeValue::Table(below)), DeValue::Table(above)) => merge(below, above),
            (_, value) => {
                lower.insert(key, Spanned::new(span, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(origin: &str, text: &str) -> Layer {
        Layer { origin: origin.into(), text: text.into() }
    }

    fn refused(texts: &[&str]) -> String {
        let layers: Vec<Layer> =
            texts.iter().enumerate().map(|(number, text)| layer(&format!("l{number}"), text)).collect();
        load(&layers).unwrap_err().to_string()
    }

    #[test]
    fn no_layer_and_an_empty_layer_are_the_default() {
        assert_eq!(load(&[]).unwrap(), Node::default());
        assert_eq!(load(&[layer("a", "")]).unwrap(), Node::default());
        assert_eq!(load(&[layer("a", ""), layer("b", "")]).unwrap(), Node::default());
    }

    #[test]
    fn a_fault_is_named_with_line_and_column() {
        let error = refused(&["hostname = \"a\"\nwatchdgo = 1\n"]);
        assert!(error.starts_with("l0:2:1: unknown field `watchdgo`"), "{error}");
        let error = refused(&["[data]\ndisk = 7\n"]);
        assert!(error.starts_with("l0:2:8: invalid type: integer `7`"), "{error}");
        let error = refused(&["[containers.web]\nimage = \"w\"\nmemory = \"much\"\n"]);
        assert!(error.starts_with("l0:3:10: \"much\" is not a size"), "{error}");
        let error = refused(&["[data]\nmemory = 1\ndisk = \"sda\"\n"]);
        assert!(error.starts_with("l0:3:8: \"sda\" is neither serial:TEXT nor"), "{error}");
        let error = refused(&["[modules]\nload = [\"a\",\n  \"/\"]\n"]);
        assert!(error.starts_with("l0:3:3: \"/\" is not a name"), "{error}");
        let error = refused(&["a = \u{1}"]);
        assert!(error.starts_with("l0:1:5: "), "{error}");
        let error = refused(&["[containers.\"../x\"]\nimage = \"w\"\n"]);
        assert!(error.contains("is not a name"), "{error}");
        let error = refused(&["", "[data]\n\n  formt = \"never\"\n"]);
        assert!(error.starts_with("l1:3:3: unknown field `formt`"), "{error}");
        let error = refused(&["[containers.web]\nmemory = 1\n"]);
        assert!(error.contains("missing field `image`"), "{error}");
    }

    #[test]
    fn a_label_that_no_disk_or_every_disk_could_have_is_refused() {
        for text in ["", "seventeen letters", "a ", "a\\u0000"] {
            let error = refused(&[&format!("[data]\nlabel = \"{text}\"\n")]);
            assert!(error.starts_with("l0:2:9: ") && error.contains("is not a label"), "{error}");
        }
        let node = load(&[layer("a", "[data]\nlabel = \"sixteen letters.\"\n")]).unwrap();
        assert_eq!(node.data.label.as_deref(), Some("sixteen letters."));
    }

    #[test]
    fn errors_are_one_line_even_for_noise() {
        let noise: String = (0..1_000_000_u32)
            .map(|n| char::from((n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f))
            .collect();
        let error = refused(&[&noise]);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn errors_are_one_line_whatever_a_key_is() {
        for (text, words) in [
            ("\"a\\n\\u001b\" = 1", "l0:1:1: unknown field `a??`, expected"),
            (
                "[containers.a]\nimage = \"i\"\nulimits = { \"x\\n\" = \"1\" }",
                "l0:3:21: containers.a.ulimits.x?: there is no such limit",
            ),
        ] {
            let error = refused(&[text]);
            assert!(error.starts_with(words), "{error:?}");
        }
    }

    #[test]
    fn tables_merge_and_the_rest_is_replaced() {
        let node = load(&[
            layer(
                "image",
                "[network]\nntp = [\"a\", \"b\"]\n[containers.web]\nimage = \"nginx\"\nmemory = \"64M\"\n",
            ),
            layer(
                "drive",
                "hostname = \"n1\"\n[network]\nntp = [\"c\"]\n[containers.web]\nmemory = \"1G\"\n",
            ),
        ])
        .unwrap();
        assert_eq!(node.hostname.as_deref(), Some("n1"));
        assert_eq!(node.network.ntp, ["c"]);
        let web = &node.containers["web"];
        assert_eq!((web.image.as_str(), web.memory.unwrap().0), ("nginx", 1 << 30));
    }
}
