//! The runtime's verbs, each a short-lived process of its own.
//!
//! The monitor never waits for one: its end is an event like any other. A
//! container's output pipes are the standard output and error of `create`
//! alone, so what the runtime itself has to say goes to a log file.

use crate::place;
use spec::bundle::{State, Status};
use spec::node::Name;
use spec::paths;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use sys::process::{Spawn, spawn};

/// The runtime's program.
const PROGRAM: &str = "/sbin/skerry-runtime";

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

/// The read ends of a container's output and error pipes, and their write ends.
#[derive(Debug)]
pub struct Writers(pub OwnedFd, pub OwnedFd);

/// Starts a verb and returns its process ID.
///
/// # Errors
/// Those of starting a program.
pub fn begin(verb: Verb, name: &Name, output: Option<&Writers>) -> io::Result<i32> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let log = place::folder(name).join("runtime.log");
    // The reason of this verb is looked for, not that of an earlier one.
    OpenOptions::new().create(true).write(true).truncate(true).open(&log)?;
    let (out, err) =
        output.map_or((null.as_fd(), null.as_fd()), |Writers(out, err)| (out.as_fd(), err.as_fd()));
    let argv: Vec<CString> =
        argv(verb, name).into_iter().filter_map(|word| CString::new(word).ok()).collect();
    let env = [c"PATH=/sbin:/bin:/usr/sbin:/usr/bin".to_owned()];
    let descriptors = [null.as_fd(), out, err];
    spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup: None, oom_score_adj: None })
        .map_err(|error| io::Error::new(error.kind(), format!("start {PROGRAM}: {error}")))
}

fn argv(verb: Verb, name: &Name) -> Vec<String> {
    let folder = place::folder(name).display().to_string();
    let mut argv: Vec<String> = vec![PROGRAM.into(), "--root".into(), paths::RUNTIME_ROOT.into()];
    argv.extend(["--log".into(), format!("{folder}/runtime.log"), "--log-format".into(), "json".into()]);
    let (word, options) = match verb {
        Verb::Create => {
            ("create", vec!["--bundle".into(), folder.clone(), "--pid-file".into(), format!("{folder}/pid")])
        }
        Verb::Start => ("start", vec![]),
        Verb::Delete => ("delete", vec!["--force".to_owned()]),
    };
    argv.push(word.to_owned());
    argv.extend(options);
    argv.push(name.to_string());
    argv
}

/// Why a verb did not work: the last message of its log, else its wait status.
pub fn reason(name: &Name, status: i32) -> String {
    let log = fs::read_to_string(place::folder(name).join("runtime.log")).unwrap_or_default();
    message(&log).unwrap_or_else(|| match (nix::libc::WIFSIGNALED(status), nix::libc::WEXITSTATUS(status)) {
        (true, _) => format!("skerry-runtime was killed by signal {}", nix::libc::WTERMSIG(status)),
        (false, code) => format!("skerry-runtime exited {code}"),
    })
}

fn message(log: &str) -> Option<String> {
    let last: serde_json::Value = serde_json::from_str(log.lines().last()?).ok()?;
    Some(last.get("msg")?.as_str()?.lines().next()?.to_owned())
}

/// The number of the container's first process, which `create` has written.
pub fn pid(name: &Name) -> Option<i32> {
    fs::read_to_string(place::folder(name).join("pid")).ok()?.trim().parse().ok()
}

/// The runtime's own view of a container; waits for it, so only for a start
/// after a kill.
pub fn status(name: &Name) -> Option<Status> {
    let mut command = Command::new(PROGRAM);
    command.args(["--root", paths::RUNTIME_ROOT, "state", name]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    Some(serde_json::from_slice::<State>(&output.stdout).ok()?.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_that_of_the_architecture() {
        let words = argv(Verb::Create, &"web".parse().unwrap()).join(" ");
        assert_eq!(
            words,
            "/sbin/skerry-runtime --root /run/skerry/runtime \
             --log /run/skerry/monitor/containers/web/runtime.log --log-format json \
             create --bundle /run/skerry/monitor/containers/web \
             --pid-file /run/skerry/monitor/containers/web/pid web"
        );
        let words = argv(Verb::Delete, &"web".parse().unwrap()).join(" ");
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
