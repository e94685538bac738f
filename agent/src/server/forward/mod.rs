//! `port-forward`: connections to a pod's ports, each over two streams of SPDY that the client
//! opens.
//!
//! ```text
//! streamtype   data: the connection's bytes; error: why there is none, in words
//! port         of the pod
//! requestid    the same for the two; without it the data stream follows its error stream
//! ```
//!
//! SPDY goes over the upgraded connection, or through a WebSocket (`tunnel`).

mod connection;
mod dial;
mod pairs;
#[cfg(test)]
mod tests;
pub mod tunnel;

use super::Host;
use super::answer::{Answer, text};
use super::remote::upgrade::{self, Wanted};
use super::route::Target;
use super::spdy::driver::{Driver, Happened};
use super::spdy::headers::Headers;
use super::spdy::session::{Event, MOST_BACKLOG, MOST_WAITING};
use connection::{Connection, FromPod};
use dial::Place;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use pairs::{Pair, Pairs};
use std::collections::BTreeMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// The protocol over SPDY.
const PROTOCOL: &str = "portforward.k8s.io";

/// The same through a WebSocket.
const TUNNELLED: &str = "SPDY/3.1+portforward.k8s.io";

/// Pieces from pods that may wait for their turn.
const PIECES: usize = 16;

/// Answers `/portForward`.
pub fn forward(host: &Host, mut request: Request<Incoming>, target: &Target) -> Answer {
    let Some(pod) = host.pods.find(&target.namespace, &target.pod, target.uid.as_deref()) else {
        return text(StatusCode::NOT_FOUND, "pod does not exist");
    };
    let Some(place) = Place::of(pod) else {
        return text(StatusCode::NOT_FOUND, "pod has no network: it has ended, or not begun yet");
    };
    let upgraded = match upgrade::wanted(request.method(), request.headers()) {
        None => return upgrade::required(),
        Some(Wanted::Spdy) => upgrade::spdy(request.headers(), &[PROTOCOL]).map(|(answer, _)| {
            upgrade::go_on(&mut request, |io| serve(io, place));
            answer
        }),
        Some(Wanted::WebSocket) => upgrade::websocket(request.headers(), &[TUNNELLED]).map(|(answer, _)| {
            upgrade::go_on(&mut request, |io| async { serve(tunnel::Tunnel::open(io).await, place).await });
            answer
        }),
    };
    upgraded.unwrap_or_else(|refusal| *refusal)
}

/// Serves one client until it leaves.
async fn serve<T: AsyncRead + AsyncWrite + Unpin>(io: T, place: Place) {
    let (to_us, from_pod) = mpsc::channel(PIECES);
    let forwarder = Forwarder {
        driver: Driver::new(io),
        place,
        pairs: Pairs::default(),
        connections: BTreeMap::new(),
        errors: BTreeMap::new(),
        acknowledge: BTreeMap::new(),
        to_us,
    };
    forwarder.run(from_pod).await;
}

struct Forwarder<T> {
    driver: Driver<T>,
    place: Place,
    pairs: Pairs,
    /// By their data streams.
    connections: BTreeMap<u32, Connection>,
    /// The error stream of each data stream.
    errors: BTreeMap<u32, u32>,
    /// Who is told that its piece has gone.
    acknowledge: BTreeMap<u32, oneshot::Sender<()>>,
    to_us: mpsc::Sender<FromPod>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Forwarder<T> {
    async fn run(mut self, mut from_pod: mpsc::Receiver<FromPod>) {
        loop {
            let listens = self.connections.values().map(Connection::waiting).sum::<usize>() < MOST_BACKLOG;
            let room = self.driver.session.out.len() < MOST_WAITING;
            tokio::select! {
                happened = self.driver.next(listens) => match happened {
                    Happened::Event(Event::Left) => break,
                    Happened::Event(event) => self.take(event),
                    Happened::Sent => {}
                },
                Some(piece) = from_pod.recv(), if room => self.pass(piece),
            }
            let session = &self.driver.session;
            let gone = self.acknowledge.extract_if(.., |stream, _| !session.is_waiting(*stream));
            for (_, sender) in gone {
                let _ = sender.send(());
            }
        }
        self.driver.part().await;
    }

    /// What the client did.
    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(stream, headers) => self.opened(stream, &headers),
            Event::Data(stream, bytes) => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.push(bytes);
                }
            }
            Event::Ended(stream) => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.end();
                }
            }
            Event::Reset(stream) => {
                self.connections.remove(&stream);
                self.acknowledge.remove(&stream);
                if let Some(error) = self.errors.remove(&stream) {
                    self.driver.session.finish(error);
                }
            }
            Event::Left => {}
        }
    }

    fn opened(&mut self, stream: u32, headers: &Headers) {
        match self.pairs.add(stream, headers) {
            Err(()) => self.driver.session.refuse(stream),
            Ok(pair) => {
                self.driver.session.accept(stream);
                if let Some(Pair { data, error, port }) = pair {
                    let connection = Connection::open(data, self.place.clone(), port, self.to_us.clone());
                    self.connections.insert(data, connection);
                    self.errors.insert(data, error);
                }
            }
        }
    }

    /// What came from a pod.
    fn pass(&mut self, piece: FromPod) {
        let session = &mut self.driver.session;
        match piece {
            FromPod::Bytes(stream, bytes, gone) => {
                session.send(stream, bytes);
                self.acknowledge.insert(stream, gone);
            }
            FromPod::Took(stream) => {
                if let Some(connection) = self.connections.get_mut(&stream) {
                    connection.took();
                }
            }
            FromPod::Ended(stream) => self.ended(stream, None),
            FromPod::Gone(stream) => drop(self.connections.remove(&stream)),
            FromPod::Failed(stream, words) => self.ended(stream, Some(words)),
        }
    }

    /// Nothing more comes from a pod: both streams end, the error stream with words if there are any.
    fn ended(&mut self, stream: u32, words: Option<String>) {
        let Some(error) = self.errors.remove(&stream) else { return };
        if let Some(words) = words {
            self.driver.session.send(error, words.into_bytes());
            self.connections.remove(&stream);
        }
        self.driver.session.finish(error);
        self.driver.session.finish(stream);
    }
}
