//! What a connection is about, and the answers to its request.

use super::Monitor;
use super::streams::Follow;
use super::waiting::Waiting;
use spec::monitor::{Code, Failure, Happening, Reply, Request};
use std::collections::BTreeMap;

/// Bytes of what a client tells of.
const LONGEST: usize = 4096;

/// What a connection is about.
#[derive(Debug)]
pub enum Talk {
    /// Nothing was said yet.
    Greeting,
    /// It may ask for one thing.
    Asking,
    /// Its answer has to wait.
    Waiting(Waiting),
    /// It waits for the runtime to change limits.
    Updating,
    /// It is told what happens: all after this number, until this time in nanoseconds; of other things than containers,
    /// too, if it asked for that.
    Events(u64, Option<u64>, bool),
    /// It is told every second what these containers use.
    Stats(Vec<String>),
    /// It reads a container's log, as lines or as the program's bytes.
    Log(Box<Follow>),
    /// It has the streams of a session.
    Session(usize),
}

/// What follows from a request.
pub enum Then {
    /// The one answer.
    Reply(Reply),
    /// An answer later.
    Talk(Talk),
}

/// A request's outcome.
pub type Outcome = Result<Then, Failure>;

/// Why not.
pub fn failure(code: Code, message: impl Into<String>) -> Failure {
    Failure::new(code, &message.into())
}

impl Monitor {
    /// Answers a request, or begins what it is about.
    pub(super) fn asked(&mut self, number: usize, request: Request) {
        let outcome = self.perform(number, request);
        let Some((client, talk)) = self.clients.get_mut(&number) else { return };
        match outcome {
            Ok(Then::Reply(reply)) => client.finish(&reply),
            Ok(Then::Talk(next)) => {
                *talk = next;
                self.eager.insert(number);
            }
            Err(failure) => client.finish(&Reply::Failed(failure)),
        }
    }

    fn perform(&mut self, number: usize, request: Request) -> Outcome {
        match request {
            Request::List => Ok(self.list(number)),
            Request::Inspect { name } => self.which(&name).map(|index| self.inspect(number, index)),
            Request::Create(create) => self.define(*create),
            Request::Start { name } => self.which(&name).and_then(|index| self.start(index)),
            Request::Stop { name, grace, signal } => {
                self.which(&name).and_then(|index| self.stop(index, grace, signal))
            }
            Request::Restart { name, grace, signal } => {
                self.which(&name).and_then(|index| self.start_again(index, grace, signal))
            }
            Request::Kill { name, signal } => {
                self.which(&name).and_then(|index| self.send_signal(index, signal))
            }
            Request::Pause { name } => self.which(&name).and_then(|index| self.pause(index, true)),
            Request::Unpause { name } => self.which(&name).and_then(|index| self.pause(index, false)),
            Request::Rename { name, to } => self.which(&name).and_then(|index| self.rename(index, to)),
            Request::Connect { name, network } => {
                self.which(&name).and_then(|index| self.connect(index, network))
            }
            Request::Disconnect { name, network } => {
                self.which(&name).and_then(|index| self.disconnect(index, &network))
            }
            Request::Update(update) => {
                self.which(&update.name).and_then(|index| self.update(number, index, *update))
            }
            Request::Remove { name, force, volumes } => {
                self.which(&name).and_then(|index| self.remove(index, force, volumes))
            }
            Request::RemoveVolume { name } => self.remove_volume(&name),
            Request::Wait { name, condition } => {
                self.which(&name).map(|index| Then::Talk(Talk::Waiting(self.wait_for(index, condition))))
            }
            Request::Logs(logs) => self.logs(number, &logs),
            Request::Attach { name, input, size, start } => {
                self.which(&name).and_then(|index| self.attach_client(number, index, (input, size, start)))
            }
            Request::Exec(exec) => self.which(&exec.name).and_then(|index| self.exec(number, index, &exec)),
            Request::Resume { session, received } => self.resume(number, &session, received),
            Request::Stats { names, follow } => self.stats(names, follow),
            Request::Top { name } => self.which(&name).and_then(|index| self.top(index)),
            Request::Events { since, until, all } => {
                let after = since.map_or(self.ring.last(), |since| self.ring.before(since));
                Ok(Then::Talk(Talk::Events(after, until, all)))
            }
            Request::Tell(what) => self.take_word(*what),
            Request::Resize(_) | Request::InputEnded | Request::Signal { .. } => {
                Err(failure(Code::Invalid, "request: no streams are open"))
            }
        }
    }

    /// The container of a name, an ID or the unique beginning of one.
    pub(super) fn which(&self, text: &str) -> Result<usize, Failure> {
        // As Docker writes names.
        let text = text.strip_prefix('/').unwrap_or(text);
        if let Some(index) = self.cells.find(text) {
            return Ok(index);
        }
        let is_id = text.len() <= 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let starts = |(_, cell): &(usize, &crate::cells::Cell)| cell.id().starts_with(text);
        let mut found = self.cells.iter().filter(|_| is_id && !text.is_empty()).filter(starts);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => {
                Err(failure(Code::Invalid, format!("container {text:?}: several IDs begin so")))
            }
            (None, _) => {
                let names = self.cells.iter().map(|(_, cell)| &*cell.name);
                let hint = match spec::nearest::nearest(text, names) {
                    Some(near) => format!("container {text:?}: there is none (did you mean {near:?}?)"),
                    None => format!("container {text:?}: there is none"),
                };
                Err(failure(Code::NotFound, hint))
            }
        }
    }

    /// Gives those who follow events what they have not been told yet.
    pub(super) fn feed_events(&mut self) {
        let now = crate::kernel::nanoseconds();
        for (client, talk) in self.clients.values_mut() {
            let Talk::Events(after, until, all) = talk else { continue };
            while !client.is_full() && !client.ending {
                match self.ring.after(*after) {
                    Ok(Some(entry)) if until.is_some_and(|until| entry.time > until) => {
                        client.finish(&Reply::Done);
                    }
                    Ok(Some(entry)) => {
                        if *all || matches!(entry.reply, Reply::Event { .. }) {
                            client.say(&entry.reply);
                        }
                        *after = entry.number;
                    }
                    Ok(None) if until.is_some_and(|until| now >= until) => client.finish(&Reply::Done),
                    Ok(None) => break,
                    Err(_) => client.fail(Code::Internal, "events were lost: they were read too slowly"),
                }
            }
        }
    }

    /// Takes what a client has done elsewhere. It is remembered, so it is not long.
    fn take_word(&mut self, what: Happening) -> Outcome {
        if serde_json::to_vec(&what).is_ok_and(|text| text.len() > LONGEST) {
            return Err(failure(Code::Invalid, format!("tell: at most {LONGEST} bytes are remembered")));
        }
        self.happened(what);
        Ok(Then::Reply(Reply::Done))
    }

    /// What a container's events carry beside its name.
    pub(super) fn no_attributes() -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}
