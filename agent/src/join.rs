//! Joining: from an address, a hash and a token to a certificate of this node's own.
//!
//! | what is there | what is done |
//! |---|---|
//! | `client.pem` of this name that still holds | nothing: the node is known, unless the API server says otherwise (401) |
//! | a `client.pem` that is none | said, and as if there were none |
//! | only a token | a certificate is asked for with it (a CertificateSigningRequest of the signer `kubernetes.io/kube-apiserver-client-kubelet`) |
//! | neither authorities nor `ca.pem`, but a hash | the authorities are read from the ConfigMap `kube-public/cluster-info` of whoever answers, and believed when the hash is theirs |
//!
//! The key lies on disk before it is used, so an agent that is killed goes on with the same request.

use crate::api::{self, Trust};
use crate::certificate;
use crate::csr::{self, CLIENT, Refusal, user};
use crate::identity::Identity;
use crate::manifest;
use crate::say::{Trouble, say};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::config::AuthInfo;
use kube::{Api, Client};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use spec::node::Cluster;
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

/// How long a signature is awaited before the request is made anew.
const PATIENCE: Duration = Duration::from_secs(300);

/// There was no certificate, or by this clock it has expired.
const NONE: &str = "this node has no certificate that holds";

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Makes what a node needs that has no certificate yet, and that nobody must be asked for.
///
/// # Errors
/// A file that cannot be read or written.
pub fn prepare(identity: &Identity) -> Result<(), String> {
    match identity.read("client.pem")? {
        Some(_) => Ok(()),
        None => CLIENT.key(identity).map(drop),
    }
}

/// A client as this node, however long it takes; what is in the way is said.
pub async fn join(identity: &Identity, cluster: &Cluster, server: &str, name: &str) -> Client {
    let mut trouble = Trouble::default();
    loop {
        let joined = known(identity, cluster, server, name).await;
        if let Some(client) = trouble.of(&format!("join {server}"), joined) {
            return client;
        }
        trouble.pause().await;
    }
}

/// A client as this node, which gets a certificate first if it has none.
async fn known(identity: &Identity, cluster: &Cluster, server: &str, name: &str) -> Result<Client, String> {
    let trust = Trust::Authorities(authorities(identity, cluster, server).await?);
    if let Some(client) = with_certificate(identity, server, &trust, name)? {
        return Ok(client);
    }
    by_token(identity, cluster, server, name, trust).await
}

/// A client as this node, by a certificate that is asked for with the token.
async fn by_token(
    identity: &Identity,
    cluster: &Cluster,
    server: &str,
    name: &str,
    trust: Trust,
) -> Result<Client, String> {
    let token = cluster.token.clone();
    let token = token.ok_or_else(|| format!("{NONE}, and cluster.token is not set"))?;
    let with_token = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
    let client = api::client(server, trust.clone(), with_token)?;
    certify(identity, &client, name).await.map_err(words)?;
    say(format_args!("{name}: has a certificate"));
    with_certificate(identity, server, &trust, name)?.ok_or_else(|| NONE.to_owned())
}

/// A client by `client.pem`, if that is there, holds, and is of a node of this name. One that is none is said.
///
/// # Errors
/// The file cannot be read.
pub fn with_certificate(
    identity: &Identity,
    server: &str,
    trust: &Trust,
    name: &str,
) -> Result<Option<Client>, String> {
    let Some(text) = identity.read("client.pem")? else { return Ok(None) };
    let holds = || -> Result<bool, String> {
        let der = certificate::from_pem(&text)?;
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| format!("its key: {error}"))?;
        let (_, until) = certificate::validity(&der[0])?;
        Ok(until > SystemTime::now() && certificate::common_name(&der[0])? == Some(user(name)))
    };
    match holds() {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(reason) => {
            say(format_args!("{}: {reason}: it counts as none", identity.path("client.pem").display()));
            return Ok(None);
        }
    }
    let path = Some(identity.path("client.pem").display().to_string());
    let auth = AuthInfo { client_certificate: path.clone(), client_key: path, ..AuthInfo::default() };
    api::client(server, trust.clone(), auth).map(Some)
}

/// Who signs the API server's certificate, as DER each.
///
/// # Errors
/// Nobody is believed, in words.
pub async fn authorities(
    identity: &Identity,
    cluster: &Cluster,
    server: &str,
) -> Result<Vec<Vec<u8>>, String> {
    if let Some(text) = &cluster.ca {
        return certificate::from_pem(text).map_err(|reason| format!("cluster.ca: {reason}"));
    }
    let pin = cluster.ca_cert_hash.as_deref().ok_or("neither cluster.ca nor cluster.ca-cert-hash is set")?;
    if let Some(text) = identity.read("ca.pem")? {
        let kept = pinned(certificate::from_pem(&text).unwrap_or_default(), pin);
        if !kept.is_empty() {
            return Ok(kept);
        }
    }
    let text = published(server).await?;
    let found = certificate::from_pem(&text).map_err(|reason| format!("cluster-info: {reason}"))?;
    let found = pinned(found, pin);
    if found.is_empty() {
        return Err(format!("cluster.ca-cert-hash {pin}: no authority that {server} publishes has it"));
    }
    // Nobody waits for it: without it, they are asked for again.
    let (identity, text) = (identity.clone(), certificate::to_pem(&found));
    spawn_blocking(move || {
        identity.write("ca.pem", &text).unwrap_or_else(|reason| say(format_args!("{reason}")));
    });
    Ok(found)
}

/// Those that the hash is of. Anybody may publish others beside them.
fn pinned(mut authorities: Vec<Vec<u8>>, pin: &str) -> Vec<Vec<u8>> {
    authorities.retain(|der| certificate::pin(der).is_ok_and(|own| own.eq_ignore_ascii_case(pin)));
    authorities
}

/// The API server does not know who asks, whatever the certificate says of itself.
async fn is_refused(client: &Client) -> bool {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let asked = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    asked.is_err_and(|error| api::is_unknown(&error))
}

/// The authorities that whoever answers at an address names, in PEM.
async fn published(server: &str) -> Result<String, String> {
    let client = api::client(server, Trust::Anybody, AuthInfo::default())?;
    let maps: Api<ConfigMap> = Api::namespaced(client, "kube-public");
    let map = maps
        .get("cluster-info")
        .await
        .map_err(|error| format!("read cluster-info: {}", api::words(&error)))?;
    let text = map.data.and_then(|mut data| data.remove("kubeconfig"));
    let text = text.ok_or("cluster-info: it has no kubeconfig")?;
    let file: serde_json::Value = manifest::read(&text).map_err(|error| format!("cluster-info: {error}"))?;
    let clusters = file["clusters"].as_array().into_iter().flatten();
    let data = clusters.filter_map(|one| one["cluster"]["certificate-authority-data"].as_str()).next();
    let data = data.ok_or("cluster-info: its kubeconfig names no authority")?;
    use base64::Engine;
    let bytes = base64::engine::general_purpose::STANDARD.decode(data);
    bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| "cluster-info: its authority is not PEM in base64".to_owned())
}

/// Gets a certificate for this node and puts it and its key into `client.pem`.
///
/// # Errors
/// The API server, or who approves, does not give one.
async fn certify(identity: &Identity, client: &Client, name: &str) -> Result<(), Refusal> {
    let key = csr::aside(identity, |own| CLIENT.key(own)).await?;
    let none = BTreeSet::new();
    let signed = timeout(PATIENCE, CLIENT.ask(client, &key, name, &none)).await.unwrap_or_else(|_| {
        Err(Refusal::Other(format!("the CertificateSigningRequest was not approved in {PATIENCE:?}")))
    });
    if signed.is_err() {
        CLIENT.forget_key(identity);
    }
    let text = format!("{}{}", signed?, key.serialize_pem());
    csr::aside(identity, move |own| own.write("client.pem", &text)).await?;
    CLIENT.forget_key(identity);
    Ok(())
}

/// Why there is none, for people.
fn words(refusal: Refusal) -> String {
    let request = |what: &str| format!("the CertificateSigningRequest {what}");
    match refusal {
        Refusal::Unknown => {
            "the API server does not know cluster.token: it is wrong or has expired".to_owned()
        }
        Refusal::Denied(why) => request(&format!("is {why}")),
        Refusal::Removed => request("was removed"),
        Refusal::Other(words) => words,
    }
}

/// Replaces the certificate in time, for ever, and the client with it. One that the API server takes no more, since
/// it has expired for instance, is replaced as at first, with the token.
pub async fn rotate(identity: &Identity, cluster: &Cluster, server: &str, name: &str, api: &crate::api::Api) {
    let mut trouble = Trouble::default();
    loop {
        let text = identity.read("client.pem").ok().flatten().unwrap_or_default();
        let moment = certificate::from_pem(&text).and_then(|der| {
            let life = certificate::validity(&der[0])?;
            Ok(certificate::rotation(life, SystemTime::now(), certificate::share(&der[0])))
        });
        if let Ok(moment) = moment {
            tokio::select! {
                () = wait_until(moment) => {}
                () = api.doubted() => {
                    // New connections, and nothing else, unless this node is not known any more.
                    let client = again(identity, cluster, server, name).await;
                    let refused = match &client {
                        Ok(client) => is_refused(client).await,
                        Err(_) => false,
                    };
                    client.into_iter().for_each(|client| api.replace(client));
                    if !refused {
                        continue;
                    }
                }
            }
        }
        loop {
            let made = replaced(identity, cluster, server, name, &api.client()).await;
            if let Some(client) = trouble.of("replace the certificate of this node", made) {
                api.replace(client);
                break;
            }
            CLIENT.count_error();
            trouble.pause().await;
        }
    }
}

/// The clock may be set meanwhile, so it is looked at again and again.
pub async fn wait_until(moment: SystemTime) {
    loop {
        let left = certificate::until(moment);
        if left.is_zero() {
            return;
        }
        sleep(left.min(LOOK)).await;
    }
}

/// A client by another certificate.
async fn replaced(
    identity: &Identity,
    cluster: &Cluster,
    server: &str,
    name: &str,
    client: &Client,
) -> Result<Client, String> {
    match certify(identity, client, name).await {
        Ok(()) => again(identity, cluster, server, name).await,
        Err(Refusal::Unknown) => {
            let trust = Trust::Authorities(authorities(identity, cluster, server).await?);
            by_token(identity, cluster, server, name, trust).await
        }
        Err(other) => Err(words(other)),
    }
}

/// A client by the certificate that is there.
async fn again(identity: &Identity, cluster: &Cluster, server: &str, name: &str) -> Result<Client, String> {
    let trust = Trust::Authorities(authorities(identity, cluster, server).await?);
    with_certificate(identity, server, &trust, name)?.ok_or_else(|| NONE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn only_the_authority_that_is_pinned_is_believed() {
        let authority = || {
            let key = KeyPair::generate().unwrap();
            CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().der().to_vec()
        };
        let all = vec![authority(), authority()];
        let pin = certificate::pin(&all[1]).unwrap();
        let believed = pinned(all.clone(), &pin.to_uppercase().replace("SHA", "sha"));
        assert_eq!(believed, all[1..]);
        assert_eq!(certificate::from_pem(&certificate::to_pem(&all)).unwrap(), all);
        assert!(pinned(all, "sha256:00").is_empty());
    }

    #[tokio::test]
    async fn a_certificate_is_of_one_name() {
        let folder = std::env::temp_dir().join(format!("skerry-join-{}", std::process::id()));
        let identity = Identity::open(&folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user("n1"));
        let own = params.self_signed(&key).unwrap();
        identity.write("client.pem", &format!("{}{}", own.pem(), key.serialize_pem())).unwrap();
        let holds =
            |name| with_certificate(&identity, "https://192.0.2.1", &Trust::Anybody, name).unwrap().is_some();
        assert!(holds("n1") && !holds("n2"));
        for damaged in ["", "-----BEGIN CERT", &own.pem()] {
            identity.write("client.pem", damaged).unwrap();
            assert!(!holds("n1"), "another is asked for: {damaged:?}");
        }
        std::fs::write(identity.path("client.pem"), b"\xff\xfe").unwrap();
        assert!(!holds("n1"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
