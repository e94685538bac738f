//! Clients of our own, over a connection that has been upgraded: SPDY and WebSocket.

use super::fixture::Fixture;
use crate::server::spdy::frame::{Frame, Reader};
use crate::server::spdy::tests::Client as Writer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{SinkExt, StreamExt};
use std::collections::BTreeMap;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Any connection.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Asks for an upgrade and gives the connection after it, and the answer's head.
pub async fn upgrade(fixture: &Fixture, path: &str, headers: &str) -> (TlsStream<TcpStream>, String) {
    let mut stream = fixture.connect(Some(fixture.clients.sign("apiserver", "g"))).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: n\r\nConnection: Upgrade\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

/// A client of SPDY.
pub struct Spdy<T> {
    io: T,
    pub writer: Writer,
    reader: Reader,
    /// What came over each stream.
    pub got: BTreeMap<u32, Vec<u8>>,
    /// Streams over which nothing more comes.
    pub ended: Vec<u32>,
    /// Streams that were reset.
    pub reset: Vec<u32>,
    pub gone: bool,
}

impl Spdy<TlsStream<TcpStream>> {
    /// After an upgrade with this protocol inside.
    pub async fn connect(fixture: &Fixture, path: &str, protocol: &str) -> Self {
        let headers = format!("Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n");
        let (io, head) = upgrade(fixture, path, &headers).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains(&format!("x-stream-protocol-version: {protocol}")), "{head}");
        Self::over(io)
    }
}

impl<T: Io> Spdy<T> {
    pub fn over(io: T) -> Self {
        let (writer, reader) = (Writer::default(), Reader::default());
        Self { io, writer, reader, got: BTreeMap::new(), ended: vec![], reset: vec![], gone: false }
    }

    /// Opens a stream of this kind.
    pub fn open(&mut self, kind: &str) -> u32 {
        self.writer.open(&[("streamType", kind)])
    }

    /// Sends what was written, and takes in what comes meanwhile, as a client with threads does.
    pub async fn send(&mut self) {
        let bytes = std::mem::take(&mut self.writer.bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (mut from, mut to) = tokio::io::split(&mut self.io);
            let mut piece = [0; 8192];
            let came = tokio::select! {
                written = to.write(rest) => {
                    rest = &rest[written.unwrap()..];
                    continue;
                }
                length = from.read(&mut piece) => length.unwrap_or(0),
            };
            assert_ne!(came, 0, "the server parts amid what is sent");
            self.came(&piece[..came]);
        }
        self.io.flush().await.unwrap();
    }

    /// Takes in what comes next; false at the end.
    pub async fn take(&mut self) -> bool {
        let mut bytes = [0; 8192];
        let length = self.io.read(&mut bytes).await.unwrap_or(0);
        self.came(&bytes[..length]);
        length > 0 && !self.gone
    }

    fn came(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
        while let Some(frame) = self.reader.frame().unwrap() {
            match frame {
                Frame::Data { stream, fin, bytes } => {
                    self.got.entry(stream).or_default().extend(bytes);
                    self.ended.extend(fin.then_some(stream));
                }
                Frame::Reset { stream, .. } => self.reset.push(stream),
                Frame::GoAway => self.gone = true,
                Frame::Headers { .. } | Frame::Window { .. } | Frame::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Takes in all until the server parts.
    pub async fn finish(&mut self) {
        while self.take().await {}
        assert!(self.gone, "it parts in order");
    }

    /// Takes in all until a stream has brought these words.
    pub async fn until(&mut self, stream: u32, words: &str) {
        while !self.text(stream).contains(words) {
            assert!(self.take().await, "{words:?} never came, only {:?}", self.text(stream));
        }
    }

    pub fn text(&self, stream: u32) -> String {
        String::from_utf8_lossy(self.got.get(&stream).map_or(&[], |bytes| bytes)).into_owned()
    }
}

/// A client of WebSockets.
pub struct Socket {
    pub socket: WebSocketStream<TlsStream<TcpStream>>,
    base64: bool,
    /// What came over each channel.
    pub got: BTreeMap<u8, Vec<u8>>,
}

impl Socket {
    pub async fn connect(fixture: &Fixture, path: &str, protocol: &str) -> Self {
        let mut headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            .to_owned();
        if !protocol.is_empty() {
            headers += &format!("Sec-WebSocket-Protocol: {protocol}\r\n");
        }
        let (io, head) = upgrade(fixture, path, &headers).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
        Self { socket, base64: protocol.contains("base64"), got: BTreeMap::new() }
    }

    pub async fn send(&mut self, channel: u8, bytes: &[u8]) {
        let message = match self.base64 {
            true => Message::text(format!("{channel}{}", STANDARD.encode(bytes))),
            false => Message::binary([&[channel], bytes].concat()),
        };
        self.socket.send(message).await.unwrap();
    }

    /// Takes in a message; false at the end.
    pub async fn take(&mut self) -> bool {
        let (channel, bytes) = match self.socket.next().await {
            Some(Ok(Message::Binary(bytes))) if !self.base64 => (bytes[0], bytes[1..].to_vec()),
            Some(Ok(Message::Text(text))) if self.base64 => {
                (text.as_bytes()[0] - b'0', STANDARD.decode(&text[1..]).unwrap())
            }
            Some(Ok(Message::Close(frame))) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1000), "all is well");
                return false;
            }
            None => return false,
            other => panic!("{other:?}"),
        };
        self.got.entry(channel).or_default().extend(bytes);
        true
    }

    pub async fn finish(&mut self) {
        while self.take().await {}
    }

    pub async fn until(&mut self, channel: u8, words: &str) {
        while !self.text(channel).contains(words) {
            assert!(self.take().await, "{words:?} never came, only {:?}", self.text(channel));
        }
    }

    pub fn text(&self, channel: u8) -> String {
        String::from_utf8_lossy(self.got.get(&channel).map_or(&[], |bytes| bytes)).into_owned()
    }
}
