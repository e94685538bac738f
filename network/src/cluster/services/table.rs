//! Our table of nftables, `inet skerry-services`. Its rules never change but for chains that are there for each number
//! of endpoints; what Services come and go with are elements of its maps.
//!
//! ```text
//! prerouting, output    nat      who may not come is dropped; who comes from a pod → common; from this node → masked; from elsewhere → outside
//! outside                        direct, then who is left → masked
//! common, masked                 a client that is kept goes where it went; else by `pick-N` to one of so many, or to
//!                                the only one there is. The masked are marked: no endpoint answers them directly
//! postrouting, input    nat      where a client got is written down by `keep-SECONDS`
//! postrouting           nat      who is marked gets the node's address
//! forward, output, input filter  a front without endpoints is refused, and what is no Service's port of its address;
//!                                what is for an address that no Service has is dropped
//!
//! count4, direct-count4          front : pick-N, where there are several, or `silence`, where all are other nodes' and
//!                                may not be led to
//! ends4, direct-ends4            front . number : endpoint, counted from 0
//! sticky4                        front : keep-SECONDS
//! kept4                          front . client : endpoint, for so many seconds
//! guarded4, allowed4             fronts that are not for everybody; those with clients
//! refused4, dropped4             fronts
//! addresses4                     Services' addresses in the cluster
//! ranges4                        where such addresses are: nobody else's are answered
//! pods4                          the cluster's pods
//! ```
//!
//! A front is an address, 0 for all of the node's, a protocol and a port. Everything is there for IPv6, too. No rule
//! looks up what it has found in another map: nft(8), which shows all of this, breaks down at such a rule.

use super::content::View;
use crate::netlink::nft::Table;
use crate::netlink::nft::expression::*;
use crate::netlink::nft::message::*;
use crate::netlink::nft::standing::{self, Rules};
use std::collections::BTreeSet;
use sys::netlink::wire::{Nest, Request};

/// The table's name, in the family of both.
pub const TABLE: Table = Table::inet("skerry-services");
/// The packet's mark of those who get the node's address.
const MASKED: u32 = 0x4000;
/// And of those who came by a port of the node.
const BY_NODE: u32 = 0x2000;
/// Clients that are kept at their endpoints, of a family.
const MOST_KEPT: u32 = 1 << 17;

/// The name of the chain that answers nobody.
const SILENCE: &str = "silence";

/// A chain that is there while something leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Picks one of so many.
    Pick(View, u32),
    /// Keeps clients for so many seconds.
    Keep(u32),
    /// Answers nobody.
    Silence,
}

impl Kind {
    /// The chain's name.
    pub fn name(self) -> String {
        match self {
            Self::Pick(View::Common, count) => format!("pick-{count}"),
            Self::Pick(View::Direct, count) => format!("direct-pick-{count}"),
            Self::Keep(seconds) => format!("keep-{seconds}"),
            Self::Silence => SILENCE.to_owned(),
        }
    }

    /// The chain of a name.
    pub fn of(name: &[u8]) -> Option<Self> {
        let name = str::from_utf8(name).ok()?;
        if name == SILENCE {
            return Some(Self::Silence);
        }
        let (what, number) = name.rsplit_once('-')?;
        let number = number.parse().ok()?;
        match what {
            "pick" => Some(Self::Pick(View::Common, number)),
            "direct-pick" => Some(Self::Pick(View::Direct, number)),
            "keep" => Some(Self::Keep(number)),
            _ => None,
        }
    }
}

/// A map or set, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Map {
    /// `count4` and its like.
    Count(View),
    /// `ends4` and its like.
    Ends(View),
    /// `sticky4`.
    Sticky,
    /// `kept4`.
    Kept,
    /// `guarded4`.
    Guarded,
    /// `allowed4`.
    Allowed,
    /// `refused4`.
    Refused,
    /// `dropped4`.
    Dropped,
    /// `addresses4`.
    Addresses,
    /// `ranges4`.
    Ranges,
    /// `pods4`.
    Pods,
}

impl Map {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Count(View::Common),
        Self::Count(View::Direct),
        Self::Ends(View::Common),
        Self::Ends(View::Direct),
        Self::Sticky,
        Self::Kept,
        Self::Guarded,
        Self::Allowed,
        Self::Refused,
        Self::Dropped,
        Self::Addresses,
        Self::Ranges,
        Self::Pods,
    ];

    /// Its name in the table.
    pub fn name(self, v4: bool) -> &'static str {
        self.shape(v4).name
    }

    /// Its shape in a family.
    pub fn shape(self, v4: bool) -> Shape<'static> {
        use Field::{Number, Port, Protocol, V4, V6};
        const FRONT4: &[Field] = &[V4, Protocol, Port];
        const FRONT6: &[Field] = &[V6, Protocol, Port];
        const NUMBERED4: &[Field] = &[V4, Protocol, Port, Number];
        const NUMBERED6: &[Field] = &[V6, Protocol, Port, Number];
        const CLIENT4: &[Field] = &[V4, Protocol, Port, V4];
        const CLIENT6: &[Field] = &[V6, Protocol, Port, V6];
        const END4: &[Field] = &[V4, Port];
        const END6: &[Field] = &[V6, Port];
        let chains = |name, key| Shape { verdicts: true, ..Shape::set(name, key) };
        let kept = |shape| Shape { remembers: Some(MOST_KEPT), ..shape };
        match (self, v4) {
            (Self::Count(View::Common), true) => chains("count4", FRONT4),
            (Self::Count(View::Common), false) => chains("count6", FRONT6),
            (Self::Count(View::Direct), true) => chains("direct-count4", FRONT4),
            (Self::Count(View::Direct), false) => chains("direct-count6", FRONT6),
            (Self::Ends(View::Common), true) => Shape::map("ends4", NUMBERED4, END4),
            (Self::Ends(View::Common), false) => Shape::map("ends6", NUMBERED6, END6),
            (Self::Ends(View::Direct), true) => Shape::map("direct-ends4", NUMBERED4, END4),
            (Self::Ends(View::Direct), false) => Shape::map("direct-ends6", NUMBERED6, END6),
            (Self::Sticky, true) => chains("sticky4", FRONT4),
            (Self::Sticky, false) => chains("sticky6", FRONT6),
            (Self::Kept, true) => kept(Shape::map("kept4", CLIENT4, END4)),
            (Self::Kept, false) => kept(Shape::map("kept6", CLIENT6, END6)),
            (Self::Guarded, true) => Shape::set("guarded4", FRONT4),
            (Self::Guarded, false) => Shape::set("guarded6", FRONT6),
            (Self::Allowed, true) => Shape { ranges: true, ..Shape::set("allowed4", CLIENT4) },
            (Self::Allowed, false) => Shape { ranges: true, ..Shape::set("allowed6", CLIENT6) },
            (Self::Refused, true) => Shape::set("refused4", FRONT4),
            (Self::Refused, false) => Shape::set("refused6", FRONT6),
            (Self::Dropped, true) => Shape::set("dropped4", FRONT4),
            (Self::Dropped, false) => Shape::set("dropped6", FRONT6),
            (Self::Addresses, true) => Shape::set("addresses4", &[V4]),
            (Self::Addresses, false) => Shape::set("addresses6", &[V6]),
            (Self::Ranges, true) => Shape::intervals("ranges4", &[V4]),
            (Self::Ranges, false) => Shape::intervals("ranges6", &[V6]),
            (Self::Pods, true) => Shape::intervals("pods4", &[V4]),
            (Self::Pods, false) => Shape::intervals("pods6", &[V6]),
        }
    }
}

/// Makes a kind's chain.
pub fn add_kind(kind: Kind) -> Vec<Request> {
    let name = kind.name();
    let rules = match kind {
        Kind::Pick(view, count) => pick(view, count),
        Kind::Keep(seconds) => KEYS.into_iter().map(|key| keep(key, seconds)).collect(),
        Kind::Silence => vec![vec![verdict(Verdict::Drop)]],
    };
    let filled = rules.into_iter().map(|steps| rule(TABLE, &name, &steps));
    [chain(TABLE, &name, None)].into_iter().chain(filled).collect()
}

/// Takes a kind's chain away.
pub fn remove_kind(kind: Kind) -> [Request; 2] {
    let name = kind.name();
    [flush_chain(TABLE, &name), delete_chain(TABLE, &name)]
}

/// Where in the registers what is found is put: behind the longest key.
const FOUND: u32 = FIRST + 10;
/// The register for the mark.
const MARK: u32 = FIRST + 15;

/// What a front's key consists of, and what surrounds it.
#[derive(Clone, Copy)]
struct Key {
    v4: bool,
    /// The front is of all of the node's addresses.
    node: bool,
}

const KEYS: [Key; 4] = [
    Key { v4: true, node: false },
    Key { v4: false, node: false },
    Key { v4: true, node: true },
    Key { v4: false, node: true },
];

impl Key {
    const fn family(self) -> u8 {
        (if self.v4 { libc::NFPROTO_IPV4 } else { libc::NFPROTO_IPV6 }) as u8
    }

    /// Registers of an address.
    const fn words(self) -> u32 {
        if self.v4 { 1 } else { 4 }
    }

    /// The register behind the key.
    const fn behind(self) -> u32 {
        FIRST + self.words() + 2
    }

    fn address(self, offset: u32, register: u32) -> Nest {
        network_header(offset, self.words() * 4, register)
    }

    /// Loads the key, for packets that have such a one.
    fn load(self) -> Vec<Nest> {
        let destination = self.address(if self.v4 { 16 } else { 24 }, FIRST);
        let mut steps = vec![meta(Meta::Family, FIRST), equal(FIRST, &[self.family()])];
        if self.node {
            const LOCAL: u32 = libc::RTN_LOCAL as u32;
            steps.extend(match self.v4 {
                true => [network_header(16, 1, FIRST), differs(FIRST, &[127])],
                false => [destination, differs(FIRST, &std::net::Ipv6Addr::LOCALHOST.octets())],
            });
            steps.extend([destination_type(FIRST), equal(FIRST, &LOCAL.to_ne_bytes())]);
            steps.push(load(&vec![0; self.words() as usize * 4], FIRST));
        } else {
            steps.push(destination);
        }
        steps
            .extend([meta(Meta::Protocol, FIRST + self.words()), destination_port(FIRST + self.words() + 1)]);
        steps
    }

    /// Loads the key as the connection's first packet had it.
    fn load_original(self) -> Vec<Nest> {
        const LED: u32 = 1 << 5; // IPS_DST_NAT
        let by_node = if self.node { not_zero(FIRST) } else { zero(FIRST) };
        let address = match (self.node, self.v4) {
            (true, _) => load(&vec![0; self.words() as usize * 4], FIRST),
            (false, true) => original(Connection::V4, FIRST),
            (false, false) => original(Connection::V6, FIRST),
        };
        vec![
            meta(Meta::Family, FIRST),
            equal(FIRST, &[self.family()]),
            connection(Connection::Status, FIRST),
            mask(LED, FIRST),
            not_zero(FIRST),
            meta(Meta::Mark, FIRST),
            mask(BY_NODE, FIRST),
            by_node,
            address,
            meta(Meta::Protocol, FIRST + self.words()),
            original(Connection::Port, FIRST + self.words() + 1),
        ]
    }

    /// Leads to what was found, and marks who is to be known later.
    fn lead(self, masked: bool) -> Vec<Nest> {
        let bits = if masked { MASKED } else { 0 } | if self.node { BY_NODE } else { 0 };
        let marked = if bits == 0 { Vec::new() } else { mark(bits, bits, MARK).to_vec() };
        let lead = destination_nat(self.family(), FOUND, FOUND + self.words());
        [marked, vec![lead]].concat()
    }

    fn client(self) -> Nest {
        self.address(if self.v4 { 12 } else { 8 }, self.behind())
    }

    fn in_set(self, map: Map) -> Vec<Nest> {
        [self.load(), vec![in_set(map.name(self.v4), FIRST)]].concat()
    }
}

/// The rules of a chain that picks one of so many.
fn pick(view: View, count: u32) -> Vec<Vec<Nest>> {
    let one = |key: Key| {
        let found = [random(count, key.behind()), mapped(Map::Ends(view).name(key.v4), FIRST, FOUND)];
        [key.load(), found.to_vec(), key.lead(false)].concat()
    };
    // Before, nobody has asked yet whether the front is one of those that see their clients.
    let before = match view {
        View::Common => vec![vec![verdict(Verdict::Jump("mask"))]],
        View::Direct => KEYS.map(|key| kept(key, false)).to_vec(),
    };
    before.into_iter().chain(KEYS.into_iter().map(one)).collect()
}

/// To where the client was before.
fn kept(key: Key, masked: bool) -> Vec<Nest> {
    let found = [key.client(), mapped(Map::Kept.name(key.v4), FIRST, FOUND)];
    [key.load(), found.to_vec(), key.lead(masked)].concat()
}

/// Writes down where a client has got.
fn keep(key: Key, seconds: u32) -> Vec<Nest> {
    let destination = key.address(if key.v4 { 16 } else { 24 }, FOUND);
    let led = [key.client(), destination, destination_port(FOUND + key.words())];
    let written = remember(Map::Kept.name(key.v4), FIRST, FOUND, seconds);
    [key.load_original(), led.to_vec(), vec![written]].concat()
}

/// To where the client was before, to a chain that picks, or to the one endpoint there is. A packet that comes
/// while endpoints change may find a number without one: it gets to the first, too.
fn dispatch(view: View, masked: bool) -> Vec<Vec<Nest>> {
    let kept = |key| (view == View::Common).then(|| kept(key, masked));
    let several =
        |key: Key| [key.load(), vec![mapped(Map::Count(view).name(key.v4), FIRST, VERDICT)]].concat();
    let first = |key: Key| {
        let found =
            [load(&0_u32.to_ne_bytes(), key.behind()), mapped(Map::Ends(view).name(key.v4), FIRST, FOUND)];
        [key.load(), found.to_vec(), key.lead(masked)].concat()
    };
    let each = KEYS.into_iter().flat_map(|key| [kept(key), Some(several(key)), Some(first(key))]);
    each.flatten().collect()
}

/// Marks who does not come from a pod.
fn masking() -> Vec<Vec<Nest>> {
    let pods = [KEYS[0], KEYS[1]].map(|key| [from_pod(key), vec![verdict(Verdict::Return)]].concat());
    pods.into_iter().chain([mark(MASKED, MASKED, MARK).to_vec()]).collect()
}

fn from_pod(key: Key) -> Vec<Nest> {
    let source = key.address(if key.v4 { 12 } else { 8 }, FIRST);
    let family = [meta(Meta::Family, FIRST), equal(FIRST, &[key.family()])];
    [family.to_vec(), vec![source, in_set(Map::Pods.name(key.v4), FIRST)]].concat()
}

fn entry() -> Vec<Vec<Nest>> {
    const LOCAL: u32 = libc::RTN_LOCAL as u32;
    let goto = |chain| vec![verdict(Verdict::Goto(chain))];
    let pods = [KEYS[0], KEYS[1]].map(|key| [from_pod(key), goto("common")].concat());
    let guarded = [KEYS[0], KEYS[1]].map(|key| {
        let allowed = not_in_set(Map::Allowed.name(key.v4), FIRST);
        [key.in_set(Map::Guarded), vec![key.client(), allowed, verdict(Verdict::Drop)]].concat()
    });
    let own = vec![source_type(FIRST), equal(FIRST, &LOCAL.to_ne_bytes()), verdict(Verdict::Goto("masked"))];
    guarded.into_iter().chain(pods).chain([own, goto("outside")]).collect()
}

fn outside() -> Vec<Vec<Nest>> {
    let dropped = KEYS.map(|key| [key.in_set(Map::Dropped), vec![verdict(Verdict::Drop)]].concat());
    let rest = vec![verdict(Verdict::Goto("masked"))];
    dispatch(View::Direct, false).into_iter().chain(dropped).chain([rest]).collect()
}

fn keeping() -> Vec<Vec<Nest>> {
    KEYS.map(|key| [key.load_original(), vec![mapped(Map::Sticky.name(key.v4), FIRST, VERDICT)]].concat())
        .to_vec()
}

fn leaving() -> Vec<Vec<Nest>> {
    let marked = |bits| vec![meta(Meta::Mark, FIRST), mask(bits, FIRST), not_zero(FIRST)];
    let unmarked = mark(MASKED | BY_NODE, 0, MARK).to_vec();
    let masked = [marked(MASKED), unmarked.clone(), vec![masquerade_at_random()]].concat();
    keeping().into_iter().chain([masked, [marked(BY_NODE), unmarked].concat()]).collect()
}

fn refusal() -> Vec<Vec<Nest>> {
    const NEW: u32 = 1 << 3;
    let new = || vec![connection(Connection::State, FIRST), mask(NEW, FIRST), not_zero(FIRST)];
    let fronts = KEYS.map(|key| [new(), key.in_set(Map::Refused), vec![refuse()]].concat());
    let within = |map: Map, end: Nest| {
        [KEYS[0], KEYS[1]].map(|key| {
            let at = key.address(if key.v4 { 16 } else { 24 }, FIRST);
            let family = vec![meta(Meta::Family, FIRST), equal(FIRST, &[key.family()])];
            [new(), family, vec![at, in_set(map.name(key.v4), FIRST), end.clone()]].concat()
        })
    };
    let others = within(Map::Addresses, refuse());
    let nobodys = within(Map::Ranges, verdict(Verdict::Drop));
    fronts.into_iter().chain(others).chain(nobodys).collect()
}

/// The table's rules, chains and maps, without elements.
pub fn make() -> Vec<Request> {
    let mut requests = vec![table(TABLE, ""), delete_table(TABLE), table(TABLE, &version())];
    requests.extend(rules());
    requests
}

/// How many rules its chains have with these kinds among them.
pub fn counts(kinds: &BTreeSet<Kind>) -> Rules {
    standing::asked(rules().iter().chain(&kinds.iter().copied().flat_map(add_kind).collect::<Vec<_>>()))
}

/// The comment of the table that this program makes: another's has other rules.
pub fn version() -> String {
    let kinds = [Kind::Pick(View::Common, 7), Kind::Pick(View::Direct, 7), Kind::Keep(7), Kind::Silence];
    let sum = rules()
        .into_iter()
        .chain(kinds.into_iter().flat_map(add_kind))
        .fold(!0, |sum, request| spec::crc32c::update(sum, &request.finish(0)));
    format!("rules {sum:08x}")
}

fn rules() -> Vec<Request> {
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    let jump = |chain| vec![vec![verdict(Verdict::Jump(chain))]];
    let chains = [
        ("services", None, entry()),
        ("outside", None, outside()),
        ("common", None, dispatch(View::Common, false)),
        ("masked", None, dispatch(View::Common, true)),
        ("mask", None, masking()),
        ("refusal", None, refusal()),
        ("prerouting", hook("nat", 0, -100), jump("services")),
        ("output", hook("nat", 3, -100), jump("services")),
        // Before others give them another address: where a client has got is written down under its own.
        ("postrouting", hook("nat", 4, 99), leaving()),
        // This node itself is the endpoint, and whoever asks is another.
        ("input", hook("nat", 1, 99), keeping()),
        // Before other tables' filters, which would drop what is to be refused.
        ("refuse-forwarded", hook("filter", 2, -10), jump("refusal")),
        ("refuse-own", hook("filter", 3, -10), jump("refusal")),
        ("refuse-here", hook("filter", 1, -10), jump("refusal")),
    ];
    let shapes = Map::ALL.into_iter().flat_map(|map| [map.shape(true), map.shape(false)]);
    let sets = shapes.zip(1..).map(|(shape, id)| set(TABLE, &shape, id));
    let made = chains.iter().map(|(name, hook, _)| chain(TABLE, name, *hook));
    let filled =
        chains.iter().flat_map(|(name, _, rules)| rules.iter().map(|steps| rule(TABLE, name, steps)));
    sets.chain(made).chain(filled).collect()
}
