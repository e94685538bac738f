//! How registries are reached.

use super::Proxies;
use super::credentials::Credentials;
use super::url::Url;
use crate::oci::split_port;
use spec::node::Registry;
use spec::node::registry::{self, Password, Pem};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How registries are reached. The default knows no passwords, trusts whom the system trusts and goes by the proxies of the
/// environment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is particular to a host, by name and port as images have it (`docker.io`, `localhost:5000`).
    pub hosts: BTreeMap<String, Host>,
    /// Passwords by host, for when those of [`Self::docker_config`] are refused.
    pub credentials: BTreeMap<String, Credentials>,
    /// Why a host's password is not among those, though it was to be: told when the host asks for it.
    pub no_credentials: BTreeMap<String, String>,
    /// A `config.json` of Docker's with more passwords.
    pub docker_config: Option<PathBuf>,
    /// Whom to trust: a file of certificates (PEM). None: no server by TLS is trusted but those
    /// whose host has a CA of its own.
    pub trusted: Option<PathBuf>,
    /// Which proxies servers are reached by.
    pub proxies: Proxies,
    /// A connection without progress is given up after this long.
    pub patience: Duration,
    /// A registry may take this long to store what it was sent before it answers.
    pub storing: Duration,
    /// Tries of a request, one at least; a download that makes progress begins to count anew.
    pub attempts: u32,
    /// Before the second try; doubled with each.
    pub pause: Duration,
    /// Ask the registry also for an image that is pulled by its digest and is here: whether it is given to us.
    pub confirms: bool,
}

/// What is particular to a host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Hosts or URLs that are asked for its images first, in this order.
    pub mirrors: Vec<String>,
    /// Speak HTTP without TLS to it.
    pub plain_http: bool,
    /// Whom to trust besides: certificates.
    pub ca: Option<Pem>,
    /// Who we are: a certificate and its key.
    pub identity: Option<(Pem, Pem)>,
    /// Send it blobs in pieces of so many bytes, for a proxy in between that takes no more.
    pub piece: Option<u64>,
}

/// Where systems keep the certificates of those whom they trust.
const TRUSTED: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            credentials: BTreeMap::new(),
            no_credentials: BTreeMap::new(),
            docker_config: None,
            trusted: TRUSTED.map(PathBuf::from).into_iter().find(|path| path.is_file()),
            proxies: Proxies::of_environment(),
            patience: Duration::from_secs(30),
            storing: Duration::from_secs(10 * 60),
            attempts: 1 + Self::RETRIES,
            pause: Duration::from_millis(500),
            confirms: false,
        }
    }
}

impl Settings {
    /// How often in a row a request that fails is made again, unless somebody wants another number.
    pub const RETRIES: u32 = 5;

    /// With the passwords of the user who runs this program: `config.json` in
    /// `$DOCKER_CONFIG` or `~/.docker`.
    #[must_use]
    pub fn with_passwords_of_user(self) -> Self {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".docker"));
        let config = folder.or_else(home).map(|folder| folder.join("config.json"));
        Self { docker_config: config.or(self.docker_config), ..self }
    }
}

impl Settings {
    /// With the proxies of `node.toml`; where it names none, those of the environment stay.
    #[must_use]
    pub fn with_proxies(self, named: &registry::Proxies) -> Self {
        if *named == registry::Proxies::default() {
            return self;
        }
        let key = |variable: &str| variable.to_lowercase().replace('_', "-");
        let proxies = Proxies::read(|variable| named.get(&key(variable)).map(str::to_owned));
        Self { proxies, ..self }
    }

    /// With what `node.toml` says of registries. A password that cannot be read is missed by its own registry alone.
    #[must_use]
    pub fn with_configuration(mut self, registries: &BTreeMap<registry::Host, Registry>) -> Self {
        for (name, registry) in registries {
            let name = name.to_string();
            if let Some((user, password)) = &registry.user {
                match read_password(password) {
                    Ok(password) => {
                        let known = Credentials::Password { user: user.clone(), password };
                        self.credentials.insert(name.clone(), known);
                    }
                    Err(why) => {
                        self.no_credentials.insert(name.clone(), format!("password of {user}: {why}"));
                    }
                }
            }
            let host = self.hosts.entry(name).or_default();
            host.mirrors = registry.mirrors.iter().map(ToString::to_string).collect();
            host.plain_http = registry.plain_http;
            (host.ca, host.identity) = (registry.ca.clone(), registry.identity.clone());
        }
        self
    }
}

fn read_password(password: &Password) -> Result<String, String> {
    match password {
        Password::Here(secret) => Ok(secret.0.clone()),
        Password::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| format!("read {path}: {}", sys::cause::cause(&error)))?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

/// A server that is asked: a registry itself or a mirror of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As settings and passwords name it.
    pub host: String,
    /// What `/v2/` follows.
    pub url: Url,
    /// HTTP without TLS may be tried when the server does not speak TLS.
    pub either: bool,
    /// The registry itself has the same, too, so nobody waits long for it.
    pub is_mirror: bool,
}

impl Settings {
    /// Servers to pull from, in order; the last is the registry itself.
    pub(super) fn pull_from(&self, registry: &str) -> Result<Vec<Endpoint>, String> {
        let mirrors = self.hosts.get(registry).map(|host| &host.mirrors[..]).unwrap_or_default();
        let mirror = |server: &String| Ok(Endpoint { is_mirror: true, ..self.endpoint(server)? });
        mirrors.iter().map(mirror).chain([self.endpoint(registry)]).collect()
    }

    /// The server that a host name or URL means.
    pub(super) fn endpoint(&self, server: &str) -> Result<Endpoint, String> {
        if server.contains("://") {
            let mut url = Url::parse(server)?;
            url.path.truncate(url.path.trim_end_matches('/').len());
            return Ok(Endpoint { host: url.host.clone(), url, either: false, is_mirror: false });
        }
        let asked = self.hosts.get(server).is_some_and(|host| host.plain_http);
        let address = if server == "docker.io" { "registry-1.docker.io" } else { server };
        let mut url = Url::parse(&format!("{}://{address}", if asked { "http" } else { "https" }))?;
        url.path.clear();
        let either = !asked && is_local(server);
        Ok(Endpoint { host: server.to_owned(), url, either, is_mirror: false })
    }
}

/// True for this machine itself: what it says to itself nobody else can hear.
fn is_local(host: &str) -> bool {
    let name = split_port(host).0.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_what_was_asked_for_goes_without_tls() {
        let mut settings = Settings::default();
        let plain = Host { plain_http: true, ..Host::default() };
        settings.hosts.insert("lab:5000".into(), plain);
        for (server, url, either) in [
            ("docker.io", "https://registry-1.docker.io", false),
            ("localhost", "https://localhost", true),
            ("127.0.0.7:5000", "https://127.0.0.7:5000", true),
            ("localhost.example:5000", "https://localhost.example:5000", false),
            ("[::1]:5000", "https://[::1]:5000", true),
            ("[fd00::1]:5000", "https://[fd00::1]:5000", false),
            ("lab:5000", "http://lab:5000", false),
            ("http://m:1/cache/", "http://m:1/cache", false),
        ] {
            let endpoint = settings.endpoint(server).unwrap();
            assert_eq!((endpoint.url.to_string().as_str(), endpoint.either), (url, either), "{server}");
        }
    }

    #[test]
    fn what_the_configuration_says_is_in_force() {
        let text = "[registries.\"lab:5000\"]\nmirrors = [\"one:1\"]\nplain-http = true\nca = \"/ca\"\n\
                    user = \"me\"\npassword = \"pw\"\n[registries.b]\nuser = \"me\"\npassword-file = \"/none\"\n";
        let layer = spec::node::Layer { origin: "x".into(), text: text.into() };
        let registries = spec::node::load(&[layer]).unwrap().registries;
        let settings = Settings::default().with_configuration(&registries);
        let why = "password of me: read /none: no such file or directory";
        assert_eq!(settings.no_credentials, BTreeMap::from([("b".to_owned(), why.to_owned())]));
        let host = &settings.hosts["lab:5000"];
        assert_eq!((&host.mirrors[..], host.plain_http), (&["one:1".to_owned()][..], true));
        assert_eq!(host.ca, Some(Pem::File("/ca".into())));
        let known = Credentials::Password { user: "me".into(), password: "pw".into() };
        assert_eq!(settings.credentials["lab:5000"], known);
    }

    #[test]
    fn proxies_of_the_configuration_come_before_those_of_the_environment() {
        let own = |name: &str| (name == "HTTP_PROXY").then(|| "own:1".to_owned());
        let settings = || Settings { proxies: Proxies::read(own), ..Settings::default() };
        let with = |text: &str| {
            let layer = spec::node::Layer { origin: "x".into(), text: text.into() };
            settings().with_proxies(&spec::node::load(&[layer]).unwrap().proxies).proxies
        };
        assert_eq!(with(""), Proxies::read(own));
        let proxies = with("[proxies]\nhttps-proxy = \"theirs:2\"\nno-proxy = \"lab.example\"");
        let by = |url: &str| {
            let proxy = proxies.to(&Url::parse(url).unwrap()).unwrap();
            proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
        };
        assert_eq!(by("https://docker.io"), Some("theirs:2".to_owned()));
        assert_eq!((by("http://docker.io"), by("https://a.lab.example")), (None, None));
    }

    #[test]
    fn mirrors_come_first_in_their_order() {
        let mut settings = Settings::default();
        let mirrors = vec!["one.example".to_owned(), "http://two.example".to_owned()];
        settings.hosts.insert("docker.io".into(), Host { mirrors, ..Host::default() });
        let hosts = |registry| {
            let endpoints = settings.pull_from(registry).unwrap();
            endpoints.into_iter().map(|endpoint| endpoint.host).collect::<Vec<_>>()
        };
        assert_eq!(hosts("docker.io"), ["one.example", "two.example", "docker.io"]);
        assert_eq!(hosts("ghcr.io"), ["ghcr.io"]);
    }
}
