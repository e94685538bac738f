//! What carries a program's streams to a client: SPDY or a WebSocket, which look the same from
//! here.

use super::spdy::Spdy;
use super::status::End;
use super::websocket::WebSocket;
use spec::monitor::Size;

/// So many bytes of output may wait for a client.
pub const MOST_WAITING: usize = 64 * 1024;

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromClient {
    /// It sent input.
    Input(Vec<u8>),
    /// It sends no more input.
    InputEnded,
    /// Its terminal has another size.
    Resize(Size),
    /// What waited for it has gone.
    Room,
    /// It has left.
    Left,
}

/// Which of a program's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, or all that a terminal has.
    Out,
    /// Standard error.
    Err,
}

/// A carrier.
#[derive(Debug)]
pub enum Carrier {
    /// Streams of SPDY.
    Spdy(Box<Spdy>),
    /// Channels of a WebSocket.
    WebSocket(Box<WebSocket>),
}

impl Carrier {
    /// What happens next; sends meanwhile. Waiting may be given up at any time. Who does not
    /// listen gets nothing but [`FromClient::Room`] and [`FromClient::Left`].
    pub async fn next(&mut self, listens: bool) -> FromClient {
        match self {
            Self::Spdy(spdy) => spdy.next(listens).await,
            Self::WebSocket(socket) => socket.next(listens).await,
        }
    }

    /// Whether output is taken now; else [`FromClient::Room`] says when.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Spdy(spdy) => spdy.has_room(),
            Self::WebSocket(socket) => socket.has_room(),
        }
    }

    /// Takes output; what the client has no stream for is dropped.
    pub fn output(&mut self, which: Output, bytes: Vec<u8>) {
        match self {
            Self::Spdy(spdy) => spdy.output(which, bytes),
            Self::WebSocket(socket) => socket.output(which, &bytes),
        }
    }

    /// Says how it ended, sends all that waits, and parts.
    pub async fn part(self, end: &End) {
        match self {
            Self::Spdy(spdy) => spdy.part(end).await,
            Self::WebSocket(socket) => socket.part(end).await,
        }
    }
}
