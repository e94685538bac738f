//! A program's streams, against a monitor of the test that goes away at the moment that matters.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use serde::de::DeserializeOwned;
use serde_json::Value;
use spec::monitor::{Frame, Happening, Hello, Kind, Object, Reader, Reply, VERSION};
use std::io::{PipeReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The longest that anything here takes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A monitor with one client, gone with the test.
struct Monitor {
    folder: PathBuf,
    listener: UnixListener,
}

impl Monitor {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("skerry-streams-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("socket")).unwrap();
        Self { folder, listener }
    }

    /// `skerry exec -i a cat` with this input.
    fn exec(&self, stdin: PipeReader) -> Child {
        self.skerry("exec -i a cat").stdin(stdin).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn skerry(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skerry"));
        command.arg("--socket").arg(self.folder.join("socket")).args(words.split(' '));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Takes the client's next connection, and says that streams follow its request, which it gives.
    fn accept(&self) -> (Connection, Value) {
        let (mut connection, request) = self.greet();
        connection.say(&Reply::Streams { session: Some("one".into()), tty: false });
        (connection, request)
    }

    fn greet(&self) -> (Connection, Value) {
        // A client that has died comes never.
        let mut events = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        assert!(poll(&mut events, PollTimeout::try_from(PATIENCE).unwrap()).unwrap() > 0, "no client comes");
        let stream = self.listener.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Connection { stream, reader: Reader::default() };
        let hello: Hello = connection.hear();
        connection.say(&Hello { version: hello.version, program: "test".into() });
        let request = connection.hear();
        assert_eq!(hello.version, VERSION);
        (connection, request)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Connection {
    stream: UnixStream,
    reader: Reader,
}

impl Connection {
    fn say(&mut self, message: &impl serde::Serialize) {
        self.stream.write_all(&Frame::encode(Kind::Message, &serde_json::to_vec(message).unwrap())).unwrap();
    }

    fn frame(&mut self) -> Frame {
        loop {
            if let Some(frame) = self.reader.frame().unwrap() {
                return frame;
            }
            let mut bytes = [0; 4096];
            let length = self.stream.read(&mut bytes).unwrap();
            assert_ne!(length, 0, "the client left");
            self.reader.push(&bytes[..length]);
        }
    }

    fn hear<T: DeserializeOwned>(&mut self) -> T {
        let frame = self.frame();
        assert_eq!(frame.kind, Kind::Message);
        serde_json::from_slice(&frame.payload).unwrap()
    }
}

const ENDED: Reply = Reply::Exited { status: 7, out_of_memory: false, error: None };

#[track_caller]
fn ends_with_7(client: Child) {
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(7), ""));
}

/// The client has read all that was typed.
fn await_empty(pipe: &PipeReader) {
    while sys::socket::pending(pipe.as_fd()).unwrap() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_typed_when_the_program_has_ended_hides_no_status() {
    let monitor = Monitor::new("ended");
    let (stdin, mut keys) = std::io::pipe().unwrap();
    let client = monitor.exec(stdin.try_clone().unwrap());
    let (mut connection, request) = monitor.accept();
    assert_eq!(request["request"], "exec");
    connection.stream.shutdown(Shutdown::Read).unwrap();
    keys.write_all(b"go\n").unwrap();
    await_empty(&stdin);
    connection.say(&ENDED);
    drop(connection);
    ends_with_7(client);
}

#[test]
fn streams_that_get_another_name_are_counted_from_there() {
    let monitor = Monitor::new("named");
    let (stdin, _keys) = std::io::pipe().unwrap();
    let client = monitor.exec(stdin);
    let (mut connection, _) = monitor.accept();
    let output = |connection: &mut Connection| {
        connection.stream.write_all(&Frame::encode(Kind::Output, b"four")).unwrap();
    };
    output(&mut connection);
    connection.say(&Reply::Streams { session: Some("two".into()), tty: false });
    output(&mut connection);
    drop(connection);
    let (mut connection, request) = monitor.accept();
    assert_eq!((&request["session"], &request["received"]), (&"two".into(), &4.into()));
    connection.say(&ENDED);
    ends_with_7(client);
}

#[test]
fn what_is_typed_when_the_monitor_is_killed_reaches_the_next() {
    let monitor = Monitor::new("killed");
    let (stdin, mut keys) = std::io::pipe().unwrap();
    let client = monitor.exec(stdin.try_clone().unwrap());
    let (connection, _) = monitor.accept();
    connection.stream.shutdown(Shutdown::Read).unwrap();
    keys.write_all(b"go\n").unwrap();
    await_empty(&stdin);
    drop(connection);
    let (mut connection, request) = monitor.accept();
    assert_eq!((&request["request"], &request["session"]), (&"resume".into(), &"one".into()));
    assert_eq!(connection.frame(), Frame { kind: Kind::Input, payload: b"go\n".to_vec() });
    drop(keys);
    assert_eq!(connection.hear::<Value>()["request"], "input-ended");
    // It is killed once more: that the input has ended is said again.
    drop(connection);
    let (mut connection, _) = monitor.accept();
    assert_eq!(connection.hear::<Value>()["request"], "input-ended");
    connection.say(&ENDED);
    ends_with_7(client);
}

#[test]
fn output_comes_while_the_monitor_takes_no_input() {
    const MANY: usize = 8 << 20;
    let monitor = Monitor::new("both");
    let (stdin, mut keys) = std::io::pipe().unwrap();
    let client = monitor.exec(stdin);
    let (mut connection, _) = monitor.accept();
    let typed = std::thread::spawn(move || keys.write_all(&vec![b'i'; MANY]).unwrap());
    let ended = std::thread::spawn(|| client.wait_with_output().unwrap());
    connection.stream.set_write_timeout(Some(PATIENCE)).unwrap();
    connection.stream.write_all(&Frame::encode(Kind::Output, &vec![b'o'; MANY])).unwrap();
    let mut came = 0;
    while came < MANY {
        came += connection.frame().payload.len();
    }
    assert_eq!(connection.hear::<Value>()["request"], "input-ended");
    connection.say(&ENDED);
    typed.join().unwrap();
    assert_eq!((came, ended.join().unwrap().stdout.len()), (MANY, MANY));
}

/// Starts a command whose output nobody reads any more.
fn unread(monitor: &Monitor, words: &str) -> Child {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    monitor.skerry(words).stdout(writer).spawn().unwrap()
}

#[track_caller]
fn ends_as_by_sigpipe(client: Child) {
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}

#[test]
fn what_goes_on_ends_when_its_reader_has_gone() {
    let monitor = Monitor::new("unread");
    for words in ["events", "events --format json"] {
        let client = unread(&monitor, words);
        let (mut connection, _) = monitor.greet();
        let (id, action) = ("a".to_owned(), "create".to_owned());
        let what = Happening { object: Object::Volume, id, action, attributes: Default::default() };
        connection.say(&Reply::Happened { time: 1, what: Box::new(what) });
        ends_as_by_sigpipe(client);
    }
    let client = unread(&monitor, "stats");
    let (mut connection, _) = monitor.greet();
    (0..2).for_each(|_| connection.say(&Reply::Stats { containers: Vec::new() }));
    ends_as_by_sigpipe(client);
    let (log, text) = (&b"2026-01-02T03:04:05.000000000Z stdout F one\n"[..], &b"one\n"[..]);
    for (words, bytes) in [("logs -f a", log), ("exec a yes", text), ("attach a", text)] {
        let client = unread(&monitor, words);
        let (mut connection, _) = monitor.accept();
        connection.stream.write_all(&Frame::encode(Kind::Output, bytes)).unwrap();
        ends_as_by_sigpipe(client);
    }
}

#[test]
fn a_signal_that_comes_before_the_streams_is_sent_on() {
    let monitor = Monitor::new("early");
    let client = monitor.skerry("exec a sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let (mut connection, _) = monitor.greet();
    kill(nix::unistd::Pid::from_raw(client.id().cast_signed()), Signal::SIGTERM).unwrap();
    connection.say(&Reply::Streams { session: Some("one".into()), tty: false });
    let request = connection.hear::<Value>();
    assert_eq!((&request["request"], &request["signal"]), (&"signal".into(), &15.into()));
    connection.say(&ENDED);
    ends_with_7(client);
}

#[test]
fn the_third_signal_ends_the_client_alone() {
    let monitor = Monitor::new("signals");
    let mut client = monitor.skerry("exec a sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let (mut connection, _) = monitor.accept();
    connection.stream.write_all(&Frame::encode(Kind::Output, b"!")).unwrap();
    // From then on it takes signals.
    client.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let pid = nix::unistd::Pid::from_raw(client.id().cast_signed());
    for signal in [Signal::SIGALRM, Signal::SIGPWR, Signal::SIGINT, Signal::SIGTERM] {
        kill(pid, signal).unwrap();
        let request = connection.hear::<Value>();
        assert_eq!((&request["request"], &request["signal"]), (&"signal".into(), &(signal as i32).into()));
    }
    kill(pid, Signal::SIGINT).unwrap();
    let output = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.ends_with("three times; the program goes on\n"), "{told}");
}

#[test]
fn signals_end_who_waits_for_a_monitor_that_stands_still() {
    let monitor = Monitor::new("still");
    let pid = |client: &Child| nix::unistd::Pid::from_raw(client.id().cast_signed());
    for words in ["exec a sleep 1000", "attach a"] {
        let client = monitor.skerry(words).spawn().unwrap();
        let (stream, _) = monitor.listener.accept().unwrap();
        let mut connection = Connection { stream, reader: Reader::default() };
        connection.hear::<Hello>();
        kill(pid(&client), Signal::SIGINT).unwrap();
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(2), "{words}: nothing was asked for yet");

        let client = monitor.skerry(words).spawn().unwrap();
        let (_connection, _) = monitor.greet();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
            kill(pid(&client), signal).unwrap();
        }
        let output = client.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!((129..=143).contains(&output.status.code().unwrap()), "{words}: {told}");
        assert!(told.starts_with("skerry: the monitor does not answer"), "{words}: {told}");
    }
}
