use super::super::cri::bytes_of;
use super::super::file::predecessor;
use super::*;
use std::io::Write;
use std::path::PathBuf;

const WHEN: &str = "2026-01-02T03:04:05.123456789Z";

/// What outlives a killed monitor: PID 1's descriptors and the files.
struct World {
    folder: PathBuf,
    desk: (OwnedFd, OwnedFd),
    pipe: OwnedFd,
    container: File,
    terminal: bool,
    name: Name,
    limit: u64,
}

impl World {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skerry-desk-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (reader, writer) = pipe().unwrap();
        let (name, limit) = ("web".parse().unwrap(), 1 << 20);
        let desk = pipe().unwrap();
        Self { folder, desk, pipe: reader, container: writer.into(), terminal: false, name, limit }
    }

    /// The container's output is a terminal that changes nothing.
    fn with_terminal(test: &str) -> Self {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_RDWR)).unwrap();
        let peer = File::from(sys::terminal::peer(master.as_fd()).unwrap());
        let raw = std::process::Command::new("stty").arg("raw").stdin(peer.try_clone().unwrap()).status();
        assert!(raw.unwrap().success());
        let mut world = Self::new(test);
        (world.pipe, world.container, world.terminal) = (master.into(), peer, true);
        world
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("web.log")
    }

    fn open_log(&self) -> LogFile {
        LogFile::new(self.log_path(), self.limit)
    }

    /// A monitor starts: it fetches duplicates of the descriptors.
    fn start(&self) -> Desk {
        let (reader, writer) = (self.desk.0.try_clone().unwrap(), self.desk.1.try_clone().unwrap());
        Desk::open(reader, writer, &self.folder.join("mark")).unwrap()
    }

    fn restart(&self) -> Desk {
        let mut desk = self.start();
        desk.resume(|_| self.open_log()).unwrap();
        desk
    }

    fn source(&self) -> Source<'_> {
        Source { name: &self.name, stream: Stream::Out, pipe: self.pipe.as_fd(), terminal: self.terminal }
    }

    /// Logs all there is, to the last byte.
    fn drain(&self, desk: &mut Desk) {
        let mut log = self.open_log();
        while let Outcome::Batch(note) = desk.pass(self.source(), &mut log, WHEN, true).unwrap() {
            assert_eq!(note, None);
        }
    }

    /// The programs end. A process that another test starts may hold their output a moment longer.
    fn hang_up(&mut self) {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        self.container = File::open("/dev/null").unwrap();
        let mut hung_up = [PollFd::new(self.pipe.as_fd(), PollFlags::empty())];
        assert_eq!(
            poll(&mut hung_up, PollTimeout::from(60_000_u16)),
            Ok(1),
            "somebody still holds the output"
        );
    }

    /// The bytes that are in the log and the one before it.
    fn logged(&self) -> Vec<u8> {
        let log = self.log_path();
        let mut text = std::fs::read(predecessor(&log)).unwrap_or_default();
        text.extend(std::fs::read(log).unwrap());
        bytes_of(&text, Stream::Out)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Steps of a batch before `Done`.
const STEPS: usize = 5;

/// Does this many steps of a batch, then is killed.
fn killed_after(steps: usize, world: &World, mut desk: Desk, when: &str) {
    let mut log = world.open_log();
    let mut step = Step::Look;
    for _ in 0..steps {
        step = desk.advance(step, world.source(), &mut log, when, false).unwrap();
    }
    assert_eq!(matches!(step, Step::Done(_)), steps == STEPS);
}

#[test]
fn what_a_container_writes_is_logged_and_gone_from_the_pipe() {
    let mut world = World::new("plain");
    world.container.write_all(b"one\ntwo\nrest").unwrap();
    let mut desk = world.start();
    let mut log = world.open_log();
    let pass =
        |desk: &mut Desk, log: &mut LogFile, overdue| desk.pass(world.source(), log, WHEN, overdue).unwrap();
    assert_eq!(pass(&mut desk, &mut log, false), Outcome::Batch(None));
    assert_eq!(desk.batch(), b"one\ntwo\n");
    assert_eq!(pass(&mut desk, &mut log, false), Outcome::Unfinished);
    assert_eq!(pass(&mut desk, &mut log, true), Outcome::Batch(None));
    assert_eq!(pass(&mut desk, &mut log, true), Outcome::Empty);
    assert_eq!(world.logged(), b"one\ntwo\nrest");
}

#[test]
fn a_pipe_that_nobody_writes_is_closed_when_it_is_empty() {
    let mut world = World::new("closed");
    world.container.write_all(b"last words").unwrap();
    world.hang_up();
    let mut desk = world.start();
    let mut log = world.open_log();
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, false).unwrap(), Outcome::Unfinished);
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, true).unwrap(), Outcome::Batch(None));
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, true).unwrap(), Outcome::Closed);
}

/// The same line over and over, so that a text alone never tells which one it is.
#[test]
fn killed_after_any_step_nothing_is_lost_and_nothing_repeated() {
    for steps in 0..=STEPS {
        for rotating in [false, true] {
            let mut world = World::new(&format!("steps-{steps}-{rotating}"));
            world.container.write_all(b"tick\ntick\n").unwrap();
            world.drain(&mut world.restart());
            if rotating {
                world.limit = 1;
            }
            world.container.write_all(b"tick\ntick\ntick\nunfinished").unwrap();
            killed_after(steps, &world, world.restart(), WHEN);
            world.container.write_all(b" no more\ntick\n").unwrap();
            world.limit = 1 << 20;
            world.drain(&mut world.restart());
            let all = "tick\ntick\ntick\ntick\ntick\nunfinished no more\ntick\n";
            assert_eq!(String::from_utf8(world.logged()).unwrap(), all, "{steps} steps, {rotating}");
        }
    }
}

#[test]
fn killed_again_and_again_at_the_same_batch_it_is_logged_once() {
    let mut world = World::new("again");
    world.container.write_all(b"tick\ntick\n").unwrap();
    killed_after(3, &world, world.start(), WHEN);
    for _ in 0..3 {
        // Its successors die before they have finished it.
        drop(world.start());
    }
    world.drain(&mut world.restart());
    assert_eq!(world.logged(), b"tick\ntick\n");
}

#[test]
fn killed_within_the_write_only_the_rest_is_written() {
    let batch = b"tick\ntick\ntick\n";
    let entries = cri::entries(WHEN, Stream::Out, batch);
    for torn in 0..=entries.len() {
        let mut world = World::new(&format!("torn-{torn}"));
        world.container.write_all(b"before\n").unwrap();
        world.drain(&mut world.restart());
        world.container.write_all(batch).unwrap();
        killed_after(3, &world, world.start(), WHEN);
        let mut log = OpenOptions::new().append(true).open(world.log_path()).unwrap();
        log.write_all(&entries[..torn]).unwrap();
        world.drain(&mut world.restart());
        assert_eq!(world.logged(), b"before\ntick\ntick\ntick\n", "{torn} bytes");
    }
}

#[test]
fn a_full_pipe_of_long_lines_comes_through() {
    let mut world = World::new("full");
    let mut text = vec![b'x'; 40_000];
    text.push(b'\n');
    text.extend(vec![b'y'; 20_000]);
    world.container.write_all(&text).unwrap();
    killed_after(3, &world, world.start(), WHEN);
    world.drain(&mut world.restart());
    assert_eq!(world.logged(), text);
}

#[test]
fn a_log_that_cannot_be_written_drops_whole_batches_and_says_so() {
    let mut world = World::new("no-space");
    let mut desk = world.start();
    let path = std::path::PathBuf::from("/dev/full");
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    let mut full = LogFile::opened(path, 1 << 20, file);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        world.container.write_all(b"lost\n").unwrap();
        outcomes.push(desk.pass(world.source(), &mut full, WHEN, false).unwrap());
    }
    let [Outcome::Batch(Some(Note::Dropping(reason))), Outcome::Batch(None)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert!(reason.contains("/dev/full") && reason.contains("no space left"), "{reason}");
    assert_eq!(full.written(), Some(10));
    assert_eq!(full.written(), None);
    // The container's pipe is empty: nothing holds it up.
    assert_eq!(desk.pass(world.source(), &mut full, WHEN, false).unwrap(), Outcome::Empty);
}

#[test]
fn a_log_is_rotated_once_and_bounded() {
    let mut world = World::new("rotate");
    world.limit = 1000;
    let mut desk = world.start();
    let mut log = world.open_log();
    for number in 0..200 {
        writeln!(world.container, "line {number}").unwrap();
        desk.pass(world.source(), &mut log, WHEN, false).unwrap();
        assert!(std::fs::metadata(world.log_path()).unwrap().len() <= 1000);
    }
    assert!(std::fs::metadata(predecessor(&world.log_path())).unwrap().len() > 900);
    let kept = String::from_utf8(world.logged()).unwrap();
    let first: usize = kept.split_whitespace().nth(1).unwrap().parse().unwrap();
    let expected: String = (first..200).map(|number| format!("line {number}\n")).collect();
    assert_eq!(kept, expected);
}

#[test]
fn a_log_that_somebody_removed_is_made_anew() {
    let mut world = World::new("removed");
    let mut desk = world.start();
    let mut log = world.open_log();
    for _ in 0..2 {
        world.container.write_all(b"here\n").unwrap();
        desk.pass(world.source(), &mut log, WHEN, false).unwrap();
        assert_eq!(world.logged(), b"here\n");
        std::fs::remove_file(world.log_path()).unwrap();
    }
}

#[test]
fn a_mark_reads_back_as_it_was_written() {
    let mark = Mark { name: "web".parse().unwrap(), stream: Stream::Err, stamp: WHEN.into(), offset: 17 };
    assert_eq!(mark.to_string().parse(), Ok(mark));
    assert!("".parse::<Mark>().is_err());
}

#[test]
fn a_terminal_loses_nothing_and_repeats_nothing_whenever_the_monitor_is_killed() {
    for steps in 0..=STEPS {
        let mut world = World::with_terminal(&format!("terminal-{steps}"));
        let mut expected = Vec::new();
        for round in 0..6 {
            let line = format!("round {round}: the same line of a program on a terminal\nunfin");
            world.container.write_all(line.as_bytes()).unwrap();
            expected.extend(line.as_bytes());
            killed_after(steps, &world, world.restart(), WHEN);
        }
        world.drain(&mut world.restart());
        assert_eq!(
            String::from_utf8_lossy(&world.logged()),
            String::from_utf8_lossy(&expected),
            "killed after {steps} steps"
        );
    }
}

#[test]
fn a_terminal_whose_programs_are_gone_is_closed() {
    let mut world = World::with_terminal("terminal-closed");
    let mut desk = world.restart();
    let mut log = world.open_log();
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, false).unwrap(), Outcome::Empty);
    world.container.write_all(b"bye").unwrap();
    world.hang_up();
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, false).unwrap(), Outcome::Batch(None));
    assert_eq!(desk.pass(world.source(), &mut log, WHEN, false).unwrap(), Outcome::Closed);
    assert_eq!(world.logged(), b"bye");
}

#[test]
fn a_batch_whose_mark_cannot_be_made_has_not_that_of_the_one_before() {
    let mut world = World::new("unmarked");
    let mut desk = world.start();
    world.container.write_all(b"first\n").unwrap();
    world.drain(&mut desk);
    assert!(desk.read_mark().is_ok());
    world.container.write_all(b"second\n").unwrap();
    std::fs::remove_file(world.log_path()).unwrap();
    std::fs::create_dir(world.log_path()).unwrap();
    let mut log = world.open_log();
    let looked = desk.advance(Step::Look, world.source(), &mut log, WHEN, true).unwrap();
    let marked = desk.advance(looked, world.source(), &mut log, WHEN, true).unwrap();
    assert!(matches!(marked, Step::Take(_, Err(_))), "{marked:?}");
    assert!(desk.read_mark().is_err());
}
