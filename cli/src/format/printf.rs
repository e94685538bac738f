//! `printf`: Go's verbs.

use super::functions::plain;
use serde_json::Value;

/// A verb's flags, width and precision.
#[derive(Default)]
struct Verb {
    left: bool,
    plus: bool,
    zeros: bool,
    width: usize,
    precision: Option<usize>,
}

/// More spaces than that are nobody's wish.
const WIDEST: usize = 1000;

/// `%s`, `%q`, `%d`, `%f`, `%x`, `%t`, `%v` and `%%`; what does not fit is told in the text, as Go does.
pub fn printf(format: &str, values: &[Value]) -> String {
    let (mut text, mut values, mut rest) = (String::new(), values.iter(), format);
    while let Some((before, after)) = rest.split_once('%') {
        text += before;
        let (verb, after) = verb(after);
        let mut letters = after.chars();
        let letter = letters.next();
        rest = letters.as_str();
        text += &match letter {
            None => "%!(NOVERB)".to_owned(),
            Some('%') => "%".to_owned(),
            Some(letter) => match values.next() {
                None => format!("%!{letter}(MISSING)"),
                Some(value) => padded(&verb, letter, value),
            },
        };
    }
    text += rest;
    let extra: Vec<String> = values.map(|value| format!("{}={}", kind(value), plain(value))).collect();
    if !extra.is_empty() {
        text += &format!("%!(EXTRA {})", extra.join(", "));
    }
    text
}

fn verb(text: &str) -> (Verb, &str) {
    let (mut verb, mut rest) = (Verb::default(), text);
    while let Some(flag) = rest.chars().next().filter(|letter| matches!(letter, '-' | '+' | '0' | ' ' | '#'))
    {
        verb.left |= flag == '-';
        verb.plus |= flag == '+';
        verb.zeros |= flag == '0';
        rest = &rest[1..];
    }
    let number = |text: &'_ str| {
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        (text[..end].parse().unwrap_or(0).min(WIDEST), end)
    };
    let (width, end) = number(rest);
    (verb.width, rest) = (width, &rest[end..]);
    if let Some(after) = rest.strip_prefix('.') {
        let (precision, end) = number(after);
        (verb.precision, rest) = (Some(precision), &after[end..]);
    }
    (verb, rest)
}

fn padded(verb: &Verb, letter: char, value: &Value) -> String {
    let text = shown(verb, letter, value);
    let missing = verb.width.saturating_sub(text.chars().count());
    let zeros = verb.zeros && value.is_number();
    match (verb.left, text.strip_prefix('-')) {
        (true, _) => text + &" ".repeat(missing),
        (false, Some(digits)) if zeros => format!("-{}{digits}", "0".repeat(missing)),
        (false, _) => (if zeros { "0" } else { " " }).repeat(missing) + &text,
    }
}

fn shown(verb: &Verb, letter: char, value: &Value) -> String {
    let cut = |text: String| match verb.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text,
    };
    let whole = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    match (letter, value, whole) {
        ('v', ..) | ('t', Value::Bool(_), _) => plain(value),
        ('s', Value::String(_) | Value::Array(_) | Value::Object(_) | Value::Null, _) => cut(plain(value)),
        ('q', Value::String(text), _) => format!("{:?}", cut(text.clone())),
        ('d', _, Some(number)) if verb.plus => format!("{number:+}"),
        ('d', _, Some(number)) => number.to_string(),
        ('x', _, Some(number)) => hexadecimal(number, false),
        ('X', _, Some(number)) => hexadecimal(number, true),
        ('x', Value::String(text), _) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('f', Value::Number(number), _) => {
            format!("{:.*}", verb.precision.unwrap_or(6), number.as_f64().unwrap_or_default())
        }
        _ => format!("%!{letter}({}={})", kind(value), plain(value)),
    }
}

fn hexadecimal(number: i128, capitals: bool) -> String {
    let sign = if number < 0 { "-" } else { "" };
    match capitals {
        true => format!("{sign}{:X}", number.unsigned_abs()),
        false => format!("{sign}{:x}", number.unsigned_abs()),
    }
}

/// Go's name of a type.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn verbs_are_gos() {
        for (format, values, expected) in [
            ("%s=%d 100%%", json!(["a", 7]), "a=7 100%"),
            ("[%5s|%-5s|%05d|%+d|%.2s]", json!(["ab", "ab", -7, 7, "abc"]), "[   ab|ab   |-0007|+7|ab]"),
            ("%q %v %t %x %X", json!(["a\"", [1, "b"], true, 255, 255]), "\"a\\\"\" [1 b] true ff FF"),
            ("%.2f %f", json!([1.5, 2]), "1.50 2.000000"),
            ("%d %s", json!(["a"]), "%!d(string=a) %!s(MISSING)"),
            ("%s", json!(["a", 1]), "a%!(EXTRA int=1)"),
            ("%s|%s", json!([3, null]), "%!s(int=3)|"),
            ("%", json!([]), "%!(NOVERB)"),
            ("%999999999999999999999s", json!([""]), ""),
        ] {
            let text = printf(format, values.as_array().unwrap());
            assert_eq!(text, expected, "{format}");
        }
    }
}
