//! Frames [2.2]: cut from a stream, and written.

use std::fmt;

/// Greatest payload of a control frame, in bytes: they are taken as a whole, and hold headers at most.
pub const MOST: usize = 64 * 1024;

/// Bytes of a frame's head.
const HEAD: usize = 8;

/// The version in every control frame.
const VERSION: u16 = 3;

/// Nothing follows in this direction of the stream [2.3.6].
pub const FIN: u8 = 1;

/// A stream's or a frame's number has 31 bits.
const NUMBER: u32 = 0x7fff_ffff;

/// A frame, its headers still compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes of a stream [2.2.2]: as many of a frame's as have come.
    Data {
        /// Which.
        stream: u32,
        /// They are the last.
        fin: bool,
        /// Them.
        bytes: Vec<u8>,
    },
    /// `SYN_STREAM` [2.6.1].
    Open {
        /// Its number.
        stream: u32,
        /// Nothing will come over it.
        fin: bool,
        /// Its headers.
        headers: Vec<u8>,
    },
    /// `SYN_REPLY` [2.6.2] or `HEADERS` [2.6.7].
    Headers {
        /// Of which.
        stream: u32,
        /// Nothing more will come over it.
        fin: bool,
        /// Them.
        headers: Vec<u8>,
    },
    /// `RST_STREAM` [2.6.3].
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        status: u32,
    },
    /// `SETTINGS` [2.6.4]: the size at which every stream's window begins, if it is among them.
    Settings {
        /// In bytes.
        window: Option<u32>,
    },
    /// `PING` [2.6.5].
    Ping(u32),
    /// `GOAWAY` [2.6.6].
    GoAway,
    /// `WINDOW_UPDATE` [2.6.8].
    Window {
        /// Which; 0 for all together.
        stream: u32,
        /// So many bytes more.
        more: u32,
    },
    /// A control frame of a type that there is not: to be ignored.
    Other,
}

/// What is no SPDY: the connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "no SPDY: {}", self.0)
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong(what.into()))
}

/// Cuts frames from bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    data: Option<Rest>,
}

/// What is still to come of a data frame.
#[derive(Clone, Copy, Debug)]
struct Rest {
    stream: u32,
    fin: bool,
    left: usize,
}

impl Reader {
    /// Takes in the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame, when all of it is there; of a data frame what is there, so that a long one takes
    /// no memory.
    ///
    /// # Errors
    /// What comes is no SPDY; told before memory is taken for it.
    pub fn frame(&mut self) -> Result<Option<Frame>, Wrong> {
        if let Some(rest) = self.data.take() {
            return Ok(self.piece(rest));
        }
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [a, b, c, d, flags, x, y, z] = *head;
        let length = u32::from_be_bytes([0, x, y, z]) as usize;
        if a & 0x80 == 0 {
            let stream = u32::from_be_bytes([a, b, c, d]);
            self.bytes.drain(..HEAD);
            return Ok(self.piece(Rest { stream, fin: flags & FIN != 0, left: length }));
        }
        if length > MOST {
            return wrong(format!("a control frame of {length} bytes"));
        }
        if u16::from_be_bytes([a & 0x7f, b]) != VERSION {
            return wrong(format!("version {}", u16::from_be_bytes([a & 0x7f, b])));
        }
        let Some(payload) = rest.get(..length) else { return Ok(None) };
        let frame = parse(u16::from_be_bytes([c, d]), flags, payload)?;
        self.bytes.drain(..HEAD + length);
        self.give_back();
        Ok(Some(frame))
    }

    /// The next bytes of a data frame, when there are some or there are to be none.
    fn piece(&mut self, rest: Rest) -> Option<Frame> {
        let length = rest.left.min(self.bytes.len());
        let left = rest.left - length;
        if left > 0 {
            self.data = Some(Rest { left, ..rest });
        }
        if length == 0 && left > 0 {
            return None;
        }
        let bytes = self.bytes.drain(..length).collect();
        self.give_back();
        Some(Frame::Data { stream: rest.stream, fin: rest.fin && left == 0, bytes })
    }

    /// Gives back what a great frame took.
    fn give_back(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 1 << 16 {
            self.bytes = Vec::new();
        }
    }
}

/// A control frame.
fn parse(kind: u16, flags: u8, payload: &[u8]) -> Result<Frame, Wrong> {
    let fin = flags & FIN != 0;
    Ok(match kind {
        1 => {
            let Some((head, headers)) = payload.split_first_chunk::<10>() else {
                return wrong("a short SYN_STREAM");
            };
            let [a, b, c, d, ..] = *head;
            let stream = u32::from_be_bytes([a, b, c, d]) & NUMBER;
            Frame::Open { stream, fin, headers: headers.to_vec() }
        }
        2 | 8 => {
            let Some((number, headers)) = payload.split_first_chunk::<4>() else {
                return wrong("short headers");
            };
            let stream = u32::from_be_bytes(*number) & NUMBER;
            Frame::Headers { stream, fin, headers: headers.to_vec() }
        }
        3 => {
            let [stream, status] = numbers(payload)?;
            Frame::Reset { stream: stream & NUMBER, status }
        }
        4 => settings(payload)?,
        6 => {
            let [number] = numbers(payload)?;
            Frame::Ping(number)
        }
        7 => Frame::GoAway,
        9 => {
            let [stream, more] = numbers(payload)?;
            Frame::Window { stream: stream & NUMBER, more: more & NUMBER }
        }
        _ => Frame::Other,
    })
}

fn settings(payload: &[u8]) -> Result<Frame, Wrong> {
    /// `SETTINGS_INITIAL_WINDOW_SIZE`.
    const WINDOW: u32 = 7;
    let Some((count, entries)) = payload.split_first_chunk::<4>() else { return wrong("short SETTINGS") };
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() || entries.len() != u32::from_be_bytes(*count) as usize {
        return wrong("SETTINGS of another number than they say");
    }
    let window = entries.iter().rev().find_map(|&[_, x, y, z, a, b, c, d]| {
        (u32::from_be_bytes([0, x, y, z]) == WINDOW).then_some(u32::from_be_bytes([a, b, c, d]))
    });
    Ok(Frame::Settings { window })
}

/// A payload that is so many numbers of 32 bits.
fn numbers<const COUNT: usize>(payload: &[u8]) -> Result<[u32; COUNT], Wrong> {
    let (numbers, rest) = payload.as_chunks::<4>();
    match <[[u8; 4]; COUNT]>::try_from(numbers) {
        Ok(numbers) if rest.is_empty() => Ok(numbers.map(u32::from_be_bytes)),
        _ => wrong(format!("a control frame of {} bytes", payload.len())),
    }
}

/// Writes bytes of a stream.
pub fn data(out: &mut Vec<u8>, stream: u32, fin: bool, bytes: &[u8]) {
    out.extend(stream.to_be_bytes());
    head(out, u8::from(fin), bytes.len());
    out.extend_from_slice(bytes);
}

/// Writes the answer to a stream that was opened.
pub fn reply(out: &mut Vec<u8>, stream: u32, headers: &[u8]) {
    control(out, 2, 4 + headers.len());
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(headers);
}

/// Writes the end of a stream that is wanted no more.
pub fn reset(out: &mut Vec<u8>, stream: u32, status: u32) {
    write_numbers(out, 3, &[stream, status]);
}

/// Writes a ping's answer.
pub fn ping(out: &mut Vec<u8>, number: u32) {
    write_numbers(out, 6, &[number]);
}

/// Writes that the connection ends, well; `last` is the last stream that was opened.
pub fn go_away(out: &mut Vec<u8>, last: u32) {
    write_numbers(out, 7, &[last, 0]);
}

/// Writes that so many bytes more may come.
pub fn window(out: &mut Vec<u8>, stream: u32, more: u32) {
    write_numbers(out, 9, &[stream, more]);
}

fn write_numbers(out: &mut Vec<u8>, kind: u16, numbers: &[u32]) {
    control(out, kind, numbers.len() * 4);
    numbers.iter().for_each(|number| out.extend(number.to_be_bytes()));
}

fn control(out: &mut Vec<u8>, kind: u16, length: usize) {
    out.extend((VERSION | 0x8000).to_be_bytes());
    out.extend(kind.to_be_bytes());
    head(out, 0, length);
}

/// Flags and length, of 24 bits: what is written here is shorter.
fn head(out: &mut Vec<u8>, flags: u8, length: usize) {
    let [_, x, y, z] = (length as u32).to_be_bytes();
    out.extend([flags, x, y, z]);
}
