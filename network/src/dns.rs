//! A stub resolver's share of DNS (RFC 1035): one question, its answer.
//!
//! The time servers' names are all that is asked for, because a static glibc
//! cannot load the modules that its own resolver is made of. No cache, no TCP:
//! of a truncated answer what came is used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
const CNAME: u16 = 5;
/// Longest name on the wire.
const LONGEST_NAME: usize = 255;

/// The type of the records that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses.
    Aaaa = 28,
}

/// Whether a name is made of labels that a host or domain may have.
pub fn plain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
    };
    name.len() <= LONGEST_NAME - 2 && name.split('.').all(label)
}

/// The bytes that ask for a name's addresses; nothing when it is no name.
pub fn question(id: u16, name: &str, record: Record) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if !plain(name) {
        return None;
    }
    let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
    bytes.extend(id.to_be_bytes());
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]); // recursion desired, one question
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, record as u8, 0, 1]);
    Some(bytes)
}

/// The addresses in an answer to `question`, none when the name has none or the
/// server could not tell; nothing when the bytes are no answer to it.
pub fn answer(question: &[u8], bytes: &[u8]) -> Option<Vec<IpAddr>> {
    let header = bytes.get(..HEADER)?;
    let is_reply = header[2] & 0x80 != 0;
    let asked = bytes.get(HEADER..question.len())?;
    if !is_reply || header[..2] != question[..2] || !asked.eq_ignore_ascii_case(&question[HEADER..]) {
        return None;
    }
    let code = header[3] & 0xf;
    let count = u16::from_be_bytes([header[6], header[7]]);
    Some(if code == 0 { records(question, bytes, count) } else { Vec::new() })
}

/// The asked type's records of the asked name or of what it is an alias of.
fn records(question: &[u8], bytes: &[u8], count: u16) -> Vec<IpAddr> {
    let wanted = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    let mut owner = read_name(question, HEADER).map(|(name, _)| name).unwrap_or_default();
    let mut addresses = Vec::new();
    let mut at = question.len();
    for _ in 0..count {
        let Some((name, kind, value, next)) = read_record(bytes, at) else { break };
        if name.eq_ignore_ascii_case(&owner) {
            if kind == CNAME {
                owner = read_name(bytes, next - value.len()).map(|(name, _)| name).unwrap_or_default();
            } else if kind == wanted {
                addresses.extend(address(kind, value));
            }
        }
        at = next;
    }
    addresses
}

fn address(kind: u16, value: &[u8]) -> Option<IpAddr> {
    if kind == Record::A as u16 {
        Some(Ipv4Addr::from_octets(value.try_into().ok()?).into())
    } else {
        Some(Ipv6Addr::from_octets(value.try_into().ok()?).into())
    }
}

/// Owner, type and value of the record at an offset, and where the next begins.
fn read_record(bytes: &[u8], at: usize) -> Option<(String, u16, &[u8], usize)> {
    let (name, at) = read_name(bytes, at)?;
    let fixed = bytes.get(at..at + 10)?;
    let length = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let value = bytes.get(at + 10..at + 10 + length)?;
    Some((name, u16::from_be_bytes([fixed[0], fixed[1]]), value, at + 10 + length))
}

/// The names of a list, one after the other (RFC 3397, RFC 8106 §5.2); nothing when one of
/// them is malformed, or an address.
pub fn names(bytes: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (name, next) = read_name(bytes, at)?;
        if !name.is_empty() {
            let is_name = plain(&name) && name.parse::<Ipv4Addr>().is_err();
            names.push(is_name.then_some(name)?);
        }
        at = next;
    }
    Some(names)
}

/// The name at an offset, without its last dot, and where what follows it begins.
///
/// A pointer must point before the labels it was found behind, so that no loop
/// can be made.
pub fn read_name(bytes: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut end = None;
    let mut before = at;
    let mut on_the_wire = 1;
    loop {
        match *bytes.get(at)? {
            0 => return Some((name, end.unwrap_or(at + 1))),
            length @ 1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.extend(label.iter().map(|&byte| char::from(byte)));
                at += 1 + label.len();
                on_the_wire += 1 + label.len();
            }
            high @ 0xc0.. => {
                let target = usize::from(high & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                end.get_or_insert(at + 2);
                if target >= before {
                    return None;
                }
                (at, before) = (target, target);
            }
            _ => return None,
        }
        if on_the_wire > LONGEST_NAME {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// An answer with these records after the question: owner, type, value.
    fn reply(question: &[u8], records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] |= 0x80;
        bytes[7] = records.len() as u8;
        for (owner, kind, value) in records {
            bytes.extend(*owner);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1, 0, 0, 0, 60]);
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    const ASKED: &[u8] = &[0xc0, 12];

    #[test]
    fn an_answer_gives_the_names_addresses() {
        let question = question(7, "time.example.org.", Record::A).unwrap();
        let bytes = reply(&question, &[(ASKED, 1, &[192, 0, 2, 1]), (ASKED, 1, &[192, 0, 2, 2])]);
        let expected: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(answer(&question, &bytes), Some(expected));
    }

    #[test]
    fn aliases_are_followed_and_strangers_are_not_believed() {
        let question = question(7, "a.org", Record::A).unwrap();
        let bytes = reply(
            &question,
            &[
                (ASKED, CNAME, b"\x01b\xc0\x0e"),
                (b"\x01b\x03org\x00", 1, &[192, 0, 2, 1]),
                (b"\x01c\x03org\x00", 1, &[6, 6, 6, 6]),
                (ASKED, 28, &[1; 16]),
            ],
        );
        assert_eq!(answer(&question, &bytes), Some(vec![[192, 0, 2, 1].into()]));
    }

    #[test]
    fn an_address_of_another_length_is_none() {
        let question = question(7, "a.org", Record::Aaaa).unwrap();
        let bytes = reply(&question, &[(ASKED, 28, &[6, 6, 6, 6]), (ASKED, 28, &[1; 16])]);
        assert_eq!(answer(&question, &bytes), Some(vec![Ipv6Addr::from_octets([1; 16]).into()]));
    }

    #[test]
    fn a_failure_is_an_answer_without_addresses() {
        let question = question(7, "a.org", Record::Aaaa).unwrap();
        let mut bytes = reply(&question, &[]);
        bytes[3] |= 3;
        assert_eq!(answer(&question, &bytes), Some(Vec::new()));
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let ours = question(7, "a.org", Record::A).unwrap();
        assert_eq!(answer(&ours, &ours), None, "the question itself");
        let others = [
            question(8, "a.org", Record::A),
            question(7, "b.org", Record::A),
            question(7, "a.org", Record::Aaaa),
        ];
        for other in others {
            assert_eq!(answer(&ours, &reply(&other.unwrap(), &[])), None);
        }
    }

    #[test]
    fn names_that_point_in_circles_end() {
        let mut bytes = vec![0; 40];
        bytes[12..14].copy_from_slice(&[0xc0, 12]);
        assert_eq!(read_name(&bytes, 12), None, "to itself");
        bytes[12..16].copy_from_slice(&[0xc0, 14, 0xc0, 12]);
        assert_eq!(read_name(&bytes, 12), None, "forwards");
        assert_eq!(read_name(&bytes, 14), None, "to and fro");
        bytes[12..16].copy_from_slice(&[1, b'a', 0xc0, 12]);
        assert_eq!(read_name(&bytes, 12), None, "to its own beginning");
        let long: Vec<u8> =
            [63_u8].iter().chain(&[b'x'; 63]).copied().cycle().take(64 * 5).chain([0]).collect();
        assert_eq!(read_name(&long, 0), None, "longer than a name may be");
    }

    #[test]
    fn a_name_is_as_long_as_it_is_on_the_wire() {
        let name = |lengths: [usize; 4], byte: u8| {
            let label = |length: usize| [vec![length as u8], vec![byte; length]].concat();
            [lengths.map(label).concat(), vec![0]].concat()
        };
        let longest = |byte| read_name(&name([63, 63, 63, 61], byte), 0).map(|(_, end)| end);
        assert_eq!((longest(b'x'), longest(0xe4)), (Some(255), Some(255)));
        assert_eq!(read_name(&name([63, 63, 63, 62], b'x'), 0), None);
    }

    #[test]
    fn a_domain_that_is_an_address_is_none() {
        assert_eq!(names(b"\x0210\x010\x010\x011\0"), None, "it would be read back as a name server");
        assert_eq!(names(b"\x0210\x010\x010\0"), Some(vec!["10.0.0".into()]));
    }

    #[test]
    fn names_that_no_host_can_have_are_not_asked_for() {
        for name in ["", ".", "a..b", "a b", "a\nb", &"x".repeat(64), &"ab.".repeat(100)] {
            assert_eq!(question(1, name, Record::A), None, "{name:?}");
        }
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut random = Random::new(5);
        let question = question(7, "a.org", Record::A).unwrap();
        let whole =
            reply(&question, &[(ASKED, CNAME, b"\x01b\xc0\x0e"), (b"\x01b\x03org\x00", 1, &[192, 0, 2, 1])]);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..random.below(5) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            assert!(answer(&question, &bytes).is_none_or(|addresses| addresses.len() <= 2));
            names(&bytes);
        }
    }
}
