//! What is asked of nftables.

use super::expression::{Verdict, decision};
use super::{LIST_ELEMENT, SUBSYSTEM, Table, family, text};
use sys::netlink::wire::{Nest, Request};

const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const DELETE_CHAIN: u16 = SUBSYSTEM | 5;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const DELETE_SET: u16 = SUBSYSTEM | 11;
const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
const GET_ELEMENTS: u16 = SUBSYSTEM | 13;
const DELETE_ELEMENTS: u16 = SUBSYSTEM | 14;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = (libc::NLM_F_CREATE | libc::NLM_F_APPEND) as u16;

const SET_INTERVAL: u32 = 4;
const SET_MAP: u32 = 8;
const SET_TIMEOUT: u32 = 0x10;
const SET_CONCATENATED: u32 = 0x80;
/// Rules write to it.
const SET_EVAL: u32 = 0x20;
/// Tells nft(8) that keys are in the host's order: type 0, length, 1.
const HOST_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];
const ELEMENT_END: u32 = 1;
/// `NFTA_SET_ELEM_KEY_END`
pub const LAST_KEY: u16 = 10;

/// A list of elements is one attribute, whose length has two bytes.
const MOST_BYTES: usize = 32 * 1024;

/// A request about a table or what is in it: its name is the first attribute of each.
fn of(table: Table, kind: u16, flags: u16) -> Request {
    Request::new(kind, flags, &family(table.family)).with(1, &text(table.name))
}

/// Makes a table, with a comment that nft(8) shows; that it is there is no error.
pub fn table(table: Table, comment: &str) -> Request {
    const USER_DATA: u16 = 6;
    // libnftnl's form of a table's user data: type 0 (comment), length, text.
    let note = [&[0, comment.len() as u8 + 1], comment.as_bytes(), b"\0"].concat();
    of(table, NEW_TABLE, CREATE).with(USER_DATA, &note)
}

/// Takes a table away with everything in it.
pub fn delete_table(table: Table) -> Request {
    of(table, DELETE_TABLE, 0)
}

/// Where a chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// `NF_INET_*`, or `NF_BR_*` in a table of bridges.
    pub number: u32,
    /// Lower ones are called first.
    pub priority: i32,
}

/// Makes a chain; one without a hook is jumped to.
pub fn chain(table: Table, name: &str, hook: Option<Hook>) -> Request {
    let request = of(table, NEW_CHAIN, CREATE).with(3, &text(name));
    let Some(hook) = hook else { return request };
    let place = Nest::new().with(1, &hook.number.to_be_bytes()).with(2, &hook.priority.to_be_bytes());
    request.with_nest(4, &place).with(7, &text(hook.kind))
}

/// Takes a chain's rules away.
pub fn flush_chain(table: Table, name: &str) -> Request {
    of(table, DELETE_RULE, 0).with(2, &text(name))
}

/// Takes a chain without rules away. Nothing may lead to it.
pub fn delete_chain(table: Table, name: &str) -> Request {
    of(table, DELETE_CHAIN, 0).with(3, &text(name))
}

/// Takes a set away that no rule names.
pub fn delete_set(table: Table, name: &str) -> Request {
    of(table, DELETE_SET, 0).with(2, &text(name))
}

/// Adds a rule to a chain's end.
pub fn rule(table: Table, chain: &str, expressions: &[Nest]) -> Request {
    let list = expressions.iter().fold(Nest::new(), |list, one| list.with_nest(LIST_ELEMENT, one));
    of(table, NEW_RULE, APPEND).with(2, &text(chain)).with_nest(4, &list)
}

/// The type of a field of a key or of what it is mapped to, as nft(8) numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// An IPv4 address.
    V4,
    /// An IPv6 address.
    V6,
    /// TCP or UDP.
    Protocol,
    /// A port.
    Port,
    /// An interface's name.
    Interface,
    /// A number in the host's order.
    Number,
    /// A hardware address.
    Mac,
}

impl Field {
    /// Its bytes without what it is padded with.
    fn bytes(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Mac => 6,
            other => other.number_and_length().1,
        }
    }

    fn number_and_length(self) -> (u32, u32) {
        match self {
            Self::V4 => (7, 4),
            Self::V6 => (8, 16),
            Self::Protocol => (12, 4), // padded to a register
            Self::Port => (13, 4),
            Self::Interface => (41, 16),
            Self::Number => (19, 4), // as a mark, which is one
            Self::Mac => (9, 8),
        }
    }
}

/// The shape of a set, or of a map when it has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its keys consist of.
    pub key: &'static [Field],
    /// What they are mapped to.
    pub data: &'static [Field],
    /// Keys come in pairs: from the first to before the last.
    pub interval: bool,
    /// Rules write to it, for a time; at most so many elements.
    pub remembers: Option<u32>,
    /// Keys are mapped to verdicts.
    pub verdicts: bool,
    /// Each field of a key is from one to another.
    pub ranges: bool,
}

impl<'a> Shape<'a> {
    /// A set.
    pub const fn set(name: &'a str, key: &'static [Field]) -> Self {
        Self::map(name, key, &[])
    }

    /// A map.
    pub const fn map(name: &'a str, key: &'static [Field], data: &'static [Field]) -> Self {
        Self { name, key, data, interval: false, remembers: None, verdicts: false, ranges: false }
    }

    /// A set of intervals.
    pub const fn intervals(name: &'a str, key: &'static [Field]) -> Self {
        Self { interval: true, ..Self::set(name, key) }
    }
}

/// Makes a set. `id` is its number within the batch, which the kernel wants.
pub fn set(table: Table, shape: &Shape<'_>, id: u32) -> Request {
    let map = if shape.data.is_empty() && !shape.verdicts { 0 } else { SET_MAP };
    let remembers = shape.remembers.map_or(0, |_| SET_EVAL | SET_TIMEOUT);
    let interval = if shape.interval || shape.ranges { SET_INTERVAL } else { 0 };
    let flags = map | remembers | interval | if shape.ranges { SET_CONCATENATED } else { 0 };
    let (key_type, key_length) = composed(shape.key);
    let mut request = of(table, NEW_SET, CREATE)
        .with(2, &text(shape.name))
        .with(3, &flags.to_be_bytes())
        .with(4, &key_type.to_be_bytes())
        .with(5, &key_length.to_be_bytes())
        .with(10, &id.to_be_bytes());
    if shape.key == [Field::Interface] {
        request = request.with(13, &HOST_ORDER);
    }
    if shape.ranges {
        let length = |field: &Field| Nest::new().with(1, &field.bytes().to_be_bytes());
        let lengths = shape.key.iter().map(length);
        let list = lengths.fold(Nest::new(), |list, one| list.with_nest(LIST_ELEMENT, &one));
        request = request.with_nest(9, &Nest::new().with_nest(2, &list));
    }
    if let Some(most) = shape.remembers {
        request = request.with_nest(9, &Nest::new().with(1, &most.to_be_bytes()));
    }
    if shape.verdicts {
        const VERDICTS: u32 = 0xffff_ff00;
        request = request.with(6, &VERDICTS.to_be_bytes());
    } else if map != 0 {
        let (data_type, data_length) = composed(shape.data);
        request = request.with(6, &data_type.to_be_bytes()).with(7, &data_length.to_be_bytes());
    }
    request
}

/// Types of several fields are shifted by six bits each.
fn composed(fields: &[Field]) -> (u32, u32) {
    fields.iter().fold((0, 0), |(kind, length), field| {
        let (number, bytes) = field.number_and_length();
        (kind << 6 | number, length + bytes)
    })
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its key, each field padded to four bytes.
    pub key: Vec<u8>,
    /// What it is mapped to, for a verdict the name of the chain that is jumped to; the last key, in a set of
    /// ranges; empty in others.
    pub data: Vec<u8>,
    /// The first key behind an interval.
    pub end: bool,
}

/// Adds elements, in as many messages as they need.
pub fn add_elements(table: Table, set: &Shape<'_>, elements: &[Element]) -> Vec<Request> {
    let each = elements.iter().map(|element| described(element, set, data(element, set)));
    lists(NEW_ELEMENTS, CREATE, table, set.name, each)
}

/// Removes elements; one that is not there is an error.
pub fn delete_elements(table: Table, set: &Shape<'_>, elements: &[Element]) -> Vec<Request> {
    lists(DELETE_ELEMENTS, 0, table, set.name, elements.iter().map(|element| described(element, set, None)))
}

fn lists(
    kind: u16,
    flags: u16,
    table: Table,
    set: &str,
    elements: impl Iterator<Item = Nest>,
) -> Vec<Request> {
    let mut lists = vec![Nest::new()];
    for element in elements {
        if lists.last().is_some_and(|list| list.len() > MOST_BYTES) {
            lists.push(Nest::new());
        }
        let list = lists.pop().unwrap_or_default();
        lists.push(list.with_nest(LIST_ELEMENT, &element));
    }
    let request = |list: &Nest| of(table, kind, flags).with(2, &text(set)).with_nest(3, list);
    lists.iter().filter(|list| !list.is_empty()).map(request).collect()
}

/// What an element is mapped to.
fn data(element: &Element, set: &Shape<'_>) -> Option<Nest> {
    match set.verdicts {
        _ if element.data.is_empty() || set.ranges => None,
        true => Some(decision(Verdict::Jump(&String::from_utf8_lossy(&element.data)))),
        false => Some(Nest::new().with(1, &element.data)),
    }
}

fn described(element: &Element, set: &Shape<'_>, data: Option<Nest>) -> Nest {
    let value = |bytes: &[u8]| Nest::new().with(1, bytes);
    let mut nest = Nest::new().with_nest(1, &value(&element.key));
    if let Some(data) = data {
        nest = nest.with_nest(2, &data);
    }
    if set.ranges {
        nest = nest.with_nest(LAST_KEY, &value(&element.data));
    }
    if element.end {
        nest = nest.with(3, &ELEMENT_END.to_be_bytes());
    }
    nest
}

/// Asks for every table.
pub fn list_tables() -> Request {
    Request::new(GET_TABLE, 0, &family(0))
}

/// Asks for every chain of every family.
pub fn list_chains() -> Request {
    Request::new(GET_CHAIN, 0, &family(0))
}

/// Asks for a table's rules.
pub fn list_rules(table: Table) -> Request {
    of(table, GET_RULE, 0)
}

/// Asks how often nftables has been changed.
pub fn generation() -> Request {
    Request::new(GET_GENERATION, 0, &family(0))
}

/// Asks for a set's elements.
pub fn list_elements(table: Table, set: &str) -> Request {
    of(table, GET_ELEMENTS, 0).with(2, &text(set))
}

/// Changes of which all are done at once or none.
pub fn batch(changes: Vec<Request>) -> Vec<Request> {
    [vec![batch_edge(false)], changes, vec![batch_edge(true)]].concat()
}

/// The message before a batch, and with `end` the one behind it.
fn batch_edge(end: bool) -> Request {
    const BEGIN: u16 = 16;
    let kind = if end { BEGIN + 1 } else { BEGIN };
    Request::new(kind, 0, &[0, 0, 0, (SUBSYSTEM >> 8) as u8])
}
