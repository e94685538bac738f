//! Files made or written for a container: device nodes, links, parameters.

use super::place::{self, Missing, Parent};
use crate::error::{Context, Error, Result};
use crate::plan::Node;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat, makedev, mknodat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{Gid, Uid, fchownat, symlinkat, write};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes a node, or binds the host's over an empty file.
pub fn device(root: BorrowedFd<'_>, parent: &mut Parent, node: &Node, bound: bool) -> Result<()> {
    let field = if node.is_asked_for { "linux.devices: " } else { "" };
    let words = || format!("{field}make the device {}", node.path);
    if bound {
        return bind_device(root, node).context(words);
    }
    let (folder, name) = parent.of(root, &node.path).context(words)?;
    let kind = SFlag::from_bits_truncate(node.kind);
    let mode = Mode::from_bits_truncate(node.mode);
    let number = makedev(node.major, node.minor);
    match mknodat(folder, name, kind, mode, number) {
        Err(Errno::EEXIST) if !node.is_asked_for => return Ok(()),
        Err(Errno::EEXIST) => {
            let there = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).context(words)?;
            return is_same(&there, node)
                .then_some(())
                .ok_or_else(|| Error(format!("linux.devices: {}: something else is there", node.path)));
        }
        // The caller itself is in a user namespace.
        Err(Errno::EPERM) => return bind_device(root, node).context(words),
        made => made.context(words)?,
    }
    if (node.uid, node.gid) == (0, 0) {
        return Ok(());
    }
    let owner = (Some(Uid::from_raw(node.uid)), Some(Gid::from_raw(node.gid)));
    fchownat(folder, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW).context(words)
}

/// Whether a file is this device; FIFOs have no number.
fn is_same(file: &FileStat, node: &Node) -> bool {
    let number = node.kind == libc::S_IFIFO || file.st_rdev == makedev(node.major, node.minor);
    file.st_mode & libc::S_IFMT == node.kind && number
}

fn bind_device(root: BorrowedFd<'_>, node: &Node) -> Result<()> {
    let path = CString::new(node.path.as_str()).map_err(|_| Error::new("the path has a zero byte"))?;
    let host =
        sys::mount_tree::copy(nix::fcntl::AT_FDCWD, &path, false).context(|| "open the host's".into())?;
    let target = place::open_or_make(root, &node.path, Missing::File)?;
    sys::mount_tree::attach(host.as_fd(), target.as_fd()).context(|| "bind the host's".into())
}

/// Switches the loopback interface of this network namespace on.
pub fn loopback() -> Result<()> {
    let words = || "switch the loopback interface on".to_owned();
    let socket =
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).context(words)?;
    sys::interface::loopback_up(socket.as_fd()).context(words)
}

/// Makes a symbolic link; what is there already stays.
pub fn link(root: BorrowedFd<'_>, parent: &mut Parent, path: &str, target: &str) -> Result<()> {
    let (folder, name) = parent.of(root, path)?;
    match symlinkat(target, folder, name) {
        Err(Errno::EEXIST) => Ok(()),
        made => made.context(|| format!("link {path} to {target}")),
    }
}

/// Writes a parameter of the namespaces that this process is in, below the host's
/// `/proc/sys`, which must be one (CVE-2025-52881).
pub fn sysctl(key: &str, value: &str) -> Result<()> {
    let words = || format!("linux.sysctl[{key:?}]: write {value:?}");
    write_proc(&Path::new("/proc/sys").join(parameter(key)), value.as_bytes()).context(words)
}

/// A parameter's path. Which letter divides is the first of the two; with dots a slash stands for the dot of a name,
/// as in `net.ipv4.conf.eth0/100.rp_filter` (sysctl(8)).
fn parameter(key: &str) -> String {
    let slashes = key.find('/').is_some_and(|slash| key.find('.').is_none_or(|dot| slash < dot));
    let swapped = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    if slashes { key.to_owned() } else { key.chars().map(swapped).collect() }
}

/// Where AppArmor's profile goes; before Linux 5.8 the module has no folder of its own.
pub const PROFILE: [&str; 2] = ["apparmor/exec", "exec"];

/// Writes what this process is to be after exec into the first of these files that is there, in
/// `attr` of proc(5). Nothing that is
/// mounted within the container's `/proc` can stand for it, though it be another file of
/// procfs, and no link (CVE-2025-52881).
pub fn write_attribute(names: &[&str], value: &[u8]) -> io::Result<()> {
    write(own_attribute(names)?, value)?;
    Ok(())
}

fn own_attribute(names: &[&str]) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let proc = open("/proc", flags, Mode::empty())?;
    if fstatfs(&proc)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(io::Error::other("/proc is not procfs"));
    }
    let own = Path::new(&readlinkat(&proc, "self")?).join("attr");
    let within =
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_SYMLINKS;
    let how = OpenHow::new().flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC).resolve(within);
    let mut opened = Err(Errno::ENOENT);
    for name in names {
        opened = opened.or_else(|error| match error {
            Errno::ENOENT => openat2(&proc, &own.join(name), how),
            error => Err(error),
        });
    }
    Ok(opened?)
}

/// Writes a file that must be procfs's.
fn write_proc(path: &Path, value: &[u8]) -> io::Result<()> {
    let file = open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    if fstatfs(&file)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(io::Error::other(format!("{} is not procfs's", path.display())));
    }
    write(&file, value)?;
    Ok(())
}

/// A folder that cannot be made is missed later, by who needs it.
pub fn if_read_only(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EROFS | libc::EEXIST) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    use std::fs;

    #[test]
    fn a_parameter_is_named_with_dots_or_slashes() {
        for (key, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
            ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ] {
            assert_eq!(parameter(key), path, "{key}");
        }
    }

    /// CVE-2025-52881: what was meant for a process's profile went to a file of the attacker's choice.
    #[test]
    #[ignore = "needs root"]
    fn nothing_mounted_in_proc_stands_for_an_attribute() {
        let bind =
            |from: &Path, to: &str, flags| mount(Some(from), to, None::<&str>, flags, None::<&str>).unwrap();
        let fake = std::env::temp_dir().join(format!("attr-{}", std::process::id()));
        fs::create_dir_all(&fake).unwrap();
        std::os::unix::fs::symlink("/proc/sys/kernel/core_pattern", fake.join("exec")).unwrap();
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        bind(Path::new("none"), "/", MsFlags::MS_PRIVATE | MsFlags::MS_REC);
        assert!(own_attribute(&PROFILE).is_ok());
        bind(&fake, "/proc/self/attr", MsFlags::MS_BIND);
        // What a check of the file system alone lets through.
        let naive = open("/proc/self/attr/exec", OFlag::O_WRONLY, Mode::empty()).unwrap();
        assert_eq!(fstatfs(&naive).unwrap().filesystem_type(), PROC_SUPER_MAGIC);
        assert_eq!(own_attribute(&PROFILE).unwrap_err().raw_os_error(), Some(libc::EXDEV));
        bind(&fake, "/proc", MsFlags::MS_BIND);
        assert_eq!(own_attribute(&PROFILE).unwrap_err().to_string(), "/proc is not procfs");
        fs::remove_dir_all(fake).unwrap();
    }
}
