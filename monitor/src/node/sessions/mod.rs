//! Programs more in a container, as `exec` and health checks run them (see [`crate::session`]): begun,
//! followed, ended.

mod flow;
mod recover;

use super::checks::NO_STATUS;
use super::create::{on_node, one_pipe, pipes, read_inside, take_master};
use super::list::shorten;
use super::talk::{Outcome, Talk, Then, failure};
use super::waiting::exited;
use super::{Monitor, Work, listen};
use crate::life::{End, Process, State, is_missing_program, is_not_executable};
use crate::log::Stream;
use crate::poller::Token;
use crate::session::{self, Pipes, Progress, Record, Said, Session, kept};
use crate::verb::{self, Streams};
use crate::{bundle, definition, kernel, place};
use flow::flow;
use spec::bundle::Config;
use spec::monitor::{COMMAND, Code, Exec, Failure, Reply, Size};
use spec::node::Name;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use sys::cause::cause;

/// Digits of a session's ID.
const ID: usize = 16;

impl Monitor {
    pub(super) fn exec(&mut self, number: usize, index: usize, exec: &Exec) -> Outcome {
        let name = self.cells[index].name.clone();
        if kernel::is_frozen(&self.cells[index].cgroup()) {
            return Err(failure(Code::State, format!("exec in container {:?}: it is paused", &*name)));
        }
        let words = |reason: Failure| {
            failure(reason.code, format!("exec in container {:?}: {}", &*name, reason.message))
        };
        let session = self.begin_session(index, exec, false).map_err(words)?;
        let id = self.sessions.get_mut(&session).map(|session| {
            session.client = Some(number);
            session.id.clone()
        });
        let id = BTreeMap::from([("execID".to_owned(), id.unwrap_or_default())]);
        let mut command = exec.command.clone();
        shorten(&mut command, COMMAND);
        for action in ["exec_create", "exec_start"] {
            self.publish(index, format!("{action}: {}", command.join(" ")), id.clone());
        }
        Ok(Then::Talk(Talk::Session(session)))
    }

    /// Starts a program in a running container; gives its session's number.
    pub(super) fn begin_session(&mut self, index: usize, exec: &Exec, check: bool) -> Result<usize, Failure> {
        let cell = &self.cells[index];
        if !matches!(cell.observed.state, State::Running { .. } | State::Stopping { .. }) {
            return Err(failure(Code::State, "it does not run"));
        }
        let internal = |error: io::Error| failure(Code::Internal, cause(&error));
        let key = cell.key.clone();
        let followed = !exec.detach && !check;
        let exec = Exec { tty: exec.tty && followed, input: exec.input && followed, ..exec.clone() };
        let process = process(&key, &exec)?;
        let id = definition::new_id().map_err(internal)?[..ID].to_owned();
        let record =
            Record { key: key.clone(), tty: exec.tty, input: exec.input, progress: Progress::Starting };
        let mut session = Session {
            id,
            record,
            container: index,
            pipes: None,
            console: None,
            client: None,
            owed: None,
            adopted: None,
            due: None,
            check,
            said: None,
        };
        let streams = self.open_streams(&mut session, &process, followed);
        let begun = streams.map_err(|error| cause(&error)).and_then(|streams| {
            verb::exec(&key, &session::folder(&session.id), streams.as_ref(), session.console.is_some())
        });
        let pid = begun.map_err(|reason| {
            self.discard(&session);
            failure(Code::Internal, reason)
        })?;
        let number = self.next_session;
        self.next_session += 1;
        self.work.insert(pid, Work::Session(number));
        self.sessions.insert(number, session);
        Ok(number)
    }

    /// Writes what the runtime reads, and opens what the program's streams lead to: nothing, a
    /// terminal that the runtime will send, or pipes; of a check one that the monitor reads.
    fn open_streams(
        &self,
        session: &mut Session,
        process: &spec::bundle::Process,
        followed: bool,
    ) -> io::Result<Option<Streams>> {
        session.write()?;
        let folder = session::folder(&session.id);
        fs::write(folder.join("process.json"), serde_json::to_vec(process)?)?;
        let owner = on_node(&process.user, self.cells[session.container].users());
        if session.check {
            let (streams, pipe) = one_pipe(owner)?;
            session.said = Some(Said::new(pipe));
            return Ok(Some(streams));
        }
        if !followed {
            return Ok(None);
        }
        if session.record.tty {
            session.console = Some(listen(&folder.join("console"))?);
            return Ok(None);
        }
        let (streams, mut ends) = pipes(owner, session.record.input)?;
        let sink = ends.pop_if(|_| session.record.input);
        session.pipes = Some(Pipes::new(ends, sink)?);
        self.keep_session(session)?;
        Ok(Some(streams))
    }

    fn keep_session(&self, session: &Session) -> io::Result<()> {
        match (&self.keeper, &session.pipes) {
            (Some(keeper), Some(pipes)) => keeper.store(&kept(&session.id), &pipes.all()),
            _ => Ok(()),
        }
    }

    /// Takes away what a session has on disk and with PID 1.
    fn discard(&self, session: &Session) {
        for (_, source) in session.sources() {
            let _ = self.poller.remove(source);
        }
        if let Some(sink) = session.pipes.as_ref().and_then(|pipes| pipes.sink.as_ref()) {
            let _ = self.poller.remove(sink.as_fd());
        }
        if let Some(said) = &session.said {
            let _ = self.poller.remove(said.pipe.as_fd());
        }
        if let Some(keeper) = &self.keeper {
            let _ = keeper.drop(&kept(&session.id));
        }
        let _ = fs::remove_dir_all(session::folder(&session.id));
    }

    /// The runtime's `exec` has ended: the program runs, or could not be run.
    pub(super) fn exec_ended(&mut self, number: usize, status: i32) {
        let Some(session) = self.sessions.get(&number) else { return };
        let folder = session::folder(&session.id);
        let begun = match status {
            0 => self.session_runs(number),
            status => Err(verb::reason(&folder, status)),
        };
        let Some(session) = self.sessions.get(&number) else { return };
        let (client, tty, id) = (session.client, session.record.tty, session.id.clone());
        match (begun, client) {
            (Ok(()), Some(client)) if session.pipes.is_some() => self.tell_streams(client, Some(id), tty),
            (Ok(()), Some(client)) => {
                // Nobody follows it.
                if let Some(client) = self.client(client) {
                    client.finish(&Reply::Done);
                }
            }
            // Who asked for it has left meanwhile.
            (Ok(()), None) if session.pipes.is_some() => return self.drop_session(number),
            (Ok(()), None) => {}
            (Err(reason), client) => {
                let code = match &reason {
                    reason if is_missing_program(reason) => Code::NoProgram,
                    reason if is_not_executable(reason) => Code::NotExecutable,
                    _ => Code::Internal,
                };
                if let Some(client) = client.and_then(|client| self.client(client)) {
                    client.fail(code, format!("exec: {reason}"));
                }
                self.end_check(number, NO_STATUS, Some(reason));
                return self.drop_session(number);
            }
        }
        self.pump(number);
    }

    fn session_runs(&mut self, number: usize) -> Result<(), String> {
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        let folder = session::folder(&session.id);
        if let Some(console) = session.console.take() {
            let take = || -> io::Result<Pipes> {
                let master = take_master(&console)?;
                let sink = Some(master.try_clone()?);
                Pipes::new(vec![master], sink)
            };
            session.pipes = Some(take().map_err(|error| format!("take its terminal: {}", cause(&error)))?);
        }
        let session = &self.sessions[&number];
        self.keep_session(session).map_err(|error| cause(&error))?;
        for (stream, source) in session.sources() {
            self.poller
                .add_edge(source, Token::SessionOutput(number, stream))
                .map_err(|error| cause(&error))?;
        }
        if let Some(said) = &session.said {
            let token = Token::SessionOutput(number, Stream::Out);
            self.poller.add(said.pipe.as_fd(), token).map_err(|error| cause(&error))?;
        }
        // It may have ended already, and been seen.
        if session.record.progress == Progress::Starting {
            let process = verb::pid(&folder).and_then(kernel::process);
            let process =
                process.ok_or_else(|| format!("{} names no process", folder.join("pid").display()))?;
            self.progress(number, Progress::Running(process));
        }
        Ok(())
    }

    fn progress(&mut self, number: usize, progress: Progress) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.record.progress = progress;
        if let Err(error) = session.write() {
            self.console.say(&format!("exec {}: write its record: {}", session.id, cause(&error)));
        }
    }

    /// The session of a process that has ended; one that the runtime has just begun is known by
    /// its file alone.
    pub(super) fn find_session(&self, is: &dyn Fn(Process) -> bool) -> Option<usize> {
        let starting = |session: &Session| match session.record.progress {
            Progress::Starting => verb::pid(&session::folder(&session.id)).and_then(kernel::process),
            _ => None,
        };
        let mut sessions = self.sessions.iter();
        let found =
            sessions.find(|(_, session)| session.process().or_else(|| starting(session)).is_some_and(is));
        found.map(|(number, _)| *number)
    }

    /// A session's program has ended.
    pub(super) fn session_ended(&mut self, number: usize, end: End) {
        let code = i32::from(end.code());
        self.progress(number, Progress::Ended(end));
        if self.end_check(number, code, None) {
            return self.drop_session(number);
        }
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.adopted = None;
        let (index, id) = (session.container, session.id.clone());
        if self.cells.get(index).is_some() {
            let code = [("exitCode".to_owned(), code.to_string()), ("execID".to_owned(), id)];
            self.publish(index, "exec_die", code.into());
        }
        self.pump(number);
    }

    /// Gives a session's client what its program has written; once it has ended, how.
    pub(super) fn pump(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if let Some(said) = &mut session.said {
            if !said.listen() {
                let _ = self.poller.remove(said.pipe.as_fd());
            }
            return;
        }
        let Some(client) = session.client else {
            if session.pipes.is_none() && matches!(session.record.progress, Progress::Ended(_)) {
                self.drop_session(number);
            }
            return;
        };
        let Some((peer, _)) = self.clients.get_mut(&client) else { return };
        if session.record.progress == Progress::Starting || peer.ending {
            return;
        }
        // What was said in words goes first.
        let flowing = peer.is_empty() && flow(session, peer.as_fd());
        if !flowing {
            peer.blocked = true;
            return;
        }
        if let Progress::Ended(end) = &session.record.progress {
            let reply = exited(Some(end), false);
            peer.finish(&reply);
            self.drop_session(number);
        }
    }

    /// A client has left its session: nobody reads it any more, so it loses its streams.
    pub(super) fn abandon(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.client = None;
        if session.record.progress != Progress::Starting {
            self.drop_session(number);
        }
    }

    fn drop_session(&mut self, number: usize) {
        if let Some(session) = self.sessions.remove(&number) {
            if let Some(adopted) = &session.adopted {
                let _ = self.poller.remove(adopted.pidfd.as_fd());
            }
            self.discard(&session);
        }
    }

    pub(super) fn resize_session(&self, number: usize, size: Size) {
        let master = self.sessions.get(&number).filter(|session| session.record.tty);
        if let Some(master) = master.and_then(|session| session.pipes.as_ref()?.sources.first()) {
            let _ = sys::terminal::set_size(master.as_fd(), size.rows, size.columns);
        }
    }

    pub(super) fn signal_session(&self, number: usize, signal: i32) {
        if let Some(process) = self.sessions.get(&number).and_then(Session::process) {
            let _ = kernel::signal(process, signal);
        }
    }
}

/// What is to be run, beside what the container runs.
fn process(key: &Name, exec: &Exec) -> Result<spec::bundle::Process, Failure> {
    let path = place::folder(key).join("config.json");
    let text = fs::read(path).map_err(|error| failure(Code::Internal, cause(&error)))?;
    let config: Config =
        serde_json::from_slice(&text).map_err(|error| failure(Code::Internal, error.to_string()))?;
    // Looked at for who is named alone: a health check names nobody, and the container may have made them long.
    let root = exec.user.as_ref().map(|_| place::root(key));
    let read = |path: &str| root.as_ref().map(|root| read_inside(root, path)).unwrap_or_default();
    let (passwd, group) = (read("etc/passwd"), read("etc/group"));
    bundle::further(exec, &config.process.unwrap_or_default(), &passwd, &group)
        .map_err(|reason| failure(Code::Invalid, reason))
}
