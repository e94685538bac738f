//! Logging in: a password that the registry accepts, kept where Docker keeps it.

use super::client::{Body, Client, Request};
use super::credentials::{self, Config};
use super::{Registries, Stop, helper};
use crate::error::{Error, Result, io_error};
use crate::store::publish::publish;
use base64::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use ureq::http::Method;

impl Registries {
    /// Asks a registry whether it accepts what the settings say of its user: `GET /v2/`
    /// (distribution-spec, "Determining Support").
    ///
    /// # Errors
    /// It does not, or cannot be asked.
    pub fn log_in(&self, host: &str) -> Result<()> {
        let wrong = |why: String| Error::wrong("log in", why);
        let stop = Stop::default();
        let endpoint = self.settings.endpoint(host).map_err(wrong)?;
        let client = Client::new(self, endpoint, "", &[], &stop).map_err(|failure| wrong(failure.words()))?;
        let mut url = client.url("");
        url.path.truncate(url.path.len() - 1);
        let request = Request { method: Method::GET, url, headers: Vec::new(), body: Body::None };
        client.send(&request).map(drop).map_err(|failure| wrong(failure.words()))
    }
}

/// Keeps a host's password: with the helper that a file of Docker's names for it, as Docker does, or in that file, which
/// nobody else can read; all else in it stays. Gives where it is now: the file, or the helper's program.
///
/// # Errors
/// The file cannot be read, understood or written; the helper does not take it.
pub fn remember(path: &Path, host: &str, user: &str, password: &str) -> Result<String> {
    let key = credentials::key(host);
    let (mut config, helper) = read(path, host)?;
    let (entry, place) = match &helper {
        Some(name) => {
            helper::store(name, key, user, password).map_err(|why| Error::wrong("log in", why))?;
            (json!({}), helper::program(name))
        }
        None => {
            let auth = BASE64_STANDARD.encode(format!("{user}:{password}"));
            (json!({ "auth": auth }), path.display().to_string())
        }
    };
    let auths = auths(&mut config, path)?;
    auths.retain(|key, _| !credentials::is_of(key, host));
    auths.insert(key.to_owned(), entry);
    write(path, &config).map(|()| place)
}

/// Forgets a host's password, and has its helper forget it. True when there was one.
///
/// # Errors
/// As [`remember`].
pub fn forget(path: &Path, host: &str) -> Result<bool> {
    let (mut config, helper) = read(path, host)?;
    let erased = match &helper {
        Some(name) => {
            helper::erase(name, credentials::key(host)).map_err(|why| Error::wrong("log out", why))?
        }
        None => false,
    };
    let auths = auths(&mut config, path)?;
    let before = auths.len();
    auths.retain(|key, _| !credentials::is_of(key, host));
    let known = auths.len() != before;
    if known {
        write(path, &config)?;
    }
    Ok(known || erased)
}

/// What a file of Docker's says, and the helper that it names for a host.
fn read(path: &Path, host: &str) -> Result<(Value, Option<String>)> {
    let config: Value = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => json!({}),
        text => serde_json::from_slice(&text.map_err(io_error("read", path))?)
            .map_err(|error| Error::wrong(path.display(), error))?,
    };
    if !config.is_object() {
        return Err(Error::wrong(path.display(), "is not a JSON object"));
    }
    let known = Config::deserialize(&config).map_err(|error| Error::wrong(path.display(), error))?;
    let helper = known.helper(host).map(str::to_owned);
    Ok((config, helper))
}

fn auths<'c>(config: &'c mut Value, path: &Path) -> Result<&'c mut serde_json::Map<String, Value>> {
    let auths = config.as_object_mut().map(|whole| whole.entry("auths").or_insert(Value::Null));
    let auths = auths.map(|auths| {
        if auths.is_null() {
            *auths = json!({});
        }
        auths
    });
    let auths = auths.and_then(Value::as_object_mut);
    auths.ok_or_else(|| Error::wrong(path.display(), "auths is not an object"))
}

fn write(path: &Path, config: &Value) -> Result<()> {
    let text = serde_json::to_vec_pretty(config).map_err(|error| Error::wrong(path.display(), error))?;
    replace(path, &text)
}

/// One rename: the file is the old one or the new one. Where it is a symbolic link, what that leads to is replaced.
fn replace(path: &Path, text: &[u8]) -> Result<()> {
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        target => target.map_err(io_error("find", path))?,
    };
    let path = &target;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error("make", folder))?;
    }
    let new = path.with_extension("json.new");
    let _ = fs::remove_file(&new);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text).map(|()| file)
    };
    publish(&write().map_err(io_error("write", path))?, &new, path)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake};
    use super::super::{Credentials, Settings, credentials};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_kept_as_docker_keeps_it() {
        let folder = std::env::temp_dir().join(format!("skerry-login-{}", std::process::id()));
        let path = folder.join("docker/config.json");
        remember(&path, "a.example:5000", "me", "pw").unwrap();
        remember(&path, "docker.io", "hub", "pw").unwrap();
        remember(&path, "a.example:5000", "me", "new:pw").unwrap();
        let expected = Credentials::Password { user: "me".into(), password: "new:pw".into() };
        let look_up = |host: &str| credentials::look_up(&path, host, "x").unwrap();
        assert_eq!(look_up("a.example:5000"), [expected]);
        assert_eq!(look_up("docker.io").len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(forget(&path, "docker.io").unwrap());
        assert!(!forget(&path, "docker.io").unwrap());
        assert_eq!(look_up("docker.io"), []);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_else_is_in_the_file_stays() {
        let folder = std::env::temp_dir().join(format!("skerry-login-else-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("config.json");
        fs::write(&path, r#"{"detachKeys":"ctrl-x","auths":{"b":{"auth":"bWU6cHc="}}}"#).unwrap();
        remember(&path, "a", "me", "pw").unwrap();
        let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            (config["detachKeys"].as_str(), config["auths"]["b"]["auth"].as_str()),
            (Some("ctrl-x"), Some("bWU6cHc="))
        );
        fs::write(&path, r#"{"auths":null}"#).unwrap();
        remember(&path, "a", "me", "pw").unwrap();
        fs::write(&path, "[]").unwrap();
        assert!(remember(&path, "a", "me", "pw").unwrap_err().to_string().ends_with("is not a JSON object"));
        assert_eq!(fs::read(&path).unwrap(), b"[]");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_stays_one() {
        let folder = std::env::temp_dir().join(format!("skerry-login-link-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, own) = (folder.join("config.json"), folder.join("dotfiles.json"));
        fs::write(&own, "{}").unwrap();
        std::os::unix::fs::symlink("dotfiles.json", &path).unwrap();
        remember(&path, "a", "me", "pw").unwrap();
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
        assert!(fs::read_to_string(&own).unwrap().contains("bWU6cHc="));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_registry_is_asked() {
        let fake = Fake::new(|asked| match asked.header("authorization") {
            Some("Basic bWU6cHc=") => Answer::status(200),
            _ => Answer::status(401).with("www-authenticate", "Basic realm=\"x\""),
        });
        let with = |password: &str| {
            let mut settings = Settings { attempts: 1, ..Settings::default() };
            let user = Credentials::Password { user: "me".into(), password: password.into() };
            settings.credentials.insert(fake.host(), user);
            Registries::new(settings).log_in(&fake.host())
        };
        with("pw").unwrap();
        let error = with("wrong").unwrap_err().to_string();
        assert!(
            error.starts_with("log in: registry ")
                && error.ends_with("the user name or the password is wrong"),
            "{error}"
        );
    }
}
