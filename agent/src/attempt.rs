//! One look at a container, or one word to it: what probes and lifecycle hooks do.

use crate::monitor::{Event, Monitor};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::{
    ContainerPort, ExecAction, GRPCAction, HTTPGetAction, HTTPHeader, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, InvalidMessage, SignatureScheme};
use spec::monitor::{Exec, Request as Asked};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use sys::cause::cause;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// Most of what a program or a server says that is kept.
const MOST: usize = 10 * 1024;

/// How an attempt came out: whether it is well, and what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is well.
    Good,
    /// It is well, but somebody should know this.
    Warning(String),
    /// It is not, in words.
    Bad(String),
    /// Nobody knows: it could not be tried.
    Unknown(String),
}

/// A port by number, or by its name among a container's.
pub fn port(asked: &IntOrString, ports: Option<&[ContainerPort]>) -> Option<u16> {
    let number = match asked {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.parse() {
            Ok(number) => number,
            Err(_) => ports?.iter().find(|port| port.name.as_ref() == Some(name))?.container_port,
        },
    };
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// Runs a program in a container; it is well when that ends with 0. One that takes too long is killed.
pub async fn exec(monitor: &Monitor, container: &str, action: &ExecAction, limit: Duration) -> Outcome {
    let command = action.command.clone().unwrap_or_default();
    let asked = Exec { name: container.to_owned(), command: command.clone(), ..Exec::default() };
    let mut streams = match monitor.stream(&Asked::Exec(Box::new(asked))).await {
        Ok(streams) => streams,
        Err(error) => return Outcome::Unknown(error.to_string()),
    };
    let mut said = Vec::new();
    let run = async {
        loop {
            match streams.next().await {
                Ok(Event::Output(bytes) | Event::Error(bytes)) => {
                    let room = MOST.saturating_sub(said.len());
                    said.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                Ok(Event::Exited { status, error, .. }) => return ended(status, error, &said),
                Ok(_) => {}
                Err(error) => return Outcome::Unknown(error.to_string()),
            }
        }
    };
    match timeout(limit, run).await {
        Ok(outcome) => outcome,
        Err(_) => {
            // The monitor kills all that it has started.
            let _ = streams.signal(nix::libc::SIGKILL);
            Outcome::Bad(format!(
                "command timed out: {:?} timed out after {}s",
                command.join(" "),
                limit.as_secs()
            ))
        }
    }
}

/// What a program's end says of a container; one that could not be run at all says nothing.
fn ended(status: u8, error: Option<String>, said: &[u8]) -> Outcome {
    match (status, error) {
        (_, Some(words)) => Outcome::Unknown(words),
        (0, None) => Outcome::Good,
        (_, None) => Outcome::Bad(String::from_utf8_lossy(said).into_owned()),
    }
}

/// Whom to ask: the pod, unless the probe names another.
fn target(
    pod: IpAddr,
    host: Option<&str>,
    asked: &IntOrString,
    ports: Option<&[ContainerPort]>,
) -> Result<(String, u16), String> {
    let port = port(asked, ports).ok_or_else(|| format!("there is no port {asked:?}"))?;
    let host = host.filter(|host| !host.is_empty()).map_or_else(|| pod.to_string(), str::to_owned);
    Ok((host, port))
}

/// Connects.
pub async fn tcp(
    address: IpAddr,
    action: &TCPSocketAction,
    ports: Option<&[ContainerPort]>,
    limit: Duration,
) -> Outcome {
    let (host, port) = match target(address, action.host.as_deref(), &action.port, ports) {
        Ok(target) => target,
        Err(reason) => return Outcome::Unknown(reason),
    };
    match timeout(limit, dial(&host, port)).await {
        Ok(Ok(_)) => Outcome::Good,
        Ok(Err(reason)) => Outcome::Bad(reason),
        Err(_) => Outcome::Bad(format!("dial tcp {}: i/o timeout", authority(&host, port))),
    }
}

/// Connects; why it cannot is said in a kubelet's words.
async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|error| {
        // One without a number is of the name, which nobody has.
        let call = if error.raw_os_error().is_some() { "connect: " } else { "" };
        format!("dial tcp {}: {call}{}", authority(host, port), cause(&error))
    })
}

/// A host and a port as a URL has them.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn url(host: &str, port: u16, secure: bool, path: &str) -> String {
    format!("http{}://{}{path}", if secure { "s" } else { "" }, authority(host, port))
}

/// Asks for a page; it is well when the answer is 200 to 399. A redirect to the same host is followed, one to
/// another is an answer, of which somebody should know.
pub async fn http(
    address: IpAddr,
    action: &HTTPGetAction,
    ports: Option<&[ContainerPort]>,
    limit: Duration,
) -> Outcome {
    match page(address, action, ports, limit).await {
        Ok(Page { status: 200..=299, .. }) => Outcome::Good,
        Ok(Page { status: 300..=399, body, .. }) => {
            Outcome::Warning(format!("Probe terminated redirects, Response body: {body}"))
        }
        Ok(Page { status, .. }) => Outcome::Bad(format!("HTTP probe failed with statuscode: {status}")),
        Err(outcome) => outcome,
    }
}

/// Asks for a page of which only that there is an answer matters, as to a lifecycle hook. A server that is to speak HTTPS
/// and speaks HTTP is asked once more, in its own way, as by a kubelet: of that somebody should know.
pub async fn call(
    address: IpAddr,
    action: &HTTPGetAction,
    ports: Option<&[ContainerPort]>,
    limit: Duration,
) -> Outcome {
    let action = as_hook(action);
    let (asked, words) = match page(address, &action, ports, limit).await {
        Ok(_) => return Outcome::Good,
        Err(Outcome::Bad(words)) if words.ends_with(PLAIN) => (in_plain(&action), words),
        Err(outcome) => return outcome,
    };
    let (Ok(_), Ok((host, port))) = (
        page(address, &asked, ports, limit).await,
        target(address, action.host.as_deref(), &action.port, ports),
    ) else {
        return Outcome::Bad(words);
    };
    let host = authority(&host, port);
    Outcome::Warning(format!(
        "request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
    ))
}

/// Hooks ask in a name of their own, unless they have another.
fn as_hook(action: &HTTPGetAction) -> HTTPGetAction {
    let mut own = action.clone();
    if !has(action, "User-Agent") {
        let named = HTTPHeader { name: "User-Agent".to_owned(), value: "kube-lifecycle/1.36".to_owned() };
        own.http_headers.get_or_insert_default().push(named);
    }
    own
}

/// It says a header of this name itself.
fn has(action: &HTTPGetAction, name: &str) -> bool {
    action.http_headers.iter().flatten().any(|header| header.name.eq_ignore_ascii_case(name))
}

/// Why a server of HTTP is no server of HTTPS, in a kubelet's words.
const PLAIN: &str = "server gave HTTP response to HTTPS client";

/// The same without TLS, and without what must not be read on the way.
fn in_plain(action: &HTTPGetAction) -> HTTPGetAction {
    let mut plain = HTTPGetAction { scheme: None, ..action.clone() };
    plain.http_headers.iter_mut().for_each(|all| {
        all.retain(|header| !header.name.eq_ignore_ascii_case("authorization"));
    });
    plain
}

async fn page(
    address: IpAddr,
    action: &HTTPGetAction,
    ports: Option<&[ContainerPort]>,
    limit: Duration,
) -> Result<Page, Outcome> {
    let (host, port) =
        target(address, action.host.as_deref(), &action.port, ports).map_err(Outcome::Unknown)?;
    let secure = action.scheme.as_deref().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    let path = encoded(&if path.starts_with('/') { path } else { format!("/{path}") });
    let asked = url(&host, port, secure, &path);
    match timeout(limit, follow(action, &host, port, secure, path)).await {
        Ok(page) => page.map_err(Outcome::Bad),
        Err(_) => Err(Outcome::Bad(format!(
            "Get \"{asked}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        ))),
    }
}

/// A path and query as they stand in a request: what no URL may have is written by its numbers.
fn encoded(path: &str) -> String {
    let bytes = path.split('#').next().unwrap_or_default().as_bytes();
    let is_escape =
        |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let one = |(at, byte): (usize, &u8)| match byte {
        b'%' if !is_escape(at) => "%25".to_owned(),
        b'!' | b'$'..=b';' | b'=' | b'?'..=b'Z' | b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
            char::from(*byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().enumerate().map(one).collect()
}

/// What a server answers.
struct Page {
    status: u16,
    location: Option<String>,
    /// The beginning of it.
    body: String,
}

async fn follow(
    action: &HTTPGetAction,
    host: &str,
    mut port: u16,
    mut secure: bool,
    mut path: String,
) -> Result<Page, String> {
    for _ in 0..10 {
        let page = get(action, host, port, secure, &path).await;
        let page = page.map_err(|error| format!("Get \"{}\": {error}", url(host, port, secure, &path)))?;
        let location = page.location.as_ref().filter(|_| (300..400).contains(&page.status));
        let Some(uri) = location.and_then(|location| location.parse::<Uri>().ok()) else { return Ok(page) };
        match uri.host() {
            Some(other) if other.trim_matches(['[', ']']) != host => return Ok(page),
            Some(_) => {
                secure = uri.scheme_str() == Some("https");
                port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
            }
            None => {}
        }
        path = uri.path_and_query().map_or_else(|| "/".to_owned(), |own| own.to_string());
    }
    Err("stopped after 10 redirects".to_owned())
}

async fn get(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    secure: bool,
    path: &str,
) -> Result<Page, String> {
    let stream = dial(host, port).await?;
    let mut request = Request::get(path);
    for header in action.http_headers.iter().flatten() {
        request = request.header(header.name.as_str(), header.value.as_str());
    }
    let authority = authority(host, port);
    for (name, value) in [("Host", &*authority), ("User-Agent", "kube-probe/1.36"), ("Accept", "*/*")] {
        if !has(action, name) {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
    if !secure {
        return answer(stream, request).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(anybody());
    let stream = connector.connect(name, stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                format!("http: {PLAIN}")
            }
            _ => cause(&error),
        }
    })?;
    answer(stream, request).await
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<bytes::Bytes>>,
) -> Result<Page, String> {
    let words = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(words)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(words);
    let outcome = match response {
        Ok(response) => {
            let location =
                response.headers().get("location").and_then(|own| own.to_str().ok()).map(str::to_owned);
            let status = response.status().as_u16();
            // Some servers mind when nobody listens to the end; a little of it is enough.
            let mut frames = response.into_body();
            let mut body = Vec::new();
            while let Some(Ok(frame)) = frames.frame().await {
                body.extend_from_slice(frame.data_ref().map_or(&[][..], |own| own));
                if body.len() > MOST {
                    break;
                }
            }
            body.truncate(MOST);
            Ok(Page { status, location, body: String::from_utf8_lossy(&body).into_owned() })
        }
        Err(reason) => Err(reason),
    };
    driver.abort();
    outcome
}

/// Asks a gRPC server for its health (`grpc.health.v1.Health/Check`, by HTTP/2 without TLS).
pub async fn grpc(address: IpAddr, action: &GRPCAction, limit: Duration) -> Outcome {
    let Ok(port) = u16::try_from(action.port) else {
        return Outcome::Unknown(format!("there is no port {}", action.port));
    };
    let (authority, until) = (authority(&address.to_string(), port), Instant::now() + limit);
    let service = action.service.clone().unwrap_or_default();
    let stream = match timeout_at(until, dial(&address.to_string(), port)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => {
            return Outcome::Bad(format!("error: failed to connect service at {authority:?}: {reason}"));
        }
        Err(_) => {
            let words = format!("timeout: failed to connect service {authority:?} within {limit:?}");
            return Outcome::Bad(format!("{words}: context deadline exceeded"));
        }
    };
    match timeout_at(until, check(stream, &authority, &service)).await {
        Ok(Ok(1)) => Outcome::Good,
        Ok(Ok(status)) => Outcome::Bad(format!("service unhealthy (responded with {:?})", serving(status))),
        Ok(Err(reason)) => Outcome::Bad(reason),
        Err(_) => Outcome::Bad(format!("timeout: health rpc did not complete within {limit:?}")),
    }
}

/// The name of a `HealthCheckResponse.ServingStatus`.
fn serving(status: u64) -> String {
    const NAMES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let name = usize::try_from(status).ok().and_then(|status| NAMES.get(status));
    name.map_or_else(|| status.to_string(), |name| (*name).to_owned())
}

/// Names of gRPC's codes, as its Go library writes them; 1 is the first.
const CODES: [&str; 16] = [
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A kubelet's words for an answer of this code, in digits, with what was said beside it.
fn refusal(code: &str, message: &str) -> String {
    let number: Option<usize> = code.parse().ok();
    let name = number.and_then(|own| CODES.get(own.checked_sub(1)?).copied());
    match name {
        Some("Unimplemented") => format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        ),
        name => {
            let name = name.map_or_else(|| format!("Code({code})"), str::to_owned);
            format!("error: health rpc probe failed: rpc error: code = {name} desc = {message}")
        }
    }
}

/// The answer's `status`: 1 is `SERVING`.
async fn check(stream: TcpStream, authority: &str, service: &str) -> Result<u64, String> {
    let words = |error: hyper::Error| format!("error: health rpc probe failed: {error}");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(words)?;
    let driver = tokio::spawn(connection);
    let body = question(service).ok_or("service: its name is too long")?;
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(bytes::Bytes::from(body)))
        .map_err(|error| error.to_string())?;
    let asked = async {
        let response = sender.send_request(request).await.map_err(words)?;
        let (head, body) = response.into_parts();
        let body = http_body_util::Limited::new(body, MOST).collect().await;
        let body = body.map_err(|error| format!("error: health rpc probe failed: {error}"))?;
        // Who refuses at once says it in the headers.
        let said = |name: &str| {
            let own = head.headers.get(name).or_else(|| body.trailers()?.get(name));
            own.and_then(|own| own.to_str().ok()).map(str::to_owned)
        };
        match said("grpc-status").as_deref() {
            Some("0") | None => {}
            Some(code) => return Err(refusal(code, &said("grpc-message").unwrap_or_default())),
        }
        status(&body.to_bytes()).ok_or_else(|| "the answer is no HealthCheckResponse".to_owned())
    };
    let status = asked.await;
    driver.abort();
    status
}

/// HealthCheckRequest { service: 1 }, behind a flag for compression and a length.
fn question(service: &str) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.push(length as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0][..], &length.to_be_bytes(), &message].concat())
}

/// HealthCheckResponse { status: 1 }; a field that is not there is 0.
fn status(frame: &[u8]) -> Option<u64> {
    let message = frame.get(5..)?;
    match message {
        [] => Some(0),
        [0x08, status, ..] if *status < 0x80 => Some((*status).into()),
        _ => None,
    }
}

/// Certificates of probed containers are not looked at, nor who has their keys: they are seldom signed by anybody, and
/// may be of kinds that nobody else takes any more.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as One;
        vec![
            One::ECDSA_NISTP256_SHA256,
            One::ECDSA_NISTP384_SHA384,
            One::ECDSA_NISTP521_SHA512,
            One::ED25519,
            One::RSA_PSS_SHA256,
            One::RSA_PSS_SHA384,
            One::RSA_PSS_SHA512,
            One::RSA_PKCS1_SHA256,
            One::RSA_PKCS1_SHA384,
            One::RSA_PKCS1_SHA512,
        ]
    }
}

fn anybody() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap_or_else(|_| unreachable!("ring has the default versions"));
    Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody)).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpSocket};

    const LIMIT: Duration = Duration::from_secs(30);

    async fn server(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 1024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    async fn probe(answers: &'static [&'static str]) -> Outcome {
        let port = server(answers).await;
        let action = serde_json::from_value(json!({ "port": port, "path": "/healthz" })).unwrap();
        http("127.0.0.1".parse().unwrap(), &action, None, LIMIT).await
    }

    #[tokio::test]
    async fn a_page_says_whether_it_is_well() {
        assert_eq!(probe(&["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await, Outcome::Good);
        let failed = Outcome::Bad("HTTP probe failed with statuscode: 500".into());
        assert_eq!(probe(&["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]).await, failed);
        const ELSEWHERE: &str =
            "HTTP/1.1 302 Go\r\nLocation: http://192.0.2.7/x\r\nContent-Length: 4\r\n\r\nGone";
        let warning = Outcome::Warning("Probe terminated redirects, Response body: Gone".into());
        assert_eq!(probe(&[ELSEWHERE]).await, warning, "another host is not asked");
        const HERE: &str = "HTTP/1.1 302 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(probe(&[HERE, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]).await, failed);
        assert!(matches!(probe(&["nonsense\r\n\r\n"]).await, Outcome::Bad(_)));
    }

    #[test]
    fn a_program_that_cannot_be_run_says_nothing_of_the_container() {
        assert_eq!(ended(0, None, b"ok"), Outcome::Good);
        assert_eq!(ended(1, None, b"no"), Outcome::Bad("no".into()));
        let missing = "run /probe: no such file or directory";
        assert_eq!(ended(127, Some(missing.into()), b""), Outcome::Unknown(missing.into()));
    }

    #[tokio::test]
    async fn a_hook_is_content_with_any_answer() {
        let hook = async |answers| {
            let action = serde_json::from_value(json!({ "port": server(answers).await })).unwrap();
            call("127.0.0.1".parse().unwrap(), &action, None, LIMIT).await
        };
        assert_eq!(hook(&["HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]).await, Outcome::Good);
        assert!(matches!(hook(&[""]).await, Outcome::Bad(_)));
    }

    #[test]
    fn a_hook_asks_in_its_own_name() {
        let named = |headers: serde_json::Value| {
            let action = serde_json::from_value(json!({ "port": 80, "httpHeaders": headers })).unwrap();
            let all = as_hook(&action).http_headers.unwrap_or_default();
            all.into_iter().map(|own| own.value).collect::<Vec<_>>()
        };
        assert_eq!(named(json!([])), ["kube-lifecycle/1.36"]);
        assert_eq!(named(json!([{ "name": "user-agent", "value": "own" }])), ["own"]);
    }

    #[tokio::test]
    async fn a_hook_of_https_takes_http_and_says_so() {
        const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        let address = "127.0.0.1".parse().unwrap();
        let action = |port: u16| serde_json::from_value(json!({ "port": port, "scheme": "HTTPS" })).unwrap();
        let port = server(&[PLAIN, PLAIN]).await;
        let words = format!(
            "request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
        );
        assert_eq!(call(address, &action(port), None, LIMIT).await, Outcome::Warning(words));
        let port = server(&[PLAIN]).await;
        let words =
            format!("Get \"https://127.0.0.1:{port}/\": http: server gave HTTP response to HTTPS client");
        assert_eq!(http(address, &action(port), None, LIMIT).await, Outcome::Bad(words), "a probe does not");
    }

    #[tokio::test]
    async fn a_connection_says_whether_it_is_well() {
        let port = server(&[""]).await;
        let action = |port: u16| serde_json::from_value(json!({ "port": port })).unwrap();
        let address = "127.0.0.1".parse().unwrap();
        assert_eq!(tcp(address, &action(port), None, LIMIT).await, Outcome::Good);
        // It has its port, and does not listen.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let closed = socket.local_addr().unwrap().port();
        let refused = tcp(address, &action(closed), None, LIMIT).await;
        assert_eq!(
            refused,
            Outcome::Bad(format!("dial tcp 127.0.0.1:{closed}: connect: connection refused"))
        );
        let action = serde_json::from_value(json!({ "port": closed, "path": "/healthz" })).unwrap();
        let words = format!(
            "Get \"http://127.0.0.1:{closed}/healthz\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
        );
        assert_eq!(http(address, &action, None, LIMIT).await, Outcome::Bad(words));
    }

    #[tokio::test]
    async fn who_says_nothing_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (address, limit) = ("127.0.0.1".parse().unwrap(), Duration::from_secs(1));
        let action = serde_json::from_value(json!({ "port": port, "scheme": "HTTPS" })).unwrap();
        let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        let words = format!("Get \"https://127.0.0.1:{port}/\": {late}");
        assert_eq!(http(address, &action, None, limit).await, Outcome::Bad(words));
        let action = GRPCAction { port: port.into(), service: None };
        let words = "timeout: health rpc did not complete within 1s".to_owned();
        assert_eq!(grpc(address, &action, limit).await, Outcome::Bad(words));
        assert_eq!((authority("::1", 80), authority("a", 80)), ("[::1]:80".into(), "a:80".into()));
    }

    #[test]
    fn a_services_health_is_told_by_its_name() {
        assert_eq!([0, 2, 3, 9].map(serving), ["UNKNOWN", "NOT_SERVING", "SERVICE_UNKNOWN", "9"]);
        let unknown = "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service";
        assert_eq!(refusal("5", "unknown service"), unknown);
        let none =
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): no";
        assert_eq!(refusal("12", "no"), none);
        assert!(refusal("17", "").contains("code = Code(17)") && refusal("0", "").contains("Code(0)"));
    }

    #[test]
    fn a_path_is_written_as_a_url_has_it() {
        for (path, expected) in [
            ("/healthz?a=b&c=%20d", "/healthz?a=b&c=%20d"),
            ("/health check", "/health%20check"),
            ("/q?name=a b", "/q?name=a%20b"),
            ("/ä\n\"<>\\^`{|}", "/%C3%A4%0A%22%3C%3E%5C%5E%60%7B%7C%7D"),
            ("/100%", "/100%25"),
            ("/a#b", "/a"),
        ] {
            assert_eq!(encoded(path), expected);
            assert!(Request::get(expected).body(()).is_ok());
        }
    }

    #[test]
    fn a_services_name_is_as_long_as_it_is() {
        assert_eq!(question("").unwrap(), [0; 5]);
        assert_eq!(question("ab").unwrap(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = question(&"x".repeat(300)).unwrap();
        assert_eq!((&long[..8], long.len()), (&[0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2][..], 308));
    }

    #[test]
    fn a_port_is_a_number_or_a_name() {
        let ports: Vec<ContainerPort> =
            serde_json::from_value(json!([{ "name": "web", "containerPort": 8080 }])).unwrap();
        let of = |text: &str| port(&IntOrString::String(text.into()), Some(&ports));
        assert_eq!(
            (of("web"), of("81"), of("no"), port(&IntOrString::Int(0), None)),
            (Some(8080), Some(81), None, None)
        );
    }
}
