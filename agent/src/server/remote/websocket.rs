//! A program's streams over a WebSocket: each message begins with its channel.
//!
//! ```text
//! 0 input   1 output   2 error   3 status   4 sizes   255 N: channel N is closed, from version 5 on
//! ```
//!
//! With `base64.` in the protocol's name the channel is a digit and the rest base64, in messages
//! of text.

use super::carrier::{FromClient, MOST_WAITING, Output};
use super::options::Options;
use super::pieces::{Cuts, Pieces, SHORT};
use super::resize;
use super::status::End;
use super::upgrade::Io;
use crate::server::spdy::driver::{PARTING, STALLED};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{Sink, Stream};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The protocols over a WebSocket.
pub const PROTOCOLS: [&str; 6] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];

const INPUT: u8 = 0;
const STATUS: u8 = 3;
const SIZES: u8 = 4;
const CLOSE: u8 = 255;

/// A carrier over a WebSocket.
#[derive(Debug)]
pub struct WebSocket<T = Io> {
    socket: WebSocketStream<Pieces<T>>,
    protocol: &'static str,
    /// Whether output and error were asked for.
    wanted: [bool; 2],
    sizes: resize::Reader,
    waiting: VecDeque<Message>,
    /// Bytes in them.
    waiting_bytes: usize,
    unflushed: bool,
    left: bool,
}

/// How a socket's memory is bounded: long messages come in [`Pieces`].
#[must_use]
pub fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(SHORT))
        .max_frame_size(Some(SHORT))
}

/// The close of who has said all: clients take one without a code for a failure.
#[must_use]
pub fn close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    /// A carrier. The client is told that it stands by an empty message over the first channel that
    /// it reads.
    pub async fn open(io: T, protocol: &'static str, options: &Options) -> Self {
        let cuts = if protocol.contains("base64.") { Cuts::BetweenGroups } else { Cuts::AfterChannel };
        let pieces = Pieces::new(io, cuts);
        let socket = WebSocketStream::from_raw_socket(pieces, Role::Server, Some(bounds())).await;
        let sizes = resize::Reader::default();
        let waiting = VecDeque::new();
        let wanted = [options.output, options.error];
        let (unflushed, left) = (false, false);
        let mut own = Self { socket, protocol, wanted, sizes, waiting, waiting_bytes: 0, unflushed, left };
        let first = match own.wanted {
            [true, _] => channel(Output::Out),
            [false, true] => channel(Output::Err),
            [false, false] => STATUS,
        };
        own.queue(first, &[]);
        own
    }

    /// See [`super::carrier::Carrier::next`].
    pub async fn next(&mut self, listens: bool) -> FromClient {
        std::future::poll_fn(|context| self.poll(context, listens)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, listens: bool) -> Poll<FromClient> {
        loop {
            match self.poll_send(context) {
                Poll::Ready(Ok(true)) => return Poll::Ready(FromClient::Room),
                Poll::Ready(Err(())) => self.left = true,
                Poll::Ready(Ok(false)) | Poll::Pending => {}
            }
            if self.left {
                return Poll::Ready(FromClient::Left);
            }
            if !listens {
                return Poll::Pending;
            }
            match std::task::ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => {
                    if let Some(said) = self.take(message) {
                        return Poll::Ready(said);
                    }
                }
                Some(Err(_)) | None => self.left = true,
            }
        }
    }

    /// Sends what waits; ready once all of it has gone, and says whether there was any.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, ()>> {
        if self.left || (self.waiting.is_empty() && !self.unflushed) {
            return Poll::Ready(Ok(false));
        }
        let mut socket = Pin::new(&mut self.socket);
        while !self.waiting.is_empty() {
            std::task::ready!(socket.as_mut().poll_ready(context)).map_err(drop)?;
            let Some(message) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= message.len();
            socket.as_mut().start_send(message).map_err(drop)?;
            self.unflushed = true;
        }
        std::task::ready!(socket.poll_flush(context)).map_err(drop)?;
        self.unflushed = false;
        Poll::Ready(Ok(true))
    }

    fn take(&mut self, message: Message) -> Option<FromClient> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Close(_) => return Some(FromClient::Left),
            _ => return None,
        };
        let (&first, rest) = bytes.split_first()?;
        let (channel, content) = match self.protocol.contains("base64.") {
            true => (first.wrapping_sub(b'0'), STANDARD.decode(rest).ok()?),
            false => (first, rest.to_vec()),
        };
        match (channel, content.as_slice()) {
            (INPUT, []) => None,
            (INPUT, _) => Some(FromClient::Input(content)),
            (SIZES, sizes) => self.sizes.push(sizes).map(FromClient::Resize),
            // One that is cut into pieces means no less.
            (CLOSE, closed) if self.protocol == PROTOCOLS[0] && closed.contains(&INPUT) => {
                Some(FromClient::InputEnded)
            }
            _ => None,
        }
    }

    /// See [`super::carrier::Carrier::has_room`].
    pub fn has_room(&self) -> bool {
        self.waiting_bytes < MOST_WAITING
    }

    /// See [`super::carrier::Carrier::output`].
    pub fn output(&mut self, which: Output, bytes: &[u8]) {
        let [out, err] = self.wanted;
        let wanted = match which {
            Output::Out => out,
            Output::Err => err,
        };
        if wanted && !bytes.is_empty() {
            self.queue(channel(which), bytes);
        }
    }

    fn queue(&mut self, channel: u8, bytes: &[u8]) {
        let message = match self.protocol.contains("base64.") {
            true => Message::text(format!("{channel}{}", STANDARD.encode(bytes))),
            false => {
                let mut content = Vec::with_capacity(bytes.len() + 1);
                content.push(channel);
                content.extend_from_slice(bytes);
                Message::binary(content)
            }
        };
        self.waiting_bytes += message.len();
        self.waiting.push_back(message);
    }

    /// See [`super::carrier::Carrier::part`].
    pub async fn part(mut self, end: &End) {
        let text = end.text(self.protocol.starts_with('v'));
        if !text.is_empty() {
            self.queue(STATUS, text.as_bytes());
        }
        self.waiting.push_back(close());
        self.send_all().await;
        // Then comes the client's own word that it closes.
        let closing = async {
            while let Some(Ok(_)) =
                std::future::poll_fn(|context| Pin::new(&mut self.socket).poll_next(context)).await
            {
            }
        };
        let _ = timeout(PARTING, closing).await;
    }

    /// Sends all that waits, however long it takes as long as it goes on and the client stays.
    async fn send_all(&mut self) {
        let mut end = Instant::now() + STALLED;
        while !self.waiting.is_empty() || self.unflushed {
            match timeout_at(end, self.next(true)).await {
                Ok(FromClient::Left) | Err(_) => return,
                Ok(FromClient::Room) => end = Instant::now() + STALLED,
                // Of no use any more.
                Ok(_) => {}
            }
        }
    }
}

/// The channel of an output.
fn channel(output: Output) -> u8 {
    match output {
        Output::Out => 1,
        Output::Err => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{SinkExt, StreamExt};
    use std::time::Duration;
    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::Error;

    type Client = WebSocketStream<DuplexStream>;

    /// A carrier and its client.
    async fn pair(protocol: &'static str, query: &str) -> (WebSocket<DuplexStream>, Client) {
        let (near, far) = tokio::io::duplex(1024);
        let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (WebSocket::open(near, protocol, &Options::of(query).unwrap()).await, client)
    }

    /// What the client gets: each channel's bytes, and how it is closed.
    async fn all(
        client: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    ) -> ([Vec<u8>; 4], Option<CloseCode>) {
        let mut got: [Vec<u8>; 4] = Default::default();
        loop {
            match client.next().await {
                Some(Ok(Message::Binary(bytes))) => got[usize::from(bytes[0])].extend(&bytes[1..]),
                Some(Ok(Message::Text(text))) => {
                    let (channel, content) = text.split_at(1);
                    let content = STANDARD.decode(content).unwrap();
                    got[channel.parse::<usize>().unwrap()].extend(content);
                }
                Some(Ok(Message::Close(frame))) => return (got, frame.map(|frame| frame.code)),
                other => panic!("{other:?} after {:?} bytes", got.map(|bytes| bytes.len())),
            }
        }
    }

    #[tokio::test]
    async fn a_long_message_is_input_as_it_comes() {
        let own = vec![7; 3_000_001];
        for protocol in [PROTOCOLS[0], PROTOCOLS[2]] {
            let (mut socket, mut client) = pair(protocol, "input=1").await;
            let message = match protocol.contains("base64.") {
                true => Message::text(format!("0{}", STANDARD.encode(&own))),
                false => Message::binary([&[INPUT], own.as_slice()].concat()),
            };
            let send = async { client.send(message).await.unwrap() };
            let serve = async {
                let mut came = Vec::new();
                while came.len() < own.len() {
                    match socket.next(true).await {
                        FromClient::Input(bytes) => {
                            assert!(bytes.len() <= SHORT, "{} bytes at once", bytes.len());
                            came.extend(bytes);
                        }
                        other => assert_eq!(other, FromClient::Room),
                    }
                }
                came
            };
            assert!(tokio::join!(send, serve).1 == own, "{protocol}");
        }
    }

    #[tokio::test]
    async fn a_close_means_the_same_however_it_is_cut() {
        let (mut socket, mut client) = pair(PROTOCOLS[0], "input=1").await;
        client.send(Message::binary(vec![CLOSE, INPUT, 7])).await.unwrap();
        assert_eq!(socket.next(true).await, FromClient::Room);
        assert_eq!(socket.next(true).await, FromClient::InputEnded);
    }

    #[tokio::test]
    async fn only_outputs_that_were_asked_for_come() {
        for (query, [out, err]) in
            [("input=1", ["", ""]), ("error=1", ["", "err"]), ("output=1", ["out", ""])]
        {
            let (mut socket, mut client) = pair(PROTOCOLS[0], query).await;
            socket.output(Output::Out, b"out");
            socket.output(Output::Err, b"err");
            let parting = tokio::spawn(async move { socket.part(&End::Exited(0)).await });
            let (got, _) = all(&mut client).await;
            assert_eq!(got[1..3], [out.as_bytes(), err.as_bytes()], "{query}");
            drop(client);
            parting.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pauses_is_told_all_once_it_goes_on() {
        let (mut socket, mut client) = pair(PROTOCOLS[0], "output=1").await;
        (0..10).for_each(|_| socket.output(Output::Out, &[7; 10_000]));
        let parting = tokio::spawn(async move { socket.part(&End::Exited(9)).await });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let (got, closed) = all(&mut client).await;
        assert_eq!((got[1].len(), closed), (100_000, Some(CloseCode::Normal)));
        assert!(String::from_utf8_lossy(&got[3]).contains("NonZeroExitCode"));
        tokio::time::sleep(PARTING + Duration::from_secs(1)).await;
        assert!(parting.is_finished());
    }
}
