//! A node without a machine: the released programs in namespaces, on the cluster's wire, for what needs no kernel of
//! its own. It is there in a second, and limits of cgroups do not hold in it where this machine has cgroup v1.

use super::pki::Subject;
use super::{Cluster, GATEWAY, LIMIT, SERVER};
use crate::image::{container_archive, repository, said, target};
use crate::programs::programs;
use crate::{Failure, Result};
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// A node; it ends with this value.
pub struct Bare {
    holder: Child,
    /// Its first process.
    process: String,
    log: PathBuf,
    failed: Arc<AtomicBool>,
}

impl Cluster {
    /// A node without a machine that joins by the address of the API server, or of who stands before it.
    ///
    /// # Errors
    ///
    /// When it cannot be made, as root.
    pub fn bare(&self, name: &str, server: &str) -> Result<Bare> {
        self.bare_of(name, name, server, "")
    }

    /// The same, with another host name than that of its place on the wire.
    ///
    /// # Errors
    ///
    /// When it cannot be made, as root.
    pub fn bare_as(&self, name: &str, hostname: &str, server: &str) -> Result<Bare> {
        self.bare_of(name, hostname, server, "")
    }

    /// The same, with these lines of `[cluster]` beside those by which it joins.
    ///
    /// # Errors
    ///
    /// When it cannot be made, as root.
    pub fn bare_with(&self, name: &str, lines: &str) -> Result<Bare> {
        self.bare_of(name, name, SERVER, lines)
    }

    fn bare_of(&self, name: &str, hostname: &str, server: &str, lines: &str) -> Result<Bare> {
        let (hash, token) = (self.ca_hash(), self.token());
        let config = format!(
            "hostname = \"{hostname}\"\n[cluster]\nserver = \"{server}\"\nca-cert-hash = \"{hash}\"\n\
             token = \"{token}\"\n{lines}"
        );
        let (store, log) = (target().join("bare-store"), self.parts.folder.join(format!("{name}.log")));
        fs::create_dir_all(&store)?;
        let mut holder = Command::new(repository().join("tests/bare/node"))
            .args([name, &self.address_of(name).to_string(), &GATEWAY.to_string()])
            .arg(self.parts.namespace.path())
            .args([&programs(), &store])
            .arg(config + &super::registry::node_lines())
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What kills the tests' group leaves it time to tidy up.
            .process_group(0)
            .spawn()?;
        let mut process = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut process)?;
        }
        let node = Bare { holder, process: process.trim().to_owned(), log, failed: self.failed.clone() };
        if node.process.is_empty() {
            return Err(Failure::new(format!("{name}: its namespaces cannot be made")));
        }
        let busybox = container_archive("busybox")?;
        node.run_until(&format!(
            "skerry inspect --type image busybox >/dev/null 2>&1 || skerry import --name busybox {}",
            busybox.display()
        ))?;
        Ok(node)
    }

    /// A certificate of node `name` and its key in PEM, which hold that long.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn certificate_while(&self, name: &str, holds: &Range<SystemTime>) -> Result<String> {
        let name = format!("system:node:{name}");
        self.parts.pki.client_while(Subject { name: &name, group: Some("system:nodes") }, holds)
    }

    /// The API server's own address.
    pub fn server(&self) -> &'static str {
        SERVER
    }
}

impl Bare {
    /// Runs a shell command on the node.
    ///
    /// # Errors
    ///
    /// When it does not exit with status 0; its own words.
    pub fn run(&self, command: &str) -> Result<String> {
        let result = said(&mut self.shell(command));
        self.failed.fetch_or(result.is_err(), Ordering::Relaxed);
        result
    }

    /// Runs a shell command five times a second until it succeeds.
    ///
    /// # Errors
    ///
    /// When it does not in time; its last words.
    pub fn run_until(&self, command: &str) -> Result<String> {
        let end = Instant::now() + LIMIT;
        loop {
            match said(&mut self.shell(command)) {
                Err(failure) if Instant::now() > end => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(Failure::new(format!("{command:?}: not within {LIMIT:?}: {failure}")));
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
                done => return done,
            }
        }
    }

    /// Ends a program of ours with SIGKILL; it comes back by itself.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn kill(&self, program: &str) -> Result {
        self.run(&format!("pkill -KILL -x '{program}'")).map(drop)
    }

    /// What the programs have told so far: what a node's console would show.
    pub fn said(&self) -> String {
        fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Waits until a line was told that has these words.
    ///
    /// # Errors
    ///
    /// When none was in time.
    pub fn wait_for(&self, words: &str) -> Result {
        self.wait_for_times(words, 1)
    }

    /// Waits until so many lines were told that have these words.
    ///
    /// # Errors
    ///
    /// When they were not in time.
    pub fn wait_for_times(&self, words: &str, times: usize) -> Result {
        let end = Instant::now() + LIMIT;
        while self.said().matches(words).count() < times {
            if Instant::now() > end {
                self.failed.store(true, Ordering::Relaxed);
                return Err(Failure::new(format!("{words:?} was not told {times} times within {LIMIT:?}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("nsenter");
        shell.args(["--target", &self.process, "--mount", "--pid", "--net", "--ipc", "--uts"]);
        shell.args(["sh", "-c", command]).stdin(Stdio::null());
        shell
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if thread::panicking() || self.failed.load(Ordering::Relaxed) {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!(
                "--- {} ---\n{}",
                self.log.display(),
                lines[lines.len().saturating_sub(40)..].join("\n")
            );
        }
        drop(self.holder.stdin.take());
        let _ended = self.holder.wait();
    }
}
