//! As much of netlink(7) as moving an interface takes: a request's header, its body of fixed
//! shape, its attributes, and the kernel's answers.
//!
//! ```text
//! 0 length (4)  4 type (2)  6 flags (2)  8 sequence (4)  12 port (4)  16 body …
//! attribute: 0 length (2)  2 type (2)  4 value, to a multiple of four bytes
//! ```

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

const HEADER: usize = 16;
/// The upper bits of an attribute's type are flags.
const TYPE: u16 = 0x3fff;
/// An answer is no longer.
const LARGEST: usize = 32 * 1024;

/// A socket for requests to one network namespace: the one that it was opened in.
pub struct Netlink(OwnedFd);

/// A request under construction.
pub struct Request(Vec<u8>);

impl Request {
    /// `RTM_*`, with its body.
    pub fn new(kind: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes.extend(body);
        Self(bytes)
    }

    /// With one attribute more.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self, flags: i32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[6..8].copy_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        self.0
    }
}

impl Netlink {
    /// Opens one to the namespace that this process is in.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?))
    }

    /// Asks for a change; `flags` are `NLM_F_CREATE` and the like.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn change(&self, request: Request, flags: i32) -> io::Result<()> {
        self.ask(request, flags | libc::NLM_F_ACK).map(drop)
    }

    /// Asks for all there is of a kind: the bodies of the answers.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn all(&self, request: Request) -> io::Result<Vec<Vec<u8>>> {
        self.ask(request, libc::NLM_F_DUMP)
    }

    fn ask(&self, request: Request, flags: i32) -> io::Result<Vec<Vec<u8>>> {
        send(self.0.as_raw_fd(), &request.finish(flags), MsgFlags::empty())?;
        let mut buffer = vec![0; LARGEST];
        let mut bodies = Vec::new();
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            for (kind, body) in messages(&buffer[..length]) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(bodies),
                    libc::NLMSG_ERROR => return outcome(body).map(|()| bodies),
                    _ => bodies.push(body.to_owned()),
                }
            }
        }
    }
}

/// The error number, negative; 0 says "done".
fn outcome(body: &[u8]) -> io::Result<()> {
    match number(body, 0).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(error) => Err(io::Error::from_raw_os_error(error.wrapping_neg())),
        None => Err(io::Error::from_raw_os_error(libc::EPROTO)),
    }
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let message = bytes.get(..number(bytes, 0)? as usize)?;
        let body = message.get(HEADER..)?;
        bytes = bytes.get(message.len().next_multiple_of(4)..).unwrap_or_default();
        Some((short(message, 4)?, body))
    })
}

/// The attributes that follow a body's fixed part: type and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let attribute = bytes.get(..short(bytes, 0)?.into())?;
        let value = attribute.get(4..)?;
        bytes = bytes.get(attribute.len().next_multiple_of(4)..).unwrap_or_default();
        Some((short(attribute, 2)? & TYPE, value))
    })
}

/// The four-byte number at an offset.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut bytes = Request::new(16, &[1; 16]).with(3, b"eth0\0").with(4, &[7; 4]).finish(0);
        bytes.extend(Request::new(3, &[]).finish(0));
        let read: Vec<_> = messages(&bytes).collect();
        assert_eq!((read.len(), read[0].0, read[1].0), (2, 16, 3));
        let inside: Vec<_> = attributes(&read[0].1[16..]).collect();
        assert_eq!(inside, [(3, &b"eth0\0"[..]), (4, &[7; 4][..])]);
    }

    #[test]
    fn what_is_cut_short_ends_the_list() {
        let bytes = Request::new(16, &[1; 16]).with(3, b"eth0\0").finish(0);
        for length in 0..bytes.len() {
            assert_eq!(messages(&bytes[..length]).count(), 0);
        }
        assert_eq!(messages(&[0; 32]).count() + attributes(&[0; 32]).count(), 0);
        assert!(outcome(&[]).is_err());
    }
}
