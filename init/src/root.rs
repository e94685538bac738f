//! From the initramfs to the node's root.
//!
//! | in the initramfs | the root is |
//! |---|---|
//! | `/root.erofs` | that file, through a loop device: everything in memory |
//! | `/etc/skerry/node.toml` | the initramfs itself |
//! | neither, or `skerry.root=` given | an erofs on a disk, awaited |
//!
//! The initramfs cannot be pivoted away from (`pivot_root` is EINVAL on rootfs):
//! the new root is moved over it and entered, after its files were removed,
//! which frees their memory.

use crate::command_line::{CommandLine, Want};
use crate::console;
use crate::disks;
use crate::error::{Context, Error, Result};
use crate::modules::Modules;
use crate::uevent::Socket;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::chroot;
use spec::paths;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use sys::cause::cause;

const NEW_ROOT: &str = "/newroot";
const MOVED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];

/// What the root lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Root {
    /// The initramfs itself.
    #[default]
    Initramfs,
    /// An image in memory.
    Memory,
    /// A disk.
    Disk,
}

/// Whether the root must be reached first.
pub fn is_elsewhere(line: &CommandLine) -> bool {
    line.root.is_some() || Path::new(paths::MEMORY_ROOT).exists() || !Path::new(paths::IMAGE_CONFIG).exists()
}

/// Without a root there is nothing to go on with. The machine restarts if the
/// kernel was told to (`panic=`), else it stands with the reason on the console.
pub fn give_up(line: &CommandLine, error: &Error) -> ! {
    say!("root: {error}");
    restart_if_told(line);
    say!("root: the machine stands still; restart it with another root");
    console::flush();
    loop {
        std::thread::park();
    }
}

fn restart_if_told(line: &CommandLine) {
    // A kernel may have been built with a number of its own, and then nobody has said that.
    if line.panic == Some(true) {
        say!("root: restarting, as panic= on the kernel command line says");
        console::drain(Duration::from_secs(1));
        let _ = reboot(RebootMode::RB_AUTOBOOT);
    }
}

/// Finds the root and moves to it; returns what it is, in words too.
pub fn enter(line: &CommandLine, modules: &mut Modules, socket: Option<&Socket>) -> Result<(Root, String)> {
    let here = |path| line.root.is_none() && Path::new(path).exists();
    let mut attached = None;
    let (root, devices) = if here(paths::MEMORY_ROOT) {
        let (device, opened) = through_loop(paths::MEMORY_ROOT, modules)?;
        attached = Some(opened);
        (Root::Memory, vec![device])
    } else if here(paths::IMAGE_CONFIG) {
        return Ok((Root::Initramfs, "the initramfs".to_owned()));
    } else {
        (Root::Disk, await_disks(line, modules, socket))
    };
    modules.load_for_file_system("erofs");
    console::flush();
    fs::create_dir_all(NEW_ROOT).context(|| format!("create {NEW_ROOT}"))?;
    let device = mount_one(devices)?;
    drop(attached);
    move_to(NEW_ROOT)?;
    Ok((root, if root == Root::Memory { "in memory".to_owned() } else { device }))
}

/// Mounts the first of them that can be mounted; says of each before it why it cannot.
fn mount_one(mut devices: Vec<String>) -> Result<String> {
    loop {
        let device = devices.remove(0);
        let mounted = mount(Some(&*device), NEW_ROOT, Some("erofs"), MsFlags::MS_RDONLY, None::<&str>);
        match mounted.context(|| format!("mount the root, erofs on {device}")) {
            Ok(()) => return Ok(device),
            Err(error) if devices.is_empty() => return Err(error),
            Err(error) => say!("root: {error}"),
        }
    }
}

/// The root's disk, or several of one label. When none comes in time, a message names what is
/// there; then the machine restarts if the kernel was told to (`panic=`), else
/// the wait goes on, since whoever reads the message may attach the disk.
fn await_disks(line: &CommandLine, modules: &mut Modules, socket: Option<&Socket>) -> Vec<String> {
    let want = line.root.clone().unwrap_or_else(|| Want::Label(paths::ROOT_LABEL.to_owned()));
    let find = || disks::find(&want, &["erofs"]);
    let mut found = disks::wait_for(find, Some(line.timeout), modules, socket);
    if found.is_empty() {
        say!("root: no {want} after {} s; {}", line.timeout.as_secs(), disks::seen());
        restart_if_told(line);
        say!("root: waiting for it to be attached");
        found = disks::wait_for(find, None, modules, socket);
    }
    if found.len() > 1 {
        say!(
            "root: not one {want} but {}; the first that can be mounted is taken: {}",
            found.len(),
            disks::names(&found)
        );
    }
    found.iter().map(disks::Disk::path).collect()
}

/// Puts a file behind a loop device. The kernel frees the device with its last
/// user, so what comes back must stay open until it is mounted.
fn through_loop(path: &str, modules: &mut Modules) -> Result<(String, File)> {
    if modules.any() {
        modules.load_named(&["loop"]);
    }
    let doing = || format!("put {path} behind a loop device");
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control").context(doing)?;
    let number = sys::block::free_loop(control.as_fd()).context(doing)?;
    let device = format!("/dev/loop{number}");
    let file = File::open(path).context(doing)?;
    let opened = File::open(&device).context(doing)?;
    sys::block::attach_loop(opened.as_fd(), file.as_fd()).context(doing)?;
    Ok((device, opened))
}

/// Leaves the initramfs for what is mounted at `new`.
fn move_to(new: &str) -> Result<()> {
    let moved = |from: &str, to: &str| {
        mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
            .context(|| format!("move {from} to {to}"))
    };
    for from in MOVED {
        moved(from, &format!("{new}{from}"))?;
    }
    remove_all_but(new);
    std::env::set_current_dir(new).context(|| format!("enter {new}"))?;
    moved(".", "/")?;
    chroot(".").context(|| format!("make {new} the root"))?;
    std::env::set_current_dir("/").context(|| "enter the new root")
}

fn remove_all_but(kept: &str) {
    for entry in fs::read_dir("/").into_iter().flatten().flatten() {
        let path = entry.path();
        if path == Path::new(kept) {
            continue;
        }
        let folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            say!("{}", Error(format!("remove {} of the initramfs: {}", path.display(), cause(&error))));
        }
    }
}
