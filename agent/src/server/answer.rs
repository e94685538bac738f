//! Answers to requests.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;

/// An answer, whole or in pieces.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Words for a person.
pub fn text(status: StatusCode, words: impl Into<String>) -> Answer {
    with_type(status, "text/plain; charset=utf-8", words.into())
}

/// Words that say that all is well.
pub fn ok(words: impl Into<String>) -> Answer {
    text(StatusCode::OK, words)
}

/// The last answer of a connection, which is closed then.
pub fn last(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

/// Content that is made piece by piece, as the client takes it.
pub fn pieces(kind: &'static str, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Answer {
    stream(kind, futures::stream::iter(pieces))
}

/// Content that comes by and by.
pub fn stream(kind: &'static str, pieces: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    with_body(StatusCode::OK, kind, StreamBody::new(frames).boxed_unsync())
}

/// Any content.
pub fn with_type(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Answer {
    with_body(status, kind, Full::new(content.into()).boxed_unsync())
}

fn with_body(status: StatusCode, kind: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}
