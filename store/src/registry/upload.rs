//! Blobs and manifests to a registry (distribution-spec, "Push").

use super::client::{Body, Client, Request, Response};
use super::url::Url;
use super::{Failure, Registries, Stop};
use crate::digest::Digest;
use crate::oci::Reference;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use ureq::http::Method;

/// A blob that is sent.
pub(crate) struct Upload<'u> {
    pub digest: &'u Digest,
    pub file: &'u File,
    pub size: u64,
    /// Hears how many bytes have gone.
    pub sent: &'u (dyn Fn(u64) + Sync),
    /// Hears what went wrong and is tried again.
    pub trouble: &'u (dyn Fn(&str) + Sync),
}

/// What came of asking the registry to take a blob from another of its repositories.
enum Begun {
    Mounted,
    /// Where to send it.
    At(Url),
}

impl Registries {
    /// Where an image is pushed to. Blobs may be taken from the repositories `from` there.
    pub(crate) fn target<'r>(
        &'r self,
        name: &Reference,
        from: &[String],
        stop: &'r Stop,
    ) -> Result<Client<'r>, String> {
        let mut scopes = vec![format!("repository:{}:pull,push", name.repository)];
        scopes.extend(from.iter().map(|repository| format!("repository:{repository}:pull")));
        let endpoint = self.settings.endpoint(&name.registry)?;
        Client::new(self, endpoint, &name.repository, &scopes, stop).map_err(Failure::words)
    }

    /// In pieces of how many bytes a host wants its blobs.
    pub(super) fn piece(&self, host: &str) -> Option<u64> {
        self.settings.hosts.get(host)?.piece.filter(|&piece| piece > 0)
    }
}

impl Client<'_> {
    /// True when the repository has this blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, String> {
        match self.send(&self.is_there(digest)) {
            Ok(_) => Ok(true),
            Err(Failure::Missing(_)) => Ok(false),
            Err(failure) => Err(failure.words()),
        }
    }

    fn is_there(&self, digest: &Digest) -> Request<'static> {
        let url = self.url(&format!("blobs/{digest}"));
        Request { method: Method::HEAD, url, headers: Vec::new(), body: Body::None }
    }

    /// Brings a blob to the repository, from `from` where the registry can do that. True: it could.
    pub fn upload(&self, upload: &Upload<'_>, from: Option<&str>) -> Result<bool, String> {
        let (mut failures, mut from) = (0, from);
        loop {
            // What failed may have been the answer alone.
            if failures > 0 && self.attempt(&self.is_there(upload.digest)).is_ok() {
                return Ok(false);
            }
            let outcome = match self.begin(upload.digest, from) {
                Ok(Begun::Mounted) => return Ok(true),
                Ok(Begun::At(url)) => self.bring(upload, url),
                Err(failure) => Err(failure),
            };
            match outcome {
                Ok(()) => return Ok(false),
                Err(Failure::Passing(words, asked)) => {
                    failures += 1;
                    (upload.trouble)(&words);
                    self.pause(failures, words, asked).map_err(Failure::words)?;
                }
                // A registry that may not mount may still be sent the bytes.
                Err(Failure::Lasting(_) | Failure::Denied(_) | Failure::Missing(_))
                    if from.take().is_some() => {}
                Err(failure) => return Err(failure.of(&format!("registry {}", self.host())).words()),
            }
        }
    }

    fn begin(&self, digest: &Digest, from: Option<&str>) -> Result<Begun, Failure> {
        let mut url = self.url("blobs/uploads/");
        if let Some(from) = from {
            url = url.with("mount", &digest.to_string()).with("from", from);
        }
        let headers = vec![("content-length", "0".to_owned())];
        let answer = self.attempt(&Request { method: Method::POST, url, headers, body: Body::Bytes(b"") })?;
        match answer.status {
            201 if from.is_some() => Ok(Begun::Mounted),
            _ => next(&answer).map(Begun::At),
        }
    }

    /// Sends a blob to where the registry wants it.
    fn bring(&self, upload: &Upload<'_>, url: Url) -> Result<(), Failure> {
        match self.piece() {
            Some(piece) if piece < upload.size => self.in_pieces(upload, url, piece),
            _ => self.put(upload, url, 0),
        }
    }

    /// Sends what is left of a blob from byte `at` on, and ends the upload.
    fn put(&self, upload: &Upload<'_>, url: Url, at: u64) -> Result<(), Failure> {
        let gone = AtomicU64::new(at);
        let sent = |count| (upload.sent)(gone.fetch_add(count, Ordering::Relaxed) + count);
        let left = upload.size - at;
        let body = if left == 0 { Body::Bytes(b"") } else { Body::File(upload.file, at, left, &sent) };
        let url = url.with("digest", &upload.digest.to_string());
        let headers = vec![("content-type", OCTETS.to_owned())];
        self.attempt(&Request { method: Method::PUT, url, headers, body }).map(drop)
    }

    /// Sends a blob piece by piece. After a failure it goes on with what the registry has.
    fn in_pieces(&self, upload: &Upload<'_>, mut url: Url, piece: u64) -> Result<(), Failure> {
        let (mut at, mut failures) = (0, 0);
        while at < upload.size {
            match self.send_piece(upload, &url, at, piece.min(upload.size - at)) {
                Ok(next) => {
                    (url, failures) = (next, 0);
                    at += piece.min(upload.size - at);
                }
                Err(Failure::Passing(words, asked)) => {
                    failures += 1;
                    (upload.trouble)(&words);
                    self.pause(failures, words, asked)?;
                    (url, at) = self.standing(&url)?;
                }
                Err(failure) => return Err(failure),
            }
        }
        self.put(upload, url, at)
    }

    fn send_piece(&self, upload: &Upload<'_>, url: &Url, at: u64, length: u64) -> Result<Url, Failure> {
        let gone = AtomicU64::new(at);
        let sent = |count| (upload.sent)(gone.fetch_add(count, Ordering::Relaxed) + count);
        let headers =
            vec![("content-type", OCTETS.to_owned()), ("content-range", format!("{at}-{}", at + length - 1))];
        let body = Body::File(upload.file, at, length, &sent);
        next(&self.attempt(&Request { method: Method::PATCH, url: url.clone(), headers, body })?)
    }

    /// How much of an upload the registry has, and where to go on.
    fn standing(&self, url: &Url) -> Result<(Url, u64), Failure> {
        let request =
            Request { method: Method::GET, url: url.clone(), headers: Vec::new(), body: Body::None };
        let answer = self.attempt(&request)?;
        let have = has(answer.header("range"))
            .ok_or_else(|| Failure::Lasting("does not tell what it has".into()))?;
        Ok((next(&answer)?, have))
    }

    /// Brings the manifest, which makes the image visible.
    pub fn put_manifest(
        &self,
        name: &Reference,
        media_type: &str,
        bytes: &[u8],
        digest: &Digest,
    ) -> Result<(), String> {
        let reference = name.tag.clone().unwrap_or_else(|| digest.to_string());
        let request = Request {
            method: Method::PUT,
            url: self.url(&format!("manifests/{reference}")),
            headers: vec![("content-type", media_type.to_owned())],
            body: Body::Bytes(bytes),
        };
        let answer = self.send(&request).map_err(Failure::words)?;
        match answer.header("docker-content-digest") {
            Some(other) if other != digest.to_string() => {
                Err(format!("registry {}: calls the manifest {other}", self.host()))
            }
            _ => Ok(()),
        }
    }
}

const OCTETS: &str = "application/octet-stream";

/// Where an upload goes on.
fn next(answer: &Response) -> Result<Url, Failure> {
    let refused = |why: String| Failure::Lasting(format!("says not where to send the blob: {why}"));
    let location = answer.header("location").ok_or_else(|| refused("no location".into()))?;
    match answer.url.join(location).map_err(refused)? {
        url if answer.url.secure && !url.secure => Err(refused("it leads away from TLS".into())),
        url => Ok(url),
    }
}

/// How many bytes a header `Range: 0-9` tells of. Of nothing registries say `0-0`
/// or nothing at all; one byte is then sent again, and refused, if it was one.
fn has(range: Option<&str>) -> Option<u64> {
    let Some(range) = range else {
        return Some(0);
    };
    let last: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_has_is_told_by_its_last_byte() {
        assert_eq!([None, Some("0-0"), Some("0-99"), Some("bytes=0-4")].map(has), [0, 0, 100, 5].map(Some));
        assert_eq!(has(Some("5-9")), None);
    }
}
