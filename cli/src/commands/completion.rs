//! `completion`: the script of clap_complete, which knows verbs and options, and beside it what offers names of
//! containers, images, networks and volumes.
//!
//! Which of them an argument is, is told by its value name, so the description of the command line is all that
//! there is to keep. The shell asks this program for the names when it offers them.

use crate::arguments::{self, Completion};
use clap::{Arg, Command};
use clap_complete::Shell;
use std::collections::{BTreeMap, BTreeSet};

/// Value names of what has names, and the verb that lists them. An argument may be of several: `CONTAINER|IMAGE`.
const LISTS: [(&str, &str); 4] = [
    ("CONTAINER", "ps -a --format '{{.Names}}'"),
    ("IMAGE", r#"images --format '{{if ne .Tag "<none>"}}{{.Repository}}:{{.Tag}}{{end}}'"#),
    ("NETWORK", "network ls -q"),
    ("VOLUME", "volume ls -q"),
];

/// The value name of a program and its arguments: nothing of ours is offered there.
const COMMAND: &str = "COMMAND";

/// What has no names.
const OTHER: &str = "-";

/// `skerry completion`
pub fn completion(asked: &Completion) {
    // Words that nobody types are not offered.
    let whole = arguments::command();
    let verbs = whole.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned();
    let shown = Command::new("skerry").disable_help_subcommand(true).version("").subcommands(verbs);
    super::print_all(&match asked.shell {
        Shell::Bash => bash(shown),
        Shell::Zsh => zsh(shown),
        Shell::Fish => fish(shown),
        other => script(other, &mut shown.clone()),
    });
}

/// What clap_complete makes of a command line, to which it adds what clap has in every one.
fn script(shell: Shell, shown: &mut Command) -> String {
    let mut script = Vec::new();
    // It panics where it cannot write.
    clap_complete::generate(shell, shown, "skerry", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Its function asks ours first.
fn bash(mut shown: Command) -> String {
    let script = script(Shell::Bash, &mut shown);
    let script = script.replacen("_skerry() {\n", "_skerry() {\n    _skerry_offer \"$2\" && return\n", 1);
    let verb = |(Takes { depth, values, places, rest }, verbs): (Takes, Vec<String>)| {
        let (verbs, places) = (verbs.join(" '* | '"), quoted(&places));
        format!("'{verbs} '*) depth={depth} values='{values}' places=({places}) rest='{rest}' ;;")
    };
    let option = |(long, takes)| format!("--{long}) takes='{takes}' ;;");
    let ours = include_str!("completion/offer.bash");
    let ours = fill(ours, "VERBS", verbs(&shown).into_iter().map(verb));
    let ours = fill(&ours, "OPTIONS", options(&shown).into_iter().map(option));
    format!("{script}\n{}\n{ours}", names())
}

/// It finds the place of a word itself; what is offered there is ours.
fn zsh(shown: Command) -> String {
    /// Its script has value names of options alone, and of other arguments the help.
    fn with_value_names(verb: Command) -> Command {
        let told = |arg: Arg| match arg.get_help().filter(|_| arg.is_positional()) {
            Some(help) => {
                let help = format!("{help}: {}", value_names(&arg).join(" "));
                arg.help(help)
            }
            None => arg,
        };
        verb.mut_args(told).mut_subcommands(with_value_names)
    }
    /// A line that describes an argument which has names.
    fn offering(line: &str) -> Option<String> {
        let argument = line.strip_suffix(":_default' \\")?;
        let (argument, begins_program) = match argument.strip_suffix(COMMAND) {
            Some(argument) => (argument.trim_end(), true),
            None => (argument, false),
        };
        let name = argument.rsplit([' ', ':']).next()?;
        let takes = Some(kind(name)).filter(|takes| takes != OTHER)?;
        Some(match begins_program {
            // No option of ours comes after it.
            true => format!("'(-)1:{name}: _skerry_offer {takes}' \\\n'*:{COMMAND}:_default' \\"),
            false => format!("{argument}: _skerry_offer {takes}' \\"),
        })
    }
    // In a value name a colon would be the end.
    let of_options: BTreeSet<String> = each(&shown)
        .into_iter()
        .flat_map(|(_, verb)| verb.get_opts())
        .flat_map(value_names)
        .map(str::to_owned)
        .collect();
    let script = script(Shell::Zsh, &mut with_value_names(shown));
    let script = of_options.iter().filter(|name| name.contains(':')).fold(script, |script, name| {
        script.replace(&format!(":{name}:"), &format!(":{}:", name.replace(':', "\\:")))
    });
    let lines = script.lines().map(|line| offering(line).unwrap_or_else(|| line.to_owned()));
    let (first, lines) = ("#compdef skerry", lines.skip(1).collect::<Vec<_>>().join("\n"));
    format!("{first}\n\n{}\n{}\n{lines}\n", names(), include_str!("completion/offer.zsh"))
}

/// It knows no arguments but those of options, to which names are added; others are found by ours.
fn fish(mut shown: Command) -> String {
    let script = script(Shell::Fish, &mut shown);
    let options = options(&shown);
    let offering = |line: &str| {
        let has = |long: &str| line.contains(&format!(" -l {long} ")) && line.ends_with(" -r");
        match options.iter().find(|(long, _)| has(long)) {
            Some((_, takes)) => format!("{line} -f -a \"(__fish_skerry_names {takes})\"\n"),
            None => format!("{line}\n"),
        }
    };
    let verb = |(Takes { depth, values, places, rest }, verbs): (Takes, Vec<String>)| {
        let (verbs, places) = (verbs.join(" *' '"), quoted(&places));
        format!(
            "case '{verbs} *'\n            set depth {depth}; set values '{values}'; set places {places}; set rest '{rest}'"
        )
    };
    let list = |(name, list)| format!("case {name}\n                command skerry {list}");
    let ours = fill(include_str!("completion/offer.fish"), "VERBS", verbs(&shown).into_iter().map(verb));
    let ours = fill(&ours, "LISTS", LISTS.into_iter().map(list));
    format!("{}\n{ours}", script.lines().map(offering).collect::<String>())
}

/// A function that prints names, for bash and zsh.
fn names() -> String {
    let list = |(name, list)| format!("{name}) command skerry {list} ;;");
    fill(include_str!("completion/names.sh"), "LISTS", LISTS.into_iter().map(list))
}

/// Puts lines in the place of `@NAME@`, as far to the right as that is.
fn fill(text: &str, name: &str, lines: impl Iterator<Item = String>) -> String {
    let mark = format!("@{name}@");
    let before = text.split(&mark).next().and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
    text.replace(&mark, &lines.collect::<Vec<_>>().join(&format!("\n{before}")))
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// What a verb takes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Takes {
    /// The number of words before its arguments.
    depth: usize,
    /// A regular expression of its options that have the next word for their value.
    values: String,
    /// What its arguments are, in their order,
    places: Vec<String>,
    /// and what all that follow are.
    rest: String,
}

/// What has names, in words of the scripts.
fn kind(value_name: &str) -> String {
    let has_names = |name| LISTS.iter().any(|(named, _)| *named == name);
    match value_name == COMMAND || value_name.split('|').all(has_names) {
        true => value_name.replace('|', " "),
        false => OTHER.to_owned(),
    }
}

fn value_names(arg: &Arg) -> Vec<&str> {
    arg.get_value_names().into_iter().flatten().map(|name| name.as_str()).collect()
}

/// Verbs of which an argument has names, by what they take.
fn verbs(shown: &Command) -> BTreeMap<Takes, Vec<String>> {
    let mut verbs: BTreeMap<Takes, Vec<String>> = BTreeMap::new();
    for (words, verb) in each(shown) {
        let (mut places, mut rest) = (Vec::new(), OTHER.to_owned());
        for arg in verb.get_positionals() {
            places.extend(value_names(arg).into_iter().map(kind));
            if arg.get_num_args().is_some_and(|number| number.max_values() > 1) {
                rest = places.pop().unwrap_or(rest);
            }
        }
        if places.iter().chain([&rest]).any(|place| place != OTHER) {
            let takes = Takes { depth: words.len() + 1, values: values(verb), places, rest };
            verbs.entry(takes).or_default().push(words.join(" "));
        }
    }
    verbs
}

/// Every verb by each of its names, and those of groups.
fn each(command: &Command) -> Vec<(Vec<&str>, &Command)> {
    let named = command
        .get_subcommands()
        .flat_map(|verb| verb.get_name_and_visible_aliases().into_iter().map(move |name| (name, verb)));
    named
        .flat_map(|(name, verb)| {
            let deeper =
                each(verb).into_iter().map(move |(words, verb)| ([&[name], &words[..]].concat(), verb));
            [(vec![name], verb)].into_iter().chain(deeper)
        })
        .collect()
}

/// Options that have the next word for their value; beside `-i`, which has none, of `-e` and `--env`: `^(-[i]*[e]|--env)$`.
fn values(verb: &Command) -> String {
    let options = || verb.get_arguments().filter(|arg| !arg.is_positional());
    let (with, without): (Vec<&Arg>, Vec<&Arg>) = options().partition(|arg| takes_next(arg));
    let shorts = |args: &[&Arg]| -> String {
        args.iter().filter_map(|arg| arg.get_short_and_visible_aliases()).flatten().collect()
    };
    let flags = Some(shorts(&without)).filter(|flags| !flags.is_empty());
    let flags = flags.map_or_else(String::new, |flags| format!("[{flags}]*"));
    let letters = Some(shorts(&with)).filter(|letters| !letters.is_empty());
    let letters = letters.map(|letters| format!("-{flags}[{letters}]"));
    let longs = with.iter().filter_map(|arg| arg.get_long_and_visible_aliases()).flatten();
    let all: Vec<String> = letters.into_iter().chain(longs.map(|long| format!("--{long}"))).collect();
    format!("^({})$", all.join("|"))
}

/// Whether the word after an option is its value.
fn takes_next(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

/// Options whose values have names.
fn options(shown: &Command) -> BTreeSet<(String, String)> {
    let args = each(shown).into_iter().flat_map(|(_, verb)| verb.get_opts());
    args.flat_map(|arg| {
        let takes = value_names(arg).first().map_or_else(|| OTHER.to_owned(), |name| kind(name));
        let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
        longs.into_iter().map(move |long| (long.to_owned(), takes.clone()))
    })
    .filter(|(_, takes)| takes != OTHER)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lists_names_is_a_command_line() {
        for (_, list) in LISTS {
            let words = crate::line::split(&format!("skerry {list}")).unwrap();
            let parsed = arguments::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{list}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn an_argument_that_is_a_name_says_of_what() {
        let mut command = arguments::command();
        command.build();
        for (words, verb) in each(&command) {
            for arg in verb.get_positionals() {
                let is_named = LISTS
                    .iter()
                    .any(|(name, _)| arg.get_id().as_str().trim_end_matches('s').eq_ignore_ascii_case(name));
                let says = value_names(arg).iter().any(|name| kind(name) != OTHER);
                assert!(says || !is_named, "{words:?} {}", arg.get_id());
            }
        }
    }

    #[test]
    fn a_value_name_with_a_colon_is_whole_in_zsh() {
        let script = zsh(arguments::command());
        for name in [":NAME\\:ADDRESS:_default'", ":NAME=SOFT[\\:HARD]:_default'"] {
            assert!(script.contains(name), "{name}: {script}");
        }
    }

    #[test]
    fn an_option_takes_the_next_word_or_none() {
        let exec = arguments::command().find_subcommand("exec").unwrap().clone();
        let told = values(&exec);
        assert!(told.starts_with("^(-[itd]*[euw]|--env|") && !told.contains("--tty"), "{told}");
    }
}
