//! How requests travel: all of them over one connection, by HTTP/2, but for watches of single objects. Those are of the
//! ConfigMaps and Secrets of a node's pods, of which there may be more than an API server lets share a connection
//! (`--http2-max-streams-per-connection`): each of them has one of its own, by HTTP/1.1. So has everything where HTTP/2 is
//! not spoken.

use super::words;
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::Config;
use kube::client::{Body, ConfigExt};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a connection that somebody reads from may say nothing: longer than a watch lasts. One of HTTP/2 is asked before.
const SILENCE: Duration = Duration::from_secs(330);

/// A connection of HTTP/2 on which nothing comes is asked for a word after so long, and given up without one after so much
/// more: client-go's `HTTP2_READ_IDLE_TIMEOUT_SECONDS` and `HTTP2_PING_TIMEOUT_SECONDS`.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);

/// Where HTTP/2 is not spoken the kernel asks, after so long and again after each such time (tcp(7), `TCP_KEEPIDLE`,
/// `TCP_KEEPINTVL`); so many questions without an answer end it (`TCP_KEEPCNT`).
const ASKED: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 2;

/// What was sent, a question too, may be unanswered so long (tcp(7), `TCP_USER_TIMEOUT`).
const UNANSWERED: Duration = Duration::from_secs(30);

/// What may be under way to us that nobody has read, in bytes: of one answer, and of a connection's all.
const WINDOWS: (u32, u32) = (256 << 10, 1 << 20);

type Connections = Client<TimeoutConnector<HttpsConnector<HttpConnector>>, Body>;

/// The ways to an API server.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    shared: Connections,
    alone: Connections,
}

impl Transport {
    /// To whom a configuration names, believed and shown what it says.
    ///
    /// # Errors
    /// A certificate or key that cannot be used, in words.
    pub(super) fn new(config: &Config) -> Result<Self, String> {
        let connector = |http2: bool| -> Result<_, String> {
            let tls = config.rustls_client_config().map_err(|error| words(&error))?;
            let tcp = tcp();
            let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_only().enable_http1();
            let https = match http2 {
                true => https.enable_http2().wrap_connector(tcp),
                false => https.wrap_connector(tcp),
            };
            let mut connector = TimeoutConnector::new(https);
            connector.set_connect_timeout(Some(CONNECT));
            connector.set_read_timeout(Some(SILENCE));
            connector.set_reset_reader_on_write(true);
            Ok(connector)
        };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).http2_keep_alive_interval(PING).http2_keep_alive_timeout(PONG);
        builder.http2_initial_stream_window_size(WINDOWS.0).http2_initial_connection_window_size(WINDOWS.1);
        Ok(Self { shared: builder.build(connector(true)?), alone: builder.build(connector(false)?) })
    }
}

fn tcp() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(ASKED));
    connector.set_keepalive_interval(Some(ASKED));
    connector.set_keepalive_retries(Some(QUESTIONS));
    connector.set_tcp_user_timeout(Some(UNANSWERED));
    connector
}

impl Service<Request<Body>> for Transport {
    type Response = http::Response<Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let way = if is_watch_of_one(request.uri()) { &self.alone } else { &self.shared };
        way.request(request)
    }
}

fn asks(uri: &Uri, is: impl Fn(&str) -> bool) -> bool {
    uri.query().unwrap_or_default().split('&').any(is)
}

/// A watch: its answer lasts.
pub(super) fn is_watch(uri: &Uri) -> bool {
    asks(uri, |part| part == "watch=true")
}

/// A watch of an object by its name.
fn is_watch_of_one(uri: &Uri) -> bool {
    is_watch(uri) && asks(uri, |part| part.starts_with("fieldSelector=metadata.name%3D"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{getsockopt, sockopt};

    #[tokio::test]
    async fn a_connection_ends_that_leads_nowhere() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stream = tcp().call(uri).await.unwrap().into_inner();
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        let seconds = |own: u32| Duration::from_secs(own.into());
        let idle = seconds(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap());
        let interval = seconds(getsockopt(&stream, sockopt::TcpKeepInterval).unwrap());
        let count = getsockopt(&stream, sockopt::TcpKeepCount).unwrap();
        assert!(idle + interval * count <= Duration::from_secs(45), "{idle:?} {interval:?} {count}");
        assert_eq!(getsockopt(&stream, sockopt::TcpUserTimeout).unwrap(), UNANSWERED.as_millis() as u32);
    }

    #[test]
    fn watches_of_single_objects_are_told_from_others() {
        let is = |text: &'static str| is_watch_of_one(&Uri::from_static(text));
        assert!(is(
            "/api/v1/namespaces/n/secrets?&watch=true&timeoutSeconds=290&fieldSelector=metadata.name%3Dx"
        ));
        assert!(!is("/api/v1/namespaces/n/secrets?&fieldSelector=metadata.name%3Dx&limit=500"), "a list");
        assert!(!is("/api/v1/pods?&watch=true&fieldSelector=spec.nodeName%3Dn"));
        assert!(!is("/api/v1/services?&watch=true"));
    }
}
