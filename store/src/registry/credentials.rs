//! User names and passwords of registries: as the caller gives them, and as Docker
//! keeps them in `~/.docker/config.json`.
//!
//! | in config.json | means |
//! |---|---|
//! | `auths: {HOST: {auth: BASE64 of "USER:PASSWORD"}}` | a password |
//! | `auths: {HOST: {identitytoken: …}}` | a token for the token server |
//! | `credHelpers: {HOST: NAME}` | ask the program `docker-credential-NAME` |
//! | `credsStore: NAME` | ask it for every host |
//!
//! A host may be written as a URL; Docker Hub's is `https://index.docker.io/v1/`.

use super::helper;
use base64::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

/// What a registry is told of its user.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// What `docker login` got from a token server in place of a password.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    /// Says nothing that is secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(out, "Password {{ user: {user:?} }}"),
            Self::IdentityToken(_) => out.write_str("IdentityToken"),
        }
    }
}

/// Docker's name for Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// Where the credentials of a host are.
#[derive(Debug, PartialEq)]
enum Found {
    Here(Credentials),
    /// The helper's name, and what it calls the host.
    Helper(String, String),
    Nowhere,
}

/// Looks a host up in a file of Docker's; one that is not there has nothing.
pub(super) fn look_up(path: &Path, host: &str) -> Result<Option<Credentials>, String> {
    let wrong = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| format!("read {}: {}", path.display(), sys::cause::cause(&error)))?,
    };
    let config: Config = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    match config.find(host).map_err(|why| wrong(&why))? {
        Found::Here(credentials) => Ok(Some(credentials)),
        Found::Helper(name, server) => helper::ask(&name, &server),
        Found::Nowhere => Ok(None),
    }
}

impl Config {
    fn find(&self, host: &str) -> Result<Found, String> {
        let server = key(host);
        let same = |key: &String| is_of(key, host);
        if let Some((_, name)) = self.cred_helpers.iter().find(|(key, _)| same(key)) {
            return Ok(Found::Helper(name.clone(), server.to_owned()));
        }
        if let Some(name) = &self.creds_store {
            return Ok(Found::Helper(name.clone(), server.to_owned()));
        }
        match self.auths.iter().find(|(key, _)| same(key)) {
            Some((key, entry)) => entry.read().map_err(|why| format!("auths.{key}: {why}")),
            None => Ok(Found::Nowhere),
        }
    }
}

impl Entry {
    fn read(&self) -> Result<Found, String> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Found::Here(Credentials::IdentityToken(token.clone())));
        }
        let (user, password) = match (&self.auth, &self.username, &self.password) {
            (Some(auth), ..) if !auth.is_empty() => {
                let decoded = BASE64_STANDARD.decode(auth.trim()).ok();
                let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                let text = text.ok_or("auth is not base64 of a text")?;
                let (user, password) = text.split_once(':').ok_or("auth has no ':' in it")?;
                (user.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            (_, Some(user), Some(password)) => (user.clone(), password.clone()),
            _ => return Ok(Found::Nowhere),
        };
        Ok(Found::Here(Credentials::Password { user, password }))
    }
}

/// A host's key in a file of Docker's.
pub(super) fn key(host: &str) -> &str {
    if host == "docker.io" { HUB } else { host }
}

/// True when a key is this host's, however it is written.
pub(super) fn is_of(written: &str, host: &str) -> bool {
    bare(written) == bare(key(host))
}

/// A key's host, without scheme and path.
fn bare(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    key.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, host: &str) -> Result<Found, String> {
        serde_json::from_str::<Config>(text).unwrap().find(host)
    }

    fn password(user: &str, password: &str) -> Found {
        Found::Here(Credentials::Password { user: user.into(), password: password.into() })
    }

    #[test]
    fn what_docker_writes_is_found() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6cHc6MQ=="},
            "https://a.example/":{"auth":"","identitytoken":"tok"},
            "b.example:5000":{"username":"u","password":"p"},
            "c.example":{}}, "HttpHeaders":{}}"#;
        assert_eq!(find(text, "docker.io").unwrap(), password("me", "pw:1"));
        assert_eq!(find(text, "a.example").unwrap(), Found::Here(Credentials::IdentityToken("tok".into())));
        assert_eq!(find(text, "b.example:5000").unwrap(), password("u", "p"));
        for host in ["c.example", "b.example", "d.example"] {
            assert_eq!(find(text, host).unwrap(), Found::Nowhere);
        }
    }

    #[test]
    fn a_helper_comes_before_what_is_in_the_file() {
        let text = r#"{"auths":{"a":{"auth":"bWU6cHc="}},"credHelpers":{"a":"one"},"credsStore":"all"}"#;
        assert_eq!(find(text, "a").unwrap(), Found::Helper("one".into(), "a".into()));
        assert_eq!(find(text, "docker.io").unwrap(), Found::Helper("all".into(), HUB.into()));
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        let wrong =
            |auth: &str| find(&format!(r#"{{"auths":{{"a":{{"auth":"{auth}"}}}}}}"#), "a").unwrap_err();
        assert_eq!(wrong("%%%"), "auths.a: auth is not base64 of a text");
        assert_eq!(wrong("bWU="), "auths.a: auth has no ':' in it");
        let shown = format!("{:?}", Credentials::Password { user: "me".into(), password: "secret".into() });
        assert!(shown.contains("me") && !shown.contains("secret"), "{shown}");
    }
}
