//! A start, the first of this boot or the one after a kill: everything that was
//! known is found again on the disk, with PID 1 and in the kernel.

use super::{Adopted, Cell, Monitor};
use crate::image::Images;
use crate::keeper::{DESK, Keeper, Subscription, log_name};
use crate::life::{End, Event, Observed, Process, State};
use crate::log::{Desk, LogFile, pipe};
use crate::order::Order;
use crate::outputs::{Outputs, note_line};
use crate::poller::{Poller, Token};
use crate::say::Console;
use crate::{kernel, place, record, verb};
use spec::bundle::Status;
use spec::control::Exit;
use spec::node::{Container, Name};
use spec::paths;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;

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
        let note = desk.resume(log).map_err(|error| format!("finish the batch on the desk: {error}"))?;
        note.iter().for_each(|note| console.say(&format!("monitor: {}", note_line(note))));
        let order = Order::of(&containers);
        // Said once in a boot, not again by every successor.
        if !place::status().exists() {
            order.faults().iter().for_each(|line| console.say(line));
        }
        let mut monitor = Self {
            cells: cells(containers),
            order,
            images: Images::open(),
            outputs: Outputs::new(desk),
            console,
            keeper,
            subscription,
            poller: Poller::new().map_err(|error| format!("epoll: {error}"))?,
            verbs: BTreeMap::new(),
            remover: None,
            stopping: false,
        };
        monitor.fetch_pipes();
        monitor.find_processes();
        monitor.write_status();
        Ok(monitor)
    }

    /// The pipes of every instance that has some; PID 1 closes all others.
    fn fetch_pipes(&mut self) {
        let mut needed = BTreeSet::from([DESK.to_owned()]);
        for index in 0..self.cells.len() {
            let Cell { name, observed, .. } = &self.cells[index];
            if observed.state == State::Absent {
                continue;
            }
            let kept = log_name(name, observed.generation);
            let pipes = self.keeper.as_ref().map_or(Ok(Vec::new()), |keeper| keeper.fetch(&kept));
            needed.insert(kept);
            match pipes {
                Ok(pipes) => self.attach(index, pipes),
                Err(error) => self.console.say(&format!("{name}: fetch its pipes: {error}")),
            }
        }
        let Some(keeper) = &self.keeper else { return };
        let ours = |name: &String| name.starts_with("monitor:") && !needed.contains(name);
        for name in keeper.names().unwrap_or_default().into_iter().filter(ours) {
            let _ = keeper.drop(&name);
        }
    }

    /// What became of every process that a record names.
    fn find_processes(&mut self) {
        let exits = self.keeper.as_ref().and_then(|keeper| keeper.exits().ok()).unwrap_or_default();
        for index in 0..self.cells.len() {
            let Some(process) = self.cells[index].observed.state.process() else { continue };
            match kernel::open(process) {
                Some(pidfd) => self.adopt(index, pidfd),
                None => match exits.iter().find(|exit| is(exit, process)) {
                    Some(exit) => self.told(exit),
                    None => self.end(index, End::Unknown),
                },
            }
        }
    }

    fn adopt(&mut self, index: usize, pidfd: std::os::fd::OwnedFd) {
        let Cell { name, observed, .. } = &self.cells[index];
        if let Err(error) = self.poller.add(pidfd.as_fd(), Token::Adopted(index)) {
            self.console.say(&format!("{name}: watch its process: {error}"));
        }
        let was_created = matches!(observed.state, State::Created(_));
        let runs = was_created && matches!(verb::status(name), Some(Status::Running | Status::Paused));
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

fn is(exit: &Exit, process: Process) -> bool {
    exit.pid == process.pid && exit.start_time == process.start_time
}

/// PID 1, and its word of every exit from now on; neither on a workstation.
fn connect(console: &mut Console) -> Result<(Option<Keeper>, Option<Subscription>), String> {
    let named = |error: io::Error| format!("connect to {}: {error}", paths::INIT_SOCKET);
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
    open().map_err(|error| format!("open the desk: {error}"))
}

/// A cell for each container that is configured or recorded, by name.
fn cells(mut containers: BTreeMap<Name, Container>) -> Vec<Cell> {
    let mut names: BTreeSet<Name> = containers.keys().cloned().collect();
    names.extend(record::names(&place::containers()));
    let cell = |name: Name| {
        let observed: Observed = record::read(&place::folder(&name)).unwrap_or_default();
        Cell { container: containers.remove(&name), observed, adopted: None, name }
    };
    names.into_iter().map(cell).collect()
}
