//! Sessions that outlive a monitor: found again by the next one, joined again by their clients, and
//! given up when nobody does.

use super::super::talk::{Outcome, Talk, Then, failure};
use super::super::{Monitor, exits};
use crate::cells::Adopted;
use crate::kernel;
use crate::life::{End, Process, Time};
use crate::poller::Token;
use crate::session::{self, Pipes, Progress, Record, Session, kept};
use spec::control::Exit;
use spec::monitor::Code;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

impl Monitor {
    /// Joins the streams of a session again.
    pub(in crate::node) fn resume(&mut self, number: usize, id: &str, received: u64) -> Outcome {
        if id.starts_with("attach-") {
            return self.rejoin(number, id, received);
        }
        let found = self.sessions.iter_mut().find(|(_, session)| session.id == id && session.pipes.is_some());
        match found {
            Some((_, session)) if session.client.is_some() => {
                Err(failure(Code::State, format!("session {id:?}: somebody has it")))
            }
            Some((session_number, session)) => {
                let (session_number, tty) = (*session_number, session.record.tty);
                (session.client, session.due) = (Some(number), None);
                self.tell_streams(number, Some(id.to_owned()), tty);
                Ok(Then::Talk(Talk::Session(session_number)))
            }
            None => Err(failure(Code::NotFound, format!("session {id:?}: there is none"))),
        }
    }

    /// Finds the sessions again that a killed monitor has left. Gives the names that PID 1 is
    /// to keep.
    ///
    /// # Errors
    /// PID 1 does not answer.
    pub(in crate::node) fn recover_sessions(&mut self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (id, record) in session::read_all() {
            let number = self.next_session;
            self.next_session += 1;
            let session = record.map_or(Ok(None), |record| self.recovered(&id, record))?;
            let Some(session) = session else {
                let _ = fs::remove_dir_all(session::folder(&id));
                continue;
            };
            names.push(kept(&id));
            for (stream, source) in session.sources() {
                let _ = self.poller.add_edge(source, Token::SessionOutput(number, stream));
            }
            if let Some(adopted) = &session.adopted {
                let _ = self.poller.add(adopted.pidfd.as_fd(), Token::SessionAdopted(number));
            }
            self.sessions.insert(number, session);
        }
        Ok(names)
    }

    fn recovered(&self, id: &str, record: Record) -> io::Result<Option<Session>> {
        let Some((container, _)) = self.cells.iter().find(|(_, cell)| cell.key == record.key) else {
            return Ok(None);
        };
        // One that nobody could know of yet is given up; its program gets no answer and ends.
        let adopted = match record.progress {
            Progress::Starting => return Ok(None),
            Progress::Running(process) => {
                let opened = kernel::open(process);
                opened.map(|pidfd| Adopted { pidfd, give_up: None })
            }
            Progress::Ended(_) => None,
        };
        let descriptors = self.keeper.as_ref().map_or(Ok(Vec::new()), |keeper| keeper.fetch(&kept(id)))?;
        let Some(pipes) = Pipes::of(&record, descriptors) else { return Ok(None) };
        let due = Some(kernel::now() + session::PATIENCE);
        let id = id.to_owned();
        Ok(Some(Session {
            id,
            record,
            container,
            pipes: Some(pipes),
            console: None,
            client: None,
            owed: None,
            adopted,
            due,
            check: false,
            said: None,
        }))
    }

    /// What became of sessions' processes while there was no monitor.
    pub(in crate::node) fn find_session_processes(&mut self, exits: &[Exit]) {
        let gone = |(number, session): (&usize, &Session)| {
            session.process().filter(|_| session.adopted.is_none()).map(|process| (*number, process))
        };
        let gone: Vec<(usize, Process)> = self.sessions.iter().filter_map(gone).collect();
        for (number, process) in gone {
            let is = |exit: &&Exit| exit.pid == process.pid && exit.start_time == process.start_time;
            let end = exits.iter().find(is).map_or(End::Unknown, |exit| exits::of(exit.status));
            self.session_ended(number, end);
        }
    }

    /// A session's process that is PID 1's child has ended: PID 1 is about to tell how.
    pub(in crate::node) fn session_adopted_ended(&mut self, number: usize) {
        let patience = if self.keeper.is_some() { exits::PATIENCE } else { Duration::ZERO };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if let Some(adopted) = &mut session.adopted {
            let _ = self.poller.remove(adopted.pidfd.as_fd());
            adopted.give_up.get_or_insert(kernel::now() + patience);
        }
    }

    /// Gives up sessions whose time has come; gives the time of the next one.
    pub(in crate::node) fn sessions_due(&mut self) -> Option<Time> {
        let now = kernel::now();
        let due = |session: &Session| {
            let give_up = session.adopted.as_ref().and_then(|adopted| adopted.give_up);
            [session.due, give_up].into_iter().flatten().min()
        };
        let over: Vec<usize> = self
            .sessions
            .iter()
            .filter(|(_, session)| due(session).is_some_and(|time| time <= now))
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            let Some(session) = self.sessions.get_mut(&number) else { continue };
            if session.due.is_some_and(|time| time <= now) {
                self.drop_session(number);
            } else {
                session.adopted = None;
                self.session_ended(number, End::Unknown);
            }
        }
        self.sessions.values().filter_map(due).min()
    }
}
