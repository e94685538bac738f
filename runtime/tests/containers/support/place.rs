//! Namespaces of its own for one test: mounts, processes, network, IPC, names.
//!
//! Its thread enters them, so whatever it starts is inside and whatever it reads
//! is what the runtime sees. `/run` is empty, `/sys/fs/cgroup` is cgroup v2 alone
//! even where the machine has both versions. The first process of the place ends
//! when the test's end of its standard input closes; it takes every process,
//! mount and cgroup with it, however the test ended.
//!
//! A thread in a PID namespace that is not its own cannot start threads.

use nix::sched::CloneFlags;
use std::cell::LazyCell;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const SET_UP: &str = r#"
    set -e
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 run /run
    mount -t sysfs sys /sys
    mount -t cgroup2 cgroup /sys/fs/cgroup
    ip link set lo up
    # Not copied by the tests: a file that one thread writes is open in what another has just
    # forked, and cannot be executed.
    cp /bin/busybox /run/busybox
    echo here
    cat
    set +e
    kill -KILL -1 2>/dev/null
    for try in $(seq 150); do
        find /sys/fs/cgroup -depth -type d -path "*/$0*" -exec rmdir {} + 2>/dev/null && break
        sleep 0.02
    done
"#;

thread_local! {
    static PLACE: LazyCell<Place> = const { LazyCell::new(Place::new) };
}

struct Place {
    name: String,
    holder: Child,
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("skerry-test-{}-{number}-", std::process::id());
        nix::sched::unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWUTS,
        )
        .expect("these tests need root");
        let mut holder = Command::new("sh")
            .args(["-c", SET_UP, &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What kills the tests' group (Ctrl-C, timeout) leaves it time to tidy up.
            .process_group(0)
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "here\n", "the namespaces are set up");
        Self { name, holder }
    }

    fn signal(&self, signal: i32) -> std::io::Result<()> {
        let holder = sys::pidfd::open(self.holder.id().cast_signed())?;
        sys::pidfd::signal(holder.as_fd(), signal)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.signal(nix::libc::SIGCONT);
        let _ = self.holder.wait();
    }
}

/// Goes to the test's place; gives what the names of its containers and cgroups begin with.
pub fn enter() -> String {
    PLACE.with(|place| place.name.clone())
}

/// From now on nobody takes the exit statuses of processes without a parent.
pub fn stop_reaping() {
    PLACE.with(|place| place.signal(nix::libc::SIGSTOP)).expect("the place can be stopped");
}

/// The controllers that cgroup v2 has here.
pub fn controllers() -> String {
    enter();
    super::read("/sys/fs/cgroup/cgroup.controllers")
}

/// Whether cgroup v2 has not all of these controllers here, as on a machine that has version 1
/// beside it. It says so past the capture of a test's output: nothing is left out silently.
pub fn lacks(controllers: &[&str]) -> bool {
    let there = self::controllers();
    let missing = controllers.iter().find(|name| !there.split_whitespace().any(|one| one == **name));
    if let Some(controller) = missing {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ =
            writeln!(std::io::stderr(), "left out: {test}: cgroup v2 has no {controller} controller here");
    }
    missing.is_some()
}

/// What is there that was not there before the first container: processes, cgroups,
/// folders of the runtime's state. Waits for processes that are ending.
pub fn leftovers() -> Vec<String> {
    let mut left = Vec::new();
    let patience = Instant::now() + super::patience() / 5;
    loop {
        left.clear();
        left.extend(processes());
        left.extend(cgroups());
        left.extend(entries(super::command::STATE));
        if left.is_empty() || Instant::now() > patience {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn entries(folder: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map_while(Result::ok).map(|entry| entry.path().display().to_string()).collect()
}

/// Every process but the place's first one and its `cat`.
fn processes() -> Vec<String> {
    let mine = std::fs::read_to_string("/proc/1/task/1/children").unwrap_or_default();
    let cat = mine.split(' ').next().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for path in entries("/proc") {
        let pid = path.trim_start_matches("/proc/");
        if pid.starts_with(|first: char| first.is_ascii_digit()) && pid != "1" && pid != cat {
            let command = std::fs::read_to_string(format!("{path}/cmdline")).unwrap_or_default();
            found.push(format!("process {pid} {}", command.replace('\0', " ")));
        }
    }
    found
}

/// Every cgroup of the place.
fn cgroups() -> Vec<String> {
    let name = enter();
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
                if entry.path().to_string_lossy().contains(&name) {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    found
}
