//! One connection to a pod: a task that has one piece on its way in each direction.

use super::dial::{Place, dial};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// Bytes that are read at once.
const PIECE: usize = 16 * 1024;

/// What comes from a pod, each with the data stream's number.
#[derive(Debug)]
pub enum FromPod {
    /// Bytes; the next are read when this piece has gone.
    Bytes(u32, Vec<u8>, oneshot::Sender<()>),
    /// The pod has taken what it was given last.
    Took(u32),
    /// Nothing more comes.
    Ended(u32),
    /// Nothing more goes either way.
    Gone(u32),
    /// There is no connection, in words.
    Failed(u32, String),
}

/// A connection as who serves the client sees it. It ends with this value.
#[derive(Debug)]
pub struct Connection {
    to_pod: Option<mpsc::UnboundedSender<Vec<u8>>>,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in it.
    waiting: usize,
    /// The pod has a piece that it has not taken yet.
    busy: bool,
    /// The client sends nothing more.
    ended: bool,
    task: AbortHandle,
}

impl Connection {
    /// Connects.
    pub fn open(stream: u32, place: Place, port: u16, to_us: mpsc::Sender<FromPod>) -> Self {
        let (to_pod, pieces) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(stream, place, port, pieces, to_us)).abort_handle();
        // The first piece goes with the connection made.
        Self { to_pod: Some(to_pod), queue: VecDeque::new(), waiting: 0, busy: false, ended: false, task }
    }

    /// Bytes that wait for the pod.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Gives the pod bytes, in their turn.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.waiting += bytes.len();
        match self.queue.back_mut() {
            // One byte by itself takes more memory than it counts for.
            Some(last) if last.len() + bytes.len() <= PIECE => last.extend(bytes),
            _ => self.queue.push_back(bytes),
        }
        self.go_on();
    }

    /// The client sends nothing more.
    pub fn end(&mut self) {
        self.ended = true;
        self.go_on();
    }

    /// The pod has taken a piece.
    pub fn took(&mut self) {
        self.busy = false;
        self.go_on();
    }

    fn go_on(&mut self) {
        if self.busy {
            return;
        }
        match (self.queue.pop_front(), &self.to_pod) {
            (Some(piece), Some(to_pod)) => {
                self.waiting -= piece.len();
                self.busy = to_pod.send(piece).is_ok();
            }
            (None, Some(_)) if self.ended => self.to_pod = None,
            _ => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    stream: u32,
    place: Place,
    port: u16,
    pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    to_us: mpsc::Sender<FromPod>,
) {
    match dial(&place, port).await {
        Ok(connection) => {
            let (from_pod, to_pod) = connection.into_split();
            tokio::join!(down(stream, from_pod, &to_us), up(stream, to_pod, pieces, &to_us));
            let _ = to_us.send(FromPod::Gone(stream)).await;
        }
        Err(words) => drop(to_us.send(FromPod::Failed(stream, words)).await),
    }
}

/// From the pod to the client.
async fn down(stream: u32, mut from_pod: OwnedReadHalf, to_us: &mpsc::Sender<FromPod>) {
    loop {
        let mut bytes = Vec::with_capacity(PIECE);
        match from_pod.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let (sender, gone) = oneshot::channel();
        if to_us.send(FromPod::Bytes(stream, bytes, sender)).await.is_err() || gone.await.is_err() {
            return;
        }
    }
    let _ = to_us.send(FromPod::Ended(stream)).await;
}

/// From the client to the pod. One that takes nothing any more is told nothing.
async fn up(
    stream: u32,
    mut to_pod: OwnedWriteHalf,
    mut pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    to_us: &mpsc::Sender<FromPod>,
) {
    while let Some(piece) = pieces.recv().await {
        let _ = to_pod.write_all(&piece).await;
        if to_us.send(FromPod::Took(stream)).await.is_err() {
            return;
        }
    }
    let _ = to_pod.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_pieces_wait_as_few_great_ones() {
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        let (sender, mut pieces) = mpsc::unbounded_channel();
        let queue = VecDeque::new();
        let mut own = Connection { to_pod: Some(sender), queue, waiting: 0, busy: true, ended: false, task };
        (0..3 * PIECE).for_each(|_| own.push(vec![7]));
        assert_eq!((own.waiting(), own.queue.len()), (3 * PIECE, 3));
        own.took();
        assert_eq!((own.waiting(), pieces.recv().await.map(|piece| piece.len())), (2 * PIECE, Some(PIECE)));
    }
}
