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
            Ok(map.map(|map| {
                let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
                texts
                    .chain(map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)))
                    .collect()
            }))
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

/// What a claim leads to.
///
/// # Errors
/// It is not there or not bound, in words.
pub async fn claimed(api: &Api, namespace: &str, name: &str) -> Result<PersistentVolume, String> {
    let claims: kube::Api<PersistentVolumeClaim> = kube::Api::namespaced(api.client(), namespace);
    let words = |error: kube::Error| format!("persistentvolumeclaim \"{name}\": {}", api::words(&error));
    let claim = claims.get(name).await.map_err(words)?;
    let bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let volume = claim.spec.and_then(|spec| spec.volume_name).filter(|_| bound);
    let volume = volume.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" is not bound"))?;
    let volumes: kube::Api<PersistentVolume> = kube::Api::all(api.client());
    volumes
        .get(&volume)
        .await
        .map_err(|error| format!("persistent volume \"{volume}\": {}", api::words(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
