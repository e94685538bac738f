//! Answers to who watches over nodes: a question, an answer, and the connection is over.

use crate::say::Trouble;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use sys::cause::cause;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// All addresses of the node, of both families.
pub const ALL: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Until a port that was taken is asked for again.
pub const AGAIN: Duration = Duration::from_secs(10);

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most clients of a port at a time.
const CLIENTS: usize = 64;

const PLAIN: &str = "text/plain; charset=utf-8";

/// What is answered.
pub type Answer = Response<Full<Bytes>>;

/// An answer of a kind of words.
pub fn answer(status: StatusCode, kind: &'static str, words: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(words)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// An answer in JSON.
pub fn json(status: StatusCode, words: String) -> Answer {
    answer(status, "application/json", words)
}

/// An answer in words.
pub fn text(words: &str) -> Answer {
    answer(StatusCode::OK, PLAIN, words.to_owned())
}

/// Of a path that there is not.
pub fn nothing() -> Answer {
    answer(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n".to_owned())
}

/// Listens as soon as the port can be had; `whose` follows its number in what is said of it meanwhile.
pub async fn listener(address: IpAddr, port: u16, whose: &str) -> TcpListener {
    let mut trouble = Trouble::default();
    loop {
        let listening = listen(address, port).await.map_err(|error| cause(&error));
        if let Some(listener) = trouble.of(&format!("listen on port {port}{whose}"), listening) {
            return listener;
        }
        sleep(AGAIN).await;
    }
}

/// Of IPv4 alone for `ALL`, where the kernel has nothing else.
pub async fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((address, port)).await {
        Err(error) if address == ALL && error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        listening => listening,
    }
}

/// Answers for ever, by who asks and for which path.
pub async fn serve(
    listener: TcpListener,
    answer: impl Fn(IpAddr, &str) -> Answer + Clone + Send + Sync + 'static,
) {
    let room = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            // Too many open files, or a client that has left.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (answer, peer) = (answer.clone(), peer.ip().to_canonical());
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, client(stream, |path| answer(peer, path))).await;
            drop(permit);
        });
    }
}

/// One client, one question.
async fn client(stream: TcpStream, answer: impl Fn(&str) -> Answer) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    let server = server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
