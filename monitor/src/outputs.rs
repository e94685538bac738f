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

/// What became of a pipe's turn.
#[derive(Debug, Default)]
pub struct Turn {
    /// The pipe may hold more.
    pub more: bool,
    /// Lines for the console.
    pub lines: Vec<String>,
}

#[derive(Debug)]
struct Channel {
    pipes: BTreeMap<Stream, OwnedFd>,
    unfinished: BTreeMap<Stream, Time>,
    log: LogFile,
    console: bool,
}

/// All containers' outputs.
#[derive(Debug)]
pub struct Outputs {
    desk: Desk,
    channels: BTreeMap<Name, Channel>,
}

impl Outputs {
    /// No container's output yet, and an empty desk.
    pub fn new(desk: Desk) -> Self {
        Self { desk, channels: BTreeMap::new() }
    }

    /// Takes on an instance's pipes.
    pub fn attach(&mut self, name: &Name, pipes: Vec<OwnedFd>, log: LogFile, console: bool) {
        let pipes = Stream::ALL.into_iter().zip(pipes).collect();
        self.channels.insert(name.clone(), Channel { pipes, unfinished: BTreeMap::new(), log, console });
    }

    /// An instance's pipes.
    pub fn pipes(&self, name: &Name) -> Vec<(Stream, BorrowedFd<'_>)> {
        let pipes = self.channels.get(name).into_iter().flat_map(|channel| &channel.pipes);
        pipes.map(|(stream, pipe)| (*stream, pipe.as_fd())).collect()
    }

    /// Lets go of an instance's pipes.
    pub fn detach(&mut self, name: &Name) {
        self.channels.remove(name);
    }

    /// Logs what a pipe holds, or a good part of it.
    pub fn turn(&mut self, name: &Name, stream: Stream, now: Time) -> io::Result<Turn> {
        self.some(name, stream, now, TURN)
    }

    /// Logs all that an instance has written; it writes no more.
    pub fn drain(&mut self, name: &Name) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for stream in Stream::ALL {
            lines.extend(self.some(name, stream, Time::MAX, usize::MAX)?.lines);
        }
        Ok(lines)
    }

    /// When an unfinished line has waited long enough.
    pub fn due(&self) -> Option<Time> {
        self.channels.values().flat_map(|channel| channel.unfinished.values()).min().copied()
    }

    /// The pipes whose unfinished line has waited long enough.
    pub fn overdue(&self, now: Time) -> Vec<(Name, Stream)> {
        let lines = self.channels.iter().flat_map(|(name, channel)| {
            channel.unfinished.iter().map(move |(stream, due)| (name, *stream, *due))
        });
        lines.filter(|(_, _, due)| *due <= now).map(|(name, stream, _)| (name.clone(), stream)).collect()
    }

    fn some(&mut self, name: &Name, stream: Stream, now: Time, most: usize) -> io::Result<Turn> {
        let mut turn = Turn::default();
        let Some(channel) = self.channels.get_mut(name) else {
            return Ok(turn);
        };
        let Some(pipe) = channel.pipes.get(&stream) else {
            return Ok(turn);
        };
        for _ in 0..most {
            let overdue = now == Time::MAX || channel.unfinished.get(&stream).is_some_and(|due| *due <= now);
            let source = Source { name, stream, pipe: pipe.as_fd() };
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
                    turn.lines.extend(note.map(|note| format!("{name}: {}", note_line(&note))));
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
        name: Name,
    }

    fn world(test: &str) -> World {
        let folder = std::env::temp_dir().join(format!("skerry-outputs-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (desk, out, err) = (pipe().unwrap(), std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let mut outputs = Outputs::new(Desk::open(desk.0, desk.1, &folder.join("mark")).unwrap());
        let name: Name = "web".parse().unwrap();
        let log = LogFile::new(folder.join("web.log"), 1 << 20);
        outputs.attach(&name, vec![out.0.into(), err.0.into()], log, true);
        World { folder, outputs, out: out.1, err: err.1, name }
    }

    fn at(milliseconds: u64) -> Time {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn an_unfinished_line_is_logged_once_it_has_waited() {
        let mut world = world("patience");
        world.out.write_all(b"password: ").unwrap();
        let turn = world.outputs.turn(&world.name, Stream::Out, at(1000)).unwrap();
        assert!(turn.lines.is_empty() && !turn.more);
        assert_eq!(world.outputs.due(), Some(at(1500)));
        assert!(world.outputs.overdue(at(1499)).is_empty());
        assert_eq!(world.outputs.overdue(at(1500)), [(world.name.clone(), Stream::Out)]);
        let turn = world.outputs.turn(&world.name, Stream::Out, at(1500)).unwrap();
        assert_eq!(turn.lines, ["web: password: "]);
        assert_eq!(world.outputs.due(), None);
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
            let turn = world.outputs.turn(&world.name, Stream::Out, at(0)).unwrap();
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
        let lines = world.outputs.drain(&world.name).unwrap();
        assert_eq!(lines, ["web: out", "web: bye", "web: \u{fffd}[31merr"]);
        std::fs::remove_dir_all(world.folder).unwrap();
    }
}
