//! The PID 1s that are compared, each as an initramfs with all that it needs: it
//! mounts proc, sysfs, devtmpfs and cgroup2, and starts one program.

use crate::guest::Programs;
use std::fs;
use std::path::PathBuf;
use tests::{Archive, Result, busybox, programs};

/// What the others are measured against.
pub const OURS: &str = "skerry";
/// Fewer instructions than this one is the bar.
pub const BUSYBOX: &str = "busybox init";

/// A PID 1 and its initramfs.
pub struct Peer {
    /// What the table calls it.
    pub name: &'static str,
    /// An archive for the kernel.
    pub initramfs: Vec<u8>,
}

/// All of them, ours first.
pub fn all(programs: &Programs) -> Result<Vec<Peer>> {
    let peers = [
        (OURS, skerry(programs)?),
        ("C floor", common(programs)?.file("/bench/init", &programs.floor)?),
        (BUSYBOX, busybox_init(programs)?),
        ("runit", runit(programs)?),
    ];
    Ok(peers.map(|(name, archive)| Peer { name, initramfs: archive.finish() }).into())
}

fn common(programs: &Programs) -> Result<Archive> {
    let folders = ["/bench", "/bin", "/dev", "/etc", "/proc", "/sys"];
    let archive = folders.into_iter().fold(Archive::default(), Archive::folder);
    archive.file("/init", &programs.start_settled)?.file("/bench/payload", &programs.payload)
}

fn skerry(guest: &Programs) -> Result<Archive> {
    let config = "[services.payload]\ncommand = [\"/bench/payload\"]\n";
    let archive = common(guest)?.file("/bench/init", &programs().join("init"))?;
    Ok(archive.folder("/etc/skerry").text("/etc/skerry/node.toml", config))
}

/// Without a shell, which would take a third more.
fn busybox_init(programs: &Programs) -> Result<Archive> {
    let archive = common(programs)?.file("/bench/init", &busybox()?)?.link("/bin/mount", "/bench/init");
    let inittab = "::sysinit:/bin/mount -t proc proc /proc\n\
                   ::sysinit:/bin/mount -t sysfs sysfs /sys\n\
                   ::sysinit:/bin/mount -t devtmpfs devtmpfs /dev\n\
                   ::sysinit:/bin/mount -t cgroup2 cgroup2 /sys/fs/cgroup\n\
                   ::once:/bench/payload\n";
    Ok(archive.text("/etc/inittab", inittab))
}

/// Its stages are scripts by design; the shell is busybox's, the lightest.
fn runit(programs: &Programs) -> Result<Archive> {
    const MOUNTS: &str = "#!/bin/sh\n\
                          /bin/mount -t proc proc /proc\n\
                          /bin/mount -t sysfs sysfs /sys\n\
                          /bin/mount -t devtmpfs devtmpfs /dev\n\
                          /bin/mount -t cgroup2 cgroup2 /sys/fs/cgroup\n";
    const SUPERVISE: &str = "#!/bin/sh\nexec /usr/bin/runsvdir /etc/service\n";
    let folders = ["/usr", "/usr/bin", "/etc/runit", "/etc/service", "/etc/service/payload"];
    let archive = folders.into_iter().fold(common(programs)?, Archive::folder);
    let archive = with_libraries(archive)?
        .file("/bench/init", "/sbin/runit".as_ref())?
        .file("/usr/bin/runsvdir", "/usr/bin/runsvdir".as_ref())?
        .file("/usr/bin/runsv", "/usr/bin/runsv".as_ref())?
        .file("/bin/busybox", &busybox()?)?
        .link("/bin/sh", "busybox")
        .link("/bin/mount", "busybox")
        .text("/etc/runit/1", MOUNTS)
        .text("/etc/runit/2", SUPERVISE)
        .text("/etc/runit/3", "#!/bin/sh\n");
    Ok(archive.link("/etc/service/payload/run", "/bench/payload"))
}

/// What ldd(1) says of runit's programs, which are linked dynamically.
fn with_libraries(archive: Archive) -> Result<Archive> {
    let folders = ["/lib", "/lib/x86_64-linux-gnu", "/lib64"];
    let archive = folders.into_iter().fold(archive, Archive::folder);
    let libraries = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
    libraries.into_iter().try_fold(archive, |archive, path| {
        let source: PathBuf = fs::canonicalize(path)?;
        archive.file(path, &source)
    })
}
