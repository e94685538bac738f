//! What containers may ask about names, and servers may answer.

use crate::dns::{self, read_name};
use crate::serving::message::{self, Code, Kind, Question};
use std::net::IpAddr;

const HEADER: usize = 12;

/// A question that is understood is answered so that who asks takes it for its answer, and reads in it what
/// was meant; what is none gets no more than an error.
pub fn question(bytes: &[u8]) {
    for at in 0..bytes.len().min(40) {
        name(bytes, at);
    }
    let Some(question) = message::read(bytes) else {
        let answer = message::nothing(bytes, Code::Malformed);
        assert!(answer.is_none_or(|answer| answer.len() == HEADER && answer[2] & 0x80 != 0));
        return;
    };
    assert_eq!(message::read(bytes).as_ref(), Some(&question), "the second time");
    for code in [Code::Nothing, Code::Failed, Code::NoName, Code::Refused] {
        let answer = message::nothing(bytes, code).expect("a question has an answer");
        assert!(message::answers(bytes, &answer) && message::read(&answer).is_none());
        assert_eq!(answer[3] & 0xf, code as u8);
    }
    if let Some(address) = message::reversed(&question.name) {
        assert_eq!(message::arpa(address), question.name);
    }
    addresses(bytes, &question);
    let answer = message::pointer(bytes, &question, "web.bridge");
    assert!(message::answers(bytes, &answer));
    let value = answer.len() - 12;
    assert_eq!(read_name(&answer, value), Some(("web.bridge".to_owned(), answer.len())));
}

/// Few addresses come by UDP, all of them by TCP, and a stub resolver reads them.
fn addresses(bytes: &[u8], question: &Question) {
    let list: Vec<IpAddr> = (0..100_u8)
        .filter_map(|number| match question.kind {
            Kind::V4 => Some([10, 0, 0, number].into()),
            Kind::V6 => Some([0xfd00, 0, 0, 0, 0, 0, 0, number.into()].into()),
            Kind::Pointer | Kind::Other => None,
        })
        .collect();
    for by_tcp in [false, true] {
        let answer = message::addresses(bytes, question, &list, by_tcp);
        assert!(message::answers(bytes, &answer));
        let end = read_name(bytes, HEADER).map(|(_, at)| at + 4).expect("it was read");
        let read = dns::answer(&bytes[..end], &answer).expect("an answer");
        let all = read.len() == list.len();
        assert!(list.starts_with(&read) && (answer[2] & 2 == 0) == all && (all || !by_tcp));
        assert!(by_tcp || answer.len() <= 512, "{} bytes", answer.len());
    }
}

/// The name at a place is what a reading gives that only counts its steps.
fn name(bytes: &[u8], at: usize) {
    let read = read_name(bytes, at);
    let Some((labels, end, backwards)) = labels(bytes, at) else { return assert_eq!(read, None) };
    let length = labels.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
    let text = |label: &&[u8]| label.iter().map(|&byte| char::from(byte)).collect::<String>();
    let name = labels.iter().map(text).collect::<Vec<_>>().join(".");
    let good = backwards && length <= 255;
    assert_eq!(read, good.then_some((name, end)));
}

/// Labels, where what follows begins, and whether each pointer leads before what it was found behind.
fn labels(bytes: &[u8], mut at: usize) -> Option<(Vec<&[u8]>, usize, bool)> {
    let (mut labels, mut end, mut starts) = (Vec::new(), None, vec![at]);
    for _ in 0..1000 {
        match usize::from(*bytes.get(at)?) {
            0 => {
                let backwards = starts.windows(2).all(|pair| pair[1] < pair[0]);
                return Some((labels, end.unwrap_or(at + 1), backwards));
            }
            length @ 1..64 => {
                labels.push(bytes.get(at + 1..at + 1 + length)?);
                at += 1 + length;
            }
            high @ 192.. => {
                end.get_or_insert(at + 2);
                at = (high & 63) * 256 + usize::from(*bytes.get(at + 1)?);
                starts.push(at);
            }
            _ => return None,
        }
    }
    None
}

/// A list of names is one of names that a host may have; written anew it is the same. So are the answers that
/// a stub resolver gets: addresses that stand in them.
pub fn names(bytes: &[u8]) {
    if let Some(names) = dns::names(bytes) {
        let mut again = Vec::new();
        for name in &names {
            assert!(dns::plain(name) && name.parse::<IpAddr>().is_err(), "{name:?}");
            for label in name.split('.') {
                again.push(label.len() as u8);
                again.extend(label.bytes());
            }
            again.push(0);
        }
        assert_eq!(dns::names(&again), Some(names));
    }
    for record in [dns::Record::A, dns::Record::Aaaa] {
        let asked = dns::question(7, "a.example.org", record).expect("a name");
        let mut answer = asked.clone();
        answer[2] |= 0x80;
        answer[6..8].copy_from_slice(&[1, 0]);
        answer.extend(bytes);
        let found = dns::answer(&asked, &answer).expect("an answer");
        for address in found {
            let own = match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            assert_eq!(own.len() == 4, record == dns::Record::A, "{address} for {record:?}");
            assert!(bytes.windows(own.len()).any(|part| part == own), "{address}");
        }
    }
}
