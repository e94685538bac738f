//! Addresses of interfaces (rtnetlink(7), `RTM_NEWADDR`).

use std::net::IpAddr;
use std::time::Duration;
use sys::netlink::wire::{Request, attributes, number};

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index (4).
const BODY: usize = 8;
const FOR_EVER: u32 = u32::MAX;
/// `RTM_GETADDR` of every interface and family.
pub fn list() -> Request {
    Request::new(libc::RTM_GETADDR, 0, &[0; BODY])
}

/// Reads any address: the interface's number, the address, its prefix length.
pub fn any(kind: u16, body: &[u8]) -> Option<(u32, IpAddr, u8)> {
    let found = attributes(body.get(BODY..)?)
        .filter(|(kind, _)| matches!(*kind, libc::IFA_ADDRESS | libc::IFA_LOCAL));
    // A pair of addresses (point to point) has both; the local one is ours.
    let address =
        found.max_by_key(|(kind, _)| *kind == libc::IFA_LOCAL).and_then(|(_, value)| from_octets(value))?;
    (kind == libc::RTM_NEWADDR).then_some((number(body, 4)?, address, body[1]))
}

const EXISTS: u16 = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;

/// The bytes of an address and its family's number.
pub fn octets(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(address) => (libc::AF_INET as u8, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6 as u8, address.octets().to_vec()),
    }
}

/// Reads an address of either family.
pub fn from_octets(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        16 => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
        _ => None,
    }
}

/// Gives an interface an address, or an address it has a new lifetime.
///
/// The kernel itself takes the address away when `lifetime` is over, whether or
/// not a program is there to do it; without it the address stays. It is given
/// two seconds more: it counts whole ones and rounds in its own favour, while the
/// address is still asked for to the end.
pub fn replace(index: u32, address: IpAddr, prefix: u8, lifetime: Option<Duration>) -> Request {
    let (family, bytes) = octets(address);
    let seconds = lifetime.map_or(FOR_EVER, |time| (time.as_secs() + 2).min(u64::from(FOR_EVER - 1)) as u32);
    let request = Request::new(libc::RTM_NEWADDR, EXISTS, &body(family, prefix, index))
        .with(libc::IFA_LOCAL, &bytes)
        .with(libc::IFA_ADDRESS, &bytes)
        .with(libc::IFA_CACHEINFO, &lifetimes(seconds));
    match address {
        // The broadcast address that ip(8) would give it, too.
        IpAddr::V4(address) if prefix < 31 => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            request.with(libc::IFA_BROADCAST, &(address.to_bits() | host).to_be_bytes())
        }
        _ => request,
    }
}

/// Gives an interface an address for good, without asking first whether another
/// has it (`IFA_F_NODAD`): who hands them out knows.
pub fn settle(index: u32, address: IpAddr, prefix: u8) -> Request {
    replace(index, address, prefix, None).with(libc::IFA_FLAGS, &libc::IFA_F_NODAD.to_ne_bytes())
}

/// Takes an address of this prefix away, and with its last one the routes that prefer it as source.
pub fn delete(index: u32, address: IpAddr, prefix: u8) -> Request {
    let (family, bytes) = octets(address);
    Request::new(libc::RTM_DELADDR, 0, &body(family, prefix, index))
        .with(libc::IFA_LOCAL, &bytes)
        .with(libc::IFA_ADDRESS, &bytes)
}

/// `struct ifa_cacheinfo`: preferred, valid, and two times that the kernel fills in.
fn lifetimes(seconds: u32) -> [u8; 16] {
    let mut value = [0; 16];
    value[..4].copy_from_slice(&seconds.to_ne_bytes());
    value[4..8].copy_from_slice(&seconds.to_ne_bytes());
    value
}

fn body(family: u8, prefix: u8, index: u32) -> [u8; BODY] {
    let mut body = [family, prefix, 0, 0, 0, 0, 0, 0];
    body[4..].copy_from_slice(&index.to_ne_bytes());
    body
}

/// An address that the kernel has made from a router advertisement, or has taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Autoconfigured {
    /// The interface.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of its prefix.
    pub prefix: u8,
    /// It can be used; else it is gone.
    pub there: bool,
}

/// Reads a notice of an IPv6 address that can be used and was not given by hand, or is gone.
/// Those of `fec0::/10` are no longer made (RFC 3879) but by QEMU's own router.
pub fn parse(kind: u16, body: &[u8]) -> Option<Autoconfigured> {
    let &[family, prefix, _, scope, ..] = body else { return None };
    let reaches_far = matches!(scope, libc::RT_SCOPE_UNIVERSE | libc::RT_SCOPE_SITE);
    let there = kind == libc::RTM_NEWADDR;
    let wanted = (there || kind == libc::RTM_DELADDR) && i32::from(family) == libc::AF_INET6 && reaches_far;
    let mut address = None;
    let mut flags = u32::from(body[2]);
    for (kind, value) in attributes(body.get(BODY..)?) {
        match kind {
            libc::IFA_ADDRESS => address = from_octets(value),
            libc::IFA_FLAGS => flags = number(value, 0)?,
            _ => {}
        }
    }
    let unusable = libc::IFA_F_PERMANENT | libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
    let usable = flags & unusable == 0 || !there;
    (wanted && usable).then_some(Autoconfigured { index: number(body, 4)?, address: address?, prefix, there })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::netlink::wire::{Message, messages};

    fn check<T>(request: Request, with: impl FnOnce(Message<'_>) -> T) -> T {
        let bytes = request.finish(0);
        with(messages(&bytes).next().unwrap())
    }

    fn values(request: Request) -> Vec<(u16, Vec<u8>)> {
        check(request, |message| {
            attributes(&message.body[BODY..]).map(|(kind, value)| (kind, value.to_vec())).collect()
        })
    }

    #[test]
    fn an_address_has_its_broadcast_and_its_lifetime() {
        let lifetime = Some(Duration::from_secs(60));
        let values = values(replace(2, [10, 0, 2, 15].into(), 24, lifetime));
        assert!(values.contains(&(libc::IFA_BROADCAST, vec![10, 0, 2, 255])));
        let times = values.iter().find(|(kind, _)| *kind == libc::IFA_CACHEINFO).unwrap();
        assert_eq!(number(&times.1, 4), Some(62));
    }

    #[test]
    fn an_address_alone_on_its_network_has_no_broadcast() {
        for prefix in [31, 32] {
            let values = values(replace(2, [10, 0, 2, 15].into(), prefix, None));
            assert!(values.iter().all(|(kind, _)| *kind != libc::IFA_BROADCAST), "/{prefix}");
        }
    }

    #[test]
    fn only_usable_autoconfigured_addresses_are_noticed() {
        let address: IpAddr = "2001:db8::7".parse().unwrap();
        let (family, bytes) = octets(address);
        let word = |kind: u16, flags: u32, scope: u8| {
            let mut body = body(family, 64, 3);
            body[3] = scope;
            let request = Request::new(kind, 0, &body)
                .with(libc::IFA_ADDRESS, &bytes)
                .with(libc::IFA_FLAGS, &flags.to_ne_bytes());
            check(request, |message| parse(message.kind, message.body))
        };
        let notice = |flags, scope| word(libc::RTM_NEWADDR, flags, scope);
        for far in [libc::RT_SCOPE_UNIVERSE, libc::RT_SCOPE_SITE] {
            assert_eq!(notice(0, far), Some(Autoconfigured { index: 3, address, prefix: 64, there: true }));
        }
        // It goes in whatever state it was.
        let gone = Some(Autoconfigured { index: 3, address, prefix: 64, there: false });
        assert_eq!(word(libc::RTM_DELADDR, libc::IFA_F_DADFAILED, libc::RT_SCOPE_UNIVERSE), gone);
        assert_eq!(word(libc::RTM_DELADDR, 0, libc::RT_SCOPE_LINK), None);
        assert_eq!(notice(libc::IFA_F_TENTATIVE, 0), None);
        assert_eq!(notice(libc::IFA_F_PERMANENT, 0), None);
        assert_eq!(notice(0, libc::RT_SCOPE_LINK), None);
    }
}
