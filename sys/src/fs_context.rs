//! Mounting step by step: a file system is configured parameter by parameter,
//! so no path needs escaping and no list fits into a page (fsopen(2)).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSCONFIG_CMD_RECONFIGURE: libc::c_uint = 7;
const FSPICK_CLOEXEC: libc::c_uint = 1;
const FSPICK_EMPTY_PATH: libc::c_uint = 8;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;

/// `MOUNT_ATTR_RDONLY`, `_NOSUID`, `_NODEV` and `_NOEXEC`: for what is only looked at.
pub const READ_ONLY: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// A file system that is being configured.
pub struct FsContext(OwnedFd);

impl FsContext {
    /// Begins a file system of this type (fsopen(2), Linux 5.2).
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not know the type, `EPERM` without `CAP_SYS_ADMIN`.
    pub fn open(kind: &str) -> io::Result<Self> {
        let kind = CString::new(kind)?;
        // SAFETY: the kernel copies the string, which ends in a zero byte.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) };
        owned(fd).map(Self)
    }

    /// Begins to change the file system whose root a mounted descriptor is (fspick(2), Linux 5.2).
    ///
    /// # Errors
    /// `EINVAL` when nothing is mounted there, `EPERM` without `CAP_SYS_ADMIN`.
    pub fn of(mount: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = FSPICK_CLOEXEC | FSPICK_EMPTY_PATH;
        // SAFETY: the path is the static empty string.
        let fd = unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), flags) };
        owned(fd).map(Self)
    }

    /// Changes the file system as was set (fsconfig(2)).
    ///
    /// # Errors
    /// What the file system refuses; [`Self::messages`] says more.
    pub fn reconfigure(&self) -> io::Result<()> {
        self.config(FSCONFIG_CMD_RECONFIGURE, std::ptr::null(), std::ptr::null())
    }

    /// Sets a parameter; key and value are at most 255 bytes long (fsconfig(2)).
    ///
    /// # Errors
    /// `EINVAL` for a parameter that the type does not know or accept; [`Self::messages`] says more.
    pub fn set(&self, key: &str, value: &[u8]) -> io::Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        self.config(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets a parameter that has no value (fsconfig(2)).
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_flag(&self, key: &str) -> io::Result<()> {
        self.config(FSCONFIG_SET_FLAG, CString::new(key)?.as_ptr(), std::ptr::null())
    }

    /// Makes the file system of what was set, mounted nowhere yet, with these
    /// `MOUNT_ATTR_*` (fsconfig(2), fsmount(2)).
    ///
    /// # Errors
    /// What the file system refuses; [`Self::messages`] says more.
    pub fn detached(&self, attributes: u64) -> io::Result<OwnedFd> {
        self.config(FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        let context = self.0.as_raw_fd();
        // SAFETY: the call takes numbers alone; the descriptor is open as long as `self`.
        let mount = unsafe { libc::syscall(libc::SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes) };
        owned(mount)
    }

    /// Makes the file system of what was set and mounts it at a folder
    /// (fsconfig(2), fsmount(2), move_mount(2)).
    ///
    /// # Errors
    /// What the file system refuses; [`Self::messages`] says more.
    pub fn mount(&self, target: &Path) -> io::Result<()> {
        self.mount_with(target, 0)
    }

    /// As [`Self::mount`], with these `MOUNT_ATTR_*`.
    ///
    /// # Errors
    /// What the file system refuses; [`Self::messages`] says more.
    pub fn mount_with(&self, target: &Path, attributes: u64) -> io::Result<()> {
        let target = CString::new(target.as_os_str().as_bytes())?;
        let mount = self.detached(attributes)?;
        // SAFETY: both strings end in a zero byte and the kernel copies them.
        let moved = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                mount.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        if moved < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What the kernel has to say about the last failure; often nothing.
    pub fn messages(&self) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 1024];
        // Each read gives one message, the end is ENODATA.
        while let Ok(count @ 1..) = nix::unistd::read(&self.0, &mut buffer) {
            text.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&text).trim().replace('\n', "; ")
    }

    fn config(
        &self,
        command: libc::c_uint,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> io::Result<()> {
        // SAFETY: key and value are null or end in a zero byte, and live through the call; the kernel copies them.
        let done = unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl From<FsContext> for OwnedFd {
    fn from(context: FsContext) -> Self {
        context.0
    }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
