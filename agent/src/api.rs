//! The connection to the API server, which changes when the node's certificate does.

mod guard;
mod in_time;
mod transport;
#[cfg(test)]
mod transport_tests;

use guard::Guard;
use kube::client::ConfigExt;
use kube::config::AuthInfo;
use kube::{Client, Config};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tower::{BoxError, ServiceBuilder};
use transport::Transport;

/// The API server, as whoever we are by now.
#[derive(Clone)]
pub struct Api {
    current: watch::Sender<Client>,
    doubt: Arc<Notify>,
}

impl Api {
    /// That of a first client.
    pub fn new(client: Client) -> Self {
        Self { current: watch::Sender::new(client), doubt: Arc::default() }
    }

    /// The client in force.
    pub fn client(&self) -> Client {
        self.current.borrow().clone()
    }

    /// Puts another in its place.
    pub fn replace(&self, client: Client) {
        self.current.send_replace(client);
    }

    /// Returns once another client is in force than when this was called: what lasts longer than a
    /// request must be begun again with that one.
    pub async fn replaced(&self) {
        let mut current = self.current.subscribe();
        // The sender is in `self`, so there is no other end.
        let _ = current.changed().await;
    }

    /// The connections may lead nowhere: somebody was not answered. A watch would not notice.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Returns once somebody doubts them; there are to be others.
    pub async fn doubted(&self) {
        self.doubt.notified().await;
    }
}

/// Whom the API server is believed to be.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Who shows a certificate that one of these, in DER, has signed.
    Authorities(Vec<Vec<u8>>),
    /// Anybody: what it says must then be checked by itself.
    Anybody,
}

/// A client for an API server.
///
/// # Errors
/// The address or what stands in `auth` cannot be used, in words.
pub fn client(server: &str, trust: Trust, auth: AuthInfo) -> Result<Client, String> {
    let uri: http::Uri = server.parse().map_err(|error| format!("cluster.server {server:?}: {error}"))?;
    if uri.scheme_str() != Some("https") || uri.host().is_none() {
        return Err(format!("cluster.server {server:?}: not https://HOST:PORT"));
    }
    let mut config = Config::new(uri);
    config.auth_info = auth;
    match trust {
        Trust::Authorities(certificates) => config.root_cert = Some(certificates),
        Trust::Anybody => {
            config.accept_invalid_certs = true;
            // Without a list the system's is looked for, and a node has none.
            config.root_cert = Some(Vec::new());
        }
    }
    let of_server = |words: String| format!("cluster.server {server:?}: {words}");
    let auth = config.auth_layer().map_err(|error| of_server(words(&error)))?;
    let host = config.cluster_url.authority().map_or("", |own| own.as_str());
    let service = ServiceBuilder::new()
        .layer_fn(|inner| Guard::new(inner, host))
        .layer(config.base_uri_layer())
        .option_layer(auth)
        .map_err(BoxError::from)
        .service(Transport::new(&config).map_err(of_server)?);
    Ok(Client::new(service, config.default_namespace))
}

/// One line for people: the API server's own words, or the innermost cause.
pub fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match status.message.as_str() {
            "" => format!("{} {}", status.code, status.reason),
            message => message.to_owned(),
        };
    }
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<std::io::Error>() {
        Some(error) => sys::cause::cause(error),
        None => innermost.to_string(),
    }
}

/// The API server has said that something is not there.
pub fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The API server does not know us (401).
pub fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 401)
}

/// The API server does not let us (403).
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Somebody has changed or made it before us (409).
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}
