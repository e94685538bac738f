//! Bytes worked out by hand from the specification, and a bus of a thread.

use super::message::{self, Object};
use super::*;
use std::io::Read;
use std::thread::{self, JoinHandle};

#[test]
fn a_call_is_these_bytes() {
    let fields = [
        &b"\x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0"[..],
        b"\x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0",
        b"\x03\x01s\0\x05\0\0\0Hello\0\0\0",
        b"\x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0",
    ]
    .concat();
    let expected = [&b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6d\0\0\0"[..], &fields, b"\0\0\0"].concat();
    assert_eq!(expected.len(), 128);
    assert_eq!(message::call(1, &BUS, "Hello", "", &[]), expected);
}

#[test]
fn a_body_and_its_signature_come_last() {
    let object = Object { destination: "d.d", path: "/", interface: "i.i" };
    let expected = [
        &b"l\x01\0\x01\x06\0\0\0\x02\x01\0\0\x47\0\0\0"[..],
        b"\x01\x01o\0\x01\0\0\0/\0\0\0\0\0\0\0",
        b"\x02\x01s\0\x03\0\0\0i.i\0\0\0\0\0",
        b"\x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0",
        b"\x06\x01s\0\x03\0\0\0d.d\0\0\0\0\0",
        // Seven bytes, and one before the body.
        b"\x08\x01g\0\x01s\0\0",
        b"\x01\0\0\0x\0",
    ];
    let mut body = Out::default();
    body.text("x");
    assert_eq!(message::call(258, &object, "M", "s", &body.0), expected.concat());
}

#[test]
fn properties_are_these_bytes() {
    let properties = [
        ("Delegate", Value::Bool(true)),
        ("PIDs", Value::Numbers(vec![7])),
        ("MemoryMax", Value::Uint64(16)),
        ("AllowedCPUs", Value::Bytes(vec![0x0f])),
        ("IOReadBandwidthMax", Value::Device("/dev/block/8:0".to_owned(), 5)),
    ];
    let mut out = Out::default();
    out.properties(&properties.map(|(name, value)| (name.to_owned(), value)));
    let expected = [
        &b"\xb8\0\0\0\0\0\0\0"[..],
        b"\x08\0\0\0Delegate\0\x01b\0\x01\0\0\0\0\0\0\0",
        b"\x04\0\0\0PIDs\0\x02au\0\0\0\0\x04\0\0\0\x07\0\0\0",
        b"\x09\0\0\0MemoryMax\0\x01t\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0",
        b"\x0b\0\0\0AllowedCPUs\0\x02ay\0\x01\0\0\0\x0f\0\0\0\0\0\0\0",
        b"\x12\0\0\0IOReadBandwidthMax\0\x05a(st)\0\0\0\x20\0\0\0\0\0\0\0",
        b"\x0e\0\0\0/dev/block/8:0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0",
    ];
    assert_eq!(out.0, expected.concat());
}

#[test]
fn the_other_values_are_these_bytes() {
    for (value, expected) in [
        (Value::Int32(-2), &b"\x01i\0\0\0\0\xfe\xff\xff\xff"[..]),
        (Value::Uint32(3), b"\x01u\0\0\0\0\x03\0\0\0"),
        (Value::Int64(-2), b"\x01x\0\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff"),
        (Value::Text("ab".into()), b"\x01s\0\0\0\0\x02\0\0\0ab\0"),
        (Value::Texts(vec!["a".into(), "b".into()]), b"\x02as\0\0\0\x0e\0\0\0\x01\0\0\0a\0\0\0\x01\0\0\0b\0"),
    ] {
        let mut out = Out::default();
        out.properties(&[("N".to_owned(), value)]);
        // Behind the array's length, four zeros and the name: at 14.
        assert_eq!(&out.0[14..], expected);
    }
}

#[test]
fn what_is_no_message_is_refused() {
    let good = b"l\x02\x01\x01\0\0\0\0\x05\0\0\0\x08\0\0\0\x05\x01u\0\x02\0\0\0";
    let read = |bytes: &[u8]| message::read(&mut &bytes[..]);
    let message = read(good).unwrap();
    assert_eq!((message.kind, message.reply_to, message.body.len()), (METHOD_RETURN, 2, 0));
    assert!(read(&good[..23]).is_err() && read(b"").is_err());
    for (place, byte) in [(0, b'B'), (3, 2), (7, 1), (15, 1), (12, 7), (18, b'v')] {
        let mut bytes = good.to_vec();
        bytes[place] = byte;
        assert!(read(&bytes).is_err(), "{place}");
    }
}

/// A message of theirs.
fn says(kind: u8, fields: &[(u8, &str, &str)], reply_to: u32, signature: &str, body: &Out) -> Vec<u8> {
    let mut out = Out(vec![b'l', kind, 1, 1]);
    out.u32(body.0.len() as u32);
    out.u32(9);
    let array = out.array(8);
    for (code, kind, text) in fields {
        out.align(8);
        out.0.push(*code);
        out.signature(kind);
        out.text(text);
    }
    if reply_to > 0 {
        out.align(8);
        out.0.push(5);
        out.signature("u");
        out.u32(reply_to);
    }
    out.align(8);
    out.0.push(8);
    out.signature("g");
    out.signature(signature);
    out.end(array);
    out.align(8);
    out.0.extend(&body.0);
    out.0
}

fn removed(job: &str, result: &str) -> Vec<u8> {
    let mut body = Out::default();
    body.u32(4);
    [job, "a.scope", result].into_iter().for_each(|text| body.text(text));
    says(SIGNAL, &[(1, "o", "/x"), (3, "s", "JobRemoved")], 0, "uoss", &body)
}

fn text(words: &str) -> Out {
    let mut body = Out::default();
    body.text(words);
    body
}

/// The other side: lets us in, and answers each call with the next of these.
fn bus(answers: Vec<Vec<u8>>) -> (UnixStream, JoinHandle<Vec<Vec<u8>>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let talk = move || {
        let mut words = [0; 29];
        theirs.read_exact(&mut words).unwrap();
        assert_eq!(&words, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
        theirs.write_all(b"DATA\r\nOK 0123\r\n").unwrap();
        let mut calls = Vec::new();
        for answer in answers {
            let mut start = [0; 16];
            theirs.read_exact(&mut start).unwrap();
            let number = |at: usize| u32::from_le_bytes(start[at..at + 4].try_into().unwrap()) as usize;
            let mut rest = vec![0; number(12).next_multiple_of(8) + number(4)];
            theirs.read_exact(&mut rest).unwrap();
            calls.push([&start[..], &rest].concat());
            theirs.write_all(&answer).unwrap();
        }
        calls
    };
    (ours, thread::spawn(talk))
}

fn returns(reply_to: u32, body: &Out) -> Vec<u8> {
    says(METHOD_RETURN, &[], reply_to, "s", body)
}

#[test]
fn a_job_is_begun_and_waited_for() {
    let name = returns(1, &text(":1.7"));
    // Others speak in between, of other jobs and with answers to nobody.
    let started = [returns(77, &text("/other")), returns(3, &text("/job/5"))].concat();
    let jobs = [removed("/job/4", "failed"), removed("/job/5", "done")].concat();
    let (ours, theirs) = bus(vec![name, returns(2, &Out::default()), [started, jobs].concat()]);
    let mut bus = Bus::new(ours, true).unwrap();
    let Answer::Done(body) = bus.call("StartTransientUnit", "s", &text("a.scope")).unwrap() else {
        panic!("refused")
    };
    assert_eq!(In::new(&body).text(), Some("/job/5"));
    assert_eq!(bus.await_job("/job/5").unwrap(), "done");
    let calls = theirs.join().unwrap();
    assert_eq!(calls[0], message::call(1, &BUS, "Hello", "", &[]));
    assert_eq!(calls[1], message::call(2, &BUS, "AddMatch", "s", &text(JOBS).0));
    assert_eq!(calls[2], message::call(3, &MANAGER, "StartTransientUnit", "s", &text("a.scope").0));
}

#[test]
fn systemds_own_socket_is_spoken_to_at_once() {
    let refused = says(ERROR, &[(4, "s", "org.x.NoSuchUnit")], 1, "s", &text("Unit a.scope not loaded."));
    let (ours, theirs) = bus(vec![refused]);
    let answer = Bus::new(ours, false).unwrap().call("StopUnit", "s", &text("a.scope")).unwrap();
    assert_eq!(answer, Answer::Refused("org.x.NoSuchUnit".into(), "Unit a.scope not loaded.".into()));
    assert_eq!(theirs.join().unwrap().len(), 1);
}

#[test]
fn a_bus_that_goes_away_or_keeps_us_out_is_an_error() {
    let (ours, theirs) = bus(vec![]);
    let mut bus = Bus::new(ours, false).unwrap();
    theirs.join().unwrap();
    assert!(bus.call("StopUnit", "", &Out::default()).is_err());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
    assert_eq!(Bus::new(ours, true).unwrap_err().0, "D-Bus: authenticate: permission denied");
    let error = Bus::connect(&[("/no/such".into(), true), ("/no/other".into(), false)]).unwrap_err().0;
    assert_eq!(error, "connect to /no/such: no such file or directory");
}
