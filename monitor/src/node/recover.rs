//! A start, the first of this boot or the one after a kill: everything that was
//! known is found again on the disk, with PID 1 and in the kernel.

use super::{Monitor, socket};
use crate::cells::{Adopted, Cell, Cells};
use crate::damage::KernelLog;
use crate::definition::{self, Definition};
use crate::etc::Resolver;
use crate::image::Images;
use crate::keeper::{DESK, Keeper, Subscription, log_name};
use crate::life::{self, End, Event, Last, Observed, Process, State, Time};
use crate::log::{Desk, LogFile, pipe};
use crate::order::Order;
use crate::outputs::{Outputs, note_line};
use crate::poller::{Poller, Token};
use crate::ring::Ring;
use crate::say::Console;
use crate::{kernel, network, place, record, verb};
use spec::bundle::Status;
use spec::control::Exit;
use spec::network::Attached;
use spec::node::{Container, Name, Restart};
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use sys::cause::cause;
use sys::socket::Spare;

/// How long what is to go once it has ended stays after a restart of the monitor.
const MOMENT: Duration = Duration::from_secs(10);

impl Monitor {
    /// Finds everything again. Nothing is started or stopped yet.
    ///
    /// # Errors
    /// What the monitor cannot do without.
    pub(super) fn recover(containers: BTreeMap<Name, Container>) -> Result<Self, String> {
        let mut console = Console::default();
        let (keeper, subscription) = connect(&mut console)?;
        kernel::end_leftovers();
        let mut desk = desk(keeper.as_ref())?;
        let log = |name: &Name| LogFile::new(place::log(name), u64::MAX);
        let note =
            desk.resume(log).map_err(|error| format!("finish the batch on the desk: {}", cause(&error)))?;
        note.iter().for_each(|note| console.say(&format!("monitor: {}", note_line(note))));
        let order = Order::of(&containers);
        // Said once in a boot, not again by every successor.
        if !place::status().exists() {
            order.faults().iter().for_each(|line| console.say(line));
        }
        let cells = cells(containers, &mut console)?;
        let mut monitor = Self {
            cells,
            order,
            images: Images::open(),
            outputs: Outputs::new(desk),
            console,
            keeper,
            subscription,
            unsubscribed: None,
            poller: Poller::new().map_err(|error| format!("epoll: {}", cause(&error)))?,
            work: BTreeMap::new(),
            remover: None,
            stopping: false,
            stale: true,
            status_failed: false,
            listener: None,
            spare: Spare::default(),
            clients: BTreeMap::new(),
            next_client: 0,
            ring: Ring::default(),
            sessions: BTreeMap::new(),
            next_session: 0,
            sinks: BTreeMap::new(),
            consoles: BTreeMap::new(),
            sizes: BTreeMap::new(),
            grown: BTreeSet::new(),
            held: BTreeSet::new(),
            eager: BTreeSet::new(),
            resolver: Resolver::open(),
            kernel_log: KernelLog::open().ok(),
            damaged: BTreeSet::new(),
            check_again: false,
            updates: BTreeMap::new(),
            round: None,
        };
        let unheard = |error: io::Error| format!("ask PID 1 for what it keeps: {}", cause(&error));
        let sessions = monitor.recover_sessions().map_err(unheard)?;
        monitor.fetch_pipes(sessions).map_err(unheard)?;
        monitor.find_processes().map_err(unheard)?;
        monitor.cells.indices().into_iter().for_each(|index| monitor.recover_check(index));
        monitor.cells.indices().into_iter().for_each(|index| monitor.await_typist(index));
        monitor.cells.indices().into_iter().for_each(|index| monitor.mend_if_cut_short(index));
        monitor.write_status();
        // Whoever finds the socket finds all of this.
        monitor.listener = Some(socket::open()?);
        Ok(monitor)
    }

    /// The pipes of every instance that has some; PID 1 closes all others.
    ///
    /// # Errors
    /// PID 1 does not answer: without its pipes a container would block, or lose what it says.
    fn fetch_pipes(&mut self, sessions: Vec<String>) -> io::Result<()> {
        let mut needed = BTreeSet::from([DESK.to_owned()]);
        needed.extend(sessions);
        for index in self.cells.indices() {
            let Cell { key, observed, .. } = &self.cells[index];
            // What is only being made is made anew.
            if matches!(observed.state, State::Absent | State::Creating) {
                continue;
            }
            let kept = log_name(key, observed.generation);
            let pipes = self.keeper.as_ref().map_or(Ok(Vec::new()), |keeper| keeper.fetch(&kept))?;
            needed.insert(kept);
            self.attach(index, pipes);
        }
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let ours = |name: &String| name.starts_with("monitor:") && !needed.contains(name);
        for name in keeper.names()?.into_iter().filter(ours) {
            let _ = keeper.drop(&name);
        }
        Ok(())
    }

    /// What became of every process that a record names.
    ///
    /// # Errors
    /// PID 1 does not answer: nobody would know how those have ended that are gone.
    fn find_processes(&mut self) -> io::Result<()> {
        let recorded = |index: usize| Some((index, self.cells[index].observed.state.process()?));
        let recorded = self.cells.indices().into_iter().filter_map(recorded).collect();
        let ask = || self.keeper.as_ref().map_or(Ok(Vec::new()), Keeper::exits);
        let (found, exits) = find(recorded, kernel::open, ask)?;
        for (index, found) in found {
            match found {
                Found::There(pidfd) => self.adopt(index, pidfd),
                Found::Ended(exit) => self.told(&exit),
                Found::Gone => self.end(index, End::Unknown),
            }
        }
        self.find_session_processes(&exits);
        Ok(())
    }

    fn adopt(&mut self, index: usize, pidfd: OwnedFd) {
        let Cell { key, name, observed, .. } = &self.cells[index];
        if let Err(error) = self.poller.add(pidfd.as_fd(), Token::Adopted(index)) {
            self.console.say(&format!("{name}: watch its process: {}", cause(&error)));
        }
        let was_created = matches!(observed.state, State::Created(_));
        let runs = was_created && matches!(verb::status(key), Some(Status::Running | Status::Paused));
        if let (State::Running { process, .. }, name) = (observed.state, name.clone()) {
            self.console.say(&format!("{name}: still running (pid {})", process.pid));
        }
        self.cells[index].adopted = Some(Adopted { pidfd, give_up: None });
        if runs {
            // Killed between `start` and its record.
            self.tell(index, &Event::Started(Ok(())));
        }
    }
}

/// What became of a process.
#[derive(Debug)]
enum Found {
    /// It is there, perhaps as a zombie: PID 1 will tell of its end.
    There(OwnedFd),
    /// PID 1 has told how it ended.
    Ended(Exit),
    /// Nobody knows.
    Gone,
}

/// What became of each, and all ends that PID 1 has told of.
type Ends = (Vec<(usize, Found)>, Vec<Exit>);

/// Looks for processes, and asks for the ends of those that are not there. Only in this order is each either there or
/// told of: one may end while others are looked for.
fn find(
    recorded: Vec<(usize, Process)>,
    open: impl Fn(Process) -> Option<OwnedFd>,
    ask: impl FnOnce() -> io::Result<Vec<Exit>>,
) -> io::Result<Ends> {
    let opened: Vec<_> =
        recorded.into_iter().map(|(index, process)| (index, process, open(process))).collect();
    let exits = ask()?;
    let is = |exit: &Exit, process: Process| exit.pid == process.pid && exit.start_time == process.start_time;
    let found = |(index, process, pidfd): (usize, Process, Option<OwnedFd>)| {
        let ended = || exits.iter().find(|exit| is(exit, process)).copied();
        let found = pidfd.map(Found::There).or_else(|| ended().map(Found::Ended)).unwrap_or(Found::Gone);
        (index, found)
    };
    Ok((opened.into_iter().map(found).collect(), exits))
}

/// PID 1, and its word of every exit from now on; neither on a workstation.
fn connect(console: &mut Console) -> Result<(Option<Keeper>, Option<Subscription>), String> {
    let named = |error: io::Error| format!("connect to {}: {}", paths::INIT_SOCKET, cause(&error));
    match Keeper::connect(paths::INIT_SOCKET) {
        Ok(keeper) => {
            let second = Keeper::connect(paths::INIT_SOCKET).map_err(named)?;
            Ok((Some(keeper), Some(second.subscribe().map_err(named)?)))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            console.say(
                "monitor: there is no PID 1 of ours: containers' output is lost when the monitor is killed",
            );
            Ok((None, None))
        }
        Err(error) => Err(named(error)),
    }
}

/// The desk that PID 1 keeps, or a new one.
fn desk(keeper: Option<&Keeper>) -> Result<Desk, String> {
    let open = || -> io::Result<Desk> {
        let kept = keeper.map_or(Ok(Vec::new()), |keeper| keeper.fetch(DESK))?;
        let (reader, writer) = match <[_; 2]>::try_from(kept) {
            Ok([reader, writer]) => (reader, writer),
            Err(_) => {
                let (reader, writer) = pipe()?;
                if let Some(keeper) = keeper {
                    keeper.store(DESK, &[reader.as_fd(), writer.as_fd()])?;
                }
                (reader, writer)
            }
        };
        Desk::open(reader, writer, &place::mark())
    };
    open().map_err(|error| format!("open the desk: {}", cause(&error)))
}

/// A cell for each container that is configured, defined or recorded.
///
/// # Errors
/// It cannot be told which containers are defined: who is not would be ended.
fn cells(containers: BTreeMap<Name, Container>, console: &mut Console) -> Result<Cells, String> {
    let mut cells = Cells::default();
    let mut recorded: BTreeSet<Name> = record::names(&place::containers()).into_iter().collect();
    for (key, container) in containers {
        recorded.remove(&key);
        cells.insert(Cell { container: Some(container), ..recorded_as(key) });
    }
    for key in definition::keys()? {
        let cell = defined(key, console);
        recorded.remove(&cell.key);
        if cells.find(&cell.name).or_else(|| cells.find(&cell.key)).is_some() {
            console.say(&format!("{}: stays down: node.toml has one of that name", cell.name));
            continue;
        }
        cells.insert(cell);
    }
    for key in recorded.into_iter().filter(|key| cells.find(key).is_none()).collect::<Vec<_>>() {
        cells.insert(recorded_as(key));
    }
    Ok(cells)
}

/// A person's container, by its file or, where that is spoiled, by the copy, from which the file is made anew.
fn defined(key: Name, console: &mut Console) -> Cell {
    let fault = match definition::read(&key) {
        Ok((own, container)) => return persons(key, own, container),
        Err(fault) => fault,
    };
    console.say(&format!("monitor: {fault}"));
    match definition::read_copy(&key) {
        Some((own, container)) => Cell { unwritten: Some(kernel::now()), ..persons(key, own, container) },
        None => Cell { damaged: true, ..recorded_as(key) },
    }
}

fn recorded_as(key: Name) -> Cell {
    let observed = record::read(&place::folder(&key)).unwrap_or_default();
    let attached = attached(&key, &observed);
    let made_anew = observed.state == State::Creating;
    Cell { observed, attached, made_anew, ..Cell::new(key) }
}

/// A person's container: as its record has it, or, when the node has booted since, as Docker's
/// rules say. One that is to go once it has ended stays for a moment: whoever waits for its
/// end has just lost the monitor that would have told.
fn persons(key: Name, own: Definition, container: Container) -> Cell {
    let known = record::read(&place::folder(&key));
    let mut cell = Cell { name: own.name.clone(), container: Some(container), ..Cell::new(key) };
    cell.keep_until = kernel::now() + MOMENT;
    // A record that is noise says nothing of what is wanted: whatever ran goes, and comes back as it is defined.
    let known = known.map(|known| match known.wanted {
        Some(_) => known,
        None => {
            let last = own.last.as_ref().map(|last| Last { end: last.end.clone(), at: Time::ZERO });
            let out_of_memory = own.last.as_ref().is_some_and(|last| last.out_of_memory);
            Observed { wanted: Some(own.wanted), last, out_of_memory, ..known }
        }
    });
    cell.observed = known.unwrap_or_else(|| {
        let last = own.last.as_ref().map(|last| i32::from(last.end.code()));
        let restart = cell.container.as_ref().map_or(Restart::No, |container| container.restart);
        let wanted = Some(life::at_boot(restart, own.wanted, own.started, last));
        let mut observed = Observed { wanted, ..Observed::default() };
        if own.remove || (own.started && own.last.is_none()) {
            // It ended with the boot before at the latest; how, nobody saw when the power went.
            let end = own.last.as_ref().map_or(End::Unknown, |last| last.end.clone());
            observed.last = Some(Last { end, at: Time::ZERO });
            observed.out_of_memory = own.last.as_ref().is_some_and(|last| last.out_of_memory);
        }
        observed
    });
    cell.attached = attached(&cell.key, &cell.observed);
    cell.made_anew = cell.observed.state == State::Creating;
    cell.definition = Some(Box::new(own));
    cell
}

/// What an instance has that was made as a whole.
fn attached(key: &Name, observed: &Observed) -> Option<Box<Attached>> {
    let made = !matches!(observed.state, State::Absent | State::Creating);
    network::answer(key).filter(|_| made && network::is_held(key)).map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn one_that_ends_while_others_are_looked_for_is_told_of() {
        let process = |pid| Process { pid, start_time: 9 };
        let ring = RefCell::new(Vec::new());
        // PID 1 reaps 71 and 72 as they are about to be looked for; 73 ended too long ago to be remembered.
        let open = |Process { pid, start_time }| {
            if pid <= 72 {
                ring.borrow_mut().push(Exit { seq: 1, pid, start_time, status: pid });
            }
            (pid > 73).then(|| std::fs::File::open("/dev/null").unwrap().into())
        };
        let recorded = (71..=74).map(|pid| (pid as usize, process(pid))).collect();
        let (found, exits) = find(recorded, open, || Ok(ring.borrow().clone())).unwrap();
        assert_eq!(exits.len(), 2);
        let [(71, Found::Ended(first)), (72, Found::Ended(second)), (73, Found::Gone), (74, Found::There(_))] =
            &found[..]
        else {
            panic!("{found:?}")
        };
        assert_eq!((first.status, second.status), (71, 72));
    }
}
