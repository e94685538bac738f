//! A program's streams over SPDY: the client opens one for each, and names it in a header.
//!
//! ```text
//! streamtype   error, stdin, stdout, stderr, resize
//! ```

use super::carrier::{FromClient, Output};
use super::options::Options;
use super::resize;
use super::status::End;
use super::upgrade::Io;
use crate::server::spdy::driver::{Driver, Happened};
use crate::server::spdy::headers::Headers;
use crate::server::spdy::session::Event;
use std::time::Duration;

/// The protocols over SPDY, best first. Without a number it is the first.
pub const PROTOCOLS: [&str; 4] =
    ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// How long a client may take to open its streams.
const PATIENCE: Duration = Duration::from_secs(30);

/// A carrier over SPDY.
#[derive(Debug)]
pub struct Spdy {
    driver: Driver<Io>,
    streams: Streams,
    sizes: resize::Reader,
    structured: bool,
}

/// The numbers of the streams that there are.
#[derive(Debug, Default)]
struct Streams {
    error: Option<u32>,
    input: Option<u32>,
    output: Option<u32>,
    stderr: Option<u32>,
    resize: Option<u32>,
}

impl Streams {
    /// The place of the stream of these headers, if it is one that is expected.
    fn place(&mut self, headers: &Headers, options: &Options, resizes: bool) -> Option<&mut Option<u32>> {
        let kind = headers.iter().find(|(name, _)| name == "streamtype").map(|(_, value)| value.as_str());
        match kind? {
            "error" => Some(&mut self.error),
            "stdin" if options.input => Some(&mut self.input),
            "stdout" if options.output => Some(&mut self.output),
            "stderr" if options.error => Some(&mut self.stderr),
            "resize" if options.tty && resizes => Some(&mut self.resize),
            _ => None,
        }
        .filter(|place| place.is_none())
    }

    fn complete(&self, options: &Options, resizes: bool) -> bool {
        let there = |place: Option<u32>, wanted: bool| place.is_some() || !wanted;
        there(self.error, true)
            && there(self.input, options.input)
            && there(self.output, options.output)
            && there(self.stderr, options.error)
            && there(self.resize, options.tty && resizes)
    }
}

impl Spdy {
    /// Waits until the client has opened the streams that it asks for; nothing when it does not.
    pub async fn open(io: Io, options: &Options, protocol: &str) -> Option<Self> {
        let mut spdy = Self {
            driver: Driver::new(io),
            streams: Streams::default(),
            sizes: resize::Reader::default(),
            structured: protocol == PROTOCOLS[0],
        };
        let resizes = PROTOCOLS[..2].contains(&protocol);
        let opened = tokio::time::timeout(PATIENCE, spdy.streams_open(options, resizes)).await;
        (opened == Ok(true)).then_some(spdy)
    }

    async fn streams_open(&mut self, options: &Options, resizes: bool) -> bool {
        while !self.streams.complete(options, resizes) {
            match self.driver.next_stream().await {
                Happened::Event(Event::Opened(stream, headers)) => {
                    match self.streams.place(&headers, options, resizes) {
                        Some(place) => {
                            *place = Some(stream);
                            self.driver.session.accept(stream);
                        }
                        None => self.driver.session.refuse(stream),
                    }
                }
                Happened::Event(_) => return false,
                Happened::Sent => {}
            }
        }
        true
    }

    /// See [`super::carrier::Carrier::next`].
    pub async fn next(&mut self, listens: bool) -> FromClient {
        loop {
            let event = match self.driver.next(listens).await {
                Happened::Sent => return FromClient::Room,
                Happened::Event(event) => event,
            };
            if let Some(said) = self.take(event) {
                return said;
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<FromClient> {
        match event {
            Event::Data(stream, bytes) if Some(stream) == self.streams.input => {
                Some(FromClient::Input(bytes))
            }
            Event::Data(stream, bytes) if Some(stream) == self.streams.resize => {
                self.sizes.push(&bytes).map(FromClient::Resize)
            }
            Event::Ended(stream) | Event::Reset(stream) if Some(stream) == self.streams.input => {
                Some(FromClient::InputEnded)
            }
            Event::Left => Some(FromClient::Left),
            Event::Opened(stream, _) => {
                self.driver.session.refuse(stream);
                None
            }
            _ => None,
        }
    }

    /// See [`super::carrier::Carrier::has_room`].
    pub fn has_room(&self) -> bool {
        self.driver.session.has_room()
    }

    /// See [`super::carrier::Carrier::output`].
    pub fn output(&mut self, which: Output, bytes: Vec<u8>) {
        let stream = match which {
            Output::Out => self.streams.output,
            Output::Err => self.streams.stderr,
        };
        if let Some(stream) = stream {
            self.driver.session.send(stream, bytes);
        }
    }

    /// See [`super::carrier::Carrier::part`].
    pub async fn part(mut self, end: &End) {
        let session = &mut self.driver.session;
        if let Some(error) = self.streams.error {
            session.send(error, end.text(self.structured).into_bytes());
        }
        let all = [self.streams.output, self.streams.stderr, self.streams.error];
        all.into_iter().flatten().for_each(|stream| session.finish(stream));
        self.driver.part().await;
    }
}
