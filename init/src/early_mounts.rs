//! The kernel's own file systems, and the folders of this boot's state.

use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use spec::paths;
use std::fs;

struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    options: &'static str,
}

const NO_SUID: MsFlags = MsFlags::MS_NOSUID;
const NO_DEV: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const NO_EXEC: MsFlags = NO_DEV.union(MsFlags::MS_NOEXEC);

/// In this order: the later ones lie in the earlier.
#[rustfmt::skip]
const MOUNTS: [Mount; 8] = [
    Mount { kind: "proc", target: "/proc", flags: NO_EXEC, options: "" },
    Mount { kind: "sysfs", target: "/sys", flags: NO_EXEC, options: "" },
    Mount { kind: "devtmpfs", target: "/dev", flags: NO_SUID, options: "mode=0755" },
    Mount { kind: "devpts", target: "/dev/pts", flags: NO_SUID.union(MsFlags::MS_NOEXEC), options: "gid=5,mode=620,ptmxmode=666" },
    Mount { kind: "tmpfs", target: "/dev/shm", flags: NO_DEV, options: "mode=1777" },
    Mount { kind: "tmpfs", target: "/run", flags: NO_DEV, options: "mode=0755" },
    Mount { kind: "tmpfs", target: "/tmp", flags: NO_DEV, options: "mode=1777" },
    Mount { kind: "cgroup2", target: paths::CGROUP, flags: NO_EXEC, options: "nsdelegate,memory_recursiveprot" },
];

/// Mounts everything that can be mounted; what cannot is named in the error.
pub fn mount_all() -> Result<()> {
    let wrong: Vec<String> = MOUNTS.iter().filter_map(|one| one.mount().err()).map(|error| error.0).collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error(wrong.join("; "))) }
}

impl Mount {
    fn mount(&self) -> Result<()> {
        let attempt = || mount(Some(self.kind), self.target, Some(self.kind), self.flags, Some(self.options));
        let result = match attempt() {
            // Folders in the kernel's file systems must be made; an initramfs may lack them too.
            Err(Errno::ENOENT) => fs::create_dir_all(self.target).map_or(Err(Errno::ENOENT), |()| attempt()),
            // The kernel has mounted /dev itself.
            Err(Errno::EBUSY) => Ok(()),
            other => other,
        };
        result.context(|| format!("mount {} on {}", self.kind, self.target))
    }
}

/// Lets containers' programs watch more files than the kernel has for a user by itself. Root's in containers are the
/// node's too, and each of them would be kept from it by one that takes all. What a kernel does not have is not missed.
pub fn allow_watches() {
    for (name, most) in [("inotify/max_user_instances", "8192"), ("epoll/max_user_watches", "100000000")] {
        let _ = fs::write(format!("/proc/sys/fs/{name}"), most);
    }
}

/// Has what is mounted from here on seen in mount namespaces that follow this one (mount_namespaces(7)), such as those of
/// pods that ask for it. The kernel begins with mounts that are private.
pub fn share() -> Result<()> {
    let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context(|| "make mounts shared")
}

/// Gives cgroups below the root every controller that this kernel has, and
/// makes the parent of the services' groups.
pub fn enable_controllers() -> Result<()> {
    let at = |name: &str| format!("{}/{name}", paths::CGROUP);
    fs::create_dir(at(paths::SYSTEM_CGROUP)).context(|| format!("create {}", at(paths::SYSTEM_CGROUP)))?;
    let have = fs::read_to_string(at("cgroup.controllers")).context(|| "read cgroup.controllers")?;
    let enable = |names: &str| fs::write(at("cgroup.subtree_control"), names);
    let all: Vec<String> = have.split_whitespace().map(|name| format!("+{name}")).collect();
    if all.is_empty() || enable(&all.join(" ")).is_ok() {
        return Ok(());
    }
    // One that is refused keeps the others out, too.
    let refused: Vec<&str> =
        all.iter().filter(|name| enable(name).is_err()).map(|name| name.trim_start_matches('+')).collect();
    if refused.is_empty() { Ok(()) } else { Err(Error(format!("enable controllers {}", refused.join(" ")))) }
}
