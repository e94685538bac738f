//! The container's cgroup as a folder: made with its limits, emptied, removed.
//! What is to be written comes from the plan.

use super::{Absent, Write, events};
use crate::caller;
use crate::error::{Context, Error, Result};
use crate::kernel_file;
use crate::plan;
use nix::errno::Errno;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Where the hierarchy is mounted.
const HIERARCHY: &str = spec::paths::CGROUP;

/// How a cgroup tells that it is frozen.
const FROZEN: &str = "frozen 1";

/// So long removing a cgroup that is busy is tried again without a pause, then with one.
const AT_ONCE: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(2);

/// Whether the host has cgroup v2 where it should be. Asked once.
pub fn is_there() -> bool {
    static IS_THERE: LazyLock<bool> =
        LazyLock::new(|| statfs(HIERARCHY).is_ok_and(|about| about.filesystem_type() == CGROUP2_SUPER_MAGIC));
    *IS_THERE
}

/// The folder of a path in the hierarchy.
pub fn of(path: &str) -> PathBuf {
    Path::new(HIERARCHY).join(path)
}

/// The folder that a process is in (cgroups(7), `/proc/pid/cgroup`).
///
/// # Errors
/// Those of reading a file.
pub fn of_process(pid: i32) -> io::Result<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
    // One above what this process sees of the hierarchy begins with dots.
    let path = path.filter(|path| !path.starts_with(".."));
    path.map(of).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// Makes the folder with its limits and opens it, locked: no other container is made in it before this one's first
/// process is there. `first` becomes the topmost folder that was made. None where the caller may have none, for a container that asks for no limit.
///
/// # Errors
/// The limit that cannot be had, and what is missing for it.
pub fn make(cgroup: &plan::Cgroup, first: &mut Option<PathBuf>) -> Result<Option<File>> {
    let words = || format!("unable to apply cgroup configuration: make {}", of(&cgroup.path).display());
    match delegate(&cgroup.path, first) {
        Err(error) if !cgroup.is_named && is_denied(&error) && caller::is_rootless() => {
            let why = || {
                let path = of(&cgroup.path);
                format!(
                    "the caller may not make {}: systemd delegates one to a user with --systemd-cgroup",
                    path.display()
                )
            };
            lacking(cgroup, why).map(|()| None)
        }
        made => {
            made.context(words)?;
            let folder = open(&cgroup.path)?;
            if folder.try_lock().is_err() {
                return Err(taken(&cgroup.path, "another container is made in it"));
            }
            check_free(&cgroup.path)?;
            limit(&cgroup.path, &folder, cgroup).map(|()| Some(folder))
        }
    }
}

/// Opens a folder that is there.
///
/// # Errors
/// Those of open(2).
pub fn open(path: &str) -> Result<File> {
    File::open(of(path)).context(|| format!("open the cgroup {path}"))
}

fn taken(path: &str, why: &str) -> Error {
    Error(format!("linux.cgroupsPath: {}: {why}", of(path).display()))
}

/// One that was there before may be this container's, but for what others live in; one that was made just now, too: another
/// may have locked it, come into it and let go of it before it was locked here. In runc's words.
fn check_free(path: &str) -> Result<()> {
    let events = Events::of(path);
    match events.tell("populated 1") {
        true => Err(taken(path, "container's cgroup is not empty")),
        false => thawed(path, &events),
    }
}

/// In one that is frozen the first process would not do anything.
///
/// # Errors
/// It is.
pub fn check_thawed(path: &str) -> Result<()> {
    thawed(path, &Events::of(path))
}

fn thawed(path: &str, events: &Events) -> Result<()> {
    match events.tell(FROZEN) {
        true => Err(taken(path, "container's cgroup unexpectedly frozen")),
        false => Ok(()),
    }
}

fn is_denied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Why there is no hierarchy.
pub fn is_missing() -> String {
    format!("{HIERARCHY} is not a cgroup2 file system")
}

/// There is no cgroup for it: the host or the command line wants none, and a user has some only where they are delegated
/// to it. What limits nothing does without.
///
/// # Errors
/// The first limit, and why there is none.
pub fn lacking(cgroup: &plan::Cgroup, why: impl FnOnce() -> String) -> Result<()> {
    match cgroup.writes.first() {
        None => Ok(()),
        Some(write) => Err(Error(format!("linux.resources: {} needs a cgroup, and {}", write.file, why()))),
    }
}

/// Limits what is in a folder that is there.
///
/// # Errors
/// The limit that cannot be had, and what is missing for it.
pub fn limit(path: &str, folder: &File, cgroup: &plan::Cgroup) -> Result<()> {
    set(path, &cgroup.writes)?;
    if let Some(program) = &cgroup.devices {
        let attached = sys::device_filter::attach(folder.as_fd(), program);
        match attached {
            // Who may not load it cannot make a device either: the container has those that the
            // caller has.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && caller::is_rootless() => {}
            attached => attached.context(|| "linux.resources.devices: load the filter".into())?,
        }
    }
    cgroup.owner.map_or(Ok(()), |owner| give(path, owner))
}

/// What is given where the kernel does not tell (before Linux 4.15).
const USUALLY_GIVEN: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";

/// Lets a user make cgroups below and move processes between them, and change no limit (cgroup-v2.rst, "Model of
/// Delegation").
fn give(path: &str, owner: u32) -> Result<()> {
    let files = kernel_file::read("/sys/kernel/cgroup/delegate");
    let files = files.unwrap_or_else(|_| USUALLY_GIVEN.to_owned());
    for name in std::iter::once("").chain(files.lines()) {
        match std::os::unix::fs::chown(of(path).join(name), Some(owner), None) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It is another of the IDs that are a user's.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && caller::is_rootless() => {
                return Ok(());
            }
            given => given.context(|| format!("give the cgroup {path} to the user {owner}"))?,
        }
    }
    Ok(())
}

/// Lets a cgroup that is there have every controller, which may have come, or have been taken from it, since it was made.
pub fn enable_all(path: &str) {
    let mut folder = PathBuf::from(HIERARCHY);
    for name in Path::new(path) {
        enable(&folder);
        folder.push(name);
    }
}

/// Sets limits of a cgroup that is there.
///
/// # Errors
/// The limit that cannot be had, and what is missing for it.
pub fn set(path: &str, writes: &[Write]) -> Result<()> {
    let folder = of(path);
    writes.iter().try_for_each(|write| apply(&folder, write))
}

/// Makes each folder down to the container's, and in each above it lets the next one
/// have controllers.
fn delegate(path: &str, first: &mut Option<PathBuf>) -> io::Result<()> {
    match descend(path, first) {
        // Who failed to make another container took the folder away that was made for it, and was there for this one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => descend(path, first),
        done => done,
    }
}

fn descend(path: &str, first: &mut Option<PathBuf>) -> io::Result<()> {
    let mut folder = PathBuf::from(HIERARCHY);
    for name in Path::new(path) {
        enable(&folder);
        folder.push(name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        first.get_or_insert_with(|| folder.clone());
    }
    Ok(())
}

/// Removes the folders above a cgroup, from the first that was made for it on, but for those that others are in.
pub fn remove_above(path: &str, first: &Path) {
    let folder = of(path);
    for above in folder.ancestors().skip(1).take_while(|above| above.starts_with(first)) {
        match fs::remove_dir(above) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return,
            _ => {}
        }
    }
}

/// Every controller, as with runc: the container has something to read beside its limits, and to hand on. One that cannot
/// be enabled is told of when its file is missed.
fn enable(folder: &Path) {
    let read = |file: &str| kernel_file::read(folder.join(file)).unwrap_or_default();
    let (there, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let wanted = there.split_whitespace().filter(|name| !has(&enabled, name));
    let text: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
    if text.is_empty() || fs::write(folder.join("cgroup.subtree_control"), text.join(" ")).is_ok() {
        return;
    }
    // One that is refused keeps the others out too.
    for one in text {
        let _ = fs::write(folder.join("cgroup.subtree_control"), one);
    }
}

fn apply(folder: &Path, write: &Write) -> Result<()> {
    let there = write_existing(&folder.join(&write.file), &write.value);
    let (file, result) = match (&write.absent, there) {
        (Absent::Skip, Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        (Absent::Instead { file, value }, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            (file, write_existing(&folder.join(file), value))
        }
        (_, result) => (&write.file, result),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error(missing(folder, file))),
        result => result.context(|| format!("linux.resources: write {:?} to {file}", write.value)),
    }
}

fn missing(folder: &Path, file: &str) -> String {
    let controller = file.split('.').next().unwrap_or(file);
    let above = folder.parent().unwrap_or(folder);
    let there = fs::read_to_string(above.join("cgroup.subtree_control")).unwrap_or_default();
    match there.split_whitespace().any(|name| name == controller) {
        true => format!("linux.resources: the kernel has no {file}"),
        false => format!(
            "linux.resources: {file} needs the controller {controller}, which {} does not have",
            above.display()
        ),
    }
}

fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}

/// Whether the container is frozen.
pub fn is_frozen(path: &str) -> bool {
    Events::of(path).tell(FROZEN)
}

/// What a cgroup tells of itself (cgroup-v2.rst, "Core Interface Files").
struct Events(String);

impl Events {
    fn of(path: &str) -> Self {
        Self(kernel_file::read(of(path).join("cgroup.events")).unwrap_or_default())
    }

    fn tell(&self, line: &str) -> bool {
        self.0.lines().any(|own| own == line)
    }
}

/// Every process in the cgroup and those below it.
pub fn processes(path: &str) -> Vec<i32> {
    fn collect(folder: &Path, all: &mut Vec<i32>) {
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        all.extend(members.lines().filter_map(|line| line.parse::<i32>().ok()));
        folders(folder).iter().for_each(|below| collect(below, all));
    }
    let mut all = Vec::new();
    collect(&of(path), &mut all);
    all
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Kills everything in the cgroup and waits until it has ended.
///
/// # Errors
/// When something does not end in time.
pub fn kill(path: &str) -> Result<()> {
    let folder = of(path);
    let words = || format!("kill what is in {}", folder.display());
    match write_existing(&folder.join("cgroup.kill"), "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => return Ok(()),
        // Before Linux 5.14 there is no such file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            processes(path).into_iter().for_each(|pid| drop(sys::process::kill(pid, libc::SIGKILL)));
        }
        result => result.context(words)?,
    }
    events::open(&folder).and_then(|events| events::wait_for("populated 0", events)).context(words)
}

/// Removes the cgroup with all that is in it.
///
/// # Errors
/// When something does not end in time.
pub fn clear(path: &str) -> Result<()> {
    // Mostly nothing is in it any more.
    match fs::remove_dir(of(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => kill(path).and_then(|()| remove(path)),
        _ => Ok(()),
    }
}

/// Removes the cgroup if nothing is in it, nothing keeps it, and no container is made in it.
pub fn clear_empty(path: &str) {
    let Ok(folder) = open(path) else { return };
    if folder.try_lock().is_ok() && !is_frozen(path) {
        let _ = fs::remove_dir(of(path));
    }
}

/// Removes the cgroup and what the container made below it.
fn remove(path: &str) -> Result<()> {
    let folder = of(path);
    remove_all(&folder).context(|| format!("remove the cgroup {}", folder.display()))
}

fn remove_all(folder: &Path) -> nix::Result<()> {
    folders(folder).iter().try_for_each(|below| remove_all(below))?;
    let begin = Instant::now();
    loop {
        match nix::unistd::unlinkat(nix::fcntl::AT_FDCWD, folder, nix::unistd::UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            // A process that has ended leaves its cgroup a moment later than it tells, which is
            // longer on a busy machine.
            Err(Errno::EBUSY) if begin.elapsed() < AT_ONCE => std::thread::yield_now(),
            Err(Errno::EBUSY) if begin.elapsed() < events::PATIENCE => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
}
