//! `logs`: what a container wrote, from its log's entries.

use super::{Node, unexpected};
use crate::arguments;
use crate::client::{self, Client};
use crate::error::{Context, Error, Result};
use crate::time;
use spec::monitor::{Frame, Kind, Logs, Reply, Request};
use std::io::{self, Write};

/// Shows it, each stream on its own.
pub fn logs(node: &Node<'_>, asked: &arguments::Logs) -> Result<()> {
    let mut client = Client::ask(node.socket, &Request::Logs(request(asked)?))?;
    match client.reply()? {
        Reply::Streams { .. } => {}
        other => return Err(unexpected(&other)),
    }
    let mut entries = Entries::new(asked.timestamps);
    while let Some(Frame { kind, payload }) = client.next()? {
        match kind {
            Kind::Message => match client::reply(&payload)? {
                Reply::Done => return Ok(()),
                other => return Err(unexpected(&other)),
            },
            _ => entries.show(&payload)?,
        }
    }
    Err(Error::new("the monitor went away; ask again"))
}

fn request(asked: &arguments::Logs) -> Result<Logs> {
    let moment = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| time::moment(option, text)).transpose()
    };
    let tail = match asked.tail.as_str() {
        "all" => None,
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
}

impl Entries {
    fn new(timestamps: bool) -> Self {
        Self { timestamps, rest: Vec::new(), unfinished: [false; 2] }
    }

    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        let (out, error) = self.texts(bytes);
        io::stderr().write_all(&error).context(|| "write to standard error".into())?;
        let mut stdout = io::stdout();
        stdout.write_all(&out).and_then(|()| stdout.flush()).context(|| "write to standard output".into())
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
            let mut entries = Entries::new(false);
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
    fn each_line_has_its_time_when_asked() {
        let (out, _) = Entries::new(true).texts(LOG);
        assert_eq!(String::from_utf8(out).unwrap(), "T1 one\nT3 two three\nT5 \n");
    }
}
