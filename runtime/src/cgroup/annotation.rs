//! `org.systemd.property.NAME` of `annotations`: properties that the caller gives the scope, as
//! with runc. A value is GVariant's text: `'text'`, `true`, `37`, `uint64 90000000`,
//! `['a.service']`.

use crate::bus::{Property, Value};
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// What their names begin with.
pub const PREFIX: &str = "org.systemd.property.";

/// The properties.
///
/// # Errors
/// An annotation that is none, by its name.
pub fn properties(annotations: &BTreeMap<String, String>) -> Result<Vec<Property>> {
    let named = annotations.iter().filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text)));
    let one = |(name, text): (&str, &String)| {
        let property = if is_name(name) { property(name, text.trim()) } else { None };
        property.ok_or_else(|| {
            Error(format!("annotations[\"{PREFIX}{name}\"]: {text:?} is no value of a property of systemd's"))
        })
    };
    named.map(one).collect()
}

/// As runc: a capital, and two letters more at least.
fn is_name(name: &str) -> bool {
    name.len() >= 3
        && name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.bytes().all(|letter| letter.is_ascii_alphabetic())
}

/// Times are given in seconds too, and told in microseconds: `TimeoutStopSec` is
/// `TimeoutStopUSec`.
fn property(name: &str, text: &str) -> Option<Property> {
    match name.strip_suffix("Sec").filter(|rest| rest.ends_with(|last: char| last.is_ascii_lowercase())) {
        Some(rest) => {
            let number = text.split(' ').next_back()?;
            Some((format!("{rest}USec"), Value::Uint64(microseconds(number)?)))
        }
        None => Some((name.to_owned(), value(text)?)),
    }
}

/// `90` and `1.5` are seconds.
fn microseconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let fraction = format!("{fraction:0<6}");
    let micro = fraction.get(..6)?.parse::<u32>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micro.into())
}

fn value(text: &str) -> Option<Value> {
    if let Some(list) = text.strip_prefix("@as ").unwrap_or(text).strip_prefix('[') {
        return texts(list.strip_suffix(']')?).map(Value::Texts);
    }
    Some(match text.split_once(' ') {
        _ if text == "true" || text == "false" => Value::Bool(text == "true"),
        _ if text.starts_with(['\'', '"']) => match texts(text)?.as_slice() {
            [one] => Value::Text(one.clone()),
            _ => return None,
        },
        Some(("uint32", number)) => Value::Uint32(number.parse().ok()?),
        Some(("int64", number)) => Value::Int64(number.parse().ok()?),
        Some(("uint64", number)) => Value::Uint64(number.parse().ok()?),
        Some(("int32", number)) => Value::Int32(number.parse().ok()?),
        Some(_) => return None,
        None => Value::Int32(text.parse().ok()?),
    })
}

/// `'a', "b"`
fn texts(list: &str) -> Option<Vec<String>> {
    let mut rest = list.trim();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|quote| "'\"".contains(*quote))?;
        let (text, after) = quoted(&rest[1..], quote)?;
        texts.push(text);
        rest = after.trim_start();
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(texts)
}

/// A backslash takes the next letter as it is.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut found = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '\\' => found.push(letters.next()?.1),
            letter if letter == quote => return Some((found, &text[place + 1..])),
            letter => found.push(letter),
        }
    }
    None
}
