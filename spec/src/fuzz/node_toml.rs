//! What somebody may write into `node.toml`.
//!
//! An input is one or several layers: a tab in it is the end of a line, and a line `---` the end of a layer.

use super::protocol::told_again;
use crate::node::{Container, Error, Layer, Name, Network, Node, load, load_part};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The few keys that a program of ours reads by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Part {
    hostname: Option<Name>,
    network: Network,
    containers: BTreeMap<Name, Container>,
}

/// Layers are a configuration, the one that a plain reading of them gives, or there is one error, of
/// one line, which names the layer and the place in it.
pub fn node_toml(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let text = text.replace('\t', "\n");
    let layers: Vec<Layer> = text
        .split("\n---\n")
        .enumerate()
        .map(|(number, text)| Layer { origin: format!("l{number}"), text: text.to_owned() })
        .collect();
    let read = load(&layers);
    match &read {
        Ok(node) => understood(&layers, node),
        Err(error) => refused(&layers, error),
    }
    assert_eq!(load(&layers), read, "the second time");
}

fn understood(layers: &[Layer], node: &Node) {
    if let Some(plain) = plainly(layers) {
        assert_eq!(plain.as_ref(), Ok(node));
    }
    let empty = Layer { origin: "empty".to_owned(), text: String::new() };
    let empty = std::slice::from_ref(&empty);
    for layers in [[layers, empty].concat(), [empty, layers].concat()] {
        assert_eq!(load(&layers).as_ref(), Ok(node), "with an empty layer");
    }
    let part: Part = load_part(layers).expect("a part of what is good");
    assert_eq!(
        (part.hostname, part.network, &part.containers),
        (node.hostname.clone(), node.network.clone(), &node.containers)
    );
    for container in node.containers.values() {
        assert_eq!(container.check(), Ok(()));
        let text = serde_json::to_string(container).expect("what was read can be written");
        assert!(told_again::<Container>(text.as_bytes()).is_some(), "{text}");
    }
}

/// The same as toml's own reader has it; nothing for numbers that it does not take.
fn plainly(layers: &[Layer]) -> Option<Result<Node, String>> {
    let mut whole = toml::Table::new();
    for layer in layers {
        merge(&mut whole, layer.text.parse().ok()?);
    }
    Some(Node::deserialize(toml::Value::Table(whole)).map_err(|error| error.to_string()))
}

fn merge(lower: &mut toml::Table, upper: toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => _ = lower.insert(key, value),
        }
    }
}

fn refused(layers: &[Layer], error: &Error) {
    let layer = layers.iter().find(|layer| layer.origin == error.origin);
    let text = layer.map(|layer| layer.text.as_str()).unwrap_or_else(|| panic!("{error:?} is of no layer"));
    assert!(!error.message.trim().is_empty(), "{error:?}");
    assert!(!error.message.contains(char::is_control), "{error:?}");
    // Of several, what each of them says may be good and the whole not.
    assert!(error.position.is_some() || layers.len() > 1, "{error:?}");
    if let Some((line, column)) = error.position {
        let there = text.split('\n').nth(line - 1).map(|line| line.chars().count());
        assert!(there.is_some_and(|length| (1..=length + 1).contains(&column)), "{error:?}");
    }
}
