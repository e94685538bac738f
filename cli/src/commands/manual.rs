//! `manual`: a manual page for the command and each verb, from the description that `--help` shows.

use crate::arguments::{self, Manual};
use crate::error::{Context, Result};
use clap::{Arg, Command};
use std::fmt::Write as _;
use std::fs;

/// What stands before examples.
const EXAMPLES: &str = "Examples:";

/// Writes `skerry.1`, `skerry-run.1` and so on into a folder.
pub fn manual(asked: &Manual) -> Result<()> {
    fs::create_dir_all(&asked.folder).context(|| format!("make {}", asked.folder.display()))?;
    let mut command = arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, "skerry", &mut pages);
    for (name, text) in pages {
        let path = asked.folder.join(format!("{name}.1"));
        fs::write(&path, text).context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn collect(command: &Command, name: &str, pages: &mut Vec<(String, String)>) {
    pages.push((name.to_owned(), page(command, name)));
    for verb in shown(command) {
        collect(verb, &format!("{name}-{}", verb.get_name()), pages);
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set())
}

fn page(command: &Command, name: &str) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = format!(".TH {} 1 \"\" Skerry \"User commands\"\n.ad l\n", escape(&name.to_uppercase()));
    let _ = writeln!(page, ".SH NAME\n{} \\- {}", escape(name), escape(&lower(&about)));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = writeln!(page, ".SH SYNOPSIS\n.B {}", escape(usage));
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    if !aliases.is_empty() {
        let _ = writeln!(page, ".SH DESCRIPTION\nAlso called {}.", escape(&aliases.join(", ")));
    }
    section(&mut page, "ARGUMENTS", command.get_positionals());
    section(&mut page, "OPTIONS", command.get_opts().chain(flags(command)));
    verbs(&mut page, command, name);
    if let Some(text) = command.get_after_help() {
        more(&mut page, &text.to_string());
    }
    if name != "skerry" {
        page.push_str(".SH SEE ALSO\n.BR skerry (1)\n");
    }
    page
}

fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.get_action().takes_values())
}

fn section<'a>(page: &mut String, title: &str, arguments: impl Iterator<Item = &'a Arg>) {
    let arguments: Vec<&Arg> = arguments.filter(|arg| !arg.is_hide_set()).collect();
    if arguments.is_empty() {
        return;
    }
    let _ = writeln!(page, ".SH {title}");
    for argument in arguments {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(page, ".TP\n{}\n{}", term(argument), text(&help));
        let usual = argument.get_default_values().iter().map(|value| value.to_string_lossy());
        let usual: Vec<_> = usual.filter(|value| !value.is_empty()).collect();
        if argument.get_action().takes_values() && !usual.is_empty() {
            let _ = write!(page, ". Without it: {}.", escape(&usual.join(", ")));
        }
        page.push('\n');
    }
}

/// `-s, --signal SIGNAL`
fn term(argument: &Arg) -> String {
    let values: Vec<String> = argument
        .get_value_names()
        .into_iter()
        .flatten()
        .map(|name| format!("\\fI{}\\fR", escape(name)))
        .collect();
    if argument.is_positional() {
        return values.join(" ");
    }
    let short = argument.get_short().map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = argument.get_long().map(|word| format!("\\fB\\-\\-{}\\fR", escape(word)));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let names = names.join(", ");
    if argument.get_action().takes_values() { format!("{names} {}", values.join(" ")) } else { names }
}

fn verbs(page: &mut String, command: &Command, name: &str) {
    let mut verbs = shown(command).peekable();
    if verbs.peek().is_some() {
        page.push_str(".SH VERBS\n");
    }
    for verb in verbs {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let _ =
            writeln!(page, ".TP\n.BR {}\\-{} (1)\n{}", escape(name), escape(verb.get_name()), text(&about));
    }
}

/// Examples are lines that begin with two spaces; everything else is text.
fn more(page: &mut String, words: &str) {
    let mut quoted = false;
    if !words.starts_with(EXAMPLES) {
        page.push_str(".SH NOTES\n");
    }
    for line in words.lines() {
        if line == EXAMPLES {
            page.push_str(".SH EXAMPLES\n");
            continue;
        }
        let is_quoted = line.starts_with("  ");
        match (quoted, is_quoted) {
            (false, true) => page.push_str(".PP\n.nf\n"),
            (true, false) => page.push_str(".fi\n.PP\n"),
            _ => {}
        }
        quoted = is_quoted;
        match line.trim() {
            "" => page.push_str(".PP\n"),
            line => {
                let _ = writeln!(page, "{}", text(line));
            }
        }
    }
    if quoted {
        page.push_str(".fi\n");
    }
}

/// A line of text, which is no request of roff's.
fn text(line: &str) -> String {
    let line = escape(line);
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...")
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_verb_with_every_option() {
        let mut command = arguments::command();
        command.build();
        let mut pages = Vec::new();
        collect(&command, "skerry", &mut pages);
        let run = &pages.iter().find(|(name, _)| name == "skerry-run").unwrap().1;
        for option in command.find_subcommand("run").unwrap().get_arguments().filter(|arg| !arg.is_hide_set())
        {
            let Some(long) = option.get_long() else { continue };
            assert!(run.contains(&format!("\\fB\\-\\-{}\\fR", escape(long))), "{long}");
        }
        assert!(run.contains("\nskerry run \\-it \\-\\-rm busybox\n"), "{run}");
        let main = &pages[0].1;
        for verb in shown(&command) {
            assert!(main.contains(&format!(".BR skerry\\-{} (1)", escape(verb.get_name()))));
        }
        assert!(pages.iter().any(|(name, _)| name == "skerry-volume-ls"));
    }
}
