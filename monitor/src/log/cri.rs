//! The line format of a container's log, as Kubernetes' container runtime
//! interface defines it: `2026-01-02T03:04:05.123456789Z stdout F text`.
//!
//! `F` ends a line. `P` is a part of one: the text goes on in the next entry of
//! the same stream without a newline in between. A line is cut every
//! [`LONGEST`] bytes, and where a program left it unfinished. So joining the
//! texts, with a newline after each `F`, gives back the program's very bytes.

use std::fmt;
use std::str::FromStr;

/// Longest text of one entry, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// Which of a program's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stream {
    /// Descriptor 1.
    Out,
    /// Descriptor 2.
    Err,
}

impl Stream {
    /// Both, in the order of their descriptors.
    pub const ALL: [Self; 2] = [Self::Out, Self::Err];
}

impl fmt::Display for Stream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        })
    }
}

impl FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdout" => Ok(Self::Out),
            "stderr" => Ok(Self::Err),
            _ => Err(format!("{text:?} is neither stdout nor stderr")),
        }
    }
}

/// How much of what waits in a pipe is logged now: all finished lines, else all
/// full parts of an unfinished one, else, when it has waited long enough
/// (`overdue`), the unfinished rest.
pub fn cut(bytes: &[u8], overdue: bool) -> usize {
    match bytes.iter().rposition(|&byte| byte == b'\n') {
        Some(newline) => newline + 1,
        None if bytes.len() >= LONGEST => bytes.len() / LONGEST * LONGEST,
        None if overdue => bytes.len(),
        None => 0,
    }
}

/// The log's entries for these bytes: the same for the same bytes, moment and
/// stream, which is what a monitor that was killed relies on.
pub fn entries(stamp: &str, stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let mut log = Vec::with_capacity(bytes.len() + bytes.len() / 2 + 64);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let finished = line.strip_suffix(b"\n");
        let text = finished.unwrap_or(line);
        let whole = text.len().saturating_sub(1) / LONGEST * LONGEST;
        for part in text[..whole].chunks(LONGEST) {
            entry(&mut log, stamp, stream, 'P', part);
        }
        let tag = if finished.is_some() { 'F' } else { 'P' };
        entry(&mut log, stamp, stream, tag, &text[whole..]);
    }
    log
}

fn entry(log: &mut Vec<u8>, stamp: &str, stream: Stream, tag: char, text: &[u8]) {
    log.extend_from_slice(format!("{stamp} {stream} {tag} ").as_bytes());
    log.extend_from_slice(text);
    log.push(b'\n');
}

/// The bytes that a program wrote to a stream, from the log's entries.
#[cfg(test)]
pub fn bytes_of(log: &[u8], stream: Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("an entry ends with a newline");
        let mut words = line.splitn(4, |&byte| byte == b' ');
        assert_eq!(words.next().unwrap().len(), 30, "{:?}", String::from_utf8_lossy(line));
        let of = std::str::from_utf8(words.next().unwrap()).unwrap().parse::<Stream>().unwrap();
        let tag = words.next().unwrap();
        assert!(tag == b"F" || tag == b"P");
        if of == stream {
            bytes.extend_from_slice(words.next().unwrap());
            bytes.extend_from_slice(if tag == b"F" { b"\n" } else { b"" });
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHEN: &str = "2026-01-02T03:04:05.123456789Z";

    fn log_of(bytes: &[u8]) -> Vec<u8> {
        entries(WHEN, Stream::Out, bytes)
    }

    #[test]
    fn lines_become_entries() {
        let log = String::from_utf8(log_of(b"one\n\ntwo")).unwrap();
        assert_eq!(log, format!("{WHEN} stdout F one\n{WHEN} stdout F \n{WHEN} stdout P two\n"));
        assert_eq!(entries(WHEN, Stream::Err, b"x\n"), format!("{WHEN} stderr F x\n").as_bytes());
    }

    #[test]
    fn a_long_line_is_cut_into_parts_and_joins_again() {
        for length in [LONGEST - 1, LONGEST, LONGEST + 1, 2 * LONGEST, 3 * LONGEST + 5] {
            let mut line = vec![b'x'; length];
            line.push(b'\n');
            let log = log_of(&line);
            assert_eq!(bytes_of(&log, Stream::Out), line);
            let entries = log.split(|&byte| byte == b'\n').filter(|entry| !entry.is_empty());
            assert!(entries.clone().all(|entry| entry.len() <= LONGEST + 40));
            assert_eq!(entries.count(), length.div_ceil(LONGEST), "{length}");
        }
    }

    #[test]
    fn an_unfinished_line_waits_until_it_is_overdue() {
        assert_eq!(cut(b"a\nb\nrest", false), 4);
        assert_eq!(cut(b"rest", false), 0);
        assert_eq!(cut(b"rest", true), 4);
        assert_eq!(cut(&[b'x'; LONGEST], false), LONGEST);
        assert_eq!(cut(&[b'x'; 2 * LONGEST + 9], false), 2 * LONGEST);
    }
}
