//! The last work before the machine goes off: every file system is unmounted.
//!
//! A disk that does not answer stops whoever touches it, and PID 1 must not
//! stop: this runs as a process of its own, PID 1's program started with
//! [`ARGUMENT`], and PID 1 waits for it no longer than it says.
//!
//! Neither does a server that does not answer hold the disks: each file system of
//! [`ELSEWHERE`] has one more process, started with [`DETACH`]. It takes the file system
//! out of the tree at once, so that nothing here meets it any more, and ends when the
//! server has all that was written. Whoever syncs everything would wait for it too
//! (sync(2)), so each disk's is synced by itself.

use crate::clock;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use spec::mountinfo::unescape;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::PipeReader;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use sys::process::{Spawn, spawn};

/// The argument with which PID 1 starts this.
pub const ARGUMENT: &str = "unmount";
/// The argument, before a path, with which this starts [`detach`].
pub const DETACH: &str = "detach";

/// Kinds of file systems whose files a server keeps, each with those that are named `KIND.NAME`.
const ELSEWHERE: [&str; 8] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "fuse"];
/// How long servers may take once everything else is done.
const SERVERS: u16 = 10_000;
/// How often it is looked whether the processes have begun, and how long between.
const LOOKS: (u32, Duration) = (100, Duration::from_millis(10));

/// A line of `/proc/self/mountinfo` (proc(5)), what of it counts here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    target: PathBuf,
    kind: String,
    /// The numbers of its device; the first is 0 for what lies on none.
    device: String,
}

impl Mounted {
    fn is_elsewhere(&self) -> bool {
        ELSEWHERE.iter().any(|kind| self.kind.split('.').next() == Some(*kind))
    }

    fn is_on_device(&self) -> bool {
        !self.device.starts_with("0:")
    }
}

/// Reads `mountinfo`, in its order: what lies on top of another comes later.
/// A path is any bytes, so this is not read as text.
pub fn parse(info: &[u8]) -> Vec<Mounted> {
    info.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
    let target = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mounted { target, kind: String::from_utf8_lossy(kind).into_owned(), device })
}

/// What to unmount, in order: the latest first; not the root, nor what PID 1
/// itself stands on to the end, nor what a server could hold up.
pub fn plan(mounts: &[Mounted]) -> Vec<&Path> {
    let kept = |target: &Path| {
        ["/", "/run", "/tmp"].iter().any(|path| target == Path::new(path))
            || ["/proc", "/sys", "/dev"].iter().any(|top| target.starts_with(top))
    };
    let own = mounts.iter().rev().filter(|mounted| !mounted.is_elsewhere());
    own.map(|mounted| &*mounted.target).filter(|target| !kept(target)).collect()
}

/// File systems on devices that are still mounted, beside the read-only root.
pub fn left(mounts: &[Mounted]) -> Vec<String> {
    let counts = |mounted: &&Mounted| mounted.is_on_device() && mounted.target != Path::new("/");
    let named = |mounted: &Mounted| format!("{} ({})", mounted.target.display(), mounted.kind);
    mounts.iter().filter(counts).map(named).collect()
}

/// What is mounted now.
pub fn mounted() -> Vec<Mounted> {
    parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// Does the work; what stays is made read-only.
pub fn run() {
    // On a tmpfs it does no harm and helps nobody.
    let _ = clock::keep();
    let servers = leave_servers(&mounted());
    sync(&mounted());
    // What holds another may come after it in the list (a loop device's file, an
    // overlay's layers), so the rounds go on as long as they get somewhere.
    loop {
        let now = mounted();
        let gone = plan(&now)
            .into_iter()
            .filter(|target| umount2(*target, MntFlags::UMOUNT_NOFOLLOW).is_ok())
            .count();
        let detached = detach_loops();
        if gone + detached == 0 {
            break;
        }
    }
    let now = mounted();
    for target in plan(&now) {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        let _ = mount(None::<&str>, target, None::<&str>, flags, None::<&str>);
    }
    sync(&now);
    if let Some(processes) = servers {
        let _ = poll(&mut [PollFd::new(processes.as_fd(), PollFlags::POLLIN)], PollTimeout::from(SERVERS));
    }
}

/// What lies on a device, each device once, by a folder: a pipe's other end would be waited for.
fn sync(mounts: &[Mounted]) {
    let mut done: Vec<&str> = Vec::new();
    for mounted in mounts.iter().filter(|mounted| mounted.is_on_device()) {
        let open =
            || OpenOptions::new().read(true).custom_flags(nix::libc::O_DIRECTORY).open(&mounted.target);
        if !done.contains(&&*mounted.device)
            && let Ok(folder) = open()
        {
            let _ = nix::unistd::syncfs(folder);
            done.push(&mounted.device);
        }
    }
}

/// Starts the processes for what is elsewhere, the latest first, and waits until it is out of the tree. The pipe
/// ends with the last of them.
fn leave_servers(mounts: &[Mounted]) -> Option<PipeReader> {
    let elsewhere = |mounts: &[Mounted]| mounts.iter().any(Mounted::is_elsewhere);
    if !elsewhere(mounts) {
        return None;
    }
    let (reader, writer) = std::io::pipe().ok()?;
    for mounted in mounts.iter().rev().filter(|mounted| mounted.is_elsewhere()) {
        let words = ["/proc/self/exe".as_ref(), DETACH.as_ref(), mounted.target.as_os_str()];
        let argv: Vec<CString> =
            words.into_iter().filter_map(|word| CString::new(word.as_bytes()).ok()).collect();
        let descriptors = &[writer.as_fd(); 3];
        let _ = spawn(&Spawn { argv: &argv, env: &[], descriptors, cgroup: None, oom_score_adj: None });
    }
    for _ in 0..LOOKS.0 {
        if !elsewhere(&mounted()) {
            break;
        }
        sleep(LOOKS.1);
    }
    Some(reader)
}

/// Takes what is mounted there out of the tree, and stays until its server has what was written.
pub fn detach(target: &OsStr) {
    let _ = umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
}

/// Frees every loop device that can be freed at once. One in use, the root's
/// among them, only gets a mark and goes with its last user.
fn detach_loops() -> usize {
    let has_file = |name: &String| fs::metadata(format!("/sys/class/block/{name}/loop/backing_file")).is_ok();
    let root = fs::metadata("/").map(|root| std::os::unix::fs::MetadataExt::dev(&root)).unwrap_or(0);
    let names = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let loops = names.filter(|name| name.starts_with("loop")).filter(has_file);
    let detach = |name: &String| {
        let path = format!("/dev/{name}");
        let is_root =
            fs::metadata(&path).is_ok_and(|device| std::os::unix::fs::MetadataExt::rdev(&device) == root);
        !is_root
            && File::open(&path).and_then(|device| sys::block::detach_loop(device.as_fd())).is_ok()
            && !has_file(name)
    };
    loops.filter(detach).count()
}

/// The machine's last line.
pub fn last_line(left: &[String], how: &str) -> String {
    match left {
        [] => format!("all file systems unmounted; {how}"),
        left => format!("still mounted: {}; {how}", left.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"\
21 1 254:0 / / ro,relatime - erofs /dev/vda ro
22 21 0:21 / /proc rw - proc proc rw
23 21 0:6 / /dev rw - devtmpfs devtmpfs rw
24 23 0:22 / /dev/pts rw - devpts devpts rw
25 21 0:23 / /run rw shared:1 - tmpfs tmpfs rw
30 21 254:16 / /var rw,noatime - ext4 /dev/vdb rw
31 25 7:1 / /run/skerry/a\\040b ro - erofs /dev/loop1 ro
32 25 0:40 / /run/skerry/root rw - overlay overlay rw
33 21 0:41 / /devices rw - tmpfs tmpfs rw
34 30 7:2 / /var/\xff rw - ext4 /dev/loop2 rw
35 30 0:42 / /var/far rw shared:2 - nfs4 10.0.0.1:/data rw
36 30 0:43 / /var/farther rw - fuse.sshfs a:/ rw
";

    #[test]
    fn the_latest_goes_first_and_what_pid_1_stands_on_stays() {
        let mounts = parse(INFO);
        assert_eq!(mounts.len(), 12);
        let planned: Vec<&[u8]> = plan(&mounts).iter().map(|path| path.as_os_str().as_bytes()).collect();
        let expected: [&[u8]; 5] =
            [b"/var/\xff", b"/devices", b"/run/skerry/root", b"/run/skerry/a b", b"/var"];
        assert_eq!(planned, expected);
    }

    #[test]
    fn what_a_server_keeps_is_not_among_what_is_waited_for() {
        let kinds = |mounts: Vec<Mounted>| mounts.into_iter().map(|mounted| mounted.kind).collect::<Vec<_>>();
        let (far, here): (Vec<_>, Vec<_>) = parse(INFO).into_iter().partition(Mounted::is_elsewhere);
        assert_eq!(kinds(far), ["nfs4", "fuse.sshfs"]);
        let on_devices = here.into_iter().filter(Mounted::is_on_device).collect();
        assert_eq!(kinds(on_devices), ["erofs", "ext4", "erofs", "ext4"]);
    }

    #[test]
    fn what_lies_on_a_device_and_stayed_is_named() {
        let named = ["/var (ext4)", "/run/skerry/a b (erofs)", "/var/\u{fffd} (ext4)"];
        assert_eq!(left(&parse(INFO)), named);
        assert_eq!(last_line(&[], "reboot"), "all file systems unmounted; reboot");
        let left = ["/var (ext4)".to_owned()];
        assert_eq!(last_line(&left, "power off"), "still mounted: /var (ext4); power off");
    }
}
