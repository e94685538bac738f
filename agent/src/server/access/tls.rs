//! TLS: which certificate is shown, and which clients' certificates are believed.
//!
//! A client whose certificate is not believed is not turned away while hands are shaken, but
//! answered with 401 as one without any: so is told what is wrong, and the answer is the same for
//! whatever a client lacks. The certificate is looked at once for each request, so that one that
//! expires, or whose authority is withdrawn, counts for nothing at once.

use super::subject::{Subject, subject};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};

/// What is shown and believed, which may be replaced while the server runs. Connections that stand
/// keep what they began with, but for clients' authorities.
#[derive(Clone, Debug)]
pub struct Tls(Arc<RwLock<Inner>>);

#[derive(Debug)]
struct Inner {
    config: Arc<ServerConfig>,
    authorities: Option<Arc<dyn ClientCertVerifier>>,
}

impl Tls {
    /// Shows this chain, the server's own certificate first; believes no client until
    /// [`Tls::trust`].
    ///
    /// # Errors
    /// The key is of no use, or not the certificate's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let config = config(chain, key)?;
        Ok(Self(Arc::new(RwLock::new(Inner { config, authorities: None }))))
    }

    /// Shows another chain to those who come from now on.
    ///
    /// # Errors
    /// As [`Tls::new`]; what was shown is shown still.
    pub fn show(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), String> {
        let config = config(chain, key)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).config = config;
        Ok(())
    }

    /// Believes clients whose certificates these authorities have signed, and no others.
    ///
    /// # Errors
    /// One of them is no certificate, or there is none; those from before are believed still.
    pub fn trust(&self, authorities: Vec<CertificateDer<'static>>) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|error| format!("clients' authority: {error}"))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| format!("clients' authority: {error}"))?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).authorities = Some(verifier);
        Ok(())
    }

    /// What a connection begins with.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    /// Who shows this chain, if it is to be believed now.
    #[must_use]
    pub fn believe(&self, chain: &[CertificateDer<'_>]) -> Option<Subject> {
        let authorities = self.0.read().unwrap_or_else(PoisonError::into_inner).authorities.clone()?;
        let (own, others) = chain.split_first()?;
        authorities.verify_client_cert(own, others, UnixTime::now()).ok()?;
        subject(own)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, String> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("the server's TLS: {error}"))?
        .with_client_cert_verifier(Arc::new(LookLater(provider())))
        .with_single_cert(chain, key)
        .map_err(|error| format!("the server's certificate: {error}"))?;
    // Streams are upgraded connections of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions that could be resumed cost memory, and the API server keeps its connections anyway.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Asks for a certificate and has its owner prove that the key is theirs; who signed it is looked
/// at with each request.
#[derive(Debug)]
struct LookLater(Arc<CryptoProvider>);

impl ClientCertVerifier for LookLater {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
