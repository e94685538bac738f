//! The other side of `--console-socket`, which conmon and containerd's shim play.

use super::{eventually, place};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// A listening socket.
pub struct Console {
    pub path: String,
    listener: UnixListener,
}

impl Console {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        place::enter();
        let path = format!("/run/console-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    /// The terminal that was sent.
    #[track_caller]
    pub fn terminal(&self) -> Terminal {
        Terminal { master: self.message().1.into(), said: String::new() }
    }

    /// The text and the descriptor of one SCM_RIGHTS message, which waits in the socket.
    #[track_caller]
    pub fn message(&self) -> (String, OwnedFd) {
        self.listener.set_nonblocking(true).unwrap();
        let (connection, _) = self.listener.accept().expect("the runtime has connected");
        connection.set_nonblocking(true).unwrap();
        let mut words = [0; 4096];
        let (length, mut descriptors) =
            sys::descriptors::receive(connection.as_fd(), &mut words).expect("there is a message");
        assert_eq!(descriptors.len(), 1, "one descriptor");
        (String::from_utf8_lossy(&words[..length]).into_owned(), descriptors.remove(0))
    }
}

/// The terminal's master end.
pub struct Terminal {
    pub master: File,
    said: String,
}

impl Terminal {
    /// Waits until these words were written to the terminal; gives all until now.
    #[track_caller]
    pub fn says(&mut self, words: &str) -> String {
        eventually(words, || {
            self.read();
            self.said.contains(words)
        });
        self.said.clone()
    }

    fn read(&mut self) {
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let mut bytes = [0; 4096];
        if poll(&mut ready, PollTimeout::from(10u8)) == Ok(1)
            && let Ok(length) = self.master.read(&mut bytes)
        {
            self.said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.master.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
