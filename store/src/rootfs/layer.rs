//! A layer's erofs file as a mount.

use crate::error::{Error, Result, io_error};
use nix::errno::Errno;
use nix::mount::MsFlags;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// How often another program may snatch the free loop device.
const ATTEMPTS: usize = 16;

/// Mounts a layer: directly, or through a loop device where the kernel or the
/// file's own file system does not allow that.
pub(crate) fn mount(layer: &Path, point: &Path) -> Result<()> {
    fs::create_dir_all(point).map_err(io_error("make", point))?;
    match mount_erofs(layer, point) {
        Ok(()) => Ok(()),
        Err(errno) if wants_loop_device(errno) => through_loop(layer, point),
        Err(errno) => Err(io_error("mount", layer)(errno.into())),
    }
}

/// What a kernel answers that cannot mount this file directly. ENOTBLK: not a
/// block device, and no support for files. EINVAL: the file lies on a file system that is
/// itself stacked or has no address space operations to read it with (tmpfs, overlayfs, an erofs from a file);
/// also what a damaged image gives, which the loop device then shows again.
fn wants_loop_device(errno: Errno) -> bool {
    matches!(errno, Errno::ENOTBLK | Errno::EINVAL | Errno::EOPNOTSUPP)
}

fn mount_erofs(source: &Path, point: &Path) -> nix::Result<()> {
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    nix::mount::mount(Some(source), point, Some("erofs"), flags, None::<&str>)
}

fn through_loop(layer: &Path, point: &Path) -> Result<()> {
    let (device, path) = attach(layer)?;
    mount_erofs(&path, point).map_err(|errno| io_error("mount", layer)(errno.into()))?;
    // The mount holds the device from here on, and frees it at its end.
    drop(device);
    Ok(())
}

fn attach(layer: &Path) -> Result<(File, PathBuf)> {
    let file = File::open(layer).map_err(io_error("open", layer))?;
    let control = Path::new("/dev/loop-control");
    let control_file = File::open(control).map_err(io_error("open", control))?;
    for _ in 0..ATTEMPTS {
        let number = sys::block::free_loop(control_file.as_fd())
            .map_err(io_error("find a free loop device by", control))?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = File::open(&path).map_err(io_error("open", &path))?;
        match sys::block::attach_loop(device.as_fd(), file.as_fd()) {
            Ok(()) => return Ok((device, path)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) => return Err(io_error("attach a loop device to", layer)(error)),
        }
    }
    Err(Error::wrong(layer.display(), format!("{ATTEMPTS} loop devices were taken by others")))
}
