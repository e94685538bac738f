//! `--filter KEY=VALUE`, as every list takes it: of each key one of the values must fit, of labels all.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// By what every `prune` chooses.
pub const LABELS: [&str; 2] = ["label", "label!"];

/// What was given, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Given(pub Vec<(String, String)>);

impl Given {
    /// Reads `KEY=VALUE`; `check` says why a key has no such value.
    ///
    /// # Errors
    /// There is no such key, or it has no such value.
    pub fn read(
        words: &[String],
        keys: &[&str],
        check: impl Fn(&str, &str) -> std::result::Result<(), String>,
    ) -> Result<Self> {
        let pair = |word: &String| {
            let wrong = |why: String| Error::new(format!("--filter {word:?}: {why}"));
            match word.split_once('=') {
                Some((key, value)) if keys.contains(&key) => {
                    check(key, value).map_err(wrong)?;
                    Ok((key.to_owned(), value.to_owned()))
                }
                _ => Err(wrong(format!("not KEY=VALUE with one of {}", keys.join(", ")))),
            }
        };
        words.iter().map(pair).collect::<Result<_>>().map(Self)
    }

    /// The values of a key.
    pub fn of(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// One of the values of a key fits, or it has none.
    pub fn one(&self, key: &str, fits: impl Fn(&str) -> bool) -> bool {
        let mut values = self.of(key).peekable();
        values.peek().is_none() || values.any(fits)
    }

    /// All values of `label`, each `KEY` or `KEY=VALUE`, are among these, and none of those of `label!`.
    pub fn labels(&self, own: &BTreeMap<String, String>) -> bool {
        let has = |word: &str| match word.split_once('=') {
            Some((key, value)) => own.get(key).is_some_and(|is| is == value),
            None => own.contains_key(word),
        };
        self.of("label").all(has) && !self.of("label!").any(has)
    }
}

/// What is said of a value that is none of [`boolean`]'s.
pub const NO_BOOLEAN: &str = "neither true nor false";

/// A value in Docker's words.
pub fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_one_fits_and_of_labels_all() {
        let words = ["name=a", "name=b", "label=tier=front", "label=old"].map(str::to_owned);
        let given = Given::read(&words, &["name", "label", "id"], |_, _| Ok(())).unwrap();
        assert!(given.one("name", |value| value == "b") && given.one("id", |_| false));
        assert!(!given.one("name", |value| value == "c"));
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        assert!(given.labels(&labels(&[("tier", "front"), ("old", "")])));
        assert!(!given.labels(&labels(&[("tier", "back"), ("old", "")])));
        assert!(!given.labels(&labels(&[("tier", "front")])));
        let words = ["label!=tier=back", "label!=new"].map(str::to_owned);
        let others = Given::read(&words, &LABELS, |_, _| Ok(())).unwrap();
        assert!(others.labels(&labels(&[("tier", "front")])) && others.labels(&labels(&[])));
        assert!(!others.labels(&labels(&[("tier", "back")])) && !others.labels(&labels(&[("new", "")])));
        let words = ["name=a"].map(str::to_owned);
        let why = Given::read(&words, &["name"], |_, value| Err(format!("no {value}"))).unwrap_err();
        assert_eq!(why.message, "--filter \"name=a\": no a");
    }
}
