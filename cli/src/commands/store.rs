//! `store check`.

use super::{Node, list, print, print_all, registry};
use crate::arguments::Check;
use crate::error::{Error, Result};
use crate::format::{self, Format};
use crate::progress::Shown;
use serde_json::{Value, json};
use spec::monitor::Summary;
use std::collections::BTreeMap;
use std::path::Path;
use store::{Bad, Checked, Digest, Outcome, Store};

const COLUMNS: [(&str, &str); 4] =
    [("KIND", "Kind"), ("NAME", "Name"), ("PROBLEM", "Problem"), ("OUTCOME", "Outcome")];

/// `skerry store check`: 1 when something is bad that was not brought back.
pub fn check(node: &Node<'_>, asked: &Check) -> Result<u8> {
    let (own, outcomes) = own(node, asked)?;
    let came = Store::open_read_only(Path::new(spec::paths::IMAGE_STORE)).check(false)?;
    let as_it_is = |_: &Bad| Outcome::Lost("comes with the node".into());
    let came_outcomes: Vec<Outcome> = came.bad.iter().map(as_it_is).collect();
    let rows = own.bad.iter().zip(&outcomes).chain(came.bad.iter().zip(&came_outcomes));
    let objects: Vec<Value> = rows.map(|(bad, outcome)| object(bad, outcome)).collect();
    if asked.format != Format::Table || !objects.is_empty() {
        print_all(&format::show(&asked.format, &COLUMNS, &objects).map_err(Error::new)?);
    }
    if asked.format == Format::Table {
        print(&summary(&own, &came));
    }
    let lost = |outcome: &Outcome| matches!(outcome, Outcome::Lost(_));
    Ok(u8::from(outcomes.iter().chain(&came_outcomes).any(lost)))
}

/// The store that is written.
fn own(node: &Node<'_>, asked: &Check) -> Result<(Checked, Vec<Outcome>)> {
    if asked.no_repair {
        let checked = Store::open_read_only(node.store).check(false)?;
        let outcomes = checked.bad.iter().map(|_| Outcome::Lost("left as it is".into())).collect();
        return Ok((checked, outcomes));
    }
    let store = Store::open(node.store)?;
    let checked = store.check(true)?;
    let outcomes = match checked.bad.is_empty() {
        true => Vec::new(),
        false => store.mend(&registry::registries()?, &checked, &in_use(node), &Shown::new("Pulling"))?,
    };
    Ok((checked, outcomes))
}

/// The images of containers, whose names may have moved on. Without a monitor there is no container either.
fn in_use(node: &Node<'_>) -> BTreeMap<Digest, String> {
    let image = |one: Summary| Some((one.digest?.parse().ok()?, one.image));
    list::all(node).unwrap_or_default().into_iter().filter_map(image).collect()
}

fn object(bad: &Bad, outcome: &Outcome) -> Value {
    let outcome = match outcome {
        Outcome::Mended => "brought back".to_owned(),
        Outcome::Unneeded => "removed: no image needs it".to_owned(),
        Outcome::Lost(why) => format!("bad: {why}"),
    };
    json!({ "Kind": bad.kind, "Name": bad.name, "Problem": bad.why, "Outcome": outcome })
}

fn summary(own: &Checked, came: &Checked) -> String {
    let (images, files) = (own.images + came.images, own.files + came.files);
    let count = |number, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
    let bad = own.bad.len() + came.bad.len();
    let mut text = format!("{}, {}, {bad} bad", count(images, "whole image"), count(files, "good file"));
    match own.unknown + came.unknown {
        0 => {}
        unknown => text += &format!(", {} without a digest", count(unknown, "layer")),
    }
    text
}
