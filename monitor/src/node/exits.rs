//! Processes that have ended: looked at, written down, and only then reaped.

use super::{Monitor, failed};
use crate::life::{End, Event, Process};
use crate::verb::{self, Verb};
use crate::{kernel, place};
use nix::libc;
use std::time::Duration;
use sys::process::{peek_ended, reap};

/// How long PID 1 may take to tell how a process ended that was its child.
const PATIENCE: Duration = Duration::from_secs(2);

impl Monitor {
    /// Takes in every child that has ended. A monitor killed in between leaves
    /// the zombie to PID 1, which tells the next one.
    pub(super) fn reap_all(&mut self) {
        while let Some(ended) = peek_ended() {
            if let Some((index, verb)) = self.verbs.remove(&ended.pid) {
                self.verb_ended(index, verb, ended.status);
            } else if let Some(index) = self.find(|process| process.pid == ended.pid) {
                self.ended(index, ended.status);
            }
            reap(ended.pid);
            if self.remover.take_if(|remover| *remover == ended.pid).is_some() && ended.status == 0 {
                // More may have been put aside meanwhile.
                self.remove_old();
            }
        }
    }

    /// Takes in what PID 1 tells of a process that was its child.
    pub(super) fn told(&mut self, exit: &spec::control::Exit) {
        let who = Process { pid: exit.pid, start_time: exit.start_time };
        if let Some(index) = self.find(|process| process == who) {
            self.ended(index, exit.status);
        }
    }

    /// A process that is not our child has ended: PID 1 is about to tell how.
    pub(super) fn adopted_ended(&mut self, index: usize) {
        let give_up = if self.keeper.is_some() { kernel::now() + PATIENCE } else { kernel::now() };
        if let Some(adopted) = &mut self.cells[index].adopted {
            adopted.give_up.get_or_insert(give_up);
        }
    }

    /// Gives up on those of whom PID 1 has told nothing; gives the time when
    /// the next one is due.
    pub(super) fn give_up(&mut self) -> Option<crate::life::Time> {
        let now = kernel::now();
        let mut soonest: Option<crate::life::Time> = None;
        for index in 0..self.cells.len() {
            let Some(due) = self.cells[index].adopted.as_ref().and_then(|adopted| adopted.give_up) else {
                continue;
            };
            if due <= now {
                self.end(index, End::Unknown);
            } else {
                soonest = Some(soonest.map_or(due, |other| other.min(due)));
            }
        }
        soonest
    }

    fn find(&self, is: impl Fn(Process) -> bool) -> Option<usize> {
        self.cells.iter().position(|cell| cell.observed.state.process().is_some_and(&is))
    }

    fn ended(&mut self, index: usize, status: i32) {
        let name = &self.cells[index].name;
        let end = match (libc::WIFSIGNALED(status), libc::WTERMSIG(status)) {
            (true, libc::SIGKILL) if kernel::was_out_of_memory(name) => End::OutOfMemory,
            (true, signal) => End::Signalled(signal),
            (false, _) => End::Exited(libc::WEXITSTATUS(status)),
        };
        self.end(index, end);
    }

    /// An instance has ended: its last words, then its record.
    pub(super) fn end(&mut self, index: usize, end: End) {
        let name = self.cells[index].name.clone();
        match self.outputs.drain(&name) {
            Ok(lines) => lines.iter().for_each(|line| self.console.say(line)),
            Err(error) => self.console.say(&format!("{name}: read its output: {error}")),
        }
        if let Some(adopted) = self.cells[index].adopted.take() {
            use std::os::fd::AsFd;
            let _ = self.poller.remove(adopted.pidfd.as_fd());
        }
        self.tell(index, &Event::Ended(end));
    }

    fn verb_ended(&mut self, index: usize, verb: Verb, status: i32) {
        let name = self.cells[index].name.clone();
        let event = if status != 0 {
            failed(verb, verb::reason(&name, status))
        } else {
            match verb {
                Verb::Create => self.created(index),
                Verb::Start => Event::Started(Ok(())),
                Verb::Delete => Event::Deleted(self.clean(index)),
            }
        };
        self.tell(index, &event);
    }

    fn created(&self, index: usize) -> Event {
        let name = &self.cells[index].name;
        let process = verb::pid(name).and_then(kernel::process);
        let missing = || {
            let path = place::folder(name).join("pid");
            End::NotStarted(format!("{} names no process", path.display()))
        };
        Event::Created(process.ok_or_else(missing))
    }
}
