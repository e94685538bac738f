//! The certificate of our own server, `serving.pem`: one that the cluster has signed, and one that is signed by itself until
//! then.
//!
//! | what is shown | what is done |
//! |---|---|
//! | none of this node's name, or one signed by itself for other addresses | one is made that is signed by itself |
//! | one signed by itself | one of the cluster's is asked for, which comes when somebody approves the request |
//! | one of the cluster's | another is asked for late in its life, and when the Node has a name or an address that it is not for |
//!
//! A request waits for its approval without end: the cluster removes it after a day, and it is made anew. One that is denied
//! is made anew with another key a minute later, twice as long each time, an hour at most.

use crate::api::Api;
use crate::certificate::{self, common_name, from_pem, is_self_signed, validity};
use crate::csr::{Refusal, SERVING, aside, user};
use crate::identity::Identity;
use crate::join::wait_until;
use crate::node::report::Own;
use crate::pod::allocation::OwnNode;
use crate::say::{Trouble, say};
use crate::server::access::Tls;
use k8s_openapi::api::core::v1::{Node, NodeAddress};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::sleep;

/// The file.
pub const FILE: &str = "serving.pem";

/// When a request is made anew that was denied, and at longest.
const DENIED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// When one is made anew that was removed.
const REMOVED: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Debug)]
pub struct Shown<'a> {
    own: &'a Own,
    identity: &'a Identity,
    /// The certificate and its key in PEM.
    text: String,
    /// Where it is shown.
    pub tls: Tls,
}

impl<'a> Shown<'a> {
    /// Shows the certificate that is there, or one that is signed by itself.
    ///
    /// # Errors
    /// None can be made, or kept.
    pub fn open(own: &'a Own, identity: &'a Identity) -> Result<Self, String> {
        let names = names(own, None);
        let kept = identity.read(FILE)?.filter(|text| is_of_use(text, &own.name, &names));
        let text = match kept {
            Some(text) => text,
            None => {
                let text = self_signed(&own.name, &names)?;
                identity.write(FILE, &text)?;
                text
            }
        };
        let (chain, key) = parts(&text)?;
        Ok(Self { own, identity, text, tls: Tls::new(chain, key)? })
    }

    /// Has it signed and replaced by the cluster, for ever; `node` is what the API server says of this node.
    pub async fn keep(mut self, api: &Api, mut node: watch::Receiver<OwnNode>) {
        let (mut trouble, mut denials) = (Trouble::default(), 0);
        loop {
            let Ok(seen) = node.wait_for(|all| !all.is_empty()).await.map(|all| all.clone()) else { return };
            let own = self.own;
            let of = |all: &OwnNode| names(own, all.values().next().map(Arc::as_ref));
            let wanted = of(&seen);
            let others = node.wait_for(|all| !all.is_empty() && of(all) != wanted);
            tokio::select! {
                () = self.replace(api, &wanted, &mut trouble, &mut denials) => {}
                // Another client is in force, or there are other names.
                () = api.replaced() => {}
                _ = others => {}
            }
        }
    }

    /// Replaces it once that is due, or tries to, and pauses then.
    async fn replace(
        &mut self,
        api: &Api,
        wanted: &BTreeSet<String>,
        trouble: &mut Trouble,
        denials: &mut u32,
    ) {
        if let Some(moment) = due(&self.text, &self.own.name, wanted, SystemTime::now()) {
            wait_until(moment).await;
        }
        let what = "get a serving certificate";
        let refusal = match self.ask(api, wanted).await {
            Ok(()) => {
                *denials = 0;
                trouble.of(what, Ok(()));
                return say(format_args!("{}: has a serving certificate", self.own.name));
            }
            Err(Refusal::Removed) => return sleep(REMOVED).await,
            Err(refusal) => refusal,
        };
        SERVING.count_error();
        match refusal {
            Refusal::Denied(why) => {
                SERVING.forget_key(self.identity);
                trouble.of::<()>(what, Err(why));
                let pause = pause(*denials);
                *denials = denials.saturating_add(1);
                sleep(pause).await;
            }
            Refusal::Other(words) => {
                trouble.of::<()>(what, Err(words));
                trouble.pause().await;
            }
            // Who looks after the client's certificate is about to replace it.
            Refusal::Unknown | Refusal::Removed => sleep(REMOVED).await,
        }
    }

    async fn ask(&mut self, api: &Api, wanted: &BTreeSet<String>) -> Result<(), Refusal> {
        let key = aside(self.identity, |own| SERVING.key(own)).await?;
        let signed = SERVING.ask(&api.client(), &key, &self.own.name, wanted).await?;
        let text = format!("{signed}{}", key.serialize_pem());
        if due(&text, &self.own.name, wanted, SystemTime::now()).is_none() {
            return Err(Refusal::Denied("the certificate that came is not what was asked for".to_owned()));
        }
        let (chain, key) = parts(&text)?;
        self.tls.show(chain, key).map_err(Refusal::Denied)?;
        let kept = text.clone();
        aside(self.identity, move |own| own.write(FILE, &kept)).await?;
        SERVING.forget_key(self.identity);
        self.text = text;
        Ok(())
    }
}

fn pause(denials: u32) -> Duration {
    DENIED.0.saturating_mul(1 << denials.min(16)).min(DENIED.1)
}

/// Names and addresses that the server is reached by: the node's own, and what others have put into the Node object. What
/// that has of the node's own may be of before.
fn names(own: &Own, node: Option<&Node>) -> BTreeSet<String> {
    let told = node.and_then(|node| node.status.as_ref()?.addresses.as_deref()).unwrap_or_default();
    let is_known =
        |one: &&NodeAddress| ["ExternalIP", "InternalDNS", "ExternalDNS"].contains(&one.type_.as_str());
    let told = told.iter().filter(is_known).map(|one| match one.address.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => one.address.clone(),
    });
    let own = [own.name.clone()].into_iter().chain(own.addresses.iter().map(ToString::to_string));
    own.chain(told).filter(|name| !name.is_empty()).collect()
}

/// The chain and its key.
fn parts(text: &str) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain = from_pem(text)?.into_iter().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|error| format!("{FILE}: its key: {error}"))?;
    Ok((chain, key))
}

/// Whether a file can be shown: until there is a better one, one of the cluster's for other addresses, too.
fn is_of_use(text: &str, node: &str, names: &BTreeSet<String>) -> bool {
    let look = || -> Result<bool, String> {
        let (chain, key) = parts(text)?;
        Tls::new(chain.clone(), key)?;
        let own = chain.first().ok_or("no certificate")?;
        let is_for_all = names.is_subset(&certificate::names(own)?);
        Ok(common_name(own)? == Some(user(node)) && (is_for_all || !is_self_signed(own)?))
    };
    look().unwrap_or(false)
}

/// When a certificate is to be replaced; at once (none) when it is not the cluster's, has ended, or is not for all these
/// names.
fn due(text: &str, node: &str, names: &BTreeSet<String>, now: SystemTime) -> Option<SystemTime> {
    let chain = from_pem(text).ok()?;
    let own = chain.first()?;
    let (from, until) = validity(own).ok()?;
    let holds = until > now
        && !is_self_signed(own).ok()?
        && common_name(own).ok()? == Some(user(node))
        && names.is_subset(&certificate::names(own).ok()?);
    holds.then(|| certificate::rotation((from, until), now, certificate::share(own)))
}

fn self_signed(node: &str, names: &BTreeSet<String>) -> Result<String, String> {
    let words = |error: rcgen::Error| format!("make a certificate: {error}");
    let key = KeyPair::generate().map_err(words)?;
    let mut params = CertificateParams::new(Vec::from_iter(names.iter().cloned())).map_err(words)?;
    params.distinguished_name.push(DnType::CommonName, user(node));
    let certificate = params.self_signed(&key).map_err(words)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::Issuer;
    use serde_json::json;

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    /// By another authority, for an hour.
    fn signed(node: &str, names: &BTreeSet<String>) -> String {
        let (authority, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let issuer = Issuer::new(CertificateParams::new(vec!["authority".to_owned()]).unwrap(), authority);
        let mut params = CertificateParams::new(Vec::from_iter(names.iter().cloned())).unwrap();
        params.distinguished_name.push(DnType::CommonName, user(node));
        params.not_before = SystemTime::now().into();
        params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
        params.signed_by(&key, &issuer).unwrap().pem() + &key.serialize_pem()
    }

    #[test]
    fn one_of_the_clusters_is_wanted_and_replaced_late_or_for_another_name() {
        let (names, now) = (set(&["n1", "192.0.2.1", "2001:db8::1"]), SystemTime::now());
        let own = self_signed("n1", &names).unwrap();
        assert!(is_of_use(&own, "n1", &names) && due(&own, "n1", &names, now).is_none());
        assert!(!is_of_use(&own, "n2", &names) && !is_of_use(&own, "n1", &set(&["n1", "192.0.2.2"])));
        let theirs = signed("n1", &names);
        let moment = due(&theirs, "n1", &names, now).unwrap().duration_since(now).unwrap();
        assert!((2519..=3241).contains(&moment.as_secs()), "70 to 90 % of its life: {moment:?}");
        assert!(due(&theirs, "n1", &set(&["n1"]), now).is_some(), "one name less is no reason");
        let more = set(&["n1", "192.0.2.1", "192.0.2.2"]);
        assert!(due(&theirs, "n1", &more, now).is_none() && is_of_use(&theirs, "n1", &more), "meanwhile");
        assert!(due(&theirs, "n2", &names, now).is_none() && !is_of_use(&theirs, "n2", &names));
        assert!(due(&theirs, "n1", &names, now + Duration::from_secs(3601)).is_none());
        let (certificate, _) = theirs.split_once("-----BEGIN PRIVATE").unwrap();
        for damaged in ["", "-----BEGIN CERT", certificate] {
            assert!(!is_of_use(damaged, "n1", &names), "{damaged}");
        }
    }

    #[test]
    fn names_are_the_nodes_own_and_what_a_cloud_adds() {
        let own = Own {
            cluster: spec::node::Cluster::default(),
            name: "n1".to_owned(),
            addresses: vec!["192.0.2.1".parse().unwrap()],
            machine: crate::node::facts::Machine::default(),
        };
        let node: Node = serde_json::from_value(json!({ "status": { "addresses": [
            { "type": "Hostname", "address": "n1" },
            { "type": "InternalIP", "address": "192.0.2.1" },
            { "type": "ExternalIP", "address": "2001:DB8:0::1" },
            { "type": "ExternalDNS", "address": "n1.example.org" },
            { "type": "Other", "address": "x" },
        ] } }))
        .unwrap();
        assert_eq!(names(&own, None), set(&["n1", "192.0.2.1"]));
        assert_eq!(names(&own, Some(&node)), set(&["n1", "192.0.2.1", "2001:db8::1", "n1.example.org"]));
    }

    #[test]
    fn a_denied_request_is_made_anew_later_each_time() {
        assert_eq!([0, 1, 5, 6, 99].map(|count| pause(count).as_secs()), [60, 120, 1920, 3600, 3600]);
    }
}
