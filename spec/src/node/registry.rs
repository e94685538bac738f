//! `[registries."HOST"]` and `[proxies]`: how registries are reached, for whoever pulls and pushes.

use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A registry as images name it: a host's name or address, perhaps with a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(String);

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, port) = text.rsplit_once(':').unwrap_or((text, "443"));
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-');
        let is_port =
            port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        if !name.is_empty() && name.bytes().all(plain) && is_port {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a registry such as docker.io or lab.example:5000"))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Who is asked in a registry's place: a host, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror(String);

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = ["https://", "http://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        let host = match rest {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => text,
        };
        match host.parse::<Host>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!("{text:?} is neither a host such as lab.example:5000 nor a URL")),
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// `[proxies]`, in the words of Docker's `daemon.json`; nobody is shown them, for there may be passwords in them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies(BTreeMap<String, String>);

impl Proxies {
    /// What registries without TLS are reached by, `[http://|https://][USER:PASSWORD@]HOST[:PORT]`.
    pub const HTTP: &str = "http-proxy";
    /// The same for those with TLS.
    pub const HTTPS: &str = "https-proxy";
    /// Who is reached without one, commas between them.
    pub const NONE: &str = "no-proxy";

    /// What a key says.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// As a table of strings, which there are others of: a structure of its own would be 5 kB of PID 1.
impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let table = BTreeMap::<String, String>::deserialize(from)?;
        for (key, text) in &table {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
            let host = rest.rsplit('@').next().unwrap_or_default().trim_end_matches('/');
            let wrong = match key.as_str() {
                Self::NONE => continue,
                Self::HTTP | Self::HTTPS if host.parse::<Host>().is_ok() => continue,
                Self::HTTP | Self::HTTPS => "is not HOST:PORT or http://USER:PASSWORD@HOST:PORT",
                _ => "is none of http-proxy, https-proxy, no-proxy",
            };
            return Err(de::Error::custom(format_args!("{key} {wrong}")));
        }
        Ok(Self(table))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Proxies")
    }
}

/// Certificates or a key: the absolute path of a file, or the text (PEM) itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// In this file.
    File(String),
    /// This very text.
    Text(String),
}

impl FromStr for Pem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::File(text.to_owned()));
        }
        match text.trim_start().starts_with("-----BEGIN ") {
            true => Ok(Self::Text(text.to_owned())),
            false => Err("neither an absolute path nor a text that begins with \"-----BEGIN \"".into()),
        }
    }
}

impl fmt::Debug for Pem {
    /// Says nothing that is secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "File({path:?})"),
            Self::Text(_) => out.write_str("Text"),
        }
    }
}

/// What nobody is shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// `[registries."HOST"]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Registry {
    /// Who is asked for its images first, in this order.
    pub mirrors: Vec<Mirror>,
    /// Speak HTTP without TLS to it.
    pub plain_http: bool,
    /// Whom to trust besides.
    pub ca: Option<Pem>,
    /// Who we are: a certificate and its key.
    pub identity: Option<(Pem, Pem)>,
    /// A user's name and password.
    pub user: Option<(String, Password)>,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Here.
    Here(Secret),
    /// In this file, whose last line break does not count.
    File(String),
}

/// `[registries."HOST"]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Fields {
    mirrors: Vec<Mirror>,
    plain_http: bool,
    ca: Option<Pem>,
    client_certificate: Option<Pem>,
    client_key: Option<Pem>,
    user: Option<String>,
    password: Option<Secret>,
    password_file: Option<String>,
}

impl TryFrom<Fields> for Registry {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        let identity = match (fields.client_certificate, fields.client_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("client-certificate and client-key go together"),
        };
        let password = match (fields.password, fields.password_file) {
            (Some(_), Some(_)) => return Err("password and password-file are one too many"),
            (Some(password), None) => Some(Password::Here(password)),
            (None, Some(path)) if path.starts_with('/') => Some(Password::File(path)),
            (None, Some(_)) => return Err("password-file is not an absolute path"),
            (None, None) => None,
        };
        let user = match (fields.user, password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            _ => return Err("user and a password go together"),
        };
        let Fields { mirrors, plain_http, ca, .. } = fields;
        Ok(Self { mirrors, plain_http, ca, identity, user })
    }
}

super::deserialize_from_str!(Host, Mirror, Pem);

#[cfg(test)]
mod tests {
    use super::super::{Layer, load};
    use super::*;

    fn read(text: &str) -> Result<Registry, String> {
        let layer = Layer { origin: "x".into(), text: format!("[registries.\"lab:5000\"]\n{text}\n") };
        let node = load(&[layer]).map_err(|error| error.to_string())?;
        Ok(node.registries[&"lab:5000".parse::<Host>().unwrap()].clone())
    }

    #[test]
    fn a_registry_is_read_in_full() {
        let all = read(
            "mirrors = [\"one:5000\", \"http://two/cache\"]\nplain-http = true\nca = \"/data/ca.pem\"\n\
             client-certificate = \"/c\"\nclient-key = \"-----BEGIN PRIVATE KEY-----\"\n\
             user = \"me\"\npassword-file = \"/p\"",
        )
        .unwrap();
        assert_eq!(
            all.mirrors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["one:5000", "http://two/cache"]
        );
        assert_eq!(all.ca, Some(Pem::File("/data/ca.pem".into())));
        assert_eq!(all.user, Some(("me".into(), Password::File("/p".into()))));
        assert_eq!(read("").unwrap(), Registry::default());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (text, words) in [
            ("mirror = []", "unknown field `mirror`"),
            ("mirrors = [\"ftp://x\"]", "\"ftp://x\" is neither a host"),
            ("ca = \"ca.pem\"", "neither an absolute path"),
            ("client-key = \"/k\"", "client-certificate and client-key go together"),
            ("user = \"me\"", "user and a password go together"),
            ("user = \"me\"\npassword = \"a\"\npassword-file = \"/b\"", "one too many"),
            ("user = \"me\"\npassword-file = \"b\"", "password-file is not an absolute path"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(
            "la b".parse::<Host>().is_err()
                && "lab:0".parse::<Host>().is_err()
                && "".parse::<Host>().is_err()
        );
    }

    #[test]
    fn a_proxy_is_a_host_or_a_url() {
        let read = |text: &str| {
            let layer = Layer { origin: "x".into(), text: format!("[proxies]\n{text}\n") };
            load(&[layer]).map(|node| node.proxies).map_err(|error| error.to_string())
        };
        for good in
            ["proxy:3128", "http://proxy.example:3128/", "https://me:p@ss@10.0.0.1:1", "proxy.example"]
        {
            let proxies =
                read(&format!("https-proxy = {good:?}\nno-proxy = \".example,10.0.0.0/8\"")).unwrap();
            let all = [Proxies::HTTP, Proxies::HTTPS, Proxies::NONE].map(|key| proxies.get(key));
            assert_eq!(all, [None, Some(good), Some(".example,10.0.0.0/8")]);
            assert!(!format!("{proxies:?}").contains("proxy.example"), "nobody is shown it");
        }
        for bad in [
            "",
            "http://",
            "http://me:secret@",
            "pro xy:1",
            "proxy:0",
            "http://proxy:3128/path",
            "socks5://proxy:1",
        ] {
            let error = read(&format!("http-proxy = {bad:?}")).unwrap_err();
            assert!(
                error.starts_with("x:1:1: http-proxy is not HOST:PORT") && !error.contains("secret"),
                "{bad}: {error}"
            );
        }
        let error = read("proxy = \"a\"").unwrap_err();
        assert!(error.starts_with("x:1:1: ") && error.contains("proxy is none of http-proxy"), "{error}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", read("user = \"me\"\npassword = \"hidden\"").unwrap());
        assert!(shown.contains("me") && !shown.contains("hidden"), "{shown}");
        let shown =
            format!("{:?}", read("client-certificate = \"/c\"\nclient-key = \"-----BEGIN hidden\"").unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
