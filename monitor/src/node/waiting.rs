//! Answers that have to wait until something has become of a container.

use super::Monitor;
use super::talk::{Talk, failure};
use crate::kernel;
use crate::life::{End, Observed, State, comes_back, is_missing_program, is_not_executable};
use spec::monitor::{Code, Failure, Reply, Wait};
use spec::node::Name;
use std::time::Duration;

/// What a client waits for. The ID tells a container from a later one of the same number.
#[derive(Debug)]
pub struct Waiting {
    /// The container's number.
    pub index: usize,
    /// Its ID.
    pub id: String,
    /// What of it.
    pub what: What,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It was started once more than so often; or failed once more than so often.
    Start(u32, u64),
    /// Its program has ended.
    Stop,
    /// It does not run; or it ended once more than so often, and comes back.
    NotRunning(u64),
    /// It ended once more than so often.
    Exit(u64),
    /// More changes of its networks than so many have come to their end.
    Mended(u64),
    /// Nothing is left of it; whether its exit status is told.
    Removed(bool),
}

impl Monitor {
    /// Something of a container that has yet to come.
    pub(super) fn waiting(&self, index: usize, what: What) -> Waiting {
        Waiting { index, id: self.cells[index].id(), what }
    }

    /// What a `wait` waits for. Who waits until nothing is left has come back from a monitor that was killed, and so
    /// have others by and by: it need not stay for all of its time.
    pub(super) fn wait_for(&mut self, index: usize, condition: Wait) -> Waiting {
        let cell = &mut self.cells[index];
        if condition == Wait::Removed {
            cell.keep_until = cell.keep_until.min(kernel::now() + OTHERS);
        }
        let ends = cell.ends;
        self.waiting(
            index,
            match condition {
                Wait::NotRunning => What::NotRunning(ends),
                Wait::NextExit => What::Exit(ends),
                Wait::Removed => What::Removed(true),
            },
        )
    }

    /// Tells whoever waits for a container, or is attached to it, what nothing failed of.
    pub(super) fn warn(&mut self, index: usize, text: &str) {
        for (client, talk) in self.clients.values_mut() {
            let concerned = match talk {
                Talk::Waiting(waiting) => {
                    waiting.index == index && matches!(waiting.what, What::Start(..) | What::Mended(_))
                }
                Talk::Log(follow) => follow.is_attached(index),
                _ => false,
            };
            if concerned && !client.ending {
                client.say(&Reply::Warning { text: text.to_owned() });
            }
        }
    }

    /// Answers whoever has waited long enough.
    pub(super) fn answer_waiting(&mut self) {
        let numbers: Vec<usize> = self
            .clients
            .iter()
            .filter(|(_, (client, talk))| !client.ending && matches!(talk, Talk::Waiting(_)))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            let Some((_, Talk::Waiting(waiting))) = self.clients.get(&number) else { continue };
            if let Some(reply) = self.has_come(waiting)
                && let Some(client) = self.client(number)
            {
                client.finish(&reply);
            }
        }
    }

    fn has_come(&self, waiting: &Waiting) -> Option<Reply> {
        let Some(cell) = self.cells.get(waiting.index).filter(|cell| cell.id() == waiting.id) else {
            return Some(match waiting.what {
                What::Stop | What::Removed(false) => Reply::Done,
                _ => Reply::Failed(failure(Code::NotFound, "the container was removed")),
            });
        };
        let runs = !matches!(cell.observed.state, State::Absent | State::Ended);
        match waiting.what {
            What::Start(starts, _) if cell.observed.starts > starts => Some(Reply::Done),
            What::Start(_, ends) if cell.ends > ends => Some(Reply::Failed(self.why_not(waiting.index))),
            What::Start(..) if !runs && !self.desired(waiting.index).up => {
                let message = format!("container {:?}: it was stopped", &*cell.name);
                Some(Reply::Failed(failure(Code::State, message)))
            }
            What::Mended(count) if cell.mending.ended > count => Some(match &cell.mending.refused {
                None => Reply::Done,
                Some(reason) => {
                    let message = format!("container {:?}: {reason}", &*cell.name);
                    Reply::Failed(failure(Code::State, message))
                }
            }),
            What::Stop if !runs => Some(Reply::Done),
            What::Start(..) | What::Stop | What::Removed(false) => unkillable(&cell.name, &cell.observed),
            What::NotRunning(_) if !self.goes_on(waiting.index) => Some(self.exited(waiting.index)),
            // As with Docker its first end is told though it is restarted. Of one that is not, all is gone by then.
            What::NotRunning(ends)
                if cell.ends > ends && comes_back(&self.desired(waiting.index), &cell.observed) =>
            {
                Some(self.exited(waiting.index))
            }
            What::Exit(ends) if cell.ends > ends => Some(self.exited(waiting.index)),
            _ => None,
        }
    }

    /// Why a container could not be started.
    fn why_not(&self, index: usize) -> Failure {
        let cell = &self.cells[index];
        let end = cell.observed.last.as_ref().map_or(End::Unknown, |last| last.end.clone());
        let code = match &end {
            End::NotStarted(reason) if is_missing_program(reason) => Code::NoProgram,
            End::NotStarted(reason) if is_not_executable(reason) => Code::NotExecutable,
            End::Missing(_) => Code::NotFound,
            _ => Code::Internal,
        };
        failure(code, format!("container {:?}: {end}", &*cell.name))
    }

    /// How it ended last, as its clients are told.
    pub(super) fn exited(&self, index: usize) -> Reply {
        let cell = &self.cells[index];
        let before = || cell.definition.as_ref().and_then(|own| Some(own.last.as_ref()?.end.clone()));
        let end = cell.observed.last.as_ref().map(|last| last.end.clone()).or_else(before);
        exited(end.as_ref(), self.was_out_of_memory(index))
    }

    /// The kernel killed a process of the instance that ended last.
    pub(super) fn was_out_of_memory(&self, index: usize) -> bool {
        let cell = &self.cells[index];
        let before = cell.definition.as_ref().and_then(|own| own.last.as_ref());
        match &cell.observed.last {
            Some(_) => cell.observed.out_of_memory,
            None => before.is_some_and(|last| last.out_of_memory),
        }
    }

    /// A container is about to be forgotten: whoever waits for that is told how it ended.
    pub(super) fn answer_removed(&mut self, index: usize) {
        let reply = self.exited(index);
        for (client, talk) in self.clients.values_mut() {
            match talk {
                Talk::Waiting(waiting) if waiting.index == index && !client.ending => match waiting.what {
                    What::Removed(true) | What::NotRunning(_) | What::Exit(_) => client.finish(&reply),
                    What::Removed(false) | What::Stop => client.finish(&Reply::Done),
                    // Whatever is seen first of it.
                    What::Start(..) => client.fail(Code::State, "the container was removed"),
                    What::Mended(_) => {}
                },
                _ => {}
            }
        }
    }

    /// A container could not be removed: whoever waits for that is told why, and may ask again.
    pub(super) fn answer_not_removed(&mut self, index: usize, reason: &str) {
        for (client, talk) in self.clients.values_mut() {
            if let Talk::Waiting(waiting) = talk
                && (waiting.index, client.ending) == (index, false)
                && matches!(waiting.what, What::Removed(_))
            {
                client.fail(Code::Internal, reason);
            }
        }
    }
}

/// How long those who wait for an end have, after the first of them has asked anew, to ask, too.
const OTHERS: Duration = Duration::from_secs(1);

/// How often, each second, a container is killed before those who wait for its end are told that it does not come.
const KILLS: u32 = 10;

/// The answer for a container whose program the kernel does not end, as one that waits for a disk that is gone. What
/// was asked for is done when it ends.
fn unkillable(name: &Name, observed: &Observed) -> Option<Reply> {
    let stays = matches!(observed.state, State::Stopping { .. }) && observed.kills >= KILLS;
    stays.then(|| {
        let words = "tried to kill container, but did not receive an exit event";
        Reply::Failed(failure(Code::Internal, format!("container {:?}: {words}", &**name)))
    })
}

/// An end as clients are told.
pub(super) fn exited(end: Option<&End>, out_of_memory: bool) -> Reply {
    let error = match end {
        Some(end @ (End::NotStarted(_) | End::Missing(_))) => Some(end.to_string()),
        _ => None,
    };
    Reply::Exited { status: end.map_or(0, End::code), out_of_memory, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::life::{Event, How, Process, Stop, apply};
    use std::time::Duration;

    #[test]
    fn who_waits_for_what_cannot_be_killed_is_told() {
        let process = Process { pid: 7, start_time: 70 };
        let mut observed = Observed::default();
        let stop = Stop { signal: 15, grace: Duration::ZERO };
        let events = [
            Event::Creating(stop),
            Event::Created(Ok(process)),
            Event::Started(Ok(())),
            Event::Wanted(false, How::ITS_OWN),
            Event::Asked,
        ];
        events.iter().for_each(|event| apply(&mut observed, event, Duration::ZERO));
        let name = "web".parse().unwrap();
        for _ in 0..KILLS {
            assert_eq!(unkillable(&name, &observed), None);
            apply(&mut observed, &Event::Killed, Duration::ZERO);
        }
        let Some(Reply::Failed(failure)) = unkillable(&name, &observed) else { panic!("{observed:?}") };
        assert!(failure.message.starts_with("container \"web\": tried to kill container"), "{failure:?}");
        apply(&mut observed, &Event::Ended(End::Signalled(9)), Duration::ZERO);
        assert_eq!(unkillable(&name, &observed), None);
    }
}
