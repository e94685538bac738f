//! Our own server, [`crate::server`], with what it shows (`certificate`) and whom it believes: clients of the cluster's
//! authorities.

mod certificate;

pub use certificate::FILE;

use crate::certificate::from_pem;
use crate::identity::Identity;
use crate::join;
use crate::node::object::PORT;
use crate::say::Trouble;
use crate::server::access::Gate;
use crate::server::{self, Host};
use crate::worker::Context;
use certificate::Shown;
use rustls::pki_types::CertificateDer;
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
    let shown = Shown::open(&context.own, identity)?;
    let tls = shown.tls.clone();
    let authorities = match &context.own.cluster.client_ca {
        Some(text) => from_pem(text).map_err(|reason| format!("cluster.client-ca: {reason}"))?,
        None => join::authorities(identity, &context.own.cluster, api_server).await?,
    };
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
        () = shown.keep(&context.api, context.allocations.node.subscribe()) => Ok(()),
    }
}
