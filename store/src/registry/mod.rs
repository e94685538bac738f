//! Registries: where images come from and go to (OCI distribution-spec 1.1).
//!
//! ```text
//! Registries          settings and connections, for any number of pulls and pushes
//!   Client            one repository at one server, with what that server accepted
//!     send            one request: again after 401 with a token, after a redirect, after a failure
//!   Download          a blob's bytes, whatever happens to the connection
//! ```
//!
//! What to do is decided by values alone, and tested so: `auth` about a 401, `retry`
//! about a failure, `url` where a redirect leads, `settings` who is asked.
//! `client` does it.
//!
//! - A header `Authorization` goes to the server that asked for it, never to where a
//!   redirect leads.
//! - From TLS to no TLS no redirect is followed.
//! - Names are digests: what comes from a mirror or from a redirect is as good as
//!   its bytes are.
//! - Every answer has a limit: headers 64 KiB, tokens and error texts 1 MiB, manifests
//!   4 MiB, blobs the length that the manifest says.

mod auth;
mod blob;
mod challenge;
mod client;
mod connection;
mod credentials;
mod failure;
mod fetch;
mod helper;
mod login;
mod node;
mod proxy;
mod retry;
mod settings;
mod stop;
mod upload;
mod url;

#[cfg(test)]
pub(crate) mod fake;

pub(crate) use blob::Download;
pub(crate) use client::{Body, Client, Request};
pub use credentials::{Credentials, fits, host_of};
pub(crate) use failure::Failure;
pub(crate) use fetch::Origins;
pub use login::{forget, remember};
pub use proxy::Proxies;
pub use settings::{Host, Settings};
pub use spec::node::registry::Pem;
pub(crate) use stop::Stop;
pub(crate) use upload::Upload;

use connection::Connections;

/// Registries, ready to be spoken to.
pub struct Registries {
    settings: Settings,
    connections: Connections,
}

impl Registries {
    /// Registries that are reached so. Nothing is connected or read yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, connections: Connections::default() }
    }

    /// Whether what is here by its digest is asked for, too ([`Settings::confirms`]).
    pub(crate) fn confirms(&self) -> bool {
        self.settings.confirms
    }
}
