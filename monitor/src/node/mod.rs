//! The monitor at work: it looks at each container, asks [`crate::life`] what to
//! do, does it, and writes down what came of it.
//!
//! ```text
//! events ──▶ tell: life::apply ──▶ record ──▶ console, events, status
//!    ▲                                │
//!    └──── step: life::next ◀─────────┘
//! ```
//!
//! An action that changes the world is done between the records that the table
//! in [`crate::life`] gives; signals and kills are sent before they are recorded,
//! because a second one does no harm and a missing one does.
//!
//! | what persons and programs ask for | module |
//! |---|---|
//! | connections, and what each is about | `socket`, `talk` |
//! | containers of their own | `persons` |
//! | answers that have to wait | `waiting` |
//! | other limits | `update` |
//! | lists | `list`, `usage` |
//! | streams of a container | `streams`, `input` |
//! | programs more in a container | `sessions`, `checks` |
//! | networks of containers | `networks` |
//! | namespaces of other containers | `sharing` |

mod checks;
mod create;
mod damage;
mod exits;
mod input;
mod list;
mod networks;
mod persons;
mod recover;
mod run;
mod sessions;
mod sharing;
mod socket;
mod streams;
mod talk;
mod tell;
mod update;
mod usage;
mod volumes;
mod waiting;

pub use run::run;

use crate::cells::Cells;
use crate::client::Client;
use crate::damage::KernelLog;
use crate::etc::Resolver;
use crate::image::Images;
use crate::keeper::{Keeper, Subscription, log_name};
use crate::kernel;
use crate::life::{self, Action, Desired, End, Event, Observed, State, Time};
use crate::log::{LogFile, Stream};
use crate::network;
use crate::order::Order;
use crate::outputs::{Instance, Outputs};
use crate::place;
use crate::poller::{Poller, Token};
use crate::ring::Ring;
use crate::say::Console;
use crate::session::Session;
use crate::verb::{self, Streams, Verb};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use spec::monitor::{Size, Update};
use spec::node::{Name, Restart};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use sys::cause::cause;
use sys::socket::Spare;
use talk::Talk;

/// What a process of the runtime or the network is about.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// A verb of the runtime for a container.
    Container(usize, Verb),
    /// A verb of the network for a container.
    Network(usize, network::Verb),
    /// `exec` for a session.
    Session(usize),
    /// A pull of a container's image.
    Pull(usize),
    /// The making of a container's volumes.
    Fill(usize),
    /// A check of the image store.
    Check,
    /// Other limits, which a client waits for.
    Update(usize),
}

/// The monitor.
pub struct Monitor {
    cells: Cells,
    order: Order,
    images: Images,
    outputs: Outputs,
    console: Console,
    keeper: Option<Keeper>,
    subscription: Option<Subscription>,
    /// PID 1 tells of no exits; the next attempt is due then.
    unsubscribed: Option<Time>,
    poller: Poller,
    work: BTreeMap<i32, Work>,
    remover: Option<i32>,
    stopping: bool,
    /// The status file is behind.
    stale: bool,
    /// Nor could it be written.
    status_failed: bool,
    listener: Option<OwnedFd>,
    /// What gives way to a client that there is no other descriptor for.
    spare: Spare,
    clients: BTreeMap<usize, (Client, Talk)>,
    next_client: usize,
    ring: Ring,
    sessions: BTreeMap<usize, Session>,
    next_session: usize,
    /// Where the standard input of containers goes that have one.
    sinks: BTreeMap<usize, OwnedFd>,
    /// Where the runtime sends the terminals of containers that it makes.
    consoles: BTreeMap<usize, OwnedFd>,
    /// Sizes of terminals that are not there yet.
    sizes: BTreeMap<usize, Size>,
    /// Containers whose log has grown.
    grown: BTreeSet<usize>,
    /// Containers whose output waits for who is attached to them.
    held: BTreeSet<usize>,
    /// Clients that can be given more.
    eager: BTreeSet<usize>,
    resolver: Resolver,
    /// None: this machine's may not be read.
    kernel_log: Option<KernelLog>,
    /// The files that the kernel has told of.
    damaged: BTreeSet<u64>,
    /// More was damaged since the check of the store began.
    check_again: bool,
    /// What clients wait for to be different of running containers.
    updates: BTreeMap<usize, (usize, Update)>,
    /// The next round of statistics for those who follow them.
    round: Option<Time>,
}

impl Monitor {
    /// Does what is to be done now for every container; gives the time when
    /// there is more to do.
    fn step_all(&mut self) -> Option<Time> {
        let mut soonest: Option<Time> = None;
        for index in self.cells.indices() {
            if let Some(time) = self.step(index) {
                soonest = Some(soonest.map_or(time, |other| other.min(time)));
            }
        }
        soonest
    }

    fn step(&mut self, index: usize) -> Option<Time> {
        loop {
            let action = life::next(&self.desired(index), &self.cells[index].observed, kernel::now());
            match action {
                Action::Wait(until) => {
                    return until.into_iter().chain(self.give_up_making(index)).min();
                }
                Action::Create => self.create(index),
                Action::Start => self.begin(index, Verb::Start, None),
                Action::Delete => self.begin(index, Verb::Delete, None),
                Action::Signal => self.signal(index),
                Action::Kill => self.kill(index),
            }
        }
    }

    fn desired(&self, index: usize) -> Desired {
        let cell = &self.cells[index];
        // The order is that of node.toml, whose names are keys.
        let name = &cell.key;
        let wanted = cell.observed.wanted.unwrap_or(cell.is_configured());
        let may = !self.stopping && !cell.removing && cell.container.is_some() && !self.order.is_barred(name);
        let up = wanted && may;
        let turn = match cell.observed.state {
            State::Absent => {
                up && self.order.may_start(name, |other| self.observed(other, Observed::was_tried))
            }
            // Who is stopped by a person does not wait for those that come after it.
            State::Running { .. } if self.stopping => {
                let gone = |observed: &Observed| observed.state == State::Absent;
                self.order.may_stop(name, |other| self.observed(other, gone))
            }
            _ => true,
        };
        Desired { up, restart: self.restart(index), turn }
    }

    fn observed(&self, key: &Name, holds: impl Fn(&Observed) -> bool) -> bool {
        let found = self.cells.find(key).and_then(|index| self.cells.get(index));
        found.is_some_and(|cell| cell.is_configured() && holds(&cell.observed))
    }

    fn restart(&self, index: usize) -> Restart {
        self.cells[index].container.as_ref().map_or(Restart::No, |container| container.restart)
    }

    /// It runs, or will without anybody's asking.
    fn goes_on(&self, index: usize) -> bool {
        let observed = &self.cells[index].observed;
        let waits = life::next(&self.desired(index), observed, kernel::now()) == Action::Wait(None);
        observed.busy || observed.state != State::Absent || !waits
    }

    /// Starts a verb of the runtime.
    fn begin(&mut self, index: usize, verb: Verb, streams: Option<&Streams>) {
        let console = self.consoles.contains_key(&index);
        match verb::begin(verb, &self.cells[index].key, streams, console) {
            Ok(pid) => {
                self.work.insert(pid, Work::Container(index, verb));
                self.tell(index, &Event::Busy);
            }
            Err(reason) => self.tell(index, &failed(verb, reason)),
        }
    }

    fn signal(&mut self, index: usize) {
        let cell = &self.cells[index];
        if let Some(process) = cell.observed.state.process() {
            // One that is gone by now will be seen to have ended.
            let _ = kernel::signal(process, cell.observed.stop_signal());
        }
        // It would never see the signal.
        let _ = kernel::freeze(&cell.cgroup(), false);
        self.tell(index, &Event::Asked);
    }

    fn kill(&mut self, index: usize) {
        let cell = &self.cells[index];
        if let (Err(_), Some(process)) = (kernel::kill_all(&cell.cgroup()), cell.observed.state.process()) {
            let _ = kernel::signal(process, nix::libc::SIGKILL);
        }
        self.tell(index, &Event::Killed);
    }

    /// Takes on an instance's pipes, wherever they come from: output and error or a terminal,
    /// and then the input, if there is one.
    fn attach(&mut self, index: usize, mut pipes: Vec<OwnedFd>) {
        let cell = &self.cells[index];
        let own = cell.container.as_ref();
        let terminal = own.is_some_and(|own| own.tty);
        let sink = if pipes.len() > 2 {
            pipes.pop()
        } else if terminal {
            pipes.first().and_then(|master| master.try_clone().ok())
        } else {
            None
        };
        // Of one that has ended only the output is still wanted.
        if cell.observed.state != State::Ended {
            self.sinks.extend(sink.map(|sink| (index, sink)));
        }
        let (limit, console) = own.map_or((u64::MAX, false), |own| (own.log_size.0, own.console));
        if let Some(path) = cell.definition.as_ref().and_then(|own| own.sandbox.as_ref()?.log.as_ref())
            && let Err(error) = place::put_log(&cell.key, path)
        {
            self.console.say(&format!("{}: put its log to {}: {}", cell.name, path.display(), cause(&error)));
        }
        let log = LogFile::new(place::log(&cell.key), limit);
        self.outputs.attach(index, Instance { key: cell.key.clone(), pipes, terminal, log, console });
        for (stream, pipe) in self.outputs.pipes(index) {
            if let Err(error) = self.poller.add_edge(pipe, Token::Output(index, stream)) {
                self.console.say(&format!("{}: watch its output: {}", cell.name, cause(&error)));
            }
        }
        self.watch_output(index);
        self.input_made(index);
        if self.cells[index].input_over == self.cells[index].observed.generation {
            self.end_input(index);
        }
    }

    /// Lets go of an instance's pipes, here and with PID 1.
    fn detach(&mut self, index: usize) {
        for (_, pipe) in self.outputs.pipes(index) {
            // PID 1 holds the same pipe open, so closing it would not do.
            let _ = self.poller.remove(pipe);
        }
        self.outputs.detach(index);
        self.consoles.remove(&index);
        let cell = &self.cells[index];
        if let Some(keeper) = &self.keeper {
            // Nothing is kept when it was never made.
            let _ = keeper.drop(&log_name(&cell.key, cell.observed.generation));
        }
    }

    /// Logs some of what a container has written; says whether there is more.
    fn log(&mut self, index: usize, stream: Stream) -> bool {
        if self.outputs.is_watched(index) && self.is_behind(index) {
            self.outputs.hold(index, true);
            self.held.insert(index);
            return false;
        }
        match self.outputs.turn(index, stream, kernel::now()) {
            Ok(turn) => {
                turn.lines.iter().for_each(|line| self.console.say(line));
                turn.notes.iter().for_each(|note| self.warn(index, note));
                if turn.logged > 0 {
                    self.grown.insert(index);
                }
                turn.more
            }
            Err(error) => {
                let name = self.cells.get(index).map(|cell| cell.name.to_string()).unwrap_or_default();
                self.console.say(&format!("{name}: read its output: {}", cause(&error)));
                false
            }
        }
    }

    /// What was made for an instance is taken away again, all but its record.
    fn clean(&mut self, index: usize) -> Result<(), String> {
        let key = self.cells[index].key.clone();
        self.images.unmount(&key)?;
        self.cells[index].attached = None;
        self.detach(index);
        if let Some(adopted) = self.cells[index].adopted.take() {
            let _ = self.poller.remove(adopted.pidfd.as_fd());
        }
        Ok(())
    }
}

/// What it means that a verb could not be begun, or did not work.
fn failed(verb: Verb, reason: String) -> Event {
    match verb {
        Verb::Create => Event::Created(Err(End::NotStarted(reason))),
        Verb::Start => Event::Started(Err(reason)),
        Verb::Delete => Event::Deleted(Err(reason)),
    }
}

/// A socket at a path, in place of any before, that does not block.
fn listen(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    use nix::sys::socket::{Backlog, UnixAddr, bind, listen, socket};
    use std::os::fd::AsRawFd;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let _ = std::fs::remove_file(&new);
    bind(socket.as_raw_fd(), &UnixAddr::new(std::path::Path::new(&new))?)?;
    listen(&socket, Backlog::new(128).unwrap_or(Backlog::MAXCONN))?;
    std::fs::rename(&new, path)?;
    Ok(socket)
}
