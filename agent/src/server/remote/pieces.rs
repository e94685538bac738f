//! A WebSocket's long messages, cut into short ones as they come. So a message may be of any length, and is never
//! gathered.
//!
//! ```text
//! socket ──▶ [`Pieces`]: frames (RFC 6455 5.2), long ones cut ──▶ who reads messages
//! ```
//!
//! Short messages and control frames are passed on as they are, and so is what is wrong: to say so
//! is left to who reads it.

use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read at once, and the most in a piece.
const PIECE: usize = 16 * 1024;

/// A message in one frame of so many bytes at most is passed on as it is. So none that is read is longer.
pub const SHORT: usize = 64 * 1024;

/// Where a long message may be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cuts {
    /// Anywhere, if it is binary: where messages end means nothing.
    #[default]
    Anywhere,
    /// Anywhere after its first byte, its channel, with which each piece begins.
    AfterChannel,
    /// After its channel between groups of four characters of base64. What is no whole group is dropped.
    BetweenGroups,
}

/// A connection whose reader gets long messages in pieces. What is written goes as it is.
#[derive(Debug)]
pub struct Pieces<T> {
    io: T,
    cutter: Cutter,
}

#[derive(Debug, Default)]
struct Cutter {
    cuts: Cuts,
    /// What has come and was not looked at yet.
    came: BytesMut,
    /// What may be read.
    out: BytesMut,
    /// Where in a frame that is.
    place: Place,
    /// The message that is being cut.
    long: Option<Long>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// Before it.
    #[default]
    Head,
    /// So many bytes before its end; they are passed on.
    Passed(u64),
    /// So many bytes before its end; they are masked by this, and cut.
    Cut(u64, [u8; 4]),
}

#[derive(Debug, Default)]
struct Long {
    /// It is the message's first byte.
    channel: Option<u8>,
    /// This frame is its last one.
    last: bool,
    /// The beginning of a group of base64 whose rest is still to come.
    group: BytesMut,
}

impl<T> Pieces<T> {
    /// Before a connection.
    pub fn new(io: T, cuts: Cuts) -> Self {
        Self { io, cutter: Cutter { cuts, ..Cutter::default() } }
    }
}

impl Cutter {
    /// Moves what can be moved from what came to what may be read.
    fn turn(&mut self) {
        while self.out.is_empty() && !self.came.is_empty() {
            match self.place {
                Place::Head => {
                    if self.head().is_none() {
                        return;
                    }
                }
                Place::Passed(left) => self.pass(left),
                Place::Cut(left, key) => self.cut(left, key),
            }
        }
    }

    /// Takes a frame's head, when all of it is there.
    fn head(&mut self) -> Option<()> {
        let [first, second] = *self.came.first_chunk()?;
        let (sized, masked) = (second & 0x7f, second & 0x80 != 0);
        let after = 2 + [0, 2, 8][usize::from(sized.saturating_sub(125))];
        let size = self.came.get(2..after)?;
        let length = match size {
            [] => u64::from(sized),
            size => size.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
        };
        let key = self.came.get(after..after + 4).filter(|_| masked);
        let key = key.and_then(|key| key.first_chunk()).copied();
        if masked && key.is_none() {
            return None;
        }
        let last = first & 0x80 != 0;
        let is_long = !last || length > SHORT as u64;
        let long = match (first & 0x7f, self.cuts) {
            (0, _) => self.long.take().map(|long| Long { last, ..long }),
            (1, Cuts::Anywhere) => None,
            (1 | 2, _) if is_long => Some(Long { last, ..Long::default() }),
            _ => None,
        };
        match (key, long) {
            (Some(key), Some(long)) => {
                self.came.advance(after + 4);
                self.long = Some(long);
                self.place = Place::Cut(length, key);
                self.ends(length);
            }
            _ => {
                let head = self.came.split_to(after + if masked { 4 } else { 0 });
                self.out.extend_from_slice(&head);
                self.place = if length > 0 { Place::Passed(length) } else { Place::Head };
            }
        }
        Some(())
    }

    fn pass(&mut self, left: u64) {
        let bytes = self.take(left);
        let left = left - bytes.len() as u64;
        self.place = if left > 0 { Place::Passed(left) } else { Place::Head };
        self.out.extend_from_slice(&bytes);
    }

    fn cut(&mut self, left: u64, mut key: [u8; 4]) {
        let mut bytes = self.take(left);
        let left = left - bytes.len() as u64;
        bytes.iter_mut().zip(key.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        key.rotate_left(bytes.len() % 4);
        self.place = Place::Cut(left, key);
        let long = self.long.get_or_insert_default();
        if self.cuts != Cuts::Anywhere && long.channel.is_none() {
            long.channel = Some(bytes.get_u8());
        }
        if self.cuts == Cuts::BetweenGroups {
            long.group.unsplit(bytes);
            bytes = long.group.split_to(long.group.len() / 4 * 4);
        }
        if !bytes.is_empty() {
            message(&mut self.out, long.channel, &bytes);
        }
        self.ends(left);
    }

    /// After a frame that is cut comes a head.
    fn ends(&mut self, left: u64) {
        if left == 0 {
            self.place = Place::Head;
            self.long.take_if(|long| long.last);
        }
    }

    fn take(&mut self, most: u64) -> BytesMut {
        let length = usize::try_from(most).unwrap_or(PIECE).min(PIECE).min(self.came.len());
        self.came.split_to(length)
    }
}

/// A short message, as a client writes it, masked by nothing.
fn message(out: &mut BytesMut, channel: Option<u8>, bytes: &[u8]) {
    let length = (bytes.len() + usize::from(channel.is_some())) as u16;
    match length {
        0..=125 => out.extend([0x82, 0x80 | length as u8]),
        _ => out.extend([0x82, 0x80 | 126].into_iter().chain(length.to_be_bytes())),
    }
    out.extend_from_slice(&[0; 4]);
    out.extend(channel);
    out.extend_from_slice(bytes);
}

impl<T: AsyncRead + Unpin> AsyncRead for Pieces<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, cutter } = self.get_mut();
        loop {
            cutter.turn();
            if !cutter.out.is_empty() {
                let length = cutter.out.len().min(buffer.remaining());
                buffer.put_slice(&cutter.out[..length]);
                cutter.out.advance(length);
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; PIECE];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *io).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            cutter.came.extend_from_slice(read.filled());
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Pieces<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    /// What a server reads of these messages, through a pipe of so many bytes.
    async fn read(messages: Vec<Message>, pipe: usize, cuts: Cuts) -> Vec<Message> {
        let (near, far) = tokio::io::duplex(pipe);
        tokio::spawn(async move {
            let mut client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
            for message in messages {
                client.send(message).await.unwrap();
            }
        });
        let pieces = Pieces::new(near, cuts);
        let server = WebSocketStream::from_raw_socket(pieces, Role::Server, None).await;
        server.filter_map(|read| std::future::ready(read.ok())).collect().await
    }

    fn content(length: usize) -> Vec<u8> {
        std::iter::once(4).chain((0..length).map(|number| (number % 251) as u8)).collect()
    }

    /// The content of messages that are pieces of one.
    fn joined(messages: &[Message]) -> Vec<u8> {
        let mut all = vec![4];
        for message in messages {
            let Message::Binary(bytes) = message else { panic!("{message:?}") };
            assert!(bytes[0] == 4 && bytes.len() <= PIECE + 1, "{} bytes", bytes.len());
            all.extend(&bytes[1..]);
        }
        all
    }

    #[tokio::test]
    async fn a_long_message_comes_in_pieces_of_its_channel() {
        for (length, pipe) in [(100_000, 7), (5_000_000, 64 * 1024)] {
            let own = content(length);
            let got =
                read(vec![Message::binary(own.clone()), Message::text("after")], pipe, Cuts::AfterChannel)
                    .await;
            let (last, pieces) = got.split_last().unwrap();
            assert_eq!(*last, Message::text("after"));
            assert!(joined(pieces) == own, "{length}");
        }
    }

    #[tokio::test]
    async fn a_message_in_frames_comes_as_they_do() {
        let own = content(150_000);
        let frame = |from: usize, to: usize, kind, last| {
            Message::Frame(Frame::message(own[from..to].to_vec(), OpCode::Data(kind), last))
        };
        let messages = vec![
            frame(0, 1, Data::Binary, false),
            frame(1, 3, Data::Continue, false),
            Message::Ping("ping".into()),
            frame(3, 3, Data::Continue, false),
            frame(3, 100_000, Data::Continue, false),
            frame(100_000, own.len(), Data::Continue, true),
            Message::text("after"),
        ];
        let mut got = read(messages, 5000, Cuts::AfterChannel).await;
        assert_eq!(got.remove(1), Message::Ping("ping".into()));
        assert_eq!(got.pop(), Some(Message::text("after")));
        assert!(joined(&got) == own);
    }

    #[tokio::test]
    async fn base64_is_cut_between_its_groups() {
        let own = content(1_000_000);
        let text = format!("0{}", STANDARD.encode(&own));
        let frames = text.as_bytes().chunks(99_999);
        let last = frames.len() - 1;
        let frames = frames.enumerate().map(|(place, part)| {
            let kind = if place == 0 { Data::Text } else { Data::Continue };
            Message::Frame(Frame::message(part.to_vec(), OpCode::Data(kind), place == last))
        });
        let mut all = Vec::new();
        for message in read(frames.collect(), 5000, Cuts::BetweenGroups).await {
            let bytes = message.into_data();
            assert!(bytes[0] == b'0' && bytes.len() <= PIECE + 4, "{} bytes", bytes.len());
            all.extend(STANDARD.decode(&bytes[1..]).unwrap());
        }
        assert!(all == own);
    }

    #[tokio::test]
    async fn without_channels_the_bytes_come_as_they_are() {
        let own = content(5_000_000);
        let messages = vec![Message::binary(own.clone()), Message::text("x".repeat(70_000))];
        let mut got = read(messages, 5000, Cuts::Anywhere).await;
        assert_eq!(got.pop().map(|last| last.len()), Some(70_000), "text is no part of them");
        let all: Vec<u8> = got.into_iter().flat_map(|message| message.into_data().to_vec()).collect();
        assert!(all == own);
    }

    #[tokio::test]
    async fn what_is_short_is_as_it_was() {
        let short = vec![Message::binary(content(60_000)), Message::text(""), Message::text("x".repeat(126))];
        for cuts in [Cuts::Anywhere, Cuts::AfterChannel, Cuts::BetweenGroups] {
            assert!(read(short.clone(), 1000, cuts).await == short, "{cuts:?}");
        }
    }
}
