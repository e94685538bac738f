//! Frames as they lie on the wire, and sessions against a client of our own.

use super::driver::{Driver, Happened};
use super::frame::{Frame, Reader};
use super::headers::client::Client as Headers;
use super::headers::size;
use super::session::{Event, MOST_BACKLOG, MOST_HEADERS, MOST_WAITING, Session};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// Writes what a client sends.
#[derive(Default)]
pub struct Client {
    headers: Headers,
    pub bytes: Vec<u8>,
    next: u32,
}

impl Client {
    /// Opens a stream.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let stream = self.next * 2 + 1;
        self.next += 1;
        let block = self.headers.block(headers);
        self.control(1, 0, &[&stream.to_be_bytes()[..], &[0; 6], &block].concat());
        stream
    }

    pub fn control(&mut self, kind: u16, flags: u8, payload: &[u8]) {
        self.bytes.extend(0x8003_u16.to_be_bytes());
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(((u32::from(flags) << 24) | payload.len() as u32).to_be_bytes());
        self.bytes.extend(payload);
    }

    pub fn data(&mut self, stream: u32, fin: bool, bytes: &[u8]) {
        super::frame::data(&mut self.bytes, stream, fin, bytes);
    }

    pub fn window(&mut self, stream: u32, more: u32) {
        self.control(9, 0, &[stream.to_be_bytes(), more.to_be_bytes()].concat());
    }

    /// Gives what was written to a session.
    fn tell(&mut self, session: &mut Session) {
        session.receive(&std::mem::take(&mut self.bytes)).unwrap();
    }
}

/// All frames of some bytes.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut reader = Reader::default();
    reader.push(bytes);
    std::iter::from_fn(|| reader.frame().unwrap()).collect()
}

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.event()).collect()
}

#[test]
fn a_stream_is_opened_answered_and_ended_on_both_sides() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[("streamType", "data"), ("port", "80")]);
    client.data(stream, false, b"hello");
    client.data(stream, true, b"");
    // One byte at a time.
    for byte in std::mem::take(&mut client.bytes) {
        session.receive(&[byte]).unwrap();
    }
    let headers = vec![("streamtype".into(), "data".into()), ("port".into(), "80".into())];
    let expected = [Event::Opened(1, headers), Event::Data(1, b"hello".to_vec()), Event::Ended(1)];
    assert_eq!(events(&mut session), expected);
    session.accept(1);
    session.send(1, b"world".to_vec());
    session.finish(1);
    session.go_away();
    // SYN_REPLY with a zlib stream's beginning, DATA, an empty last DATA, GOAWAY.
    let mut golden = vec![0x80, 3, 0, 2, 0, 0, 0, 24, 0, 0, 0, 1, 0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];
    golden.extend([0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    golden.extend(b"\0\0\0\x01\0\0\0\x05world\0\0\0\x01\x01\0\0\0");
    golden.extend([0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(session.out, golden);
    session.send(1, b"late".to_vec());
    assert_eq!(session.out, golden, "nobody misses it");
}

#[test]
fn pings_are_answered_and_resets_end_a_stream() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[]);
    client.control(6, 0, &7_u32.to_be_bytes());
    client.control(6, 0, &8_u32.to_be_bytes());
    client.control(3, 0, &[stream.to_be_bytes(), 5_u32.to_be_bytes()].concat());
    client.data(stream, false, b"was on its way");
    client.control(77, 0, b"of the future");
    client.control(7, 0, &[0; 8]);
    client.tell(&mut session);
    assert_eq!(events(&mut session), [Event::Opened(1, vec![]), Event::Reset(1), Event::Left]);
    assert_eq!(frames(&session.out), [Frame::Ping(7)]);
}

#[test]
fn streams_that_cannot_be_are_reset() {
    let (mut client, mut session) = (Client::default(), Session::default());
    client.data(9, false, b"of no stream");
    for _ in 0..600 {
        client.open(&[]);
    }
    client.tell(&mut session);
    let resets = frames(&session.out);
    assert_eq!(resets[0], Frame::Reset { stream: 9, status: 2 });
    assert_eq!(resets.len(), 1 + 600 - 512);
    assert!(!session.reads() || events(&mut session).len() == 512);
    let mut again = Session::default();
    let mut client = Client { next: 4, ..Client::default() };
    client.open(&[]);
    client.next = 2;
    client.open(&[]);
    client.tell(&mut again);
    assert_eq!(frames(&again.out), [Frame::Reset { stream: 5, status: 2 }], "numbers only grow");
}

#[test]
fn bytes_of_no_stream_are_answered_once_however_they_come() {
    let (mut client, mut session) = (Client::default(), Session::default());
    client.data(9, false, b"of no stream");
    std::mem::take(&mut client.bytes).chunks(1).for_each(|byte| session.receive(byte).unwrap());
    assert_eq!(frames(&session.out), [Frame::Reset { stream: 9, status: 2 }]);
}

#[test]
fn headers_that_wait_take_little_memory() {
    let (mut client, mut session) = (Client::default(), Session::default());
    // Two thousand headers without a letter, in a few bytes of zlib.
    let many = vec![("", ""); 2000];
    (0..200).for_each(|_| _ = client.open(&many));
    assert!(client.bytes.len() < 16 * 1024, "{} bytes", client.bytes.len());
    client.tell(&mut session);
    let waiting = |event: Event| if let Event::Opened(_, headers) = event { size(&headers) } else { 0 };
    let all: usize = events(&mut session).into_iter().map(waiting).sum();
    assert!(all <= MOST_HEADERS + 2000 * 48, "{all} bytes");
    assert!(frames(&session.out).contains(&Frame::Reset { stream: 399, status: 3 }));
    client.open(&many);
    client.tell(&mut session);
    assert!(matches!(session.event(), Some(Event::Opened(401, _))), "they were served");
}

#[test]
fn a_window_counts_for_a_peer_that_speaks_of_one() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[]);
    client.tell(&mut session);
    for _ in 0..3 {
        session.send(stream, vec![0; MOST_WAITING]);
        assert!(!session.is_waiting(stream), "Kubernetes' clients do not count");
        session.out.clear();
    }
    // One that counts: two bytes to begin with, then three more, then many.
    let (mut client, mut session) = (Client::default(), Session::default());
    client.control(4, 0, &[1_u32.to_be_bytes(), [0, 0, 0, 7], 2_u32.to_be_bytes()].concat());
    let stream = client.open(&[]);
    client.tell(&mut session);
    session.send(stream, b"hello".to_vec());
    session.send(stream, b", world".to_vec());
    session.finish(stream);
    for (text, more, waits) in [("he", 3, true), ("llo", 100, true), (", world", 1, false)] {
        let bytes: Vec<u8> = frames(&std::mem::take(&mut session.out))
            .into_iter()
            .flat_map(|frame| if let Frame::Data { bytes, .. } = frame { bytes } else { Vec::new() })
            .collect();
        assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), session.is_waiting(stream)), (text, waits));
        client.window(stream, more);
        client.tell(&mut session);
    }
}

#[test]
fn what_is_to_be_sent_waits_for_what_is_being_sent() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let streams = [client.open(&[]), client.open(&[])];
    client.tell(&mut session);
    let mut expected = [Vec::new(), Vec::new()];
    for (number, stream) in streams.into_iter().enumerate() {
        for byte in 0..20 {
            session.send(stream, vec![byte; 10_000]);
            expected[number].extend(vec![byte; 10_000]);
        }
        session.finish(stream);
    }
    let (mut got, mut ended) = ([Vec::new(), Vec::new()], 0);
    while !session.out.is_empty() {
        assert!(session.out.len() < MOST_WAITING + 1024);
        for frame in frames(&std::mem::take(&mut session.out)) {
            let Frame::Data { stream, fin, bytes } = frame else { panic!("{frame:?}") };
            got[usize::from(stream == streams[1])].extend(bytes);
            ended += u32::from(fin);
        }
        session.pump();
    }
    assert!(got == expected && ended == 2 && session.has_room());
}

#[test]
fn what_was_served_is_granted_again_and_what_waits_holds_the_reader() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[]);
    client.tell(&mut session);
    while session.reads() {
        client.data(stream, false, &[0; 32 * 1024]);
        client.tell(&mut session);
    }
    assert!(session.out.is_empty(), "nothing is granted before it is served");
    let all: usize = events(&mut session)
        .iter()
        .map(|event| if let Event::Data(_, bytes) = event { bytes.len() } else { 0 })
        .sum();
    assert!(session.reads() && all <= MOST_BACKLOG + 32 * 1024);
    let granted: u32 = frames(&session.out)
        .iter()
        .map(|frame| if let Frame::Window { more, .. } = frame { *more } else { 0 })
        .sum();
    assert_eq!(granted as usize, all);
}

#[test]
fn answers_that_are_not_read_hold_the_reader_and_output_does_not() {
    let mut session = Session::default();
    let mut client = Client::default();
    let stream = client.open(&[]);
    client.tell(&mut session);
    session.send(stream, vec![0; 4 * MOST_WAITING]);
    assert!(session.reads(), "input comes while output waits");
    let mut pings = 0;
    while session.reads() && pings < 100_000 {
        client.control(6, 0, &1_u32.to_be_bytes());
        client.data(999, false, b"of no stream");
        client.tell(&mut session);
        pings += 1;
    }
    assert!(!session.reads(), "{} bytes wait", session.out.len());
    session.out.clear();
    assert!(session.reads());
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_all_streams_are_there_holds_the_reader() {
    let (near, mut far) = tokio::io::duplex(16 * 1024);
    let (mut client, mut driver) = (Client::default(), Driver::new(near));
    let first = client.open(&[]);
    let all = 4 * MOST_BACKLOG;
    (0..all / 1024).for_each(|_| client.data(first, false, &[0; 1024]));
    let second = client.open(&[]);
    let sending = tokio::spawn(async move {
        far.write_all(&client.bytes).await.unwrap();
        far
    });
    assert_eq!(driver.next_stream().await, Happened::Event(Event::Opened(first, vec![])));
    let waits = timeout(Duration::from_secs(30), driver.next_stream()).await;
    assert!(waits.is_err() && !sending.is_finished(), "more was read than waits: {waits:?}");
    // It is all there for who serves the streams.
    let mut served = 0;
    loop {
        match driver.next(true).await {
            Happened::Event(Event::Data(_, bytes)) => served += bytes.len(),
            Happened::Event(event) => break assert_eq!(event, Event::Opened(second, vec![])),
            Happened::Sent => {}
        }
    }
    assert_eq!(served, all);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pauses_is_told_all_once_it_goes_on() {
    let (near, mut far) = tokio::io::duplex(1024);
    let (mut client, mut driver) = (Client::default(), Driver::new(near));
    let stream = client.open(&[]);
    client.tell(&mut driver.session);
    driver.session.send(stream, vec![7; 3 * MOST_WAITING]);
    driver.session.finish(stream);
    let parting = tokio::spawn(driver.part());
    sleep(Duration::from_secs(3600)).await;
    let mut reader = Reader::default();
    let (mut got, mut ended, mut last) = (0, false, None);
    while last != Some(Frame::GoAway) {
        let mut bytes = [0; 1000];
        let length = far.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "it parts after {got} bytes");
        reader.push(&bytes[..length]);
        while let Some(frame) = reader.frame().unwrap() {
            if let Frame::Data { fin, bytes, .. } = &frame {
                got += bytes.len();
                ended |= fin;
            }
            last = Some(frame);
        }
    }
    assert!(got == 3 * MOST_WAITING && ended, "{got} bytes");
    // It need not wait for a client that stays.
    sleep(Duration::from_secs(6)).await;
    assert!(parting.is_finished());
}

#[test]
fn no_input_panics_or_takes_memory() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut client = Client::default();
    let stream = client.open(&[("streamtype", "data")]);
    client.data(stream, false, b"some bytes");
    client.window(stream, 9);
    client.control(4, 0, &[1_u32.to_be_bytes(), [0, 0, 0, 7], 2_u32.to_be_bytes()].concat());
    client.control(6, 0, &1_u32.to_be_bytes());
    for round in 0..20_000 {
        let mut bytes = client.bytes.clone();
        for _ in 0..1 + random() % 4 {
            let place = random() as usize % bytes.len();
            bytes[place] = random() as u8;
        }
        bytes.truncate(random() as usize % (bytes.len() + 1));
        let mut session = Session::default();
        for piece in bytes.chunks(1 + random() as usize % 40) {
            if session.receive(piece).is_err() {
                break;
            }
        }
        events(&mut session);
        assert!(session.out.len() < 4096, "round {round}");
    }
}

#[test]
fn a_long_frame_of_data_is_passed_on_as_it_comes() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[]);
    client.tell(&mut session);
    session.event();
    // 16 MiB less one byte, and the last ones.
    session.receive(&[&stream.to_be_bytes()[..], &[1, 0xff, 0xff, 0xff]].concat()).unwrap();
    let mut served = 0;
    while served < 0x00ff_ffff {
        session.receive(&vec![7; (0x00ff_ffff - served).min(50_000)]).unwrap();
        let Some(Event::Data(_, bytes)) = session.event() else { panic!("it waits for the rest") };
        served += bytes.len();
        assert!(session.reads());
    }
    assert_eq!(session.event(), Some(Event::Ended(stream)));
}

#[test]
fn bytes_that_come_one_by_one_wait_together() {
    let (mut client, mut session) = (Client::default(), Session::default());
    let stream = client.open(&[]);
    (0..10_000).for_each(|_| client.data(stream, false, b"x"));
    client.tell(&mut session);
    assert_eq!(events(&mut session)[1..], [Event::Data(stream, vec![b'x'; 10_000])]);
}

#[test]
fn a_frame_that_is_too_long_is_refused_before_it_comes() {
    let mut session = Session::default();
    assert!(session.receive(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]).is_err());
    assert!(Session::default().receive(&[0x80, 2, 0, 1, 0, 0, 0, 0]).is_err(), "of SPDY/2");
}
