//! NTP packets and what they say (RFC 5905 §7.3, RFC 4330).
//!
//! ```text
//! 0 leap (2 bits) version (3) mode (3)  1 stratum  2 poll  3 precision
//! 4 root delay  8 root dispersion  12 reference identifier
//! 16 reference time  24 origin time  32 receive time  40 transmit time
//! ```
//! A time is 32 bits of seconds since 1900, again and again from zero each 136
//! years, and 32 bits of their fraction.

use std::time::Duration;

/// Bytes of a packet without extensions.
const LENGTH: usize = 48;
const VERSION: u8 = 4;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const LEAP_UNKNOWN: u8 = 3;
/// A server of a higher stratum is not synchronised itself.
const WORST_STRATUM: u8 = 15;
/// Seconds from 1900 to 1970.
const TO_1970: i64 = 2_208_988_800;
const ERA: i64 = 1 << 32;
const NANOSECONDS: i128 = 1_000_000_000;

/// What an answer to a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The server's time.
    Sample(Sample),
    /// The server asks to be asked less often (`RATE`).
    Slower,
    /// The server does not want to be asked (`DENY`, `RSTR`).
    Leave,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What must be added to the wall clock, in nanoseconds.
    pub offset: i128,
    /// How long the packets were under way, in nanoseconds: the offset is wrong
    /// by half of it at most.
    pub delay: i128,
}

/// A request. The only thing it tells is `nonce`, a random number in place of the
/// time, by which the answer is known.
pub fn request(nonce: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION << 3 | CLIENT;
    bytes[40..48].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

/// Reads the answer to the request with this nonce, sent and received at these
/// times of the wall clock; nothing when it is none, or not to be used.
///
/// `pivot` tells which of the 136-year rounds is meant: the one nearest to it.
pub fn answer(
    bytes: &[u8],
    nonce: u64,
    sent: Duration,
    received: Duration,
    pivot: Duration,
) -> Option<Answer> {
    let bytes = bytes.get(..LENGTH)?;
    if bytes[0] & 7 != SERVER || word(bytes, 24)? != nonce {
        return None;
    }
    match (bytes[1], &bytes[12..16]) {
        (0, b"RATE") => return Some(Answer::Slower),
        (0, b"DENY" | b"RSTR") => return Some(Answer::Leave),
        (1..=WORST_STRATUM, _) if bytes[0] >> 6 != LEAP_UNKNOWN => {}
        _ => return None,
    }
    let (arrived, left) = (unix(word(bytes, 32)?, pivot)?, unix(word(bytes, 40)?, pivot)?);
    let (sent, received) = (sent.as_nanos() as i128, received.as_nanos() as i128);
    let offset = ((arrived - sent) + (left - received)) / 2;
    let delay = ((received - sent) - (left - arrived)).max(0);
    Some(Answer::Sample(Sample { offset, delay }))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Nanoseconds since 1970; zero on the wire means "unknown".
fn unix(stamp: u64, pivot: Duration) -> Option<i128> {
    if stamp == 0 {
        return None;
    }
    let seconds = (stamp >> 32) as i64 - TO_1970;
    let distance = pivot.as_secs() as i64 - seconds;
    let era = (distance + ERA / 2).div_euclid(ERA);
    let fraction = (i128::from(stamp as u32) * NANOSECONDS) >> 32;
    Some(i128::from(seconds + era * ERA) * NANOSECONDS + fraction)
}

/// A server's answer to `request`, for tests: it came and left at these times.
#[cfg(any(test, feature = "fuzz"))]
pub fn reply(request: &[u8], arrived: Duration, left: Duration) -> Vec<u8> {
    let stamp = |time: Duration| {
        let seconds = (time.as_secs() as i64 + TO_1970) as u64;
        ((seconds << 32) | ((u64::from(time.subsec_nanos()) << 32) / 1_000_000_000)).to_be_bytes()
    };
    let mut bytes = vec![0; LENGTH];
    bytes[0] = VERSION << 3 | SERVER;
    bytes[1] = 2;
    bytes[24..32].copy_from_slice(&request[40..48]);
    bytes[32..40].copy_from_slice(&stamp(arrived));
    bytes[40..48].copy_from_slice(&stamp(left));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const NONCE: u64 = 0x0123_4567_89ab_cdef;
    const YEAR: u64 = 31_556_952;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn sample(server: u64, ours: u64, pivot: u64) -> Sample {
        let bytes = reply(&request(NONCE), seconds(server), seconds(server));
        let (sent, received) = (seconds(ours), seconds(ours) + Duration::from_millis(20));
        match answer(&bytes, NONCE, sent, received, seconds(pivot)) {
            Some(Answer::Sample(sample)) => sample,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_offset_is_half_way_between_sending_and_receiving() {
        let sample = sample(1_800_000_005, 1_800_000_000, 1_790_000_000);
        assert_eq!(sample, Sample { offset: 4_990_000_000, delay: 20_000_000 });
    }

    #[test]
    fn the_clock_goes_on_after_2036() {
        for year in [2026, 2035, 2037, 2050, 2080] {
            let time = (year - 1970) * YEAR;
            let offset = sample(time, 0, 56 * YEAR).offset;
            assert_eq!(offset / NANOSECONDS, i128::from(time) - 1, "{year}");
        }
    }

    #[test]
    fn what_is_no_usable_answer_is_refused() {
        let whole = reply(&request(NONCE), seconds(1), seconds(1));
        let read = |bytes: &[u8]| answer(bytes, NONCE, seconds(0), seconds(0), seconds(0));
        assert!(read(&whole).is_some());
        assert_eq!(read(&whole[..47]), None);
        assert_eq!(answer(&whole, NONCE + 1, seconds(0), seconds(0), seconds(0)), None, "another's nonce");
        for (at, value, why) in [
            (0, 0x23, "a client's packet"),
            (0, 0xe4, "not synchronised"),
            (1, 16, "stratum 16"),
            (1, 0, "a kiss unknown"),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            assert_eq!(read(&bytes), None, "{why}");
        }
        let mut timeless = whole;
        timeless[40..48].fill(0);
        assert_eq!(read(&timeless), None);
    }

    #[test]
    fn a_server_that_wants_rest_gets_it() {
        for (code, expected) in
            [(b"RATE", Answer::Slower), (b"DENY", Answer::Leave), (b"RSTR", Answer::Leave)]
        {
            let mut bytes = reply(&request(NONCE), seconds(1), seconds(1));
            bytes[1] = 0;
            bytes[12..16].copy_from_slice(code);
            assert_eq!(answer(&bytes, NONCE, seconds(0), seconds(0), seconds(0)), Some(expected));
        }
    }

    #[test]
    fn no_sequence_of_bytes_panics() {
        let mut random = Random::new(9);
        for _ in 0..20_000 {
            let mut bytes = reply(&request(NONCE), seconds(1), seconds(1));
            for _ in 0..4 {
                let at = random.below(LENGTH as u64) as usize;
                bytes[at] = random.next() as u8;
            }
            let nonce = word(&bytes, 24).unwrap();
            if let Some(Answer::Sample(sample)) = answer(&bytes, nonce, seconds(0), seconds(1), seconds(1)) {
                assert!(sample.delay >= 0);
            }
        }
    }
}
