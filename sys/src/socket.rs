//! Sockets that are taken over from the kernel as owned descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Takes a connection from a listening socket, close-on-exec and non-blocking
/// (`accept4(2)`).
///
/// # Errors
/// `EAGAIN` when there is none, `EMFILE`, `ENFILE`.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: null for the address is allowed: the peer's is not asked for.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A descriptor that gives way to a connection when there is no other left for it, as the connection would else be told
/// of again and again: it is taken, and closed at once.
#[derive(Debug)]
pub struct Spare(Option<File>);

impl Default for Spare {
    fn default() -> Self {
        Self(Self::open())
    }
}

impl Spare {
    fn open() -> Option<File> {
        File::open("/dev/null").ok()
    }

    /// As [`accept`].
    ///
    /// # Errors
    /// Those of [`accept`]; of `EMFILE` and `ENFILE` the connection was closed.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let taken = accept(listener);
        let code = taken.as_ref().err().and_then(io::Error::raw_os_error);
        if matches!(code, Some(libc::EMFILE | libc::ENFILE)) {
            self.0 = None;
            drop(accept(listener));
            self.0 = Self::open();
        }
        taken
    }
}

/// How many bytes wait to be read in a pipe, a terminal or a socket (`FIONREAD` of `ioctl(2)`).
///
/// # Errors
/// `ENOTTY` for what has no such number.
pub fn pending(source: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one int through the pointer.
    if unsafe { libc::ioctl(source.as_raw_fd(), libc::FIONREAD, &raw mut count) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// In a process of its own: others would be without descriptors, too.
    #[test]
    fn whom_there_is_no_descriptor_for_is_let_go() {
        const OWN: &str = "SKERRY_TEST_NO_DESCRIPTORS";
        if std::env::var_os(OWN).is_none() {
            let name = "socket::tests::whom_there_is_no_descriptor_for_is_let_go";
            let program = std::env::current_exe().unwrap();
            let own =
                std::process::Command::new(program).args(["--exact", name]).env(OWN, "1").output().unwrap();
            assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stdout));
            return;
        }
        let path = std::env::temp_dir().join(format!("skerry-spare-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut spare = Spare::default();
        let mut clients = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let mut all: Vec<File> = std::iter::from_fn(Spare::open).collect();
        for client in &mut clients {
            assert_eq!(spare.accept(listener.as_fd()).unwrap_err().raw_os_error(), Some(libc::EMFILE));
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "it was closed");
        }
        assert!(spare.0.is_some());
        // accept(2) takes a descriptor before it looks whether anybody waits.
        all.pop();
        let nobody = spare.accept(listener.as_fd()).unwrap_err();
        assert!(matches!(nobody.kind(), io::ErrorKind::WouldBlock), "{nobody}");
    }
}
