//! `skerry` at work for the monitor, a short-lived process: a pull of an image that is not on the node, a check of
//! the store. It speaks to registries as the configuration tells it; the monitor itself speaks to none.

use crate::place;
use crate::verb;
use spec::node::Name;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::cause::cause;
use sys::process::{Spawn, spawn};

/// Its program's file.
const PROGRAM: &str = "skerry";

/// How a check of the store tells what was bad, a line each.
const LINE: &str = "{{.Kind}} {{.Name}}: {{.Problem}}; {{.Outcome}}";

/// Starts a pull for a container; gives its process ID.
///
/// # Errors
/// The program is not there or cannot be started, in words.
pub fn begin(key: &Name, image: &str) -> Result<i32, String> {
    start(&["pull", "--quiet", "--", image], &log(key)).map_err(|why| format!("pull image {image:?}: {why}"))
}

/// Starts a check of the store, which brings back what is damaged.
///
/// # Errors
/// As [`begin`].
pub fn begin_check() -> Result<i32, String> {
    start(&["store", "check", "--format", LINE], &place::check_log())
}

fn start(words: &[&str], log: &Path) -> Result<i32, String> {
    let program = verb::program(PROGRAM);
    if !program.exists() {
        return Err(format!("{} is not in this node's image", program.display()));
    }
    let begun = || -> io::Result<i32> {
        let null = File::open("/dev/null")?;
        log.parent().map_or(Ok(()), fs::create_dir_all)?;
        let log = File::create(log)?;
        let mut argv = vec![CString::new(program.as_os_str().as_bytes())?];
        for word in words {
            argv.push(CString::new(*word)?);
        }
        let env = [c"PATH=/sbin:/bin:/usr/sbin:/usr/bin".to_owned()];
        let descriptors = [null.as_fd(), log.as_fd(), log.as_fd()];
        // Rather it dies than a container when memory runs out.
        let oom_score_adj = Some(c"500");
        spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup: None, oom_score_adj })
    };
    begun().map_err(|error| format!("start {}: {}", program.display(), cause(&error)))
}

/// Why a pull did not work: the last line that it wrote.
pub fn reason(key: &Name, status: i32) -> String {
    verb::last_words(&log(key), PROGRAM, status)
}

fn log(key: &Name) -> PathBuf {
    place::folder(key).join("pull.log")
}
