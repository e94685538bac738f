//! DNS messages as a server reads and writes them (RFC 1035 §4).

use crate::dns::read_name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// What a client without EDNS takes by UDP.
const SHORT: usize = 512;
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
/// Containers come and go.
const SECONDS: u32 = 5;

/// How an answer ends that holds no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The name exists; it has no such record.
    Nothing = 0,
    /// The question cannot be read.
    Malformed = 1,
    /// Nobody who could be asked answers.
    Failed = 2,
    /// There is no such name.
    NoName = 3,
    /// This client is not answered.
    Refused = 5,
}

/// What a question asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, lower case, without its last dot.
    pub name: String,
    /// The type of records.
    pub kind: Kind,
    /// Where the question's section ends.
    end: usize,
}

/// The types of records that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    V4,
    /// IPv6 addresses.
    V6,
    /// The name of an address.
    Pointer,
    /// Anything else.
    Other,
}

/// Reads a query; nothing when it is none with one question. There is nothing before its name to which that could point.
pub fn read(query: &[u8]) -> Option<Question> {
    let header = query.get(..HEADER)?;
    let plain = header[2] & 0xf8 == 0 && header[4..6] == [0, 1];
    let (name, length) = read_name(&query[HEADER..], 0)?;
    let at = HEADER + length;
    let number = |at: usize| Some(u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?));
    let kind = match number(at)? {
        A => Kind::V4,
        AAAA => Kind::V6,
        PTR => Kind::Pointer,
        _ => Kind::Other,
    };
    let internet = number(at + 2)? == 1;
    (plain && internet).then(|| Question { name: name.to_ascii_lowercase(), kind, end: at + 4 })
}

/// Whether what came answers this query: one question, and the same, the case of its letters aside.
pub fn answers(query: &[u8], answer: &[u8]) -> bool {
    let Some(end) = read(query).map(|question| question.end) else { return false };
    let (Some(asked), Some(own)) = (query.get(HEADER..end), answer.get(HEADER..end)) else { return false };
    let name = asked.len() - 4;
    answer[2] & 0x80 != 0
        && answer[4..6] == [0, 1]
        && own[..name].eq_ignore_ascii_case(&asked[..name])
        && own[name..] == asked[name..]
}

/// The answer to a query that holds these addresses; what does not fit is left out,
/// and the client told to ask by TCP.
pub fn addresses(query: &[u8], question: &Question, list: &[IpAddr], by_tcp: bool) -> Vec<u8> {
    let mut answer = head(query, question.end, Code::Nothing);
    for (count, address) in list.iter().enumerate() {
        let (kind, bytes) = match address {
            IpAddr::V4(v4) => (A, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AAAA, v6.octets().to_vec()),
        };
        if !by_tcp && answer.len() + HEADER + bytes.len() > SHORT {
            answer[2] |= 2; // truncated
            break;
        }
        record(&mut answer, kind, &bytes);
        answer[6..8].copy_from_slice(&(count as u16 + 1).to_be_bytes());
    }
    answer
}

/// The answer to a query that holds a name.
pub fn pointer(query: &[u8], question: &Question, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    let mut answer = head(query, question.end, Code::Nothing);
    record(&mut answer, PTR, &bytes);
    answer[7] = 1;
    answer
}

/// The answer to a query that holds nothing; nothing for what has no header.
pub fn nothing(query: &[u8], code: Code) -> Option<Vec<u8>> {
    let end = read(query).map_or(HEADER, |question| question.end);
    let question = query.get(..HEADER)?[2] & 0x80 == 0;
    question.then(|| head(query, end, code))
}

/// Header and question: an answer with authority, recursion as it was desired.
fn head(query: &[u8], end: usize, code: Code) -> Vec<u8> {
    let mut answer = query[..end].to_vec();
    answer[2] = 0x84 | query[2] & 0x79;
    answer[3] = 0x80 | code as u8;
    answer[4..HEADER].fill(0);
    answer[5] = u8::from(end > HEADER);
    answer
}

/// A record of the question's name.
fn record(answer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    answer.extend([0xc0, HEADER as u8]);
    answer.extend(kind.to_be_bytes());
    answer.extend([0, 1]);
    answer.extend(SECONDS.to_be_bytes());
    answer.extend((value.len() as u16).to_be_bytes());
    answer.extend(value);
}

/// The address that a name `….in-addr.arpa` or `….ip6.arpa` stands for.
pub fn reversed(name: &str) -> Option<IpAddr> {
    let address = match name.strip_suffix(".in-addr.arpa") {
        Some(digits) => {
            let bytes: Option<Vec<u8>> = digits.rsplit('.').map(|byte| byte.parse().ok()).collect();
            Ipv4Addr::from_octets(bytes?.try_into().ok()?).into()
        }
        None => {
            let digits: String = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
            Ipv6Addr::from_bits(u128::from_str_radix(&digits, 16).ok()?).into()
        }
    };
    (arpa(address) == name).then_some(address)
}

/// The one name that stands for an address (RFC 1035 §3.5, RFC 3596 §2.5).
pub fn arpa(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let digits = format!("{:032x}", v6.to_bits());
            let digits: String = digits.chars().rev().flat_map(|digit| [digit, '.']).collect();
            format!("{digits}ip6.arpa")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{self, Record};
    use crate::random::Random;

    fn query(name: &str) -> Vec<u8> {
        dns::question(7, name, Record::A).unwrap()
    }

    #[test]
    fn an_answer_reads_as_a_stub_resolver_reads_it() {
        let query = query("Web.bridge");
        let question = read(&query).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.bridge", Kind::V4));
        let list: Vec<IpAddr> = vec![[10, 210, 0, 2].into(), [10, 210, 0, 3].into()];
        let answer = addresses(&query, &question, &list, false);
        assert_eq!(dns::answer(&query, &answer), Some(list));
        let none = nothing(&query, Code::NoName).unwrap();
        assert_eq!(dns::answer(&query, &none), Some(Vec::new()));
    }

    #[test]
    fn what_does_not_fit_is_asked_for_by_tcp() {
        let query = query("many");
        let question = read(&query).unwrap();
        let list: Vec<IpAddr> = (0..100).map(|number| [10, 0, 0, number].into()).collect();
        let short = addresses(&query, &question, &list, false);
        assert!(short.len() <= SHORT && short[2] & 2 != 0);
        let whole = addresses(&query, &question, &list, true);
        assert_eq!(dns::answer(&query, &whole).map(|list| list.len()), Some(100));
        assert!(whole[2] & 2 == 0);
    }

    #[test]
    fn names_of_addresses_are_read_backwards() {
        assert_eq!(reversed("2.0.210.10.in-addr.arpa"), Some([10, 210, 0, 2].into()));
        let zeros = "0.".repeat(23);
        let expected: IpAddr = "fd00::2".parse().unwrap();
        assert_eq!(reversed(&format!("2.{zeros}0.0.0.0.0.0.d.f.ip6.arpa")), Some(expected));
        for name in [
            "web",
            "1.2.3.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "x.2.3.4.in-addr.arpa",
            "1.ip6.arpa",
            "+1.02.3.4.in-addr.arpa",
        ] {
            assert_eq!(reversed(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_query_is_none() {
        let mut answer = query("web");
        answer[2] |= 0x80;
        assert_eq!(read(&answer), None);
        assert_eq!(nothing(&answer, Code::Malformed), None, "two servers would never stop");
        assert_eq!(nothing(&[0; 5], Code::Malformed), None);
        let to_its_head = [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[0xc0, 6, 0, 1, 0, 1]].concat();
        assert_eq!(read(&to_its_head), None, "the answer's head is another");
        let mut random = Random::new(9);
        let whole = query("web.bridge");
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            if let Some(question) = read(&bytes) {
                assert!(addresses(&bytes, &question, &[[1; 4].into()], false).len() <= bytes.len() + 16);
            }
            let _ = nothing(&bytes, Code::Failed);
        }
    }
}
