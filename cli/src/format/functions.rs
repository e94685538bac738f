//! What a template may call: Go's functions and Docker's.

use super::printf::printf;
use serde_json::Value;
use std::cmp::Ordering;

/// All of them; `and` and `or` are the evaluator's own.
pub const FUNCTIONS: [&str; 24] = [
    "and", "eq", "ge", "gt", "index", "join", "json", "le", "len", "lower", "lt", "ne", "not", "or", "pad",
    "print", "printf", "println", "slice", "split", "title", "truncate", "upper", "urlquery",
];

/// Calls one.
///
/// # Errors
/// It takes other arguments.
pub fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let within = |why: String| format!("{name}: {why}");
    match (name, arguments) {
        ("json", [value]) => Ok(value.to_string().into()),
        ("lower", [value]) => Ok(plain(value).to_lowercase().into()),
        ("upper", [value]) => Ok(plain(value).to_uppercase().into()),
        ("title", [value]) => Ok(title(&plain(value)).into()),
        ("join", [Value::Null, _]) => Ok("".into()),
        ("join", [Value::Array(values), between]) => {
            let words: Vec<String> = values.iter().map(plain).collect();
            Ok(words.join(&plain(between)).into())
        }
        ("split", [text, between]) => Ok(split(&plain(text), &plain(between))),
        ("pad", [text, before, after]) => {
            let spaces = |count| length(count).map(|count| " ".repeat(count)).map_err(within);
            let text = plain(text);
            // As with Docker, what is empty stays so.
            Ok(if text.is_empty() { text } else { spaces(before)? + &text + &spaces(after)? }.into())
        }
        ("truncate", [text, most]) => {
            let most = length(most).map_err(within)?;
            Ok(plain(text).chars().take(most).collect::<String>().into())
        }
        ("len", [value]) => count(value).map(Value::from).map_err(within),
        ("index", [value, places @ ..]) => {
            places.iter().try_fold(value.clone(), |value, place| index(&value, place)).map_err(within)
        }
        ("slice", [value, ends @ ..]) if ends.len() < 3 => slice(value, ends).map_err(within),
        ("not", [value]) => Ok((!is_something(value)).into()),
        ("eq", [value, others @ ..]) if !others.is_empty() => {
            Ok(others.iter().any(|other| is_same(value, other)).into())
        }
        ("ne", [a, b]) => Ok((!is_same(a, b)).into()),
        ("lt", [a, b]) => Ok((order(a, b).map_err(within)? == Ordering::Less).into()),
        ("le", [a, b]) => Ok((order(a, b).map_err(within)? != Ordering::Greater).into()),
        ("gt", [a, b]) => Ok((order(a, b).map_err(within)? == Ordering::Greater).into()),
        ("ge", [a, b]) => Ok((order(a, b).map_err(within)? != Ordering::Less).into()),
        ("print", values) => Ok(print(values).into()),
        ("println", values) => Ok((values.iter().map(plain).collect::<Vec<_>>().join(" ") + "\n").into()),
        ("printf", [format, values @ ..]) => Ok(printf(&plain(format), values).into()),
        ("urlquery", values) => Ok(query(&print(values)).into()),
        _ => Err(within(format!("takes {}", usage(name)))),
    }
}

fn usage(name: &str) -> &'static str {
    match name {
        "join" => "a list and what stands between its words",
        "split" => "a text and what stands between its words",
        "pad" => "a text, and how many spaces go before and after it",
        "truncate" => "a text and how many letters stay",
        "index" => "a list or an object, and places or names in it",
        "slice" => "a list or a text, and up to two places in it",
        "printf" => "a format such as \"%s\" and values",
        "eq" => "a value, and those that it may be",
        "ne" | "lt" | "le" | "gt" | "ge" => "two values",
        _ => "one value",
    }
}

/// True when a condition holds for it: Go's zero values are nothing.
pub fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it: `[a b]`, `map[key:value]`; nothing where there is none.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{key}:{}", plain(value)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// An element by its place, or a field by its name; there need be no such field.
///
/// # Errors
/// It is neither a list nor an object, or not so long.
pub fn index(value: &Value, place: &Value) -> Result<Value, String> {
    match (value, place) {
        (Value::Null, _) => Ok(Value::Null),
        (Value::Object(map), Value::String(name)) => Ok(map.get(name).cloned().unwrap_or_default()),
        (Value::Array(values), place) => {
            let at = length(place)?;
            values.get(at).cloned().ok_or_else(|| format!("{at} of {} elements", values.len()))
        }
        _ => Err(format!("{value} has no {place}")),
    }
}

fn length(value: &Value) -> Result<usize, String> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.map(|number| number as usize).ok_or_else(|| format!("{value} is no number of elements"))
}

fn count(value: &Value) -> Result<usize, String> {
    match value {
        Value::Null => Ok(0),
        Value::String(text) => Ok(text.len()),
        Value::Array(values) => Ok(values.len()),
        Value::Object(map) => Ok(map.len()),
        other => Err(format!("{other} has no length")),
    }
}

fn slice(value: &Value, ends: &[Value]) -> Result<Value, String> {
    let whole = count(value)?;
    let first = ends.first().map_or(Ok(0), length)?;
    let end = ends.get(1).map_or(Ok(whole), length)?;
    let wrong = || format!("{first} to {end} of {whole} elements");
    match value {
        Value::String(text) => Ok(text.get(first..end).ok_or_else(wrong)?.into()),
        Value::Array(values) => Ok(values.get(first..end).ok_or_else(wrong)?.into()),
        other => Err(format!("{other} is neither a list nor a text")),
    }
}

fn split(text: &str, between: &str) -> Value {
    match between {
        "" => text.chars().map(|letter| letter.to_string()).collect::<Vec<_>>().into(),
        between => text.split(between).collect::<Vec<_>>().into(),
    }
}

/// Each word begins with a capital.
fn title(text: &str) -> String {
    let mut begins = true;
    let letter = |letter: char| {
        let was = std::mem::replace(&mut begins, !letter.is_alphanumeric() && letter != '\'');
        if was { letter.to_uppercase().to_string() } else { letter.to_string() }
    };
    text.chars().map(letter).collect()
}

/// With a space between two of which neither is a text.
fn print(values: &[Value]) -> String {
    let mut text = String::new();
    for (at, value) in values.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| values.get(at));
        if before.is_some_and(|before| !before.is_string() && !value.is_string()) {
            text.push(' ');
        }
        text += &plain(value);
    }
    text
}

fn query(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(letter).collect()
}

/// Numbers are the same by what they are worth.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => order(a, b) == Ok(Ordering::Equal),
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Result<Ordering, String> {
    let whole = |value: &Value| value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    let both = match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => match (whole(a), whole(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        },
    };
    both.ok_or_else(|| format!("{a} and {b} are neither two numbers nor two texts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn called(name: &str, arguments: Value) -> Result<Value, String> {
        call(name, arguments.as_array().unwrap())
    }

    #[test]
    fn functions_do_as_go_and_docker_have_them() {
        for (name, arguments, expected) in [
            ("json", json!([{ "a": ["<"] }]), json!("{\"a\":[\"<\"]}")),
            ("lower", json!(["Ab"]), json!("ab")),
            ("title", json!(["an image, it's"]), json!("An Image, It's")),
            ("join", json!([["a", 1], ", "]), json!("a, 1")),
            ("join", json!([null, ","]), json!("")),
            ("split", json!(["a:b", ":"]), json!(["a", "b"])),
            ("pad", json!(["a", 1, 2]), json!(" a  ")),
            ("truncate", json!(["äöü", 2]), json!("äö")),
            ("len", json!([{ "a": 1 }]), json!(1)),
            ("len", json!([null]), json!(0)),
            (
                "index",
                json!([{ "80/tcp": [{ "HostPort": "8080" }] }, "80/tcp", 0, "HostPort"]),
                json!("8080"),
            ),
            ("index", json!([{ "a": 1 }, "b"]), json!(null)),
            ("slice", json!(["abcdef", 1, 3]), json!("bc")),
            ("slice", json!([[1, 2, 3], 2]), json!([3])),
            ("not", json!([""]), json!(true)),
            ("eq", json!(["a", "b", "a"]), json!(true)),
            ("eq", json!([1, 1.0]), json!(true)),
            ("ne", json!([null, "a"]), json!(true)),
            ("lt", json!([2, 10]), json!(true)),
            ("ge", json!(["b", "a"]), json!(true)),
            ("print", json!([1, 2, "a", "b"]), json!("1 2ab")),
            ("println", json!(["a", 1]), json!("a 1\n")),
            ("urlquery", json!(["a b/ü"]), json!("a+b%2F%C3%BC")),
        ] {
            assert_eq!(called(name, arguments.clone()), Ok(expected), "{name} {arguments}");
            assert!(FUNCTIONS.contains(&name));
        }
    }

    #[test]
    fn what_a_function_does_not_take_is_told() {
        for (name, arguments, told) in [
            ("index", json!([["a"], 1]), "index: 1 of 1 elements"),
            ("index", json!(["a", 0]), "index: \"a\" has no 0"),
            ("slice", json!(["ä", 1]), "slice: 1 to 2 of 2 elements"),
            ("slice", json!(["abc", 2, 1]), "slice: 2 to 1 of 3 elements"),
            ("join", json!(["a"]), "join: takes a list and what stands between its words"),
            ("len", json!([1]), "len: 1 has no length"),
            ("lt", json!([1, "a"]), "lt: 1 and \"a\" are neither two numbers nor two texts"),
            ("pad", json!(["a", -1, 0]), "pad: -1 is no number of elements"),
        ] {
            assert_eq!(called(name, arguments), Err(told.to_owned()));
        }
    }

    #[test]
    fn values_are_printed_as_go_does() {
        let value = json!({ "a": [1, "b", true], "c": null });
        assert_eq!(plain(&value), "map[a:[1 b true] c:]");
    }
}
