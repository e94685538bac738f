//! Somebody before the API server who does to requests what a test says: what agents see of an API server that is
//! overloaded, broken, away or behind a bad wire.
//!
//! It is an authenticating proxy (Kubernetes, "Authenticating Proxy"): clients show it their certificates, and it
//! tells the API server who they are; tokens it hands on. It has one thread, which is in the cluster's network.

use super::{Cluster, GATEWAY};
use crate::Result;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::convert::Infallible;
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use x509_cert::der::Decode;

/// A request, by which a test chooses what becomes of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When it came.
    pub at: Instant,
    /// `GET`, say.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Whose certificate came with it; empty without one.
    pub user: String,
}

impl Asked {
    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        self.path.contains("watch=true")
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The API server answers.
    None,
    /// This HTTP status and few words; a second is to be waited, says 429.
    Status(u16),
    /// 200 and something that is no JSON.
    Garbage,
    /// The connection is closed in place of an answer.
    Cut,
    /// No answer comes.
    Silence,
    /// The API server's answer, and the connection is closed after so many lines of it: events of a watch.
    CutAfter(usize),
    /// The API server's answer, which ends as if that were all after so many lines of it.
    EndAfter(usize),
    /// The API server's answer, dated an hour later.
    HourAhead,
    /// The API server's answer as one of a later version might give it: objects have fields that nobody here knows.
    Later,
    /// A watch that says at once that its resourceVersion is too old, by an event.
    Expired,
}

type Rule = Box<dyn Fn(&Asked) -> Fault + Send + Sync>;
type Body = BoxBody<Bytes, Box<dyn Error + Send + Sync>>;

struct State {
    rule: Mutex<Rule>,
    asked: Mutex<Vec<Asked>>,
    /// Counts how often all connections were closed; none is left once the proxy is.
    closed: watch::Sender<u32>,
    away: watch::Sender<bool>,
    /// To the API server as the proxy, and as nobody, for tokens: it takes no other certificate beside one.
    upstream: (TlsConnector, TlsConnector),
}

/// The proxy; it ends with this value.
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
    ends: watch::Sender<bool>,
}

impl Cluster {
    /// Puts a proxy before the API server, which hands everything on at first.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub fn proxy(&self) -> Result<Proxy> {
        let pki = &self.parts.pki;
        let (acceptor, upstream) = (TlsAcceptor::from(server(pki)?), client(pki)?);
        let listener = self.inside(|| TcpListener::bind((GATEWAY, 0)))??;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            rule: Mutex::new(Box::new(|_| Fault::None)),
            asked: Mutex::default(),
            closed: watch::Sender::new(0),
            away: watch::Sender::new(false),
            upstream,
        });
        let (ends, ended) = watch::channel(false);
        let (namespace, shared) = (self.parts.namespace.share()?, state.clone());
        thread::Builder::new().name("proxy".into()).spawn(move || {
            namespace.inside(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(serve(listener, acceptor, shared, ended))
            })
        })?;
        Ok(Proxy { state, address, ends })
    }
}

impl Proxy {
    /// How a node's configuration names it.
    pub fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// From now on this becomes of requests.
    pub fn does(&self, rule: impl Fn(&Asked) -> Fault + Send + Sync + 'static) {
        *self.state.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }

    /// Closes all connections, watches among them.
    pub fn cut(&self) {
        self.state.closed.send_modify(|times| *times += 1);
    }

    /// Nobody is there: connections are closed, those that are there too.
    pub fn goes_away(&self) {
        self.state.away.send_replace(true);
        self.cut();
    }

    /// It is there again.
    pub fn comes_back(&self) {
        self.state.away.send_replace(false);
    }

    /// What was asked until now, and is forgotten with that.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.state.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ends.send_replace(true);
    }
}

fn server(pki: &super::Pki) -> Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.file("ca.crt"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config =
        builder.with_client_cert_verifier(clients.allow_unauthenticated().build()?).with_single_cert(
            vec![CertificateDer::from_pem_file(pki.file("apiserver.crt"))?],
            PrivateKeyDer::from_pem_file(pki.file("apiserver.key"))?,
        )?;
    Ok(Arc::new(config))
}

fn client(pki: &super::Pki) -> Result<(TlsConnector, TlsConnector)> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.file("ca.crt"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let nobody = builder.clone().with_no_client_auth();
    let config = builder.with_client_auth_cert(
        vec![CertificateDer::from_pem_file(pki.file("front-proxy-client.crt"))?],
        PrivateKeyDer::from_pem_file(pki.file("front-proxy-client.key"))?,
    )?;
    Ok((Arc::new(config).into(), Arc::new(nobody).into()))
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    state: Arc<State>,
    mut ended: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = ended.changed() => return Ok(()),
        };
        if *state.away.borrow() {
            continue;
        }
        let (acceptor, state, mut closed) = (acceptor.clone(), state.clone(), state.closed.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = speak(stream, acceptor, &state) => {}
                _ = closed.changed() => {}
            }
        });
    }
}

/// One connection of a client.
async fn speak(stream: TcpStream, acceptor: TlsAcceptor, state: &Arc<State>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| who(chain.first()?));
    let service = service_fn(|request| answer(state.clone(), shown.clone(), request));
    // An error is what a fault looks like from here.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// User and groups that a certificate names.
fn who(der: &CertificateDer<'_>) -> Option<(String, Vec<String>)> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let text = certificate.tbs_certificate().subject().to_string();
    let parts = |key: &str| {
        text.split(',').filter_map(|part| part.strip_prefix(key)).map(str::to_owned).collect::<Vec<_>>()
    };
    Some((parts("CN=").pop()?, parts("O=")))
}

type Shown = Option<(String, Vec<String>)>;

async fn answer(
    state: Arc<State>,
    shown: Shown,
    mut request: Request<Incoming>,
) -> std::result::Result<Response<Body>, Box<dyn Error + Send + Sync>> {
    let path = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let user = shown.as_ref().map(|(user, _)| user.clone()).unwrap_or_default();
    let asked = Asked { at: Instant::now(), method: request.method().to_string(), path, user };
    let fault = state.rule.lock().unwrap_or_else(PoisonError::into_inner)(&asked);
    state.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let own = |status: u16, kind: &'static str, text: &'static str| {
        let mut response =
            Response::new(Full::from(text).map_err(|never: Infallible| match never {}).boxed());
        *response.status_mut() = status.try_into()?;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == 429 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Ok(response)
    };
    const EXPIRED: &str = concat!(
        r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
        r#""message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#,
        "\n"
    );
    match fault {
        Fault::None => pass(&state, shown, request, None).await,
        Fault::Status(status) => own(status, "text/plain", "a fault of the tests"),
        Fault::Garbage => own(200, "application/json", "<html>{\"kind\": \u{7}"),
        Fault::Expired => own(200, "application/json", EXPIRED),
        Fault::HourAhead => {
            let mut response = pass(&state, shown, request, None).await?;
            let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
            response.headers_mut().insert(DATE, date.parse()?);
            Ok(response)
        }
        Fault::Later => {
            request.headers_mut().remove(ACCEPT_ENCODING);
            let mut response = pass(&state, shown, request, None).await?;
            response.headers_mut().remove(CONTENT_LENGTH);
            Ok(response.map(|body| Later { body, held: Vec::new(), over: false }.boxed()))
        }
        Fault::Cut => Err("cut".into()),
        Fault::Silence => std::future::pending().await,
        Fault::CutAfter(lines) => pass(&state, shown, request, Some((lines, true))).await,
        Fault::EndAfter(lines) => pass(&state, shown, request, Some((lines, false))).await,
    }
}

/// Asks the API server as whoever has shown a certificate.
async fn pass(
    state: &State,
    shown: Shown,
    mut request: Request<Incoming>,
    end: Option<(usize, bool)>,
) -> std::result::Result<Response<Body>, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect((GATEWAY, 6443)).await?;
    let upstream = if shown.is_some() { &state.upstream.0 } else { &state.upstream.1 };
    let stream = upstream.connect(ServerName::from(std::net::IpAddr::from(GATEWAY)), stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let headers = request.headers_mut();
    let remote: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    remote.iter().for_each(|name| drop(headers.remove(name)));
    if let Some((user, groups)) = shown {
        headers.insert("x-remote-user", user.parse()?);
        for group in groups {
            headers.append("x-remote-group", group.parse()?);
        }
    }
    let path = request.uri().path_and_query().cloned().ok_or("a request without a path")?;
    *request.uri_mut() = Uri::from(path);
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| match end {
        None => body.map_err(Into::into).boxed(),
        Some((lines, cut)) => Ending { body, lines, cut }.boxed(),
    }))
}

/// An answer that ends before its time.
struct Ending {
    body: Incoming,
    lines: usize,
    cut: bool,
}

impl hyper::body::Body for Ending {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        if self.lines == 0 {
            return Poll::Ready(self.cut.then(|| Err("cut".into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            Ok(frame?.map_data(|mut data| {
                let ends = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
                let ends: Vec<usize> = ends.take(self.lines).collect();
                self.lines -= ends.len();
                if self.lines == 0 {
                    data.truncate(ends.last().copied().unwrap_or_default());
                }
                data
            }))
        }))
    }
}

/// An answer whose objects have more fields, line by line. Before some keys another one stands; where objects are maps of
/// words, it is one more of them.
struct Later {
    body: Body,
    held: Vec<u8>,
    over: bool,
}

impl Later {
    fn rewritten(line: &[u8]) -> Bytes {
        let mut text = String::from_utf8_lossy(line).into_owned();
        for key in ["metadata", "spec", "status"] {
            let more = format!(r#""later{key}":{{"a":[1,null,{{}}]}},"{key}":{{"#);
            text = text.replace(&format!(r#""{key}":{{"#), &more);
        }
        text.replace(r#""name":""#, r#""laterName":"b","name":""#).into()
    }
}

impl hyper::body::Body for Later {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        while !self.over {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => self.held.extend(frame.into_data().unwrap_or_default()),
                None => self.over = true,
            }
            if let Some(end) = self.held.iter().rposition(|byte| *byte == b'\n') {
                let lines: Vec<u8> = self.held.drain(..=end).collect();
                return Poll::Ready(Some(Ok(Frame::data(Self::rewritten(&lines)))));
            }
        }
        let rest = std::mem::take(&mut self.held);
        Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(Self::rewritten(&rest)))))
    }
}
