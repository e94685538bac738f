//! Netlink messages as bytes (netlink(7)): a header, a body of fixed shape,
//! then attributes, everything aligned to four bytes and in the host's order.
//!
//! ```text
//! 0 length (4)  4 type (2)  6 flags (2)  8 sequence (4)  12 port (4)  16 body …
//! attribute: 0 length (2)  2 type (2)  4 value …
//! ```

/// Bytes of a message's header.
pub const HEADER: usize = 16;
const ATTRIBUTE: usize = 4;
/// The upper bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;
/// The value is attributes in turn (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;

/// A request under construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request(Vec<u8>);

impl Request {
    /// A request of a type with flags besides `NLM_F_REQUEST`, and its fixed body.
    pub fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend(body);
        pad(&mut bytes);
        Self(bytes)
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        attribute(&mut self.0, kind, value);
        self
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn with_nest(self, kind: u16, nest: &Nest) -> Self {
        self.with(kind | NESTED, &nest.0)
    }

    /// Adds flags to the header's.
    #[must_use]
    pub fn flagged(mut self, flags: u16) -> Self {
        let flags = flags | u16::from_ne_bytes([self.0[6], self.0[7]]);
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self
    }

    /// The whole message, numbered.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// Attributes that are the value of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nest(Vec<u8>);

impl Nest {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes behind a body of fixed shape.
    pub fn behind(body: &[u8]) -> Self {
        Self(body.to_vec())
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        attribute(&mut self.0, kind, value);
        self
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn with_nest(self, kind: u16, nest: &Self) -> Self {
        self.with(kind | NESTED, &nest.0)
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// A message that the kernel sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `RTM_*` or `NLMSG_*`.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request it answers; 0 for a notice.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// The messages in one datagram; a malformed one ends the list.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = number(bytes, 0)? as usize;
        let message = bytes.get(..length)?;
        let body = message.get(HEADER..)?;
        let (kind, flags, sequence) = (number16(message, 4)?, number16(message, 6)?, number(message, 8)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body })
    })
}

/// The attributes that follow a body's fixed part: type and value.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(number16(bytes, 0)?);
        let kind = number16(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(..length)?.get(ATTRIBUTE..)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The four-byte number at an offset, in the host's order.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The two-byte number at an offset, in the host's order.
pub fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next of a row of numbers that is the same each time, below `limit` (Vigna's xorshift64*).
    fn throw(row: &mut u64, limit: usize) -> usize {
        *row ^= *row >> 12;
        *row ^= *row << 25;
        *row ^= *row >> 27;
        (row.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn two_messages() -> Vec<u8> {
        let mut bytes = Request::new(16, 0, &[1; 16]).with(3, b"eth0\0").with(4, &[7; 4]).finish(1);
        bytes.extend(Request::new(17, 0, &[2; 8]).finish(2));
        bytes
    }

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let bytes = two_messages();
        let read: Vec<Message<'_>> = messages(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence, read[1].kind), (16, 1, 17));
        let inside: Vec<(u16, &[u8])> = attributes(&read[0].body[16..]).collect();
        assert_eq!(inside, [(3, &b"eth0\0"[..]), (4, &[7; 4][..])]);
    }

    #[test]
    fn no_sequence_of_bytes_panics_or_goes_on_for_ever() {
        let mut row = 11;
        for _ in 0..20_000 {
            let mut bytes = two_messages();
            for _ in 0..4 {
                let at = throw(&mut row, bytes.len());
                bytes[at] = throw(&mut row, 256) as u8;
            }
            bytes.truncate(throw(&mut row, bytes.len() + 1));
            let parts: usize = messages(&bytes).map(|message| 1 + attributes(message.body).count()).sum();
            assert!(parts <= bytes.len());
        }
    }

    #[test]
    fn what_is_cut_short_ends_the_list() {
        let bytes = Request::new(16, 0, &[1; 16]).with(3, b"eth0\0").finish(0);
        for length in 0..bytes.len() {
            assert_eq!(messages(&bytes[..length]).count(), 0);
        }
        assert_eq!(messages(&[0; 32]).count() + attributes(&[0; 32]).count(), 0);
    }
}
