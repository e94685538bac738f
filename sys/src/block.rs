//! Block devices and what lies directly on them: sizes, loop devices, growing
//! a mounted ext4.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;
const LOOP_CLR_FD: libc::Ioctl = 0x4c01;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// `_IOW('f', 16, __u64)`
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;
/// `_IOR(0x12, 114, size_t)`
const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;

/// `struct loop_config` (linux/loop.h): descriptor, block size, `loop_info64`
/// with its flags at byte 52 of it, and reserved words.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info_before_flags: [u8; 52],
    flags: u32,
    info_after_flags: [u8; 176],
    reserved: [u64; 8],
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Size of a block device in bytes (`BLKGETSIZE64`, linux/fs.h).
///
/// # Errors
/// `ENOTTY` when the file is no block device.
pub fn size(device: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes = 0_u64;
    // SAFETY: the kernel writes one u64 through the pointer and keeps it not.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64, &raw mut bytes) })?;
    Ok(bytes)
}

/// Number of a free loop device, made if need be; `control` is
/// `/dev/loop-control` (loop(4), `LOOP_CTL_GET_FREE`).
///
/// # Errors
/// `ENOSPC` or `ENOMEM` when the kernel has none.
pub fn free_loop(control: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the call takes no argument and touches no memory.
    let number = checked(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) })?;
    Ok(number as u32)
}

/// Puts a file behind a loop device, read-only, freed with its last user
/// (loop(4), `LOOP_CONFIGURE`).
///
/// # Errors
/// `EBUSY` when somebody else took the device first.
pub fn attach_loop(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    let config = LoopConfig {
        fd: file.as_raw_fd() as u32,
        block_size: 0,
        info_before_flags: [0; 52],
        flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
        info_after_flags: [0; 176],
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads one loop_config through the pointer and keeps it not.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) })?;
    Ok(())
}

/// Takes the file from behind a loop device; with users left, it goes with the
/// last of them (loop(4), `LOOP_CLR_FD`).
///
/// # Errors
/// `ENXIO` when none is attached.
pub fn detach_loop(device: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the call takes no argument and touches no memory.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD, 0) })?;
    Ok(())
}

/// Grows the mounted ext4 that `folder` lies on to that many blocks
/// (`EXT4_IOC_RESIZE_FS`, fs/ext4/ext4.h).
///
/// # Errors
/// `EINVAL` beyond the device's end or below its present size, `EPERM` without
/// CAP_SYS_RESOURCE or on a file system with errors.
pub fn grow_ext4(folder: BorrowedFd<'_>, blocks: u64) -> io::Result<()> {
    // SAFETY: the kernel reads one u64 through the pointer and keeps it not.
    checked(unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_loop_configuration_has_the_kernels_size() {
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(std::mem::offset_of!(LoopConfig, flags), 60);
    }

    #[test]
    fn a_file_that_is_no_block_device_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(size(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }
}
