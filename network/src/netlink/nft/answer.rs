//! What the kernel lists of nftables.

use super::message::{Element, LAST_KEY};
use super::{LIST_ELEMENT, SUBSYSTEM, Table};
use sys::netlink::wire::attributes;

const TABLE: u16 = SUBSYSTEM;
const CHAIN: u16 = SUBSYSTEM | 3;
const RULE: u16 = SUBSYSTEM | 6;
const ELEMENTS: u16 = SUBSYSTEM | 12;
const GENERATION: u16 = SUBSYSTEM | 15;
/// Family, version, resource.
const BODY: usize = 4;
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// The comment of a table, when it is this one.
pub fn comment(kind: u16, body: &[u8], table: Table) -> Option<String> {
    let inside = body.get(BODY..)?;
    let same = kind == TABLE && body[0] == table.family && words(find(inside, 1)?) == table.name;
    same.then(|| find(inside, 6).and_then(|note| note.get(2..)).map(words).unwrap_or_default())
}

/// The table and name of a chain that drops forwarded packets unless one of its
/// rules says otherwise.
pub fn dropping_chain(kind: u16, body: &[u8]) -> Option<(String, String)> {
    let inside = body.get(BODY..)?;
    let hook = find(inside, 4)?;
    let drops = number(find(hook, 1)?)? == FORWARD && number(find(inside, 5)?)? == DROP;
    (kind == CHAIN && drops).then_some((words(find(inside, 1)?), words(find(inside, 3)?)))
}

/// The chain of a rule.
pub fn rule(kind: u16, body: &[u8]) -> Option<String> {
    let inside = body.get(BODY..)?;
    (kind == RULE).then_some(words(find(inside, 2)?))
}

/// How often nftables has been changed.
pub fn generation(kind: u16, body: &[u8]) -> Option<u32> {
    let inside = body.get(BODY..)?;
    (kind == GENERATION).then_some(number(find(inside, 1)?)?)
}

/// The elements in one message of a list.
pub fn elements(kind: u16, body: &[u8]) -> Vec<Element> {
    let list = body.get(BODY..).and_then(|inside| find(inside, 3)).unwrap_or_default();
    let each = attributes(list).filter(|(number, _)| kind == ELEMENTS && *number == LIST_ELEMENT);
    each.filter_map(|(_, value)| element(value)).collect()
}

fn element(inside: &[u8]) -> Option<Element> {
    let value = |kind| find(inside, kind).and_then(|data| find(data, 1)).map(<[u8]>::to_vec);
    let chain = || find(find(find(inside, 2)?, 2)?, 2).map(|name| words(name).into_bytes());
    let end = find(inside, 3).and_then(number).is_some_and(|flags| flags & 1 != 0);
    Some(Element {
        key: value(1)?,
        data: value(2).or_else(chain).or_else(|| value(LAST_KEY)).unwrap_or_default(),
        end,
    })
}

fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::message;
    use super::*;
    use crate::random::Random;
    use sys::netlink::wire::{Request, messages};

    fn sent(request: Request) -> (u16, Vec<u8>) {
        let bytes = request.finish(1);
        let message = messages(&bytes).next().unwrap();
        (message.kind, message.body.to_vec())
    }

    fn some() -> Vec<Element> {
        let pair = |key: u8, data: &[u8], end| Element { key: vec![key; 4], data: data.to_vec(), end };
        vec![pair(1, &[7; 8], false), pair(2, &[], true)]
    }

    #[test]
    fn elements_read_back_as_they_were_written() {
        let mut requests = message::add_elements(Table::inet("t"), &message::Shape::set("s", &[]), &some());
        let (kind, body) = sent(requests.remove(0));
        assert!(requests.is_empty());
        assert_eq!(elements(kind, &body), some());
    }

    #[test]
    fn a_verdicts_element_reads_back_with_its_chain() {
        let shape = message::Shape { verdicts: true, ..message::Shape::set("s", &[]) };
        let element = Element { key: vec![1; 4], data: b"pick-3".to_vec(), end: false };
        let (kind, body) =
            sent(message::add_elements(Table::inet("t"), &shape, std::slice::from_ref(&element)).remove(0));
        assert_eq!(elements(kind, &body), [element]);
    }

    #[test]
    fn a_range_reads_back_with_its_last_key() {
        let shape = message::Shape { ranges: true, ..message::Shape::set("s", &[]) };
        let element = Element { key: vec![1; 8], data: vec![2; 8], end: false };
        let (kind, body) =
            sent(message::add_elements(Table::inet("t"), &shape, std::slice::from_ref(&element)).remove(0));
        assert_eq!(elements(kind, &body), [element]);
    }

    #[test]
    fn many_elements_go_into_several_messages() {
        let many: Vec<Element> = (0..5000_u32)
            .map(|number| Element { key: number.to_be_bytes().to_vec(), data: vec![1; 20], end: false })
            .collect();
        let requests = message::add_elements(Table::inet("t"), &message::Shape::set("s", &[]), &many);
        assert!(requests.len() > 1);
        let read: Vec<Element> = requests
            .into_iter()
            .flat_map(|request| {
                let (kind, body) = sent(request);
                elements(kind, &body)
            })
            .collect();
        assert_eq!(read, many);
        assert!(message::add_elements(Table::inet("t"), &message::Shape::set("s", &[]), &[]).is_empty());
    }

    #[test]
    fn a_table_tells_its_comment() {
        let (kind, body) = sent(message::table(Table::inet("skerry"), "version 1"));
        assert_eq!(comment(kind, &body, Table::inet("skerry")).as_deref(), Some("version 1"));
        for other in [Table::inet("other"), Table::bridge("skerry")] {
            assert_eq!(comment(kind, &body, other), None);
        }
    }

    #[test]
    fn only_a_forward_chain_whose_policy_is_drop_is_told() {
        let hook = |number| message::Hook { kind: "filter", number, priority: 0 };
        let chain = |number, policy: u32| {
            let request = message::chain(Table::inet("filter"), "FORWARD", Some(hook(number)));
            let (kind, body) = sent(request.with(5, &policy.to_be_bytes()));
            dropping_chain(kind, &body)
        };
        assert_eq!(chain(2, 0), Some(("filter".into(), "FORWARD".into())));
        assert_eq!(chain(2, 1), None, "accepts");
        assert_eq!(chain(1, 0), None, "input");
        let (kind, body) = sent(message::chain(Table::inet("filter"), "x", None));
        assert_eq!(dropping_chain(kind, &body), None);
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut random = Random::new(3);
        let (_, whole) =
            sent(message::add_elements(Table::inet("t"), &message::Shape::set("s", &[]), &some()).remove(0));
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..3 {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            bytes.truncate(random.below(bytes.len() as u64 + 1) as usize);
            assert!(elements(ELEMENTS, &bytes).len() <= 2);
            let _ = (comment(TABLE, &bytes, Table::inet("t")), dropping_chain(CHAIN, &bytes));
            let _ = (rule(RULE, &bytes), generation(GENERATION, &bytes));
        }
    }
}
