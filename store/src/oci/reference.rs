//! Names of images, brought to their full form as Docker does it.

use crate::digest::Digest;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Most letters of a path in a registry.
const REPOSITORY_MAX: usize = 255;

/// `REGISTRY/REPOSITORY:TAG`, `…@DIGEST` or both; `nginx` is
/// `docker.io/library/nginx:latest` (distribution's `reference` package).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host name and port.
    pub registry: String,
    /// Path in the registry.
    pub repository: String,
    /// `latest` when the name has neither tag nor digest.
    pub tag: Option<String>,
    /// Digest of the manifest or index.
    pub digest: Option<Digest>,
}

impl Reference {
    /// True when both name the same repository.
    pub fn same_repository(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?} is not an image's name: {what}");
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|why: String| wrong(&why))?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, path)) if is_host(first) => (first, path),
            _ => ("docker.io", name),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let official = registry == "docker.io" && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        if !is_registry(registry) {
            return Err(wrong("its registry is not a host with an optional port"));
        }
        if !repository.split('/').all(is_component) {
            return Err(wrong(
                "lower-case letters and digits, separated by '.', '_', '__' or '-', may stand between '/'",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is 1 to 128 letters, digits, '_', '.' or '-', neither '.' nor '-' first",
            ));
        }
        if repository.len() > REPOSITORY_MAX {
            return Err(wrong("its repository is longer than 255 characters"));
        }
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// True when the first word of a name is a host: that of a repository has neither dot nor colon nor upper-case letters.
fn is_host(first: &str) -> bool {
    let plain = |c: char| !matches!(c, '.' | ':') && !c.is_ascii_uppercase();
    first == "localhost" || !first.chars().all(plain)
}

/// A host, and its port if one follows; an IPv6 address is in brackets.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    let name = text.rfind(']').map_or(0, |end| end + 1);
    match text[name..].split_once(':') {
        Some((rest, port)) => (&text[..name + rest.len()], Some(port)),
        None => (text, None),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = split_port(text);
    let label = |label: &str| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        !label.is_empty() && label.bytes().all(plain) && !label.starts_with('-') && !label.ends_with('-')
    };
    // A number may have a sign, a port not.
    let is_port = |port: &str| port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    is_host && port.is_none_or(is_port)
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges =
        text.bytes().next().is_some_and(alphanumeric) && text.bytes().last().is_some_and(alphanumeric);
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges
        && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|c| c == b'-'))
}

fn is_tag(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(out, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(out, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_docker_s() {
        for (short, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/app:x", "localhost:5000/app:x"),
            ("ghcr.io/a/b__c-d.e", "ghcr.io/a/b__c-d.e:latest"),
            ("MYHOST/app", "MYHOST/app:latest"),
            ("[fd00::1]:5000/app:1", "[fd00::1]:5000/app:1"),
            ("[::1]/app", "[::1]/app:latest"),
        ] {
            assert_eq!(short.parse::<Reference>().unwrap().to_string(), full);
            assert_eq!(full.parse::<Reference>().unwrap().to_string(), full);
        }
        let digest = Digest::sha256(b"");
        assert_eq!(
            format!("nginx@{digest}").parse::<Reference>().unwrap().to_string(),
            format!("docker.io/library/nginx@{digest}")
        );
        assert_eq!(format!("a:b@{digest}").parse::<Reference>().unwrap().tag.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_not_a_name_is_refused() {
        for wrong in [
            "",
            "Nginx",
            "a/../b",
            "/a",
            "a/",
            "a b",
            "a:",
            "a:.x",
            "-a",
            "a._b",
            "a@sha256:00",
            "ho_st.x/a",
            "a:b:c/",
            "a:+54/b",
            "[fd00::1/a",
            "[fd00::x]/a",
            "[::1]x/a",
            "[::1]:/a",
            "::1/a",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
        let long = |length| format!("registry.example/{}", "a".repeat(length)).parse::<Reference>();
        assert!(long(255).is_ok() && long(256).is_err());
    }
}
