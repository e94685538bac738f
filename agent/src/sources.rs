//! What pods refer to at the API server: ConfigMaps, Secrets, tokens, claims. Each is read by its single name, as
//! a node may; what was read is kept for a moment, so that pods of one kind ask once. What lies in volumes is
//! watched ([`watched`]); what a container begins with is read when it begins.

pub mod watched;

use crate::api::{self, Api};
use crate::pod::env::Needed;
use crate::volume::payload::{TokenKey, Tokens};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Secret, ServiceAccount,
};
use kube::api::PostParams;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// How long what was read is good for others: pods of one kind that begin together.
const FRESH: Duration = Duration::from_secs(2);

const DAY: Duration = Duration::from_secs(86_400);

/// ConfigMaps or Secrets by name.
pub type Data = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// When something was read, and what it said; nothing when it was not there.
type Read = (Instant, Option<BTreeMap<String, Vec<u8>>>);

/// Reads, and remembers for a moment.
#[derive(Default)]
pub struct Sources {
    /// What volumes of pods are made of.
    pub watches: watched::Watches,
    known: Mutex<BTreeMap<(String, Needed), Read>>,
    tokens: Mutex<BTreeMap<(String, TokenKey), Token>>,
}

/// A token that was given.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    /// When it came, by this node's clock, which goes on while a virtual machine is suspended.
    made: SystemTime,
    /// What was given, which may be less than was asked for.
    life: Duration,
}

impl Token {
    /// It is to be replaced: at 80 % of its life, or after a day. So it is when the clock was turned back.
    fn is_old(&self, now: SystemTime) -> bool {
        let most = self.life.mul_f64(0.8).min(DAY);
        now.duration_since(self.made).map_or(true, |age| age >= most)
    }
}

impl Sources {
    /// ConfigMaps and Secrets of a namespace; those that are not there are not among them.
    ///
    /// # Errors
    /// The API server cannot be asked, in words.
    pub async fn data(&self, api: &Api, namespace: &str, needed: &[Needed]) -> Result<(Data, Data), String> {
        let (mut maps, mut secrets) = (Data::new(), Data::new());
        for one in needed {
            let Some(data) = self.one(api, namespace, one).await? else { continue };
            match one {
                Needed::ConfigMap(name) => maps.insert(name.clone(), data),
                Needed::Secret(name) => secrets.insert(name.clone(), data),
            };
        }
        Ok((maps, secrets))
    }

    async fn one(
        &self,
        api: &Api,
        namespace: &str,
        needed: &Needed,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        let key = (namespace.to_owned(), needed.clone());
        let known = self.known.lock().ok().and_then(|known| known.get(&key).cloned());
        if let Some((read, data)) = known
            && read.elapsed() < FRESH
            && data.is_some()
        {
            return Ok(data);
        }
        let data = read(api, namespace, needed).await?;
        if let Ok(mut known) = self.known.lock() {
            known.retain(|_, (read, _)| read.elapsed() < FRESH);
            known.insert(key, (Instant::now(), data.clone()));
        }
        Ok(data)
    }

    /// Tokens of a pod's service account, bound to the pod, none of them old.
    ///
    /// # Errors
    /// The API server gives none, in words.
    pub async fn tokens(&self, api: &Api, pod: &Pod, keys: &[TokenKey]) -> Result<Tokens, String> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut tokens = Tokens::new();
        for key in keys {
            let kept = self.tokens.lock().ok().and_then(|all| all.get(&(uid.clone(), key.clone())).cloned());
            let token = match kept.filter(|token| !token.is_old(SystemTime::now())) {
                Some(token) => token,
                None => {
                    let token = request(api, pod, key).await?;
                    if let Ok(mut all) = self.tokens.lock() {
                        all.insert((uid.clone(), key.clone()), token.clone());
                    }
                    token
                }
            };
            tokens.insert(key.clone(), token.text);
        }
        Ok(tokens)
    }

    /// Forgets a pod's tokens.
    pub fn forget(&self, uid: &str) {
        if let Ok(mut all) = self.tokens.lock() {
            all.retain(|(own, _), _| own != uid);
        }
    }
}

async fn read(
    api: &Api,
    namespace: &str,
    needed: &Needed,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
    let (kind, name) = match needed {
        Needed::ConfigMap(name) => ("configmap", name),
        Needed::Secret(name) => ("secret", name),
    };
    let words = |error: kube::Error| format!("read {kind} \"{name}\": {}", api::words(&error));
    match needed {
        Needed::ConfigMap(name) => {
            let maps: kube::Api<ConfigMap> = kube::Api::namespaced(api.client(), namespace);
            let map = maps.get_opt(name).await.map_err(words)?;
            // Variables are text: what is not (`binaryData`) is for volumes alone.
            Ok(map.map(|map| map.data.into_iter().flatten().map(|(key, text)| (key, text.into())).collect()))
        }
        Needed::Secret(name) => {
            let secrets: kube::Api<Secret> = kube::Api::namespaced(api.client(), namespace);
            let secret = secrets.get_opt(name).await.map_err(words)?;
            Ok(secret.map(|own| own.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect()))
        }
    }
}

async fn request(api: &Api, pod: &Pod, key: &TokenKey) -> Result<Token, String> {
    let metadata = &pod.metadata;
    let account =
        pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    let accounts: kube::Api<ServiceAccount> =
        kube::Api::namespaced(api.client(), metadata.namespace.as_deref().unwrap_or_default());
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(key.audience.iter().cloned().collect()),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: metadata.name.clone(),
                uid: metadata.uid.clone(),
            }),
            expiration_seconds: Some(key.seconds),
        }),
        ..TokenRequest::default()
    };
    let made = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let made =
        made.map_err(|error| format!("token of service account \"{account}\": {}", api::words(&error)))?;
    given(made, key).ok_or_else(|| format!("token of service account \"{account}\": none came"))
}

/// What an API server has given, which says in the request's place what it made of it.
fn given(made: TokenRequest, key: &TokenKey) -> Option<Token> {
    let seconds = made.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(key.seconds);
    let life = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    made.status.and_then(|status| status.token).map(|text| Token { text, made: SystemTime::now(), life })
}

/// What the claim leads to that a volume of a pod is, or that was made for it (`is_own`).
///
/// # Errors
/// It is not there, not bound, being deleted or another's, in words.
pub async fn claimed(api: &Api, pod: &Pod, name: &str, is_own: bool) -> Result<PersistentVolume, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claims: kube::Api<PersistentVolumeClaim> = kube::Api::namespaced(api.client(), namespace);
    let words = |error: kube::Error| format!("persistentvolumeclaim \"{name}\": {}", api::words(&error));
    let claim = claims.get(name).await.map_err(words)?;
    let volume = bound(&claim, pod, is_own)
        .map_err(|reason| format!("persistentvolumeclaim \"{name}\" {reason}"))?
        .to_owned();
    let words = |reason: String| format!("persistent volume \"{volume}\": {reason}");
    let volumes: kube::Api<PersistentVolume> = kube::Api::all(api.client());
    let found = volumes.get(&volume).await.map_err(|error| words(api::words(&error)))?;
    match is_of(&found, &claim) {
        true => Ok(found),
        false => Err(words(format!("it is bound to another claim than \"{name}\""))),
    }
}

/// The name of the volume that a claim leads to, if a pod may have it; why not, in words.
fn bound<'a>(claim: &'a PersistentVolumeClaim, pod: &Pod, is_own: bool) -> Result<&'a str, &'static str> {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    let is_pods =
        owners.any(|one| one.controller == Some(true) && Some(&one.uid) == pod.metadata.uid.as_ref());
    if is_own && !is_pods {
        return Err("was not created for this pod");
    }
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("is being deleted");
    }
    let is_bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|_| is_bound);
    volume.ok_or("is not bound")
}

/// Whether a volume is bound to this claim, and not to one of its name from before.
fn is_of(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.as_ref());
    of.is_some() && of == claim.metadata.uid.as_ref()
}

/// The group that a persistent volume belongs to, by its annotation: who uses it is in that, too ("Configure a Pod to Use a
/// PersistentVolume for Storage", access control).
pub fn group(volume: &PersistentVolume) -> Option<u32> {
    volume.metadata.annotations.as_ref()?.get("pv.beta.kubernetes.io/gid")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_its_own_pods_and_its_volume_is_its_own() {
        let pod: Pod = serde_json::from_value(json!({ "metadata": { "uid": "p" } })).unwrap();
        let claim = |more: serde_json::Value, phase: &str| -> PersistentVolumeClaim {
            let mut metadata = json!({ "uid": "c" });
            metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let (spec, status) = (json!({ "volumeName": "v" }), json!({ "phase": phase }));
            serde_json::from_value(json!({ "metadata": metadata, "spec": spec, "status": status })).unwrap()
        };
        let owner = |uid: &str| {
            let own =
                json!({ "apiVersion": "v1", "kind": "Pod", "name": "", "uid": uid, "controller": true });
            json!({ "ownerReferences": [own] })
        };
        assert_eq!(bound(&claim(json!({}), "Bound"), &pod, false), Ok("v"));
        assert_eq!(bound(&claim(json!({}), "Pending"), &pod, false), Err("is not bound"));
        let gone = json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" });
        assert_eq!(bound(&claim(gone, "Bound"), &pod, false), Err("is being deleted"));
        assert_eq!(bound(&claim(owner("p"), "Bound"), &pod, true), Ok("v"));
        for other in [json!({}), owner("before")] {
            assert_eq!(bound(&claim(other, "Bound"), &pod, true), Err("was not created for this pod"));
        }
        let volume = |claim_ref: serde_json::Value| -> PersistentVolume {
            serde_json::from_value(json!({ "spec": { "claimRef": claim_ref } })).unwrap()
        };
        let own = claim(json!({}), "Bound");
        assert!(is_of(&volume(json!({ "uid": "c" })), &own));
        assert!(!is_of(&volume(json!({ "uid": "before" })), &own) && !is_of(&volume(json!({})), &own));
        let of_group = |gid: &str| {
            let metadata = json!({ "annotations": { "pv.beta.kubernetes.io/gid": gid } });
            group(&serde_json::from_value(json!({ "metadata": metadata })).unwrap())
        };
        assert_eq!(
            (of_group("1234"), of_group("wheel"), group(&volume(json!({})))),
            (Some(1234), None, None)
        );
    }

    #[test]
    fn a_token_is_replaced_by_what_was_given() {
        let key = TokenKey { audience: None, seconds: 172_800 };
        let token = |seconds: u64| {
            let spec = json!({ "audiences": [], "expirationSeconds": seconds });
            let status = json!({ "token": "t", "expirationTimestamp": "2026-01-01T00:00:00Z" });
            given(serde_json::from_value(json!({ "spec": spec, "status": status })).unwrap(), &key).unwrap()
        };
        let hour = token(3600);
        let after = |token: &Token, seconds| token.is_old(token.made + Duration::from_secs(seconds));
        assert_eq!(
            (after(&hour, 2879), after(&hour, 2880)),
            (false, true),
            "an hour, whatever was asked for"
        );
        let long = token(172_800);
        assert_eq!((after(&long, 86_399), after(&long, 86_400)), (false, true));
        assert!(hour.is_old(hour.made - DAY), "the clock was turned back");
    }
}
