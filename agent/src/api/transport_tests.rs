//! The transport against servers that speak either protocol, by TLS.

use super::{Trust, client};
use futures::StreamExt;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::WatchParams;
use kube::config::AuthInfo;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

/// What a server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<(Version, String)>>,
}

/// The end of a server of these protocols (RFC 7301): where it hears, by TLS; and its address.
async fn listen(protocols: &[&[u8]]) -> (TcpListener, TlsAcceptor, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tls = ServerConfig::builder().with_no_client_auth();
    let mut tls = tls.with_single_cert(vec![own.cert.der().clone()], key).unwrap();
    tls.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    (listener, acceptor, address)
}

/// A server of these protocols, which knows no object; its address, and what it sees.
async fn serve(protocols: &[&[u8]]) -> (String, Arc<Seen>) {
    let (listener, acceptor, address) = listen(protocols).await;
    let seen = Arc::new(Seen::default());
    let told = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), told.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let service = service_fn(move |request| answer(request, seen.clone()));
                let io = TokioIo::new(stream);
                let _ = match is_http2 {
                    true => {
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        server.serve_connection(io, service).await
                    }
                    false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
                };
            });
        }
    });
    (address, seen)
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Full<Bytes>>, Infallible> {
    seen.requests.lock().unwrap().push((request.version(), request.uri().path().to_owned()));
    let status =
        r#"{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}"#;
    Ok(Response::builder().status(404).body(Full::from(status)).unwrap())
}

/// A server that begins an answer to the first request of a connection, and then reads only: frames of RFC 9113.
async fn serve_silently() -> String {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const TAKEN: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    /// Stream 1: `:status: 200` (RFC 7541, appendix A), the end of the headers.
    const BEGIN: &[u8] = &[0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88];
    let (listener, acceptor, address) = listen(&[b"h2"]).await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(&[SETTINGS, TAKEN].concat()).await.unwrap();
        let mut heard = Vec::new();
        let is_asked = |heard: &[u8]| heard.windows(9).any(|own| own[3] == 1 && own[5..] == [0, 0, 0, 1]);
        while !is_asked(&heard) {
            stream.read_buf(&mut heard).await.unwrap();
        }
        stream.write_all(BEGIN).await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    address
}

async fn ask_at_once(address: &str, count: usize) -> kube::Client {
    let client = client(address, Trust::Anybody, AuthInfo::default()).unwrap();
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client.clone(), "n");
    let all = (0..count).map(|number| {
        let (maps, name) = (maps.clone(), format!("m{number}"));
        async move { maps.get(&name).await }
    });
    for answer in futures::future::join_all(all).await {
        assert!(super::is_missing(&answer.unwrap_err()));
    }
    client
}

#[tokio::test]
async fn all_requests_share_one_connection_though_they_come_at_once() {
    let (address, seen) = serve(&[b"h2", b"http/1.1"]).await;
    ask_at_once(&address, 20).await;
    assert_eq!(seen.connections.load(Ordering::SeqCst), 1);
    assert_eq!(seen.requests.lock().unwrap().len(), 20);
}

#[tokio::test]
async fn a_watch_of_one_object_has_its_own() {
    let (address, seen) = serve(&[b"h2", b"http/1.1"]).await;
    let client = ask_at_once(&address, 1).await;
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client, "n");
    for (fields, connections, version) in
        [("metadata.name=one", 2, Version::HTTP_11), ("metadata.namespace=n", 2, Version::HTTP_2)]
    {
        assert!(maps.watch(&WatchParams::default().fields(fields), "1").await.is_err(), "there is none");
        assert_eq!(seen.connections.load(Ordering::SeqCst), connections);
        assert_eq!(seen.requests.lock().unwrap().last().unwrap().0, version);
    }
}

#[tokio::test]
async fn a_server_without_http2_is_asked_all_the_same() {
    let (address, seen) = serve(&[b"http/1.1"]).await;
    ask_at_once(&address, 5).await;
    assert_eq!(seen.requests.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_watch_ends_with_a_server_that_says_nothing() {
    let address = serve_silently().await;
    let client = client(&address, Trust::Anybody, AuthInfo::default()).unwrap();
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client, "n");
    let begun = Instant::now();
    let mut changes = maps.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    // From here on nothing comes but time.
    tokio::time::pause();
    let change = timeout(Duration::from_secs(100), changes.next()).await.expect("it is asked for a word");
    assert!(change.unwrap().is_err());
    assert!(begun.elapsed() >= Duration::from_secs(44), "it had time: {:?}", begun.elapsed());
}
