//! The kubelet's server: what the API server, Prometheus and metrics-server ask a node for, over
//! HTTPS on port 10250.
//!
//! | question | module |
//! |---|---|
//! | who finds a place | `places` |
//! | who may ask | [`access`] |
//! | which path asks for what, and what right that takes | [`mod@route`] |
//! | which pod and container it names | [`pods`] |
//! | programs' streams: `exec`, `attach` | [`remote`] |
//! | connections to pods' ports | [`forward`] |
//! | containers' logs | [`logs`] |
//! | the node's logs | `node_files` |
//! | what this agent is | `zpages` |
//! | what is used by whom | [`stats`] |
//! | how streams go over one connection | [`spdy`] |
//!
//! Every path needs a right, `/healthz` too. No port of it is without TLS.

pub mod access;
pub mod forward;
pub mod logs;
pub mod pods;
pub mod remote;
pub mod route;
pub mod spdy;
pub mod stats;

mod answer;
mod list;
mod node_files;
mod places;
#[cfg(test)]
mod tests;
mod zpages;

pub use answer::Answer;

use crate::monitor::Monitor;
use access::{Gate, Tls};
use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt};
use places::{Place, Places};
use pods::Pods;
use route::{Route, route};
use rustls::pki_types::CertificateDer;
use stats::Stats;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long hands may be shaken, and a request's head may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Longest head of a request: a command that is run in a container is part of its URL, which has 64 KiB
/// at most (a bound of the crate `http`).
const LONGEST_HEAD: usize = 80 * 1024;

/// The same for who shows no certificate that is believed: there may be a token in it.
const STRANGERS_HEAD: usize = 32 * 1024;

/// After so much silence, in seconds, a client is asked whether it is there, and every so many seconds
/// again: as Go's programs do.
const SILENCE: u32 = 15;

/// So many questions without an answer end its connection.
const QUESTIONS: u32 = 9;

/// What the server answers from. Its parts are shared, and may be changed while it runs.
#[derive(Clone, Debug)]
pub struct Host {
    /// What is shown and believed.
    pub tls: Tls,
    /// Who lets in.
    pub gate: Arc<Gate>,
    /// The node's pods.
    pub pods: Pods,
    /// The parent of their containers.
    pub monitor: Monitor,
    /// What measuring needs.
    pub stats: Arc<Stats>,
}

/// Serves for ever.
///
/// # Errors
/// Those of accept(2) that do not pass.
pub async fn serve(listener: TcpListener, host: Host) -> std::io::Result<()> {
    serve_in(&Places::new(places::KNOWN), listener, host).await
}

async fn serve_in(places: &Arc<Places>, listener: TcpListener, host: Host) -> std::io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                let host = host.clone();
                places.enter(address.ip(), |place| connection(stream, host, place));
            }
            // Too many open files, or a client that has left: the next one may fare better.
            Err(error) if passes(&error) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(error),
        }
    }
}

fn passes(error: &std::io::Error) -> bool {
    use nix::libc::{ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO};
    let passing = [ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO];
    error.raw_os_error().is_some_and(|number| passing.contains(&number))
}

/// Has the kernel notice a client that has vanished. `TCP_USER_TIMEOUT` is left alone: it would end those,
/// too, that are there and read nothing for a while.
fn ask_when_silent(stream: &TcpStream) -> nix::Result<()> {
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &SILENCE)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &SILENCE)?;
    setsockopt(stream, sockopt::TcpKeepCount, &QUESTIONS)
}

/// One client, until it leaves. What goes wrong with it is its own to say.
async fn connection(stream: TcpStream, host: Host, place: Place) {
    let _ = stream.set_nodelay(true);
    let _ = ask_when_silent(&stream);
    let acceptor = TlsAcceptor::from(host.tls.config());
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let chain: Arc<[CertificateDer<'static>]> = {
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        shown.iter().map(|certificate| certificate.clone().into_owned()).collect()
    };
    // Who shows a good certificate is no stranger from here on; what it may do is looked at by and by.
    let known = host.tls.believe(&chain).is_some() && place.known().is_some();
    let longest = if known { LONGEST_HEAD } else { STRANGERS_HEAD };
    let place = Arc::new(place);
    let service = service_fn(move |request| {
        let (host, chain, place) = (host.clone(), chain.clone(), place.clone());
        async move { Ok::<_, Infallible>(handle(&host, &chain, &place, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .max_buf_size(longest)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let _ = served.await;
}

async fn handle(
    host: &Host,
    chain: &[CertificateDer<'_>],
    place: &Place,
    mut request: Request<Incoming>,
) -> Answer {
    let subject = host.tls.believe(chain);
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (method, path) = (request.method(), request.uri().path());
    let admitted = match host.gate.admit(subject, authorization, method, path).await {
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            return answer::last(answer::text(refusal.status, refusal.message));
        }
        admitted => admitted,
    };
    let Some(known) = place.known() else {
        return answer::last(answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many connections\n"));
    };
    if let Err(refusal) = admitted {
        return answer::text(refusal.status, refusal.message);
    }
    let asked = route(method, path);
    // A stream keeps the place when the connection is its own.
    request.extensions_mut().insert(known);
    let of = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    match asked {
        Route::Summary => {
            stats::summary(&host.stats, &host.pods, request.uri().query().unwrap_or_default()).await
        }
        Route::ResourceMetrics => stats::resource(&host.stats, &host.pods).await,
        Route::CadvisorMetrics => stats::cadvisor(&host.stats, &host.pods).await,
        Route::ProbeMetrics => stats::probes(&host.stats, &host.pods),
        Route::Metrics => stats::metrics(&host.stats, &host.pods).await,
        Route::Configz => stats::configz(&host.stats),
        Route::Statusz => zpages::statusz(of(header::ACCEPT)),
        Route::Flagz => zpages::flagz(of(header::ACCEPT), &host.stats.configuration),
        Route::Files => node_files::files(request.uri().path(), of(header::RANGE)).await,
        Route::Exec(target) => remote::exec(host, request, &target),
        Route::Attach(target) => remote::attach(host, request, &target),
        Route::Logs(target) => logs::logs(host, request.uri().query().unwrap_or_default(), &target).await,
        Route::PortForward(target) => forward::forward(host, request, &target),
        Route::CheckMetrics => stats::checks(&host.stats),
        Route::Healthz => stats::healthz(&host.stats.checks, request.uri().query().unwrap_or_default()),
        Route::Check(name) => stats::check(&host.stats.checks, name),
        Route::Pods => list::pods(&host.pods, |_| true),
        Route::RunningPods => list::pods(&host.pods, |pod| pod.containers.iter().any(|own| own.running)),
        Route::WrongMethod => answer::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
        Route::Unknown => answer::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}
