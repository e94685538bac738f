//! Programs run to their end, which comes or is made to come.

use super::peer::Peer;
use super::{patience, place};
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where the runtime keeps its state.
pub const STATE: &str = "/run/state";

/// The runtime, its state in the test's place.
pub fn runtime<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    place::enter();
    let mut command = Command::new(Peer::program());
    command.args(["--root", STATE]).args(words);
    command
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit status; 128 + signal when it was killed.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// It did what it was asked.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// It did not, and said why in words; gives them.
    #[track_caller]
    pub fn error(self) -> String {
        assert!(self.code != 0 && (self.code < 128 || self.code == 255), "{self:?}");
        assert!(!self.stderr.trim().is_empty(), "no words: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.stderr
    }
}

/// A program that runs, its output in files: a container may keep them open.
pub struct Running {
    pub child: Child,
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

/// A child that nobody waits for would keep the place from ending.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program.
#[track_caller]
pub fn begin(mut command: Command) -> Running {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    place::enter();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let stdout = PathBuf::from(format!("/run/{number}.stdout"));
    let stderr = PathBuf::from(format!("/run/{number}.stderr"));
    command.stdin(Stdio::null());
    command.stdout(File::create_new(&stdout).unwrap()).stderr(File::create_new(&stderr).unwrap());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Running { child, stdout, stderr }
}

impl Running {
    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Ran {
        use std::os::unix::process::ExitStatusExt;
        let patience = patience();
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap();
                return Ran { code, stdout: super::read(&self.stdout), stderr: super::read(&self.stderr) };
            }
            if Instant::now() > end {
                let (stdout, stderr) = (super::read(&self.stdout), super::read(&self.stderr));
                panic!("still running after {patience:?}; it said {stdout:?} {stderr:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Runs a program to its end.
#[track_caller]
pub fn finish(command: Command) -> Ran {
    begin(command).wait()
}

/// Has a shell do something on the host, in the test's namespaces; what it says.
#[track_caller]
pub fn sh(script: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-ec", script]);
    finish(shell).ok().stdout
}
