//! From HTTP to streams: which of the protocols that a client offers is taken, and the answer that
//! says so.

use crate::server::answer::{Answer, text};
use crate::server::places::Known;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A connection that has been upgraded.
pub type Io = TokioIo<Upgraded>;

/// The header by which SPDY's side names a protocol.
const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// The header that says what there would be.
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// What a client asks to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `SPDY/3.1`.
    Spdy,
    /// `websocket` (RFC 6455).
    WebSocket,
}

/// What a request asks to go on with, if it asks for anything.
#[must_use]
pub fn wanted(method: &Method, headers: &HeaderMap) -> Option<Wanted> {
    let upgrades = values(headers, &CONNECTION).any(|value| value.eq_ignore_ascii_case("upgrade"));
    let to = |name: &str| values(headers, &UPGRADE).any(|value| value.eq_ignore_ascii_case(name));
    match upgrades {
        true if to("SPDY/3.1") => Some(Wanted::Spdy),
        true if to("websocket") && method == Method::GET => Some(Wanted::WebSocket),
        _ => None,
    }
}

/// The values of a header, however they are spread over commas and lines.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|value| !value.is_empty())
}

/// The first of a client's protocols that is ours, too.
fn chosen(theirs: &[&str], ours: &[&'static str]) -> Option<&'static str> {
    theirs.iter().find_map(|name| ours.iter().copied().find(|own| own == name))
}

/// The answer to who asks for SPDY, and the protocol inside it.
///
/// # Errors
/// The answer to who offers none that is ours.
pub fn spdy(headers: &HeaderMap, ours: &[&'static str]) -> Result<(Answer, &'static str), Box<Answer>> {
    let theirs: Vec<&str> = values(headers, &PROTOCOL).collect();
    if theirs.is_empty() {
        let words = "unable to upgrade: header X-Stream-Protocol-Version does not exist in request";
        return Err(Box::new(text(StatusCode::BAD_REQUEST, words)));
    }
    let Some(protocol) = chosen(&theirs, ours) else {
        let words = format!(
            "unable to upgrade: unable to negotiate protocol: client supports {theirs:?}, server accepts {ours:?}"
        );
        let mut answer = text(StatusCode::FORBIDDEN, words);
        for own in ours {
            answer.headers_mut().append(ACCEPTED, HeaderValue::from_static(own));
        }
        return Err(Box::new(answer));
    };
    let mut answer = switching("SPDY/3.1");
    answer.headers_mut().insert(PROTOCOL, HeaderValue::from_static(protocol));
    Ok((answer, protocol))
}

/// The answer to who asks for a WebSocket, and the protocol inside it: none, where the client names
/// none and `ours` has an empty one.
///
/// # Errors
/// The answer to who offers none that is ours.
pub fn websocket(headers: &HeaderMap, ours: &[&'static str]) -> Result<(Answer, &'static str), Box<Answer>> {
    let refuse = |words: &str| Err(Box::new(text(StatusCode::BAD_REQUEST, words)));
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY) else {
        return refuse("unable to upgrade: header Sec-WebSocket-Key does not exist in request");
    };
    let theirs: Vec<&str> = values(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
    let protocol = match theirs.is_empty() {
        true => chosen(&[""], ours),
        false => chosen(&theirs, ours),
    };
    let Some(protocol) = protocol else {
        return refuse("unable to upgrade: requested protocols are not supported");
    };
    let mut answer = switching("websocket");
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let Ok(accept) = accept else { return refuse("unable to upgrade: header Sec-WebSocket-Key") };
    answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        answer.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok((answer, protocol))
}

fn switching(to: &'static str) -> Answer {
    let mut answer = text(StatusCode::SWITCHING_PROTOCOLS, "");
    answer.headers_mut().clear();
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    answer
}

/// Goes on with the connection once the answer has gone, in the request's place.
pub fn go_on<F>(request: &mut Request<Incoming>, with: impl FnOnce(Io) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let upgrade = hyper::upgrade::on(&mut *request);
    let place = request.extensions_mut().remove::<Known>();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            with(TokioIo::new(upgraded)).await;
        }
        drop(place);
    });
}

/// The answer to who asks for nothing to go on with.
#[must_use]
pub fn required() -> Answer {
    text(StatusCode::BAD_REQUEST, "Upgrade request required")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_clients_first_choice_that_is_ours_is_taken() {
        let ours = ["v4.channel.k8s.io", "v3.channel.k8s.io"];
        let asked = headers(&[("x-stream-protocol-version", "v5.channel.k8s.io, v4.channel.k8s.io")]);
        let (answer, protocol) = spdy(&asked, &ours).unwrap();
        assert_eq!((answer.status().as_u16(), protocol), (101, "v4.channel.k8s.io"));
        assert_eq!(answer.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
        let refused = spdy(&headers(&[("x-stream-protocol-version", "v9")]), &ours).unwrap_err();
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.headers().get_all(ACCEPTED).iter().count(), 2);
        assert_eq!(spdy(&HeaderMap::new(), &ours).unwrap_err().status(), 400);
    }

    #[test]
    fn a_websocket_is_answered_as_rfc_6455_says() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let asked = headers(&[key, ("sec-websocket-protocol", "a, v5.channel.k8s.io")]);
        let (answer, protocol) = websocket(&asked, &["v5.channel.k8s.io"]).unwrap();
        assert_eq!(protocol, "v5.channel.k8s.io");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(websocket(&headers(&[key]), &["", "x"]).unwrap().1, "");
        assert!(websocket(&headers(&[key]), &["x"]).is_err());
        assert!(websocket(&asked, &["x"]).is_err() && websocket(&headers(&[]), &[""]).is_err());
    }

    #[test]
    fn only_who_asks_is_upgraded() {
        let spdy = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "SPDY/3.1")]);
        assert_eq!(wanted(&Method::POST, &spdy), Some(Wanted::Spdy));
        let socket = headers(&[("connection", "upgrade"), ("upgrade", "WebSocket")]);
        assert_eq!(wanted(&Method::GET, &socket), Some(Wanted::WebSocket));
        assert_eq!(wanted(&Method::POST, &socket), None);
        assert_eq!(wanted(&Method::GET, &headers(&[("upgrade", "SPDY/3.1")])), None);
    }
}
