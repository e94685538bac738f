//! DHCP messages on the wire (RFC 2131 §2, RFC 2132, RFC 3396).
//!
//! ```text
//! 0 op  1 htype  2 hlen  3 hops  4 xid  8 secs  10 flags  12 ciaddr  16 yiaddr
//! 20 siaddr  24 giaddr  28 chaddr (16)  44 sname (64)  108 file (128)
//! 236 magic cookie  240 options: code, length, value …, 255
//! ```

use super::Mac;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const REPLY: u8 = Side::Server as u8;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const OPTIONS: usize = 240;
/// BOOTP relays and servers may drop anything shorter.
const SHORTEST: usize = 300;

/// Numbers of the options that are used here.
pub mod option {
    #![allow(missing_docs, reason = "the names are RFC 2132's")]
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const MTU: u8 = 26;
    pub const NTP: u8 = 42;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const TEXT: u8 = 56;
    pub const LARGEST: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const CLIENT: u8 = 61;
    pub const SEARCH: u8 = 119;
    pub const CLASSLESS_ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

/// Option 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are RFC 2131's")]
pub enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `BOOTREQUEST`
    Client = 1,
    /// `BOOTREPLY`
    Server = 2,
}

/// A message, client's or server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is for.
    pub kind: Kind,
    /// Ties answers to a question.
    pub xid: u32,
    /// Seconds since the client began to ask.
    pub secs: u16,
    /// The client's address, when it has one and can answer for it.
    pub ciaddr: Ipv4Addr,
    /// The address that the server gives.
    pub yiaddr: Ipv4Addr,
    /// The client's hardware address.
    pub chaddr: Mac,
    /// Options but for [`option::KIND`], by number.
    pub options: BTreeMap<u8, Vec<u8>>,
}

impl Message {
    /// The bytes of the message as one side sends it.
    pub fn encode(&self, from: Side) -> Vec<u8> {
        let mut bytes = vec![0; OPTIONS];
        bytes[..3].copy_from_slice(&[from as u8, 1, 6]);
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.secs.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.ciaddr.octets());
        bytes[16..20].copy_from_slice(&self.yiaddr.octets());
        bytes[28..34].copy_from_slice(&self.chaddr.0);
        bytes[236..240].copy_from_slice(&COOKIE);
        bytes.extend([option::KIND, 1, self.kind as u8]);
        for (&code, value) in &self.options {
            let parts = value.chunks(255).chain(value.is_empty().then_some(&[][..]));
            for part in parts {
                bytes.extend([code, part.len() as u8]);
                bytes.extend(part);
            }
        }
        bytes.push(option::END);
        bytes.resize(bytes.len().max(SHORTEST), option::PAD);
        bytes
    }

    /// Reads a server's message; nothing when it is not a well-formed one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..3)? != [REPLY, 1, 6] || bytes.get(236..OPTIONS)? != COOKIE {
            return None;
        }
        let mut options = options(bytes)?;
        let kind = match options.remove(&option::KIND)?.as_slice() {
            [2] => Kind::Offer,
            [5] => Kind::Ack,
            [6] => Kind::Nak,
            _ => return None,
        };
        Some(Self {
            kind,
            xid: u32::from_be_bytes(array(bytes, 4)?),
            secs: u16::from_be_bytes(array(bytes, 8)?),
            ciaddr: array(bytes, 12).map(Ipv4Addr::from_octets)?,
            yiaddr: array(bytes, 16).map(Ipv4Addr::from_octets)?,
            chaddr: Mac(array(bytes, 28)?),
            options,
        })
    }

    /// The value of an option that holds exactly one address.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from_octets(self.options.get(&code)?.as_slice().try_into().ok()?))
    }

    /// The value of an option that holds addresses, none when it is malformed.
    pub fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        match self.options.get(&code) {
            Some(value) if value.len().is_multiple_of(4) => {
                value.as_chunks().0.iter().copied().map(Ipv4Addr::from_octets).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The value of an option that holds a number of four bytes.
    pub fn number(&self, code: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.options.get(&code)?.as_slice().try_into().ok()?))
    }

    /// The value of an option that holds printable text, without trailing zeros.
    pub fn text(&self, code: u8) -> Option<String> {
        let text = str::from_utf8(self.options.get(&code)?).ok()?.trim_end_matches('\0');
        let plain = !text.is_empty() && text.bytes().all(|c| (0x20..0x7f).contains(&c));
        plain.then(|| text.to_owned())
    }
}

/// The options of the three fields that may hold them (option 52 says which),
/// those that come in parts put together (RFC 3396).
fn options(bytes: &[u8]) -> Option<BTreeMap<u8, Vec<u8>>> {
    let mut options = BTreeMap::new();
    read_options(bytes.get(OPTIONS..)?, &mut options)?;
    let overload = match options.get(&option::OVERLOAD).map(Vec::as_slice) {
        Some([fields @ 1..=3]) => *fields,
        _ => 0,
    };
    if overload & 1 != 0 {
        read_options(&bytes[FILE], &mut options)?;
    }
    if overload & 2 != 0 {
        read_options(&bytes[SNAME], &mut options)?;
    }
    Some(options)
}

fn read_options(mut bytes: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) -> Option<()> {
    loop {
        match bytes {
            [] | [option::END, ..] => return Some(()),
            [option::PAD, rest @ ..] => bytes = rest,
            [code, length, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                options.entry(*code).or_default().extend(value);
                bytes = rest;
            }
            [_] => return None,
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn offer() -> Message {
        Message {
            kind: Kind::Offer,
            xid: 0x0102_0304,
            secs: 7,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::new(10, 0, 2, 15),
            chaddr: Mac([0x52, 0x54, 0, 1, 2, 3]),
            options: BTreeMap::from([
                (option::SERVER, vec![10, 0, 2, 2]),
                (option::DNS, vec![10, 0, 2, 3, 10, 0, 2, 4]),
                (option::DOMAIN, b"example.org\0".to_vec()),
            ]),
        }
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let bytes = offer().encode(Side::Server);
        assert!(bytes.len() >= SHORTEST);
        let read = Message::parse(&bytes).unwrap();
        assert_eq!(read, offer());
        assert_eq!(read.address(option::SERVER), Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(read.addresses(option::DNS).len(), 2);
        assert_eq!(read.address(option::DNS), None);
        assert_eq!(read.text(option::DOMAIN).as_deref(), Some("example.org"));
    }

    #[test]
    fn an_option_without_a_value_is_one() {
        let mut message = offer();
        message.options.insert(80, Vec::new()); // RFC 4039
        assert_eq!(Message::parse(&message.encode(Side::Server)), Some(message));
    }

    #[test]
    fn a_long_option_travels_in_parts() {
        let mut message = offer();
        let long: Vec<u8> = (0..600).map(|n| n as u8).collect();
        message.options.insert(option::CLASSLESS_ROUTES, long);
        assert_eq!(Message::parse(&message.encode(Side::Server)), Some(message));
    }

    #[test]
    fn options_may_overflow_into_the_file_and_server_name() {
        let mut message = offer();
        message.options.insert(option::OVERLOAD, vec![3]);
        let mut bytes = message.encode(Side::Server);
        bytes[108..114].copy_from_slice(&[option::NTP, 4, 1, 2, 3, 4]);
        bytes[114] = option::END;
        bytes[44..48].copy_from_slice(&[option::MTU, 2, 5, 0xdc]);
        bytes[48] = option::END;
        let read = Message::parse(&bytes).unwrap();
        assert_eq!(read.address(option::NTP), Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(read.options[&option::MTU], [5, 0xdc]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let whole = offer().encode(Side::Server);
        assert_eq!(Message::parse(&offer().encode(Side::Client)), None, "a client's message");
        assert_eq!(Message::parse(&[]), None);
        assert_eq!(Message::parse(&whole[..OPTIONS]), None, "BOOTP, without a message type");
        let mut without_cookie = whole.clone();
        without_cookie[237] = 0;
        assert_eq!(Message::parse(&without_cookie), None);
        let mut cut = whole[..OPTIONS].to_vec();
        cut.extend([option::KIND, 1, 2, option::DNS, 9, 1]);
        assert_eq!(Message::parse(&cut), None, "an option longer than the message");
        let mut kindless = whole;
        kindless[OPTIONS + 2] = 77;
        assert_eq!(Message::parse(&kindless), None);
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut random = Random::new(1);
        let whole = offer().encode(Side::Server);
        for round in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            if let Some(message) = Message::parse(&bytes) {
                assert!(bytes.len() > OPTIONS, "{round}: {message:?}");
            }
        }
    }
}
