//! Those who read a container's log: as it is, or as its program's bytes while it runs.

use super::Monitor;
use super::talk::{Outcome, Talk, Then, failure};
use crate::follow::{self, Follower, Place, Read, Shape};
use crate::life::{Event, How, State, Time};
use crate::log::Stream;
use crate::session::kind;
use crate::{kernel, place};
use spec::monitor::{Code, Logs, Reply, Size};
use sys::cause::cause;

/// A reader of a container's log.
#[derive(Debug)]
pub struct Follow {
    /// The container's number.
    pub index: usize,
    follower: Follower,
    about: About,
    /// The file that the name of its streams names.
    named: u64,
}

/// Why it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// `logs`: for as long as the container goes on, or not; until this time in nanoseconds.
    Lines { follow: bool, until: Option<u64> },
    /// `attach`: until it ended once more than so often; may give it input.
    Bytes { ends: u64, input: bool },
}

impl Follow {
    /// It is an `attach` to this container.
    pub fn is_attached(&self, index: usize) -> bool {
        self.index == index && matches!(self.about, About::Bytes { .. })
    }

    /// What its client sends is for the container.
    pub fn gives_input(&self) -> bool {
        matches!(self.about, About::Bytes { input: true, .. })
    }
}

impl Monitor {
    pub(super) fn logs(&mut self, number: usize, logs: &Logs) -> Outcome {
        let index = self.which(&logs.name)?;
        let path = place::log(&self.cells[index].key);
        let shape =
            Shape::Lines { since: logs.since.map(follow::stamp), until: logs.until.map(follow::stamp) };
        let limit = (!logs.follow).then(|| follow::end(&path));
        let mut follower = match logs.tail {
            Some(lines) => Follower::tail(path, lines, shape).map_err(|error| {
                failure(Code::Internal, format!("logs of container {:?}: {}", logs.name, cause(&error)))
            })?,
            None => Follower::new(path, None, shape),
        };
        follower.limit = limit;
        let about = About::Lines { follow: logs.follow, until: logs.until };
        self.tell_streams(number, None, self.cells[index].container.as_ref().is_some_and(|own| own.tty));
        Ok(Then::Talk(Talk::Log(Box::new(Follow { index, follower, about, named: 0 }))))
    }

    pub(super) fn attach_client(
        &mut self,
        number: usize,
        index: usize,
        (input, size, start): (bool, Option<Size>, bool),
    ) -> Outcome {
        let cell = &self.cells[index];
        let runs = self.goes_on(index) && cell.observed.state != State::Ended;
        if !start && !runs {
            let message = format!("attach to container {:?}: it does not run", &*cell.name);
            return Err(failure(Code::State, message));
        }
        let begins = start && !matches!(cell.observed.state, State::Running { .. });
        if begins {
            self.may_run(index)?;
        }
        let from = follow::end(&place::log(&self.cells[index].key));
        let ends = self.cells[index].ends;
        let follower = Follower::new(place::log(&self.cells[index].key), Some(from), Shape::Bytes(0));
        self.join(number, index, (from, follower), About::Bytes { ends, input });
        if input {
            self.typist_came(index);
        }
        if begins {
            self.want(index, &Event::Wanted(true, How::ITS_OWN))?;
        }
        self.resize_container(index, size);
        self.publish(index, "attach", Self::no_attributes());
        match self.clients.get_mut(&number) {
            Some((_, talk)) => Ok(Then::Talk(std::mem::replace(talk, Talk::Asking))),
            None => Err(failure(Code::Internal, "the client has left")),
        }
    }

    /// Makes a client one that reads a container's output from a place on.
    fn join(&mut self, number: usize, index: usize, (from, follower): (Place, Follower), about: About) {
        if let Some((_, talk)) = self.clients.get_mut(&number) {
            *talk = Talk::Log(Box::new(Follow { index, follower, about, named: from.file }));
        }
        self.name_streams(number, from);
        self.watch_output(index);
    }

    /// Tells who is attached the name by which its streams are joined again from this place on.
    fn name_streams(&mut self, number: usize, from: Place) {
        let Some((_, Talk::Log(follow))) = self.clients.get(&number) else { return };
        let (About::Bytes { input, .. }, Some(cell)) = (follow.about, self.cells.get(follow.index)) else {
            return;
        };
        let session = format!("attach-{}-{}-{}-{}", cell.key, u8::from(input), from.file, from.offset);
        let tty = cell.container.as_ref().is_some_and(|own| own.tty);
        self.tell_streams(number, Some(session), tty);
    }

    /// A reader that has come to another file of the log names that one, for the one before it will be removed.
    fn name_again(&mut self, number: usize) {
        let Some((_, Talk::Log(follow))) = self.clients.get_mut(&number) else { return };
        let place = follow.follower.place();
        if std::mem::replace(&mut follow.named, place.file) != place.file {
            self.name_streams(number, place);
        }
    }

    /// Joins the streams of `attach` again, by the name that [`Self::name_streams`] gave.
    pub(super) fn rejoin(&mut self, number: usize, session: &str, received: u64) -> Outcome {
        let unknown = || failure(Code::NotFound, format!("session {session:?}: there is none"));
        let mut words = session.rsplitn(4, '-');
        let (offset, file, input) = (words.next(), words.next(), words.next());
        let key = words.next().and_then(|rest| rest.strip_prefix("attach-")).ok_or_else(unknown)?;
        let read = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).ok_or_else(unknown);
        let from = Place { file: read(file)?, offset: read(offset)? };
        let input = read(input)? == 1;
        let index = self.cells.find_key(key).ok_or_else(unknown)?;
        let cell = &self.cells[index];
        // There was no log yet: all that is there by now came later.
        let place = Some(from).filter(|from| from.file != 0);
        let follower = Follower::new(place::log(&cell.key), place, Shape::Bytes(received));
        if place.is_some_and(|place| follower.place() != place) {
            let message =
                format!("attach to container {:?}: its output was rotated away meanwhile", &*cell.name);
            return Err(failure(Code::NotFound, message));
        }
        // It may have ended meanwhile; then its log says all that it said.
        let over = matches!(cell.observed.state, State::Absent | State::Ended) && !cell.observed.asked;
        let ends = if over { cell.ends.wrapping_sub(1) } else { cell.ends };
        self.join(number, index, (from, follower), About::Bytes { ends, input });
        if input && !over {
            self.typist_came(index);
        }
        let end = follow::end(&place::log(&self.cells[index].key));
        match self.clients.get_mut(&number) {
            Some((_, Talk::Log(follow))) if over => follow.follower.limit = Some(end),
            _ => {}
        }
        match self.clients.get_mut(&number) {
            Some((_, talk)) => Ok(Then::Talk(std::mem::replace(talk, Talk::Asking))),
            None => Err(unknown()),
        }
    }

    pub(super) fn tell_streams(&mut self, number: usize, session: Option<String>, tty: bool) {
        if let Some(client) = self.client(number) {
            client.say(&Reply::Streams { session, tty });
        }
    }

    /// An instance has ended here: those who are attached read no further.
    pub(super) fn limit_followers(&mut self, index: usize, end: Place) {
        for (_, talk) in self.clients.values_mut() {
            match talk {
                Talk::Log(follow) if follow.index == index && matches!(follow.about, About::Bytes { .. }) => {
                    follow.follower.limit.get_or_insert(end);
                }
                _ => {}
            }
        }
    }

    /// Somebody is attached to it.
    pub(super) fn is_attached(&self, index: usize) -> bool {
        self.clients.values().any(|(_, talk)| match talk {
            Talk::Log(follow) => follow.is_attached(index),
            _ => false,
        })
    }

    /// Output is logged at once while somebody is attached.
    pub(super) fn watch_output(&mut self, index: usize) {
        let attached = self.is_attached(index);
        self.outputs.watch(index, attached);
    }

    /// Somebody attached has half of the log still to read: its program waits for them, as for any slow reader of a
    /// pipe. So what they have not read is never rotated away.
    pub(super) fn is_behind(&self, index: usize) -> bool {
        let own = self.cells.get(index).and_then(|cell| cell.container.as_ref());
        let Some(half) = own.map(|own| own.log_size.0 / 2) else { return false };
        self.clients.values().any(|(client, talk)| match talk {
            // Who still reads what an instance said that has ended holds up no later one.
            Talk::Log(follow)
                if !client.ending && follow.is_attached(index) && follow.follower.limit.is_none() =>
            {
                follow.follower.behind() > half
            }
            _ => false,
        })
    }

    /// The pipes that wait no longer: whoever had much to read has read it, or left.
    pub(super) fn let_go(&mut self) -> Vec<(usize, Stream)> {
        let free: Vec<usize> = self.held.iter().copied().filter(|index| !self.is_behind(*index)).collect();
        for index in &free {
            self.held.remove(index);
            self.outputs.hold(*index, false);
        }
        free.into_iter().flat_map(|index| Stream::ALL.map(|stream| (index, stream))).collect()
    }

    /// Whether this client's input is for the container, which one then.
    pub(super) fn gives_input(&self, number: usize) -> Option<usize> {
        match self.clients.get(&number)? {
            (_, Talk::Log(follow)) => follow.gives_input().then_some(follow.index),
            _ => None,
        }
    }

    /// The container whose output this client reads.
    pub(super) fn attached_to(&self, number: usize) -> Option<usize> {
        match self.clients.get(&number)? {
            (_, Talk::Log(follow)) => matches!(follow.about, About::Bytes { .. }).then_some(follow.index),
            _ => None,
        }
    }

    /// Gives a reader of a log more of it; says whether there may be still more at once.
    pub(super) fn feed_log(&mut self, number: usize) -> bool {
        let Some((client, Talk::Log(follow))) = self.clients.get_mut(&number) else { return false };
        if client.is_full() || client.ending {
            return false;
        }
        match follow.follower.read() {
            Ok(Read::Some(entries)) => {
                entries.iter().for_each(|(stream, bytes)| client.put(kind(*stream), bytes));
                self.name_again(number);
                return true;
            }
            Ok(read) => {
                let (index, about, limited) = (follow.index, follow.about, read == Read::Limit);
                if let Some(reply) = self.is_over(index, about, limited)
                    && let Some(client) = self.client(number)
                {
                    client.finish(&reply);
                }
            }
            Err(error) => client.fail(Code::Internal, format!("read the log: {}", cause(&error))),
        }
        false
    }

    /// A reader has come to the end of the log: the last thing that it is told, if it is to be.
    fn is_over(&self, index: usize, about: About, limited: bool) -> Option<Reply> {
        let cell = self.cells.get(index);
        match about {
            About::Lines { follow: false, .. } => Some(Reply::Done),
            About::Lines { until: Some(until), .. } if kernel::nanoseconds() > until => Some(Reply::Done),
            About::Lines { .. } => cell.is_none_or(|_| !self.goes_on(index)).then_some(Reply::Done),
            About::Bytes { ends, .. } => {
                let ended = limited || cell.is_none_or(|cell| cell.ends != ends && !cell.observed.busy);
                let known = cell.is_none_or(|cell| cell.ends != ends);
                (ended && known).then(|| match cell {
                    Some(_) => self.exited(index),
                    None => Reply::Failed(failure(Code::NotFound, "the container was removed")),
                })
            }
        }
    }

    /// When a reader of lines is over although nothing happens.
    pub(super) fn readers_due(&mut self) -> Option<Time> {
        let now = kernel::nanoseconds();
        let mut soonest: Option<Time> = None;
        for (number, (_, talk)) in &self.clients {
            let until = match talk {
                Talk::Log(follow) => match follow.about {
                    About::Lines { until, .. } => until,
                    About::Bytes { .. } => None,
                },
                Talk::Events(_, until, _) => *until,
                _ => None,
            };
            let Some(until) = until else { continue };
            if until < now {
                self.eager.insert(*number);
            } else {
                let time = kernel::now() + std::time::Duration::from_nanos(until - now + 1_000_000);
                soonest = Some(soonest.map_or(time, |other| other.min(time)));
            }
        }
        soonest
    }
}
