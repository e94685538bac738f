//! The two verbs.

use crate::serve::{READY, UNFINISHED};
use crate::state::State;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tests::{Failure, Result};

/// How long the owner's programs may take to be gone once it is.
const LIMIT: Duration = Duration::from_secs(20);

/// Starts a cluster, unless one is there, and tells how to use it.
pub fn up(state: &State) -> Result {
    if state.owner()?.is_some() {
        println!("the cluster is up already: export KUBECONFIG={}", state.kubeconfig().display());
        return Ok(());
    }
    state.clear()?;
    fs::create_dir_all(&state.folder)?;
    let mut owner = Command::new("setsid")
        .arg(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(state.log())?)
        .spawn()?;
    let words = owner.stdout.take().ok_or_else(|| Failure::new("its owner has no output"))?;
    for line in BufReader::new(words).lines() {
        let line = line?;
        match line.as_str() {
            READY => return Ok(()),
            UNFINISHED => return Err(Failure::new("a step went wrong; what is there stays for a look")),
            _ => {}
        }
        println!("{line}");
    }
    let status = owner.wait()?;
    let log = fs::read_to_string(state.log()).unwrap_or_default();
    let folder = state.folder.display();
    Err(Failure::new(format!(
        "its owner ended: {status}\n{log}\nlogs and the nodes' consoles are in {folder}"
    )))
}

/// Ends the cluster, waits until everything is gone, and removes its files.
pub fn down(state: &State) -> Result {
    if let Some(owner) = state.owner()? {
        kill(Pid::from_raw(owner), Signal::SIGTERM)?;
        state.wait_until_free()?;
    }
    // The kernel has sent each of its programs a signal by now; they may be on their way out.
    let end = Instant::now() + LIMIT;
    while let Some(left) = left_over(state)? {
        if Instant::now() > end {
            return Err(Failure::new(format!("a program has not ended: {left}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
    state.clear()?;
    println!("the cluster is gone");
    Ok(())
}

/// The command line of a process that works in the cluster's folder.
fn left_over(state: &State) -> Result<Option<String>> {
    let folder = state.folder.display().to_string();
    let processes = fs::read_dir("/proc")?.filter_map(std::result::Result::ok);
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let mut lines = lines.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    Ok(lines.find(|line| line.split(['=', ' ', ',']).any(|word| word.starts_with(&format!("{folder}/")))))
}
