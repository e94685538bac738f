//! Namespaces of its own for one test: mounts, processes, network, IPC, names.
//!
//! Its thread enters them, so whatever it starts is inside. The first process of the place
//! ends when the test's end of its standard input closes; it takes every process and
//! mount with it, however the test ended.

use nix::sched::CloneFlags;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const SET_UP: &str = r#"
    set -e
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 run /run
    mount -t tmpfs -o mode=755 var /var
    mount -t sysfs sys /sys
    mount -t cgroup2 cgroup /sys/fs/cgroup
    # A hierarchy of this test's own, since others run beside it.
    mkdir /sys/fs/cgroup/$0
    mount --bind /sys/fs/cgroup/$0 /sys/fs/cgroup
    mkdir -p /var/lib/skerry/store /run/skerry
    echo nameserver 192.0.2.53 >/run/skerry/resolv.conf
    mount --bind "$1" /var/lib/skerry/store
    ip link set lo up
    echo here
    cat
    set +e
    kill -KILL -1 2>/dev/null
    umount /sys/fs/cgroup
    for try in $(seq 150); do
        find /sys/fs/cgroup/$0 -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.02
    done
"#;

/// The namespaces, and their first process.
pub struct Place(Child);

impl Place {
    /// Enters namespaces of this thread's own; `store` is the node's image store.
    pub fn enter(name: &str, store: &str) -> Self {
        nix::sched::unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWUTS,
        )
        .expect("these tests need root");
        let mut holder = Command::new("sh")
            .args(["-c", SET_UP, name, store])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What kills the tests' group (Ctrl-C, timeout) leaves it time to tidy up.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "here\n", "the namespaces are set up");
        Self(holder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
