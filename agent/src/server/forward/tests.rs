//! Connections to ports of this machine, in place of a pod's.

use crate::server::pods::{Network, Pod};
use crate::server::tests::NOWHERE;
use crate::server::tests::clients::{Io, Spdy, upgrade};
use crate::server::tests::fixture::Fixture;
use futures::{SinkExt, StreamExt};
use std::io::ErrorKind;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const PATH: &str = "/portForward/ns/web";

async fn fixture() -> Fixture {
    let fixture = Fixture::new(Path::new(NOWHERE)).await;
    let pod = |name: &str, network| Pod { name: name.into(), network, ..Pod::default() };
    let web = Pod { uid: "u1".into(), ..pod("web", Network::Node) };
    let pods = [web, pod("gone", Network::Own("/nowhere/netns".into())), pod("completed", Network::Absent)];
    fixture.host.pods.replace(pods.map(|pod| Pod { namespace: "ns".into(), ..pod }).to_vec());
    fixture
}

/// A server that gives back what comes, and its port.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    port
}

/// Opens a connection: the data stream and the error stream.
fn open<T: Io>(client: &mut Spdy<T>, request: &str, port: u16) -> (u32, u32) {
    let port = port.to_string();
    let mut stream =
        |kind| client.writer.open(&[("streamType", kind), ("port", port.as_str()), ("requestID", request)]);
    let (error, data) = (stream("error"), stream("data"));
    client.writer.data(error, true, &[]);
    (data, error)
}

/// Sends much both ways over two connections at a time, as kubectl does.
async fn exchange<T: Io>(client: &mut Spdy<T>, port: u16) {
    let much: Vec<u8> = (0..600_000_u32).map(|number| (number % 251) as u8).collect();
    let both = [open(client, "0", port), open(client, "1", port)];
    for piece in much.chunks(32 * 1024) {
        both.iter().for_each(|(data, _)| client.writer.data(*data, false, piece));
        client.send().await;
    }
    both.iter().for_each(|(data, _)| client.writer.data(*data, true, &[]));
    client.send().await;
    while client.ended.len() < 4 {
        assert!(client.take().await, "only {:?} have ended", client.ended);
    }
    for (data, error) in both {
        assert!(client.got[&data] == much, "{} of {} bytes", client.got[&data].len(), much.len());
        assert_eq!(client.text(error), "");
    }
}

#[tokio::test]
async fn bytes_go_both_ways_over_spdy() {
    let fixture = fixture().await;
    let mut client = Spdy::connect(&fixture, PATH, "portforward.k8s.io").await;
    exchange(&mut client, echo().await).await;
}

#[tokio::test]
async fn bytes_go_both_ways_through_a_websocket() {
    let fixture = fixture().await;
    let headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n";
    let (io, head) = upgrade(&fixture, PATH, headers).await;
    assert!(head.contains("sec-websocket-protocol: SPDY/3.1+portforward.k8s.io"), "{head}");
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    // The client's end of the tunnel, whose messages are long when there is much to send.
    let (near, mut far) = tokio::io::duplex(2_000_000);
    tokio::spawn(async move {
        let mut bytes = vec![0; 2_000_000];
        loop {
            tokio::select! {
                read = far.read(&mut bytes) => match read {
                    Ok(length @ 1..) => socket.send(Message::binary(bytes[..length].to_vec())).await.unwrap(),
                    _ => return,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => far.write_all(&bytes).await.unwrap(),
                    _ => return,
                },
            }
        }
    });
    exchange(&mut Spdy::over(near), echo().await).await;
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_told_in_words() {
    let fixture = fixture().await;
    // It has its port, and does not listen.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let free = held.local_addr().unwrap().port();
    let mut client = Spdy::connect(&fixture, "/portForward/ns/web/u1", "portforward.k8s.io").await;
    let (data, error) = open(&mut client, "0", free);
    client.send().await;
    while client.ended.len() < 2 {
        assert!(client.take().await);
    }
    assert_eq!(client.ended, [error, data]);
    let words = format!(
        "error forwarding port {free} to pod web, uid u1: connect to 127.0.0.1:{free}: connection refused, "
    );
    assert!(client.text(error).starts_with(&words), "{}", client.text(error));
    // The client's other connections go on.
    let port = echo().await;
    let (data, _) = open(&mut client, "1", port);
    client.writer.data(data, false, b"still here");
    client.send().await;
    client.until(data, "still here").await;
    let mut client = Spdy::connect(&fixture, "/portForward/ns/gone", "portforward.k8s.io").await;
    let (_, error) = open(&mut client, "0", port);
    client.send().await;
    client.until(error, "enter /nowhere/netns: no such file or directory").await;
}

#[tokio::test]
async fn a_pod_without_a_sandbox_does_not_lead_to_the_node() {
    let fixture = fixture().await;
    for headers in [
        "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
    ] {
        let head = upgrade(&fixture, "/portForward/ns/completed", headers).await.1;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_stream_and_all_with_the_client() {
    let fixture = fixture().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = Spdy::connect(&fixture, PATH, "portforward.k8s.io").await;
    let (first, _) = open(&mut client, "0", port);
    open(&mut client, "1", port);
    client.send().await;
    let (mut one, _) = listener.accept().await.unwrap();
    let (mut two, _) = listener.accept().await.unwrap();
    client.writer.control(3, 0, &[first.to_be_bytes(), 5_u32.to_be_bytes()].concat());
    client.send().await;
    let end = |read: std::io::Result<u8>| assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    tokio::select! {
        read = one.read_u8() => end(read),
        read = two.read_u8() => end(read),
    }
    drop(client);
    end(one.read_u8().await);
    end(two.read_u8().await);
}
