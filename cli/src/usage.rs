//! What is wrong with a command line, in one line, with the nearest word that is right.

use crate::error::Error;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use spec::nearest::nearest;
use std::error::Error as _;

/// Exit status of a verb whose options are wrong; of a verb that there is none of, and of words that are missing or too many,
/// it is 1. All are Docker's.
const OPTIONS: u8 = 125;

/// Says it; `words` are the command line's, and `command` its description.
pub fn wrong(error: &clap::Error, command: &Command, words: &[String]) -> Error {
    let (level, verb, help) = verb(command, words);
    let of = |kind| error.get(kind).map(text).unwrap_or_default();
    let (argument, value) = (of(ContextKind::InvalidArg), of(ContextKind::InvalidValue));
    let near = |kind| match error.get(kind).map(first).filter(|near| !near.is_empty()) {
        Some(near) => format!(" (did you mean {near}?)"),
        None => String::new(),
    };
    let (words, status) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = of(ContextKind::InvalidSubcommand);
            let verbs = level.get_subcommands().filter(|verb| !verb.is_hide_set()).map(Command::get_name);
            let near =
                nearest(&word, verbs).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
            (format!("{word}: there is no such verb{near}; {help} lists them"), 1)
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let near = near(ContextKind::SuggestedArg);
            (format!("{argument}: there is no such option{near}; {help} lists them"), OPTIONS)
        }
        ErrorKind::UnknownArgument => (format!("{argument:?}: is one word too many; {help} tells more"), 1),
        ErrorKind::MissingRequiredArgument => {
            let status = if argument.starts_with('-') { OPTIONS } else { 1 };
            (format!("{argument}: is missing; {help} tells more"), status)
        }
        ErrorKind::InvalidValue if value.is_empty() => (format!("{argument}: its value is missing"), OPTIONS),
        ErrorKind::InvalidValue => {
            let known = of(ContextKind::ValidValue);
            (format!("{argument}: {value:?} is none of {known}"), OPTIONS)
        }
        ErrorKind::ValueValidation => {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            (format!("{argument}: {value:?}: {why}"), OPTIONS)
        }
        ErrorKind::ArgumentConflict => {
            (format!("{argument}: not together with {}", of(ContextKind::PriorArg)), OPTIONS)
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            (line.trim_start_matches("error: ").to_owned(), OPTIONS)
        }
    };
    Error::new(format!("{verb}{words}")).with_status(status)
}

/// The verb that is meant, its name with a colon, and the help about it.
fn verb<'c>(command: &'c Command, words: &[String]) -> (&'c Command, String, String) {
    let (mut at, mut path) = (command, Vec::new());
    for word in words.iter().skip(1) {
        match at.find_subcommand(word) {
            Some(deeper) => (at, _) = (deeper, path.push(deeper.get_name())),
            // What follows are its own words.
            None if !path.is_empty() => break,
            None => {}
        }
    }
    let path = path.join(" ");
    let colon = if path.is_empty() { String::new() } else { format!("{path}: ") };
    let space = if path.is_empty() { "" } else { " " };
    (at, colon, format!("skerry {path}{space}--help"))
}

fn text(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        _ => String::new(),
    }
}

fn first(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(texts) => texts.first().cloned().unwrap_or_default(),
        other => text(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::command;

    fn told(line: &str) -> (String, u8) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = command().try_get_matches_from(&words).unwrap_err();
        let error = wrong(&error, &command(), &words);
        (error.message, error.status)
    }

    #[test]
    fn the_nearest_word_is_told_and_where_the_others_are() {
        for (line, words, status) in [
            (
                "skerry rnu busybox",
                "rnu: there is no such verb (did you mean run?); skerry --help lists them",
                1,
            ),
            (
                "skerry run --memroy 1m busybox",
                "run: --memroy: there is no such option (did you mean --memory?); skerry run --help lists them",
                125,
            ),
            ("skerry run", "run: <IMAGE> [COMMAND]...: is missing; skerry run --help tells more", 1),
            ("skerry ps extra", "ps: \"extra\": is one word too many; skerry ps --help tells more", 1),
            (
                "skerry stop -t soon web",
                "stop: --time <SECONDS>: \"soon\": invalid digit found in string",
                125,
            ),
            (
                "skerry volume lss",
                "volume: lss: there is no such verb (did you mean ls?); skerry volume --help lists them",
                1,
            ),
            (
                "skerry run --pull often x",
                "run: --pull <PULL>: \"often\" is none of missing, always, never",
                125,
            ),
            ("skerry logs web --tail", "logs: --tail <TAIL>: its value is missing", 125),
        ] {
            assert_eq!(told(line), (words.to_owned(), status), "{line}");
        }
    }
}
