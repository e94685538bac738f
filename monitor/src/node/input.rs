//! What clients type: to a container's standard input or terminal, or to a session's. What
//! the program does not take yet waits with its client, who is not heard until then.

use super::Monitor;
use super::talk::Talk;
use crate::cells::Cell;
use crate::keeper::log_name;
use crate::life::{State, Time};
use crate::poller::Token;
use crate::{kernel, place, session};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::unistd::write;
use spec::monitor::{Code, Request, Size};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use sys::cause::cause;

/// In a container's folder: the instance whose input ends with the client that gives it some.
const TYPIST: &str = "typist";

/// Where input goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Container(usize),
    Session(usize),
}

impl Monitor {
    /// A client has sent input.
    pub(super) fn typed(&mut self, number: usize, bytes: Vec<u8>) {
        let Some(sink) = self.sink_of(number) else { return };
        if let Some(client) = self.client(number) {
            client.input = bytes;
        }
        self.pass_input(number, sink);
    }

    /// A client whose streams are open has said something.
    pub(super) fn said(&mut self, number: usize, request: &Request) {
        match request {
            Request::InputEnded => {
                let sink = self.sink_of(number);
                if let Some(client) = self.client(number) {
                    client.input_ended = true;
                }
                if let Some(sink) = sink {
                    self.pass_input(number, sink);
                }
            }
            Request::Resize(size) => match self.clients.get(&number) {
                Some((_, Talk::Session(session))) => self.resize_session(*session, *size),
                _ => {
                    if let Some(index) = self.attached_to(number) {
                        self.resize_container(index, Some(*size));
                    }
                }
            },
            Request::Signal { signal } => match self.clients.get(&number) {
                Some((_, Talk::Session(session))) => self.signal_session(*session, *signal),
                _ => self.refuse(number),
            },
            _ => self.refuse(number),
        }
    }

    fn refuse(&mut self, number: usize) {
        if let Some(client) = self.client(number) {
            client.fail(Code::Invalid, "request: streams are open");
        }
    }

    fn sink_of(&self, number: usize) -> Option<Sink> {
        match self.clients.get(&number)? {
            (_, Talk::Session(session)) => Some(Sink::Session(*session)),
            _ => self.gives_input(number).map(Sink::Container),
        }
    }

    fn sink(&self, sink: Sink) -> Option<&OwnedFd> {
        match sink {
            Sink::Container(index) => self.sinks.get(&index),
            Sink::Session(session) => self.sessions.get(&session)?.pipes.as_ref()?.sink.as_ref(),
        }
    }

    /// Writes what a client has typed, as much as is taken.
    fn pass_input(&mut self, number: usize, to: Sink) {
        let Some((client, _)) = self.clients.get_mut(&number) else { return };
        let mut waiting = std::mem::take(&mut client.input);
        let blocked = match self.sink(to) {
            Some(sink) => pour(sink, &mut waiting),
            // One that is only being made takes it later; one without input, or that has ended,
            // never.
            None if self.is_coming(to) => true,
            None => {
                waiting.clear();
                false
            }
        };
        let Some((client, _)) = self.clients.get_mut(&number) else { return };
        let ended = client.input_ended && !blocked;
        client.held = blocked;
        client.input = waiting;
        if client.held {
            return self.watch_sink(to, true);
        }
        if ended {
            match to {
                Sink::Container(index) if self.is_first_clients(index) => self.end_input(index),
                Sink::Container(_) => {}
                Sink::Session(session) => self.end_session_input(session),
            }
        }
    }

    /// A container with input that is about to be made.
    fn is_coming(&self, to: Sink) -> bool {
        let Sink::Container(index) = to else { return false };
        let with_input = |cell: &Cell| cell.container.as_ref().is_some_and(|own| own.tty || own.stdin);
        self.cells.get(index).filter(|cell| with_input(cell)).is_some_and(|cell| match cell.observed.state {
            State::Creating | State::Created(_) => true,
            State::Absent | State::Ended => cell.observed.asked && self.desired(index).up,
            State::Running { .. } | State::Stopping { .. } => false,
        })
    }

    /// An instance has its input now: who typed before is heard.
    pub(super) fn input_made(&mut self, index: usize) {
        self.sink_ready(Sink::Container(index));
    }

    fn watch_sink(&self, sink: Sink, on: bool) {
        let Some(descriptor) = self.sink(sink) else { return };
        let token = match sink {
            Sink::Container(index) => Token::Input(index),
            Sink::Session(session) => Token::SessionInput(session),
        };
        if on {
            let _ = self.poller.watch(descriptor.as_fd(), token, EpollFlags::EPOLLOUT);
        } else {
            let _ = self.poller.remove(descriptor.as_fd());
        }
    }

    /// A container's input takes more.
    pub(super) fn input_ready(&mut self, index: usize) {
        self.sink_ready(Sink::Container(index));
    }

    /// A session's input takes more.
    pub(super) fn session_input_ready(&mut self, session: usize) {
        self.sink_ready(Sink::Session(session));
    }

    fn sink_ready(&mut self, sink: Sink) {
        self.watch_sink(sink, false);
        let numbers: Vec<usize> = self.clients.keys().copied().collect();
        for number in numbers {
            let held = self.clients.get(&number).is_some_and(|(client, _)| client.held);
            if held && self.sink_of(number) == Some(sink) {
                self.pass_input(number, sink);
                self.hear(number);
            }
        }
    }

    /// Its input ends with the first client's.
    fn is_first_clients(&self, index: usize) -> bool {
        let definition = self.cells.get(index).and_then(|cell| cell.definition.as_ref());
        definition.is_some_and(|own| own.stdin_once)
    }

    /// A client gives a container input, and it is to end when that leaves: also if the monitor is killed before, so
    /// it is written down of which instance.
    pub(super) fn typist_came(&mut self, index: usize) {
        if !self.is_first_clients(index) {
            return;
        }
        // Nobody is waited for any more.
        self.cells[index].typist_due = None;
        let cell = &self.cells[index];
        let folder = place::folder(&cell.key);
        let noted = fs::create_dir_all(&folder).and_then(|()| {
            sys::file::replace(&folder.join(TYPIST), cell.its_instance().to_string().as_bytes())
        });
        if let Err(error) = noted {
            self.console.say(&format!("{}: note who gives it input: {}", cell.name, cause(&error)));
        }
    }

    /// After a start of the monitor: who gave input before has so long to come back, also to an instance that is only
    /// coming.
    pub(super) fn await_typist(&mut self, index: usize) {
        let cell = &self.cells[index];
        let noted = fs::read_to_string(place::folder(&cell.key).join(TYPIST)).unwrap_or_default();
        let its = noted.parse::<u64>().is_ok_and(|noted| cell.is_its_typist(noted));
        let takes = self.sinks.contains_key(&index) || self.is_coming(Sink::Container(index));
        if its && takes && self.is_first_clients(index) {
            // The number may be another one now.
            self.typist_came(index);
            self.cells[index].typist_due = Some(kernel::now() + session::PATIENCE);
        }
    }

    /// Ends the input of those who did not come back; gives the time when there is more to end.
    pub(super) fn typists_due(&mut self) -> Option<Time> {
        let now = kernel::now();
        for index in self.cells.indices() {
            if self.cells[index].typist_due.is_some_and(|due| due <= now) {
                self.typist_left(index);
            }
        }
        self.cells.iter().filter_map(|(_, cell)| cell.typist_due).min()
    }

    /// A client that gave a container input has left before that was over.
    pub(super) fn typist_left(&mut self, index: usize) {
        if !self.is_first_clients(index) {
            return;
        }
        let cell = &mut self.cells[index];
        cell.typist_due = None;
        // It may have ended with its instance.
        let _ = fs::remove_file(place::folder(&cell.key).join(TYPIST));
        if self.is_coming(Sink::Container(index)) && !self.sinks.contains_key(&index) {
            self.cells[index].input_over = self.cells[index].its_instance();
        }
        self.end_input(index);
    }

    /// A container's input has come to its end: what is kept of it goes, too. A terminal's does not.
    pub(super) fn end_input(&mut self, index: usize) {
        let Some(cell) = self.cells.get(index) else { return };
        if cell.container.as_ref().is_some_and(|own| own.tty) || !self.sinks.contains_key(&index) {
            return;
        }
        let name = log_name(&cell.key, cell.observed.generation);
        let pipes = self.outputs.pipes(index);
        let pipes: Vec<_> = pipes.iter().map(|(_, pipe)| *pipe).collect();
        if let Some(keeper) = &self.keeper
            && let Err(error) = keeper.store(&name, &pipes)
        {
            self.console.say(&format!("{}: close its input: {}", cell.name, cause(&error)));
        }
        self.close_input(index);
    }

    /// Lets go of a container's input, here.
    pub(super) fn close_input(&mut self, index: usize) {
        self.watch_sink(Sink::Container(index), false);
        self.sinks.remove(&index);
        self.release(Sink::Container(index));
    }

    fn end_session_input(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.record.tty {
            return;
        }
        let Some(sink) = session.pipes.as_mut().and_then(|pipes| pipes.sink.take()) else { return };
        let _ = self.poller.remove(sink.as_fd());
        drop(sink);
        if let (Some(keeper), Some(pipes)) = (&self.keeper, &session.pipes) {
            let _ = keeper.store(&session::kept(&session.id), &pipes.all());
        }
    }

    /// Whoever was held because of this input is heard again; what it typed is lost.
    fn release(&mut self, sink: Sink) {
        let numbers: Vec<usize> = self.clients.keys().copied().collect();
        for number in numbers {
            if self.sink_of(number) == Some(sink)
                && let Some(client) = self.client(number)
            {
                client.input.clear();
                client.held = false;
            }
        }
    }

    /// Gives a container's terminal a size; one that is not there yet has it from the beginning.
    pub(super) fn resize_container(&mut self, index: usize, size: Option<Size>) {
        let terminal =
            self.cells.get(index).and_then(|cell| cell.container.as_ref()).is_some_and(|own| own.tty);
        let Some(size) = size.filter(|_| terminal) else { return };
        match self.sinks.get(&index) {
            // One whose program has ended has none.
            Some(master) => drop(sys::terminal::set_size(master.as_fd(), size.rows, size.columns)),
            None => drop(self.sizes.insert(index, size)),
        }
    }
}

/// Writes as much as is taken; says whether the rest may be taken later.
fn pour(sink: &OwnedFd, waiting: &mut Vec<u8>) -> bool {
    while !waiting.is_empty() {
        match write(sink, waiting) {
            Ok(length) => drop(waiting.drain(..length)),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return true,
            Err(_) => waiting.clear(),
        }
    }
    false
}
