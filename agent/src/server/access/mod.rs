//! Who may ask for what. Nobody without a name gets past here.
//!
//! ```text
//! client certificate ──believed──▶ user and groups ─┐
//! bearer token ──TokenReview──▶ user and groups ────┴─SubjectAccessReview─▶ let in
//!        nobody: 401                                        no: 403
//! ```
//!
//! The API server's answers are remembered for a while (`REMEMBER_YES`, `REMEMBER_NO`); that
//! it could not be asked is not.

mod cache;
mod subject;
#[cfg(test)]
mod tests;
mod tls;

pub use subject::Subject;
pub use tls::Tls;

use super::route::{Right, right};
use cache::Cache;
use http::{Method, StatusCode};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long it counts that somebody is known, or may do something.
const REMEMBER_YES: Duration = Duration::from_secs(120);

/// How long it counts that somebody is not known, or may not.
const REMEMBER_NO: Duration = Duration::from_secs(10);

/// So many questions at a time; made-up tokens must not become a flood at the API server.
const QUESTIONS: usize = 8;

/// How long the API server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest token that is looked at.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Everybody who is known is in this group, too.
const AUTHENTICATED: &str = "system:authenticated";

/// Somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its UID, if it has one.
    pub uid: Option<String>,
    /// What else its authenticator said.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 401, 403, or 500 when the API server could not be asked.
    pub status: StatusCode,
    /// For people.
    pub message: String,
}

/// Who lets in.
pub struct Gate {
    node: String,
    client: RwLock<Option<Client>>,
    users: Mutex<Cache<String, Option<User>>>,
    rights: Mutex<Cache<(User, &'static str, &'static str), bool>>,
    questions: Semaphore,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Gate({})", self.node)
    }
}

impl Gate {
    /// The gate of the node of this name. It lets nobody in before [`Gate::use_client`].
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            client: RwLock::default(),
            users: Mutex::default(),
            rights: Mutex::default(),
            questions: Semaphore::new(QUESTIONS),
        }
    }

    /// Asks the API server by this client from now on.
    pub fn use_client(&self, client: Client) {
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }

    /// Lets a request in, or not.
    ///
    /// # Errors
    /// Why not.
    pub async fn admit(
        &self,
        subject: Option<Subject>,
        authorization: Option<&str>,
        method: &Method,
        path: &str,
    ) -> Result<(), Refusal> {
        let user = match (subject, authorization.and_then(token)) {
            (Some(subject), _) => Some(by_certificate(subject)),
            (None, Some(token)) => self.by_token(token).await,
            (None, None) => None,
        };
        let Some(user) = user else {
            return Err(Refusal { status: StatusCode::UNAUTHORIZED, message: "Unauthorized".into() });
        };
        let right = right(method, path);
        for subresource in right.subresources {
            match self.may(&user, right.verb, subresource).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => return Err(refusal(&user, &right, subresource)),
            }
        }
        Err(forbidden(&user, &right))
    }

    /// Whose token it is. One that could not be looked at is nobody's, for this time.
    async fn by_token(&self, token: &str) -> Option<User> {
        if let Some(known) = locked(&self.users).get(&token.to_owned(), Instant::now()) {
            return known;
        }
        let user = self.review_token(token).await.ok()?;
        let span = if user.is_some() { REMEMBER_YES } else { REMEMBER_NO };
        locked(&self.users).put(token.to_owned(), user.clone(), Instant::now(), span);
        user
    }

    async fn review_token(&self, token: &str) -> Result<Option<User>, ()> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: None },
            ..TokenReview::default()
        };
        let status = self.ask(review).await?.status.unwrap_or_default();
        let known = status.authenticated == Some(true);
        Ok(status.user.filter(|_| known).and_then(by_review))
    }

    async fn may(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool, ()> {
        let key = (user.clone(), verb, subresource);
        if let Some(known) = locked(&self.rights).get(&key, Instant::now()) {
            return Ok(known);
        }
        let review = self.access_review(user, verb, subresource);
        let allowed = self.ask(review).await?.status.is_some_and(|status| status.allowed);
        let span = if allowed { REMEMBER_YES } else { REMEMBER_NO };
        locked(&self.rights).put(key, allowed, Instant::now(), span);
        Ok(allowed)
    }

    fn access_review(&self, user: &User, verb: &str, subresource: &str) -> SubjectAccessReview {
        SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.name.clone()),
                groups: Some(user.groups.clone()),
                uid: user.uid.clone(),
                extra: Some(user.extra.clone()).filter(|extra| !extra.is_empty()),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    version: Some("v1".into()),
                    resource: Some("nodes".into()),
                    subresource: Some(subresource.to_owned()),
                    name: Some(self.node.clone()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        }
    }

    /// The API server's answer; nothing when it could not be asked.
    async fn ask<K>(&self, question: K) -> Result<K, ()>
    where
        K: kube::Resource<DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let _permit = self.questions.acquire().await.map_err(drop)?;
        let client = self.client.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(())?;
        let api = Api::all(client);
        let parameters = PostParams::default();
        let answer = tokio::time::timeout(PATIENCE, api.create(&parameters, &question)).await;
        answer.map_err(drop)?.map_err(drop)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The token of an `Authorization` header.
fn token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    let fits = !token.is_empty() && token.len() <= LONGEST_TOKEN;
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

fn by_certificate(subject: Subject) -> User {
    let mut groups = subject.organizations;
    groups.push(AUTHENTICATED.into());
    User { name: subject.name, groups, ..User::default() }
}

fn by_review(info: UserInfo) -> Option<User> {
    let mut groups = info.groups.unwrap_or_default();
    if !groups.iter().any(|group| group == AUTHENTICATED) {
        groups.push(AUTHENTICATED.into());
    }
    let name = info.username.filter(|name| !name.is_empty())?;
    Some(User { name, groups, uid: info.uid, extra: info.extra.unwrap_or_default() })
}

fn refusal(user: &User, right: &Right, subresource: &str) -> Refusal {
    let message = format!(
        "Authorization error (user={}, verb={}, resource=nodes, subresource={subresource})",
        user.name, right.verb
    );
    Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, message }
}

fn forbidden(user: &User, right: &Right) -> Refusal {
    let message = format!(
        "Forbidden (user={}, verb={}, resource=nodes, subresource(s)=[{}])\n",
        user.name,
        right.verb,
        right.subresources.join(" ")
    );
    Refusal { status: StatusCode::FORBIDDEN, message }
}
