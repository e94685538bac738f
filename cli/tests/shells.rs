//! The command in the hands of shells and of man(1): completions and manual pages. What is not
//! installed here cannot be asked, which is said.

use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

const SKERRY: &str = env!("CARGO_BIN_EXE_skerry");

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        // What a test prints is kept from the reader of one that passes.
        let _ = writeln!(std::io::stderr(), "left out: {program} is not installed");
    }
    found
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn folder(name: &str) -> Folder {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let own = format!("shells-{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = Folder(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(own));
    std::fs::create_dir_all(&*folder).unwrap();
    folder
}

/// A folder in which `_skerry` has a shell's completion.
fn completion(shell: &str) -> Folder {
    let said = Command::new(SKERRY).args(["completion", shell]).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let folder = folder(shell);
    std::fs::write(folder.join("_skerry"), said.stdout).unwrap();
    folder
}

/// A shell in a folder that has its `_skerry`; the program that it asks for names is `names/skerry`.
fn shell(words: &[&str]) -> (Folder, Command) {
    let folder = completion(words[0]);
    let mut command = Command::new(words[0]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/names");
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    command.args(&words[1..]).env("PATH", path).env_remove("NOBODY").current_dir(&*folder);
    (folder, command)
}

/// What it printed, of which nothing is to be a complaint.
fn printed(command: &mut Command) -> Vec<String> {
    let said = command.output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The words of a line as bash takes them apart.
fn words(line: &str) -> Vec<String> {
    let line = line.replace(':', "\0:\0").replace('=', "\0=\0").replace(' ', "\0 \0");
    let words = line.split('\0').filter(|word| !word.is_empty() && *word != " ").map(str::to_owned);
    words.chain(line.ends_with(" \0").then(String::new)).collect()
}

/// A bash that prints what it offers in place of the end of a line.
fn offering(line: &str) -> (Folder, Command) {
    let script = r#"source ./_skerry; complete -p skerry >/dev/null || exit 9
        COMP_LINE=$0; COMP_POINT=${#0}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        end=${COMP_WORDS[COMP_CWORD]}
        _skerry skerry "${end#[:=]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        [[ ! ${COMPREPLY[*]} ]] || printf '%s\n' "${COMPREPLY[@]}""#;
    let (folder, mut bash) = shell(&["bash", "--norc", "-c", script]);
    bash.arg(line).args(words(line));
    (folder, bash)
}

fn offered(line: &str) -> Vec<String> {
    printed(&mut offering(line).1)
}

#[test]
fn bash_completes_verbs_options_and_values() {
    let verbs = offered("skerry ");
    for verb in ["run", "ps", "volume", "logs"] {
        assert!(verbs.iter().any(|word| word == verb), "{verb}: {verbs:?}");
    }
    assert!(!verbs.iter().any(|word| word == "transfer" || word == "manual"), "{verbs:?}");
    assert!(!verbs.iter().any(|word| word == "--socket"), "{verbs:?}");
    assert_eq!(offered("skerry res"), ["restart"]);
    assert_eq!(offered("skerry run --memory-r"), ["--memory-reservation"]);
    assert_eq!(offered("skerry run --pull m"), ["missing"]);
    assert_eq!(offered("skerry volume pr"), ["prune"]);
}

/// What is offered at the ends of lines.
const OFFERED: [(&str, &str); 32] = [
    ("stop ", "db web webby"),
    ("stop w", "web webby"),
    ("stop db -t 5 w", "web webby"),
    ("container stop d", "db"),
    ("container ls x", ""),
    ("rm -f ", "db web webby"),
    ("container remove ", "db web webby"),
    ("logs -fn 3 ", "db web webby"),
    ("rename web", "web webby"),
    ("rename web x", ""),
    ("rmi ", "busybox:latest busybox:musl localhost:5000/app:1"),
    ("rmi busybox:latest localhost:5", "localhost:5000/app:1"),
    ("image rm bu", "busybox:latest busybox:musl"),
    ("tag bu", "busybox:latest busybox:musl"),
    ("tag busybox:musl b", ""),
    ("run b", "busybox:latest busybox:musl"),
    ("run -itv /a:/b --name=x -e A=b --rm b", "busybox:latest busybox:musl"),
    ("create --name b", ""),
    ("run busybox:musl b", ""),
    ("run busybox:musl -e b", ""),
    ("run --network ", "back bridge"),
    ("run --volumes-from w", "web webby"),
    ("exec -it ", "db web webby"),
    ("exec web d", ""),
    ("volume rm data p", "pages"),
    ("volume inspect ", "data pages"),
    ("network inspect ", "back bridge"),
    ("network connect --alias web b", "back bridge"),
    ("network connect back ", "db web webby"),
    ("inspect b", "back bridge busybox:latest busybox:musl"),
    ("image inspect b", "busybox:latest busybox:musl"),
    ("container inspect bu", ""),
];

#[test]
fn bash_offers_names_where_a_verb_takes_them() {
    for (line, names) in OFFERED {
        let mut found = offered(&format!("skerry {line}"));
        found.sort();
        // It replaces what follows the last : or = alone.
        let kept = line.rsplit(' ').next().unwrap().rfind([':', '=']).map_or(0, |at| at + 1);
        let names: Vec<&str> = names.split_whitespace().map(|name| &name[kept..]).collect();
        assert_eq!(found, names, "{line:?}");
    }
    assert_eq!(offered("skerry rmi busybox:"), ["latest", "musl"]);
    assert_eq!(offered("skerry rmi busybox:m"), ["musl"]);
    assert_eq!(offered("skerry run --network=ba"), ["back"]);
    assert!(offered("skerry stop -").contains(&"--time".to_owned()));
    assert_eq!(offered("skerry run busybox -"), [""; 0], "its options are its own");
    let (_folder, mut bash) = offering("skerry stop ");
    assert_eq!(printed(bash.env("NOBODY", "1")), [""; 0]);
}

#[test]
fn fish_offers_names_where_a_verb_takes_them() {
    if !is_there("fish") {
        return;
    }
    let offering = |line: &str| {
        let script = format!("source ./_skerry; complete -C 'skerry {line}'");
        shell(&["fish", "--no-config", "-c", &script])
    };
    let offered = |line: &str| {
        let lines = printed(&mut offering(line).1);
        lines.iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (line, names) in OFFERED {
        assert_eq!(offered(line), names.split_whitespace().collect::<Vec<_>>(), "{line:?}");
    }
    assert_eq!(offered("rmi busybox:m"), ["busybox:musl"]);
    assert_eq!(offered("run --network=ba"), ["--network=back"]);
    let (_folder, mut fish) = offering("stop ");
    assert_eq!(printed(fish.env("NOBODY", "1")), [""; 0], "no file either");
}

#[test]
fn zsh_offers_names_where_a_verb_takes_them() {
    if !is_there("zsh") {
        return;
    }
    // It completes nothing but what is typed at a terminal, so one is made, at whose end the line is written down.
    let script = r#"
        zmodload zsh/zpty
        zpty terminal zsh -f -i
        zpty -w terminal 'PS1=; TMOUT=20; fpath=($PWD $fpath); autoload -U compinit; compinit -D -u;
            tell() { print -r -- "$BUFFER|" >told; exit }; zle -N tell; bindkey ^T tell; print REA"DY"'
        zpty -r terminal begun '*READY*'
        zpty -w -n terminal "$0"$'\t\C-t'
        while zpty -r terminal rest; do seen+=$rest; done
        [[ $seen != *'to be seen'* ]] && cat told"#;
    for (line, completed) in [
        ("stop webb", "stop webby "),
        ("stop -t 5 d", "stop -t 5 db "),
        ("container rm -f web d", "container rm -f web db "),
        ("rmi busybox:l", "rmi busybox:latest "),
        ("run -it l", "run -it localhost:5000/app:1 "),
        ("run busybox:musl l", "run busybox:musl l"),
        ("run busybox:musl --memory-r", "run busybox:musl --memory-r"),
        ("run --network=ba", "run --network=back "),
        ("exec -it d", "exec -it db "),
        ("exec web d", "exec web d"),
        ("volume rm data p", "volume rm data pages "),
        ("network connect ba", "network connect back "),
        ("network connect back d", "network connect back db "),
        ("inspect da", "inspect data "),
    ] {
        let (_folder, mut zsh) = shell(&["zsh", "-f", "-c", script]);
        let told = printed(zsh.arg(format!("skerry {line}")));
        assert_eq!(told, [format!("skerry {completed}|")], "{line:?}");
    }
}

#[test]
fn zsh_and_fish_take_theirs() {
    let takes = |said: Output| assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    if is_there("zsh") {
        let folder = completion("zsh");
        takes(Command::new("zsh").args(["-f", "-n"]).arg(folder.join("_skerry")).output().unwrap());
        let script = format!(
            "fpath=({} $fpath); autoload -U compinit; compinit -D -u; print $_comps[skerry]",
            folder.display()
        );
        let said = Command::new("zsh").args(["-f", "-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "_skerry\n", "{said:?}");
    }
    if is_there("fish") {
        let folder = completion("fish");
        let path = folder.join("_skerry");
        takes(Command::new("fish").args(["--no-config", "--no-execute"]).arg(&path).output().unwrap());
        let script = format!("source {}; complete -C 'skerry res'", path.display());
        let said = Command::new("fish").args(["--no-config", "-c", &script]).output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).starts_with("restart\t"), "{said:?}");
    }
}

#[test]
fn man_reads_every_page_without_a_word() {
    let folder = folder("manual");
    assert!(Command::new(SKERRY).arg("manual").arg(&*folder).status().unwrap().success());
    let pages: Vec<PathBuf> =
        std::fs::read_dir(&*folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 40, "{}", pages.len());
    assert!(pages.iter().all(|page| !page.ends_with("skerry-help.1")));
    if !is_there("groff") {
        return;
    }
    for page in pages {
        let said =
            Command::new("groff").args(["-man", "-ww", "-Tascii", "-P-cbu"]).arg(&page).output().unwrap();
        assert!(said.status.success() && said.stderr.is_empty(), "{}: {said:?}", page.display());
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(text.contains("SYNOPSIS") && text.contains("skerry"), "{}", page.display());
    }
}
