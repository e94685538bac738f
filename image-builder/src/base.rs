//! The files that every node's root has beside what its recipe names: mount points, and
//! the small files that programs and the tools of containers expect, those too that pods of a cluster have mounted
//! (`hostPath`) because any host has them. No shell, no package manager, no dynamic linker.

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

/// Folders that pods mount on any host, where nothing is here.
const EXPECTED: [&str; 3] = ["/boot", "/etc/ssl/certs", "/usr/src"];

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
    for path in EXPECTED {
        root.insert_absent(path, Node::directory(0o755))?;
    }
    root.insert_absent("/etc/localtime", Node::bytes(0o644, utc()))?;
    let links = [
        ("/etc/machine-id", paths::MACHINE_ID),
        ("/etc/mtab", "/proc/self/mounts"),
        ("/etc/resolv.conf", paths::RESOLV_CONF),
    ];
    for (path, target) in links.into_iter().chain(paths::WRITABLE) {
        root.insert_absent(path, Node::symlink(target))?;
    }
    root.insert(paths::EXT4_TEMPLATE, Node::bytes(0o644, ext4::TEMPLATE))
}

/// UTC as tzfile(5) has it (RFC 9636): no transition, one type; once for readers of the first version and once for others.
fn utc() -> Vec<u8> {
    let mut block = b"TZif2".to_vec();
    // Reserved bytes, then counts: of types 1, of letters 4, else 0.
    block.resize(36, 0);
    block.extend([0, 0, 0, 1, 0, 0, 0, 4]);
    // The type: no offset, no summer time, the first name.
    block.resize(44 + 6, 0);
    block.extend(b"UTC\0");
    [&block, &block, &b"\nUTC0\n"[..]].concat()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_find_what_any_host_has() {
        let mut root = Tree::default();
        root.insert("/boot/kernel", Node::bytes(0o600, "own")).unwrap();
        install(&mut root).unwrap();
        let paths: Vec<&str> = root.iter().map(|(path, _)| path).collect();
        for path in ["boot/kernel", "etc/localtime", "etc/machine-id", "etc/ssl/certs", "usr/src"] {
            assert!(paths.contains(&path), "{path}");
        }
    }

    #[test]
    fn the_local_time_is_utc() {
        let text = utc();
        let zone = |at: usize| (&text[at..at + 5], &text[at + 36..at + 44], &text[at + 50..at + 54]);
        assert_eq!((text.len(), zone(0)), (114, zone(54)));
        assert_eq!(zone(0), (&b"TZif2"[..], &[0, 0, 0, 1, 0, 0, 0, 4][..], &b"UTC\0"[..]));
        assert!(text.ends_with(b"\nUTC0\n"));
    }
}
