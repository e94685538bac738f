//! DHCPv4, the client's side (RFC 2131).
//!
//! | file | question |
//! |---|---|
//! | `message` | what do the bytes say? |
//! | `lease` | what does an acknowledgement give the interface? |
//! | `client` | what next? A pure state machine. |
//! | `action` | what does that machine hear, want and say? |
//! | `frame` | the IP and UDP headers of what is sent without an address |
//! | `socket` | how do messages leave and come? |
//!
//! Left out on purpose: probing the address by ARP before it is used (a boot
//! would wait for it; servers probe), DHCPRELEASE (a reboot asks for the same
//! address again and gets it), DHCPINFORM, authentication (RFC 3118, which no
//! server uses) and FORCERENEW.

pub mod action;
pub mod client;
pub mod frame;
pub mod lease;
pub mod message;
pub mod socket;

use std::fmt;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of a link.
    pub const BROADCAST: Self = Self([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}
