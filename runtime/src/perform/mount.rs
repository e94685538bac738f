//! Mounts, by descriptor from beginning to end (mount_setattr(2), open_tree(2),
//! move_mount(2), fsopen(2)).

use super::copy_up;
use super::over_proc;
use super::place::{self, Missing};
use crate::channel::Channel;
use crate::error::{Cause, Context, Error, Result};
use crate::plan::{Mount, Options, Source, resolved};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount as mount_at, umount2};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::{chdir, chroot, fchdir, pivot_root};
use spec::mountinfo::unescape;
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use sys::fs_context::FsContext;
use sys::{descriptors, mount_tree};

const RDONLY: u64 = 1;

/// Of the root of this mount namespace, and of all below when recursive.
pub fn propagation(flag: u64, recursive: bool) -> Result<()> {
    let flags = MsFlags::from_bits_retain(flag) | if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
    mount_at(None::<&str>, "/", None::<&str>, flags, None::<&str>).context(|| format!("set {flags:?} on /"))
}

/// Binds the root over itself, so that it is a mount, and returns it. One that is `shared`
/// with others must not hand on to them what is mounted in it.
pub fn root(path: &str, shared: bool) -> Result<OwnedFd> {
    let words = || format!("root.path: mount {path}");
    let place =
        open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).context(words)?;
    let root = mount_tree::copy(place.as_fd(), c"", true).context(words)?;
    let make_private = || match shared {
        true => mount_tree::set_attributes(root.as_fd(), true, 0, 0, libc::MS_PRIVATE).context(words),
        false => Ok(()),
    };
    make_private()?;
    mount_tree::attach(root.as_fd(), place.as_fd()).context(words)?;
    // What is attached to a mount that is shared has become so itself.
    make_private()?;
    Ok(root)
}

/// What is mounted on a shared mount is mounted on the host as well, and
/// pivot_root(2) refuses it: the mount that has the root is made private.
pub fn private_parent(root: &str) -> Result<()> {
    make_parent_private(root).context(|| format!("root.path: find the mount of {root}"))
}

fn make_parent_private(root: &str) -> io::Result<()> {
    let root = std::fs::canonicalize(root)?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    let point = |fields: &[&str]| PathBuf::from(OsString::from_vec(unescape(fields[4].as_bytes())));
    // ID, parent, device, root, mount point, options, optional fields (proc(5)).
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let above = fields.filter(|fields| fields.len() > 6 && root.starts_with(point(fields)));
    let Some(parent) = above.max_by_key(|fields| fields[4].len()) else { return Ok(()) };
    if !parent[6..].iter().take_while(|field| **field != "-").any(|field| field.starts_with("shared:")) {
        return Ok(());
    }
    Ok(mount_at(None::<&str>, &point(&parent), None::<&str>, MsFlags::MS_PRIVATE, None::<&str>)?)
}

/// What mounts leave for the next ones.
#[derive(Debug, Default)]
pub struct Mounts {
    /// Descriptors that nobody needs any more, closed many at a time.
    spent: Vec<OwnedFd>,
    /// What covers folders, once it covers one.
    empty_folder: Option<OwnedFd>,
    /// To be closed to writers once all is made that stands in them.
    read_only: Vec<OwnedFd>,
}

/// Where limits are low, so many descriptors are still to be had.
const MOST_SPENT: usize = 64;

impl Mounts {
    /// Nothing more is mounted, or made in what is: what is left to close.
    pub fn end(&mut self) -> Result<Vec<OwnedFd>> {
        for mount in &self.read_only {
            mount_tree::set_attributes(mount.as_fd(), false, RDONLY, 0, 0)
                .context(|| "close a mount to writers".into())?;
        }
        Ok(self.spent.drain(..).chain(self.read_only.drain(..)).chain(self.empty_folder.take()).collect())
    }

    fn spend(&mut self, descriptors: impl IntoIterator<Item = OwnedFd>) {
        self.spent.extend(descriptors);
        if self.spent.len() > MOST_SPENT {
            descriptors::close_all(std::mem::take(&mut self.spent));
        }
    }
}

/// Mounts one element of `mounts`; some are made by the parent.
pub fn mount(mounts: &mut Mounts, root: BorrowedFd<'_>, mount: &Mount, parent: &Channel) -> Result<()> {
    let words = || words(mount);
    let (tree, target) = match &mount.source {
        Source::There { whole } => {
            let target = place::open(root, &mount.destination).context(words)?;
            change(target.as_fd(), *whole, &mount.options).context(words)?;
            mounts.spend([target]);
            return Ok(());
        }
        Source::New { kind, device } if is_long(device, &mount.options) => {
            at_once(root, mount, kind, device).context(words)?
        }
        _ => by_descriptor(mounts, root, mount, parent)?,
    };
    if let Some((flag, recursive)) = mount.options.propagation {
        mount_tree::set_attributes(tree.as_fd(), recursive, 0, 0, flag).context(words)?;
    }
    match is_filled(mount) && mount.options.is_read_only() {
        true => mounts.read_only.push(tree),
        false => mounts.spend([tree]),
    }
    mounts.spend([target]);
    Ok(())
}

fn words(mount: &Mount) -> String {
    format!("{}: mount {} on {}", mount.name, describe(&mount.source), mount.destination)
}

/// The mount, made detached and attached then, and what it is mounted on.
fn by_descriptor(
    mounts: &mut Mounts,
    root: BorrowedFd<'_>,
    mount: &Mount,
    parent: &Channel,
) -> Result<(OwnedFd, OwnedFd)> {
    let words = || words(mount);
    let tree = match &mount.source {
        Source::Bind { path, recursive } => match copy(path, *recursive) {
            // The parent may go where this process may not.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                parent.ask_for_mount(&mount.name)?.ok_or_else(|| plain(error))
            }
            copied => attributed(copied, &mount.options),
        },
        Source::Mapped { .. } | Source::There { .. } => {
            parent.ask_for_mount(&mount.name)?.ok_or_else(|| Error::new("it was not made"))
        }
        Source::New { kind, device } => new(mounts, kind, device, &at_first(root, mount, kind)),
        Source::Copy { device } => new(mounts, "tmpfs", device, &writable(&mount.options)),
    };
    let tree = tree.context(words)?;
    let missing = match mount.source {
        Source::Bind { .. } | Source::Mapped { .. } if !is_folder(&tree).context(words)? => Missing::File,
        _ => Missing::Folder,
    };
    let (target, by_link) = target(root, mount, missing).context(|| mount.name.clone())?;
    over_proc::check(root, mount, (&target, by_link), Some(&tree)).context(words)?;
    if matches!(mount.source, Source::Copy { .. }) {
        copy_up::fill(target.as_fd(), tree.as_fd(), &mount.options).context(words)?;
    }
    mount_tree::attach(tree.as_fd(), target.as_fd()).context(words)?;
    Ok((tree, target))
}

/// And whether a symbolic link may have led there.
fn target(root: BorrowedFd<'_>, mount: &Mount, missing: Missing) -> Result<(OwnedFd, bool)> {
    match mount.plain {
        true => place::open_plain(root, &mount.destination).map(|opened| (opened, false)),
        false => place::reach_or_make(root, &mount.destination, missing),
    }
}

/// With what a file system is made: one that is filled is closed to writers later, and a tmpfs has the mode of what it
/// covers.
fn at_first(root: BorrowedFd<'_>, mount: &Mount, kind: &str) -> Options {
    if !is_filled(mount) {
        return mount.options.clone();
    }
    let mut options = writable(&mount.options);
    options.parameters.extend(covered_mode(root, mount, kind));
    options
}

/// What fsconfig(2) takes surely.
const LONGEST_PARAMETER: usize = 255;
/// What mount(2) takes of all parameters together: it would cut off the rest without a word.
const LONGEST_DATA: usize = 4095;

/// Whether one of its strings is too long for fsconfig(2).
fn is_long(device: &str, options: &Options) -> bool {
    let mut all = options.parameters.iter().map(String::len).chain([device.len()]);
    all.any(|length| length > LONGEST_PARAMETER)
}

/// By mount(2): overlays of many layers have parameters that are too long for fsconfig(2), and deep folders hold disks.
/// As [`by_descriptor`].
fn at_once(root: BorrowedFd<'_>, mount: &Mount, kind: &str, device: &str) -> Result<(OwnedFd, OwnedFd)> {
    let options = at_first(root, mount, kind);
    let data = options.parameters.join(",");
    if data.len() > LONGEST_DATA {
        return Err(Error::new("the options are longer than a page"));
    }
    let (target, by_link) = target(root, mount, Missing::Folder)?;
    over_proc::check(root, mount, (&target, by_link), None)?;
    // The first four attributes have the same bits there; in force from the first moment.
    let flags = MsFlags::from_bits_truncate((options.set | options.set_recursive) & 0xf);
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    mount_at(Some(device), &*path, Some(kind), flags, Some(&*data)).map_err(plain)?;
    let mounted = place::open(root, &mount.destination).map_err(plain)?;
    set_attributes(mounted.as_fd(), &options)?;
    Ok((mounted, target))
}

/// Whether something is still made in it: points of later mounts, devices, a copy.
fn is_filled(mount: &Mount) -> bool {
    match &mount.source {
        Source::New { kind, .. } => kind == "tmpfs" || resolved(&mount.destination) == Path::new("/dev"),
        Source::Copy { .. } => true,
        _ => false,
    }
}

/// The mode of the folder that a tmpfs covers, if none is asked for.
fn covered_mode(root: BorrowedFd<'_>, mount: &Mount, kind: &str) -> Option<String> {
    if kind != "tmpfs" || mount.options.parameters.iter().any(|parameter| parameter.starts_with("mode=")) {
        return None;
    }
    let covered = fstat(place::open(root, &mount.destination).ok()?).ok()?;
    Some(format!("mode={:o}", covered.st_mode & 0o7777))
}

fn describe(source: &Source) -> &str {
    match source {
        Source::Bind { path, .. } | Source::Mapped { path, .. } => path,
        Source::New { kind, .. } => kind,
        Source::Copy { .. } => "tmpfs",
        Source::There { .. } => "what is there",
    }
}

/// What is filled is closed to writers later.
fn writable(options: &Options) -> Options {
    let (set, set_recursive) = (options.set & !RDONLY, options.set_recursive & !RDONLY);
    Options { set, set_recursive, ..options.clone() }
}

/// Changes a mount that is there, and the file system itself when `whole`. What the options do not name stays.
fn change(target: BorrowedFd<'_>, whole: bool, options: &Options) -> Result<()> {
    if whole {
        let context = FsContext::of(target).map_err(plain)?;
        let set = options.set | options.set_recursive;
        let flags = [(set, "ro"), (options.clear | options.clear_recursive, "rw")];
        let flags = flags.into_iter().filter(|(bits, _)| bits & RDONLY != 0).map(|(_, name)| name);
        configure(&context, flags.chain(options.parameters.iter().map(String::as_str)))?;
        context.reconfigure().map_err(|error| said(&context, error))?;
    }
    set_attributes(target, options)?;
    options.propagation.map_or(Ok(()), |(flag, recursive)| {
        mount_tree::set_attributes(target, recursive, 0, 0, flag).map_err(plain)
    })
}

fn set_attributes(tree: BorrowedFd<'_>, options: &Options) -> Result<()> {
    let set = |recursive, set, clear| match set | clear {
        0 => Ok(()),
        _ => mount_tree::set_attributes(tree, recursive, set, clear, 0).map_err(plain),
    };
    set(true, options.set_recursive, options.clear_recursive)?;
    set(false, options.set, options.clear)
}

/// A detached bind mount.
pub fn bind(path: &str, recursive: bool, options: &Options) -> Result<OwnedFd> {
    attributed(copy(path, recursive), options)
}

fn copy(path: &str, recursive: bool) -> io::Result<OwnedFd> {
    mount_tree::copy(AT_FDCWD, &CString::new(path)?, recursive)
}

fn attributed(copied: io::Result<OwnedFd>, options: &Options) -> Result<OwnedFd> {
    let tree = copied.map_err(plain)?;
    set_attributes(tree.as_fd(), options)?;
    Ok(tree)
}

fn new(mounts: &mut Mounts, kind: &str, device: &str, options: &Options) -> Result<OwnedFd> {
    let context = FsContext::open(kind).map_err(plain)?;
    context.set("source", device.as_bytes()).map_err(|error| said(&context, error))?;
    // A disk that is mounted read-only is not to be written by its file system either.
    let read_only = device.starts_with('/') && options.set & RDONLY != 0;
    // A cgroup hierarchy is there already: its parameters are the host's.
    let own = options.parameters.iter().filter(|_| kind != "cgroup2").map(String::as_str);
    configure(&context, read_only.then_some("ro").into_iter().chain(own))?;
    let attributes = options.set | options.set_recursive;
    let tree = context.detached(attributes).map_err(|error| said(&context, error))?;
    mounts.spend([context.into()]);
    Ok(tree)
}

fn configure<'a>(context: &FsContext, mut parameters: impl Iterator<Item = &'a str>) -> Result<()> {
    parameters.try_for_each(|parameter| {
        let done = match parameter.split_once('=') {
            Some((key, value)) => context.set(key, unquoted(value).as_bytes()),
            None => context.set_flag(parameter),
        };
        done.map_err(|error| said(context, error)).context(|| format!("option {parameter:?}"))
    })
}

/// mount(2) wants a value with commas in quotes, fsconfig(2) as it is.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

fn said(context: &FsContext, error: io::Error) -> Error {
    match context.messages() {
        text if text.is_empty() => plain(error),
        text => Error(format!("{}: {text}", error.cause())),
    }
}

/// The cause alone, which is given its words later.
pub fn plain(error: impl Cause) -> Error {
    Error(error.cause())
}

/// Covers a path: a file by the host's `/dev/null`, so that nothing in the image
/// can stand for it (CVE-2025-31133), a folder by an empty one.
pub fn mask(mounts: &mut Mounts, root: BorrowedFd<'_>, path: &str) -> Result<()> {
    let words = || format!("linux.maskedPaths: cover {path}");
    let Some(target) = existing(root, path).context(words)? else { return Ok(()) };
    if !is_folder(&target).context(words)? {
        let null = bind("/dev/null", false, &Options::default()).context(words)?;
        mount_tree::attach(null.as_fd(), target.as_fd()).context(words)?;
        mounts.spend([null, target]);
        return Ok(());
    }
    // One that is mounted can be copied, which takes less than another.
    let cover = match &mounts.empty_folder {
        Some(mounted) => mount_tree::copy(mounted.as_fd(), c"", false).context(words)?,
        None => empty_folder(mounts).context(words)?,
    };
    mount_tree::attach(cover.as_fd(), target.as_fd()).context(words)?;
    let copied = mounts.empty_folder.replace(cover);
    mounts.spend(copied.into_iter().chain([target]));
    Ok(())
}

fn is_folder(file: &OwnedFd) -> nix::Result<bool> {
    Ok(fstat(file)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits())
}

fn empty_folder(mounts: &mut Mounts) -> Result<OwnedFd> {
    let options = Options { set: RDONLY, parameters: vec!["nr_inodes=2".into()], ..Options::default() };
    new(mounts, "tmpfs", "tmpfs", &options)
}

/// Binds a path over itself, read-only, with the flags that it has.
pub fn read_only(mounts: &mut Mounts, root: BorrowedFd<'_>, path: &str) -> Result<()> {
    let words = || format!("linux.readonlyPaths: close {path}");
    let Some(target) = existing(root, path).context(words)? else { return Ok(()) };
    let tree = mount_tree::copy(target.as_fd(), c"", true).context(words)?;
    mount_tree::set_attributes(tree.as_fd(), false, RDONLY, 0, 0).context(words)?;
    mount_tree::attach(tree.as_fd(), target.as_fd()).context(words)?;
    mounts.spend([tree, target]);
    Ok(())
}

/// What is not there needs neither cover nor lock.
fn existing(root: BorrowedFd<'_>, path: &str) -> nix::Result<Option<OwnedFd>> {
    match place::open(root, path) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Makes the root the only one there is: the old one is stacked upon it and let go
/// (pivot_root(2), NOTES), without the host's hearing of it where mounts are `shared` with it.
pub fn pivot(root: BorrowedFd<'_>, by_chroot: bool, shared: bool) -> Result<()> {
    let words = || "make the root the container's".to_owned();
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let old = (shared && !by_chroot).then(|| open("/", flags, Mode::empty())).transpose().context(words)?;
    fchdir(root).context(words)?;
    if by_chroot {
        if shared {
            // Or the host's root would be covered, too.
            mount_at(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE, None::<&str>).context(words)?;
        }
        hide_whole(root).context(|| "hide the host's proc and sysfs".into())?;
        mount_at(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>).context(words)?;
        chroot(".").context(words)?;
    } else {
        pivot_root(".", ".").context(words)?;
        if let Some(old) = old {
            // Not the new root, whose own mounts may be meant for the host.
            fchdir(old).context(words)?;
            let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
            mount_at(None::<&str>, ".", None::<&str>, flags, None::<&str>).context(words)?;
        }
        umount2(".", MntFlags::MNT_DETACH).context(words)?;
    }
    chdir("/").context(words)
}

/// Covers what shows a procfs or sysfs whole, outside the root: it stays in the mount namespace, and as long as one is not
/// covered the kernel lets a user namespace mount another, without the container's masks. To detach it might reach the
/// host: what a mount lies on may still be shared.
fn hide_whole(root: BorrowedFd<'_>) -> io::Result<()> {
    let root = std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd()))?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    // ID, parent, device, root, mount point, …, "-", type (proc(5)).
    for line in mounts.lines() {
        let Some((mount, about)) = line.split_once(" - ") else { continue };
        let is_whole = mount.split(' ').nth(3) == Some("/")
            && ["proc ", "sysfs "].iter().any(|kind| about.starts_with(kind));
        let point = mount.split(' ').nth(4).map(|point| OsString::from_vec(unescape(point.as_bytes())));
        let point = point.map(PathBuf::from).filter(|point| is_whole && !point.starts_with(&root));
        point.map_or(Ok(()), |point| hide(&point))?;
    }
    Ok(())
}

/// Covers a mount in this namespace alone.
fn hide(point: &Path) -> nix::Result<()> {
    let slave = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    match mount_at(None::<&str>, point, None::<&str>, slave, None::<&str>) {
        // Another is mounted over one above it.
        Err(Errno::ENOENT | Errno::EINVAL) => Ok(()),
        done => done
            .and_then(|()| mount_at(Some("tmpfs"), point, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>)),
    }
}

/// Makes the root this process's.
pub fn change_root(root: BorrowedFd<'_>) -> Result<()> {
    let words = || "make the root the container's".to_owned();
    fchdir(root).context(words)?;
    chroot(".").context(words)?;
    chdir("/").context(words)
}

/// The mount that a path lies on, by the kernel's number (`fdinfo` of proc(5)).
///
/// # Errors
/// The path is not there.
pub fn number(path: &str) -> Result<u64> {
    let words = || format!("find the mount of {path}");
    let place = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).context(words)?;
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_raw_fd())).context(words)?;
    let number = about.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    number.and_then(|number| number.trim().parse().ok()).ok_or_else(|| Error(words()))
}

/// Takes away what a container without a mount namespace has mounted, its root and all in it:
/// not what the root lay on before, when nothing was mounted yet.
///
/// # Errors
/// Those of umount2(2).
pub fn let_go(root: &str, before: u64) -> Result<()> {
    match number(root) {
        Ok(now) if now != before => {
            let words = || format!("unmount {root}");
            // What is bound in it is the host's own, and is not to go there.
            mount_at(None::<&str>, root, None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>)
                .context(words)?;
            umount2(root, MntFlags::MNT_DETACH).context(words)
        }
        _ => Ok(()),
    }
}

/// Nothing in the root itself can be written; mounts on it keep their options.
pub fn read_only_root(root: BorrowedFd<'_>) -> Result<()> {
    mount_tree::set_attributes(root, false, RDONLY, 0, 0).context(|| "root.readonly: set".into())
}
