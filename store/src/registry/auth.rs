//! How a client proves who it is: nothing, a password, or a token from another server
//! (Docker's "Token Authentication Specification").
//!
//! Nothing is asked of the user in advance. A registry answers 401 and says what
//! it wants; what it then accepted is sent with each further request to it, and
//! to it alone. A token is good for some scopes and some time: with a new scope, or
//! when it has run out, there is another 401 and another token.

use super::challenge::Challenge;
use super::credentials::Credentials;
use super::url::{Url, encoded};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A token that says nothing of its time is good for this long.
const TOKEN_TIME: Duration = Duration::from_secs(60);

/// A token that runs out within this time is not sent any more.
const MARGIN: Duration = Duration::from_secs(5);

/// What a registry accepted so far.
#[derive(Default)]
pub(crate) struct Auth {
    /// Scopes that the work at hand needs and those that the registry named.
    pub scopes: BTreeSet<String>,
    header: Option<String>,
    until: Option<Instant>,
}

/// What to do about a 401.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send the request again; the header is another one by now.
    Again,
    /// Ask for a token first.
    Token(TokenRequest),
    /// Nothing that we have will do.
    Denied(&'static str),
}

/// How to ask for a token: GET with a password or without, POST of a form with an identity token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    pub url: Url,
    pub authorization: Option<String>,
    pub form: Option<String>,
}

impl Auth {
    /// The header to send, if there is one that is good at this moment.
    pub fn header(&self, now: Instant) -> Option<&str> {
        let good = self.until.is_none_or(|until| now + MARGIN < until);
        self.header.as_deref().filter(|_| good)
    }

    /// Decides what to do about a 401 to a request that was sent with the header
    /// `sent`. `secure`: the registry is spoken to by TLS, so its token server must be, too.
    pub fn refused(
        &mut self,
        sent: Option<&str>,
        challenges: &[Challenge],
        credentials: Option<&Credentials>,
        secure: bool,
        now: Instant,
    ) -> Step {
        if let Some(header) = self.header(now)
            && sent != Some(header)
        {
            return Step::Again;
        }
        let bearer = challenges.iter().find(|challenge| **challenge != Challenge::Basic);
        match (bearer, credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                self.scopes.extend(scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned));
                match Url::parse(realm) {
                    Ok(url) if url.secure || !secure => {
                        Step::Token(token_request(url, service.as_deref(), &self.scopes, credentials))
                    }
                    _ => Step::Denied("it names no safe place to get a token"),
                }
            }
            (None, _) if challenges.is_empty() => Step::Denied("it does not say what it wants to see"),
            (_, Some(Credentials::Password { user, password })) => {
                let header = basic(user, password);
                if sent == Some(&header) {
                    return Step::Denied("the user name or the password is wrong");
                }
                (self.header, self.until) = (Some(header), None);
                Step::Again
            }
            (_, Some(Credentials::IdentityToken(_))) => Step::Denied("it wants a password, not a token"),
            (_, None) => Step::Denied("it wants a user name and a password, and none is known"),
        }
    }

    /// What was accepted is not sent any more.
    pub fn forget(&mut self) {
        (self.header, self.until) = (None, None);
    }

    /// Takes the token server's answer in.
    pub fn accept(&mut self, answer: &[u8], now: Instant) -> Result<(), String> {
        let answer: Answer =
            serde_json::from_slice(answer).map_err(|error| format!("the answer is no token: {error}"))?;
        let mut tokens = [answer.token, answer.access_token].into_iter().flatten();
        let token = tokens.find(|token| !token.is_empty()).ok_or("the answer has no token in it")?;
        if token.contains(|c: char| !c.is_ascii_graphic()) {
            return Err("the answer has no token in it".into());
        }
        self.header = Some(format!("Bearer {token}"));
        let time = answer.expires_in.map_or(TOKEN_TIME, Duration::from_secs);
        // Less than a minute is not meant (the specification's own rule).
        self.until = now.checked_add(time.max(TOKEN_TIME));
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn token_request(
    url: Url,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    credentials: Option<&Credentials>,
) -> TokenRequest {
    if let Some(Credentials::IdentityToken(token)) = credentials {
        let scope = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let form = format!(
            "grant_type=refresh_token&client_id=skerry&service={}&scope={}&refresh_token={}",
            encoded(service.unwrap_or_default()),
            encoded(&scope),
            encoded(token)
        );
        return TokenRequest { url, authorization: None, form: Some(form) };
    }
    let url = service.into_iter().fold(url, |url, service| url.with("service", service));
    let url = scopes.iter().fold(url, |url, scope| url.with("scope", scope));
    let authorization = match credentials {
        Some(Credentials::Password { user, password }) => Some(basic(user, password)),
        _ => None,
    };
    TokenRequest { url, authorization, form: None }
}

fn basic(user: &str, password: &str) -> String {
    use base64::prelude::*;
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Credentials {
        Credentials::Password { user: "Aladdin".into(), password: "open sesame".into() }
    }

    fn bearer(realm: &str, scope: &str) -> [Challenge; 1] {
        [Challenge::Bearer { realm: realm.into(), service: Some("r".into()), scope: Some(scope.into()) }]
    }

    fn token(step: Step) -> TokenRequest {
        match step {
            Step::Token(request) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_password_is_sent_when_it_is_wanted_and_once() {
        let (mut auth, now) = (Auth::default(), Instant::now());
        assert_eq!(auth.header(now), None);
        let step = |auth: &mut Auth, sent: Option<&str>, credentials: Option<&Credentials>| {
            auth.refused(sent, &[Challenge::Basic], credentials, true, now)
        };
        assert!(matches!(step(&mut auth, None, None), Step::Denied(_)));
        assert_eq!(step(&mut auth, None, Some(&password())), Step::Again);
        let header = auth.header(now).unwrap().to_owned();
        // The example of RFC 7617.
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let wrong = Step::Denied("the user name or the password is wrong");
        assert_eq!(step(&mut auth, Some(&header), Some(&password())), wrong);
    }

    #[test]
    fn a_token_is_asked_for_each_new_scope_with_those_before() {
        let (mut auth, now) = (Auth::default(), Instant::now());
        let asked = token(auth.refused(
            None,
            &bearer("https://a/t", "repository:x:pull"),
            Some(&password()),
            true,
            now,
        ));
        assert_eq!(asked.url.to_string(), "https://a/t?service=r&scope=repository:x:pull");
        assert!(asked.authorization.unwrap().starts_with("Basic "));
        auth.accept(br#"{"token":"one"}"#, now).unwrap();
        assert_eq!(auth.header(now), Some("Bearer one"));
        let more = bearer("https://a/t", "repository:x:push");
        let asked = token(auth.refused(Some("Bearer one"), &more, None, true, now));
        assert_eq!(
            asked.url.to_string(),
            "https://a/t?service=r&scope=repository:x:pull&scope=repository:x:push"
        );
        assert_eq!(asked.authorization, None);
    }

    #[test]
    fn a_token_that_another_thread_got_meanwhile_is_used() {
        let (mut auth, now) = (Auth::default(), Instant::now());
        auth.accept(br#"{"access_token":"two"}"#, now).unwrap();
        assert_eq!(
            auth.refused(Some("Bearer one"), &bearer("https://a/t", "x"), None, true, now),
            Step::Again
        );
    }

    #[test]
    fn a_token_runs_out() {
        let (mut auth, now) = (Auth::default(), Instant::now());
        auth.accept(br#"{"token":"t","expires_in":300}"#, now).unwrap();
        assert!(auth.header(now + Duration::from_secs(290)).is_some());
        assert!(auth.header(now + Duration::from_secs(296)).is_none());
        auth.accept(br#"{"token":"","access_token":"other"}"#, now).unwrap();
        assert_eq!(auth.header(now), Some("Bearer other"));
        assert!(auth.accept(br#"{"expires_in":300}"#, now).is_err());
        assert!(auth.accept(b"{\"token\":\"a\\r\\nb\"}", now).is_err());
    }

    #[test]
    fn an_identity_token_is_posted_and_no_realm_may_be_unsafe() {
        let (mut auth, now) = (Auth::default(), Instant::now());
        let identity = Credentials::IdentityToken("a&b".into());
        let asked = token(auth.refused(None, &bearer("http://a/t", "s"), Some(&identity), false, now));
        assert_eq!(
            asked.form.unwrap(),
            "grant_type=refresh_token&client_id=skerry&service=r&scope=s&refresh_token=a%26b"
        );
        let unsafe_place = auth.refused(None, &bearer("http://a/t", "s"), Some(&identity), true, now);
        assert!(matches!(unsafe_place, Step::Denied(_)));
    }
}
