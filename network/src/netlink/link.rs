//! Network interfaces (rtnetlink(7), `RTM_NEWLINK`).

use super::address::octets;
use crate::dhcp::Mac;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use sys::netlink::wire::{Nest, Request, attributes, number, number16};

const NEW: u16 = libc::RTM_NEWLINK;
const DELETE: u16 = libc::RTM_DELLINK;
/// `struct ifinfomsg`: family, pad, type (2), index (4), flags (4), change (4).
const BODY: usize = 16;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// The other end of a pair: an `ifinfomsg` and its attributes.
const VETH_INFO_PEER: u16 = 1;
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its hardware address; zero when it has none of six bytes.
    pub mac: Mac,
    /// Whether its frames are Ethernet's.
    pub ethernet: bool,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether packets can pass: cable in, other end on.
    pub carrier: bool,
    /// The kind of a software interface: `veth`, `bridge`, `vlan`; none for a
    /// network card.
    pub kind: Option<String>,
    /// Whether it is a port of a bridge or bond.
    pub port: bool,
    /// Its greatest packet in bytes.
    pub mtu: u32,
}

/// What a notice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is an interface, or it has changed.
    Changed(Link),
    /// The interface of this number is gone.
    Gone(u32),
}

/// Reads a notice; nothing when it is about something else.
pub fn parse(kind: u16, body: &[u8]) -> Option<Notice> {
    let index = number(body, 4)?;
    match kind {
        NEW => link(index, body).map(Notice::Changed),
        DELETE => Some(Notice::Gone(index)),
        _ => None,
    }
}

fn link(index: u32, body: &[u8]) -> Option<Link> {
    let flags = number(body, 8)?.cast_signed();
    let mut link = Link {
        index,
        name: String::new(),
        mac: Mac::default(),
        ethernet: number16(body, 2)? == libc::ARPHRD_ETHER,
        up: flags & libc::IFF_UP != 0,
        carrier: flags & libc::IFF_RUNNING != 0,
        kind: None,
        port: false,
        mtu: 0,
    };
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value)?,
            libc::IFLA_ADDRESS => link.mac = Mac(value.try_into().unwrap_or_default()),
            libc::IFLA_MASTER => link.port = true,
            libc::IFLA_MTU => link.mtu = number(value, 0)?,
            libc::IFLA_LINKINFO => {
                let info = attributes(value).find(|&(kind, _)| kind == INFO_KIND);
                link.kind = info.and_then(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn text(value: &[u8]) -> Option<String> {
    Some(str::from_utf8(value).ok()?.trim_end_matches('\0').to_owned())
}

/// Asks for every interface.
pub fn list() -> Request {
    Request::new(libc::RTM_GETLINK, 0, &[0; BODY])
}

/// Switches an interface on.
pub fn up(index: u32) -> Request {
    let on = libc::IFF_UP as u32;
    Request::new(NEW, 0, &body(index, on))
}

/// Sets the greatest packet of an interface.
pub fn mtu(index: u32, bytes: u32) -> Request {
    Request::new(NEW, 0, &body(index, 0)).with(libc::IFLA_MTU, &bytes.to_ne_bytes())
}

/// Makes a bridge, switched on, that forwards without delay and has its hardware
/// address for good: otherwise it takes on the lowest of its ports'. It learns nothing from frames
/// of the link itself (LLDP), which pass no table of nftables.
pub fn bridge(name: &str, mac: [u8; 6], mtu: u32) -> Request {
    const IFLA_BR_MULTI_BOOLOPT: u16 = 46;
    const NO_LINK_LOCAL_LEARNING: u32 = 1;
    // `struct br_boolopt_multi`: values, and which are meant.
    let options = [NO_LINK_LOCAL_LEARNING.to_ne_bytes(); 2].concat();
    let info = Nest::new()
        .with(INFO_KIND, b"bridge\0")
        .with_nest(INFO_DATA, &Nest::new().with(IFLA_BR_MULTI_BOOLOPT, &options));
    Request::new(NEW, CREATE, &body(0, libc::IFF_UP as u32))
        .with(libc::IFLA_IFNAME, &zero_ended(name))
        .with(libc::IFLA_ADDRESS, &mac)
        .with(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .with_nest(libc::IFLA_LINKINFO, &info)
}

/// One end of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// Makes a pair of which one end is a port of a bridge, switched on, and the other
/// lies in another network namespace; both or none.
pub fn pair(
    here: &End<'_>,
    bridge: u32,
    there: &End<'_>,
    namespace: BorrowedFd<'_>,
    alias: &str,
    mtu: u32,
) -> Request {
    let peer = Nest::behind(&body(0, 0))
        .with(libc::IFLA_IFNAME, &zero_ended(there.name))
        .with(libc::IFLA_ADDRESS, &there.mac)
        .with(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .with(libc::IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    let info = Nest::new()
        .with(INFO_KIND, b"veth\0")
        .with_nest(INFO_DATA, &Nest::new().with_nest(VETH_INFO_PEER, &peer));
    Request::new(NEW, CREATE, &body(0, libc::IFF_UP as u32))
        .with(libc::IFLA_IFNAME, &zero_ended(here.name))
        .with(libc::IFLA_ADDRESS, &here.mac)
        .with(libc::IFLA_MTU, &mtu.to_ne_bytes())
        .with(libc::IFLA_MASTER, &bridge.to_ne_bytes())
        .with(libc::IFLA_IFALIAS, alias.as_bytes())
        .with_nest(libc::IFLA_LINKINFO, &info)
}

/// A tunnel that wraps Ethernet frames into UDP (RFC 7348).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The number of the network within.
    pub id: u32,
    /// The node's address at which it begins.
    pub local: IpAddr,
    /// The UDP port of both ends.
    pub port: u16,
    /// Its greatest packet in bytes.
    pub mtu: u32,
}

/// Makes a tunnel. Where its frames go is said by entries of its table alone
/// ([`super::neighbour`]): it learns nothing.
pub fn tunnel(tunnel: &Tunnel<'_>) -> Request {
    const ID: u16 = 1;
    const LOCAL: u16 = 4;
    const LEARNING: u16 = 7;
    const PORT: u16 = 15;
    const LOCAL6: u16 = 17;
    let local = if tunnel.local.is_ipv4() { LOCAL } else { LOCAL6 };
    let data = Nest::new()
        .with(ID, &tunnel.id.to_ne_bytes())
        .with(local, &octets(tunnel.local).1)
        .with(LEARNING, &[0])
        .with(PORT, &tunnel.port.to_be_bytes());
    Request::new(NEW, CREATE, &body(0, 0))
        .with(libc::IFLA_IFNAME, &zero_ended(tunnel.name))
        .with(libc::IFLA_ADDRESS, &tunnel.mac)
        .with(libc::IFLA_MTU, &tunnel.mtu.to_ne_bytes())
        .with_nest(libc::IFLA_LINKINFO, &Nest::new().with(INFO_KIND, b"vxlan\0").with_nest(INFO_DATA, &data))
}

/// Makes an interface a port of a bridge.
pub fn join(index: u32, bridge: u32) -> Request {
    Request::new(NEW, 0, &body(index, 0)).with(libc::IFLA_MASTER, &bridge.to_ne_bytes())
}

/// Lets a bridge's port send back what came by it.
pub fn hairpin(port: u32) -> Request {
    const IFLA_BRPORT_MODE: u16 = 4;
    port_flag(port, IFLA_BRPORT_MODE)
}

/// Keeps a bridge's port from sending to other ports of which the same is said.
pub fn isolate(port: u32) -> Request {
    const IFLA_BRPORT_ISOLATED: u16 = 33;
    port_flag(port, IFLA_BRPORT_ISOLATED)
}

fn port_flag(port: u32, flag: u16) -> Request {
    const IFLA_PROTINFO: u16 = 12;
    let mut body = body(port, 0);
    body[0] = libc::AF_BRIDGE as u8;
    Request::new(libc::RTM_SETLINK, 0, &body).with_nest(IFLA_PROTINFO, &Nest::new().with(flag, &[1]))
}

/// Takes an interface away, and with a pair's one end the other.
pub fn delete(index: u32) -> Request {
    Request::new(DELETE, 0, &body(index, 0))
}

fn zero_ended(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

fn body(index: u32, flags: u32) -> [u8; BODY] {
    let mut body = [0; BODY];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..16].copy_from_slice(&flags.to_ne_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::netlink::wire::messages;

    fn read(request: Request) -> Option<Notice> {
        let bytes = request.finish(0);
        let message = messages(&bytes).next().unwrap();
        parse(message.kind, message.body)
    }

    fn notice() -> Request {
        let mut body = body(2, (libc::IFF_UP | libc::IFF_RUNNING) as u32);
        body[2..4].copy_from_slice(&libc::ARPHRD_ETHER.to_ne_bytes());
        Request::new(NEW, 0, &body)
            .with(libc::IFLA_IFNAME, b"eth0\0")
            .with(libc::IFLA_ADDRESS, &[0x52, 0x54, 0, 1, 2, 3])
    }

    #[test]
    fn a_network_card_is_told_from_a_software_interface() {
        let card = Link {
            index: 2,
            name: "eth0".into(),
            mac: Mac([0x52, 0x54, 0, 1, 2, 3]),
            ethernet: true,
            up: true,
            carrier: true,
            kind: None,
            port: false,
            mtu: 0,
        };
        assert_eq!(read(notice()), Some(Notice::Changed(card.clone())));
        let info = b"\x09\0\x01\0veth\0\0\0\0";
        let soft = Link { kind: Some("veth".into()), port: true, ..card };
        let request = notice().with(libc::IFLA_LINKINFO, info).with(libc::IFLA_MASTER, &[3, 0, 0, 0]);
        assert_eq!(read(request), Some(Notice::Changed(soft)));
    }

    #[test]
    fn an_interface_that_is_gone_is_named_by_its_number() {
        assert_eq!(read(Request::new(DELETE, 0, &body(7, 0))), Some(Notice::Gone(7)));
        assert_eq!(read(Request::new(NEW, 0, &[0; 4])), None);
        assert_eq!(read(up(2)), None, "a link without a name");
    }
}
