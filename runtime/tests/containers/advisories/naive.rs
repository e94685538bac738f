//! The steps that the advisories are about, done as they were done then: each looks at a path and
//! then uses it, or hands on what it should not. They run in a process of their own, which is this
//! test program once more, as a test's thread may start neither threads nor namespaces.

use crate::support::{Running, begin};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, chroot};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// By now one that can fall has fallen.
const MOST_ROUNDS: u32 = 20_000;

/// Begins what [`act`] does with these words.
pub fn begin_act(words: &[&str]) -> Running {
    begin(command(this_program(), words))
}

/// The test program, which `/proc` of the test's place does not know.
pub fn this_program() -> OsString {
    std::env::args_os().next().unwrap()
}

/// [`act`] of a copy of this program.
pub fn command(program: impl AsRef<OsStr>, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["advisories::naive::act", "--exact", "--ignored", "--nocapture"]);
    command.env("SKERRY_NAIVE", words.join("\n"));
    command
}

/// What it says after the harness's own words.
#[track_caller]
pub fn act_says(words: &[&str]) -> String {
    let ran = begin_act(words).wait();
    let said = ran.stdout.split_once("naive: ").unwrap_or_else(|| panic!("{ran:?}")).1;
    said.split('\n').next().unwrap_or_default().to_owned()
}

#[test]
#[ignore = "is what other tests run"]
fn act() {
    let words = std::env::var("SKERRY_NAIVE").expect("other tests say what");
    let words: Vec<&str> = words.split('\n').collect();
    match words[..] {
        ["swap", one, other] => swap(one, other),
        ["mount", root, path] => falls(|_| mount_on(root, path)),
        ["make folder", root, path] => falls(|round| make_folder(root, path, round)),
        ["bind", root, source, target] => bind(root, source, target),
        ["run with a leak", root] => run_with_leak(root),
        ["be seen", root] => be_seen(root),
        _ => panic!("{words:?}"),
    }
}

/// Exchanges two names as fast as it can, until it is killed.
fn swap(one: &str, other: &str) {
    println!("naive: swapping");
    loop {
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
    }
}

/// Repeats a step until it did what it must not.
fn falls(step: impl Fn(u32) -> bool) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let round = (1..=MOST_ROUNDS).find(|round| step(*round));
    println!("naive: {}", round.unwrap_or(0));
}

/// Looks where a path leads, and gives it when that is in the root. A little later, as there is
/// always something to do before it is used.
fn checked(root: &str, path: &str) -> Option<PathBuf> {
    let path = Path::new(root).join(path.trim_start_matches('/'));
    fs::canonicalize(&path).ok()?.starts_with(root).then_some(())?;
    std::thread::yield_now();
    Some(path)
}

/// CVE-2021-30465
fn mount_on(root: &str, path: &str) -> bool {
    let Some(path) = checked(root, path) else { return false };
    if mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), None::<&str>).is_err() {
        return false;
    }
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let outside = mounts.lines().any(|line| line.split(' ').nth(4) == Some(super::OUTSIDE));
    let _ = umount2(super::OUTSIDE, MntFlags::MNT_DETACH);
    let folder = Path::new(root).join("swap");
    for name in ["one", "other"] {
        let _ = umount2(&folder.join(name), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    outside
}

/// CVE-2024-45310
fn make_folder(root: &str, path: &str, round: u32) -> bool {
    let Some(path) = checked(root, path) else { return false };
    let _ = fs::create_dir(path.join(round.to_string()));
    fs::read_dir(super::OUTSIDE).unwrap().next().is_some()
}

/// CVE-2025-31133, CVE-2025-52565: binds one path of the root over another, following links as the
/// host does, and says what is there then.
fn bind(root: &str, source: &str, target: &str) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let [source, target] = [source, target].map(|path| format!("{root}{path}"));
    mount(Some(source.as_str()), target.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    println!("naive: {}", fs::read_to_string(target).unwrap());
}

/// CVE-2024-21626: a descriptor of the host is open still when the program's folder is gone to.
fn run_with_leak(root: &str) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let leak = fs::File::open("/").unwrap();
    let proc = format!("{root}/proc");
    mount(Some("proc"), proc.as_str(), Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
    chroot(root).unwrap();
    chdir(format!("/proc/self/fd/{}", leak.as_raw_fd()).as_str()).unwrap();
    let script = "printf 'naive: '; cat run/victim";
    panic!("{}", Command::new("/bin/busybox").args(["sh", "-c", script]).exec())
}

/// CVE-2019-5736: is in the container's sight as what it is, a program of the host, until the
/// container has seen it.
fn be_seen(root: &str) {
    println!("naive: here");
    while fs::metadata(format!("{root}/seen")).is_err() {
        std::thread::sleep(Duration::from_millis(1));
    }
}
