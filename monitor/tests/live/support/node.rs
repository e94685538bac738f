//! A keeper and what it keeps.

use super::client::Client;
use super::place::Place;
use super::{PATIENCE, eventually};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use spec::control::{MAX_PACKET, Request as Question};
use spec::monitor::{Create, Exec, Reply, Request, Summary, Wait};
use spec::node::Container;
use spec::paths;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use store::Store;

/// A node: the keeper runs, the monitor listens.
pub struct Node {
    keeper: Child,
    /// Digest of the image.
    pub digest: String,
    // Dropped last.
    _place: Place,
}

/// Where the programs are; those of other rooms are built when they are missing or old. The
/// command is another's test too.
pub fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args([
                "build", "--quiet", "-p", "init", "-p", "runtime", "-p", "network", "-p", "monitor", "-p",
                "cli", "--bins",
            ])
            .status();
        assert!(built.unwrap().success(), "the programs of a node are built");
        // A test's program lies in a folder below theirs.
        let own = std::env::current_exe().unwrap();
        own.ancestors().nth(2).unwrap().to_owned()
    })
}

/// The archive of an image of `tests/images`.
pub fn archive(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = Command::new(root.join("tests/images/build")).arg(name).output().unwrap();
    assert!(built.status.success(), "the image {name} is built");
    String::from_utf8(built.stdout).unwrap().trim().into()
}

/// A store with busybox in it, which all tests share, and the image's digest.
fn images() -> &'static (String, String) {
    static STORE: OnceLock<(String, String)> = OnceLock::new();
    STORE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("store");
        let imported = Store::open(&folder).unwrap().import(&archive("busybox"), "busybox").unwrap();
        (folder.to_str().unwrap().to_owned(), imported.digest.to_string())
    })
}

/// A container of busybox that runs a line of shell.
pub fn busybox(line: &str) -> Container {
    let mut container = Container::of("busybox");
    container.entrypoint = Some(["sh", "-c", line].map(str::to_owned).into());
    container.restart = spec::node::Restart::No;
    container.stop_grace = spec::quantity::Span::seconds(2);
    container
}

/// A line of shell that counts, a hundred lines at once, until [`Node::enough`] is called, and
/// says then that it is over.
pub const COUNT: &str = "rm -f /enough; i=0; \
    while [ ! -e /enough ] || [ $((i % 100)) != 0 ]; do \
        i=$((i+1)); echo line $i; [ $((i % 100)) = 0 ] && sleep 0.05; \
    done; echo over";

/// Looks at what [`COUNT`] wrote: every line is there once.
#[track_caller]
pub fn is_counted(text: &str) {
    let lines = text.lines().count().saturating_sub(1);
    let expected: String = (1..=lines).map(|number| format!("line {number}\n")).collect();
    assert!(lines > 0 && lines.is_multiple_of(100), "{lines} lines");
    assert!(text == expected + "over\n", "a line is lost or repeated among {lines}");
}

impl Node {
    /// Boots a node without containers.
    pub fn boot() -> Self {
        Self::with_config("")
    }

    /// Boots a node of this `node.toml`.
    pub fn with_config(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (store, digest) = images();
        programs();
        let name = format!("skerry-live-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Place::enter(&name, store);
        fs::create_dir_all(paths::CONFIG_LAYERS).unwrap();
        fs::write(format!("{}/00-test.toml", paths::CONFIG_LAYERS), text).unwrap();
        Self { keeper: start_keeper(), digest: digest.clone(), _place: place }
    }

    /// Ends all, as a reboot does: whatever runs, whatever lies in `/run`. Then starts anew.
    pub fn reboot(&mut self) {
        let config = fs::read(format!("{}/00-test.toml", paths::CONFIG_LAYERS)).unwrap();
        self.end();
        fs::remove_dir_all(paths::RUN).unwrap();
        fs::create_dir_all(paths::CONFIG_LAYERS).unwrap();
        fs::write(format!("{}/00-test.toml", paths::CONFIG_LAYERS), config).unwrap();
        self.keeper = start_keeper();
    }

    /// Asks the keeper to end all, and waits until it has.
    pub fn end(&mut self) {
        super::client::signal(self.keeper.id(), nix::libc::SIGTERM);
        self.keeper.wait().unwrap();
    }

    /// The monitor's process ID, as the processes here see it, by the keeper's word: what a monitor
    /// begins has its name and its arguments for a moment, and when it has died its parent too.
    pub fn monitor(&self) -> Option<u32> {
        let status = asked_of_keeper(&Question::Status)?;
        let words = status.lines().find_map(|line| line.strip_prefix("monitor "))?;
        words.split(' ').nth(1)?.parse().ok().filter(|&pid| pid != 0)
    }

    /// Waits until there is a monitor, and kills it with SIGKILL.
    #[track_caller]
    pub fn kill_monitor(&self) {
        let mut found = None;
        eventually("there is a monitor", || {
            found = self.monitor();
            found.is_some()
        });
        let pid = found.expect("it was there");
        // This thread has another view of process IDs than those that it starts.
        let killed = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
        assert!(killed.unwrap().success(), "the monitor is killed");
        eventually("it is gone", || self.monitor() != Some(pid));
    }

    /// One request, one answer; asked again when the monitor dies meanwhile.
    pub fn ask(&self, request: &Request) -> Reply {
        loop {
            if let Some(reply) = Client::ask(request).and_then(|mut client| client.reply()) {
                return reply;
            }
        }
    }

    /// Defines a container, or finds that it was defined before the monitor was killed.
    #[track_caller]
    pub fn create(&self, name: &str, container: Container) -> String {
        self.create_as(name, container, false)
    }

    #[track_caller]
    pub fn create_as(&self, name: &str, container: Container, remove: bool) -> String {
        self.define(Create { remove, ..self.of(name, container) })
    }

    /// One whose standard input ends with its first client's.
    #[track_caller]
    pub fn create_with_input(&self, name: &str, container: Container) -> String {
        let container = Container { stdin: true, ..container };
        self.define(Create { stdin_once: true, ..self.of(name, container) })
    }

    fn of(&self, name: &str, container: Container) -> Create {
        let (name, image) = (Some(name.parse().unwrap()), self.digest.clone());
        let (remove, stdin_once, nameless) = (false, false, Vec::new());
        Create { name, container, image, remove, stdin_once, nameless, seccomp: None, sandbox: None }
    }

    #[track_caller]
    fn define(&self, create: Create) -> String {
        let name = create.name.clone().expect("tests name their containers");
        match self.ask(&Request::Create(Box::new(create))) {
            Reply::Created { id, .. } => id,
            Reply::Failed(failure) if failure.code == spec::monitor::Code::Exists => self.summary(&name).id,
            other => panic!("create {name}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn done(&self, request: &Request) {
        assert_eq!(self.ask(request), Reply::Done, "{request:?}");
    }

    #[track_caller]
    pub fn start(&self, name: &str) {
        self.done(&Request::Start { name: name.to_owned() });
    }

    /// What it ended with.
    #[track_caller]
    pub fn wait(&self, name: &str) -> u8 {
        let request = Request::Wait { name: name.to_owned(), condition: Wait::NotRunning };
        match self.ask(&request) {
            Reply::Exited { status, .. } => status,
            other => panic!("wait {name}: {other:?}"),
        }
    }

    /// Creates, starts and waits.
    #[track_caller]
    pub fn run(&self, name: &str, line: &str) -> u8 {
        self.create(name, busybox(line));
        self.start(name);
        self.wait(name)
    }

    /// Lets [`COUNT`] end in a container.
    #[track_caller]
    pub fn enough(&self, name: &str) {
        self.touch(name, "/enough");
    }

    /// Makes a file in a container that waits for it.
    #[track_caller]
    pub fn touch(&self, name: &str, path: &str) {
        let command = ["touch", path].map(str::to_owned).into();
        let touch = Exec { name: name.to_owned(), command, detach: true, ..Exec::default() };
        self.done(&Request::Exec(Box::new(touch)));
    }

    pub fn list(&self) -> Vec<Summary> {
        'again: loop {
            let (mut all, mut client) = (Vec::new(), Client::ask(&Request::List));
            while let Some(reply) = client.as_mut().and_then(Client::reply) {
                let Reply::Containers { containers, more } = reply else { panic!("list: {reply:?}") };
                all.extend(containers);
                if !more {
                    break 'again all;
                }
            }
        }
    }

    #[track_caller]
    pub fn summary(&self, name: &str) -> Summary {
        let found = self.list().into_iter().find(|summary| &*summary.name == name);
        found.unwrap_or_else(|| panic!("{name} is in no list"))
    }

    pub fn state(&self, name: &str) -> String {
        self.summary(name).status.state
    }

    #[track_caller]
    pub fn becomes(&self, name: &str, state: &str) {
        eventually(&format!("{name} is {state}"), || self.state(name) == state);
    }

    /// All that it wrote, from its log.
    #[track_caller]
    pub fn output(&self, name: &str) -> String {
        let logs = spec::monitor::Logs { name: name.to_owned(), ..Default::default() };
        let said = Client::ask(&Request::Logs(logs)).expect("the monitor is there").follow();
        assert_eq!(said.end, Some(Reply::Done));
        String::from_utf8(super::client::bytes_of(&said.out)).unwrap()
    }

    #[track_caller]
    pub fn failed(&self, request: &Request) -> spec::monitor::Failure {
        match self.ask(request) {
            Reply::Failed(failure) => failure,
            other => panic!("{request:?}: {other:?}"),
        }
    }
}

/// What the keeper answers; nothing when there is none.
fn asked_of_keeper(question: &Question) -> Option<String> {
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(socket.as_raw_fd(), &UnixAddr::new(paths::INIT_SOCKET).unwrap()).ok()?;
    let mut stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(question.to_string().as_bytes()).ok()?;
    let mut packet = vec![0; MAX_PACKET];
    let length = stream.read(&mut packet).ok()?;
    Some(String::from_utf8_lossy(&packet[..length]).into_owned())
}

fn start_keeper() -> Child {
    let log = fs::File::options().create(true).append(true).open("/run/keeper.log").unwrap();
    let keeper = Command::new(programs().join("skerry-keeper"))
        .stdin(Stdio::null())
        .stdout(log)
        .spawn()
        .expect("the keeper runs");
    eventually("the monitor listens", || UnixStream::connect(paths::MONITOR_SOCKET).is_ok());
    keeper
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the keeper and the monitor said:");
            if let Ok(log) = fs::File::open("/run/keeper.log") {
                BufReader::new(log).lines().map_while(Result::ok).for_each(|line| eprintln!("{line}"));
            }
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
