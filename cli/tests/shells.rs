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

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = r#"source "$0"; complete -p skerry >/dev/null || exit 9
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        _skerry skerry "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let folder = completion("bash");
    let said = Command::new("bash")
        .args(["--norc", "-c", script])
        .arg(folder.join("_skerry"))
        .args(words)
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_values() {
    let verbs = offered(&["skerry", ""]);
    for verb in ["run", "ps", "volume", "logs"] {
        assert!(verbs.iter().any(|word| word == verb), "{verb}: {verbs:?}");
    }
    assert!(!verbs.iter().any(|word| word == "transfer" || word == "manual"), "{verbs:?}");
    assert!(!verbs.iter().any(|word| word == "--socket"), "{verbs:?}");
    assert_eq!(offered(&["skerry", "res"]), ["restart"]);
    assert_eq!(offered(&["skerry", "run", "--memory-r"]), ["--memory-reservation"]);
    assert_eq!(offered(&["skerry", "run", "--pull", "m"]), ["missing"]);
    assert_eq!(offered(&["skerry", "volume", "pr"]), ["prune"]);
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
