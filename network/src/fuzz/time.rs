//! What time servers may answer, and what the client makes of it.

use super::Script;
use crate::now::Now;
use crate::random::Random;
use crate::time::client::{Action, Client, Event, Sources};
use crate::time::packet::{Answer, answer as read, reply, request};
use std::net::SocketAddr;
use std::time::Duration;

/// When the image was made, of which clocks are.
const FLOOR: Duration = Duration::from_secs(1_790_000_000);
/// Half of the 136 years after which times are the same on the wire.
const HALF: u64 = 1 << 31;

/// An answer tells the times that a server has written into it, and of others nothing that is far from
/// what is known.
pub fn answer(mut script: Script<'_>) {
    let (Some(nonce), Some(arrived), Some(left)) = (script.number(), script.number(), script.number()) else {
        return;
    };
    // As many nanoseconds, near to that moment.
    let time = |number: u64| FLOOR + Duration::from_nanos(number / 8) - Duration::from_secs(HALF - 1) / 2;
    let (arrived, left) = (time(arrived), time(left));
    let bytes = reply(&request(nonce), arrived, left);
    if bytes[32..40] == [0; 8] || bytes[40..48] == [0; 8] {
        return; // The moment at which a round of years begins is none.
    }
    let Some(Answer::Sample(sample)) = read(&bytes, nonce, FLOOR, FLOOR, FLOOR) else { panic!("no sample") };
    let nanoseconds = |time: Duration| time.as_nanos() as i128;
    let offset = (nanoseconds(arrived) + nanoseconds(left)) / 2 - nanoseconds(FLOOR);
    assert!((sample.offset - offset).abs() <= 2, "{} is not {offset}", sample.offset);
    let travelled = (nanoseconds(arrived) - nanoseconds(left)).max(0);
    assert!((sample.delay - travelled).abs() <= 2, "{} is not {travelled}", sample.delay);
    if let Some(Answer::Sample(sample)) = read(script.0, nonce, FLOOR, FLOOR, FLOOR) {
        let most = i128::from(HALF + 1) * 1_000_000_000;
        assert!(sample.delay >= 0 && sample.offset.abs() <= most, "{sample:?}");
    }
}

/// Whatever is answered, the clock is slewed by half a second at most, set to no time before the image was
/// made, no more than four servers are asked at once, and when the client has done what was due it waits.
pub fn client(mut script: Script<'_>) {
    let mut client = Client::new(Random::new(9), FLOOR);
    let mut now = Now { boot: Duration::from_secs(10), wall: FLOOR };
    let dns: SocketAddr = ([10, 0, 2, 3], 53).into();
    let (mut asked, mut online) = (Vec::new(), false);
    while let Some(what) = script.byte() {
        let bytes: Vec<u8>;
        let event = match what % 4 {
            0 => {
                online = !online;
                let servers = [&["10.0.2.2"][..], &["time.example"], &["10.0.2.2", "time.example"]];
                let servers =
                    servers[usize::from(what / 4 % 3)].iter().map(|&name| name.to_owned()).collect();
                Event::Sources(Sources { servers, dns: vec![dns], online })
            }
            1 => {
                now.boot = now.boot.max(client.deadline().unwrap_or(now.boot));
                Event::Timeout
            }
            _ => {
                let Some(question) = asked.get(usize::from(what / 4) % asked.len().max(1)) else { continue };
                let (to, question): &(SocketAddr, Vec<u8>) = question;
                bytes = answered(*to == dns, question, script.piece().unwrap_or_default());
                Event::Received(*to, &bytes)
            }
        };
        let due = matches!(event, Event::Timeout);
        let (next, actions) = client.next(event, now);
        client = next;
        let sends = actions.iter().filter(|action| matches!(action, Action::Send(..))).count();
        assert!(sends <= 4, "{sends} at once");
        if sends > 0 {
            asked.clear();
        }
        for action in actions {
            match action {
                Action::Send(to, bytes) => asked.push((to, bytes)),
                Action::Slew(by, interval) => {
                    assert!(by.unsigned_abs() <= 500_000_000 && interval >= Duration::from_secs(64));
                }
                Action::Step(by) => {
                    assert!(by.abs() > 500_000_000);
                    let wall = now.wall.as_nanos() as i128 + by;
                    assert!(wall >= FLOOR.as_nanos() as i128, "set to {wall}");
                    now.wall = Duration::from_nanos_u128(wall.unsigned_abs());
                }
                Action::Report(report) => assert!(!report.to_string().contains(char::is_control)),
            }
        }
        let waits = client.deadline().is_none_or(|deadline| deadline > now.boot);
        assert!(waits || !due, "{client:?} is busy at {now:?}");
    }
}

/// An answer to what was asked, of a name server or a time server, with these bytes in it.
fn answered(by_name: bool, question: &[u8], bytes: &[u8]) -> Vec<u8> {
    if by_name {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer[7] = 9;
        answer.extend(bytes);
        return answer;
    }
    let mut answer = reply(question, FLOOR, FLOOR);
    for (own, byte) in answer[..24].iter_mut().zip(bytes) {
        *own ^= byte;
    }
    for (own, byte) in answer[32..].iter_mut().zip(bytes.iter().skip(24)) {
        *own ^= byte;
    }
    answer
}
