//! Pages that are asked for, by probes and by lifecycle hooks.

use super::tls::anybody;
use super::{MOST, Outcome, authority, dial, target};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ContainerPort, HTTPGetAction, HTTPHeader};
use rustls::InvalidMessage;
use rustls::pki_types::ServerName;
use std::net::IpAddr;
use std::time::Duration;
use sys::cause::cause;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

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

fn url(host: &str, port: u16, secure: bool, path: &str) -> String {
    format!("http{}://{}{path}", if secure { "s" } else { "" }, authority(host, port))
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

#[cfg(test)]
mod tests {
    use super::super::tests::{LIMIT, server};
    use super::*;
    use serde_json::json;

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
}
