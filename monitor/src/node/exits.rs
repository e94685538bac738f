//! Processes that have ended: looked at, written down, and only then reaped.

use super::{Monitor, Work, failed};
use crate::cells::Cell;
use crate::life::{End, Event, Process};
use crate::verb::{self, Verb};
use crate::{follow, kernel, network, place};
use nix::libc;
use std::time::Duration;
use sys::cause::cause;
use sys::process::{peek_ended, reap};

/// How long PID 1 may take to tell how a process ended that was its child. On a busy node it
/// takes seconds; what is given up is told of as an end that nobody knows, so only one that PID 1
/// does not know either waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How many are reaped in a turn: a container that shares the node's processes may make orphans without end.
const AT_ONCE: usize = 256;

impl Monitor {
    /// Takes in children that have ended, so many that all else has its turn; says whether there may be more. A monitor
    /// killed in between leaves the zombie to PID 1, which tells the next one.
    pub(super) fn reap_some(&mut self) -> bool {
        for _ in 0..AT_ONCE {
            let Some(ended) = peek_ended() else { return false };
            match self.work.remove(&ended.pid) {
                Some(Work::Container(index, verb)) => self.verb_ended(index, verb, ended.status),
                Some(Work::Network(index, verb)) => self.network_verb_ended(index, verb, ended.status),
                Some(Work::Pull(index)) => self.pull_ended(index, ended.status),
                Some(Work::Fill(index)) => self.filled(index, ended.status),
                Some(Work::Check) => self.store_checked(ended.status),
                Some(Work::Update(number)) => self.update_ended(number, ended.status),
                Some(Work::Session(number)) => self.exec_ended(number, ended.status),
                None => self.process_ended(&|process| process.pid == ended.pid, ended.status),
            }
            reap(ended.pid);
            if self.remover.take_if(|remover| *remover == ended.pid).is_some() && ended.status == 0 {
                // More may have been put aside meanwhile.
                self.remove_old();
            }
        }
        true
    }

    /// Takes in what PID 1 tells of a process that was its child.
    pub(super) fn told(&mut self, exit: &spec::control::Exit) {
        let who = Process { pid: exit.pid, start_time: exit.start_time };
        self.process_ended(&|process| process == who, exit.status);
    }

    fn process_ended(&mut self, is: &dyn Fn(Process) -> bool, status: i32) {
        if let Some(index) = self.find(is) {
            self.ended(index, status);
        } else if let Some(number) = self.find_session(is) {
            self.session_ended(number, of(status));
        }
    }

    /// A process that is not our child has ended: PID 1 is about to tell how.
    pub(super) fn adopted_ended(&mut self, index: usize) {
        let give_up = if self.keeper.is_some() { kernel::now() + PATIENCE } else { kernel::now() };
        if let Some(adopted) = &mut self.cells[index].adopted {
            let _ = self.poller.remove(std::os::fd::AsFd::as_fd(&adopted.pidfd));
            adopted.give_up.get_or_insert(give_up);
        }
    }

    /// Gives up on those of whom PID 1 has told nothing; gives the time when
    /// the next one is due.
    pub(super) fn give_up(&mut self) -> Option<crate::life::Time> {
        let now = kernel::now();
        let mut soonest: Option<crate::life::Time> = None;
        let due = |cell: &Cell| {
            cell.adopted.as_ref().and_then(|adopted| adopted.give_up).is_some_and(|due| due <= now)
        };
        if self.cells.iter().any(|(_, cell)| due(cell)) {
            // Its word may have been lost.
            let exits = self.keeper.as_ref().and_then(|keeper| keeper.exits().ok()).unwrap_or_default();
            exits.iter().for_each(|exit| self.told(exit));
        }
        for index in self.cells.indices() {
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

    fn find(&self, is: &dyn Fn(Process) -> bool) -> Option<usize> {
        self.cells
            .iter()
            .find(|(_, cell)| cell.observed.state.process().is_some_and(is))
            .map(|(index, _)| index)
    }

    fn ended(&mut self, index: usize, status: i32) {
        self.end(index, of(status));
    }

    /// An instance has ended: what it has written until now, then its record. Whoever looks on reads up to here.
    pub(super) fn end(&mut self, index: usize, end: End) {
        match self.outputs.drain(index) {
            Ok(lines) => lines.iter().for_each(|line| self.console.say(line)),
            Err(error) => {
                self.console.say(&format!("{}: read its output: {}", self.cells[index].name, cause(&error)))
            }
        }
        self.grown.insert(index);
        self.limit_followers(index, follow::end(&place::log(&self.cells[index].key)));
        self.forget_adopted(index);
        // As with Docker, whichever of its processes it was. The cgroup stays until the instance is deleted.
        let lacked = kernel::was_out_of_memory(&self.cells[index].cgroup());
        if lacked {
            self.tell(index, &Event::OutOfMemory);
        }
        self.tell(index, &Event::Ended(by(end, lacked)));
    }

    fn verb_ended(&mut self, index: usize, verb: Verb, status: i32) {
        if (verb, status) == (Verb::Delete, 0) && network::is_held(&self.cells[index].key) {
            return self.detach_network(index);
        }
        let event = if status != 0 {
            failed(verb, verb::reason(&place::folder(&self.cells[index].key), status))
        } else {
            match verb {
                Verb::Create => self.created(index),
                Verb::Start => Event::Started(Ok(())),
                Verb::Delete => Event::Deleted(self.clean(index)),
            }
        };
        self.consoles.remove(&index);
        self.tell(index, &event);
    }

    fn created(&mut self, index: usize) -> Event {
        if let Err(reason) = self.take_terminal(index) {
            return Event::Created(Err(End::NotStarted(reason)));
        }
        let folder = place::folder(&self.cells[index].key);
        let process = verb::pid(&folder).and_then(kernel::process);
        let missing = || End::NotStarted(format!("{} names no process", folder.join("pid").display()));
        Event::Created(process.ok_or_else(missing))
    }
}

/// Who is killed while memory lacks is killed for that.
fn by(end: End, out_of_memory: bool) -> End {
    if out_of_memory && end == End::Signalled(libc::SIGKILL) { End::OutOfMemory } else { end }
}

/// What a wait status says.
pub(super) fn of(status: i32) -> End {
    if libc::WIFSIGNALED(status) {
        End::Signalled(libc::WTERMSIG(status))
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_killed_ended_for_lack_of_memory() {
        assert_eq!(by(of(libc::SIGKILL), true), End::OutOfMemory);
        assert_eq!(by(of(libc::SIGKILL), false), End::Signalled(libc::SIGKILL));
        assert_eq!(by(of(3 << 8), true), End::Exited(3));
        assert_eq!(by(End::Unknown, true), End::Unknown);
    }
}
