//! The manual page and the shells' completions, compared with the program.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const BASH: &str = "completions/skerry-runtime.bash";
/// The others are only looked at: their shells are not on every machine.
const COMPLETIONS: [&str; 3] = [BASH, "completions/_skerry-runtime", "completions/skerry-runtime.fish"];

/// Taken because callers of runc give them; they change nothing, or are another name.
const UNTOLD: [&str; 5] = ["debug", "no-subreaper", "cpu-shares", "kernel-memory", "kernel-memory-tcp"];

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn usage() -> String {
    let program = env!("CARGO_BIN_EXE_skerry-runtime");
    String::from_utf8(Command::new(program).arg("--help").output().unwrap().stdout).unwrap()
}

/// What stands between quotes behind a mark in the parser's own text.
fn quoted<'a>(text: &'a str, mark: &str) -> BTreeSet<&'a str> {
    text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Long options of the parser, but for those untold.
fn options(sources: &str) -> BTreeSet<&str> {
    let parts = sources.split_once("fn limit(").unwrap().1;
    let limits = parts.split("=>").filter_map(|arm| arm.rsplit('\n').next()?.trim().strip_prefix('"'));
    let limits = limits
        .flat_map(|arm| arm.split(['"', ' ', '|']))
        .filter(|name| name.contains(|letter: char| letter.is_ascii_lowercase()));
    let mut all = quoted(sources, "Long(\"");
    all.extend(limits.filter(|name| name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-')));
    all.into_iter().filter(|name| !UNTOLD.contains(name)).collect()
}

fn sources() -> String {
    let limits = read("src/arguments/inspect.rs");
    read("src/arguments/mod.rs")
        + &read("src/arguments/lifecycle.rs")
        + limits.split("fn bytes(").next().unwrap()
}

fn commands(usage: &str) -> Vec<&str> {
    let list = usage.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let named = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    named.map(|line| line.split_whitespace().next().unwrap()).collect()
}

/// Whether a text has a word that stands alone.
fn has(text: &str, word: &str) -> bool {
    let joins = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

#[test]
fn every_option_of_the_parser_is_told() {
    let (sources, usage) = (sources(), usage());
    let options = options(&sources);
    assert!(
        options.len() > 40 && options.contains("cpuset-mems") && options.contains("preserve-fds"),
        "{options:?}"
    );
    let page = read("../docs/man/skerry-runtime.8").replace("\\-", "-");
    for option in &options {
        let dashed = format!("--{option}");
        assert!(has(&usage, &dashed), "usage.txt lacks {dashed}");
        assert!(has(&page, &dashed), "the manual page lacks {dashed}");
        for completion in COMPLETIONS {
            let text = read(completion);
            assert!(
                has(&text, &dashed) || text.contains(&format!(" -l {option} ")),
                "{completion} lacks {dashed}"
            );
        }
    }
}

#[test]
fn every_option_that_is_told_exists() {
    let sources = sources();
    let known = options(&sources);
    let page = read("../docs/man/skerry-runtime.8").replace("\\-", "-");
    for (name, text) in [("usage.txt", usage()), ("the manual page", page), (BASH, read(BASH))] {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        for option in words.filter_map(|word| word.strip_prefix("--")).filter(|option| !option.is_empty()) {
            assert!(known.contains(option), "{name} has --{option}, which the program lacks");
        }
    }
}

#[test]
fn every_command_is_told_with_an_example() {
    let (usage, sources) = (usage(), read("src/arguments/mod.rs"));
    let commands = commands(&usage);
    let body = sources.split_once("fn command(").unwrap().1.split("\n}\n").next().unwrap();
    let parsed: BTreeSet<&str> =
        body.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
    assert_eq!(parsed, commands.iter().copied().chain(["help"]).collect());
    let page = read("../docs/man/skerry-runtime.8").replace("\\-", "-");
    for command in commands {
        assert!(page.lines().any(|line| line.starts_with(&format!(".SS {command}"))), "no section {command}");
        assert!(page.contains(&format!("\nskerry-runtime {command}")), "no example of {command}");
        for completion in COMPLETIONS {
            assert!(has(&read(completion), command), "{completion} lacks {command}");
        }
    }
}

/// Long options in a command's part of the usage; `run` takes those of `create` besides.
fn options_of(usage: &str, command: &str) -> BTreeSet<String> {
    let list = usage.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    let all = format!("\n{list}").replace("\n  ", "\n").replace("\n  ", " ");
    let part = all.lines().find(|line| line.split(' ').next() == Some(command)).unwrap();
    let words = part.split([' ', ',', ';']).filter_map(|word| word.strip_prefix("--"));
    words.map(|word| format!("--{word}")).collect()
}

#[test]
fn every_option_is_told_of_its_command() {
    let (usage, fish) = (usage(), read("completions/skerry-runtime.fish"));
    let page = read("../docs/man/skerry-runtime.8").replace("\\-", "-");
    for command in commands(&usage) {
        let own = options_of(&usage, command);
        let section = page.split("\n.S").find(|part| has(part.lines().next().unwrap(), command)).unwrap();
        for option in &own {
            assert!(has(section, option), "the manual page lacks {option} of {command}");
            let line = format!(" -l {} ", &option[2..]);
            let told = fish.lines().any(|one| one.contains(&line) && has(one, command));
            assert!(told, "skerry-runtime.fish lacks {option} of {command}");
        }
        let created = options_of(&usage, if command == "run" { "create" } else { command });
        let all: Vec<String> = own.union(&created).cloned().collect();
        let offered = offered(&[env!("CARGO_BIN_EXE_skerry-runtime"), command, "--"]);
        assert_eq!(offered, all, "{BASH}, {command}");
    }
    let program = env!("CARGO_BIN_EXE_skerry-runtime");
    assert_eq!(offered(&[program, "spec", "--rootless", "--b"]), ["--bundle"]);
    assert_eq!(offered(&[program, "--rootless", ""]), ["auto", "false", "true"]);
}

/// What bash offers for the last of these words, sorted.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _skerry_runtime; printf '%s\n' "${COMPREPLY[@]}""#;
    let path = format!("{}/{BASH}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash")
        .args(["--norc", "-c", script, &path])
        .args(words)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut offered: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes() {
    let program = env!("CARGO_BIN_EXE_skerry-runtime");
    let usage = usage();
    let mut commands = commands(&usage);
    commands.sort_unstable();
    assert_eq!(offered(&[program, ""]), commands);
    assert_eq!(offered(&[program, "--root", "/run/x", "st"]), ["start", "state"]);
    assert_eq!(offered(&[program, "--log-format", "j"]), ["json"]);
    assert_eq!(offered(&[program, "run", "--de"]), ["--detach"]);
    assert_eq!(offered(&[program, "update", "--cpuset"]), ["--cpuset-cpus", "--cpuset-mems"]);
    assert_eq!(offered(&[program, "kill", "web", "SIGUSR"]), ["SIGUSR1", "SIGUSR2"]);
    assert_eq!(offered(&[program, "exec", "--cap", "CAP_KILL", "--ig"]), ["--ignore-paused"]);
    assert_eq!(offered(&[program, "create", ""]), [""; 0]);
}

#[test]
fn bash_completes_the_names_of_containers() {
    let root = std::env::temp_dir().join(format!("manual-{}", std::process::id()));
    for id in ["web", "worker", "other"] {
        fs::create_dir_all(root.join(id)).unwrap();
        let record = format!(
            r#"{{"id":"{id}","process":null,"complete":false,"bundle":"/","rootfs":"/","cgroup":null,"created":"","owner":0,"annotations":{{}}}}"#
        );
        fs::write(root.join(id).join("state.json"), record).unwrap();
    }
    let program = env!("CARGO_BIN_EXE_skerry-runtime");
    let offered = offered(&[program, "--root", root.to_str().unwrap(), "state", "w"]);
    fs::remove_dir_all(root).unwrap();
    assert_eq!(offered, ["web", "worker"]);
}

#[test]
fn the_version_is_read_by_those_who_read_runcs() {
    let program = env!("CARGO_BIN_EXE_skerry-runtime");
    let output = Command::new(program).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // containerd's library: three lines, each in two where it is split.
    let lines: Vec<&str> = text.trim().split('\n').collect();
    let [first, commit, spec] = lines[..] else { panic!("{text}") };
    for (line, at) in [(first, "version "), (commit, ": "), (spec, ": ")] {
        assert_eq!(line.split(at).count(), 2, "{line}");
    }
    // dockerd: a line with "version", its name before and its number behind; one that begins with "commit:".
    assert_eq!(
        first.split("version").map(str::trim).collect::<Vec<_>>(),
        ["skerry-runtime", env!("CARGO_PKG_VERSION")]
    );
    assert!(
        !commit.contains("version") && !spec.contains("version") && commit.starts_with("commit: "),
        "{text}"
    );
    assert!(spec.starts_with("spec: 1."), "{text}");
}
