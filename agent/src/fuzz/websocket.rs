//! What a WebSocket's client may send: to a program, or through a tunnel to a port.

use super::{Script, pieces};
use crate::server::forward::tunnel::Tunnel;
use crate::server::remote::carrier::FromClient;
use crate::server::remote::options::Options;
use crate::server::remote::pieces::SHORT;
use crate::server::remote::resize;
use crate::server::remote::websocket::{PROTOCOLS, WebSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A connection over which these bytes come in such pieces; what is written to it is gone.
struct Wire<'a>(std::slice::Chunks<'a, u8>);

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(self.0.next().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Bytes that are read at once from a connection.
const MOST: usize = 16 * 1024;

/// What a client does is the same however the bytes come, and what of it waits is no more than came.
pub fn bytes(mut script: Script<'_>) {
    let Some(which) = script.byte() else { return };
    let bytes = script.0;
    let protocol = PROTOCOLS[usize::from(which) % PROTOCOLS.len()];
    let whole = (serve(bytes, MOST, protocol), tunnel(bytes, MOST));
    let said: usize =
        whole.0.iter().map(|said| if let FromClient::Input(own) = said { own.len() } else { 0 }).sum();
    assert!(said <= bytes.len() && whole.1.0.len() <= bytes.len());
    for piece in pieces(bytes.len().min(MOST)) {
        let again = (serve(bytes, piece, protocol), tunnel(bytes, piece));
        // Of base64 that is wrong as much is dropped as has come.
        let comparable = !protocol.contains("base64.");
        assert!(again.1 == whole.1 && (again.0 == whole.0 || !comparable), "{piece}: {again:?} {whole:?}");
    }
}

/// What the client does until it leaves: its input joined, of sizes the last.
fn serve(bytes: &[u8], piece: usize, protocol: &'static str) -> Vec<FromClient> {
    let options = Options { input: true, output: true, ..Options::default() };
    let wire = Wire(bytes.chunks(piece));
    let mut socket = WebSocket::open(wire, protocol, &options).now_or_never().expect("it waits for nothing");
    let mut all: Vec<FromClient> = Vec::new();
    loop {
        let said = socket.next(true).now_or_never().expect("what comes has come");
        match (all.last_mut(), said) {
            (_, FromClient::Left) => return all,
            (_, FromClient::Room) => {}
            (Some(FromClient::Input(own)), FromClient::Input(bytes)) => {
                assert!(bytes.len() <= SHORT, "{} bytes at once", bytes.len());
                own.extend(bytes);
            }
            (Some(FromClient::Resize(own)), FromClient::Resize(size)) => *own = size,
            (Some(FromClient::InputEnded), FromClient::InputEnded) => {}
            (_, said) => all.push(said),
        }
    }
}

/// What comes through a tunnel, and whether it ends well.
fn tunnel(bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let mut tunnel = Tunnel::open(Wire(bytes.chunks(piece))).now_or_never().expect("it waits for nothing");
    let mut came = Vec::new();
    let read = tunnel.read_to_end(&mut came).now_or_never().expect("what comes has come");
    (came, read.is_ok())
}

/// A message, of which the client may make several frames.
struct Message {
    channel: u8,
    content: Vec<u8>,
    frames: usize,
}

/// Messages arrive as they were sent, whatever their length, their frames and the pings between those.
pub fn messages(mut script: Script<'_>) {
    let Some(which) = script.byte() else { return };
    let protocol = PROTOCOLS[usize::from(which) % PROTOCOLS.len()];
    let mut list = Vec::new();
    while let Some(what) = script.byte() {
        let channel = [0, 0, 1, 4, 4, 255][usize::from(what) % 6];
        let content = script.piece().unwrap_or_default();
        let times = match what / 64 {
            0 | 1 => 1,
            2 => 9,
            _ => 1 + 70_000 / content.len().max(1),
        };
        let content = if channel == 255 { vec![0] } else { content.repeat(times) };
        list.push(Message { channel, content, frames: 1 + usize::from(what / 6 % 5) });
    }
    list.truncate(40);
    let base64 = protocol.contains("base64.");
    let written = |message: &Message| match base64 {
        true => {
            format!("{}{}", char::from(message.channel.wrapping_add(b'0')), STANDARD.encode(&message.content))
                .into_bytes()
        }
        false => [&[message.channel], message.content.as_slice()].concat(),
    };
    // A channel of more than one digit is none in base64.
    list.retain(|message| !base64 || message.channel < 10);
    let mut sent = Vec::new();
    for message in &list {
        frames(&mut sent, if base64 { 1 } else { 2 }, &written(message), message.frames);
    }
    let through: Vec<u8> = if base64 { Vec::new() } else { list.iter().flat_map(written).collect() };
    let meant = meant(&list, protocol);
    for piece in [MOST, 1 + sent.len() % 300] {
        assert!(serve(&sent, piece, protocol) == meant, "{protocol}, in pieces of {piece}: not {meant:?}");
        assert!(tunnel(&sent, piece).0 == through, "in pieces of {piece}");
    }
}

/// What the client does with them.
fn meant(list: &[Message], protocol: &str) -> Vec<FromClient> {
    let (mut all, mut sizes): (Vec<FromClient>, _) = (Vec::new(), resize::Reader::default());
    for Message { channel, content, .. } in list {
        let said = match channel {
            0 if !content.is_empty() => FromClient::Input(content.clone()),
            4 => match sizes.push(content) {
                Some(size) => FromClient::Resize(size),
                None => continue,
            },
            255 if protocol == PROTOCOLS[0] => FromClient::InputEnded,
            _ => continue,
        };
        match (all.last_mut(), said) {
            (Some(FromClient::Input(own)), FromClient::Input(bytes)) => own.extend(bytes),
            (Some(FromClient::Resize(own)), FromClient::Resize(size)) => *own = size,
            (Some(FromClient::InputEnded), FromClient::InputEnded) => {}
            (_, said) => all.push(said),
        }
    }
    all
}

/// A message in so many frames, masked, with a ping after each but the last (RFC 6455 §5.4).
fn frames(out: &mut Vec<u8>, kind: u8, content: &[u8], count: usize) {
    let length = content.len().div_ceil(count).max(1);
    let last = content.chunks(length).count() - 1;
    for (place, part) in content.chunks(length).enumerate() {
        let kind = if place == 0 { kind } else { 0 };
        frame(out, if place == last { kind | 0x80 } else { kind }, part);
        if place < last {
            frame(out, 0x89, b"ping");
        }
    }
}

fn frame(out: &mut Vec<u8>, first: u8, content: &[u8]) {
    const KEY: [u8; 4] = [0xa5, 0, 0x5a, 7];
    out.push(first);
    match content.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65_536 => {
            out.push(0x80 | 126);
            out.extend((length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(KEY);
    out.extend(content.iter().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
}
