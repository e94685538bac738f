//! What every request goes through: no more than so many a second, the first before all others, an answer in time, which is
//! counted, and a look at the API server's clock.

use super::in_time::InTime;
use super::transport::is_watch;
use crate::say::say;
use crate::server::stats::durations::DURATIONS;
use http::header::DATE;
use http::{Request, Response};
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep_until, timeout};
use tower::Service;

/// How long an answer may take to begin.
const ANSWER: Duration = Duration::from_secs(30);

/// Requests at once, and how many more a second: a kubelet's `kubeAPIBurst` and `kubeAPIQPS`.
const BURST: u32 = 100;
const EACH: Duration = Duration::from_millis(20);

/// How long the others wait for the first request, whose connection they share.
const FIRST: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 1 });

/// By how many seconds two clocks may differ: tokens and certificates then still hold.
const AGREE: i64 = 60;

/// By how many seconds this clock was said to be wrong; 0 when it is not.
static OFF: AtomicI64 = AtomicI64::new(0);

/// No answer in time: what is missing of it, and how long it was waited for.
#[derive(Debug)]
pub(super) struct Silence(&'static str, Duration);

impl Silence {
    /// It has begun, and does not end.
    pub(super) fn of_body(waited: Duration) -> Self {
        Self("no end of the answer", waited)
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} within {:?}", self.0, self.1)
    }
}

impl Error for Silence {}

pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// A service for requests to the API server, guarded.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    /// Whom it asks.
    host: Arc<str>,
    turns: Arc<Mutex<Turns>>,
    first: Arc<First>,
}

impl<S> Guard<S> {
    /// Before a service that asks this host.
    pub(super) fn new(inner: S, host: &str) -> Self {
        Self {
            inner,
            host: host.into(),
            turns: Arc::new(Mutex::new(Turns::default())),
            first: Arc::default(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Into<Failure>,
    R: 'static,
{
    type Response = Response<InTime<R>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (host, method) = (self.host.clone(), request.method().clone());
        let is_watch = is_watch(request.uri());
        let answer = self.inner.call(request);
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now());
        let first = self.first.clone();
        Box::pin(async move {
            sleep_until(turn).await;
            let alone = first.turn().await;
            let begun = Instant::now();
            let answer = timeout(ANSWER, answer).await;
            let code = answer.as_ref().ok().and_then(|answer| Some(answer.as_ref().ok()?.status().as_u16()));
            DURATIONS.add_request(&host, method.as_str(), code, begun.elapsed());
            let answer = answer.map_err(|_| Silence("no answer", ANSWER))?.map_err(Into::into)?;
            first.answered.store(true, Ordering::Relaxed);
            drop(alone);
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            if let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) {
                look(theirs, SystemTime::now());
            }
            Ok(InTime::of(answer, is_watch))
        })
    }
}

/// Until a first request was answered there is no connection to share, and each would make one.
#[derive(Debug, Default)]
struct First {
    answered: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

impl First {
    /// Waits until somebody was answered, but no longer than [`FIRST`], or until it is this one's turn to be the first.
    async fn turn(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.answered.load(Ordering::Relaxed) {
            return None;
        }
        let turn = timeout(FIRST, self.turn.lock()).await.ok()?;
        (!self.answered.load(Ordering::Relaxed)).then_some(turn)
    }
}

/// When requests may go: those that were saved up at once, the others one after another.
#[derive(Debug, Default)]
struct Turns {
    /// When all that was used of the burst is there again.
    full: Option<Instant>,
}

impl Turns {
    fn next(&mut self, now: Instant) -> Instant {
        let full = self.full.filter(|full| *full > now).unwrap_or(now) + EACH;
        self.full = Some(full);
        now.max(full - EACH * BURST)
    }
}

/// Says once that the clocks differ, and once that they agree again.
fn look(theirs: SystemTime, ours: SystemTime) {
    let behind = match theirs.duration_since(ours) {
        Ok(behind) => behind.as_secs().cast_signed(),
        Err(ahead) => -ahead.duration().as_secs().cast_signed(),
    };
    let said = OFF.load(Ordering::Relaxed);
    if let Some((next, line)) = told(said, behind) {
        OFF.store(next, Ordering::Relaxed);
        say(format_args!("{line}"));
    }
}

/// What is to be remembered and said of clocks that differ by `behind` seconds after what was said.
fn told(said: i64, behind: i64) -> Option<(i64, String)> {
    if (said - behind).abs() <= AGREE {
        return None;
    }
    if behind.abs() <= AGREE {
        return Some((0, "the clock of this node agrees with the API server's again".to_owned()));
    }
    let way = if behind > 0 { "behind" } else { "ahead of" };
    let by = Duration::from_secs(behind.unsigned_abs());
    Some((behind, format!("the clock of this node is {by:?} {way} the API server's")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_one_after_another() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let waits: Vec<Duration> = (0..150).map(|_| turns.next(now) - now).collect();
        assert!(waits[..100].iter().all(Duration::is_zero));
        assert_eq!((waits[100], waits[149]), (EACH, EACH * 50));
        let later = now + Duration::from_secs(60);
        assert_eq!(turns.next(later), later);
    }

    #[test]
    fn clocks_that_differ_are_told_of_once() {
        assert_eq!(told(0, 5), None);
        let (said, line) = told(0, 3600).unwrap();
        assert_eq!(line, "the clock of this node is 3600s behind the API server's");
        assert_eq!(told(said, 3605), None);
        let (_, line) = told(said, -7200).unwrap();
        assert_eq!(line, "the clock of this node is 7200s ahead of the API server's");
        assert_eq!(told(said, 2).unwrap().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_answers_is_left() {
        let silent =
            tower::service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Failure>>());
        let begun = Instant::now();
        let answer = Guard::new(silent, "192.0.2.1:6443").call(Request::new(())).await;
        assert_eq!(answer.unwrap_err().to_string(), "no answer within 30s");
        assert!(begun.elapsed() >= ANSWER);
    }
}
