//! A blob's bytes, whatever happens to the connection.

use super::client::{Body, Client, Request, Response};
use super::{Failure, failure};
use crate::digest::Digest;
use std::io::{self, ErrorKind, Read};
use ureq::BodyReader;
use ureq::http::Method;

/// Failures in a row are counted anew after this many bytes.
const PROGRESS: u64 = 64 << 10;

/// The rest of a blob from some byte on. A connection that breaks is made again
/// from where it was; when one server fails for good, the next one is asked. Nothing
/// is verified here.
pub(crate) struct Download<'c> {
    clients: &'c [Client<'c>],
    digest: &'c Digest,
    size: u64,
    at: u64,
    body: Option<BodyReader<'static>>,
    failures: u32,
    since: u64,
    /// Hears what went wrong and is tried again.
    trouble: &'c (dyn Fn(&str) + Sync),
}

impl<'c> Download<'c> {
    /// A blob of this size, from byte `at` on, from the first of these servers that has it.
    pub fn new(
        clients: &'c [Client<'c>],
        digest: &'c Digest,
        size: u64,
        at: u64,
        trouble: &'c (dyn Fn(&str) + Sync),
    ) -> Self {
        let away = clients.iter().take_while(|client| client.is_away()).count();
        let clients = &clients[away..];
        Self { clients, digest, size, at, body: None, failures: 0, since: at, trouble }
    }

    /// How many of the servers were not asked yet: the last ones.
    pub fn unasked(&self) -> usize {
        self.clients.len().saturating_sub(1)
    }

    fn open(&mut self, client: &Client<'_>) -> Result<(), Failure> {
        let named = |failure: Failure| failure.of(&format!("registry {}", client.host()));
        let url = client.url(&format!("blobs/{}", self.digest));
        let mut headers = Vec::new();
        if self.at > 0 {
            headers.push(("range", format!("bytes={}-", self.at)));
        }
        let answer = client.send(&Request { method: Method::GET, url, headers, body: Body::None })?;
        let begins = begin(&answer, self.at, self.size).map_err(|why| named(Failure::Lasting(why)))?;
        let mut body = answer.into_reader();
        let skipped = io::copy(&mut (&mut body).take(self.at - begins), &mut io::sink());
        match skipped {
            Ok(count) if count == self.at - begins => {
                self.body = Some(body);
                Ok(())
            }
            Ok(_) => Err(Failure::Passing("the connection was cut".into(), None)),
            Err(error) => Err(broken(&error, client)),
        }
    }

    /// Reads once; no bytes only at the end.
    fn step(&mut self, client: &Client<'_>, buffer: &mut [u8]) -> Result<usize, Failure> {
        if client.stop.is_set() {
            return Err(Failure::Stopped);
        }
        if self.body.is_none() {
            self.open(client)?;
        }
        let Some(body) = &mut self.body else {
            return Ok(0);
        };
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        match body.read(&mut buffer[..length]) {
            Ok(0) => Err(Failure::Passing("the connection was cut".into(), None)),
            Ok(count) => Ok(count),
            Err(error) => Err(broken(&error, client)),
        }
    }
}

/// A body that breaks off is always worth another try, whatever TLS says of its last bytes.
fn broken(error: &io::Error, client: &Client<'_>) -> Failure {
    Failure::Passing(failure::io(error, client.patience()).words(), None)
}

/// Where an answer's bytes begin in the blob.
fn begin(answer: &Response, at: u64, size: u64) -> Result<u64, String> {
    begins(answer.status, answer.header("content-range"), answer.header("content-length"), at, size)
}

fn begins(status: u16, range: Option<&str>, length: Option<&str>, at: u64, size: u64) -> Result<u64, String> {
    let begins = match status {
        206 => {
            let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            first.filter(|&first: &u64| first <= at).ok_or("answers with another range than asked for")?
        }
        // The whole blob: this server knows no ranges.
        _ => 0,
    };
    match length.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if begins + length != size => {
            Err(format!("has {} bytes instead of {size}", begins + length))
        }
        _ => Ok(begins),
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.size || buffer.is_empty() {
            return Ok(0);
        }
        while let [client, others @ ..] = self.clients {
            let words = match self.step(client, buffer) {
                Ok(count) => {
                    self.at += count as u64;
                    if self.at - self.since >= PROGRESS {
                        (self.failures, self.since) = (0, self.at);
                    }
                    return Ok(count);
                }
                Err(Failure::Passing(words, asked)) => {
                    self.body = None;
                    self.failures += 1;
                    (self.trouble)(&words);
                    match client.pause(self.failures, words, asked) {
                        Ok(()) => continue,
                        Err(failure) => failure,
                    }
                }
                Err(failure) => failure,
            };
            if words == Failure::Stopped || others.is_empty() {
                return Err(io::Error::other(words.words()));
            }
            (self.trouble)(&words.words());
            (self.clients, self.failures, self.body) = (others, 0, None);
        }
        Err(ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_where_it_says_and_is_as_long_as_it_should_be() {
        assert_eq!(begins(206, Some("bytes 5-9/10"), Some("5"), 5, 10), Ok(5));
        assert_eq!(begins(206, Some("bytes 3-9/10"), Some("7"), 5, 10), Ok(3));
        assert_eq!(begins(200, None, Some("10"), 5, 10), Ok(0));
        assert_eq!(begins(200, None, None, 0, 10), Ok(0));
        assert_eq!(begins(200, None, Some("8"), 0, 10).unwrap_err(), "has 8 bytes instead of 10");
        for range in [None, Some("bytes 6-9/10"), Some("5-9")] {
            assert!(begins(206, range, None, 5, 10).is_err(), "{range:?}");
        }
    }
}
