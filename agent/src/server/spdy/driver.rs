//! Carries a session's bytes. Waiting may be given up at any time.

use super::session::{Event, Session};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// How long a peer may take to leave once it was told all.
pub const PARTING: Duration = Duration::from_secs(5);

/// How long it may take nothing of what is to be told: somebody reads in a pager, perhaps. As a
/// kubelet's `streamingConnectionIdleTimeout`.
pub const STALLED: Duration = Duration::from_secs(4 * 3600);

/// A session on a connection.
#[derive(Debug)]
pub struct Driver<T> {
    io: T,
    /// Its streams.
    pub session: Session,
    written: usize,
    /// Bytes went to `io` that it may hold still.
    unflushed: bool,
    left: bool,
}

/// What happened first.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// The client did something.
    Event(Event),
    /// Bytes that waited have gone.
    Sent,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Driver<T> {
    /// A session that begins.
    pub fn new(io: T) -> Self {
        Self { io, session: Session::default(), written: 0, unflushed: false, left: false }
    }

    /// What happens next; sends meanwhile. What the client did is given only to who `listens`, that
    /// it has left, or speaks no SPDY, to everybody ([`Event::Left`]).
    pub async fn next(&mut self, listens: bool) -> Happened {
        let take = if listens { Session::event } else { |_: &mut Session| None };
        std::future::poll_fn(|context| self.poll(context, take)).await
    }

    /// The same for who takes only streams, until all are there ([`Session::opening`]).
    pub async fn next_stream(&mut self) -> Happened {
        std::future::poll_fn(|context| self.poll(context, Session::opening)).await
    }

    fn poll(&mut self, context: &mut Context<'_>, take: fn(&mut Session) -> Option<Event>) -> Poll<Happened> {
        loop {
            if let Some(event) = take(&mut self.session) {
                return Poll::Ready(Happened::Event(event));
            }
            let sent = match self.poll_send(context) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => self.leave(),
                Poll::Pending => false,
            };
            if sent {
                return Poll::Ready(Happened::Sent);
            }
            if self.left {
                return Poll::Ready(Happened::Event(Event::Left));
            }
            if !self.session.reads() {
                return Poll::Pending;
            }
            std::task::ready!(self.poll_receive(context));
        }
    }

    fn leave(&mut self) -> bool {
        self.left = true;
        self.session.out.clear();
        self.written = 0;
        false
    }

    /// Sends what waits; ready once all of it has gone, and says whether there was any.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.left || (self.session.out.is_empty() && !self.unflushed) {
            return Poll::Ready(Ok(false));
        }
        while self.written < self.session.out.len() {
            let rest = &self.session.out[self.written..];
            match std::task::ready!(Pin::new(&mut self.io).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => self.written += length,
            }
            self.unflushed = true;
        }
        self.written = 0;
        // What a burst took is given back.
        if self.session.out.capacity() > 2 * super::session::MOST_WAITING {
            self.session.out = Vec::new();
        }
        self.session.out.clear();
        std::task::ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.unflushed = false;
        self.session.pump();
        Poll::Ready(Ok(true))
    }

    /// Takes in what comes.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; PIECE];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = std::task::ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer));
        let received = match read {
            Ok(()) if buffer.filled().is_empty() => false,
            Ok(()) => self.session.receive(buffer.filled()).is_ok(),
            Err(_) => false,
        };
        if !received {
            self.leave();
        }
        Poll::Ready(())
    }

    /// Sends all that waits, then parts: what the client still sends is read and dropped, because a
    /// socket that is closed with bytes in it takes along what the other side has not read yet.
    pub async fn part(mut self) {
        if !self.send_all().await {
            return;
        }
        self.session.go_away();
        if !self.send_all().await {
            return;
        }
        let parting = async {
            self.io.write_all(&self.session.out).await?;
            self.io.flush().await?;
            self.io.shutdown().await?;
            let mut bytes = [0; 1024];
            while self.io.read(&mut bytes).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = tokio::time::timeout(PARTING, parting).await;
    }

    /// Sends all that waits, however long it takes as long as it goes on; says whether it has gone. The
    /// status is last: a client that was cut off before it would take the program's end for a good one.
    async fn send_all(&mut self) -> bool {
        while !self.left && (!self.session.out.is_empty() || !self.session.has_room()) {
            if tokio::time::timeout(STALLED, self.next(false)).await != Ok(Happened::Sent) {
                return false;
            }
        }
        true
    }
}
