//! Signals that wait to be taken, real-time ones among them, of which nix knows nothing.

use std::io;
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// The real-time signals that are a program's to use: the C library has taken the first ones for itself.
#[must_use]
pub fn real_time() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Signals that are blocked, and taken from a descriptor, which polls readable when one waits (`signalfd(2)`).
#[derive(Debug)]
pub struct Source(OwnedFd);

impl Source {
    /// Blocks these signals for this thread and those that it begins.
    ///
    /// # Errors
    /// `EINVAL` for a number that is no signal; those of signalfd.
    pub fn of(numbers: impl IntoIterator<Item = i32>) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the C library writes a whole, empty set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        for number in numbers {
            // SAFETY: the set has been made above.
            if unsafe { libc::sigaddset(set.as_mut_ptr(), number) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: the set is whole; none of the old one is asked for; -1 asks for a new descriptor.
        let descriptor = unsafe {
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// The number of one that waits; none when there is none.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn take(&self) -> io::Result<Option<i32>> {
        // It begins with the number (`signalfd_siginfo`).
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        match nix::unistd::read(&self.0, &mut info) {
            Ok(length) if length == info.len() => {
                Ok(Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]])))
            }
            Ok(_) | Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_time_signal_is_taken_by_its_number() {
        let number = real_time().start() + 3;
        // Of this thread alone, for the others would end by it.
        let taken = std::thread::spawn(move || {
            let source = Source::of([number, libc::SIGWINCH]).unwrap();
            assert_eq!(source.take().unwrap(), None);
            // SAFETY: the signal is blocked in this thread, to which it is sent.
            unsafe { libc::pthread_kill(libc::pthread_self(), number) };
            (source.take().unwrap(), source.take().unwrap())
        });
        assert_eq!(taken.join().unwrap(), (Some(number), None));
    }

    #[test]
    fn what_is_no_signal_is_an_error() {
        assert_eq!(Source::of([65]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
