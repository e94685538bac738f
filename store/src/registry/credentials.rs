//! User names and passwords of registries: as the caller gives them, and as Docker
//! keeps them in `~/.docker/config.json`.
//!
//! | in config.json | means |
//! |---|---|
//! | `auths: {KEY: {auth: BASE64 of "USER:PASSWORD"}}` | a password |
//! | `auths: {KEY: {identitytoken: …}}` | a token for the token server |
//! | `auths: {KEY: [{…}, {…}]}` | several of the same key, one after the other: what several `imagePullSecrets` have |
//! | `credHelpers: {HOST: NAME}` | ask the program `docker-credential-NAME` first |
//! | `credsStore: NAME` | ask it first for every host |
//!
//! A key is a host, or a URL of it, and perhaps the beginning of a repository: `registry.example/group`. In the host
//! `*` and `?` stand for letters between two dots, as in a kubelet ("Interpretation of config.json"). Docker Hub is
//! `https://index.docker.io/v1/`, `docker.io` or `registry-1.docker.io`. All that fit an image count, the longest
//! repository first.

use super::helper;
use crate::oci::{null_is_default, split_port};
use base64::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::cmp::Reverse;
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
pub(super) struct Config {
    #[serde(deserialize_with = "null_is_default")]
    auths: BTreeMap<String, Value>,
    #[serde(deserialize_with = "null_is_default")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

/// What a key of `auths` has; `null` is nothing.
fn entries(value: &Value) -> Result<Vec<Entry>, String> {
    let read = match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(_) => Vec::deserialize(value),
        one => Entry::deserialize(one).map(|one| vec![one]),
    };
    // What serde says may show a password.
    read.map_err(|_| "is not a registry's entry".to_owned())
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a file of Docker's has for a repository of a host, the best first; one that is not there has nothing.
pub(super) fn look_up(path: &Path, host: &str, repository: &str) -> Result<Vec<Credentials>, String> {
    let wrong = |why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| format!("read {}: {}", path.display(), sys::cause::cause(&error)))?,
    };
    let config: Config = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
    let kept = match config.helper(host) {
        Some(name) => helper::ask(name, key(host))?,
        None => None,
    };
    let here = config.find(host, repository).map_err(|why| wrong(&why))?;
    Ok(kept.into_iter().chain(here).collect())
}

impl Config {
    /// Whom to ask for a host.
    pub fn helper(&self, host: &str) -> Option<&str> {
        let own = self.cred_helpers.iter().find(|(key, _)| is_of(key, host)).map(|(_, name)| name);
        // No name is no helper, as with Docker.
        own.or(self.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What the file itself has.
    fn find(&self, host: &str, repository: &str) -> Result<Vec<Credentials>, String> {
        let mut fitting: Vec<_> = self.auths.iter().filter(|(key, _)| fits(key, host, repository)).collect();
        fitting.sort_by_key(|(key, _)| {
            let (pattern, path) = parts(key);
            (Reverse(path.len()), pattern != host_of(host))
        });
        let mut found = Vec::new();
        for (key, value) in fitting {
            let wrong = |why: String| format!("auths.{key}: {why}");
            for entry in entries(value).map_err(wrong)? {
                found.extend(entry.read().map_err(wrong)?);
            }
        }
        Ok(found)
    }
}

impl Entry {
    fn read(&self) -> Result<Option<Credentials>, String> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Some(Credentials::IdentityToken(token.clone())));
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
            _ => return Ok(None),
        };
        Ok(Some(Credentials::Password { user, password }))
    }
}

/// The registry that a person means by its host, or by a URL of it: as images have it.
pub fn host_of(text: &str) -> &str {
    parts(text).0
}

/// A host's key in a file of Docker's.
pub(super) fn key(host: &str) -> &str {
    if host == "docker.io" { HUB } else { host }
}

/// True when a key is this host's as a whole, however it is written.
pub(super) fn is_of(written: &str, host: &str) -> bool {
    parts(written) == (host_of(host), "")
}

/// A key's host and the beginning of a repository, without what says that it is a URL of Docker's.
fn parts(key: &str) -> (&str, &str) {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    let path = match path.split_once('/').unwrap_or((path, "")) {
        ("v1" | "v2", rest) => rest,
        _ => path,
    };
    match host {
        "index.docker.io" | "registry-1.docker.io" => ("docker.io", path),
        _ => (host, path),
    }
}

/// True when a key is for this repository of the host: the same port, as many names between dots, each of which fits,
/// and the repository's beginning.
pub fn fits(key: &str, host: &str, repository: &str) -> bool {
    let (pattern, path) = parts(key);
    let split = |host| -> (Vec<&str>, Option<&str>) {
        let (name, port) = split_port(host);
        (name.split('.').collect(), port)
    };
    let ((patterns, port), (labels, own_port)) = (split(pattern), split(host_of(host)));
    let mut pairs = patterns.iter().zip(&labels);
    repository.starts_with(path)
        && port == own_port
        && patterns.len() == labels.len()
        && pairs.all(|(pattern, label)| is_like(pattern.as_bytes(), label.as_bytes()))
}

/// True when `*`, any letters, and `?`, one, can be read so that this is the text.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let begins = |text: &[u8], part: &[u8]| {
        part.len() <= text.len() && part.iter().zip(text).all(|(one, letter)| *one == b'?' || one == letter)
    };
    let parts: Vec<&[u8]> = pattern.split(|&one| one == b'*').collect();
    let [first, middle @ .., last] = &parts[..] else {
        return pattern.len() == text.len() && begins(text, pattern);
    };
    if !begins(text, first) {
        return false;
    }
    let mut rest = &text[first.len()..];
    for part in middle {
        match (0..=rest.len()).find(|&at| begins(&rest[at..], part)) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && begins(&rest[rest.len() - last.len()..], last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, host: &str, repository: &str) -> Result<Vec<Credentials>, String> {
        serde_json::from_str::<Config>(text).unwrap().find(host, repository)
    }

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.into(), password: password.into() }
    }

    /// The users of a file whose keys are given, each with its own name.
    fn users(keys: &[&str], host: &str, repository: &str) -> Vec<String> {
        let entry = |key: &&str| format!(r#""{key}":{{"username":"{key}","password":"p"}}"#);
        let text = format!(r#"{{"auths":{{{}}}}}"#, keys.iter().map(entry).collect::<Vec<_>>().join(","));
        let user = |known| match known {
            Credentials::Password { user, .. } => user,
            Credentials::IdentityToken(token) => token,
        };
        find(&text, host, repository).unwrap().into_iter().map(user).collect()
    }

    #[test]
    fn what_docker_writes_is_found() {
        let text = r#"{"auths":{
            "https://index.docker.io/v1/":{"auth":"bWU6cHc6MQ=="},
            "https://a.example/":{"auth":"","identitytoken":"tok"},
            "b.example:5000":{"username":"u","password":"p"},
            "c.example":{}}, "HttpHeaders":{}}"#;
        assert_eq!(find(text, "docker.io", "library/x").unwrap(), [password("me", "pw:1")]);
        assert_eq!(find(text, "a.example", "").unwrap(), [Credentials::IdentityToken("tok".into())]);
        assert_eq!(find(text, "b.example:5000", "x").unwrap(), [password("u", "p")]);
        for host in ["c.example", "b.example", "d.example"] {
            assert_eq!(find(text, host, "x").unwrap(), []);
        }
    }

    #[test]
    fn all_that_fit_are_found_the_longest_repository_first() {
        let keys =
            ["r.example", "r.example/group", "https://r.example/group/app", "r.example/other", "*.example"];
        let expected = ["https://r.example/group/app", "r.example/group", "r.example", "*.example"];
        assert_eq!(users(&keys, "r.example", "group/app"), expected);
        assert_eq!(users(&keys, "r.example", "x"), ["r.example", "*.example"]);
        let hub = ["docker.io", "https://index.docker.io/v1/", "registry-1.docker.io/me", "docker.io:443"];
        let expected = ["registry-1.docker.io/me", "docker.io", "https://index.docker.io/v1/"];
        assert_eq!(users(&hub, "docker.io", "me/app"), expected);
        let several =
            r#"{"auths":{"a":[{"username":"1","password":"p"},{},{"username":"2","password":"p"}]}}"#;
        assert_eq!(find(several, "a", "x").unwrap(), [password("1", "p"), password("2", "p")]);
    }

    #[test]
    fn stars_stand_for_letters_between_two_dots() {
        for (pattern, host, same) in [
            ("*.azurecr.io", "my.azurecr.io", true),
            ("*.azurecr.io", "azurecr.io", false),
            ("*.azurecr.io", "my.own.azurecr.io", false),
            ("*.*.azurecr.io", "my.own.azurecr.io", true),
            ("*.kubernetes.io:8080", "a.kubernetes.io:8080", true),
            ("*.kubernetes.io", "a.kubernetes.io:8080", false),
            ("r?g*y-*.x", "registry-1.x", true),
            ("r*g*y-*.x", "regstr-1.x", false),
            ("*a.x", "a.x", true),
            ("a*a.x", "a.x", false),
            ("[::1]:5000", "[::1]:5000", true),
            ("[::1]", "[::1]:5000", false),
        ] {
            assert_eq!(fits(pattern, host, "any"), same, "{pattern} {host}");
        }
        // As long as it is dull: one look at each letter for each part.
        assert!(!is_like("*a".repeat(500).as_bytes(), &[b'a'; 400]));
    }

    #[test]
    fn a_host_is_meant_by_a_url_too() {
        for (text, host) in [
            ("http://127.0.0.1:5056", "127.0.0.1:5056"),
            ("https://r.example/", "r.example"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry-1.docker.io", "docker.io"),
            ("docker.io", "docker.io"),
        ] {
            assert_eq!(host_of(text), host);
            assert!(is_of(text, host), "{text}");
        }
        assert!(!is_of("r.example/group", "r.example"));
    }

    #[test]
    fn a_host_has_its_helper_or_that_of_all() {
        let config: Config =
            serde_json::from_str(r#"{"credHelpers":{"https://a":"one"},"credsStore":"all"}"#).unwrap();
        assert_eq!(["a", "docker.io"].map(|host| config.helper(host)), [Some("one"), Some("all")]);
        assert_eq!(Config::default().helper("a"), None);
        let none: Config = serde_json::from_str(r#"{"credHelpers":{"a":""},"credsStore":""}"#).unwrap();
        assert_eq!(["a", "docker.io"].map(|host| none.helper(host)), [None, None]);
        let own: Config = serde_json::from_str(r#"{"credHelpers":{"a":""},"credsStore":"all"}"#).unwrap();
        assert_eq!(own.helper("a"), None, "a says that it has none");
    }

    #[test]
    fn one_key_s_fault_is_no_other_s() {
        let text = r#"{"auths":{"null":null,"odd":"secret","list":[1],"a":{"username":"u","password":"p"}},
            "credHelpers":null,"credsStore":null}"#;
        assert_eq!(find(text, "a", "x").unwrap(), [password("u", "p")]);
        assert_eq!(find(text, "null", "x").unwrap(), []);
        assert_eq!(find(text, "odd", "x").unwrap_err(), "auths.odd: is not a registry's entry");
        assert!(find(text, "list", "x").is_err());
        assert_eq!(find(r#"{"auths":null}"#, "a", "x").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_named_and_never_shown() {
        let wrong =
            |auth: &str| find(&format!(r#"{{"auths":{{"a":{{"auth":"{auth}"}}}}}}"#), "a", "x").unwrap_err();
        assert_eq!(wrong("%%%"), "auths.a: auth is not base64 of a text");
        assert_eq!(wrong("bWU="), "auths.a: auth has no ':' in it");
        let shown = format!("{:?}", Credentials::Password { user: "me".into(), password: "secret".into() });
        assert!(shown.contains("me") && !shown.contains("secret"), "{shown}");
    }
}
