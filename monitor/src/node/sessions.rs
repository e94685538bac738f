//! Programs more in a container, as `exec` and health checks run them (see [`crate::session`]).

use super::create::{pipes, read_inside, take_master};
use super::talk::{Outcome, Talk, Then, failure};
use super::waiting::exited;
use super::{Monitor, Work, listen};
use crate::cells::Adopted;
use crate::life::{End, Process, State, Time, is_missing_program, is_not_executable};
use crate::log::{Stream, pipe};
use crate::poller::Token;
use crate::session::{self, PIECE, Pipes, Progress, Record, Session, kept, kind};
use crate::verb::{self, Streams};
use crate::{bundle, definition, kernel, place};
use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};
use spec::bundle::Config;
use spec::monitor::{Code, Exec, Failure, Reply, Size};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use sys::cause::cause;

/// Digits of a session's ID.
const ID: usize = 16;

/// How long PID 1 may take to tell how a process ended that was its child.
const PATIENCE: Duration = Duration::from_secs(2);

impl Monitor {
    pub(super) fn exec(&mut self, number: usize, index: usize, exec: &Exec) -> Outcome {
        let name = self.cells[index].name.clone();
        if kernel::is_frozen(&self.cells[index].key) {
            return Err(failure(Code::State, format!("exec in container {:?}: it is paused", &*name)));
        }
        let words = |reason: Failure| {
            failure(reason.code, format!("exec in container {:?}: {}", &*name, reason.message))
        };
        let session = self.begin_session(index, exec, false).map_err(words)?;
        if let Some(session) = self.sessions.get_mut(&session) {
            session.client = Some(number);
        }
        let command = exec.command.join(" ");
        self.publish(index, "exec_start", BTreeMap::from([("command".to_owned(), command)]));
        Ok(Then::Talk(Talk::Session(session)))
    }

    /// Starts a program in a running container; gives its session's number.
    pub(super) fn begin_session(&mut self, index: usize, exec: &Exec, check: bool) -> Result<usize, Failure> {
        let cell = &self.cells[index];
        if !matches!(cell.observed.state, State::Running { .. }) {
            return Err(failure(Code::State, "it does not run"));
        }
        let internal = |error: io::Error| failure(Code::Internal, cause(&error));
        let key = cell.key.clone();
        let text = fs::read(place::folder(&key).join("config.json")).map_err(internal)?;
        let config: Config =
            serde_json::from_slice(&text).map_err(|error| failure(Code::Internal, error.to_string()))?;
        let root = place::root(&key);
        let (passwd, group) = (read_inside(&root, "etc/passwd"), read_inside(&root, "etc/group"));
        let followed = !exec.detach && !check;
        let exec = Exec { tty: exec.tty && followed, ..exec.clone() };
        let process = bundle::further(&exec, &config.process.unwrap_or_default(), &passwd, &group)
            .map_err(|reason| failure(Code::Invalid, reason))?;
        let id = definition::new_id().map_err(internal)?[..ID].to_owned();
        let folder = session::folder(&id);
        let record = Record {
            key: key.clone(),
            tty: exec.tty,
            input: exec.input && followed,
            progress: Progress::Starting,
        };
        let mut session = Session {
            id: id.clone(),
            record,
            container: index,
            pipes: None,
            console: None,
            client: None,
            owed: None,
            adopted: None,
            due: None,
            check,
        };
        let owner = (process.user.uid, process.user.gid);
        let streams = session.write().and_then(|()| {
            fs::write(folder.join("process.json"), serde_json::to_vec(&process)?)?;
            if !followed {
                return Ok(None);
            }
            if exec.tty {
                session.console = Some(listen(&folder.join("console"))?);
                return Ok(None);
            }
            let (streams, ends) = pipes(owner, exec.input)?;
            session.pipes = Pipes::of(&session.record, ends);
            self.keep_session(&session)?;
            Ok(Some(streams))
        });
        let number = self.next_session;
        let begun = streams.map_err(|error| cause(&error)).and_then(|streams: Option<Streams>| {
            verb::exec(&key, &folder, streams.as_ref(), session.console.is_some())
        });
        let pid = begun.map_err(|reason| {
            self.discard(&session);
            failure(Code::Internal, reason)
        })?;
        self.next_session += 1;
        self.work.insert(pid, Work::Session(number));
        self.sessions.insert(number, session);
        Ok(number)
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
                self.end_check(number, false);
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
                let (reader, writer) = pipe()?;
                let sink = Some(master.try_clone()?);
                Ok(Pipes { sources: vec![master], tray: Some((reader, writer)), sink })
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
        let well = end == End::Exited(0);
        let code = i32::from(end.code());
        self.progress(number, Progress::Ended(end));
        if self.end_check(number, well) {
            return self.drop_session(number);
        }
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.adopted = None;
        let index = session.container;
        if self.cells.get(index).is_some() {
            let code = BTreeMap::from([("exitCode".to_owned(), code.to_string())]);
            self.publish(index, "exec_die", code);
        }
        self.pump(number);
    }

    /// Gives a session's client what its program has written; once it has ended, how.
    pub(super) fn pump(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
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
            let reply = exited(Some(end));
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

    /// Joins the streams of a session again.
    pub(super) fn resume(&mut self, number: usize, id: &str, received: u64) -> Outcome {
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

    /// Finds the sessions again that a killed monitor has left. Gives the names that PID 1 is
    /// to keep.
    pub(super) fn recover_sessions(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for (id, record) in session::read_all() {
            let number = self.next_session;
            self.next_session += 1;
            let Some(session) = record.and_then(|record| self.recovered(&id, record)) else {
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
        names
    }

    fn recovered(&self, id: &str, record: Record) -> Option<Session> {
        let (container, _) = self.cells.iter().find(|(_, cell)| cell.key == record.key)?;
        // One that nobody could know of yet is given up; its program gets no answer and ends.
        let adopted = match record.progress {
            Progress::Starting => return None,
            Progress::Running(process) => {
                let opened = kernel::open(process);
                opened.map(|pidfd| Adopted { pidfd, give_up: None })
            }
            Progress::Ended(_) => None,
        };
        let descriptors = self.keeper.as_ref()?.fetch(&kept(id)).ok()?;
        let pipes = Some(Pipes::of(&record, descriptors)?);
        let due = Some(kernel::now() + session::PATIENCE);
        let id = id.to_owned();
        Some(Session {
            id,
            record,
            container,
            pipes,
            console: None,
            client: None,
            owed: None,
            adopted,
            due,
            check: false,
        })
    }

    /// What became of sessions' processes while there was no monitor.
    pub(super) fn find_session_processes(&mut self, exits: &[spec::control::Exit]) {
        let gone = |(number, session): (&usize, &Session)| {
            session.process().filter(|_| session.adopted.is_none()).map(|process| (*number, process))
        };
        let gone: Vec<(usize, Process)> = self.sessions.iter().filter_map(gone).collect();
        for (number, process) in gone {
            let is = |exit: &&spec::control::Exit| {
                exit.pid == process.pid && exit.start_time == process.start_time
            };
            let end = exits.iter().find(is).map_or(End::Unknown, |exit| super::exits::of(exit.status));
            self.session_ended(number, end);
        }
    }

    /// A session's process that is PID 1's child has ended: PID 1 is about to tell how.
    pub(super) fn session_adopted_ended(&mut self, number: usize) {
        let patience = if self.keeper.is_some() { PATIENCE } else { Duration::ZERO };
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if let Some(adopted) = &mut session.adopted {
            let _ = self.poller.remove(adopted.pidfd.as_fd());
            adopted.give_up.get_or_insert(kernel::now() + patience);
        }
    }

    /// Gives up sessions whose time has come; gives the time of the next one.
    pub(super) fn sessions_due(&mut self) -> Option<Time> {
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

/// Moves what waits in a session's pipes to its client, in frames; says whether all was moved.
fn flow(session: &mut Session, peer: BorrowedFd<'_>) -> bool {
    let Some(pipes) = &session.pipes else { return true };
    for _ in 0..64 {
        if let Some((stream, length)) = session.owed {
            let Some(source) = outlet(pipes, stream) else { return true };
            let moved = transfer(source, peer, length);
            session.owed = (moved < length).then_some((stream, length - moved));
            if session.owed.is_some() {
                return false;
            }
            continue;
        }
        fill_tray(pipes);
        let waiting =
            |stream: &Stream| outlet(pipes, *stream).and_then(|source| sys::socket::pending(source).ok());
        let next = Stream::ALL.into_iter().find(|stream| waiting(stream).is_some_and(|count| count > 0));
        let Some(stream) = next else { return true };
        let length = waiting(&stream).unwrap_or(0).min(PIECE);
        if !takes_a_frame(peer) || !send_head(peer, stream, length) {
            return false;
        }
        session.owed = Some((stream, length));
    }
    false
}

/// Where a stream's bytes are spliced from.
fn outlet(pipes: &Pipes, stream: Stream) -> Option<BorrowedFd<'_>> {
    match (&pipes.tray, stream) {
        (Some((reader, _)), Stream::Out) => Some(reader.as_fd()),
        (Some(_), Stream::Err) => None,
        (None, Stream::Out) => pipes.sources.first().map(AsFd::as_fd),
        (None, Stream::Err) => pipes.sources.get(1).map(AsFd::as_fd),
    }
}

/// Moves what a terminal has into the tray, once that is empty.
fn fill_tray(pipes: &Pipes) {
    let (Some((reader, writer)), Some(master)) = (&pipes.tray, pipes.sources.first()) else { return };
    if sys::socket::pending(reader.as_fd()).is_ok_and(|count| count == 0) {
        // A terminal that nobody has open any more is an error, and has nothing.
        let _ = splice(master, None, writer, None, PIECE, SpliceFFlags::SPLICE_F_NONBLOCK);
    }
}

/// Moves bytes from a pipe to a socket; those that the kernel does not take stay.
fn transfer(source: BorrowedFd<'_>, peer: BorrowedFd<'_>, length: usize) -> usize {
    let mut moved = 0;
    while moved < length {
        match splice(source, None, peer, None, length - moved, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) => break,
            Ok(more) => moved += more,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            // The peer is gone, which its end will tell.
            Err(_) => return length,
        }
    }
    moved
}

/// A unix socket that polls writable has three quarters of its buffer free, several frames.
fn takes_a_frame(peer: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(peer, PollFlags::POLLOUT)], PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

fn send_head(peer: BorrowedFd<'_>, stream: Stream, length: usize) -> bool {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    let mut head = (length as u32 + 1).to_be_bytes().to_vec();
    head.push(kind(stream) as u8);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    // So small a piece goes whole or not at all.
    send(peer.as_raw_fd(), &head, flags) == Ok(head.len())
}
