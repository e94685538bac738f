//! The program: found as its user would find it, and run.

use super::guard::{self, Identity};
use crate::error::{Cause, Context, Error, Result};
use crate::passwd;
use crate::plan::Program;
use crate::reaper;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, chdir, execve, faccessat, getcwd};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use sys::trampoline::Trampoline;

/// Where programs are looked for when the environment does not say (execvp(3)).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that is there.
#[derive(Debug)]
pub struct Found {
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

/// Goes to the program's folder, which must be one of the container's
/// (CVE-2024-21626: `/proc/self/fd/7` is not).
pub fn folder(path: &str) -> Result<()> {
    chdir(path).context(|| format!("process.cwd: go to {path}"))?;
    match getcwd() {
        Ok(now) if now.starts_with("/") => Ok(()),
        _ => Err(Error(format!("process.cwd: {path} is not in the container"))),
    }
}

/// Looks for the program.
pub fn find(program: &Program, own: Option<Identity>) -> Result<Found> {
    let name = program.args.first().map_or("", String::as_str);
    let path = look(name, program)?;
    if own.is_some_and(|own| guard::runs(own, &path) && !is_first_process(own, &path)) {
        return Err(Error(format!("process.args[0]: {name:?} is the container runtime itself")));
    }
    let text = |text: &String, what: &str| {
        CString::new(text.as_str()).map_err(|_| Error(format!("{what}: {text:?} has a zero byte")))
    };
    let mut env = program.env.clone();
    // Images say so where they mean nothing.
    env.retain(|entry| entry != "HOME=");
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        // By the container's passwd(5), as runc does.
        let home = passwd::home(nix::unistd::getuid().as_raw());
        env.push(format!("HOME={}", home.as_deref().unwrap_or("/")));
    }
    Ok(Found {
        path: text(&path.display().to_string(), "process.args[0]")?,
        args: program.args.iter().map(|word| text(word, "process.args")).collect::<Result<_>>()?,
        env: env.iter().map(|word| text(word, "process.env")).collect::<Result<_>>()?,
    })
}

/// The runtime itself, bound in by its caller to be the container's first process. On a read-only mount
/// no container can write to what it runs from (CVE-2019-5736). A link is no mount, and what a script is run by
/// lies on another.
fn is_first_process(own: Identity, path: &Path) -> bool {
    let is_file = || fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    let is_read_only = || statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    path == Path::new(reaper::NAME) && guard::is(own, path) && is_file() && is_read_only()
}

/// Callers tell by these words, runc's, that a program is missing.
fn look(name: &str, Program { env, overrides, .. }: &Program) -> Result<PathBuf> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match can_run(&path, *overrides) {
            Ok(()) => Ok(path),
            Err(error) => Err(Error(format!("process.args[0]: exec: {name:?}: {}", error.cause()))),
        };
    }
    // A name that is there twice counts as it does for the program: the last.
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(PATH);
    let mut refused = false;
    for folder in path.split(':') {
        let path = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match can_run(&path, *overrides) {
            Ok(()) => return Ok(path),
            Err(error) => refused |= error == Errno::EACCES,
        }
    }
    let cause = if refused { "permission denied" } else { "executable file not found in $PATH" };
    Err(Error(format!("process.args[0]: exec: {name:?}: {cause}")))
}

/// By the user alone, or by the capabilities that are in effect here.
fn can_run(path: &Path, overrides: bool) -> nix::Result<()> {
    let by = if overrides { AtFlags::AT_EACCESS } else { AtFlags::empty() };
    faccessat(AT_FDCWD, path, AccessFlags::X_OK, by)?;
    // A folder can be "executed" as well, and a FIFO would be waited for.
    if path.is_file() { Ok(()) } else { Err(Errno::EACCES) }
}

/// Why a program that was found did not become one.
pub fn cannot_run(name: &str, error: Errno) -> Error {
    match error {
        // In runc's words at the end.
        Errno::ENOENT => Error(format!(
            "process.args[0]: exec: it or its interpreter is missing: exec {name}: no such file or directory"
        )),
        error => Error(format!("process.args[0]: exec: {name:?}: {}", error.cause())),
    }
}

impl Found {
    /// `NAME=value`, `HOME` among it.
    pub fn environment(&self) -> Vec<String> {
        self.env.iter().map(|entry| entry.to_string_lossy().into_owned()).collect()
    }

    /// Becomes the program, with no signal blocked; returns only when it cannot.
    pub fn exec(&self, trampoline: Option<&Trampoline>) -> Result<()> {
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        trampoline.map(|trampoline| trampoline.exec(&self.path, &self.args, &self.env));
        let Err(error) = execve(&self.path, &self.args, &self.env);
        Err(cannot_run(&self.path.to_string_lossy(), error))
    }
}
