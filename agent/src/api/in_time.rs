//! A body that ends in time: an API server gives up what it has not said of a request after a minute itself
//! (`--request-timeout`), so who has not all of it by then gets no more.

use super::guard::{Failure, Silence};
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// How long a body may take from the beginning of its answer on.
const BODY: Duration = Duration::from_secs(60);

/// A body, and until when it may take; a watch's may take as long as it likes.
#[derive(Debug)]
pub(super) struct InTime<B> {
    inner: B,
    limit: Option<Pin<Box<Sleep>>>,
}

impl<B> InTime<B> {
    /// The body of an answer that begins now. Who refuses a watch is no watch.
    pub(super) fn of(answer: Response<B>, is_watch: bool) -> Response<Self> {
        let lasts = is_watch && answer.status().is_success();
        answer.map(|inner| Self { inner, limit: (!lasts).then(|| Box::pin(sleep(BODY))) })
    }
}

impl<B: Body<Error: Into<Failure>> + Unpin> Body for InTime<B> {
    type Data = B::Data;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Failure>>> {
        let next = Pin::new(&mut self.inner).poll_frame(context);
        let mut is_late = || self.limit.as_mut().is_some_and(|own| own.as_mut().poll(context).is_ready());
        if next.is_pending() && is_late() {
            return Poll::Ready(Some(Err(Silence::of_body(BODY).into())));
        }
        next.map(|next| next.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use http_body_util::{BodyExt, StreamBody};
    use std::convert::Infallible;
    use tokio::time::{Instant, timeout};

    /// How an answer of this status ends that begins and does not go on, and when; none within an hour.
    async fn end(status: u16, is_watch: bool) -> Option<(String, Duration)> {
        let begin = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
        let body = StreamBody::new(begin.chain(stream::pending()));
        let answer = InTime::of(Response::builder().status(status).body(body).unwrap(), is_watch);
        let begun = Instant::now();
        let whole = timeout(Duration::from_secs(3600), answer.into_body().collect()).await.ok()?;
        Some((whole.unwrap_err().to_string(), begun.elapsed()))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_end_is_left() {
        let left = Some(("no end of the answer within 60s".to_owned(), BODY));
        assert_eq!(end(200, false).await.map(|(words, when)| (words, when.min(BODY))), left);
        assert_eq!(end(410, true).await.map(|(words, when)| (words, when.min(BODY))), left, "it is no watch");
        assert_eq!(end(200, true).await, None, "a watch lasts");
    }

    #[tokio::test]
    async fn an_answer_that_ends_is_had_whole() {
        let frames = ["{", "}"].map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
        let answer = InTime::of(Response::new(StreamBody::new(stream::iter(frames))), false);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "{}");
    }
}
