//! Connections that the kernel tracks (`linux/netfilter/nfnetlink_conntrack.h`), listed and forgotten.

use super::address::from_octets;
use std::io;
use std::net::SocketAddr;
use sys::netlink::Netlink;
use sys::netlink::wire::{Nest, Request, attributes};

/// Subsystem of connection tracking in nfnetlink, the upper byte of a message's type.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// Family, version, resource.
const BODY: usize = 4;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;

/// A tracked connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The protocol's number.
    pub protocol: u8,
    /// Where the one who began it sends.
    pub destination: SocketAddr,
    /// Who answers.
    pub answers: SocketAddr,
    family: u8,
    original: Vec<u8>,
}

#[cfg(test)]
impl Tracked {
    /// One for tests of what is decided about it.
    pub fn between(protocol: u8, destination: &str, answers: &str) -> Self {
        let [destination, answers] = [destination, answers].map(|end| end.parse().unwrap());
        Self { protocol, destination, answers, family: 0, original: Vec::new() }
    }
}

/// Asks for all of them.
pub fn list() -> Request {
    Request::new(GET, 0, &[0; BODY])
}

/// Reads one of a protocol with ports.
pub fn parse(kind: u16, body: &[u8]) -> Option<Tracked> {
    let inside = body.get(BODY..)?;
    let original = find(inside, ORIGINAL)?;
    let (protocol, _, destination) = tuple(original)?;
    let (_, answers, _) = tuple(find(inside, REPLY)?)?;
    (kind == NEW).then(|| Tracked {
        protocol,
        destination,
        answers,
        family: body[0],
        original: original.to_vec(),
    })
}

/// Has the kernel forget those of a kind.
///
/// # Errors
/// What the kernel answered.
pub fn forget_those(kernel: &mut Netlink, stale: impl Fn(&Tracked) -> bool) -> io::Result<()> {
    let mut list = Vec::new();
    kernel.skim(self::list(), |kind, body| list.extend(parse(kind, body).filter(&stale)))?;
    for connection in list {
        match kernel.change(forget(&connection)) {
            // Over by itself meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Has the kernel forget one.
pub fn forget(connection: &Tracked) -> Request {
    Request::new(DELETE, 0, &[connection.family, 0, 0, 0])
        .with_nest(ORIGINAL, &Nest::behind(&connection.original))
}

/// Protocol, source and destination.
fn tuple(bytes: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let (addresses, ports) = (find(bytes, 1)?, find(bytes, 2)?);
    let address = |v4, v6| from_octets(find(addresses, v4).or_else(|| find(addresses, v6))?);
    let port = |kind| Some(u16::from_be_bytes(find(ports, kind)?.try_into().ok()?));
    let end = |v4, v6, kind| Some(SocketAddr::new(address(v4, v6)?, port(kind)?));
    Some((*find(ports, 1)?.first()?, end(1, 3, 2)?, end(2, 4, 3)?))
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::netlink::wire::messages;

    fn side(source: [u8; 4], destination: [u8; 4], ports: [u16; 2]) -> Nest {
        let addresses = Nest::new().with(1, &source).with(2, &destination);
        let numbers =
            Nest::new().with(1, &[17]).with(2, &ports[0].to_be_bytes()).with(3, &ports[1].to_be_bytes());
        Nest::new().with_nest(1, &addresses).with_nest(2, &numbers)
    }

    #[test]
    fn a_connection_tells_where_it_leads() {
        let request = Request::new(NEW, 0, &[libc::AF_INET as u8, 0, 0, 0])
            .with_nest(ORIGINAL, &side([10, 244, 1, 2], [10, 96, 0, 10], [5000, 53]))
            .with_nest(REPLY, &side([10, 244, 2, 9], [10, 244, 1, 2], [5353, 5000]));
        let bytes = request.finish(1);
        let message = messages(&bytes).next().unwrap();
        let found = parse(message.kind, message.body).unwrap();
        assert_eq!(found.protocol, 17);
        assert_eq!(found.destination, "10.96.0.10:53".parse().unwrap());
        assert_eq!(found.answers, "10.244.2.9:5353".parse().unwrap());
        let bytes = forget(&found).finish(1);
        let message = messages(&bytes).next().unwrap();
        assert_eq!((message.kind, find(&message.body[BODY..], ORIGINAL).is_some()), (DELETE, true));
        assert!((0..bytes.len()).all(|length| parse(NEW, &bytes[..length]).is_none()));
    }
}
