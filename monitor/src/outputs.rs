//! The containers' outputs: which pipes are open, which wait for the end of a
//! line, and what of them is shown on the console. How a batch gets from a pipe
//! to a log is told in [`crate::log`].

use crate::life::Time;
use crate::log::{Desk, LogFile, Note, Outcome, PATIENCE, Source, Stream};
use spec::node::Name;
use spec::timestamp::rfc3339;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

/// Batches of one pipe in a row, before others have their turn.
const TURN: usize = 8;

/// As much as a terminal holds that it does not count, at most; a pipe counts all.
const UNCOUNTED: usize = 64 * 1024;

/// What became of a pipe's turn.
#[derive(Debug, Default)]
pub struct Turn {
    /// The pipe may hold more.
    pub more: bool,
    /// Bytes that came to the log.
    pub logged: usize,
    /// Lines for the console.
    pub lines: Vec<String>,
    /// What is said of the log, to those who are attached, too.
    pub notes: Vec<String>,
}

/// An instance whose output is to be logged.
#[derive(Debug)]
pub struct Instance {
    /// What its log is called.
    pub key: Name,
    /// The read ends of its output and error pipes, or its terminal's master alone.
    pub pipes: Vec<OwnedFd>,
    /// It has a terminal.
    pub terminal: bool,
    /// Where its output goes.
    pub log: LogFile,
    /// Its lines are shown on the console, too.
    pub console: bool,
}

#[derive(Debug)]
struct Channel {
    key: Name,
    pipes: BTreeMap<Stream, OwnedFd>,
    unfinished: BTreeMap<Stream, Time>,
    terminal: bool,
    /// Somebody looks on: an unfinished line does not wait.
    watched: bool,
    /// Who looks on has much to read yet: what it writes waits.
    held: bool,
    log: LogFile,
    console: bool,
}

/// All containers' outputs.
#[derive(Debug)]
pub struct Outputs {
    desk: Desk,
    channels: BTreeMap<usize, Channel>,
}

impl Outputs {
    /// No container's output yet, and an empty desk.
    pub fn new(desk: Desk) -> Self {
        Self { desk, channels: BTreeMap::new() }
    }

    /// Takes on an instance, under the number of its container.
    pub fn attach(&mut self, index: usize, instance: Instance) {
        let Instance { key, pipes, terminal, log, console } = instance;
        let pipes = Stream::ALL.into_iter().zip(pipes).collect();
        let unfinished = BTreeMap::new();
        let channel = Channel { key, pipes, unfinished, terminal, watched: false, held: false, log, console };
        self.channels.insert(index, channel);
    }

    /// An instance's pipes.
    pub fn pipes(&self, index: usize) -> Vec<(Stream, BorrowedFd<'_>)> {
        let pipes = self.channels.get(&index).into_iter().flat_map(|channel| &channel.pipes);
        pipes.map(|(stream, pipe)| (*stream, pipe.as_fd())).collect()
    }

    /// Somebody looks on, or does no longer.
    pub fn watch(&mut self, index: usize, watched: bool) {
        if let Some(channel) = self.channels.get_mut(&index) {
            channel.watched = watched;
            if watched {
                channel.unfinished.values_mut().for_each(|due| *due = Time::ZERO);
            }
        }
    }

    /// Somebody looks on.
    pub fn is_watched(&self, index: usize) -> bool {
        self.channels.get(&index).is_some_and(|channel| channel.watched)
    }

    /// Leaves what an instance writes in its pipes, or does so no longer.
    pub fn hold(&mut self, index: usize, held: bool) {
        if let Some(channel) = self.channels.get_mut(&index) {
            channel.held = held;
        }
    }

    /// Lets go of an instance's pipes.
    pub fn detach(&mut self, index: usize) {
        self.channels.remove(&index);
    }

    /// Logs what a pipe holds, or a good part of it; one batch, where somebody looks on.
    pub fn turn(&mut self, index: usize, stream: Stream, now: Time) -> io::Result<Turn> {
        match self.channels.get(&index) {
            Some(channel) if channel.held => Ok(Turn::default()),
            Some(channel) if channel.watched => self.some(index, stream, now, 1),
            _ => self.some(index, stream, now, TURN),
        }
    }

    /// Logs all that an instance has written until now. What it has left behind may write on for ever, so there is
    /// an end to it.
    pub fn drain(&mut self, index: usize) -> io::Result<Vec<String>> {
        let held = |pipe| sys::socket::pending(pipe).unwrap_or(0).max(UNCOUNTED);
        let pipes: Vec<_> =
            self.pipes(index).into_iter().map(|(stream, pipe)| (stream, held(pipe))).collect();
        let mut lines = Vec::new();
        for (stream, mut left) in pipes {
            while left > 0 {
                let turn = self.some(index, stream, Time::MAX, 1)?;
                lines.extend(turn.lines);
                left = if turn.more { left.saturating_sub(turn.logged) } else { 0 };
            }
        }
        Ok(lines)
    }

    /// When an unfinished line has waited long enough.
    pub fn due(&self) -> Option<Time> {
        let channels = self.channels.values().filter(|channel| !channel.held);
        channels.flat_map(|channel| channel.unfinished.values()).min().copied()
    }

    /// The pipes whose unfinished line has waited long enough.
    pub fn overdue(&self, now: Time) -> Vec<(usize, Stream)> {
        let channels = self.channels.iter().filter(|(_, channel)| !channel.held);
        let lines = channels.flat_map(|(index, channel)| {
            channel.unfinished.iter().map(move |(stream, due)| (*index, *stream, *due))
        });
        lines.filter(|(_, _, due)| *due <= now).map(|(index, stream, _)| (index, stream)).collect()
    }

    fn some(&mut self, index: usize, stream: Stream, now: Time, most: usize) -> io::Result<Turn> {
        let mut turn = Turn::default();
        let Some(channel) = self.channels.get_mut(&index) else {
            return Ok(turn);
        };
        let Some(pipe) = channel.pipes.get(&stream) else {
            return Ok(turn);
        };
        let name = &channel.key;
        let source = Source { name, stream, pipe: pipe.as_fd(), terminal: channel.terminal };
        for _ in 0..most {
            let waited = channel.unfinished.get(&stream).is_some_and(|due| *due <= now);
            let overdue = now == Time::MAX || channel.watched || waited;
            let stamp = rfc3339(SystemTime::now());
            match self.desk.pass(source, &mut channel.log, &stamp, overdue)? {
                Outcome::Empty | Outcome::Closed => {
                    channel.unfinished.remove(&stream);
                    return Ok(turn);
                }
                Outcome::Unfinished => {
                    channel.unfinished.entry(stream).or_insert(now + PATIENCE);
                    return Ok(turn);
                }
                Outcome::Batch(note) => {
                    channel.unfinished.remove(&stream);
                    turn.logged += self.desk.batch().len();
                    let note = note.map(|note| note_line(&note));
                    turn.lines.extend(note.iter().map(|note| format!("{name}: {note}")));
                    turn.notes.extend(note);
                    if channel.console {
                        turn.lines.extend(console_lines(name, self.desk.batch()));
                    }
                }
            }
        }
        turn.more = true;
        Ok(turn)
    }
}

/// What is said of a log, after the container's name.
pub fn note_line(note: &Note) -> String {
    match note {
        Note::Dropping(reason) => format!("output is being dropped: {reason}"),
        Note::Dropped(bytes) => format!("output is logged again; {bytes} bytes of it were dropped"),
    }
}

/// A batch as the console shows it: each line behind the container's name,
/// without what would move a terminal's cursor.
fn console_lines(name: &Name, batch: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(batch);
    let shown = |line: &str| -> String {
        line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
    };
    text.lines().map(|line| format!("{name}: {}", shown(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::pipe;
    use std::io::{PipeWriter, Write};
    use std::path::PathBuf;
    use std::time::Duration;

    struct World {
        folder: PathBuf,
        outputs: Outputs,
        out: PipeWriter,
        err: PipeWriter,
    }

    fn world(test: &str) -> World {
        let folder = std::env::temp_dir().join(format!("skerry-outputs-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (desk, out, err) = (pipe().unwrap(), std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let mut outputs = Outputs::new(Desk::open(desk.0, desk.1, &folder.join("mark")).unwrap());
        let log = LogFile::new(folder.join("web.log"), 1 << 20);
        let (key, pipes) = ("web".parse().unwrap(), vec![out.0.into(), err.0.into()]);
        outputs.attach(0, Instance { key, pipes, terminal: false, log, console: true });
        World { folder, outputs, out: out.1, err: err.1 }
    }

    fn at(milliseconds: u64) -> Time {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_unfinished_line_is_logged_once_it_has_waited() {
        let mut world = world("patience");
        world.out.write_all(b"password: ").unwrap();
        let turn = world.outputs.turn(0, Stream::Out, at(1000)).unwrap();
        assert!(turn.lines.is_empty() && !turn.more);
        assert_eq!(world.outputs.due(), Some(at(1500)));
        assert!(world.outputs.overdue(at(1499)).is_empty());
        assert_eq!(world.outputs.overdue(at(1500)), [(0, Stream::Out)]);
        let turn = world.outputs.turn(0, Stream::Out, at(1500)).unwrap();
        assert_eq!(turn.lines, ["web: password: "]);
        assert_eq!(world.outputs.due(), None);
        std::fs::remove_dir_all(world.folder).unwrap();
    }

    #[test]
    fn an_unfinished_line_is_logged_at_once_when_somebody_looks_on() {
        let mut world = world("watched");
        world.outputs.watch(0, true);
        world.out.write_all(b"password: ").unwrap();
        let turn = world.outputs.turn(0, Stream::Out, at(1000)).unwrap();
        assert_eq!((turn.lines, turn.logged), (vec!["web: password: ".to_owned()], 10));
        world.outputs.watch(0, false);
        world.out.write_all(b"more").unwrap();
        assert_eq!(world.outputs.turn(0, Stream::Out, at(1000)).unwrap().logged, 0);
        std::fs::remove_dir_all(world.folder).unwrap();
    }

    #[test]
    fn a_chatty_pipe_gives_way_to_others() {
        let mut world = world("turns");
        let mut out = world.out.try_clone().unwrap();
        let writer = std::thread::spawn(move || {
            // More than eight batches of at most 64 KiB.
            for _ in 0..40_000 {
                out.write_all(b"a line of some length, again and again\n").unwrap();
            }
        });
        let mut lines = 0;
        while lines < 40_000 {
            let turn = world.outputs.turn(0, Stream::Out, at(0)).unwrap();
            assert!(turn.lines.len() <= TURN * 64 * 1024 / 39);
            lines += turn.lines.len();
        }
        writer.join().unwrap();
        assert_eq!(lines, 40_000);
        std::fs::remove_dir_all(world.folder).unwrap();
    }

    #[test]
    fn the_last_words_are_drained_from_both_pipes() {
        let mut world = world("drain");
        world.out.write_all(b"out\nbye").unwrap();
        world.err.write_all(b"\x1b[31merr\n").unwrap();
        let lines = world.outputs.drain(0).unwrap();
        assert_eq!(lines, ["web: out", "web: bye", "web: \u{fffd}[31merr"]);
        std::fs::remove_dir_all(world.folder).unwrap();
    }

    #[test]
    fn who_writes_on_for_ever_is_not_waited_for() {
        const LINE: &str = "a line of some length, again and again\n";
        let World { folder, mut outputs, mut out, err } = world("endless");
        let lines = LINE.repeat(1000);
        out.write_all(lines.as_bytes()).unwrap();
        // For ever is 40 MB here, or until nobody reads any more.
        let writer = std::thread::spawn(move || (0..1000).all(|_| out.write_all(lines.as_bytes()).is_ok()));
        drop(err);
        let lines = outputs.drain(0).unwrap().len();
        assert!(lines > 0 && lines * LINE.len() <= UNCOUNTED + 64 * 1024, "{lines} lines");
        drop(outputs);
        writer.join().unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
