//! A server with a certificate of its own, and clients that speak HTTP by hand.

use super::api::api_server;
use crate::monitor::Monitor;
use crate::server::access::{Gate, Tls};
use crate::server::places::{KNOWN, Places};
use crate::server::pods::Pods;
use crate::server::stats::Stats;
use crate::server::{Host, serve_in};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority that signs certificates.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host of this name, or of a user and a group.
    pub fn sign(&self, name: &str, group: &str) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }
}

/// A server that runs.
pub struct Fixture {
    pub address: SocketAddr,
    pub servers: Authority,
    pub clients: Authority,
    pub host: Host,
}

impl Fixture {
    pub async fn new(monitor: &Path) -> Self {
        Self::with_places(monitor, KNOWN).await
    }

    /// One with so many places for who is known.
    pub async fn with_places(monitor: &Path, known: usize) -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let (chain, key) = servers.sign("worker-1", "");
        let tls = Tls::new(chain, key).unwrap();
        tls.trust(vec![clients.certificate.clone()]).unwrap();
        let gate = Gate::new("worker-1");
        gate.use_client(api_server().await.0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = Host {
            tls,
            gate: Arc::new(gate),
            pods: Pods::default(),
            monitor: Monitor::new(monitor),
            stats: Stats::new("worker-1", &spec::node::Cluster::default()),
        };
        let served = host.clone();
        tokio::spawn(async move { serve_in(&Places::new(known), listener, served).await });
        Self { address, servers, clients, host }
    }

    /// A connection of somebody, or of nobody.
    pub async fn connect(&self, identity: Option<Identity>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("worker-1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// The status and all that follows it.
    pub async fn get(&self, identity: Option<Identity>, path: &str, headers: &str) -> (u16, String) {
        let mut stream = self.connect(identity).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }
}
