//! The command line with examples: what `--help` and the manual pages end with.

use super::Arguments;
use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory};

/// Of those verbs that say nothing more about themselves.
const EXAMPLES: [(&str, &[&str]); 29] = [
    ("create", &["skerry create --name web -v pages:/usr/share/nginx/html nginx"]),
    ("start", &["skerry start web db", "skerry start -ai shell"]),
    ("stop", &["skerry stop web", "skerry stop -t 60 db", "skerry stop -s INT app"]),
    ("restart", &["skerry restart web"]),
    ("kill", &["skerry kill web", "skerry kill -s HUP web"]),
    ("pause", &["skerry pause web"]),
    ("unpause", &["skerry unpause web"]),
    ("rename", &["skerry rename web old-web"]),
    ("rm", &["skerry rm web", "skerry rm -f web db"]),
    (
        "ps",
        &[
            "skerry ps -a",
            "skerry ps -a --filter status=exited -q",
            "skerry ps --format 'table {{.Names}}\\t{{.Status}}'",
        ],
    ),
    ("logs", &["skerry logs -f --tail 20 web", "skerry logs --since 10m -t web"]),
    ("attach", &["skerry attach shell", "skerry attach --no-stdin web"]),
    ("inspect", &["skerry inspect web", "skerry inspect -f '{{.State.Status}}' web"]),
    ("stats", &["skerry stats", "skerry stats --no-stream --format json web"]),
    ("top", &["skerry top web"]),
    ("wait", &["skerry wait job", "skerry wait --condition removed job"]),
    ("events", &["skerry events --filter event=die", "skerry events --since 1h --until 0s"]),
    ("port", &["skerry port web", "skerry port web 80"]),
    ("images", &["skerry images", "skerry images --format '{{.Repository}}:{{.Tag}}'"]),
    ("save", &["skerry save app -o app.tar", "skerry save app db | docker load"]),
    ("export", &["skerry export web -o web.tar", "skerry export web | tar t"]),
    ("push", &["skerry push registry.example:5000/app:1.2"]),
    ("tag", &["skerry tag app registry.example:5000/app:1.2"]),
    ("rmi", &["skerry rmi app:1.1"]),
    ("login", &["skerry login registry.example", "skerry login -u me --password-stdin registry.example"]),
    ("prune", &["skerry prune", "skerry prune -af"]),
    ("info", &["skerry info", "skerry info -f '{{.Kernel}}'"]),
    ("console", &["skerry console", "skerry console /dev/ttyS1"]),
    ("completion", &["skerry completion bash"]),
];

/// The whole command line.
pub fn command() -> Command {
    EXAMPLES.into_iter().fold(Arguments::command(), |command, (verb, lines)| {
        let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        command.mut_subcommand(verb, |verb| verb.after_help(format!("Examples:{lines}")))
    })
}

/// The same, where a flag may have a value: `--rm=false`.
pub fn command_with_values() -> Command {
    fn with_values(command: Command) -> Command {
        let flag = |arg: Arg| match arg.get_action() {
            ArgAction::SetTrue => arg
                .action(ArgAction::Set)
                .value_parser(BoolishValueParser::new())
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true"),
            _ => arg,
        };
        command.mut_args(flag).mut_subcommands(with_values)
    }
    with_values(command())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    /// Words of a shell's line that has single quotes alone.
    fn words(line: &str) -> Vec<String> {
        crate::line::split(line).unwrap()
    }

    #[test]
    fn every_example_is_a_command_line() {
        let mut seen = 0;
        for verb in command().get_subcommands() {
            let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter_map(|line| line.strip_prefix("  ")) {
                let own = line.split(" | ").find(|part| part.starts_with("skerry ")).unwrap();
                let parsed = command().try_get_matches_from(words(own));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
                seen += 1;
            }
        }
        assert!(seen > 45, "{seen}");
    }

    #[test]
    fn a_flag_may_have_a_value() {
        let run = |line: &str| {
            let matches = command_with_values().try_get_matches_from(words(line)).unwrap();
            let crate::arguments::Command::Run(run) = Arguments::from_arg_matches(&matches).unwrap().command
            else {
                panic!()
            };
            *run
        };
        let told = run("skerry run -it --rm=true --init=false --detach=1 --sig-proxy=false x y --rm=no");
        let options = &told.options;
        assert!(options.rm && options.interactive && options.tty && told.detach && !told.sig_proxy);
        assert_eq!(options.command(), ["y", "--rm=no"]);
        assert!(command_with_values().try_get_matches_from(words("skerry run --rm=maybe x")).is_err());
    }

    #[test]
    fn every_verb_has_an_example() {
        let untold = ["logout", "version", "transfer", "manual", "network"];
        for verb in command().get_subcommands().filter(|verb| !untold.contains(&verb.get_name())) {
            let deeper = verb.get_subcommands().next().is_some();
            let text = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(deeper || text.contains("Examples:\n  "), "{}", verb.get_name());
        }
    }
}
