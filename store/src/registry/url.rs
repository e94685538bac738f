//! URLs, as far as registries use them.

use std::fmt;

/// `http` or `https`, a host, a path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// `https`.
    pub secure: bool,
    /// Host name, with a port where one was given.
    pub host: String,
    /// Begins with `/`.
    pub path: String,
}

impl Url {
    /// Reads a whole URL. One with a user name in it is refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} is not a URL: {why}"));
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return wrong("it begins neither with https:// nor with http://"),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-._:[]".contains(c));
        if host.is_empty() || host.contains(odd) {
            return wrong("its host");
        }
        if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return wrong("its path");
        }
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { secure, host: host.to_ascii_lowercase(), path })
    }

    /// What a `Location` header means that came with an answer to this URL (RFC 3986, 5.2).
    pub fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.secure { "https:" } else { "http:" };
        if location.contains("://") && !location.starts_with('/') {
            Self::parse(location)
        } else if location.starts_with("//") {
            Self::parse(&format!("{scheme}{location}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{scheme}//{}{location}", self.host))
        } else {
            let path = self.path.split('?').next().unwrap_or_default();
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            Self::parse(&format!("{scheme}//{}{folder}/{location}", self.host))
        }
    }

    /// True when both lead to the same server: scheme, host and port.
    pub fn same_origin(&self, other: &Self) -> bool {
        let origin = |url: &Self| {
            let port = if url.secure { ":443" } else { ":80" };
            (url.secure, url.host.strip_suffix(port).unwrap_or(&url.host).to_owned())
        };
        origin(self) == origin(other)
    }

    /// The same with one more parameter.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.path.push(if self.path.contains('?') { '&' } else { '?' });
        self.path += &format!("{key}={}", encoded(value));
        self
    }
}

/// A value as it may stand in a query or a form.
pub(crate) fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:,".contains(&byte);
    let one = |byte: u8| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(one).collect()
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_absolute_or_relative() {
        let base = Url::parse("https://r.example:5000/v2/a/blobs/uploads/?x=1").unwrap();
        for (location, whole) in [
            ("http://other/x?y=%2F", "http://other/x?y=%2F"),
            ("//cdn.example/z", "https://cdn.example/z"),
            ("/v2/b", "https://r.example:5000/v2/b"),
            ("77?state=a", "https://r.example:5000/v2/a/blobs/uploads/77?state=a"),
            ("https://UP.example#part", "https://up.example/"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), whole);
        }
        for wrong in ["ftp://x/y", "https://", "https://user:secret@host/", "https://a b/", "/a\r\nb"] {
            assert!(base.join(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| Url::parse(text).unwrap();
        assert!(url("https://a/x").same_origin(&url("https://A:443/y")));
        for other in ["http://a/x", "https://a:444/x", "https://b/x", "https://a.b/x"] {
            assert!(!url("https://a/x").same_origin(&url(other)), "{other}");
        }
    }

    #[test]
    fn parameters_are_encoded() {
        let url = Url::parse("https://a/token").unwrap();
        let url = url.with("scope", "repository:a/b:pull").with("service", "a b&c");
        assert_eq!(url.to_string(), "https://a/token?scope=repository:a/b:pull&service=a%20b%26c");
    }
}
