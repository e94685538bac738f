//! Hooks: programs run at moments of a container's life, with its state on their
//! standard input (`config.md`, POSIX-platform Hooks).

use super::guard::{self, Identity};
use crate::error::{Cause, Context, Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{AccessFlags, access};
use spec::bundle::{Hook, State};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// As much of what a failed hook wrote as an error quotes.
const QUOTED: u64 = 4096;

/// How hooks begin; the specification leaves it open.
#[derive(Clone, Copy, Debug)]
pub enum Around<'a> {
    /// In the bundle, with the runtime's environment: a program of the host has nothing from the image, whose variables
    /// could have it load the image's libraries (CVE-2025-23266).
    Host,
    /// The same in the container's root, where runc has them begin: there is `./lib` for who adds to it.
    Root(BorrowedFd<'a>),
    /// In the container, with this environment; never the runtime itself (`guard`).
    Container(&'a [String], Option<Identity>),
}

/// Runs hooks in order; the first that fails ends the list.
///
/// # Errors
/// The hook by its JSON path and what became of it.
pub fn run(hooks: &[Hook], name: &str, state: &State, around: Around<'_>) -> Result<()> {
    all(hooks, name, state, around).find(Result::is_err).unwrap_or(Ok(()))
}

/// Runs all hooks, also after one that fails; what failed is returned for the log.
pub fn run_all(hooks: &[Hook], name: &str, state: &State) -> Vec<Error> {
    all(hooks, name, state, Around::Host).filter_map(Result::err).collect()
}

fn all<'a>(
    hooks: &'a [Hook],
    name: &'a str,
    state: &'a State,
    around: Around<'a>,
) -> impl Iterator<Item = Result<()>> + use<'a> {
    hooks.iter().enumerate().map(move |(place, hook)| {
        one(hook, state, around).map_err(|error| {
            // Callers look for the middle, which is runc's.
            let kind = name.trim_start_matches("hooks.");
            Error(format!("{name}[{place}]: error running {kind} hook #{place}: {}: {error}", hook.path))
        })
    })
}

fn one(hook: &Hook, state: &State, around: Around<'_>) -> Result<()> {
    if matches!(around, Around::Container(_, Some(own)) if guard::runs(own, Path::new(&hook.path))) {
        return Err(Error::new("it is the container runtime itself"));
    }
    let text = serde_json::to_vec(state).context(|| "write the state".into())?;
    let mut input = memory("state")?;
    input.write_all(&text).and_then(|()| input.rewind()).context(|| "write the state".into())?;
    let mut output = memory("output")?;
    let mut command = Command::new(&hook.path);
    command.args(hook.args.iter().skip(1));
    let env = match around {
        Around::Host | Around::Root(_) => hook.env.as_deref(),
        Around::Container(env, _) => Some(hook.env.as_deref().unwrap_or(env)),
    };
    if let Some(env) = env {
        command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    }
    let folder = match around {
        Around::Host => Some(state.bundle.clone()),
        Around::Root(root) => Some(format!("/proc/self/fd/{}", root.as_raw_fd())),
        Around::Container(..) => None,
    };
    // It may be gone when the container ends, and closed to root of a user namespace.
    if let Some(folder) = folder.filter(|folder| access(folder.as_str(), AccessFlags::X_OK).is_ok()) {
        command.current_dir(folder);
    }
    if let Some(name) = hook.args.first() {
        command.arg0(name);
    }
    let copy = output.try_clone().context(|| "open its output".into())?;
    let other = output.try_clone().context(|| "open its output".into())?;
    command.stdin(Stdio::from(input)).stdout(Stdio::from(copy)).stderr(Stdio::from(other));
    // `run` blocks them all.
    sys::process::unblock_signals(&mut command);
    let child = command.spawn().map_err(|error| Error(error.cause()))?;
    match wait(child, hook.timeout)? {
        status if status.success() => Ok(()),
        status => Err(Error(format!("{}{}", became(status), said(&mut output)))),
    }
}

/// A file that no path names: a hook can neither fill it up nor wait for a reader.
fn memory(name: &str) -> Result<File> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC).map(File::from).context(|| "make a file in memory".into())
}

/// Waits for the end, and makes one when the time is over.
fn wait(mut child: Child, timeout: Option<i64>) -> Result<ExitStatus> {
    let limit = timeout.and_then(|seconds| u64::try_from(seconds).ok());
    // What no clock here would see the end of is no limit.
    let end = limit.and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    if let (Some(seconds), Some(end)) = (limit, end) {
        let process = sys::pidfd::open(child.id().cast_signed()).context(|| "watch it".into())?;
        if !ends_before(process.as_fd(), end) {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error(format!("it took longer than {seconds} s and was killed")));
        }
    }
    child.wait().context(|| "wait for it".into())
}

fn ends_before(process: BorrowedFd<'_>, end: Instant) -> bool {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut [PollFd::new(process, PollFlags::POLLIN)], timeout) == Ok(1) {
            return true;
        }
    }
}

/// What Go calls the signals 1 to 15.
const SIGNALS: [&str; 15] = [
    "hangup",
    "interrupt",
    "quit",
    "illegal instruction",
    "trace/breakpoint trap",
    "aborted",
    "bus error",
    "floating point exception",
    "killed",
    "user defined signal 1",
    "segmentation fault",
    "user defined signal 2",
    "broken pipe",
    "alarm clock",
    "terminated",
];
/// And those that the kernel sends beside.
const OTHERS: [(i32, &str); 3] = [
    (libc::SIGXCPU, "CPU time limit exceeded"),
    (libc::SIGXFSZ, "file size limit exceeded"),
    (libc::SIGSYS, "bad system call"),
];

/// In the words of Go, and so of runc.
fn became(status: ExitStatus) -> String {
    let name = |signal: i32| {
        let first = usize::try_from(signal - 1).ok().and_then(|place| SIGNALS.get(place));
        let other = || OTHERS.iter().find(|(known, _)| *known == signal).map(|(_, name)| name);
        first.or_else(other).map_or_else(|| format!("signal {signal}"), |name| (*name).to_owned())
    };
    let core = if status.core_dumped() { " (core dumped)" } else { "" };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal: {}{core}", name(signal)),
        (None, None) => "it failed".to_owned(),
    }
}

fn said(output: &mut File) -> String {
    let mut text = Vec::new();
    let read = output.rewind().and_then(|()| output.take(QUOTED).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    match (read, text.trim()) {
        (Ok(_), text) if !text.is_empty() => format!(": {}", text.replace('\n', "; ")),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_gos_words() {
        let words = |status| became(ExitStatus::from_raw(status));
        assert_eq!(words(3 << 8), "exit status 3");
        assert_eq!(
            (words(9), words(1), words(15)),
            ("signal: killed".into(), "signal: hangup".into(), "signal: terminated".into())
        );
        assert_eq!(words(31), "signal: bad system call");
        assert_eq!(words(31 | 128), "signal: bad system call (core dumped)");
        assert_eq!(words(40), "signal: signal 40");
    }
}
