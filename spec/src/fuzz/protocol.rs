//! What a client may send to the monitor's socket, and the monitor to a client.
//!
//! An input is a conversation's one side: parts with a tab between them, each with a letter before it.
//! `m`, `i`, `o` and `e` are frames of that kind with the rest of the part as their payload; any
//! other letter stands for bytes that are no frame, or half of one: the part as it is.

use crate::monitor::{Code, Failure, Frame, Hello, Kind, Reader, Reply, Request, VERSION, Wrong};
use crate::node::Container;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Frames come out of a stream as they went in, however it is cut; a stream that is none is refused alike.
/// A message is understood or refused in words, and one that is understood is told again as the same.
pub fn protocol(input: &[u8]) {
    let (stream, frames) = stream(input);
    let whole = read(&stream, stream.len().max(1));
    let pieces = [1, 2 + input.len() % 7];
    pieces.into_iter().for_each(|piece| assert_eq!(read(&stream, piece), whole, "in pieces of {piece}"));
    let (read, wrong) = whole;
    match frames {
        Some(frames) => assert_eq!((read.as_slice(), wrong), (frames.as_slice(), None)),
        None => assert!(read.iter().map(|frame| frame.payload.len() + 5).sum::<usize>() <= stream.len()),
    }
    converse(&read);
}

/// The bytes, and the frames that they are when all parts are frames.
fn stream(input: &[u8]) -> (Vec<u8>, Option<Vec<Frame>>) {
    let (mut stream, mut frames) = (Vec::new(), Some(Vec::new()));
    for part in input.split(|&byte| byte == b'\t') {
        let Some((letter, payload)) = part.split_first() else { continue };
        let kind = match letter {
            b'm' => Kind::Message,
            b'i' => Kind::Input,
            b'o' => Kind::Output,
            b'e' => Kind::Error,
            _ => {
                stream.extend(part);
                frames = None;
                continue;
            }
        };
        stream.extend(Frame::encode(kind, payload));
        if let Some(frames) = &mut frames {
            frames.push(Frame { kind, payload: payload.to_vec() });
        }
    }
    (stream, frames)
}

/// The frames of a stream that comes in such pieces, up to what is none.
fn read(stream: &[u8], piece: usize) -> (Vec<Frame>, Option<Wrong>) {
    let (mut reader, mut frames) = (Reader::default(), Vec::new());
    for bytes in stream.chunks(piece) {
        reader.push(bytes);
        loop {
            match reader.frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(wrong) => return (frames, Some(wrong)),
            }
        }
    }
    (frames, None)
}

/// As the monitor takes messages: a greeting, a request, and what may follow; and as a client does.
fn converse(frames: &[Frame]) {
    let mut greeted = false;
    for frame in frames.iter().filter(|frame| frame.kind == Kind::Message) {
        if !greeted {
            greeted = told_again::<Hello>(&frame.payload).is_some_and(|hello| hello.version == VERSION);
        }
        if let Some(request) = told_again::<Request>(&frame.payload) {
            follow(&request);
        }
        told_again::<Reply>(&frame.payload);
    }
}

/// What the monitor makes of a request at once.
fn follow(request: &Request) {
    match request {
        Request::Create(create) => {
            create.container.network();
        }
        Request::Update(update) => {
            let of = update.of(&Container::of("image"));
            assert!(update.has_limits() || of == Container { restart: of.restart, ..Container::of("image") });
        }
        _ => {}
    }
}

/// A message that is understood; its text, written anew, means the same.
pub(super) fn told_again<T: DeserializeOwned + Serialize + Debug>(payload: &[u8]) -> Option<T> {
    let message: T = match serde_json::from_slice(payload) {
        Ok(message) => message,
        Err(error) => {
            let message = Failure::new(Code::Invalid, &format!("request: {error}")).message;
            assert!(!message.contains(char::is_control), "{message:?}");
            return None;
        }
    };
    let text = serde_json::to_string(&message).expect("what was read can be written");
    let again: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    // Texts, not values: two readings of a number with many digits may differ in the last.
    let (first, second) = (rounded(&text), rounded(&serde_json::to_string(&again).expect("as before")));
    assert_eq!(first, second);
    Some(message)
}

/// The text without the digits of fractions, in which alone it may differ when it was read and written.
fn rounded(text: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(text).expect("it was read before");
    round(&mut value);
    value.to_string()
}

fn round(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => *value = "a fraction".into(),
        serde_json::Value::Array(list) => list.iter_mut().for_each(round),
        serde_json::Value::Object(map) => map.values_mut().for_each(round),
        _ => {}
    }
}
