//! HTTP connections, kept open from one request to the next.

use super::settings::{Host, Settings};
use super::url::Url;
use spec::node::registry::Pem;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use sys::cause::cause;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Proxy};

/// Bytes in each direction of a connection that wait in memory.
const BUFFER: usize = 32 << 10;

/// Most bytes of an answer's headers.
const HEADERS_MAX: usize = 64 << 10;

/// Connections by the name that settings have for a host, and by server.
#[derive(Default)]
pub(super) struct Connections(Mutex<BTreeMap<(String, bool, String), Connected>>);

/// How a server is reached.
#[derive(Clone)]
pub(super) struct Connected {
    pub agent: Agent,
    /// Host and port of the proxy in between.
    pub proxy: Option<String>,
}

impl Connections {
    /// Those to a URL's server. Settings call it `host`, or that is the registry that has sent us there: where settings say nothing
    /// of the server its CA counts, as for its token server and its storage. Certificates are read with the first.
    pub fn to(&self, host: &str, ours: bool, url: &Url, settings: &Settings) -> Result<Connected, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), url.secure, url.host.clone());
        if let Some(connected) = known.get(&key) {
            return Ok(connected.clone());
        }
        let own = own(host, ours, url, settings);
        let proxy = settings.proxies.to(url)?;
        let named = proxy.as_ref().map(|proxy| format!("{}:{}", proxy.host(), proxy.port()));
        let connected = Connected { agent: agent(settings, &own, proxy)?, proxy: named };
        known.insert(key, connected.clone());
        Ok(connected)
    }
}

fn own(host: &str, ours: bool, url: &Url, settings: &Settings) -> Host {
    let named = settings.hosts.get(host);
    match settings.hosts.get(&url.host) {
        _ if ours => named.cloned().unwrap_or_default(),
        Some(other) => other.clone(),
        None => Host { ca: named.and_then(|host| host.ca.clone()), ..Host::default() },
    }
}

fn agent(settings: &Settings, host: &Host, proxy: Option<Proxy>) -> Result<Agent, String> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(settings.patience))
        .timeout_connect(Some(settings.patience))
        .timeout_per_read(Some(settings.patience))
        .timeout_per_write(Some(settings.patience))
        .max_response_header_size(HEADERS_MAX)
        .input_buffer_size(BUFFER)
        .output_buffer_size(BUFFER)
        .user_agent(concat!("skerry/", env!("CARGO_PKG_VERSION")))
        .proxy(proxy)
        .tls_config(tls(settings, host)?);
    Ok(config.build().new_agent())
}

fn tls(settings: &Settings, host: &Host) -> Result<TlsConfig, String> {
    let mut trusted = Vec::new();
    if let Some(path) = &settings.trusted {
        trusted.extend(read_file(path)?.into_iter().filter_map(certificate));
    }
    if let Some(ca) = &host.ca {
        trusted.extend(read(ca)?.into_iter().filter_map(certificate));
    }
    let identity = match &host.identity {
        Some((certificates, key)) => Some(identity(certificates, key)?),
        None => None,
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&trusted))
        .client_cert(identity)
        .build())
}

fn identity(certificates: &Pem, key: &Pem) -> Result<ClientCert, String> {
    let chain: Vec<Certificate<'static>> = read(certificates)?.into_iter().filter_map(certificate).collect();
    if chain.is_empty() {
        return Err(format!("{}: no certificate in it", name(certificates)));
    }
    let key_of = |item| match item {
        PemItem::PrivateKey(key) => Some(key),
        _ => None,
    };
    let found: Option<PrivateKey<'static>> = read(key)?.into_iter().find_map(key_of);
    let found = found.ok_or_else(|| format!("{}: no private key in it", name(key)))?;
    Ok(ClientCert::new_with_certs(&chain, found))
}

fn certificate(item: PemItem<'static>) -> Option<Certificate<'static>> {
    match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

/// How a message names it: a text is not shown.
fn name(pem: &Pem) -> &str {
    match pem {
        Pem::File(path) => path,
        Pem::Text(_) => "a PEM text of the configuration",
    }
}

fn read(pem: &Pem) -> Result<Vec<PemItem<'static>>, String> {
    match pem {
        Pem::File(path) => read_file(Path::new(path)),
        Pem::Text(text) => parse(name(pem), text.as_bytes()),
    }
}

fn read_file(path: &Path) -> Result<Vec<PemItem<'static>>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("read {}: {}", path.display(), cause(&error)))?;
    parse(&path.display().to_string(), &bytes)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Vec<PemItem<'static>>, String> {
    let items: Vec<_> = parse_pem(bytes).collect::<Result<_, _>>().map_err(|_| format!("{name}: not PEM"))?;
    if items.is_empty() { Err(format!("{name}: nothing in it is PEM")) } else { Ok(items) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_s_ca_counts_where_it_sends_us_unless_that_has_its_own() {
        let mut settings = Settings::default();
        let of = |ca: &str| Host {
            ca: Some(Pem::Text(ca.into())),
            identity: Some((Pem::Text("c".into()), Pem::Text("k".into()))),
            ..Host::default()
        };
        settings.hosts = [("r.corp".into(), of("one")), ("s3.corp".into(), of("two"))].into();
        let to = |ours, url: &str| own("r.corp", ours, &Url::parse(url).unwrap(), &settings);
        assert!(to(true, "https://r.corp/").identity.is_some());
        let token = to(false, "https://gitlab.corp/");
        assert_eq!((token.ca, token.identity), (Some(Pem::Text("one".into())), None));
        assert_eq!(to(false, "https://s3.corp/").ca, Some(Pem::Text("two".into())));
    }
}
