//! Neighbours (rtnetlink(7), `RTM_NEWNEIGH`): which hardware address an IP address has, and
//! to which node a tunnel sends what is for a hardware address.

use super::address::{from_octets, octets};
use std::net::IpAddr;
use sys::netlink::wire::{Request, attributes, number, number16};

/// `struct ndmsg`: family, pad (3), index (4), state (2), flags, type.
const BODY: usize = 12;
/// Destination and hardware address.
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
/// The interface's own table, not that of the bridge it is a port of.
const NTF_SELF: u8 = 2;
const SET: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

/// An entry for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The hardware address.
    pub mac: [u8; 6],
    /// The address that has it, or the node behind which it is.
    pub address: IpAddr,
    /// It is of the tunnel's table: `address` is a node's.
    pub tunnel: bool,
}

impl Neighbour {
    fn request(&self, kind: u16, flags: u16, index: u32) -> Request {
        let (family, address) = octets(self.address);
        let (family, state, own) = match self.tunnel {
            true => (libc::AF_BRIDGE as u8, NUD_PERMANENT | NUD_NOARP, NTF_SELF),
            false => (family, NUD_PERMANENT, 0),
        };
        let mut body = [0; BODY];
        body[0] = family;
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..10].copy_from_slice(&state.to_ne_bytes());
        body[10] = own;
        Request::new(kind, flags, &body).with(NDA_DST, &address).with(NDA_LLADDR, &self.mac)
    }

    /// Sets it at an interface, in place of what its key had.
    pub fn set(&self, index: u32) -> Request {
        self.request(libc::RTM_NEWNEIGH, SET, index)
    }

    /// Takes it away.
    pub fn remove(&self, index: u32) -> Request {
        self.request(libc::RTM_DELNEIGH, 0, index)
    }
}

/// Asks for all entries of IP, or of tunnels and bridges.
pub fn list(tunnel: bool) -> Request {
    let family = if tunnel { libc::AF_BRIDGE as u8 } else { 0 };
    let mut body = [0; BODY];
    body[0] = family;
    Request::new(libc::RTM_GETNEIGH, 0, &body)
}

/// Reads an entry for good of an interface.
pub fn parse(kind: u16, body: &[u8], index: u32) -> Option<Neighbour> {
    let (mut mac, mut address) = (None, None);
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            NDA_DST => address = from_octets(value),
            NDA_LLADDR => mac = value.try_into().ok(),
            _ => {}
        }
    }
    let for_good = number16(body, 8)? & NUD_PERMANENT != 0;
    let ours = kind == libc::RTM_NEWNEIGH && number(body, 4)? == index && for_good;
    let tunnel = i32::from(body[0]) == libc::AF_BRIDGE;
    ours.then_some(Neighbour { mac: mac?, address: address?, tunnel })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::netlink::wire::messages;

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        for (address, tunnel) in [("10.244.2.1", false), ("192.0.2.3", true), ("fd44::1", false)] {
            let entry = Neighbour { mac: [2, 1, 192, 0, 2, 3], address: address.parse().unwrap(), tunnel };
            let bytes = entry.set(7).finish(0);
            let message = messages(&bytes).next().unwrap();
            assert_eq!(parse(message.kind, message.body, 7), Some(entry));
            assert_eq!(parse(message.kind, message.body, 8), None, "another interface's");
        }
    }
}
