//! The talk between `create` and the container's first process, and between it and
//! `start`.
//!
//! ```text
//! first process                    parent
//! (IDs are mapped?)              ← G
//! N  interfaces!                   moves them
//!                                ← G
//! M… a mount, by its JSON path!    makes it (`perform::parents_mount`)
//!                                ← G, with its descriptor
//! H  prestart, createRuntime!      runs them
//!                                ← G
//! R  all is set up                 records it
//!                                ← G
//! E… an error in words             undoes everything
//! (4 bytes: its number)            the same
//! L  a filter's descriptor         gives it to the agent (`agent`)
//!                                ← G
//! ```
//!
//! A process between that makes the first one (`between`) says on a socket of its own `B`
//! and the ID, or `E` and an error; one that makes a mount for the parent says `T`, with its descriptor, or `E`.
//!
//! The other side's end of the socket closing is an answer too: a parent that is gone
//! ends the process, and a connection of `start` that closes without a word means
//! that the program runs.

use crate::error::{Context, Error, Result};
use crate::seccomp::Program;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::dup3;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use sys::descriptors;

/// Longest error that is told whole, in bytes.
const LONGEST: usize = 16 * 1024;

/// One side.
#[derive(Debug)]
pub struct Channel(OwnedFd);

/// What the parent is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Move interfaces into its network namespace.
    NetDevices,
    /// Make the mount of this JSON path, in the mount namespace whose descriptor comes along.
    Mount(String),
    /// A detached mount's descriptor comes along.
    Tree,
    /// Run the hooks of the caller's namespaces.
    Hooks,
    /// All is set up.
    Ready,
    /// It did not work.
    Failed(Error),
    /// Its program could not be run: `errno` of execve(2), by who was to become it last (`sys::trampoline`).
    NotRun(i32),
    /// The process between has made the first process, which has this ID.
    Born(i32),
    /// A filter's descriptor comes along.
    Listener,
    /// The process is gone without a word.
    Gone,
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self(socket)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Channel {
    /// Both sides: the parent's and the first process's.
    pub fn pair() -> Result<(Self, Self)> {
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        pair.map(|(one, other)| (Self(one), Self(other))).context(|| "make a socket".into())
    }

    /// Tells an error; nothing more can be done when nobody listens.
    pub fn fail(&self, error: &Error) {
        let mut text = format!("E{error}").into_bytes();
        text.truncate(LONGEST);
        let _ = self.send(&text);
    }

    /// Tells that all is set up, and waits until that is on record.
    pub fn ready(&self) -> Result<()> {
        self.send(b"R")?;
        self.wait_for_go()
    }

    /// Tells the ID of the container's first process; nothing more can be done when
    /// nobody listens.
    pub fn born(&self, pid: i32) {
        let _ = self.send(format!("B{pid}").as_bytes());
    }

    /// Loads a filter whose descriptor the parent gives to an agent, and returns once it has.
    pub fn load(&self, filter: &Program) -> Result<()> {
        sys::listener::load(&filter.program, filter.flags, self.0.as_fd(), b'L', b'G')
            .context(|| "linux.seccomp: load".into())
    }

    /// Is the end of another socket from now on, by the same number: a trampoline knows it by that.
    pub fn become_other(&mut self, other: &Self) -> Result<()> {
        dup3(&other.0, &mut self.0, OFlag::O_CLOEXEC).context(|| "take a connection".into())
    }

    /// Has the parent run hooks.
    pub fn ask_for_hooks(&self) -> Result<()> {
        self.send(b"H")?;
        self.wait_for_go()
    }

    /// Has the parent move interfaces.
    pub fn ask_for_devices(&self) -> Result<()> {
        self.send(b"N")?;
        self.wait_for_go()
    }

    /// Has the parent make a mount in this process's mount namespace: detached, or none if it cannot either.
    ///
    /// # Errors
    /// The parent is gone, as it is when a mount that nobody else makes has failed.
    pub fn ask_for_mount(&self, name: &str) -> Result<Option<OwnedFd>> {
        let own = File::open("/proc/self/ns/mnt").context(|| "open the mount namespace".into())?;
        self.send_with(format!("M{name}").as_bytes(), Some(own.as_fd()))?;
        match self.receive()? {
            (word, mut descriptors) if word == b"G" => Ok(descriptors.pop()),
            _ => Err(parent_gone()),
        }
    }

    /// Gives the parent a mount that was made for it; nothing more can be done when nobody listens.
    pub fn hand_over(&self, tree: BorrowedFd<'_>) {
        let _ = self.send_with(b"T", Some(tree));
    }

    /// Waits for the parent's word.
    pub fn wait_for_go(&self) -> Result<()> {
        match self.receive()?.0.as_slice() {
            b"G" => Ok(()),
            _ => Err(parent_gone()),
        }
    }

    /// The parent's word.
    pub fn go(&self) -> Result<()> {
        self.send(b"G")
    }

    /// The parent's word, with what was asked for.
    pub fn go_with(&self, made: Option<OwnedFd>) -> Result<()> {
        self.send_with(b"G", made.as_ref().map(AsFd::as_fd))
    }

    /// What the first process says next.
    pub fn next(&self) -> Result<Message> {
        Ok(Message::read(&self.receive()?.0))
    }

    /// As [`Self::next`], with the descriptor that comes along.
    pub fn next_with_descriptor(&self) -> Result<(Message, Option<OwnedFd>)> {
        let (bytes, mut descriptors) = self.receive()?;
        Ok((Message::read(&bytes), descriptors.pop()))
    }

    fn send(&self, message: &[u8]) -> Result<()> {
        self.send_with(message, None)
    }

    fn send_with(&self, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        descriptors::send(self.0.as_fd(), message, descriptor.as_slice())
            .context(|| "tell the other process".into())
    }

    fn receive(&self) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
        let mut buffer = vec![0; LONGEST];
        let (length, descriptors) =
            descriptors::receive(self.0.as_fd(), &mut buffer).context(|| "hear the other process".into())?;
        buffer.truncate(length);
        Ok((buffer, descriptors))
    }
}

impl Message {
    /// Reads what came, all of it.
    pub fn read(bytes: &[u8]) -> Self {
        match bytes {
            b"H" => Self::Hooks,
            b"N" => Self::NetDevices,
            b"R" => Self::Ready,
            b"T" => Self::Tree,
            b"L" => Self::Listener,
            [number, 0, 0, 0] => Self::NotRun(i32::from(*number)),
            [b'E', text @ ..] => Self::Failed(Error(String::from_utf8_lossy(text).into_owned())),
            [b'M', name @ ..] => Self::Mount(String::from_utf8_lossy(name).into_owned()),
            [b'B', digits @ ..] => {
                str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).map_or(Self::Gone, Self::Born)
            }
            _ => Self::Gone,
        }
    }
}

fn parent_gone() -> Error {
    Error::new("the runtime went away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_says_the_other_hears() {
        let (parent, child) = Channel::pair().unwrap();
        parent.go().unwrap();
        child.ready().unwrap();
        assert_eq!(parent.next().unwrap(), Message::Ready);
        child.fail(&Error::new("mount proc: busy"));
        assert_eq!(parent.next().unwrap(), Message::Failed(Error::new("mount proc: busy")));
        child.born(77);
        assert_eq!(parent.next().unwrap(), Message::Born(77));
        assert_eq!(Message::read(&libc::EACCES.to_le_bytes()), Message::NotRun(libc::EACCES));
        drop(child);
        assert_eq!(parent.next().unwrap(), Message::Gone);
    }

    #[test]
    fn a_mount_is_asked_for_by_name_and_comes_as_a_descriptor() {
        let (parent, child) = Channel::pair().unwrap();
        let asked =
            std::thread::spawn(move || (child.ask_for_mount("mounts[3]"), child.ask_for_mount("mounts[4]")));
        for (name, made) in [("mounts[3]", Some(File::open("/").unwrap().into())), ("mounts[4]", None)] {
            let (message, namespace) = parent.next_with_descriptor().unwrap();
            assert_eq!(message, Message::Mount(name.into()));
            assert!(namespace.is_some());
            parent.go_with(made).unwrap();
        }
        let (one, none) = asked.join().unwrap();
        assert!(one.unwrap().is_some() && none.unwrap().is_none());
    }

    #[test]
    fn a_process_whose_parent_is_gone_does_not_wait_for_ever() {
        let (parent, child) = Channel::pair().unwrap();
        drop(parent);
        assert!(child.wait_for_go().is_err() && child.ready().is_err());
    }
}
