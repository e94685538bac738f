//! SPDY's bytes inside a WebSocket: binary messages whose borders mean nothing.

use crate::server::remote::pieces::{Cuts, Pieces};
use crate::server::remote::upgrade::Io;
use crate::server::remote::websocket::{bounds, close};
use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The bytes of a WebSocket.
#[derive(Debug)]
pub struct Tunnel<T = Io> {
    socket: WebSocketStream<Pieces<T>>,
    /// What is left of the last message.
    rest: Bytes,
    closing: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Tunnel<T> {
    /// The server's end, after the handshake.
    pub async fn open(io: T) -> Self {
        let pieces = Pieces::new(io, Cuts::Anywhere);
        let socket = WebSocketStream::from_raw_socket(pieces, Role::Server, Some(bounds())).await;
        Self { socket, rest: Bytes::new(), closing: false }
    }
}

fn words(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(words(error))),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..length]);
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(context)).map_err(words)?;
        socket.start_send(Message::Binary(Bytes::copy_from_slice(bytes))).map_err(words)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(words)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            // One that cannot be sent any more is not missed.
            let last = close();
            let mut socket = Pin::new(&mut self.socket);
            if ready!(socket.as_mut().poll_ready(context)).is_ok() {
                let _ = socket.start_send(last);
            }
        }
        Pin::new(&mut self.socket).poll_flush(context).map_err(words)
    }
}
