//! The steps of a rule: they load into registers, look up, compare and decide.
//!
//! A register has four bytes; a longer value goes over several that follow each
//! other, from a multiple of four bytes on.

use super::text;
use sys::netlink::wire::Nest;

/// The first register for values (`NFT_REG32_00`).
pub const FIRST: u32 = 8;
/// The register of verdicts: what a map of verdicts gives for a key is followed.
pub const VERDICT: u32 = 0;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;

/// What the packet's surroundings tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// What is in the frame, two bytes (`ETH_P_*`).
    EtherType = 1,
    /// The packet's mark, four bytes in the host's order.
    Mark = 3,
    /// Name of the interface it came by, 16 bytes.
    InName = 6,
    /// Name of the interface it leaves by, 16 bytes.
    OutName = 7,
    /// Family, one byte: `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    Family = 15,
    /// Protocol above IP, one byte.
    Protocol = 16,
}

/// What connection tracking tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// `NF_CT_STATE_BIT`s.
    State = 0,
    /// `IPS_*` bits.
    Status = 2,
    /// The destination's port.
    Port = 12,
    /// The destination's IPv4 address.
    V4 = 20,
    /// The destination's IPv6 address.
    V6 = 22,
}

/// What follows a rule that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No further chain of this hook's base chain is asked.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the chain from which this one was called.
    Return,
    /// On with this chain.
    Jump(&'a str),
    /// On with this chain, not to come back.
    Goto(&'a str),
}

fn expression(name: &str, data: &Nest) -> Nest {
    Nest::new().with(1, &text(name)).with_nest(2, data)
}

/// Loads from the packet's surroundings.
pub fn meta(key: Meta, register: u32) -> Nest {
    expression("meta", &numbers(&[(1, register), (2, key as u32)]))
}

/// Sets bits of the packet's mark, and with `on` 0 takes them away.
pub fn mark(bits: u32, on: u32, register: u32) -> [Nest; 3] {
    const SOURCE: u16 = 3;
    let kept = numbers(&[(1, register), (2, register), (3, 4)]).with_nest(4, &value(&(!bits).to_ne_bytes()));
    let set = kept.with_nest(5, &value(&(bits & on).to_ne_bytes()));
    let write = numbers(&[(2, Meta::Mark as u32), (SOURCE, register)]);
    [meta(Meta::Mark, register), expression("bitwise", &set), expression("meta", &write)]
}

/// Loads these bytes.
pub fn load(bytes: &[u8], register: u32) -> Nest {
    expression("immediate", &numbers(&[(1, register)]).with_nest(2, &value(bytes)))
}

/// Loads a random number below a limit.
pub fn random(limit: u32, register: u32) -> Nest {
    const RANDOM: u32 = 1;
    expression("numgen", &numbers(&[(1, register), (2, limit), (3, RANDOM)]))
}

/// Writes what begins in one register to a map under the key that begins in another, for as long as it is not
/// written again.
pub fn remember(map: &str, key: u32, data: u32, seconds: u32) -> Nest {
    const UPDATE: u32 = 1;
    let written = Nest::new().with(1, &text(map)).with(3, &UPDATE.to_be_bytes());
    let registers = written.with(4, &key.to_be_bytes()).with(5, &data.to_be_bytes());
    expression("dynset", &registers.with(6, &(u64::from(seconds) * 1000).to_be_bytes()))
}

/// Refuses the packet: "port unreachable", in its family's words.
pub fn refuse() -> Nest {
    const ICMPX: u32 = 2;
    const PORT_UNREACHABLE: u8 = 1;
    expression("reject", &numbers(&[(1, ICMPX)]).with(2, &[PORT_UNREACHABLE]))
}

/// Loads from the frame's header.
pub fn link_header(offset: u32, length: u32, register: u32) -> Nest {
    header(0, offset, length, register)
}

/// Loads from the network header.
pub fn network_header(offset: u32, length: u32, register: u32) -> Nest {
    header(1, offset, length, register)
}

/// Loads from the header above IP's, or behind it. A packet's later fragments have none.
pub fn transport_header(offset: u32, length: u32, register: u32) -> Nest {
    header(2, offset, length, register)
}

fn header(base: u32, offset: u32, length: u32, register: u32) -> Nest {
    expression("payload", &numbers(&[(1, register), (2, base), (3, offset), (4, length)]))
}

/// The steps of a rule, in parts.
pub fn all<const N: usize>(parts: [&[Nest]; N]) -> Vec<Nest> {
    parts.concat()
}

/// Loads the destination port, which TCP and UDP have in the same place.
pub fn destination_port(register: u32) -> Nest {
    transport_header(2, 2, register)
}

/// Loads from connection tracking.
pub fn connection(key: Connection, register: u32) -> Nest {
    expression("ct", &numbers(&[(1, register), (2, key as u32)]))
}

/// Goes on when a published port or a Service has led here (`IPS_DST_NAT`).
pub fn through_a_port() -> [Nest; 3] {
    [connection(Connection::Status, FIRST), mask(1 << 5, FIRST), not_zero(FIRST)]
}

/// Loads from what a connection's first packet said before it was led elsewhere.
pub fn original(key: Connection, register: u32) -> Nest {
    const DIRECTION: u16 = 3;
    expression("ct", &numbers(&[(1, register), (2, key as u32)]).with(DIRECTION, &[0]))
}

/// Loads what kind of address the destination is to this machine (`RTN_*`).
pub fn destination_type(register: u32) -> Nest {
    address_type(2, register)
}

/// Loads what kind of address the source is to this machine.
pub fn source_type(register: u32) -> Nest {
    address_type(1, register)
}

fn address_type(which: u32, register: u32) -> Nest {
    const ADDRESS_TYPE: u32 = 3;
    expression("fib", &numbers(&[(1, register), (2, ADDRESS_TYPE), (3, which)]))
}

/// Keeps only these bits of a register's four bytes, in the host's order.
pub fn mask(bits: u32, register: u32) -> Nest {
    let length = numbers(&[(1, register), (2, register), (3, 4)]);
    let masked = length.with_nest(4, &value(&bits.to_ne_bytes()));
    expression("bitwise", &masked.with_nest(5, &value(&[0; 4])))
}

/// Goes on when a register is equal to these bytes.
pub fn equal(register: u32, bytes: &[u8]) -> Nest {
    expression("cmp", &numbers(&[(1, register), (2, 0)]).with_nest(3, &value(bytes)))
}

/// Goes on when a register differs from these bytes.
pub fn differs(register: u32, bytes: &[u8]) -> Nest {
    expression("cmp", &numbers(&[(1, register), (2, 1)]).with_nest(3, &value(bytes)))
}

/// Goes on when a register is from the first to the last of these, as bytes.
pub fn within(register: u32, first: &[u8], last: &[u8]) -> Nest {
    let bounds = numbers(&[(1, register), (2, 0)]).with_nest(3, &value(first));
    expression("range", &bounds.with_nest(4, &value(last)))
}

/// Goes on when a register is zero.
pub fn zero(register: u32) -> Nest {
    equal(register, &[0; 4])
}

/// Goes on when a register is not zero.
pub fn not_zero(register: u32) -> Nest {
    expression("cmp", &numbers(&[(1, register), (2, 1)]).with_nest(3, &value(&[0; 4])))
}

/// Goes on when a set holds what begins in a register.
pub fn in_set(set: &str, register: u32) -> Nest {
    expression("lookup", &Nest::new().with(1, &text(set)).with(2, &register.to_be_bytes()))
}

/// Goes on when a set does not hold it.
pub fn not_in_set(set: &str, register: u32) -> Nest {
    const INVERTED: u32 = 1;
    let lookup = Nest::new().with(1, &text(set)).with(2, &register.to_be_bytes());
    expression("lookup", &lookup.with(5, &INVERTED.to_be_bytes()))
}

/// Goes on when a map holds it, with what it is mapped to from `into` on.
pub fn mapped(map: &str, register: u32, into: u32) -> Nest {
    let lookup = Nest::new().with(1, &text(map)).with(2, &register.to_be_bytes());
    expression("lookup", &lookup.with(3, &into.to_be_bytes()))
}

/// Sends the connection to the address and port in registers; `family` is
/// `NFPROTO_IPV4` or `NFPROTO_IPV6`, others pass.
pub fn destination_nat(family: u8, address: u32, port: u32) -> Nest {
    const DESTINATION: u32 = 1;
    let to = [(1, DESTINATION), (2, family.into()), (3, address), (5, port)];
    expression("nat", &numbers(&to))
}

/// Gives the connection the address of the interface it leaves by.
pub fn masquerade() -> Nest {
    expression("masq", &Nest::new())
}

/// The same, with a port of the node that nothing else leads to.
pub fn masquerade_at_random() -> Nest {
    const FULLY_RANDOM: u32 = 1 << 4;
    expression("masq", &numbers(&[(1, FULLY_RANDOM)]))
}

/// Decides.
pub fn verdict(verdict: Verdict<'_>) -> Nest {
    expression("immediate", &numbers(&[(1, VERDICT)]).with_nest(2, &decision(verdict)))
}

/// A verdict as data: of a rule, or of a map's element.
pub fn decision(verdict: Verdict<'_>) -> Nest {
    let (code, chain) = match verdict {
        Verdict::Drop => (0, None),
        Verdict::Accept => (1, None),
        Verdict::Jump(chain) => (-3, Some(chain)),
        Verdict::Goto(chain) => (-4, Some(chain)),
        Verdict::Return => (-5, None),
    };
    let mut inside = Nest::new().with(1, &i32::to_be_bytes(code));
    if let Some(chain) = chain {
        inside = inside.with(2, &text(chain));
    }
    Nest::new().with_nest(DATA_VERDICT, &inside)
}

fn numbers(list: &[(u16, u32)]) -> Nest {
    list.iter().fold(Nest::new(), |nest, (kind, number)| nest.with(*kind, &number.to_be_bytes()))
}

fn value(bytes: &[u8]) -> Nest {
    Nest::new().with(DATA_VALUE, bytes)
}
