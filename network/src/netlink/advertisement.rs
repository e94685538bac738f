//! What routers advertise and the kernel leaves to programs: name servers and
//! domains to search (RFC 8106), in `RTM_NEWNDUSEROPT` notices.

use crate::dns;
use std::net::Ipv6Addr;
use std::time::Duration;
use sys::netlink::wire::number;

/// `RTM_NEWNDUSEROPT`, which a notice is.
pub const NEW: u16 = 68;
/// `struct nduseroptmsg`: family, pad, length of options (2), interface (4),
/// ICMP type, code, pads (6).
const BODY: usize = 16;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SERVERS: u8 = 25;
const DOMAINS: u8 = 31;
/// Type, length, reserved (2), lifetime (4), in front of an option's list.
const OPTION: usize = 8;

/// One option of an advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// The interface it came on.
    pub index: u32,
    /// How long it holds; zero withdraws it.
    pub lifetime: Duration,
    /// Name servers.
    pub dns: Vec<Ipv6Addr>,
    /// Domains to search.
    pub search: Vec<String>,
}

/// Reads a notice: an entry per option in it.
pub fn parse(kind: u16, body: &[u8]) -> Vec<Advertisement> {
    let (Some(index), Some(&icmp), Some(options)) = (number(body, 4), body.get(8), body.get(BODY..)) else {
        return Vec::new();
    };
    let length = usize::from(u16::from_ne_bytes([body[2], body[3]]));
    if kind != NEW || icmp != ROUTER_ADVERTISEMENT {
        return Vec::new();
    }
    parts(options.get(..length).unwrap_or_default()).filter_map(|option| read(index, option)).collect()
}

/// Options are counted in units of eight bytes.
fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = usize::from(*bytes.get(1)?) * 8;
        let (option, rest) = bytes.split_at_checked(length).filter(|(option, _)| !option.is_empty())?;
        bytes = rest;
        Some(option)
    })
}

fn read(index: u32, option: &[u8]) -> Option<Advertisement> {
    let seconds = u32::from_be_bytes(option.get(4..OPTION)?.try_into().ok()?);
    let list = &option[OPTION..];
    let (dns, search) = match option[0] {
        SERVERS => (list.as_chunks().0.iter().copied().map(Ipv6Addr::from_octets).collect(), Vec::new()),
        DOMAINS => (Vec::new(), dns::names(list)?),
        _ => return None,
    };
    Some(Advertisement { index, lifetime: Duration::from_secs(seconds.into()), dns, search })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn notice(options: &[u8]) -> Vec<u8> {
        let mut body = vec![0; BODY];
        body[0] = libc::AF_INET6 as u8;
        body[2..4].copy_from_slice(&(options.len() as u16).to_ne_bytes());
        body[4..8].copy_from_slice(&3_u32.to_ne_bytes());
        body[8] = ROUTER_ADVERTISEMENT;
        body.extend(options);
        body
    }

    fn servers() -> Vec<u8> {
        let mut option = vec![SERVERS, 3, 0, 0, 0, 0, 1, 0];
        option.extend("2001:db8::53".parse::<Ipv6Addr>().unwrap().octets());
        option
    }

    #[test]
    fn servers_and_domains_are_read_with_their_lifetime() {
        let mut options = servers();
        options.extend([DOMAINS, 2, 0, 0, 0, 0, 0, 9]);
        options.extend(b"\x03lan\x00\0\0\0");
        let expected = Advertisement {
            index: 3,
            lifetime: Duration::from_secs(256),
            dns: vec!["2001:db8::53".parse().unwrap()],
            search: Vec::new(),
        };
        let domains = Advertisement {
            lifetime: Duration::from_secs(9),
            dns: Vec::new(),
            search: vec!["lan".into()],
            ..expected.clone()
        };
        assert_eq!(parse(NEW, &notice(&options)), [expected, domains]);
    }

    #[test]
    fn malformed_options_are_left_out() {
        assert_eq!(parse(NEW, &notice(&[SERVERS, 0, 0, 0, 0, 0, 1, 0])), [], "a length of zero");
        assert_eq!(parse(NEW, &notice(&[SERVERS, 9, 0, 0, 0, 0, 1, 0])), [], "longer than the notice");
        assert_eq!(parse(NEW, &[]), []);
        let mut random = Random::new(2);
        for _ in 0..20_000 {
            let mut body = notice(&servers());
            for _ in 0..3 {
                let at = random.below(body.len() as u64) as usize;
                body[at] = random.next() as u8;
            }
            body.truncate(random.below(body.len() as u64 + 1) as usize);
            assert!(parse(NEW, &body).len() <= 3);
        }
    }
}
