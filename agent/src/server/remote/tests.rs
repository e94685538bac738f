//! `exec` and `attach` as clients see them, with programs that are played.

use crate::server::places::KNOWN;
use crate::server::pods::{Container, Pod};
use crate::server::tests::clients::{Socket, Spdy, upgrade};
use crate::server::tests::fixture::Fixture;
use crate::server::tests::monitor::Played;

async fn fixture() -> (Fixture, Played) {
    with_places(KNOWN).await
}

async fn with_places(known: usize) -> (Fixture, Played) {
    let monitor = Played::new();
    let fixture = Fixture::with_places(&monitor.socket(), known).await;
    let container = |name: &str, running| Container {
        name: name.into(),
        instance: Some(format!("web-{name}")),
        running,
        ..Container::default()
    };
    fixture.host.pods.replace(vec![Pod {
        namespace: "ns".into(),
        name: "web".into(),
        uid: "u1".into(),
        containers: vec![container("app", true), container("old", false)],
        ..Pod::default()
    }]);
    (fixture, monitor)
}

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;
const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

#[tokio::test]
async fn a_programs_output_and_its_exit_code_come_over_spdy() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/app?command=say&command=out&command=err&command=7&output=1&error=1";
    let mut client = Spdy::connect(&fixture, path, V4).await;
    let [error, out, err] = ["error", "stdout", "stderr"].map(|kind| client.open(kind));
    client.send().await;
    client.finish().await;
    assert_eq!((client.text(out), client.text(err)), ("out".into(), "err".into()));
    let status: serde_json::Value = serde_json::from_str(&client.text(error)).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "7");
    client.ended.sort_unstable();
    assert_eq!(client.ended, [error, out, err]);
}

#[tokio::test]
async fn older_clients_get_words_in_place_of_a_status() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/u1/app?command=say&command=out&command=&command=7&output=1";
    for protocol in ["v3.channel.k8s.io", "channel.k8s.io"] {
        let mut client = Spdy::connect(&fixture, path, protocol).await;
        let (error, out) = (client.open("error"), client.open("stdout"));
        client.send().await;
        client.finish().await;
        assert_eq!(client.text(out), "out");
        assert_eq!(client.text(error), "command terminated with non-zero exit code: exit status 7");
    }
}

#[tokio::test]
async fn input_goes_to_the_program_until_it_ends() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/app?command=cat&input=1&output=1";
    let much: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut client = Spdy::connect(&fixture, path, V4).await;
    let [error, input, out] = ["error", "stdin", "stdout"].map(|kind| client.open(kind));
    client.send().await;
    for piece in much.chunks(32 * 1024) {
        client.writer.data(input, false, piece);
        client.send().await;
    }
    client.writer.data(input, true, &[]);
    client.send().await;
    client.finish().await;
    assert!(client.got[&out] == much, "{} of {} bytes", client.got[&out].len(), much.len());
    assert_eq!(client.text(error), SUCCESS);
    for protocol in [V5, "v4.base64.channel.k8s.io"] {
        let mut client = Socket::connect(&fixture, path, protocol).await;
        assert!(client.take().await && client.got[&1].is_empty(), "an empty message says that it stands");
        client.send(0, b"hello").await;
        client.until(1, "hello").await;
        if protocol == V5 {
            client.send(255, &[0]).await;
            client.finish().await;
            assert_eq!(client.text(3), SUCCESS);
        }
    }
}

#[tokio::test]
async fn a_program_that_writes_much_waits_for_a_slow_client() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/app?command=flood&command=5000000&output=1";
    let mut spdy = Spdy::connect(&fixture, path, V4).await;
    let (error, out) = (spdy.open("error"), spdy.open("stdout"));
    spdy.send().await;
    spdy.finish().await;
    assert_eq!((spdy.got[&out].len(), spdy.text(error).as_str()), (5_000_000, SUCCESS));
    let mut socket = Socket::connect(&fixture, path, V5).await;
    socket.finish().await;
    assert_eq!((socket.got[&1].len(), socket.text(3).as_str()), (5_000_000, SUCCESS));
}

#[tokio::test]
async fn a_terminal_follows_the_clients_size() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/app?command=sizes&input=1&output=1&error=1&tty=1";
    let mut client = Spdy::connect(&fixture, path, V4).await;
    let [error, resize, input, out] = ["error", "resize", "stdin", "stdout"].map(|kind| client.open(kind));
    client.writer.data(resize, false, b"{\"Width\":80,\"Height\":24}\n");
    client.send().await;
    client.until(out, "80x24\n").await;
    client.writer.data(resize, false, b"{\"Width\":100,");
    client.writer.data(resize, false, b"\"Height\":50}\n");
    client.send().await;
    client.until(out, "100x50\n").await;
    client.writer.data(input, false, b"q");
    client.send().await;
    client.finish().await;
    assert_eq!(client.text(error), SUCCESS);
    let mut socket = Socket::connect(&fixture, path, V4).await;
    socket.send(4, br#"{"Width":7,"Height":8}"#).await;
    socket.until(1, "7x8\n").await;
    socket.send(0, b"q").await;
    socket.finish().await;
    assert_eq!(socket.text(3), SUCCESS);
}

#[tokio::test]
async fn what_cannot_be_run_is_told_on_the_error_stream() {
    let (fixture, _monitor) = fixture().await;
    let mut client = Socket::connect(&fixture, "/exec/ns/web/app?command=none&output=1", V5).await;
    client.finish().await;
    let status: serde_json::Value = serde_json::from_str(&client.text(3)).unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("exec: \"none\": no such file or directory"), "{message}");
    assert_eq!((&status["reason"], &status["code"]), (&"InternalError".into(), &500.into()));
}

#[tokio::test]
async fn who_looks_on_is_told_that_all_was_shown() {
    let (fixture, _monitor) = fixture().await;
    let mut client = Spdy::connect(&fixture, "/attach/ns/web/app?output=1", V4).await;
    let (error, out) = (client.open("error"), client.open("stdout"));
    client.send().await;
    client.finish().await;
    assert_eq!((client.text(out).as_str(), client.text(error).as_str()), ("seen", SUCCESS));
}

#[tokio::test]
async fn what_there_is_not_is_told_before_the_upgrade() {
    let (fixture, _monitor) = fixture().await;
    let spdy = "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
    for (path, headers, status) in [
        ("/exec/ns/none/app?output=1", spdy, 404),
        ("/exec/ns/web/u2/app?output=1", spdy, 404),
        ("/exec/ns/web/none?output=1", spdy, 404),
        ("/exec/ns/web/old?output=1", spdy, 404),
        ("/exec/ns/web/app?tty=1", spdy, 400),
        ("/exec/ns/web/app?output=1", "Upgrade: SPDY/3.1\r\n", 400),
        ("/exec/ns/web/app?output=1", "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9\r\n", 403),
        ("/exec/ns/web/app?output=1", "", 400),
        ("/exec/ns/web/app?output=1", "Upgrade: websocket\r\n", 400),
    ] {
        let head = upgrade(&fixture, path, headers).await.1;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {headers}: {head}");
    }
}

#[tokio::test]
async fn a_stream_has_a_place_until_it_ends() {
    let (fixture, _monitor) = with_places(2).await;
    let path = "/exec/ns/web/app?command=cat&input=1&output=1";
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut client = Socket::connect(&fixture, path, V5).await;
        client.send(0, b"hello").await;
        client.until(1, "hello").await;
        streams.push(client);
    }
    let known = || Some(fixture.clients.sign("apiserver", "g"));
    assert_eq!(fixture.get(known(), "/healthz", "").await.0, 503);
    streams.pop();
    while fixture.get(known(), "/healthz", "").await.0 == 503 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_the_protocol_is_left() {
    let (fixture, _monitor) = fixture().await;
    let path = "/exec/ns/web/app?command=cat&input=1&output=1";
    let mut client = Spdy::connect(&fixture, path, V4).await;
    let wrong = client.open("stdwhat");
    client.send().await;
    while client.reset.is_empty() {
        assert!(client.take().await);
    }
    assert_eq!(client.reset, [wrong]);
    client.writer.bytes.extend([0xff; 64]);
    client.send().await;
    while client.take().await {}
}
