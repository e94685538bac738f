//! Values of a TOML file as serde takes them, each kind by its own method.
//!
//! toml has such a deserializer, which asks a type to take whatever stands there. With it come, for each
//! struct, code that takes an array for its fields in their order, which no configuration
//! means, and code that takes a date; PID 1 would be a thirtieth larger. Here what is no table is no
//! struct, and there are no dates.

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess};
use serde::de::{Unexpected, Visitor};
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in one line.
    pub message: String,
    /// Bytes of the text that are at fault.
    pub span: Option<Range<usize>>,
}

impl Fault {
    /// The innermost place is the one that counts.
    fn at(self, span: Range<usize>) -> Self {
        Self { span: self.span.or(Some(span)), ..self }
    }
}

impl From<toml::de::Error> for Fault {
    fn from(error: toml::de::Error) -> Self {
        let lines: Vec<&str> = error.message().lines().map(str::trim).collect();
        Self { message: lines.join("; "), span: error.span() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

/// Reads a text.
///
/// # Errors
/// It is not TOML, or not what `T` is.
pub fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    read(DeTable::parse(text)?)
}

/// Reads a table.
///
/// # Errors
/// It is not what `T` is.
pub fn read<'a, T: Deserialize<'a>>(table: Spanned<DeTable<'a>>) -> Result<T, Fault> {
    let span = table.span();
    T::deserialize(Value(Spanned::new(span, DeValue::Table(table.into_inner()))))
}

struct Value<'a>(Spanned<DeValue<'a>>);

impl<'a> Value<'a> {
    fn text<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::String(text) => visitor.visit_str(&text),
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }

    fn number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::Integer(digits) => {
                let (text, radix) = (digits.as_str(), digits.radix());
                match (i64::from_str_radix(text, radix), u64::from_str_radix(text, radix)) {
                    (Ok(value), _) => visitor.visit_i64(value),
                    (_, Ok(value)) => visitor.visit_u64(value),
                    _ => Err(Fault::custom(format!("{digits} is too large a number"))),
                }
            }
            DeValue::Float(digits) => match digits.as_str().parse::<f64>() {
                Ok(value) => visitor.visit_f64(value),
                Err(_) => Err(Fault::custom(format!("{digits} is not a number"))),
            },
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }

    fn boolean<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::Boolean(value) => visitor.visit_bool(value),
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }

    fn table<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::Table(table) => visitor.visit_map(Entries { rest: table.into_iter(), value: None }),
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }

    fn array<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::Array(array) => visitor.visit_seq(Items(array.into_iter())),
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }
}

/// What stands there, for a message.
fn kind<'v>(value: &'v DeValue<'_>) -> Unexpected<'v> {
    match value {
        DeValue::String(text) => Unexpected::Str(text),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map_or(Unexpected::Other("integer"), Unexpected::Signed),
        DeValue::Float(digits) => {
            digits.as_str().parse().map_or(Unexpected::Other("float"), Unexpected::Float)
        }
        DeValue::Boolean(value) => Unexpected::Bool(*value),
        DeValue::Datetime(_) => Unexpected::Other("date"),
        DeValue::Array(_) => Unexpected::Seq,
        DeValue::Table(_) => Unexpected::Map,
    }
}

/// These methods do what that one does.
macro_rules! alike {
    ($as:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$as(visitor)
        })*
    };
}

impl<'a> Deserializer<'a> for Value<'a> {
    type Error = Fault;

    alike! { boolean: deserialize_bool }
    alike! { number:
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }
    alike! { text:
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_identifier
    }
    alike! { table: deserialize_map }
    alike! { array: deserialize_seq }

    /// For types that are written in several ways.
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0.get_ref() {
            DeValue::Table(_) => self.table(visitor),
            DeValue::Array(_) => self.array(visitor),
            DeValue::Boolean(_) => self.boolean(visitor),
            DeValue::String(_) => self.text(visitor),
            _ => self.number(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.table(visitor)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        self.array(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.array(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.text(visitor)
    }

    /// What is there is there: TOML has nothing that means nothing.
    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Words alone: no variant has anything to it.
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let span = self.0.span();
        let result = match self.0.into_inner() {
            DeValue::String(word) => visitor.visit_enum(StrDeserializer::new(&word)),
            other => Err(Fault::invalid_type(kind(&other), &visitor)),
        };
        result.map_err(|fault| fault.at(span))
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

/// The rest of a table, and the value of the key before it.
struct Entries<'a> {
    rest: <DeTable<'a> as IntoIterator>::IntoIter,
    value: Option<Spanned<DeValue<'a>>>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let span = key.span();
        let key = key.into_inner();
        seed.deserialize(StrDeserializer::new(&key)).map(Some).map_err(|fault: Fault| fault.at(span))
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = self.value.take().ok_or_else(|| Fault::custom("a value without a key"))?;
        let span = value.span();
        // What a type of ours refuses of a word that it was given has no place yet.
        seed.deserialize(Value(value)).map_err(|fault| fault.at(span))
    }
}

/// The rest of an array.
struct Items<'a>(<DeArray<'a> as IntoIterator>::IntoIter);

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(value) = self.0.next() else { return Ok(None) };
        let span = value.span();
        seed.deserialize(Value(value)).map(Some).map_err(|fault| fault.at(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Word {
        OneWord,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        port: u16,
        host: Option<String>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Outer {
        one: Option<Inner>,
        many: Vec<Inner>,
        named: BTreeMap<String, Inner>,
        word: Option<Word>,
        share: Option<f64>,
        big: u64,
        on: bool,
    }

    fn refused(text: &str) -> (String, Range<usize>) {
        let fault = parse::<Outer>(text).unwrap_err();
        (fault.message, fault.span.unwrap())
    }

    #[test]
    fn every_kind_is_read_wherever_it_stands() {
        let text = "one = { port = 0x1f, host = \"a\\n\" }\nmany = [{ port = 2 }]\nnamed.x.port = 3\n\
                    word = \"one-word\"\nshare = 0.5\nbig = 9_223_372_036_854_775_807\non = true";
        let inner = |port| Inner { port, host: None };
        let expected = Outer {
            one: Some(Inner { host: Some("a\n".into()), ..inner(31) }),
            many: vec![inner(2)],
            named: BTreeMap::from([("x".into(), inner(3))]),
            word: Some(Word::OneWord),
            share: Some(0.5),
            big: i64::MAX.unsigned_abs(),
            on: true,
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse::<Outer>("share = 2").unwrap().share, Some(2.0));
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        for (text, message, span) in [
            ("on = 1", "invalid type: integer `1`, expected a boolean", 5..6),
            ("on = [1]", "invalid type: sequence, expected a boolean", 5..8),
            ("many = 1", "invalid type: integer `1`, expected a sequence", 7..8),
            ("one = [1, \"a\"]", "invalid type: sequence, expected struct Inner", 6..14),
            ("many = [[2, \"a\"]]", "invalid type: sequence, expected struct Inner", 8..16),
            ("one = 2026-01-01", "invalid type: date, expected struct Inner", 6..16),
            ("on = 2026-01-01", "invalid type: date, expected a boolean", 5..15),
            ("word = \"two\"", "unknown variant `two`, expected `one-word`", 7..12),
            ("word = 2", "invalid type: integer `2`, expected enum Word", 7..8),
            ("one = { port = 65536 }", "invalid value: integer `65536`, expected u16", 15..20),
            ("one = { host = \"a\" }", "missing field `port`", 6..20),
            ("big = 99999999999999999999", "99999999999999999999 is too large a number", 6..26),
        ] {
            assert_eq!(refused(text), (message.to_owned(), span), "{text}");
        }
        let (message, span) = refused("on = true\nno = 1");
        assert!(
            message.starts_with("unknown field `no`, expected one of `one`") && span == (10..12),
            "{message}"
        );
        assert!(parse::<Outer>("on = ").unwrap_err().span.is_some());
    }
}
