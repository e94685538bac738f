//! What is made of a log's entries (`TIME STREAM F|P TEXT`, the container runtime interface's format):
//! what a person reads.

use super::options::Options;
use spec::timestamp;

/// Makes output of entries, in order.
#[derive(Debug)]
pub struct Shape {
    since: Option<u64>,
    stream: Option<&'static str>,
    timestamps: bool,
    /// Bytes that may come still.
    left: Option<u64>,
    /// The last entry did not end its line.
    amid: bool,
}

/// An entry.
struct Entry<'a> {
    time: &'a str,
    stream: &'a str,
    ends: bool,
    text: &'a [u8],
}

impl Shape {
    /// As these options have it.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let Options { since, stream, timestamps, limit, .. } = *options;
        Self { since, stream, timestamps, left: limit, amid: false }
    }

    /// Whether nothing may come any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// The output of some whole entries. What is no entry is left out.
    pub fn make(&mut self, entries: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(entries.len());
        for line in entries.split(|&byte| byte == b'\n') {
            if let Some(entry) = parse(line).filter(|entry| self.is_wanted(entry)) {
                self.add(&mut out, &entry);
            }
        }
        if let Some(left) = &mut self.left {
            out.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= out.len() as u64;
        }
        out
    }

    fn is_wanted(&self, entry: &Entry<'_>) -> bool {
        let early = |since| timestamp::parse(entry.time).is_some_and(|time| time < since);
        !self.since.is_some_and(early) && self.stream.is_none_or(|stream| stream == entry.stream)
    }

    fn add(&mut self, out: &mut Vec<u8>, entry: &Entry<'_>) {
        if self.timestamps && !self.amid {
            out.extend(entry.time.bytes());
            out.push(b' ');
        }
        out.extend_from_slice(entry.text);
        if entry.ends {
            out.push(b'\n');
        }
        self.amid = !entry.ends;
    }
}

fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let mut words = line.splitn(4, |&byte| byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let (time, stream, tags) = (word()?, word()?, word()?);
    let text = words.next().unwrap_or_default();
    let ends = tags.split(':').next() != Some("P");
    (!time.is_empty() && matches!(stream, "stdout" | "stderr")).then_some(Entry { time, stream, ends, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] = b"2026-01-02T03:04:05.000000001Z stdout F one\n\
        2026-01-02T03:04:06.000000000Z stderr P two \n\
        nonsense\n\
        2026-01-02T03:04:07.000000000Z stderr F three\n\
        2026-01-02T03:04:08.000000000Z stdout F \n";

    fn made(options: &Options) -> String {
        String::from_utf8(Shape::new(options).make(LOG)).unwrap()
    }

    #[test]
    fn entries_become_the_programs_lines() {
        assert_eq!(made(&Options::default()), "one\ntwo three\n\n");
        let stamped = "2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:04:06.000000000Z two three\n\
            2026-01-02T03:04:08.000000000Z \n";
        assert_eq!(made(&Options { timestamps: true, ..Options::default() }), stamped);
        let since = timestamp::parse("2026-01-02T03:04:07Z");
        assert_eq!(made(&Options { since, ..Options::default() }), "three\n\n");
        assert_eq!(made(&Options { stream: Some("stdout"), ..Options::default() }), "one\n\n");
    }

    #[test]
    fn no_more_bytes_come_than_are_asked_for() {
        let mut shape = Shape::new(&Options { limit: Some(6), ..Options::default() });
        let (first, second) = LOG.split_at(48);
        assert_eq!(shape.make(first), b"one\n");
        assert!(!shape.is_full());
        assert_eq!(shape.make(second), b"tw");
        assert!(shape.is_full());
        assert!(shape.make(LOG).is_empty());
    }
}
