//! `logs`: what a container wrote, from its log's entries.

use super::{Node, unexpected};
use crate::arguments;
use crate::client::{self, Client};
use crate::error::{Error, Result, written};
use crate::time;
use spec::monitor::{Frame, Kind, Logs, Reply, Request};
use std::io::{self, Write};

/// Shows it, each stream on its own.
pub fn logs(node: &Node<'_>, asked: &arguments::Logs) -> Result<()> {
    let mut request = request(asked)?;
    let mut entries = Entries::new(asked.timestamps, request.tail.is_some());
    let mut client = Client::ask(node.socket, &Request::Logs(request.clone()))?;
    let mut reply = client.reply()?;
    loop {
        if !matches!(reply, Reply::Streams { .. }) {
            return Err(unexpected(&reply));
        }
        if read(&mut client, &mut entries)? {
            return Ok(());
        }
        // The monitor was killed: the one that comes back is asked for the rest.
        if let Some(last) = entries.begin_again() {
            (request.tail, request.since) = (None, Some(last));
        }
        (client, reply) = Client::insist(node.socket, &Request::Logs(request.clone()))?;
    }
}

/// Shows what comes; says whether that was all.
fn read(client: &mut Client, entries: &mut Entries) -> Result<bool> {
    while let Some(Frame { kind, payload }) = client.next()? {
        match kind {
            Kind::Message => match client::reply(&payload)? {
                Reply::Done => return Ok(true),
                other => return Err(unexpected(&other)),
            },
            _ => entries.show(&payload)?,
        }
    }
    Ok(false)
}

fn request(asked: &arguments::Logs) -> Result<Logs> {
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| time::moment(option, text)).transpose()
    };
    let tail = match asked.tail.as_str() {
        "all" => None,
        // As Docker takes it.
        text if text.parse().is_ok_and(|lines: i64| lines < 0) => None,
        text => Some(
            text.parse()
                .map_err(|_| Error::new(format!("--tail {text:?}: neither a number of lines nor \"all\"")))?,
        ),
    };
    Ok(Logs {
        name: asked.container.clone(),
        follow: asked.follow,
        tail,
        since: moment("--since", &asked.since)?,
        until: moment("--until", &asked.until)?,
    })
}

/// Entries, that come in pieces of any size, and what they say.
struct Entries {
    timestamps: bool,
    rest: Vec<u8>,
    /// Of standard output and error: its line goes on.
    unfinished: [bool; 2],
    /// The last time, and how many entries of it have come: what the monitor has read at once has one.
    last: (Vec<u8>, u64),
    /// The entries of that time began before those that were asked for.
    cut: bool,
    /// So many of that time have come before, and come again.
    again: u64,
}

impl Entries {
    fn new(timestamps: bool, cut: bool) -> Self {
        let (rest, last) = (Vec::new(), (Vec::new(), 0));
        Self { timestamps, rest, unfinished: [false; 2], last, cut, again: 0 }
    }

    /// The entries since the last time, which it gives, come once more; none when there were none.
    fn begin_again(&mut self) -> Option<u64> {
        self.rest.clear();
        let (stamp, count) = &self.last;
        self.again = if self.cut { u64::MAX } else { *count };
        spec::timestamp::parse(std::str::from_utf8(stamp).ok()?)
    }

    /// Whether an entry of this time has not come before.
    fn is_new(&mut self, stamp: &[u8]) -> bool {
        if self.last.0 != stamp {
            self.cut &= self.last.1 == 0;
            (self.last, self.again) = ((stamp.to_owned(), 0), 0);
        }
        if self.again > 0 {
            self.again -= 1;
            return false;
        }
        self.last.1 += 1;
        true
    }

    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let (out, error) = self.texts(bytes);
        written(io::stderr().write_all(&error), "standard error")?;
        let mut stdout = io::stdout();
        written(stdout.write_all(&out).and_then(|()| stdout.flush()), "standard output")
    }

    /// What the two streams said.
    fn texts(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.rest.extend(bytes);
        let end = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |place| place + 1);
        let rest = self.rest.split_off(end);
        let whole = std::mem::replace(&mut self.rest, rest);
        let mut texts = (Vec::new(), Vec::new());
        for line in whole.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let mut words = line.splitn(4, |&byte| byte == b' ');
            let (Some(stamp), Some(stream), Some(tag), Some(text)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            if !self.is_new(stamp) {
                continue;
            }
            let (to, place) = if stream == b"stderr" { (&mut texts.1, 1) } else { (&mut texts.0, 0) };
            if self.timestamps && !self.unfinished[place] {
                to.extend(stamp);
                to.push(b' ');
            }
            to.extend(text);
            self.unfinished[place] = tag == b"P";
            to.extend((tag != b"P").then_some(b'\n'));
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &[u8] =
        b"T1 stdout F one\nT2 stderr F wrong\nT3 stdout P tw\nT4 stdout F o three\nT5 stdout F \n";

    #[test]
    fn entries_give_back_the_programs_bytes_however_they_are_cut() {
        for piece in [1, 5, 17, LOG.len()] {
            let mut entries = Entries::new(false, false);
            let mut said = (Vec::new(), Vec::new());
            for bytes in LOG.chunks(piece) {
                let (out, error) = entries.texts(bytes);
                said.0.extend(out);
                said.1.extend(error);
            }
            assert_eq!(said, (b"one\ntwo three\n\n".to_vec(), b"wrong\n".to_vec()), "in pieces of {piece}");
        }
    }

    #[test]
    fn what_has_come_is_not_shown_again_after_the_monitor_was_killed() {
        let time = |second: u8| format!("2026-01-02T03:04:0{second}.000000000Z");
        let entry = |second: u8, text: &str| format!("{} stdout F {text}\n", time(second)).into_bytes();
        let (first, second) =
            ([entry(1, "a"), entry(2, "b")].concat(), [entry(2, "b"), entry(2, "b")].concat());
        let third = [second.clone(), entry(3, "c")].concat();
        let mut entries = Entries::new(false, false);
        assert_eq!(entries.texts(&[first, b"2026-01".to_vec()].concat()).0, b"a\nb\n");
        assert_eq!(entries.begin_again(), spec::timestamp::parse(&time(2)));
        assert_eq!(entries.texts(&third).0, b"b\nc\n");
        // The last lines alone: how many there were before them is not known.
        let mut entries = Entries::new(false, true);
        assert_eq!(entries.texts(&entry(2, "b")).0, b"b\n");
        entries.begin_again();
        assert_eq!(entries.texts(&third).0, b"c\n");
        assert!(Entries::new(false, true).begin_again().is_none());
    }

    #[test]
    fn each_line_has_its_time_when_asked() {
        let (out, _) = Entries::new(true, false).texts(LOG);
        assert_eq!(String::from_utf8(out).unwrap(), "T1 one\nT3 two three\nT5 \n");
    }
}
