//! The runtime's verbs, each a short-lived process of its own.
//!
//! The monitor never waits for one: its end is an event like any other. A
//! container's output pipes are the standard output and error of `create`, so
//! what the runtime itself has to say goes to a log file alone.

use crate::place;
use spec::bundle::{State, Status};
use spec::node::Name;
use spec::paths;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use sys::cause::cause;
use sys::process::{Spawn, spawn};

/// The runtime.
pub const RUNTIME: &str = "skerry-runtime";

/// A program of ours: on a node in `/sbin`, elsewhere beside the monitor's own.
pub fn program(name: &str) -> PathBuf {
    let node = Path::new("/sbin").join(name);
    match std::env::current_exe() {
        Ok(own) if !node.exists() => own.with_file_name(name),
        _ => node,
    }
}

/// What the runtime is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make the container, whose program then waits.
    Create,
    /// Let its program run.
    Start,
    /// Remove it; kills what runs, and does nothing when there is none.
    Delete,
}

/// What becomes a program's standard input, output and error.
#[derive(Debug)]
pub struct Streams {
    /// Nothing can be read without it.
    pub input: Option<OwnedFd>,
    /// Its output.
    pub out: OwnedFd,
    /// Its error output.
    pub err: OwnedFd,
}

/// Starts a verb and returns its process ID. `console` says that a socket waits for the terminal.
///
/// # Errors
/// Those of starting a program, in words.
pub fn begin(verb: Verb, key: &Name, streams: Option<&Streams>, console: bool) -> Result<i32, String> {
    start(&place::folder(key), argv(verb, key, console), streams)
}

/// Starts a further program in a container, as `process.json` in its session's folder says.
///
/// # Errors
/// Those of starting a program, in words.
pub fn exec(key: &Name, folder: &Path, streams: Option<&Streams>, console: bool) -> Result<i32, String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let mut argv = globals(folder);
    argv.extend(["exec".into(), "--detach".into(), "--process".into(), path("process.json")]);
    argv.extend(["--pid-file".into(), path("pid")]);
    if console {
        argv.extend(["--console-socket".into(), path("console")]);
    }
    argv.push(key.to_string());
    start(folder, argv, streams)
}

/// Changes a running container's limits, as `resources.json` in this folder says.
///
/// # Errors
/// Those of starting a program, in words.
pub fn update(key: &Name, folder: &Path) -> Result<i32, String> {
    let mut argv = globals(folder);
    argv.extend(["update".into(), "--resources".into(), folder.join("resources.json").display().to_string()]);
    argv.push(key.to_string());
    start(folder, argv, None)
}

fn start(folder: &Path, argv: Vec<String>, streams: Option<&Streams>) -> Result<i32, String> {
    let begun = || -> io::Result<i32> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let log = folder.join("runtime.log");
        // The reason of this verb is looked for, not that of an earlier one.
        OpenOptions::new().create(true).write(true).truncate(true).open(&log)?;
        let (out, err) =
            streams.map_or((null.as_fd(), null.as_fd()), |own| (own.out.as_fd(), own.err.as_fd()));
        let input = streams.and_then(|own| own.input.as_ref()).map_or(null.as_fd(), AsFd::as_fd);
        let argv: Vec<CString> = argv.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
        let env = [c"PATH=/sbin:/bin:/usr/sbin:/usr/bin".to_owned()];
        let descriptors = [input, out, err];
        spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup: None, oom_score_adj: None })
    };
    begun().map_err(|error| format!("start {}: {}", program(RUNTIME).display(), cause(&error)))
}

fn globals(folder: &Path) -> Vec<String> {
    let log = folder.join("runtime.log").display().to_string();
    let words = ["--root", paths::RUNTIME_ROOT, "--log", &log, "--log-format", "json", "--log-only"];
    std::iter::once(program(RUNTIME).display().to_string()).chain(words.map(str::to_owned)).collect()
}

fn argv(verb: Verb, key: &Name, console: bool) -> Vec<String> {
    let folder = place::folder(key);
    let path = |name: &str| folder.join(name).display().to_string();
    let mut argv = globals(&folder);
    match verb {
        Verb::Create => {
            argv.extend(["create".into(), "--bundle".into(), folder.display().to_string()]);
            argv.extend(["--pid-file".into(), path("pid")]);
            if console {
                argv.extend(["--console-socket".into(), path("console")]);
            }
        }
        Verb::Start => argv.push("start".into()),
        Verb::Delete => argv.extend(["delete".into(), "--force".into()]),
    }
    argv.push(key.to_string());
    argv
}

/// Why a verb did not work: the last message of its log, else its wait status.
pub fn reason(folder: &Path, status: i32) -> String {
    let log = fs::read_to_string(folder.join("runtime.log")).unwrap_or_default();
    message(&log).unwrap_or_else(|| match (nix::libc::WIFSIGNALED(status), nix::libc::WEXITSTATUS(status)) {
        (true, _) => format!("skerry-runtime was killed by signal {}", nix::libc::WTERMSIG(status)),
        (false, code) => format!("skerry-runtime exited {code}"),
    })
}

/// Why a program did not work that tells it in the last line of what it wrote to this file.
pub fn last_words(log: &Path, program: &str, status: i32) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    match log.lines().last() {
        Some(line) => line.strip_prefix(&format!("{program}: ")).unwrap_or(line).to_owned(),
        None => format!("{program}: wait status {status:#x}"),
    }
}

fn message(log: &str) -> Option<String> {
    let last: serde_json::Value = serde_json::from_str(log.lines().last()?).ok()?;
    Some(last.get("msg")?.as_str()?.lines().next()?.to_owned())
}

/// The number of the process that a verb has made, which it has written into its folder.
pub fn pid(folder: &Path) -> Option<i32> {
    fs::read_to_string(folder.join("pid")).ok()?.trim().parse().ok()
}

/// The runtime's own view of a container; waits for it, so only for a start
/// after a kill.
pub fn status(name: &Name) -> Option<Status> {
    let mut command = Command::new(program(RUNTIME));
    command.args(["--root", paths::RUNTIME_ROOT, "state", name]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    Some(serde_json::from_slice::<State>(&output.stdout).ok()?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_that_of_the_architecture() {
        let key = "web".parse().unwrap();
        let words = argv(Verb::Create, &key, true);
        assert!(words[0].ends_with("skerry-runtime"), "{words:?}");
        assert_eq!(
            words[1..].join(" "),
            "--root /run/skerry/runtime \
             --log /run/skerry/monitor/containers/web/runtime.log --log-format json --log-only \
             create --bundle /run/skerry/monitor/containers/web \
             --pid-file /run/skerry/monitor/containers/web/pid \
             --console-socket /run/skerry/monitor/containers/web/console web"
        );
        let words = argv(Verb::Delete, &key, false).join(" ");
        assert!(words.ends_with(" delete --force web"), "{words}");
    }

    #[test]
    fn the_last_message_of_the_log_is_the_reason() {
        let log =
            "{\"level\":\"info\",\"msg\":\"begun\"}\n{\"level\":\"error\",\"msg\":\"mount proc: busy\"}\n";
        assert_eq!(message(log).as_deref(), Some("mount proc: busy"));
        assert_eq!(message(""), None);
        assert_eq!(message("no json"), None);
    }
}
