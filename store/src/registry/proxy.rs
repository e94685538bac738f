//! Which proxy a server is reached by: what `[proxies]` of `node.toml` says, or else the environment, as programs in Go
//! read it (golang.org/x/net/http/httpproxy), so that it holds for Docker, podman and this alike.
//!
//! | variable, or the same in small letters | means |
//! |---|---|
//! | `HTTPS_PROXY` | the proxy for servers that speak TLS: `http://[USER:PASSWORD@]HOST[:PORT]`, or `https://`, or without either |
//! | `HTTP_PROXY` | the same for those that do not |
//! | `NO_PROXY` | who is reached without: names, of which what ends with `.NAME` is meant, too; `.NAME` or `*.NAME`, of which that alone is; addresses; networks `ADDRESS/BITS`; each but the last with a `:PORT` if only that is meant; `*`. Commas between them |
//!
//! This machine itself, `localhost` and loopback addresses, has no proxy in any case.

use super::url::Url;
use crate::oci::split_port;
use spec::node::Cidr;
use std::net::IpAddr;
use ureq::Proxy;

/// Proxies and who is reached without one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    without: Vec<Without>,
}

/// Who is reached without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Without {
    All,
    Network(Cidr),
    Address(IpAddr, Option<String>),
    /// A name's end, which begins with a dot; whether the name itself is meant, too; a port.
    Name(String, bool, Option<String>),
}

impl Proxies {
    /// What this program's environment says.
    pub fn of_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// What an environment says.
    pub(crate) fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| {
            let found = [name.to_owned(), name.to_lowercase()].into_iter().find_map(|name| get(&name));
            found.filter(|text| !text.is_empty())
        };
        let without = either("NO_PROXY").unwrap_or_default();
        Self {
            http: either("HTTP_PROXY"),
            https: either("HTTPS_PROXY"),
            without: without.split(',').filter_map(Without::read).collect(),
        }
    }

    /// The proxy for a URL, if there is one.
    ///
    /// # Errors
    /// It is none that can be spoken to: nothing goes out then, for directly is what nobody has allowed.
    pub(super) fn to(&self, url: &Url) -> Result<Option<Proxy>, String> {
        let proxy = if url.secure { &self.https } else { &self.http };
        match proxy {
            Some(proxy) if !self.is_without(url) => read(proxy).map(Some),
            _ => Ok(None),
        }
    }

    fn is_without(&self, url: &Url) -> bool {
        let (host, port) = split_port(&url.host);
        let port = port.unwrap_or(if url.secure { "443" } else { "80" });
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        host == "localhost"
            || address.is_some_and(|address| address.is_loopback())
            || self.without.iter().any(|one| one.means(host, address, port))
    }
}

fn read(text: &str) -> Result<Proxy, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let scheme = whole.split("://").next().unwrap_or_default();
    match Proxy::new(&whole) {
        _ if !matches!(scheme, "http" | "https") => {
            Err(format!("a proxy of the kind {scheme:?} is not supported, only http and https"))
        }
        // Not the text: a password may be in it.
        proxy => proxy.map_err(|_| "the proxy is no URL".to_owned()),
    }
}

impl Without {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        if text == "*" {
            return Some(Self::All);
        }
        if text.contains('/') {
            return text.parse().ok().map(Self::Network);
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address, None));
        }
        let (name, port) = split_port(&text);
        let port = port.map(str::to_owned);
        if let Ok(address) = name.trim_matches(['[', ']']).parse() {
            return Some(Self::Address(address, port));
        }
        match name.strip_prefix('*').unwrap_or(name) {
            "" => None,
            end if end.starts_with('.') => Some(Self::Name(end.to_owned(), false, port)),
            name => Some(Self::Name(format!(".{name}"), true, port)),
        }
    }

    fn means(&self, host: &str, address: Option<IpAddr>, port: &str) -> bool {
        let fits = |own: &Option<String>| own.as_deref().is_none_or(|own| own == port);
        match self {
            Self::All => true,
            Self::Network(network) => address.is_some_and(|address| is_in(address, *network)),
            Self::Address(own, own_port) => address == Some(*own) && fits(own_port),
            Self::Name(end, itself, own_port) => {
                let meant = host.ends_with(end.as_str()) || (*itself && host == &end[1..]);
                meant && fits(own_port)
            }
        }
    }
}

fn is_in(address: IpAddr, network: Cidr) -> bool {
    let (differing, length) = match (address, network.address) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (u128::from(one.to_bits() ^ other.to_bits()), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits(), 128),
        _ => return false,
    };
    differing.checked_shr(length - u32::from(network.prefix)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| pairs.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned()))
    }

    fn to(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.to(&Url::parse(url).unwrap()).unwrap();
        proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port()))
    }

    #[test]
    fn a_server_has_the_proxy_of_its_scheme() {
        let both = proxies(&[
            ("HTTPS_PROXY", "http://me:pw@one:3128"),
            ("http_proxy", "two:8080"),
            ("ALL_PROXY", "x"),
        ]);
        assert_eq!(to(&both, "https://r.example/"), Some("one:3128".into()));
        assert_eq!(to(&both, "http://r.example/"), Some("two:8080".into()));
        assert_eq!(to(&proxies(&[("HTTPS_PROXY", "")]), "https://r.example/"), None);
        for own in ["https://localhost:5000/", "http://127.0.0.7/", "https://[::1]:5000/"] {
            assert_eq!(to(&both, own), None, "{own}");
        }
    }

    #[test]
    fn whom_no_proxy_names_is_reached_without() {
        let list = " a.example, .b.example,*.c.example,d.example:5000,192.0.2.7, 10.0.0.0/8,fd00::/8,192.0.3.1:80,bad/8, ,x";
        let proxies = proxies(&[("HTTPS_PROXY", "p"), ("NO_PROXY", list)]);
        for (host, without) in [
            ("a.example", true),
            ("sub.a.example", true),
            ("nota.example", false),
            ("b.example", false),
            ("sub.b.example", true),
            ("c.example", false),
            ("sub.c.example:5000", true),
            ("d.example", false),
            ("d.example:5000", true),
            ("192.0.2.7:5000", true),
            ("192.0.2.8", false),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("[fd12::1]:5000", true),
            ("[fe00::1]", false),
            ("192.0.3.1", false),
            ("192.0.3.1:80", true),
        ] {
            assert_eq!(to(&proxies, &format!("https://{host}/")).is_none(), without, "{host}");
        }
        let none = super::tests::proxies(&[("HTTPS_PROXY", "p"), ("no_proxy", "*")]);
        assert_eq!(to(&none, "https://r.example/"), None);
    }

    #[test]
    fn what_is_no_proxy_for_us_is_told_and_not_passed_over() {
        let url = Url::parse("https://r.example/").unwrap();
        let why = |text| proxies(&[("HTTPS_PROXY", text)]).to(&url).unwrap_err();
        assert_eq!(
            why("socks5://p:1"),
            "a proxy of the kind \"socks5\" is not supported, only http and https"
        );
        let wrong = why("http://me:secret@p:x y");
        assert!(!wrong.contains("secret"), "{wrong}");
    }
}
