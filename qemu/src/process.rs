//! A process that ends with its owner, however that ends: QEMU's, or a test's server. It is spawned
//! by a thread of its own.

use crate::Error;
use crate::watched::Watched;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Run by sh(1) below setpriv(1): when the owner died before setpriv could ask for
/// the signal, the parent is another one by now, and nothing is started.
const ONLY_UNDER_OWNER: &str = r#"test "$PPID" = "$0" && exec "$@""#;

/// A process of ours that runs or has ended.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    end: Arc<Watched<Option<End>>>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard error, if that was piped.
    pub words: String,
}

/// `program` as it must be run to end with this process: arguments may be added.
pub fn owned(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "sh", "-c", ONLY_UNDER_OWNER])
        .arg(std::process::id().to_string())
        .arg(program)
        .stdin(Stdio::null())
        // Ctrl-C at the terminal is for the owner, which ends the process in its own way.
        .process_group(0);
    command
}

impl Process {
    /// Runs `command`, which [`owned`] began. Everything that `command` owns,
    /// descriptors for the child among it, is closed here once the child has it.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub fn spawn(command: Command) -> Result<Self, Error> {
        let end = Arc::new(Watched::new(None));
        let (tell, told) = mpsc::sync_channel(1);
        let keeper = Arc::clone(&end);
        thread::Builder::new()
            .name("keeper".into())
            .spawn(move || keep(command, &tell, &keeper))
            .map_err(|cause| Error::Io("start a thread", cause))?;
        let pid = told
            .recv()
            .map_err(|_| Error::NotStarted("its thread ended".into()))?
            .map_err(|cause| Error::Io("run setpriv", cause))?;
        Ok(Self { pid, end })
    }

    /// Kills it if it still runs, and returns when it is gone.
    pub fn end(&self) {
        {
            // While the lock is held the keeper cannot reap, so the number is
            // still this process's.
            let end = self.end.lock();
            if end.is_none() {
                let _gone_already = kill(self.pid, Signal::SIGKILL);
            }
        }
        self.wait(Duration::MAX / 4);
    }

    /// Its process ID.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, `None` when it has not within `limit`.
    pub fn wait(&self, limit: Duration) -> Option<End> {
        self.end.wait(limit, |end| end.clone())
    }
}

/// The life of the thread that belongs to one process.
fn keep(mut command: Command, tell: &mpsc::SyncSender<std::io::Result<Pid>>, end: &Watched<Option<End>>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => {
            let _nobody_asks = tell.send(Err(cause));
            return;
        }
    };
    drop(command);
    // Process IDs fit in an i32 (PID_MAX_LIMIT is 2^22).
    let pid = Pid::from_raw(child.id().cast_signed());
    let _nobody_asks = tell.send(Ok(pid));
    let words = read_errors(&mut child);
    let _ended = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    end.change(|end| {
        if let Ok(status) = child.wait() {
            *end = Some(End { status, words });
        }
    });
}

fn read_errors(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _closed = stderr.read_to_end(&mut words);
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}
