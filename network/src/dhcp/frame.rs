//! IPv4 and UDP headers around a message that is sent or received before the
//! interface has an address (RFC 791, RFC 768).

use std::net::Ipv4Addr;

/// The client's port.
pub const CLIENT: u16 = 68;
/// The server's port.
pub const SERVER: u16 = 67;

const IP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const UDP: u8 = 17;

/// The packet of a message from nobody (`0.0.0.0`) to everybody.
pub fn encode(message: &[u8]) -> Vec<u8> {
    let length = IP_HEADER + UDP_HEADER + message.len();
    let mut packet = vec![0; IP_HEADER + UDP_HEADER];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    packet[8] = 64;
    packet[9] = UDP;
    packet[16..20].copy_from_slice(&Ipv4Addr::BROADCAST.octets());
    let sum = checksum(&packet[..IP_HEADER], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet[20..22].copy_from_slice(&CLIENT.to_be_bytes());
    packet[22..24].copy_from_slice(&SERVER.to_be_bytes());
    packet[24..26].copy_from_slice(&((UDP_HEADER + message.len()) as u16).to_be_bytes());
    packet.extend(message);
    let sum = match checksum(&packet[IP_HEADER..], pseudo_header(&packet)) {
        0 => 0xffff, // Zero means that there is none.
        sum => sum,
    };
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The message in a packet to the client's port from the server's.
///
/// The UDP checksum is not looked at: a packet from a virtual machine's own host
/// has none yet, its sender leaves it to a network card that is not there
/// (packet(7), `TP_STATUS_CSUMNOTREADY`). The transaction identifier and the
/// hardware address inside must match anyway.
pub fn decode(packet: &[u8]) -> Option<&[u8]> {
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    let packet = packet.get(..total)?;
    let (ip, udp) = packet.split_at_checked(header)?;
    if first >> 4 != 4 || header < IP_HEADER || ip[9] != UDP || checksum(ip, 0) != 0 {
        return None;
    }
    let word = |at| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    let length = usize::from(word(4)?);
    (word(0)? == SERVER && word(2)? == CLIENT).then(|| udp.get(UDP_HEADER..length))?
}

fn pseudo_header(packet: &[u8]) -> u32 {
    let addresses = &packet[12..20];
    let length = (packet.len() - IP_HEADER) as u32;
    sum(addresses) + u32::from(UDP) + length
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut total = start + sum(bytes);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A packet the other way round.
    fn answer(message: &[u8]) -> Vec<u8> {
        let mut packet = encode(message);
        packet[20..22].copy_from_slice(&SERVER.to_be_bytes());
        packet[22..24].copy_from_slice(&CLIENT.to_be_bytes());
        packet
    }

    #[test]
    fn a_packet_carries_its_message_and_right_checksums() {
        let packet = encode(b"hello");
        assert_eq!(checksum(&packet[..IP_HEADER], 0), 0);
        assert_eq!(checksum(&packet[IP_HEADER..], pseudo_header(&packet)), 0);
        assert_eq!(decode(&packet), None, "to a server, not to us");
        let mut padded = answer(b"hello");
        padded.extend([0; 18]);
        assert_eq!(decode(&padded), Some(&b"hello"[..]));
    }

    #[test]
    fn other_packets_and_broken_ones_are_refused() {
        let whole = answer(b"hello");
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "{length}");
        }
        for at in [0, 3, 9, 10, 16, 21, 23] {
            let mut packet = whole.clone();
            packet[at] ^= 0x41;
            assert_eq!(decode(&packet), None, "byte {at}");
        }
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut random = Random::new(3);
        for _ in 0..20_000 {
            let mut packet = answer(b"hello");
            for _ in 0..3 {
                let at = random.below(packet.len() as u64) as usize;
                packet[at] = random.next() as u8;
            }
            packet.truncate(random.below(40) as usize);
            assert!(decode(&packet).is_none_or(|message| message.len() <= packet.len()));
        }
    }
}
