//! The container's terminal.

use super::place::{self, Missing};
use crate::error::{Context, Error, Result};
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::statfs::{FsType, fstatfs};
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use sys::{descriptors, mount_tree, terminal};

/// `DEVPTS_SUPER_MAGIC`
const DEVPTS: FsType = FsType(0x1cd1);

/// Where a terminal is sent.
#[derive(Debug)]
pub struct Console {
    /// The console socket.
    pub socket: OwnedFd,
    /// Our own terminal, or a file, has what is written to it (`foreground`): a line feed stays one from the first on,
    /// as with runc.
    pub is_relayed: bool,
}

/// Makes a terminal in the container's own `devpts`, sends the other side over the
/// console socket, and takes it for standard input, output and error.
pub fn make(
    root: BorrowedFd<'_>,
    console: &Console,
    size: Option<(u16, u16)>,
    is_console: bool,
) -> Result<()> {
    let words = || "process.terminal: make a terminal".to_owned();
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY;
    let path = Path::new("/dev/pts/ptmx");
    let master = place::open_as(root, path, flags, ResolveFlag::RESOLVE_NO_SYMLINKS)
        .context(|| "process.terminal: open /dev/pts/ptmx in the container".into())?;
    if fstatfs(&master).context(words)?.filesystem_type() != DEVPTS {
        return Err(Error::new("process.terminal: /dev/pts in the container is not a devpts"));
    }
    let peer = terminal::peer(master.as_fd()).context(words)?;
    if let Some((rows, columns)) = size {
        terminal::set_size(master.as_fd(), rows, columns).context(words)?;
    }
    if console.is_relayed {
        let mut lines = tcgetattr(&master).context(words)?;
        lines.output_flags.remove(OutputFlags::ONLCR);
        tcsetattr(&master, SetArg::TCSANOW, &lines).context(words)?;
    }
    let name = format!("/dev/pts/{}", terminal::number(master.as_fd()).context(words)?);
    descriptors::send(console.socket.as_fd(), name.as_bytes(), &[master.as_fd()])
        .context(|| "process.terminal: send it over the console socket".into())?;
    if is_console {
        bind(root, peer.as_fd())?;
    }
    terminal::control(peer.as_fd()).context(words)?;
    dup2_stdin(&peer).and_then(|()| dup2_stdout(&peer)).and_then(|()| dup2_stderr(&peer)).context(words)
}

/// The terminal itself, whatever its name leads to meanwhile (CVE-2025-52565).
fn bind(root: BorrowedFd<'_>, peer: BorrowedFd<'_>) -> Result<()> {
    let words = || "process.terminal: bind it to /dev/console".to_owned();
    let Ok(target) = place::open_or_make(root, "/dev/console", Missing::File) else { return Ok(()) };
    let tree = mount_tree::copy(peer, c"", false).context(words)?;
    mount_tree::attach(tree.as_fd(), target.as_fd()).context(words)
}
