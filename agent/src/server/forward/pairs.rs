//! Streams find each other: a data stream and an error stream are one connection.

use super::Headers;
use std::collections::BTreeMap;

/// Most streams that wait for their other.
const MOST: usize = 256;

/// Two streams that are one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// For its bytes.
    pub data: u32,
    /// For what goes wrong.
    pub error: u32,
    /// The pod's port.
    pub port: u16,
}

/// Streams that wait for their other, by the request's name.
#[derive(Debug, Default)]
pub struct Pairs(BTreeMap<String, (bool, u32, u16)>);

impl Pairs {
    /// Adds a stream; gives the pair when it is one now.
    ///
    /// # Errors
    /// The stream is of no use: its headers say not what it is, or there is such a one.
    pub fn add(&mut self, stream: u32, headers: &Headers) -> Result<Option<Pair>, ()> {
        let value = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let is_data = match value("streamtype") {
            Some("data") => true,
            Some("error") => false,
            _ => return Err(()),
        };
        let port = value("port").and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or(())?;
        let request = match value("requestid") {
            Some(request) => request.to_owned(),
            // Of old: the data stream is the next one after its error stream.
            None if is_data => format!("stream {}", stream.wrapping_sub(2)),
            None => format!("stream {stream}"),
        };
        match self.0.remove(&request) {
            Some((was_data, other, _)) if was_data != is_data => {
                let (data, error) = if is_data { (stream, other) } else { (other, stream) };
                Ok(Some(Pair { data, error, port }))
            }
            Some(first) => {
                self.0.insert(request, first);
                Err(())
            }
            None if self.0.len() >= MOST => Err(()),
            None => {
                self.0.insert(request, (is_data, stream, port));
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(kind: &str, port: &str, request: Option<&str>) -> Headers {
        let mut headers = vec![("streamtype".into(), kind.into()), ("port".into(), port.into())];
        headers.extend(request.map(|request| ("requestid".into(), request.into())));
        headers
    }

    #[test]
    fn two_streams_of_one_request_are_a_pair() {
        let mut pairs = Pairs::default();
        assert_eq!(pairs.add(1, &headers("error", "80", Some("0"))), Ok(None));
        assert_eq!(pairs.add(3, &headers("error", "81", Some("1"))), Ok(None));
        assert_eq!(pairs.add(5, &headers("error", "81", Some("1"))), Err(()), "there is one");
        let pair = |data, error, port| Ok(Some(Pair { data, error, port }));
        assert_eq!(pairs.add(7, &headers("data", "81", Some("1"))), pair(7, 3, 81));
        assert_eq!(pairs.add(9, &headers("data", "80", Some("0"))), pair(9, 1, 80));
        assert_eq!(pairs.add(11, &headers("error", "82", None)), Ok(None));
        assert_eq!(pairs.add(13, &headers("data", "82", None)), pair(13, 11, 82));
        for (kind, port) in [("x", "80"), ("data", "0"), ("data", "65536"), ("data", "")] {
            assert_eq!(pairs.add(15, &headers(kind, port, None)), Err(()), "{kind} {port}");
        }
    }
}
