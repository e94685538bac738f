//! `exec` and `attach`: a program's streams between the monitor and a client.
//!
//! ```text
//! API server ── SPDY/3.1 or WebSocket ──▶ [carrier] ◀──▶ [pump] ◀──▶ monitor ◀──▶ program
//! ```
//!
//! API servers before 1.36 translate what kubectl speaks to SPDY; later ones pass WebSockets of
//! version 5 through to nodes that declare `ExtendWebSocketsToKubelet`, as this one does.

pub mod carrier;
pub mod options;
pub mod pieces;
pub mod resize;
pub mod spdy;
pub mod status;
#[cfg(test)]
mod tests;
pub mod upgrade;
pub mod websocket;

use super::Host;
use super::answer::{Answer, text};
use super::route::Target;
use crate::monitor::{self, Event, Monitor, Streams};
use ::spec::monitor::{Exec, Request as Ask};
use carrier::{Carrier, FromClient, Output};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use options::Options;
use status::End;
use upgrade::{Io, Wanted};

/// What a program's streams are of.
#[derive(Clone, Debug)]
enum Asked {
    Exec(Exec),
    /// The container, and whether its input ends with the client's.
    Attach(String, bool),
}

/// Answers `/exec`.
pub fn exec(host: &Host, request: Request<Incoming>, target: &Target) -> Answer {
    respond(host, request, target, |container, options| {
        Asked::Exec(Exec {
            name: container.instance,
            command: options.command.clone(),
            tty: options.tty,
            input: options.input,
            ..Exec::default()
        })
    })
}

/// Answers `/attach`.
pub fn attach(host: &Host, request: Request<Incoming>, target: &Target) -> Answer {
    respond(host, request, target, |container, _| Asked::Attach(container.instance, container.stdin_once))
}

/// A container that there is.
struct Found {
    instance: String,
    stdin_once: bool,
}

fn respond(
    host: &Host,
    mut request: Request<Incoming>,
    target: &Target,
    ask: fn(Found, &Options) -> Asked,
) -> Answer {
    let options = match Options::of(request.uri().query().unwrap_or_default()) {
        Ok(options) => options,
        Err(reason) => return text(StatusCode::BAD_REQUEST, reason),
    };
    let found = match find(host, target) {
        Ok(found) => found,
        Err(reason) => return text(StatusCode::NOT_FOUND, reason),
    };
    let asked = ask(found, &options);
    let monitor = host.monitor.clone();
    let upgraded = match upgrade::wanted(request.method(), request.headers()) {
        None => return upgrade::required(),
        Some(Wanted::Spdy) => upgrade::spdy(request.headers(), &spdy::PROTOCOLS).map(|(answer, protocol)| {
            upgrade::go_on(&mut request, move |io| over_spdy(monitor, asked, options, protocol, io));
            answer
        }),
        Some(Wanted::WebSocket) => {
            upgrade::websocket(request.headers(), &websocket::PROTOCOLS).map(|(answer, protocol)| {
                upgrade::go_on(&mut request, move |io| over_websocket(monitor, asked, options, protocol, io));
                answer
            })
        }
    };
    upgraded.unwrap_or_else(|refusal| *refusal)
}

fn find(host: &Host, target: &Target) -> Result<Found, String> {
    let pod = host.pods.find(&target.namespace, &target.pod, target.uid.as_deref());
    let pod = pod.ok_or("pod does not exist")?;
    let container = pod.container(&target.container).filter(|container| container.running);
    let missing = || format!("container not found ({:?})", target.container);
    let container = container.ok_or_else(missing)?;
    let instance = container.instance.clone().ok_or_else(missing)?;
    Ok(Found { instance, stdin_once: container.stdin_once })
}

async fn over_spdy(monitor: Monitor, asked: Asked, options: Options, protocol: &'static str, io: Io) {
    if let Some(spdy) = spdy::Spdy::open(io, &options, protocol).await {
        run(&monitor, asked, &options, Carrier::Spdy(Box::new(spdy))).await;
    }
}

async fn over_websocket(monitor: Monitor, asked: Asked, options: Options, protocol: &'static str, io: Io) {
    let socket = websocket::WebSocket::open(io, protocol, &options).await;
    run(&monitor, asked, &options, Carrier::WebSocket(Box::new(socket))).await;
}

/// Runs the program, or joins it, until it ends or the client leaves.
async fn run(monitor: &Monitor, asked: Asked, options: &Options, mut carrier: Carrier) {
    let (request, verb, stays) = match asked {
        Asked::Exec(exec) => (Ask::Exec(Box::new(exec)), "executing command in container", false),
        Asked::Attach(name, once) => {
            let request = Ask::Attach { name, input: options.input, size: None, start: false };
            (request, "attaching to container", !once)
        }
    };
    let failed = |reason: String| End::Failed(format!("error {verb}: {reason}"));
    let attached = matches!(request, Ask::Attach { .. });
    let end = match monitor.stream(&request).await {
        Err(error) => failed(error.to_string()),
        Ok(streams) => match pump(streams, &mut carrier, stays).await {
            Ok(None) => return,
            // Who looked on was told all, however the program itself ended.
            Ok(Some(_)) if attached => End::Exited(0),
            Ok(Some(end)) => end,
            Err(reason) => failed(reason),
        },
    };
    carrier.part(&end).await;
}

/// Moves bytes both ways. Gives nothing when the client has left; the program goes on then. The
/// input of a program that `stays` open does not end with the client's.
async fn pump(mut streams: Streams, carrier: &mut Carrier, stays: bool) -> Result<Option<End>, String> {
    let words = |error: monitor::Error| error.to_string();
    let mut ended = false;
    loop {
        let listens = ended || streams.takes_input();
        tokio::select! {
            event = streams.next(), if carrier.has_room() => match event.map_err(words)? {
                Event::Output(bytes) => carrier.output(Output::Out, bytes),
                Event::Error(bytes) => carrier.output(Output::Err, bytes),
                Event::Room => {}
                Event::Exited { error: Some(message), .. } => return Ok(Some(End::Failed(message))),
                Event::Exited { status, .. } => return Ok(Some(End::Exited(status))),
                Event::Done => return Ok(Some(End::Exited(0))),
            },
            said = carrier.next(listens) => match said {
                FromClient::Input(bytes) => streams.input(&bytes),
                FromClient::InputEnded => {
                    ended = true;
                    if !stays {
                        streams.end_input().map_err(words)?;
                    }
                }
                FromClient::Resize(size) => streams.resize(size).map_err(words)?,
                FromClient::Room => {}
                FromClient::Left => return Ok(None),
            },
        }
    }
}
