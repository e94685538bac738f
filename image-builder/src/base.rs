//! The files that every node's root has beside what its recipe names: mount points, and
//! the small files that programs and the tools of containers expect. No shell, no
//! package manager, no dynamic linker.

use crate::error::Result;
use crate::ext4;
use crate::tree::{Kind, Node, Tree};
use spec::paths;

/// Mount points and folders.
const FOLDERS: [(&str, u16); 10] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sbin", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var", 0o755),
];

/// Small files of `/etc`.
const FILES: [(&str, &str); 5] = [
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    ),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    (
        "/etc/os-release",
        concat!(
            "ID=skerry\nNAME=Skerry\nPRETTY_NAME=\"Skerry ",
            env!("CARGO_PKG_VERSION"),
            "\"\nVERSION_ID=",
            env!("CARGO_PKG_VERSION"),
            "\n"
        ),
    ),
];

/// Puts the base files where the recipe has not put its own.
pub fn install(root: &mut Tree) -> Result<()> {
    for (path, mode) in FOLDERS {
        root.insert(path, Node::directory(mode))?;
    }
    for (path, content) in FILES {
        root.insert_absent(path, Node::bytes(0o644, content))?;
    }
    let links = [("/etc/resolv.conf", paths::RESOLV_CONF), ("/etc/mtab", "/proc/self/mounts")];
    for (path, target) in links.into_iter().chain(paths::WRITABLE) {
        root.insert_absent(path, Node::symlink(target))?;
    }
    root.insert(paths::EXT4_TEMPLATE, Node::bytes(0o644, ext4::TEMPLATE))
}

/// The initramfs's own: mount points, and the console that the kernel opens for PID 1.
pub fn install_initramfs(tree: &mut Tree) -> Result<()> {
    for (path, mode) in
        FOLDERS.into_iter().filter(|(path, _)| matches!(*path, "/dev" | "/proc" | "/run" | "/sys"))
    {
        tree.insert(path, Node::directory(mode))?;
    }
    let console = Node { kind: Kind::Character { major: 5, minor: 1 }, mode: 0o600, uid: 0, gid: 0 };
    tree.insert("/dev/console", console)
}
