//! The server alone, for a pod that is made up on the command line, beside a real API server:
//!
//! ```text
//! server ADDRESS NODE CLIENT-CA.pem MONITOR-SOCKET NAMESPACE/POD/CONTAINER=INSTANCE LOGS-FOLDER
//! ```
//!
//! The API server is that of `$KUBECONFIG`; the certificate is made here.

use agent::monitor::Monitor;
use agent::server::access::{Gate, Tls};
use agent::server::pods::{Container, Pod, Pods};
use agent::server::stats::Stats;
use agent::server::{Host, serve};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, node, authority, socket, names, logs] = words.as_slice() else {
        return Err("usage: server ADDRESS NODE CLIENT-CA.pem MONITOR NS/POD/CONTAINER=INSTANCE LOGS".into());
    };
    let key = rcgen::generate_simple_self_signed(vec![node.clone()])?;
    let chain = vec![key.cert.der().clone()];
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let tls = Tls::new(chain, secret)?;
    tls.trust(CertificateDer::pem_file_iter(authority)?.collect::<Result<_, _>>()?)?;
    let gate = Gate::new(node);
    gate.use_client(kube::Client::try_default().await?);
    let (pods, monitor, stats) =
        (Pods::default(), Monitor::new(socket.as_str()), Stats::new(node, &spec::node::Cluster::default()));
    let host = Host { tls, gate: Arc::new(gate), pods, monitor, stats };
    host.pods.replace(vec![pod(names, logs).ok_or("NS/POD/CONTAINER=INSTANCE")?]);
    serve(TcpListener::bind(address).await?, host).await?;
    Ok(())
}

fn pod(names: &str, logs: &str) -> Option<Pod> {
    let (names, instance) = names.split_once('=')?;
    let mut names = names.split('/').map(str::to_owned);
    let (namespace, name, container) = (names.next()?, names.next()?, names.next()?);
    let instance = Some(instance.to_owned());
    let container = Container { name: container, instance, running: true, ..Container::default() };
    Some(Pod { namespace, name, logs: logs.into(), containers: vec![container], ..Pod::default() })
}
