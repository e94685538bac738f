//! Keeps the services: performs what [`crate::service`] decides.
//!
//! Each has a session, a cgroup `system/NAME` into which it is born, `/dev/null` as
//! its input, and one pipe for both outputs, which outlives its restarts.

use crate::console::now;
use crate::error::{Context, Error, Result};
use crate::order;
use crate::poller::{Poller, Token};
use crate::service::{Action, Event, Service, State};
use crate::service_log::{Lines, Writer};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use spec::node::{Node, Restart};
use spec::paths;
use std::borrow::Cow;
use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process::{Ended, Spawn, kill, spawn};

const PATH: &str = "PATH=/sbin:/bin:/usr/sbin:/usr/bin";
/// Number of the descriptor for the ready line.
const READY_FD: &str = "SKERRY_READY_FD=3";
const TERM: i32 = nix::libc::SIGTERM;
const KILL: i32 = nix::libc::SIGKILL;
const CONT: i32 = nix::libc::SIGCONT;

/// A service of PID 1's own, started when its program is in the root. One of the
/// same name in `node.toml` takes its place.
#[derive(Debug)]
pub struct BuiltIn {
    /// What it is called.
    pub name: &'static str,
    /// Its path.
    pub program: Cow<'static, str>,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// How long it may take to end.
    pub stop_grace: Duration,
}

/// First started, last stopped.
const NETWORK: &str = "network";

/// Started when the node is a cluster's.
const AGENT: &str = "agent";

/// Started when `console.prompt` asks for it.
const PROMPT: &str = "prompt";

/// PID 1's own.
pub const BUILT_IN: [BuiltIn; 4] = [
    BuiltIn {
        name: NETWORK,
        program: Cow::Borrowed("/sbin/skerry-network"),
        arguments: &[],
        stop_grace: Duration::from_secs(5),
    },
    // It stops its containers in that time, each with a grace of its own.
    BuiltIn {
        name: "monitor",
        program: Cow::Borrowed("/sbin/skerry-monitor"),
        arguments: &[],
        stop_grace: Duration::from_secs(60),
    },
    BuiltIn {
        name: AGENT,
        program: Cow::Borrowed("/sbin/skerry-agent"),
        arguments: &[],
        stop_grace: Duration::from_secs(5),
    },
    BuiltIn {
        name: PROMPT,
        program: Cow::Borrowed("/sbin/skerry"),
        arguments: &["console", "/dev/console"],
        stop_grace: Duration::from_secs(1),
    },
];

#[derive(Debug)]
struct Unit {
    name: String,
    argv: Vec<CString>,
    env: Vec<CString>,
    after: Vec<String>,
    life: Service,
    pid: Option<i32>,
    /// Built-in ones say themselves what they speak of.
    prefixed: bool,
    console: bool,
    asks_ready: bool,
    cgroup: Option<Cgroup>,
    output: Option<(PipeReader, PipeWriter)>,
    ready: Option<PipeReader>,
    lines: Lines,
}

/// All services.
#[derive(Debug)]
pub struct Supervisor {
    units: Vec<Unit>,
    null: File,
    logs: Writer,
}

impl Supervisor {
    /// The services of this node, none started yet. Those whose `after` has a
    /// fault stay down, which is said.
    pub fn new(node: &Node, own: &[BuiltIn]) -> Result<Self> {
        let is_wanted = |own: &&BuiltIn| match own.name {
            AGENT => node.cluster.server.is_some(),
            PROMPT => node.console.prompt,
            _ => true,
        };
        let own = own
            .iter()
            .filter(is_wanted)
            .filter(|own| !node.services.contains_key(own.name) && Path::new(&*own.program).exists());
        let mut units: Vec<Unit> = own.map(Unit::built_in).collect();
        for (name, service) in &node.services {
            match Unit::configured(name, service) {
                Ok(unit) => units.push(unit),
                Err(error) => say!("{name}: {error}"),
            }
        }
        let graph: order::Graph<'_> = units
            .iter()
            .map(|unit| (unit.name.as_str(), unit.after.iter().map(String::as_str).collect()))
            .collect();
        let down = order::down(&graph);
        for unit in &mut units {
            if let Some(reason) = down.get(&unit.name) {
                say!("{}: stays down: {reason}", unit.name);
                unit.life.state = State::Down;
            }
        }
        let null = File::open("/dev/null").context(|| "open /dev/null")?;
        Ok(Self { units, null, logs: Writer::default() })
    }

    /// Starts everything whose time has come.
    pub fn start(&mut self, poller: &Poller) {
        while let Some(index) = (0..self.units.len()).find(|&index| self.may_start(index)) {
            self.tell(index, Event::Go, poller);
        }
    }

    fn may_start(&self, index: usize) -> bool {
        let ready = |name: &String| self.units.iter().any(|unit| unit.name == *name && unit.life.was_ready);
        self.units[index].life.state == State::Waiting && self.units[index].after.iter().all(ready)
    }

    /// Hands an event to a service and does what follows from it.
    fn tell(&mut self, index: usize, event: Event, poller: &Poller) {
        let (null, unit, logs) = (&self.null, &mut self.units[index], &mut self.logs);
        let before = unit.life.state;
        match unit.life.next(event, now()) {
            Some(Action::Spawn) => {
                let result = unit.spawn(index as u32, null.as_fd(), poller);
                if let Err(error) = &result {
                    say!("{}: {error}", unit.name);
                    unit.cgroup = None;
                }
                let event = if result.is_ok() { Event::Started } else { Event::NotStarted };
                return self.tell(index, event, poller);
            }
            // One that stands still (SIGSTOP) goes on, to hear it.
            Some(Action::Terminate) => [TERM, CONT].into_iter().for_each(|signal| unit.signal(signal)),
            Some(Action::Kill) => {
                say!("{}: did not end in time and is killed", unit.name);
                unit.kill_all();
            }
            Some(Action::CleanUp) => {
                unit.kill_all();
                unit.cgroup = None;
                unit.read_output(logs);
                if let Some(line) = unit.lines.finish() {
                    unit.say(&line, logs);
                }
            }
            None => {}
        }
        let unit = &self.units[index];
        match unit.life.state {
            state if state == before && event != Event::Started => {}
            State::Ready => status!("{}: ready (pid {})", unit.name, unit.pid.unwrap_or(0)),
            State::Starting => status!("{}: starting (pid {})", unit.name, unit.pid.unwrap_or(0)),
            State::Backoff => {
                let pause = unit.life.deadline.unwrap_or_default().saturating_sub(now());
                // Without fractions of the language: they are 3 kB of program.
                let tenths = (pause.as_millis() + 50) / 100;
                status!("{}: starts again in {}.{} s", unit.name, tenths / 10, tenths % 10);
            }
            State::Killing if event == Event::Deadline => {}
            State::Ended if before == State::Killing && event == Event::Deadline => {
                say!("{}: cannot be killed", unit.name);
            }
            state => status!("{}: {state}", unit.name),
        }
        if self.units[index].life.was_ready && self.units[index].life.state == State::Ready {
            self.start(poller);
        }
    }

    /// Whether a process is a service's.
    pub fn owns(&self, pid: i32) -> bool {
        self.units.iter().any(|unit| unit.pid == Some(pid))
    }

    /// Takes the end of a service's process.
    pub fn exited(&mut self, ended: Ended, poller: &Poller) {
        let Some(index) = self.units.iter().position(|unit| unit.pid == Some(ended.pid)) else { return };
        let unit = &mut self.units[index];
        unit.pid = None;
        unit.ready = None;
        status!("{}: {}", unit.name, in_words(ended.status));
        self.tell(index, Event::Exited(ended.status == 0), poller);
    }

    /// Reads what a service wrote.
    pub fn output(&mut self, index: u32) {
        if let Some(unit) = self.units.get_mut(index as usize) {
            unit.read_output(&mut self.logs);
        }
    }

    /// Reads a service's ready line.
    pub fn ready(&mut self, index: u32, poller: &Poller) {
        let Some(unit) = self.units.get_mut(index as usize) else { return };
        let Some(mut pipe) = unit.ready.take() else { return };
        let mut buffer = [0; 64];
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => status!("{}: closed its ready descriptor without a line", unit.name),
            Ok(length) if buffer[..length].contains(&b'\n') => {
                self.tell(index as usize, Event::ReadyLine, poller)
            }
            Ok(_) => unit.ready = Some(pipe),
        }
    }

    /// The next time at which [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        self.units.iter().filter_map(|unit| unit.life.deadline).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, poller: &Poller) {
        let time = now();
        for index in 0..self.units.len() {
            if self.units[index].life.deadline.is_some_and(|deadline| deadline <= time) {
                self.tell(index, Event::Deadline, poller);
            }
        }
    }

    /// Asks every service to end that no running one depends on; called again
    /// as they end, this stops them in reverse. Whether any runs still.
    pub fn stop(&mut self, poller: &Poller) -> bool {
        for index in 0..self.units.len() {
            let unit = &self.units[index];
            let needed = |other: &Unit| {
                other.life.runs()
                    && other.name != unit.name
                    && (unit.name == NETWORK || other.after.contains(&unit.name))
            };
            if !self.units.iter().any(needed) {
                self.tell(index, Event::Stop, poller);
            }
        }
        self.units.iter().any(|unit| unit.life.runs())
    }

    /// Ends every service at once.
    pub fn kill(&mut self, poller: &Poller) {
        for index in 0..self.units.len() {
            self.tell(index, Event::Stop, poller);
            self.units[index].kill_all();
        }
    }

    /// Has what was said brought to the data disk, which is then let go of.
    pub fn close_logs(&mut self) {
        self.logs.close();
    }

    /// `NAME STATE PID RESTARTS` per line; no PID is 0.
    pub fn status(&self) -> String {
        self.units.iter().fold(String::new(), |mut text, unit| {
            let (state, pid) = (unit.life.state, unit.pid.unwrap_or(0));
            let _ = writeln!(text, "{} {state} {pid} {}", unit.name, unit.life.restarts);
            text
        })
    }
}

impl Unit {
    fn built_in(own: &BuiltIn) -> Self {
        let words = [&*own.program].into_iter().chain(own.arguments.iter().copied());
        let argv = words.filter_map(|word| CString::new(word).ok()).collect();
        // The keeper's is about containers alone, and has no address to wait for.
        let asks_ready = own.name == NETWORK && own.arguments.is_empty();
        let life = Service::new(Restart::Always, asks_ready, own.stop_grace).missed();
        let mut unit = Self { prefixed: false, ..Self::new(own.name, argv, life) };
        unit.ask_ready(asks_ready);
        unit
    }

    fn configured(name: &str, service: &spec::node::Service) -> Result<Self> {
        let no_zero = || Error("a zero byte in its command or environment".to_owned());
        let argv: std::result::Result<Vec<CString>, _> =
            service.command.iter().map(|word| CString::new(word.as_str())).collect();
        let env: std::result::Result<Vec<CString>, _> =
            service.env.iter().map(|(key, value)| CString::new(format!("{key}={value}"))).collect();
        let life = Service::new(service.restart, service.ready, service.stop_grace.0);
        let mut unit = Self::new(name, argv.map_err(|_| no_zero())?, life);
        unit.after = service.after.iter().map(ToString::to_string).collect();
        unit.console = service.console;
        if !service.env.contains_key("PATH") {
            unit.env.extend(CString::new(PATH));
        }
        unit.env.extend(env.map_err(|_| no_zero())?);
        unit.ask_ready(service.ready);
        Ok(unit)
    }

    fn ask_ready(&mut self, asks: bool) {
        self.asks_ready = asks;
        if asks {
            self.env.extend(CString::new(READY_FD));
        }
    }

    fn new(name: &str, argv: Vec<CString>, life: Service) -> Self {
        Self {
            name: name.to_owned(),
            argv,
            env: Vec::new(),
            after: Vec::new(),
            life,
            pid: None,
            prefixed: true,
            console: true,
            asks_ready: false,
            cgroup: None,
            output: None,
            ready: None,
            lines: Lines::default(),
        }
    }

    fn spawn(&mut self, index: u32, null: BorrowedFd<'_>, poller: &Poller) -> Result<()> {
        if self.output.is_none() {
            self.output = Some(open_output(index, poller)?);
        }
        if self.cgroup.is_none() {
            self.cgroup = Cgroup::open(&system(), &self.name);
        }
        let ready = self.asks_ready.then(std::io::pipe).transpose().context(|| "create a pipe")?;
        // A process that runs is never counted as one that could not be started.
        if let Some((reader, _)) = &ready {
            poller.add(reader, Token::Ready(index))?;
        }
        let Some((_, writer)) = &self.output else { return Ok(()) };
        let mut descriptors = vec![null, writer.as_fd(), writer.as_fd()];
        descriptors.extend(ready.as_ref().map(|(_, writer)| writer.as_fd()));
        let pid = spawn(&Spawn {
            argv: &self.argv,
            env: &self.env,
            descriptors: &descriptors,
            cgroup: self.cgroup.as_ref().map(|own| own.folder.as_fd()),
            // Without the programs of ours nobody looks after the containers.
            oom_score_adj: (!self.prefixed).then_some(c"-900"),
        });
        self.pid = Some(pid.context(|| format!("start {}", self.argv[0].to_string_lossy()))?);
        self.ready = ready.map(|(reader, _)| reader);
        Ok(())
    }

    fn signal(&self, signal: i32) {
        if let Some(pid) = self.pid {
            // The process is ours and not reaped yet, so the number is still its own.
            let _ = kill(pid, signal);
        }
    }

    /// Its process and everything that came of it.
    fn kill_all(&self) {
        if self.cgroup.as_ref().is_none_or(|own| fs::write(own.path.join("cgroup.kill"), "1").is_err()) {
            self.signal(KILL);
        }
    }

    fn read_output(&mut self, logs: &mut Writer) {
        let mut buffer = [0; 4096];
        // So much at a time, that one who floods does not keep the others waiting.
        for _ in 0..16 {
            let Some((reader, _)) = &mut self.output else { return };
            let Ok(length @ 1..) = reader.read(&mut buffer) else { return };
            for line in self.lines.push(&buffer[..length]) {
                self.say(&line, logs);
            }
        }
    }

    fn say(&self, line: &str, logs: &mut Writer) {
        logs.write(&self.name, line);
        if self.console {
            let name = if self.prefixed { &*self.name } else { "" };
            crate::console::output(name, line);
        }
    }
}

fn open_output(index: u32, poller: &Poller) -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = std::io::pipe().context(|| "create a pipe")?;
    // The writer's own mode stays: a service expects its output to block.
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context(|| "set up a pipe")?;
    poller.add(&reader, Token::Output(index))?;
    Ok((reader, writer))
}

/// Where the services' cgroups are.
fn system() -> PathBuf {
    [paths::CGROUP, paths::SYSTEM_CGROUP].iter().collect()
}

/// How many cgroups a service may have left behind that cannot be removed.
const MOST_LEFT: u32 = 16;

/// A service's cgroup.
#[derive(Debug)]
struct Cgroup {
    path: PathBuf,
    folder: File,
}

impl Cgroup {
    /// A new one. One in which something was killed is not used again: Linux 6.18 kills whoever is
    /// born there by a process whose own cgroup never was. Where the last one cannot be removed, for something in it
    /// that was killed does not end, this is `NAME+1`, and so on. Without cgroups a service still runs.
    fn open(system: &Path, name: &str) -> Option<Self> {
        let further = (1..MOST_LEFT).map(|number| format!("{name}+{number}"));
        let paths: Vec<PathBuf> =
            [name.to_owned()].into_iter().chain(further).map(|name| system.join(name)).collect();
        paths.iter().for_each(|path| remove_cgroup(path));
        let path = paths.into_iter().find(|path| fs::create_dir(path).is_ok())?;
        File::open(&path).ok().map(|folder| Self { path, folder })
    }
}

/// Removes a cgroup with those that its processes have made in it: nobody can be born into one that
/// gives its controllers on (Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint").
fn remove_cgroup(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.for_each(|folder| remove_cgroup(&folder.path()));
    let _ = fs::remove_dir(path);
}

/// A wait status as people say it.
fn in_words(status: i32) -> String {
    match (status & 0x7f, status >> 8 & 0xff) {
        (0, code) => format!("ended with status {code}"),
        (signal, _) => format!("ended by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_said_in_words() {
        assert_eq!(in_words(0x0300), "ended with status 3");
        assert_eq!(in_words(0x8b), "ended by signal 11");
    }

    #[test]
    fn a_cgroup_goes_with_those_in_it() {
        let folder = std::env::temp_dir().join(format!("skerry-init-cgroup-{}", std::process::id()));
        fs::create_dir_all(folder.join("own/deeper")).unwrap();
        fs::create_dir(folder.join("other")).unwrap();
        remove_cgroup(&folder);
        assert!(!folder.exists());
    }

    #[test]
    fn beside_a_cgroup_that_cannot_be_removed_another_is_made() {
        let system = std::env::temp_dir().join(format!("skerry-init-system-{}", std::process::id()));
        fs::create_dir_all(system.join("a")).unwrap();
        fs::create_dir(system.join("a+1")).unwrap();
        let named = |name: &str| Cgroup::open(&system, name).map(|own| own.path);
        // A file keeps a folder, as a process does a cgroup.
        fs::write(system.join("a/file"), "").unwrap();
        assert_eq!(named("a"), Some(system.join("a+1")));
        fs::remove_file(system.join("a/file")).unwrap();
        assert_eq!(named("a"), Some(system.join("a")));
        assert!(!system.join("a+1").exists());
        fs::remove_dir_all(&system).unwrap();
        assert_eq!(named("a"), None);
    }

    #[test]
    fn the_nodes_network_says_when_it_is_ready_and_the_keepers_does_not() {
        let own = Unit::built_in(&BUILT_IN[0]);
        assert_eq!((own.asks_ready, own.env.last().unwrap().to_str()), (true, Ok(READY_FD)));
        let serve = BuiltIn { arguments: &["serve"], program: "/bin/x".into(), ..BUILT_IN[0] };
        let keepers = Unit::built_in(&serve);
        assert!(!keepers.asks_ready && keepers.env.is_empty() && !Unit::built_in(&BUILT_IN[1]).asks_ready);
    }

    #[test]
    fn a_service_gets_a_path_and_what_it_asked_for() {
        let node = spec::node::load(&[spec::node::Layer {
            origin: "t".into(),
            text: "[services.a]\ncommand = [\"/bin/a\", \"b\"]\nready = true\nenv = { X = \"1\" }\n".into(),
        }])
        .unwrap();
        let unit = Unit::configured("a", &node.services["a"]).unwrap();
        assert_eq!(unit.argv, [c"/bin/a".to_owned(), c"b".to_owned()]);
        let env: Vec<_> = unit.env.iter().map(|text| text.to_str().unwrap()).collect();
        assert_eq!(env, [PATH, "X=1", READY_FD]);
    }
}
