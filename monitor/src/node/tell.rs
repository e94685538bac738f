//! What is done about an event, whatever it is: the record, the console's line, what those
//! who follow events are told, the definition on disk.

use super::Monitor;
use crate::definition::{self, Ended};
use crate::life::{self, End, Event, How, Observed, State, Time};
use crate::{kernel, place, record, status};
use spec::monitor::{Happening, Reply};
use spec::node::Restart;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;
use sys::cause::cause;

/// How long after a definition could not be written the next attempt is made.
const AGAIN: Duration = Duration::from_secs(5);

/// How long after a record or the status file could not be written the next attempt is made.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

impl Monitor {
    /// Takes an event in: what is known, its record, the console's line, the status.
    pub(super) fn tell(&mut self, index: usize, event: &Event) {
        let up = self.desired(index).up && !self.cells[index].observed.dismissed;
        let restart = self.restart(index);
        let cell = &mut self.cells[index];
        let before = cell.observed.clone();
        life::apply(&mut cell.observed, event, kernel::now());
        cell.made_anew &= cell.observed.state == State::Creating;
        if *event == Event::Busy {
            cell.busy_since = kernel::now();
            return;
        }
        let failed = matches!(
            event,
            Event::Ended(_) | Event::Created(Err(_)) | Event::Started(Err(_)) | Event::Pulled(Err(_))
        );
        cell.ends += u64::from(failed);
        let ended = before.state != State::Ended && cell.observed.state == State::Ended;
        let written = record::write(&place::folder(&cell.key), &cell.observed);
        if let Err(error) = &written {
            self.console.say(&format!("{}: write its record: {}", cell.name, cause(error)));
        }
        cell.unrecorded = written.is_err().then(|| kernel::now() + RECORD_AGAIN);
        if ended {
            // From here on whoever types means the next instance, and nobody is waited for who typed for this one.
            self.cells[index].typist_due = None;
            self.close_input(index);
        }
        let cell = &self.cells[index];
        if let Some(line) = life::line(event, &before, &cell.observed, restart, up) {
            self.console.say(&format!("{}: {line}", cell.name));
        }
        // `start` may report after the end of what it started.
        let late = matches!(event, Event::Started(Ok(()))) && cell.observed.state.process().is_none();
        if !late {
            let unseen = matches!(before.state, State::Created(_)) && cell.observed.starts > before.starts;
            if unseen && matches!(event, Event::Ended(_)) {
                self.publish_start(index);
            }
            self.remember(index, event);
            self.publish_life(index, event, up);
            self.check_follows(index, event);
        }
        self.stale = true;
        if matches!(event, Event::Started(_)) {
            for signal in std::mem::take(&mut self.cells[index].early) {
                // One that has ended already does not miss it.
                let _ = self.send_signal(index, signal);
            }
        }
        if failed && before.asked && self.cells[index].definition.is_some() {
            self.give_up_start(index, event);
        }
    }

    /// Who could not be started for a person is not tried again and again, as with Docker.
    fn give_up_start(&mut self, index: usize, event: &Event) {
        let never_ran = matches!(event, Event::Created(Err(_)) | Event::Started(Err(_)));
        if never_ran && let Err(failure) = self.want(index, &Event::Wanted(false, How::ITS_OWN)) {
            self.console.say(&format!("{}: {}", self.cells[index].name, failure.message));
        }
    }

    pub(super) fn write_status(&mut self) {
        if !std::mem::take(&mut self.stale) {
            return;
        }
        let line = |cell: &crate::cells::Cell| {
            let image = cell.container.as_ref().map(|container| container.image.as_str());
            status::line(&cell.name, &cell.observed, image)
        };
        let text: String = self.cells.iter().map(|(_, cell)| line(cell)).collect();
        let written = sys::file::replace(&place::status(), text.as_bytes());
        let failed_before = std::mem::replace(&mut self.status_failed, written.is_err());
        if let (Err(error), false) = (&written, failed_before) {
            self.console.say(&format!("monitor: write {}: {}", place::status().display(), cause(error)));
        }
        self.stale = written.is_err();
    }

    /// What a reboot must not forget of a person's container.
    fn remember(&mut self, index: usize, event: &Event) {
        let now = kernel::seconds();
        let desired = self.desired(index);
        let on_failure = matches!(self.restart(index), Restart::OnFailure(_));
        let cell = &mut self.cells[index];
        let Some(definition) = &mut cell.definition else { return };
        // The first start and the last end are acknowledged with this, and what is only half on the disk is nothing
        // after a power cut.
        let durable = match event {
            // An end with 0 would keep it down after a power cut, though it was started since.
            Event::Started(Ok(())) => {
                let ended_well = definition.last.as_ref().is_some_and(|last| last.end == End::Exited(0));
                !definition.started || (on_failure && ended_well)
            }
            // When all end, the node's own end brings everything to the disk.
            Event::Ended(_) if self.stopping => false,
            Event::Ended(_) => !definition.started || !life::comes_back(&desired, &cell.observed),
            _ => false,
        };
        match event {
            Event::Started(Ok(())) => (definition.started, definition.last) = (true, None),
            Event::Ended(_) | Event::Created(Err(_)) | Event::Started(Err(_)) | Event::Pulled(Err(_)) => {
                definition.started |= matches!(event, Event::Ended(_));
                let last = cell.observed.last.as_ref();
                let ran = cell.observed.ran.map(kernel::wall);
                let out_of_memory = cell.observed.out_of_memory;
                definition.last =
                    last.map(|last| Ended { end: last.end.clone(), at: now, ran, out_of_memory });
            }
            _ => return,
        }
        self.write_definition(index, durable);
    }

    /// Brings a definition to disk: at once, or when the disk next comes to it.
    pub(super) fn write_definition(&mut self, index: usize, durable: bool) -> bool {
        let cell = &self.cells[index];
        let (Some(own), Some(container)) = (&cell.definition, &cell.container) else { return true };
        let written = definition::write(&cell.key, own, container, durable);
        if let Err(reason) = &written {
            self.console.say(&format!("{}: {reason}", cell.name));
        }
        self.cells[index].unwritten = written.is_err().then(|| kernel::now() + AGAIN);
        written.is_ok()
    }

    /// Writes records and definitions that could not be written when they changed; gives the time when the next attempt is
    /// due, also of the status file's.
    pub(super) fn write_again(&mut self) -> Option<Time> {
        let now = kernel::now();
        let mut soonest = self.status_failed.then(|| now + RECORD_AGAIN);
        for index in self.cells.indices() {
            let cell = &mut self.cells[index];
            if cell.unrecorded.is_some_and(|due| due <= now) {
                let written = record::write(&place::folder(&cell.key), &cell.observed);
                cell.unrecorded = written.is_err().then(|| now + RECORD_AGAIN);
            }
            soonest = soonest.into_iter().chain(cell.unrecorded).min();
            let Some(due) = &mut cell.unwritten else { continue };
            if let (true, Some(own), Some(container)) = (*due <= now, &cell.definition, &cell.container) {
                if definition::write(&cell.key, own, container, true).is_ok() {
                    cell.unwritten = None;
                    continue;
                }
                *due = now + AGAIN;
            }
            soonest = Some(soonest.map_or(*due, |other| other.min(*due)));
        }
        soonest
    }

    fn publish_start(&mut self, index: usize) {
        self.publish(index, "start", BTreeMap::new());
        if std::mem::take(&mut self.cells[index].renewed) {
            self.publish(index, "restart", BTreeMap::new());
        }
    }

    fn publish_life(&mut self, index: usize, event: &Event, up: bool) {
        let observed = &self.cells[index].observed;
        let number = |key: &str, value: i32| BTreeMap::from([(key.to_owned(), value.to_string())]);
        match event {
            Event::Started(Ok(())) => self.publish_start(index),
            Event::Renewed(_) => self.cells[index].renewed = true,
            Event::Wanted(..) => self.cells[index].renewed = false,
            Event::Asked => {
                let signal = observed.stop_signal();
                self.publish(index, "kill", number("signal", signal));
            }
            // One that cannot be killed is, each second, and others' events have to have room.
            Event::Killed if observed.kills.is_power_of_two() => {
                self.publish(index, "kill", number("signal", nix::libc::SIGKILL));
            }
            Event::OutOfMemory => self.publish(index, "oom", BTreeMap::new()),
            Event::Ended(end) => {
                self.publish(index, "die", number("exitCode", end.code().into()));
                if !up || self.cells[index].renewed {
                    self.publish(index, "stop", BTreeMap::new());
                }
            }
            _ => {}
        }
    }

    /// Tells those who follow events, now and later.
    pub(super) fn publish(
        &mut self,
        index: usize,
        action: impl Into<String>,
        mut attributes: BTreeMap<String, String>,
    ) {
        let cell = &self.cells[index];
        if let Some(container) = &cell.container {
            attributes.insert("image".to_owned(), container.image.clone());
        }
        let (time, name, id, action) = (kernel::nanoseconds(), cell.name.clone(), cell.id(), action.into());
        self.ring.push(time, Reply::Event { time, name, id, action, attributes });
        self.feed_events();
    }

    /// The same of something else than a container.
    pub(super) fn happened(&mut self, what: Happening) {
        let time = kernel::nanoseconds();
        self.ring.push(time, Reply::Happened { time, what: Box::new(what) });
        self.feed_events();
    }

    /// The container's process is another's child, or has ended.
    pub(super) fn forget_adopted(&mut self, index: usize) {
        if let Some(adopted) = self.cells[index].adopted.take() {
            let _ = self.poller.remove(adopted.pidfd.as_fd());
        }
    }

    /// What is known of a container that may be gone.
    pub(super) fn known(&self, index: usize) -> Option<&Observed> {
        self.cells.get(index).map(|cell| &cell.observed)
    }
}
