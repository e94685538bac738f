//! A connection's streams: what a client did with them, and what is to be sent. No socket here.

use super::frame::{self, Frame, Wrong};
use super::headers::{self, Headers};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// At so many bytes that wait to be served nothing more is read.
pub const MOST_BACKLOG: usize = 256 * 1024;

/// At so many bytes that wait to be sent nothing more is taken for sending.
pub const MOST_WAITING: usize = 64 * 1024;

/// Pieces of a stream that wait are joined up to so many bytes.
const PIECE: usize = 16 * 1024;

/// Most streams at a time.
const STREAMS: usize = 512;

/// At so many bytes of headers that wait to be served no more streams are taken.
pub const MOST_HEADERS: usize = 256 * 1024;

/// The window with which every stream begins [2.6.8].
const WINDOW: i64 = 64 * 1024;

/// Status codes of `RST_STREAM` [2.6.3].
mod status {
    pub const INVALID: u32 = 2;
    pub const REFUSED: u32 = 3;
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Opened a stream, which is to be accepted or refused.
    Opened(u32, Headers),
    /// Sent bytes over it.
    Data(u32, Vec<u8>),
    /// Sends nothing more over it.
    Ended(u32),
    /// Wants it no more.
    Reset(u32),
    /// Leaves.
    Left,
}

/// What is known of a stream that is open in some direction.
#[derive(Debug)]
struct Stream {
    /// Bytes that may be sent, for a peer that counts.
    window: i64,
    /// Bytes that were served since the peer was last granted some.
    served: u32,
    /// The client sends still.
    receives: bool,
    /// We send still.
    sends: bool,
    /// What waits to be sent.
    queue: VecDeque<Vec<u8>>,
    /// After it nothing follows.
    finishing: bool,
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub struct Session {
    reader: frame::Reader,
    inflate: headers::Reader,
    deflate: headers::Writer,
    streams: BTreeMap<u32, Stream>,
    events: VecDeque<Event>,
    backlog: usize,
    /// Bytes of headers in them.
    headers: usize,
    /// The last stream that a client opened.
    last: u32,
    /// The last one over which bytes came though it was not opened.
    unknown: u32,
    /// The window of streams that begin, of a peer that counts.
    counted: Option<i64>,
    /// Streams with something in their queues.
    queued: BTreeSet<u32>,
    /// Bytes that are to be sent.
    pub out: Vec<u8>,
}

impl Session {
    /// Takes in bytes that have come.
    ///
    /// # Errors
    /// They are no SPDY.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Wrong> {
        self.reader.push(bytes);
        while let Some(frame) = self.reader.frame()? {
            self.take(frame)?;
        }
        Ok(())
    }

    /// What the client did next.
    pub fn event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if let Some(Event::Data(stream, bytes)) = &event {
            self.backlog -= bytes.len();
            self.grant(*stream, bytes.len() as u32);
        }
        self.served(event)
    }

    /// The next stream that the client has opened, or that it leaves. The rest stays where it is, and
    /// so counts as backlog.
    pub fn opening(&mut self) -> Option<Event> {
        let next = self.events.iter().position(|event| matches!(event, Event::Opened(..) | Event::Left))?;
        let event = self.events.remove(next);
        self.served(event)
    }

    fn served(&mut self, event: Option<Event>) -> Option<Event> {
        if let Some(Event::Opened(_, headers)) = &event {
            self.headers -= headers::size(headers);
        }
        event
    }

    /// Whether more may be read: not while answers, such as those to pings, wait for a client that does
    /// not read them. Streams' bytes alone never fill so much.
    #[must_use]
    pub fn reads(&self) -> bool {
        let answers = self.out.len() < 2 * MOST_WAITING;
        answers && self.backlog < MOST_BACKLOG && self.events.len() < 2 * STREAMS
    }

    fn take(&mut self, frame: Frame) -> Result<(), Wrong> {
        match frame {
            Frame::Data { stream, fin, bytes } => self.data(stream, fin, bytes),
            Frame::Open { stream, fin, headers } => {
                // Read in any case: the headers that follow depend on these.
                let headers = self.inflate.read(&headers)?;
                self.opened(stream, fin, headers);
            }
            Frame::Headers { stream, fin, headers } => {
                self.inflate.read(&headers)?;
                self.ended(stream, fin);
            }
            Frame::Reset { stream, .. } => {
                if self.remove(stream) {
                    self.events.push_back(Event::Reset(stream));
                }
            }
            Frame::Settings { window } => self.settings(window),
            // Even numbers are answers to pings that we did not send.
            Frame::Ping(number) if number % 2 == 1 => frame::ping(&mut self.out, number),
            Frame::GoAway => self.events.push_back(Event::Left),
            Frame::Window { stream, more } => self.granted(stream, more),
            Frame::Ping(_) | Frame::Other => {}
        }
        Ok(())
    }

    fn data(&mut self, stream: u32, fin: bool, bytes: Vec<u8>) {
        let receives = self.streams.get(&stream).is_some_and(|own| own.receives);
        if !receives {
            // One that has just been reset, perhaps: what was on its way counts for nothing.
            if stream > self.last && stream != self.unknown {
                self.unknown = stream;
                frame::reset(&mut self.out, stream, status::INVALID);
            }
            return;
        }
        if !bytes.is_empty() {
            self.backlog += bytes.len();
            match self.events.back_mut() {
                // One byte by itself takes more memory than it counts for.
                Some(Event::Data(last, own)) if *last == stream && own.len() + bytes.len() <= PIECE => {
                    own.extend(bytes);
                }
                _ => self.events.push_back(Event::Data(stream, bytes)),
            }
        }
        self.ended(stream, fin);
    }

    fn opened(&mut self, stream: u32, fin: bool, headers: Headers) {
        if stream.is_multiple_of(2) || stream <= self.last {
            return frame::reset(&mut self.out, stream, status::INVALID);
        }
        self.last = stream;
        if self.streams.len() >= STREAMS || self.headers >= MOST_HEADERS {
            return frame::reset(&mut self.out, stream, status::REFUSED);
        }
        let window = self.counted.unwrap_or(WINDOW);
        let queue = VecDeque::new();
        let own = Stream { window, served: 0, receives: true, sends: true, queue, finishing: false };
        self.streams.insert(stream, own);
        self.headers += headers::size(&headers);
        self.events.push_back(Event::Opened(stream, headers));
        self.ended(stream, fin);
    }

    fn ended(&mut self, stream: u32, fin: bool) {
        let Some(own) = self.streams.get_mut(&stream).filter(|own| fin && own.receives) else { return };
        own.receives = false;
        self.events.push_back(Event::Ended(stream));
        self.tidy(stream);
    }

    /// The peer speaks of windows: it counts.
    fn settings(&mut self, window: Option<u32>) {
        let Some(window) = window.map(i64::from) else { return };
        let change = window - self.counted.unwrap_or(WINDOW);
        self.streams.values_mut().for_each(|own| own.window += change);
        self.counted = Some(window);
        self.pump();
    }

    fn granted(&mut self, stream: u32, more: u32) {
        self.counted.get_or_insert(WINDOW);
        if let Some(own) = self.streams.get_mut(&stream) {
            own.window = own.window.saturating_add(i64::from(more)).min(i64::from(u32::MAX));
        }
        self.pump();
    }

    /// Grants bytes that were served, in halves of a window.
    fn grant(&mut self, stream: u32, served: u32) {
        let Some(own) = self.streams.get_mut(&stream).filter(|own| own.receives) else { return };
        own.served += served;
        if i64::from(own.served) >= WINDOW / 2 {
            let more = std::mem::take(&mut own.served);
            frame::window(&mut self.out, stream, more);
        }
    }

    /// Takes a stream that was opened.
    pub fn accept(&mut self, stream: u32) {
        if self.streams.contains_key(&stream) {
            let none = self.deflate.none();
            frame::reply(&mut self.out, stream, &none);
        }
    }

    /// Does not take it.
    pub fn refuse(&mut self, stream: u32) {
        if self.remove(stream) {
            frame::reset(&mut self.out, stream, status::REFUSED);
        }
    }

    /// Whether all that was to be sent is on its way, and more may be.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.out.len() < MOST_WAITING && self.queued.is_empty()
    }

    /// Whether something waits for a stream's turn, or its window.
    #[must_use]
    pub fn is_waiting(&self, stream: u32) -> bool {
        self.queued.contains(&stream)
    }

    /// Sends bytes over a stream, when they may be sent. Nobody misses those of a stream that is not
    /// there any more.
    pub fn send(&mut self, stream: u32, bytes: Vec<u8>) {
        let Some(own) = self.streams.get_mut(&stream).filter(|own| own.sends && !own.finishing) else {
            return;
        };
        if !bytes.is_empty() {
            own.queue.push_back(bytes);
            self.queued.insert(stream);
            self.pump();
        }
    }

    /// Sends nothing more over a stream than what waits.
    pub fn finish(&mut self, stream: u32) {
        let Some(own) = self.streams.get_mut(&stream).filter(|own| own.sends) else { return };
        own.finishing = true;
        if own.queue.is_empty() {
            own.sends = false;
            frame::data(&mut self.out, stream, true, &[]);
            self.tidy(stream);
        }
    }

    /// Moves what waits to what is sent, as far as it goes.
    pub fn pump(&mut self) {
        let mut done = Vec::new();
        for &stream in &self.queued {
            let Some(own) = self.streams.get_mut(&stream) else { continue };
            while let Some(first) = own.queue.front_mut() {
                let most = match self.counted {
                    Some(_) => usize::try_from(own.window).unwrap_or(0),
                    None => usize::MAX,
                };
                let length = first.len().min(most).min(MOST_WAITING.saturating_sub(self.out.len()));
                if length == 0 {
                    break;
                }
                own.window -= length as i64;
                frame::data(&mut self.out, stream, false, &first[..length]);
                if length < first.len() {
                    first.drain(..length);
                    break;
                }
                own.queue.pop_front();
            }
            if own.queue.is_empty() {
                done.push((stream, own.finishing));
            }
        }
        for (stream, finishing) in done {
            self.queued.remove(&stream);
            if finishing {
                self.finish(stream);
            }
        }
    }

    /// Ends the connection, well.
    pub fn go_away(&mut self) {
        frame::go_away(&mut self.out, self.last);
    }

    fn tidy(&mut self, stream: u32) {
        if self.streams.get(&stream).is_some_and(|own| !own.receives && !own.sends) {
            self.remove(stream);
        }
    }

    fn remove(&mut self, stream: u32) -> bool {
        self.queued.remove(&stream);
        self.streams.remove(&stream).is_some()
    }
}
