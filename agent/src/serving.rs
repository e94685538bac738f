//! Our own server, [`crate::server`], with what it shows and whom it believes: a certificate of our own, made once,
//! and clients of the cluster's authorities.

use crate::certificate;
use crate::identity::Identity;
use crate::join;
use crate::node::object::PORT;
use crate::say::Trouble;
use crate::server::access::{Gate, Tls};
use crate::server::{self, Host};
use crate::worker::Context;
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;
use sys::cause::cause;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Between two attempts to begin.
const PAUSE: Duration = Duration::from_secs(2);

/// Serves for ever.
pub async fn keep(context: &Context, identity: &Identity, api_server: &str) {
    let mut trouble = Trouble::default();
    loop {
        let begun = serve(context, identity, api_server).await;
        trouble.of("serve on port 10250", begun);
        sleep(PAUSE).await;
    }
}

async fn serve(context: &Context, identity: &Identity, api_server: &str) -> Result<(), String> {
    let text = own(context, identity)?;
    let chain = certificate::from_pem(&text)?.into_iter().map(CertificateDer::from).collect();
    let key =
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| format!("serving.pem: {error}"))?;
    let tls = Tls::new(chain, key)?;
    let authorities = join::authorities(identity, &context.own.cluster, api_server).await?;
    tls.trust(authorities.into_iter().map(CertificateDer::from).collect())?;
    let gate = Arc::new(Gate::new(&context.own.name));
    let port = u16::try_from(PORT).unwrap_or_default();
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await;
    let listener = listener.map_err(|error| format!("listen: {}", cause(&error)))?;
    let host = Host {
        tls,
        gate: gate.clone(),
        pods: context.board.clone(),
        monitor: context.monitor.clone(),
        stats: context.stats.clone(),
    };
    let asks = async {
        loop {
            gate.use_client(context.api.client());
            context.api.replaced().await;
        }
    };
    tokio::select! {
        served = server::serve(listener, host) => served.map_err(|error| cause(&error)),
        () = asks => Ok(()),
    }
}

/// The certificate and its key in PEM, made when there is none of this name and these addresses.
fn own(context: &Context, identity: &Identity) -> Result<String, String> {
    let head = format!("# {} {:?}\n", context.own.name, context.own.addresses);
    let is_whole = |text: &str| {
        text.starts_with(&head)
            && certificate::from_pem(text).is_ok()
            && PrivateKeyDer::from_pem_slice(text.as_bytes()).is_ok()
    };
    if let Some(text) = identity.read("serving.pem")?.filter(|text| is_whole(text)) {
        return Ok(text);
    }
    let words = |error: rcgen::Error| format!("make a certificate: {error}");
    let key = KeyPair::generate().map_err(words)?;
    let mut params = CertificateParams::new(vec![context.own.name.clone()]).map_err(words)?;
    params.subject_alt_names.extend(context.own.addresses.iter().map(|own| SanType::IpAddress(*own)));
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{}", context.own.name));
    let certificate = params.self_signed(&key).map_err(words)?;
    let text = format!("{head}{}{}", certificate.pem(), key.serialize_pem());
    identity.write("serving.pem", &text)?;
    Ok(text)
}
