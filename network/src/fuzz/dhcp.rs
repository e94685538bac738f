//! What DHCP servers may say, and what the client makes of it.

use super::Script;
use crate::dhcp::action::{Action, Event, Identity};
use crate::dhcp::client::Client;
use crate::dhcp::lease::{Lease, usable};
use crate::dhcp::message::{Kind, Message, Side, option};
use crate::dhcp::{Mac, frame};
use crate::dns::plain;
use crate::random::Random;
use crate::state::{decode_lease, encode_lease};
use spec::node::Name;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

const MAC: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

/// A message is refused, or understood; written anew it means the same.
pub fn message(bytes: &[u8]) {
    let Some(message) = Message::parse(bytes) else { return };
    let said: usize = message.options.values().map(Vec::len).sum();
    assert!(said <= bytes.len(), "{said} bytes of options");
    assert_eq!(Message::parse(&message.encode(Side::Server)).as_ref(), Some(&message));
    for (&code, value) in &message.options {
        let addresses = message.addresses(code);
        assert!(addresses.is_empty() || addresses.len() * 4 == value.len(), "{code}");
        assert!(message.text(code).is_none_or(|text| !text.contains(char::is_control)), "{code}");
    }
    let start = Duration::from_millis(1_234_567);
    let lease = Lease::from_ack(&message, start);
    lease.iter().for_each(usual);
    assert_eq!(decode_lease(&encode_lease(start, &message)), lease);
}

/// The same of an acknowledgement with these options.
pub fn options(bytes: &[u8]) {
    let mut whole = empty(Kind::Ack).encode(Side::Server);
    whole.truncate(243);
    whole.extend(bytes);
    message(&whole);
}

fn empty(kind: Kind) -> Message {
    Message {
        kind,
        xid: 1,
        secs: 0,
        ciaddr: Ipv4Addr::UNSPECIFIED,
        yiaddr: [10, 0, 2, 15].into(),
        chaddr: MAC,
        options: BTreeMap::new(),
    }
}

/// What an interface, `/etc/resolv.conf` and the kernel take.
fn usual(lease: &Lease) {
    assert!(usable(lease.address) && lease.prefix <= 32, "{lease:?}");
    assert!(lease.search.iter().all(|name| plain(name)), "{lease:?}");
    assert!(lease.host_name.iter().all(|name| name.parse::<Name>().is_ok()), "{lease:?}");
    assert!(lease.mtu.is_none_or(|mtu| (576..=65535).contains(&mtu)), "{lease:?}");
    for route in &lease.routes {
        let mask = u32::MAX.checked_shl(32 - u32::from(route.prefix)).unwrap_or(0);
        assert!(route.prefix <= 32 && route.network.to_bits() & !mask == 0, "{route:?}");
    }
    if let Some(limits) = lease.term.limits {
        let ordered = limits.renew <= limits.rebind && limits.rebind <= limits.end;
        assert!(!limits.renew.is_zero() && ordered, "{limits:?}");
    }
}

/// Whatever is in a packet, a message that is taken out of it is one that was put into it; and one that
/// is put into it comes out.
pub fn packet(bytes: &[u8]) {
    let mut packet = bytes.to_vec();
    let header = packet.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    if let Some(header) = packet.get_mut(..header).filter(|header| header.len() >= 20) {
        header[10..12].fill(0);
        let sum = ones(header);
        header[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    if let Some(message) = frame::decode(&packet) {
        assert!(message.is_empty() || packet.windows(message.len()).any(|part| part == message));
        assert_eq!(packet[header..header + 4], [0, 67, 0, 68], "from the server to the client");
    }
    let mut packet = frame::encode(bytes);
    assert_eq!(frame::decode(&packet), None, "to the server");
    assert_eq!(ones(&packet[..20]), 0xffff);
    packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
    packet.extend([0; 3]);
    assert_eq!(frame::decode(&packet), Some(bytes));
}

/// The sum of RFC 1071.
fn ones(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Whatever servers answer, and whenever, the client has one address at most, gives every other back, and
/// when it has done what was due, one thing after the other, it waits.
pub fn client(mut script: Script<'_>) {
    let identity = Identity { mac: MAC, host_name: None };
    let mut client = Client::new(identity, Random::new(7), None);
    let (mut now, mut held, mut xid, mut turns) = (Duration::from_secs(10), None, 0, 0);
    while let Some(what) = script.byte() {
        let event = match what % 8 {
            0 => Event::NoCarrier,
            1 => Event::Carrier,
            2 => {
                now += Duration::from_millis(script.byte().unwrap_or(0).into());
                continue;
            }
            3 | 4 => {
                now = now.max(client.deadline().unwrap_or(now));
                Event::Timeout
            }
            kind => {
                let kind = [Kind::Offer, Kind::Ack, Kind::Nak][usize::from(kind - 5)];
                let Some(message) = answer(kind, xid, script.piece().unwrap_or_default()) else { continue };
                Event::Received(message)
            }
        };
        let due = matches!(event, Event::Timeout);
        let (next, actions) = client.next(event, now);
        client = next;
        for action in actions {
            match action {
                Action::Send(message, _) => xid = message.xid,
                Action::Configure(lease, _) => {
                    let before = held.replace(lease.address);
                    assert!(before.is_none_or(|before| before == lease.address), "{before:?} is forgotten");
                }
                Action::Remove(lease) => assert_eq!(held.take(), Some(lease.address)),
                Action::Report(report) => assert!(!report.to_string().contains(char::is_control)),
            }
        }
        let waits = client.deadline().is_none_or(|deadline| deadline > now);
        turns = if waits || !due { 0 } else { turns + 1 };
        assert!(turns < 3, "{client:?} is busy at {now:?}");
    }
}

/// A server's message with these options beside those that every lease needs.
fn answer(kind: Kind, xid: u32, options: &[u8]) -> Option<Message> {
    let mut message = Message { xid, ..empty(kind) };
    message.options.insert(option::SERVER, vec![10, 0, 2, 2]);
    let mut bytes = message.encode(Side::Server);
    bytes.truncate(243 + 6);
    bytes.extend(options);
    bytes.extend([option::LEASE_TIME, 4, 0, 0, 14, 16].repeat(usize::from(options.is_empty())));
    let mut message = Message::parse(&bytes)?;
    // Another address, if the server says so.
    if let Some(own) = message.address(option::REQUESTED_ADDRESS) {
        message.yiaddr = own;
    }
    Some(message)
}
