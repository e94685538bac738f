//! The server as its clients meet it.

pub mod api;
pub mod clients;
pub mod fixture;
pub mod monitor;

use fixture::{Authority, Fixture};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub const NOWHERE: &str = "/nowhere/monitor.sock";

#[tokio::test]
async fn who_has_no_name_gets_401_whatever_is_asked() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let stranger = Authority::new("strangers");
    for path in ["/healthz", "/metrics", "/pods", "/exec/a/b/c", "/no/such", "/", "/run/a/b/c"] {
        assert_eq!(fixture.get(None, path, "").await.0, 401, "{path}");
        let bad = fixture.get(None, path, "Authorization: Bearer bad\r\n").await;
        assert_eq!(bad.0, 401, "{path}");
        let unknown = fixture.get(Some(stranger.sign("kubernetes-admin", "system:masters")), path, "").await;
        assert_eq!(unknown.0, 401, "{path}: {}", unknown.1);
    }
}

#[tokio::test]
async fn who_has_a_name_needs_the_right() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let known = |group: &str| Some(fixture.clients.sign("someone", group));
    assert_eq!(fixture.get(known("other"), "/healthz", "").await.0, 403);
    assert_eq!(fixture.get(known("g"), "/stats/summary", "").await.0, 403);
    let (status, answer) = fixture.get(known("g"), "/healthz", "").await;
    assert!(status == 200 && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert_eq!(fixture.get(known("g"), "/no/such", "").await.0, 404);
    assert_eq!(fixture.get(None, "/healthz", "Authorization: Bearer good\r\n").await.0, 200);
    let (status, answer) = fixture.get(known("g"), "/metrics/slis", "").await;
    assert!(status == 200 && answer.contains("kubernetes_healthchecks_total{"), "{answer}");
}

#[tokio::test]
async fn certificates_are_replaced_while_the_server_runs() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let (chain, key) = fixture.servers.sign("worker-1", "second");
    let second = chain[0].clone();
    fixture.host.tls.show(chain, key).unwrap();
    let stream = fixture.connect(None).await;
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0], second);
    // An authority that is believed no more.
    let identity = || Some(fixture.clients.sign("someone", "g"));
    assert_eq!(fixture.get(identity(), "/healthz", "").await.0, 200);
    let other = Authority::new("others");
    fixture.host.tls.trust(vec![other.certificate.clone()]).unwrap();
    assert_eq!(fixture.get(identity(), "/healthz", "").await.0, 401);
    assert_eq!(fixture.get(Some(other.sign("someone", "g")), "/healthz", "").await.0, 200);
}

#[tokio::test]
async fn strangers_who_stay_keep_nobody_out() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let mut strangers = Vec::new();
    for _ in 0..300 {
        strangers.push(TcpStream::connect(fixture.address).await.unwrap());
    }
    let known = fixture.get(Some(fixture.clients.sign("someone", "g")), "/healthz", "");
    let answered = timeout(Duration::from_secs(30), known).await.expect("all places are taken");
    assert_eq!(answered.0, 200);
}

#[tokio::test]
async fn a_stranger_is_told_once_and_with_a_short_head() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let mut stream = fixture.connect(None).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: n\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let all = timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await;
    assert!(all.is_ok() && answer.contains("connection: close"), "{answer}");
    let long = format!("X: {}\r\n", "x".repeat(2 * super::STRANGERS_HEAD));
    assert_eq!(fixture.get(None, "/healthz", &long).await.0, 431);
    let known = || Some(fixture.clients.sign("someone", "g"));
    assert_eq!(fixture.get(known(), "/healthz", &long).await.0, 200);
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    use nix::sys::socket::{getsockopt, sockopt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    super::ask_when_silent(&stream).unwrap();
    assert_eq!(getsockopt(&stream, sockopt::KeepAlive), Ok(true));
    assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle), Ok(15));
    assert_eq!(getsockopt(&stream, sockopt::TcpKeepInterval), Ok(15));
    assert_eq!(getsockopt(&stream, sockopt::TcpKeepCount), Ok(9));
}

#[tokio::test]
async fn a_command_may_have_64_kib() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let known = || Some(fixture.clients.sign("someone", "g"));
    let path = |length| format!("/exec/a/b/c?output=1&command={}", "x".repeat(length));
    for (length, padding, status) in [(60, 0, 404), (66, 0, 414), (0, 70, 404), (60, 60, 431)] {
        let header = format!("X: {}\r\n", "x".repeat(padding * 1024));
        let answer = fixture.get(known(), &path(length * 1024), &header).await;
        assert_eq!(answer.0, status, "{length} KiB and {padding} KiB");
    }
}

#[tokio::test]
async fn what_is_no_tls_and_no_http_harms_nobody() {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let mut plain = TcpStream::connect(fixture.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let (status, _) = fixture.get(None, "/healthz", "Broken header without a colon\r\n").await;
    assert_eq!(status, 400);
    let long = format!("X: {}\r\n", "x".repeat(2 * super::LONGEST_HEAD));
    assert_eq!(fixture.get(None, "/healthz", &long).await.0, 431);
    assert_eq!(fixture.get(None, "/healthz", "").await.0, 401, "it answers still");
}
