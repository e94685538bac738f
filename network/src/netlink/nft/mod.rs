//! nftables by netlink: tables, chains, rules and sets as messages
//! (`linux/netfilter/nf_tables.h`; nft(8) for what they mean).
//!
//! | file | question |
//! |---|---|
//! | `expression` | what does one step of a rule look like? |
//! | `message` | how is a table, a chain, a rule, a set or an element asked for? |
//! | `answer` | what did the kernel list? |
//! | `difference` | what has to change in a set? |
//! | `standing` | has somebody flushed or deleted a table? |
//! | `design` | a table whose rules never change, made and kept |
//!
//! Every number is big-endian here, unlike in the rest of netlink; what a rule
//! compares with is as the packet or the kernel has it.

pub mod answer;
pub mod design;
pub mod difference;
pub mod expression;
pub mod message;
pub mod standing;

use std::fmt;

/// Subsystem of nf_tables in nfnetlink, the upper byte of a message's type.
pub const SUBSYSTEM: u16 = 10 << 8;
/// IPv4 and IPv6 in one table (`NFPROTO_INET`).
const INET: u8 = 1;
/// Frames that pass a bridge (`NFPROTO_BRIDGE`).
const BRIDGE: u8 = 7;
/// An element of a list.
const LIST_ELEMENT: u16 = 1;

/// A table, as nft(8) names it: `inet skerry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    family: u8,
    /// Its name, which is the family's own.
    pub name: &'static str,
}

impl Table {
    /// One of packets, of IPv4 and IPv6.
    pub const fn inet(name: &'static str) -> Self {
        Self { family: INET, name }
    }

    /// One of frames that pass a bridge.
    pub const fn bridge(name: &'static str) -> Self {
        Self { family: BRIDGE, name }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == BRIDGE { "bridge" } else { "inet" };
        write!(out, "{family} {}", self.name)
    }
}

/// A body: the family, version 0, no resource.
fn family(number: u8) -> [u8; 4] {
    [number, 0, 0, 0]
}

fn text(words: &str) -> Vec<u8> {
    [words.as_bytes(), b"\0"].concat()
}
