//! An API server that is played: it knows tokens and rights.

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// What was asked: the kind and the answer's key.
pub type Asked = Arc<Mutex<Vec<String>>>;

/// An API server that knows the token `good` as alice, who may look at metrics.
pub async fn api_server() -> (Client, Asked) {
    let asked = Asked::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let log = log.clone();
            let service = service_fn(move |request| answer(log.clone(), request));
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(served);
        }
    });
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.proxy_url = None;
    (Client::try_from(config).unwrap(), asked)
}

async fn answer(log: Asked, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut object: Value = serde_json::from_slice(&body).unwrap();
    let spec = object["spec"].clone();
    if let Some(token) = spec["token"].as_str() {
        log.lock().unwrap().push(format!("token {token}"));
        object["status"] = match token {
            "good" => json!({"authenticated": true, "user": {"username": "alice", "groups": ["g"]}}),
            "odd" => json!({"authenticated": true}),
            _ => json!({"authenticated": false, "error": "unknown"}),
        };
    } else {
        let of = &spec["resourceAttributes"];
        let asked = format!(
            "{} {} {} {}/{} {}",
            spec["user"].as_str().unwrap(),
            spec["groups"],
            of["verb"].as_str().unwrap(),
            of["resource"].as_str().unwrap(),
            of["subresource"].as_str().unwrap(),
            of["name"].as_str().unwrap()
        );
        let allowed = matches!(of["subresource"].as_str(), Some("metrics" | "proxy"))
            && spec["groups"].as_array().unwrap().iter().any(|group| group == "g");
        log.lock().unwrap().push(asked);
        object["status"] = json!({ "allowed": allowed });
    }
    Ok(Response::new(Full::new(object.to_string().into())))
}
