//! Certificates of the cluster's authority: what a CertificateSigningRequest (certificates.k8s.io/v1) says, and what comes of
//! it.

use crate::api;
use crate::identity::Identity;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::spawn_blocking;

/// A certificate that a node may have, and one who signs it.
#[derive(Debug)]
pub struct Kind {
    /// What the request's name begins with; the rest follows from what is asked for.
    prefix: &'static str,
    signer: &'static str,
    usages: [&'static str; 2],
    /// The file of a key that no certificate has come for yet.
    key: &'static str,
    errors: AtomicU64,
}

/// What the node shows to the API server.
pub static CLIENT: Kind = Kind {
    prefix: "node-csr-",
    signer: "kubernetes.io/kube-apiserver-client-kubelet",
    usages: ["digital signature", "client auth"],
    key: "next.pem",
    errors: AtomicU64::new(0),
};

/// What its own server shows. No cluster approves it by itself.
pub static SERVING: Kind = Kind {
    prefix: "node-serving-",
    signer: "kubernetes.io/kubelet-serving",
    usages: ["digital signature", "server auth"],
    key: "serving-next.pem",
    errors: AtomicU64::new(0),
};

/// Why there is no certificate.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The API server does not know who asks.
    Unknown,
    /// Somebody does not want to sign it, or cannot: in words.
    Denied(String),
    /// The request was removed, as each is after a day.
    Removed,
    /// Something else, in words.
    Other(String),
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Other(words)
    }
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        if api::is_unknown(&error) { Self::Unknown } else { Self::Other(api::words(&error)) }
    }
}

/// A node's name as a user of the API server.
pub fn user(name: &str) -> String {
    format!("system:node:{name}")
}

impl Kind {
    /// How often a certificate could not be replaced since the agent began.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// It could not be.
    pub fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// The key of the certificate that is asked for, made once: who is killed goes on with the same request.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn key(&self, identity: &Identity) -> Result<KeyPair, String> {
        if let Some(key) = identity.read(self.key)?.and_then(|text| KeyPair::from_pem(&text).ok()) {
            return Ok(key);
        }
        let key = KeyPair::generate().map_err(|error| format!("make a key: {error}"))?;
        identity.write(self.key, &key.serialize_pem())?;
        Ok(key)
    }

    /// The next request has another key, and so another name.
    pub fn forget_key(&self, identity: &Identity) {
        let _ = std::fs::remove_file(identity.path(self.key));
    }

    /// A request for the node of this name, of a certificate for these names and addresses. What it is called follows from
    /// these and the key.
    fn request(
        &self,
        key: &KeyPair,
        node: &str,
        names: &BTreeSet<String>,
    ) -> Result<CertificateSigningRequest, String> {
        let words = |error: rcgen::Error| format!("make a certificate request: {error}");
        let mut params = CertificateParams::new(Vec::from_iter(names.iter().cloned())).map_err(words)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, user(node));
        let pem = params.serialize_request(key).and_then(|request| request.pem()).map_err(words)?;
        let mut hash = Sha256::new_with_prefix(key.subject_public_key_info());
        names.iter().for_each(|name| hash.update(name));
        let hash: String = hash.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{}{hash}", self.prefix);
        Ok(CertificateSigningRequest {
            metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
            spec: CertificateSigningRequestSpec {
                request: ByteString(pem.into_bytes()),
                signer_name: self.signer.to_owned(),
                usages: Some(self.usages.map(str::to_owned).to_vec()),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        })
    }

    /// Asks for a certificate and waits for it, without end; gives it in PEM. Who asks again with the same key and names
    /// waits for the same request.
    ///
    /// # Errors
    /// There is none.
    pub async fn ask(
        &self,
        client: &Client,
        key: &KeyPair,
        node: &str,
        names: &BTreeSet<String>,
    ) -> Result<String, Refusal> {
        let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
        let request = self.request(key, node, names)?;
        match requests.create(&PostParams::default(), &request).await {
            Err(error) if !api::is_conflict(&error) => return Err(error.into()),
            // A conflict: this one was asked for before.
            _ => {}
        }
        signed(&requests, request.metadata.name.as_deref().unwrap_or_default()).await
    }
}

/// The certificate in PEM, once there is one.
async fn signed(requests: &Api<CertificateSigningRequest>, name: &str) -> Result<String, Refusal> {
    let changes = kube::runtime::watcher::watch_object(requests.clone(), name);
    let mut changes = std::pin::pin!(changes.map_err(|error| error.to_string()));
    while let Some(change) = changes.next().await {
        if let Some(fate) = fate(change?) {
            return fate;
        }
    }
    Err(Refusal::Other(format!("CertificateSigningRequest {name}: the watch has ended")))
}

/// What has come of a request; nothing yet while nobody has approved it, or signed.
fn fate(request: Option<CertificateSigningRequest>) -> Option<Result<String, Refusal>> {
    let Some(request) = request else { return Some(Err(Refusal::Removed)) };
    let status = request.status.unwrap_or_default();
    let mut conditions = status.conditions.into_iter().flatten();
    if let Some(against) = conditions.find(|one| one.type_ == "Denied" || one.type_ == "Failed") {
        let why = against.message.or(against.reason).unwrap_or_default();
        return Some(Err(Refusal::Denied(format!("{}: {why}", against.type_))));
    }
    let pem = String::from_utf8(status.certificate?.0);
    Some(pem.map_err(|_| Refusal::Other("the certificate is not PEM".to_owned())))
}

/// Does something with the identity's files on a thread that may wait for the disk: the node's heartbeat goes on.
///
/// # Errors
/// Those of what is done.
pub async fn aside<T: Send + 'static>(
    identity: &Identity,
    act: impl FnOnce(&Identity) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let own = identity.clone();
    spawn_blocking(move || act(&own)).await.map_err(|error| error.to_string())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_is_what_the_signer_takes() {
        let key = KeyPair::generate().unwrap();
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
        let of = |kind: &Kind, all: &[&str]| kind.request(&key, "n1", &names(all)).unwrap();
        let client = of(&CLIENT, &[]);
        assert_eq!(client.spec.usages.as_deref().unwrap(), ["digital signature", "client auth"]);
        let pem = String::from_utf8(client.spec.request.0).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{pem}");
        let [one, again, moved] =
            [["n1", "192.0.2.1"], ["192.0.2.1", "n1"], ["n1", "192.0.2.2"]].map(|all| of(&SERVING, &all));
        assert_eq!(one.spec.usages.unwrap(), ["digital signature", "server auth"]);
        assert_eq!(one.metadata.name, again.metadata.name, "who is killed goes on with the same");
        assert_ne!(one.metadata.name, moved.metadata.name);
    }

    #[test]
    fn a_request_waits_until_it_is_signed_denied_or_removed() {
        let of = |status: serde_json::Value| {
            let spec = json!({ "request": "", "signerName": "" });
            fate(Some(serde_json::from_value(json!({ "spec": spec, "status": status })).unwrap()))
        };
        let condition = |kind: &str| json!({ "type": kind, "status": "True", "message": "not you" });
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({ "conditions": [condition("Approved")] })), None, "it is not signed yet");
        let signed = json!({ "conditions": [condition("Approved")], "certificate": "YQ==" });
        assert_eq!(of(signed), Some(Ok("a".to_owned())));
        let denied = of(json!({ "conditions": [condition("Denied")] }));
        assert_eq!(denied, Some(Err(Refusal::Denied("Denied: not you".to_owned()))));
        assert_eq!(fate(None), Some(Err(Refusal::Removed)));
    }
}
