//! Starts a keeper where none runs: on a workstation nothing is to be set up before.

use crate::error::{Context, Error, Result};
use spec::paths;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sys::process::{Spawn, peek_ended, reap, spawn};

/// How long a keeper and its monitor may take to answer, and how often they are asked.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Connects to the monitor; where it is the usual one and nobody is there, a keeper is started first.
///
/// # Errors
/// There is no monitor and none can be started.
pub fn connect(socket: &Path) -> Result<UnixStream> {
    let refused = match UnixStream::connect(socket) {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let nobody = matches!(refused.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
    match program().filter(|_| nobody && socket == Path::new(paths::MONITOR_SOCKET) && is_needed()) {
        Some(program) => start(&program, socket),
        None => Err(refused).context(|| format!("no monitor runs here: connect to {}", socket.display())),
    }
}

/// PID 1 or another keeper would start a monitor again by itself. Their socket is of another kind,
/// so who connects in this way is told so, unless nobody is there.
fn is_needed() -> bool {
    let nobody = UnixStream::connect(paths::INIT_SOCKET).is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    });
    nix::unistd::geteuid().is_root() && nobody
}

/// The keeper that lies beside this program.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("skerry-keeper");
    beside.is_file().then_some(beside)
}

fn start(program: &Path, socket: &Path) -> Result<UnixStream> {
    let log = Path::new(paths::LOG).join("keeper.log");
    let pid = begin(program, &log).context(|| format!("start {}", program.display()))?;
    let begun = Instant::now();
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Ok(stream);
        }
        if peek_ended().is_some_and(|ended| ended.pid == pid) {
            reap(pid);
            let words = fs::read_to_string(&log).unwrap_or_default();
            return Err(Error::new(words.lines().last().unwrap_or("skerry-keeper ended").to_owned()));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(format!("the monitor does not answer; {} tells more", log.display())));
        }
        std::thread::sleep(PAUSE);
    }
}

/// In a session of its own, so that it stays when this terminal goes.
fn begin(program: &Path, log: &Path) -> io::Result<i32> {
    fs::create_dir_all(paths::LOG)?;
    let null = File::open("/dev/null")?;
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let argv = [CString::new(program.as_os_str().as_bytes())?];
    let env = [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    let descriptors = [null.as_fd(), log.as_fd(), log.as_fd()];
    spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup: None, oom_score_adj: None })
}
