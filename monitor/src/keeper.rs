//! PID 1 as the keeper of what must outlive the monitor: pipes, and the exit
//! statuses of processes that ended while there was no monitor. Speaks
//! [`spec::control`] over [`spec::paths::INIT_SOCKET`].
//!
//! | name in the store | descriptors |
//! |---|---|
//! | `monitor:desk` | both ends of the desk (see `log`) |
//! | `monitor:log:NAME:GENERATION` | the read ends of that instance's output and error pipes |
//!
//! Where there is no PID 1 of ours, nothing is kept: containers then do not
//! outlive their monitor whole, which is said once.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, setsockopt, socket,
    sockopt::ReceiveTimeout, sockopt::SendTimeout,
};
use nix::sys::time::TimeVal;
use spec::control::{Exit, MAX_PACKET, Request};
use spec::node::Name;
use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Name of the desk's pipe in the store.
pub const DESK: &str = "monitor:desk";

/// PID 1 answers at once or is gone; it never keeps the monitor waiting longer.
const PATIENCE: TimeVal = TimeVal::new(5, 0);

/// Name of an instance's pipes in the store.
pub fn log_name(name: &Name, generation: u64) -> String {
    format!("monitor:log:{name}:{generation}")
}

/// The way to PID 1: a connection, which is made anew when PID 1 has hung up, as it does when it has too many; and when
/// an answer did not come in time, since it would be taken for the next one's.
#[derive(Debug)]
pub struct Keeper {
    path: &'static str,
    socket: RefCell<Option<OwnedFd>>,
}

impl Keeper {
    /// Connects to PID 1's socket.
    pub fn connect(path: &'static str) -> io::Result<Self> {
        Ok(Self { path, socket: RefCell::new(Some(connection(path)?)) })
    }

    /// Keeps descriptors under a name, in place of any before.
    pub fn store(&self, name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.ask(&Request::Store(name.to_owned()), descriptors).map(drop)
    }

    /// Duplicates of what is kept under a name; none when nothing is.
    pub fn fetch(&self, name: &str) -> io::Result<Vec<OwnedFd>> {
        self.ask(&Request::Fetch(name.to_owned()), &[]).map(|(_, descriptors)| descriptors)
    }

    /// Closes what is kept under a name.
    pub fn drop(&self, name: &str) -> io::Result<()> {
        self.ask(&Request::Drop(name.to_owned()), &[]).map(drop)
    }

    /// Every name under which something is kept.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().cloned().unwrap_or_default();
            let (lines, _) = self.ask(&Request::Names(after), &[])?;
            if lines.is_empty() {
                return Ok(names);
            }
            names.extend(lines.lines().map(str::to_owned));
        }
    }

    /// All exits that PID 1 remembers, the oldest first.
    pub fn exits(&self) -> io::Result<Vec<Exit>> {
        let mut exits: Vec<Exit> = Vec::new();
        loop {
            let from = exits.last().map_or(1, |last| last.seq + 1);
            let (lines, _) = self.ask(&Request::Exits(from), &[])?;
            let more: Vec<Exit> = lines.lines().filter_map(|line| line.parse().ok()).collect();
            if more.is_empty() {
                return Ok(exits);
            }
            exits.extend(more);
        }
    }

    /// Makes this connection one that is sent every further exit.
    pub fn subscribe(self) -> io::Result<Subscription> {
        self.ask(&Request::Subscribe, &[])?;
        self.socket.into_inner().map(Subscription).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// What is asked twice comes to the same, so it does not matter which of it PID 1 has heard before it hung up.
    fn ask(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) -> io::Result<(String, Vec<OwnedFd>)> {
        match self.ask_once(request, descriptors) {
            Err(error) if has_hung_up(&error) => self.ask_once(request, descriptors),
            answered => answered,
        }
    }

    fn ask_once(
        &self,
        request: &Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<(String, Vec<OwnedFd>)> {
        let socket = self.socket.take().map_or_else(|| connection(self.path), Ok)?;
        sys::descriptors::send(socket.as_fd(), request.to_string().as_bytes(), descriptors)?;
        let mut packet = vec![0; MAX_PACKET];
        let (length, descriptors) = sys::descriptors::receive(socket.as_fd(), &mut packet)?;
        if length == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.socket.replace(Some(socket));
        let answer = String::from_utf8_lossy(&packet[..length]);
        match answer.strip_prefix("ok") {
            Some(body) => Ok((body.trim_start().to_owned(), descriptors)),
            None => Err(io::Error::other(format!("init: {request}: {}", answer.trim()))),
        }
    }
}

fn connection(path: &str) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, ReceiveTimeout, &PATIENCE)?;
    setsockopt(&socket, SendTimeout, &PATIENCE)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket)
}

fn has_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// A connection over which PID 1 tells of every orphan that it reaps.
#[derive(Debug)]
pub struct Subscription(OwnedFd);

impl Subscription {
    /// The exits that have been told and not yet read, and whether more may
    /// come: PID 1 hangs up on a subscriber that has not kept up. Never waits.
    pub fn told(&self) -> (Vec<Exit>, bool) {
        let mut packet = [0; 256];
        let mut exits = Vec::new();
        loop {
            match recv(self.0.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) => return (exits, true),
                Ok(0) | Err(_) => return (exits, false),
                Ok(length) => {
                    let text = String::from_utf8_lossy(&packet[..length]);
                    exits.extend(text.lines().filter_map(|line| line.parse::<Exit>().ok()));
                }
            }
        }
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests;
