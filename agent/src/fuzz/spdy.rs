//! What a SPDY client may send.

use super::{Script, pieces};
use crate::server::spdy::frame::{Frame, Reader, Wrong};
use crate::server::spdy::headers::{client::Client, size};
use crate::server::spdy::session::{Event, MOST_HEADERS, Session};

/// Frames are cut the same, mean the same and are answered the same however the bytes come; what waits is
/// no more than came, but for headers, which have a bound.
pub fn bytes(bytes: &[u8]) {
    let whole = (cut(bytes, bytes.len().max(1)), serve(bytes, bytes.len().max(1)));
    for piece in pieces(bytes.len()) {
        assert!((cut(bytes, piece), serve(bytes, piece)) == whole, "in pieces of {piece}: {whole:?}");
    }
    let (_, (events, out, _)) = whole;
    let (mut data, mut headers, mut one) = (0, 0, 0);
    for event in &events {
        match event {
            Event::Data(_, bytes) => data += bytes.len(),
            Event::Opened(_, own) => {
                headers += size(own);
                one = one.max(size(own));
            }
            Event::Ended(_) | Event::Reset(_) | Event::Left => {}
        }
    }
    assert!(data <= bytes.len() && headers <= MOST_HEADERS + one, "{data} and {headers} bytes wait");
    assert!(out.len() <= 2 * bytes.len(), "{} bytes are answers", out.len());
}

/// The frames, those with data joined, and what is wrong after them.
fn cut(bytes: &[u8], piece: usize) -> (Vec<Frame>, Option<Wrong>) {
    let (mut reader, mut frames) = (Reader::default(), Vec::new());
    for bytes in bytes.chunks(piece) {
        reader.push(bytes);
        loop {
            match reader.frame() {
                Ok(Some(frame)) => join(&mut frames, frame),
                Ok(None) => break,
                Err(wrong) => return (frames, Some(wrong)),
            }
        }
    }
    (frames, None)
}

fn join(frames: &mut Vec<Frame>, frame: Frame) {
    match (frames.last_mut(), frame) {
        (
            Some(Frame::Data { stream: last, fin: fin @ false, bytes: own }),
            Frame::Data { stream, fin: ends, bytes },
        ) if *last == stream => {
            own.extend(bytes);
            *fin = ends;
        }
        (_, frame) => frames.push(frame),
    }
}

/// What a session makes of them: what the client did, its data joined, what it is answered, what is wrong.
fn serve(bytes: &[u8], piece: usize) -> (Vec<Event>, Vec<u8>, Option<Wrong>) {
    let mut session = Session::default();
    let wrong = bytes.chunks(piece).find_map(|bytes| session.receive(bytes).err());
    let out = std::mem::take(&mut session.out);
    let mut events: Vec<Event> = Vec::new();
    while let Some(event) = session.event() {
        match (events.last_mut(), event) {
            (Some(Event::Data(last, own)), Event::Data(stream, bytes)) if *last == stream => {
                own.extend(bytes)
            }
            (_, event) => events.push(event),
        }
    }
    (events, out, wrong)
}

/// The same of frames as a client writes them, whose headers are compressed.
pub fn frames(mut script: Script<'_>) {
    let (mut client, mut sent, mut stream) = (Client::default(), Vec::new(), 1_u32);
    while let Some(what) = script.byte() {
        let piece = script.piece().unwrap_or_default();
        match what % 8 {
            0..=2 => {
                // One header, headers whatever they are, or many of them.
                let text = String::from_utf8_lossy(piece);
                let block = match what % 8 {
                    0 => client.block(&[("streamType", &text), ("port", "80")]),
                    1 => client.plain(piece),
                    _ => client.block(&vec![("", &*text); usize::from(what) * 8]),
                };
                let payload = [&stream.to_be_bytes()[..], &[0; 6], &block].concat();
                control(&mut sent, 1, what / 8 % 2, &payload);
                stream = stream.wrapping_add(2);
            }
            3 => {
                let to = stream.wrapping_sub(2 * u32::from(what / 16));
                crate::server::spdy::frame::data(&mut sent, to, what / 8 % 2 == 1, piece);
            }
            4 => control(&mut sent, (what / 8).into(), 0, piece),
            5 => control(&mut sent, 9, 0, &[&stream.wrapping_sub(2).to_be_bytes()[..], piece].concat()),
            6 => control(&mut sent, 3, 0, &[&stream.wrapping_sub(2).to_be_bytes()[..], &[0; 4]].concat()),
            _ => sent.extend(piece),
        }
    }
    bytes(&sent);
}

fn control(out: &mut Vec<u8>, kind: u16, flags: u8, payload: &[u8]) {
    out.extend(0x8003_u16.to_be_bytes());
    out.extend(kind.to_be_bytes());
    out.extend((u32::from(flags) << 24 | payload.len() as u32).to_be_bytes());
    out.extend(payload);
}
