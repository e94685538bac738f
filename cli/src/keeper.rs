//! Starts a keeper where none runs, since on a workstation nothing is to be set up before, and waits for a
//! monitor that was killed and comes back.

use crate::error::{Context, Error, Result};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use spec::paths;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sys::cause::cause;
use sys::process::{Spawn, peek_ended, reap, spawn};

/// How long a keeper and its monitor may take to answer, and how often they are asked.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// How an error begins that says that there is no monitor, and so no container either.
pub const NOBODY: &str = "no monitor runs here";

/// Connects to the monitor. Where it is the usual one and nobody is there, it is awaited if somebody
/// keeps it, and else a keeper is started.
///
/// # Errors
/// There is no monitor and none can be started.
pub fn connect(socket: &Path) -> Result<UnixStream> {
    let refused = match reach(socket) {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let usual = is_nobody(&refused) && socket == Path::new(paths::MONITOR_SOCKET);
    if usual && is_kept() {
        return wait(socket, || Ok(()));
    }
    let root = nix::unistd::geteuid().is_root();
    if let Some(program) = program().filter(|_| usual && root) {
        return start(&program, socket);
    }
    Err(Error::new(unreached(&refused, socket, usual && !root)))
}

/// Connects to who listens there. One that stands still takes so many connections and no more, and is waited for no longer
/// than [`PATIENCE`].
///
/// # Errors
/// As connect(2) has them.
pub fn reach(path: &Path) -> io::Result<UnixStream> {
    let own = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&own, sockopt::SendTimeout, &TimeVal::new(PATIENCE.as_secs().cast_signed(), 0))?;
    connect_to(own.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = UnixStream::from(own);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// Why the monitor was not reached; whether there is one, nobody but root is told. `denied`: who asks is not root.
fn unreached(refused: &io::Error, socket: &Path, denied: bool) -> String {
    let why = format!("connect to {}: {}", socket.display(), cause(refused));
    match refused.kind() {
        io::ErrorKind::WouldBlock => format!("the monitor does not answer: {why}"),
        kind if denied || kind == io::ErrorKind::PermissionDenied => {
            format!("skerry needs root here, as sudo skerry has it: {why}")
        }
        _ => format!("{NOBODY}: {why}"),
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// PID 1 or a keeper starts a monitor again by itself. Their socket is of another kind, so who
/// connects in this way is told so, unless nobody is there.
fn is_kept() -> bool {
    UnixStream::connect(paths::INIT_SOCKET).is_err_and(|error| !is_nobody(&error))
}

/// The keeper that lies beside this program.
fn program() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok()?.with_file_name("skerry-keeper");
    beside.is_file().then_some(beside)
}

fn start(program: &Path, socket: &Path) -> Result<UnixStream> {
    let log = Path::new(paths::LOG).join("keeper.log");
    let pid = begin(program, &log).context(|| format!("start {}", program.display()))?;
    wait(socket, || {
        if peek_ended().is_none_or(|ended| ended.pid != pid) {
            return Ok(());
        }
        reap(pid);
        let words = fs::read_to_string(&log).unwrap_or_default();
        match words.lines().last().unwrap_or("skerry-keeper ended") {
            // Another command's was first.
            line if line.ends_with("another keeper runs") => Ok(()),
            line => Err(Error::new(line)),
        }
    })
}

/// Connects as soon as the monitor is there, and gives up when its keeper is not well.
fn wait(socket: &Path, is_well: impl Fn() -> Result<()>) -> Result<UnixStream> {
    let begun = Instant::now();
    loop {
        if let Ok(stream) = reach(socket) {
            return Ok(stream);
        }
        is_well()?;
        if begun.elapsed() > PATIENCE {
            let told = format!("{}/keeper.log or the console", paths::LOG);
            return Err(Error::new(format!("the monitor does not answer; {told} tells more")));
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
    let cgroup = cgroup();
    let cgroup = cgroup.as_ref().map(AsFd::as_fd);
    spawn(&Spawn { argv: &argv, env: &env, descriptors: &descriptors, cgroup, oom_score_adj: None })
}

/// The keeper's own: what ends the caller's, as the end of a unit or of a login does (systemd.kill(5)), is not to end every
/// container here. None where there are no cgroups of version 2.
fn cgroup() -> Option<File> {
    let root = Path::new(paths::CGROUP);
    let own = root.join(paths::SYSTEM_CGROUP).join("keeper");
    root.join("cgroup.procs").exists().then(|| fs::create_dir_all(&own))?.ok()?;
    File::open(own).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_told_so_and_not_that_there_is_nobody() {
        let socket = Path::new("/run/skerry/monitor.sock");
        let told = |kind: io::ErrorKind, denied| unreached(&io::Error::from(kind), socket, denied);
        for (kind, denied) in [(io::ErrorKind::PermissionDenied, false), (io::ErrorKind::NotFound, true)] {
            let words = told(kind, denied);
            assert!(
                words.starts_with("skerry needs root here, as sudo skerry has it: connect to"),
                "{words}"
            );
        }
        assert!(told(io::ErrorKind::NotFound, false).starts_with(NOBODY));
        assert!(told(io::ErrorKind::WouldBlock, false).starts_with("the monitor does not answer"));
    }
}
