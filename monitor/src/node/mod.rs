//! The monitor at work: it looks at each container, asks [`crate::life`] what to
//! do, does it, and writes down what came of it.
//!
//! ```text
//! events ──▶ tell: life::apply ──▶ record ──▶ console, status
//!    ▲                                │
//!    └──── step: life::next ◀─────────┘
//! ```
//!
//! An action that changes the world is done between the records that the table
//! in [`crate::life`] gives; signals and kills are sent before they are recorded,
//! because a second one does no harm and a missing one does.

mod create;
mod exits;
mod recover;
mod run;

pub use run::run;

use crate::image::Images;
use crate::keeper::{Keeper, Subscription, log_name};
use crate::kernel;
use crate::life::{self, Action, Desired, End, Event, Observed, State, Time};
use crate::log::{LogFile, Stream};
use crate::order::Order;
use crate::outputs::Outputs;
use crate::poller::{Poller, Token};
use crate::say::Console;
use crate::verb::{self, Verb, Writers};
use crate::{place, record, status};
use spec::node::{Container, Name, Restart};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// A container as the monitor holds it.
#[derive(Debug)]
struct Cell {
    name: Name,
    /// Its configuration; none for one that is only left over.
    container: Option<Container>,
    observed: Observed,
    /// A process that is another's child: PID 1's, since a monitor was killed.
    adopted: Option<Adopted>,
}

/// Watches a process that the monitor cannot wait for.
#[derive(Debug)]
struct Adopted {
    pidfd: OwnedFd,
    /// It has ended; when PID 1 has not told how by then, nobody will.
    give_up: Option<Time>,
}

/// The monitor.
pub struct Monitor {
    cells: Vec<Cell>,
    order: Order,
    images: Images,
    outputs: Outputs,
    console: Console,
    keeper: Option<Keeper>,
    subscription: Option<Subscription>,
    poller: Poller,
    verbs: BTreeMap<i32, (usize, Verb)>,
    remover: Option<i32>,
    stopping: bool,
}

impl Monitor {
    /// Does what is to be done now for every container; gives the time when
    /// there is more to do.
    fn step_all(&mut self) -> Option<Time> {
        let mut soonest: Option<Time> = None;
        for index in 0..self.cells.len() {
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
                Action::Wait(until) => return until,
                Action::Create => self.create(index),
                Action::Start => self.begin(index, Verb::Start, None),
                Action::Delete => self.begin(index, Verb::Delete, None),
                Action::Signal => self.signal(index),
                Action::Kill => self.kill(index),
            }
        }
    }

    fn desired(&self, index: usize) -> Desired {
        let Cell { name, container, observed, .. } = &self.cells[index];
        let up = !self.stopping && container.is_some() && !self.order.is_barred(name);
        let turn = match observed.state {
            State::Absent => {
                up && self.order.may_start(name, |other| self.observed(other, Observed::was_tried))
            }
            State::Running { .. } => {
                let gone = |observed: &Observed| observed.state == State::Absent;
                up || self.order.may_stop(name, |other| self.observed(other, gone))
            }
            _ => true,
        };
        Desired { up, restart: self.restart(index), turn }
    }

    fn observed(&self, name: &Name, holds: impl Fn(&Observed) -> bool) -> bool {
        let found = self.cells.binary_search_by(|cell| cell.name.cmp(name));
        found.is_ok_and(|index| holds(&self.cells[index].observed))
    }

    fn restart(&self, index: usize) -> Restart {
        self.cells[index].container.as_ref().map_or(Restart::No, |container| container.restart)
    }

    /// Takes an event in: what is known, its record, the console's line, the status.
    fn tell(&mut self, index: usize, event: &Event) {
        let up = self.desired(index).up;
        let restart = self.restart(index);
        let cell = &mut self.cells[index];
        let before = cell.observed.clone();
        life::apply(&mut cell.observed, event, kernel::now());
        if *event == Event::Busy {
            return;
        }
        if let Err(error) = record::write(&place::folder(&cell.name), &cell.observed) {
            self.console.say(&format!("{}: write its record: {error}", cell.name));
        }
        if let Some(line) = life::line(event, &before, &cell.observed, restart, up) {
            self.console.say(&format!("{}: {line}", cell.name));
        }
        self.write_status();
    }

    fn write_status(&mut self) {
        let image = |cell: &Cell| cell.container.as_ref().map(|container| container.image.clone());
        let line = |cell: &Cell| status::line(&cell.name, &cell.observed, image(cell).as_deref());
        let text: String = self.cells.iter().map(line).collect();
        if let Err(error) = place::replace(&place::status(), text.as_bytes()) {
            self.console.say(&format!("monitor: write {}: {error}", place::status().display()));
        }
    }

    /// Starts a verb of the runtime.
    fn begin(&mut self, index: usize, verb: Verb, output: Option<&Writers>) {
        let name = &self.cells[index].name;
        match verb::begin(verb, name, output) {
            Ok(pid) => {
                self.verbs.insert(pid, (index, verb));
                self.tell(index, &Event::Busy);
            }
            Err(error) => {
                let reason = error.to_string();
                self.tell(index, &failed(verb, reason));
            }
        }
    }

    fn signal(&mut self, index: usize) {
        let Cell { observed, .. } = &self.cells[index];
        if let Some(process) = observed.state.process() {
            // One that is gone by now will be seen to have ended.
            let _ = kernel::signal(process, observed.stop.signal);
        }
        self.tell(index, &Event::Asked);
    }

    fn kill(&mut self, index: usize) {
        let Cell { name, observed, .. } = &self.cells[index];
        if let (Err(_), Some(process)) = (kernel::kill_all(name), observed.state.process()) {
            let _ = kernel::signal(process, nix::libc::SIGKILL);
        }
        self.tell(index, &Event::Killed);
    }

    /// Takes on an instance's pipes, wherever they come from.
    fn attach(&mut self, index: usize, pipes: Vec<OwnedFd>) {
        let Cell { name, container, .. } = &self.cells[index];
        let (limit, console) =
            container.as_ref().map_or((u64::MAX, false), |own| (own.log_size.0, own.console));
        self.outputs.attach(name, pipes, LogFile::new(place::log(name), limit), console);
        for (stream, pipe) in self.outputs.pipes(name) {
            if let Err(error) = self.poller.add_edge(pipe, Token::Output(index, stream)) {
                self.console.say(&format!("{name}: watch its output: {error}"));
            }
        }
    }

    /// Lets go of an instance's pipes, here and with PID 1.
    fn detach(&mut self, index: usize) {
        let Cell { name, observed, .. } = &self.cells[index];
        for (_, pipe) in self.outputs.pipes(name) {
            // PID 1 holds the same pipe open, so closing it would not do.
            let _ = self.poller.remove(pipe);
        }
        self.outputs.detach(name);
        if let Some(keeper) = &self.keeper {
            // Nothing is kept when it was never made.
            let _ = keeper.drop(&log_name(name, observed.generation));
        }
    }

    /// Logs some of what a container has written; says whether there is more.
    fn log(&mut self, index: usize, stream: Stream) -> bool {
        let name = self.cells[index].name.clone();
        match self.outputs.turn(&name, stream, kernel::now()) {
            Ok(turn) => {
                turn.lines.iter().for_each(|line| self.console.say(line));
                turn.more
            }
            Err(error) => {
                self.console.say(&format!("{name}: read its output: {error}"));
                false
            }
        }
    }

    /// What was made for an instance is taken away again, all but its record.
    fn clean(&mut self, index: usize) -> Result<(), String> {
        let name = self.cells[index].name.clone();
        self.images.unmount(&name)?;
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
