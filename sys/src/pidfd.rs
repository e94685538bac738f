//! Processes by descriptor: a pidfd never comes to mean another process, as a
//! number does once it is given out again.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Opens a descriptor of the process, a zombie too; close-on-exec. It polls
/// readable once the process has ended (`pidfd_open(2)`).
///
/// # Errors
/// `ESRCH` when there is no such process; `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it,
    // and a descriptor fits an i32.
    Ok(unsafe { OwnedFd::from_raw_fd(result as i32) })
}

/// Sends a signal to the process (`pidfd_send_signal(2)`).
///
/// # Errors
/// `ESRCH` when it has ended and was reaped; `EPERM`; `EINVAL` for a number
/// that is no signal.
pub fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the length of the call; a null siginfo
    // makes the kernel fill in what kill(2) would.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    use std::process::Command;

    #[test]
    fn a_killed_process_polls_readable_and_then_is_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = open(child.id() as i32).unwrap();
        signal(process.as_fd(), 0).unwrap();
        signal(process.as_fd(), libc::SIGKILL).unwrap();
        let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::NONE), Ok(1));
        child.wait().unwrap();
        let error = signal(process.as_fd(), libc::SIGKILL).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn no_process_is_an_error() {
        assert_eq!(open(i32::MAX).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
