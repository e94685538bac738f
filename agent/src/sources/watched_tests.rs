use super::*;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use tokio::sync::mpsc;

type Events = mpsc::UnboundedReceiver<Value>;

/// An API server that is played: one ConfigMap, what was asked for, and what a watch says.
struct Played {
    object: Value,
    asked: Mutex<Vec<String>>,
    events: Mutex<Option<Events>>,
}

impl Played {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let events = if query.contains("watch=true") { self.events.lock().unwrap().take() } else { None };
        self.asked.lock().unwrap().push(format!("{}?{query}", request.uri().path()));
        let line = |value: Value| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{value}\n"))));
        let list = json!({
            "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [self.object],
        });
        let body = match events {
            Some(events) => {
                let lines = futures::stream::unfold(events, move |mut events| async move {
                    // As API servers do, the type first.
                    let event = events.recv().await?;
                    let event = format!("{{\"type\":{},\"object\":{}}}\n", event["type"], event["object"]);
                    Some((Ok(Frame::data(Bytes::from(event))), events))
                });
                BodyExt::boxed(StreamBody::new(lines))
            }
            None => BodyExt::boxed(StreamBody::new(futures::stream::iter([line(list)]))),
        };
        Ok(Response::new(body))
    }
}

async fn played(object: Value) -> (Api, Arc<Played>, mpsc::UnboundedSender<Value>) {
    let (sender, events) = mpsc::unbounded_channel();
    let played = Arc::new(Played { object, asked: Mutex::default(), events: Mutex::new(Some(events)) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = played.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            let service = service_fn(move |request| server.clone().answer(request));
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.proxy_url = None;
    (Api::new(kube::Client::try_from(config).unwrap()), played, sender)
}

fn words(value: &str, immutable: bool) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1", "data": { "a": value }, "immutable": immutable,
        "metadata": { "name": "words", "namespace": "n", "resourceVersion": "1" },
    })
}

async fn held(used: &mut Used) -> Option<Vec<u8>> {
    used.data().await.unwrap().0.get("words").and_then(|held| held.get("a").cloned())
}

#[tokio::test]
async fn pods_share_a_watch_which_ends_with_the_last() {
    let (api, played, events) = played(words("1", false)).await;
    let (watches, needed) = (Watches::default(), [Needed::ConfigMap("words".into())]);
    let (mut one, mut other) = (Used::default(), Used::default());
    one.follow(&watches, &api, "n", &needed);
    assert_eq!(held(&mut one).await.as_deref(), Some(&b"1"[..]));
    other.follow(&watches, &api, "n", &needed);
    other.changed().await;
    assert_eq!(held(&mut other).await.as_deref(), Some(&b"1"[..]));
    events.send(json!({ "type": "MODIFIED", "object": words("2", false) })).unwrap();
    one.changed().await;
    assert_eq!(held(&mut one).await.as_deref(), Some(&b"2"[..]));
    events.send(json!({ "type": "DELETED", "object": words("2", false) })).unwrap();
    one.changed().await;
    assert_eq!(held(&mut one).await, None);
    one.follow(&watches, &api, "n", &[]);
    assert!(!events.is_closed());
    drop(other);
    events.closed().await;
    let asked = played.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let single = |ask: &String| {
        ask.starts_with("/api/v1/namespaces/n/configmaps?")
            && ask.contains("fieldSelector=metadata.name%3Dwords")
    };
    assert!(asked.iter().all(single), "{asked:?}");
}

#[tokio::test]
async fn what_never_changes_is_read_once() {
    let (api, played, _events) = played(words("1", true)).await;
    let word = watch::Sender::new(None);
    keep(api, ("n".to_owned(), Needed::ConfigMap("words".into())), word.clone()).await;
    assert!(matches!(&*word.borrow(), Some(Ok(Some(held))) if held["a"] == b"1"));
    assert_eq!(played.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_list_with_an_object_that_cannot_be_read_is_none() {
    let mut odd = words("1", false);
    odd["data"] = json!(5);
    let (api, _played, _events) = played(odd).await;
    let config = watcher::Config::default();
    let events: Vec<_> = crate::objects::watch::<ConfigMap>(api.client(), Some("n"), config).collect().await;
    let [Ok(Event::Init), Err(error)] = &events[..] else { panic!("{events:?}") };
    assert!(pods::words(error).starts_with("read ConfigMap \"n/words\": invalid type"), "{error}");
}

#[tokio::test]
async fn a_watch_ends_at_an_object_that_cannot_be_read() {
    let (api, _played, events) = played(words("1", false)).await;
    let config = watcher::Config::default();
    let mut seen = crate::objects::watch::<ConfigMap>(api.client(), Some("n"), config);
    for _ in 0..3 {
        assert!(seen.next().await.unwrap().is_ok());
    }
    let mut odd = words("2", false);
    odd["data"] = json!(5);
    events.send(json!({ "type": "MODIFIED", "object": odd })).unwrap();
    assert!(seen.next().await.unwrap().is_err());
    assert!(seen.next().await.is_none());
}
