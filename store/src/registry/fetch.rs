//! Documents of an image at its registry or a mirror of it.

use super::{Body, Client, Download, Failure, Registries, Request, Stop};
use crate::digest::Digest;
use crate::oci::{CONFIG_MAX, Descriptor, MANIFEST_MAX, Reference, media};
use std::io::Read;
use ureq::http::Method;

/// Where an image is pulled from: its mirrors, then its registry.
pub(crate) struct Origins<'r> {
    pub clients: Vec<Client<'r>>,
    /// Mirrors that could not be used, a sentence each.
    pub notes: Vec<String>,
}

impl Registries {
    /// The servers that an image can be pulled from.
    pub(crate) fn origins<'r>(&'r self, name: &Reference, stop: &'r Stop) -> Result<Origins<'r>, String> {
        let mut endpoints = self.settings.pull_from(&name.registry)?;
        let registry = endpoints.pop().ok_or("has no address")?;
        let scopes = [format!("repository:{}:pull", name.repository)];
        let (mut clients, mut notes) = (Vec::new(), Vec::new());
        for endpoint in endpoints {
            match Client::new(self, endpoint, &name.repository, &scopes, stop) {
                Ok(client) => clients.push(client),
                Err(failure) => notes.push(failure.words()),
            }
        }
        let registry = Client::new(self, registry, &name.repository, &scopes, stop);
        clients.push(registry.map_err(Failure::words)?);
        Ok(Origins { clients, notes })
    }
}

/// A document as a registry has it.
pub(crate) struct Fetched {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Origins<'_> {
    /// The digest of what a name means, by HEAD; none when no server tells it. It is an error when nobody is there, no mirror
    /// either.
    pub fn digest(&mut self, name: &Reference) -> Result<Option<Digest>, Failure> {
        if name.digest.is_some() {
            return Ok(name.digest.clone());
        }
        let tag = name.tag.as_deref().unwrap_or("latest");
        let told = self.first(|client| {
            let answer = client.send(&manifest_request(client, Method::HEAD, tag))?;
            let digest = answer.header("docker-content-digest").and_then(|header| header.parse().ok());
            digest.ok_or(Failure::Lasting("tells no digest".into()))
        });
        match told {
            Err(failure) if self.nobody_is_there() => Err(failure),
            // A mirror of mere files tells no digest, and has the manifest.
            told => Ok(told.ok()),
        }
    }

    fn nobody_is_there(&self) -> bool {
        let away = |(registry, mirrors): (&Client<'_>, &[Client<'_>])| {
            registry.is_absent() && mirrors.iter().all(Client::is_away)
        };
        self.clients.split_last().is_none_or(away)
    }

    /// A failure in words, and what the mirrors said: theirs may be the one that counts.
    pub fn words(&self, failure: Failure) -> String {
        [failure.words()].into_iter().chain(self.notes.iter().cloned()).collect::<Vec<_>>().join("; mirror: ")
    }

    /// A manifest or index by its digest, or by a tag that no server told the digest of.
    pub fn manifest(&mut self, reference: &str, digest: Option<&Digest>) -> Result<Fetched, Failure> {
        self.first(|client| {
            let request = manifest_request(client, Method::GET, reference);
            let (answer, bytes) = client.fetch(&request, MANIFEST_MAX)?;
            let named = |failure: Failure| failure.of(&format!("registry {}", client.host()));
            match digest {
                Some(digest) if !digest.matches(&bytes) => {
                    Err(named(Failure::Lasting("sends other content than its digest says".into())))
                }
                _ => Ok(Fetched { media_type: content_type(answer.header("content-type")), bytes }),
            }
        })
    }

    /// A small blob, whole and right.
    pub fn config(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>, String> {
        let Descriptor { digest, size, .. } = descriptor;
        if *size > CONFIG_MAX {
            return Err(format!("{size} bytes, more than {} MiB", CONFIG_MAX >> 20));
        }
        let mut clients = &self.clients[..];
        loop {
            let mut bytes = Vec::new();
            let mut download = Download::new(clients, digest, *size, 0, &|_| {});
            download.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            if digest.matches(&bytes) {
                return Ok(bytes);
            }
            clients = match download.unasked() {
                0 => return Err("its content is another one".into()),
                unasked => &clients[clients.len() - unasked..],
            };
        }
    }

    /// Asks one server after the other. The last one's failure counts; the others' are noted.
    fn first<T>(&mut self, ask: impl Fn(&Client<'_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let Some((registry, mirrors)) = self.clients.split_last() else {
            return Err(Failure::Lasting("has no address".into()));
        };
        for mirror in mirrors.iter().filter(|mirror| !mirror.is_away()) {
            match ask(mirror) {
                Ok(answer) => return Ok(answer),
                Err(failure) => {
                    let note = failure.words();
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
            }
        }
        ask(registry)
    }
}

fn manifest_request(client: &Client<'_>, method: Method, reference: &str) -> Request<'static> {
    let kinds = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST].join(", ");
    let url = client.url(&format!("manifests/{reference}"));
    Request { method, url, headers: vec![("accept", kinds)], body: Body::None }
}

/// A media type without its parameters; empty when it says nothing of a manifest.
fn content_type(header: Option<&str>) -> String {
    let bare = header.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_LIST];
    if known.contains(&bare.as_str()) { bare } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_manifest_s_media_type_counts() {
        let docker = format!("{}; charset=utf-8", media::DOCKER_MANIFEST);
        assert_eq!(content_type(Some(&docker)), media::DOCKER_MANIFEST);
        assert_eq!(content_type(Some("application/json")), "");
        assert_eq!(content_type(None), "");
    }
}
