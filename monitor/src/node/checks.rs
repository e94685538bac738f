//! Health checks: made when they are due, and what they say (see [`crate::health`]).

use super::{Monitor, Work};
use crate::health::Check;
use crate::image::Image;
use crate::life::{Event, State, Time};
use crate::{kernel, place};
use nix::libc;
use spec::monitor::{Exec, Health};
use spec::node::Container;
use std::collections::BTreeMap;
use std::fs;
use store::Healthcheck;

impl Monitor {
    /// A new instance: its check is the container's own or the image's.
    pub(super) fn arrange_check(&mut self, index: usize, container: &Container, image: &Image) {
        let own = Healthcheck::of(image.defaults.health.as_ref(), container.health.as_ref());
        let how = own.and_then(|own| own.check());
        let path = place::folder(&self.cells[index].key).join("health");
        let _ = fs::remove_file(&path);
        if let Some(how) = &how {
            // What a monitor that comes back must know.
            let text = serde_json::to_vec(how).unwrap_or_default();
            let _ = sys::file::replace(&path.with_file_name("check"), &text);
        } else {
            let _ = fs::remove_file(path.with_file_name("check"));
        }
        self.cells[index].check = how.map(|how| Box::new(Check::new(how)));
    }

    /// A monitor that comes back finds the check again.
    pub(super) fn recover_check(&mut self, index: usize) {
        let folder = place::folder(&self.cells[index].key);
        let how = fs::read(folder.join("check")).ok().and_then(|text| serde_json::from_slice(&text).ok());
        self.cells[index].check = how.map(|how| Box::new(Check::new(how)));
        let known = fs::read(folder.join("health")).ok();
        let known = known.and_then(|text| serde_json::from_slice::<Health>(&text).ok());
        let State::Running { since, .. } = self.cells[index].observed.state else { return };
        if let Some(check) = &mut self.cells[index].check {
            check.start(since, kernel::now(), known);
        }
    }

    /// What an event means for the check.
    pub(super) fn check_follows(&mut self, index: usize, event: &Event) {
        let now = kernel::now();
        let Some(check) = &mut self.cells[index].check else { return };
        match event {
            Event::Started(Ok(())) => check.start(now, now, None),
            Event::Ended(_) | Event::Asked => check.stop(),
            _ => {}
        }
    }

    /// Makes the checks that are due; gives the time of the next.
    pub(super) fn checks_due(&mut self) -> Option<Time> {
        let now = kernel::now();
        for index in self.cells.indices() {
            let Some(check) = &self.cells[index].check else { continue };
            if check.due().is_none_or(|due| due > now) {
                continue;
            }
            match check.running {
                Some((session, _)) => {
                    self.signal_session(session, libc::SIGKILL);
                    self.end_exec(session);
                    // Whatever becomes of it, it took too long.
                    self.check_ended(index, false);
                }
                None => self.begin_check(index),
            }
        }
        self.cells.iter().filter_map(|(_, cell)| cell.check.as_ref()?.due()).min()
    }

    /// Ends the runtime's `exec` that has not yet begun a session's program.
    fn end_exec(&self, number: usize) {
        let begins = |work: &Work| matches!(work, Work::Session(of) if *of == number);
        if let Some((pid, _)) = self.work.iter().find(|(_, work)| begins(work)) {
            // It is our child and not reaped, so the number is its own.
            let _ = sys::process::kill(*pid, libc::SIGKILL);
        }
    }

    fn begin_check(&mut self, index: usize) {
        let Some(check) = &self.cells[index].check else { return };
        if self.sessions.values().any(|session| session.check && session.container == index) {
            // What cannot be ended hangs: there is not one more of it each time.
            return self.check_ended(index, false);
        }
        let exec = Exec { command: check.how.command.clone(), detach: true, ..Exec::default() };
        if kernel::is_frozen(&self.cells[index].cgroup()) {
            // It can say nothing; the next check is made an interval later.
            return self.put_off(index);
        }
        match self.begin_session(index, &exec, true) {
            Ok(session) => {
                if let Some(check) = &mut self.cells[index].check {
                    check.begun(session, kernel::now());
                }
            }
            Err(_) => self.check_ended(index, false),
        }
    }

    fn put_off(&mut self, index: usize) {
        if let Some(check) = &mut self.cells[index].check {
            check.put_off(kernel::now());
        }
    }

    /// Whether a session was a check, which is over then.
    pub(super) fn end_check(&mut self, session: usize, well: bool) -> bool {
        let is_check = self.sessions.get(&session).is_some_and(|session| session.check);
        let mine = self.cells.iter().find(|(_, cell)| {
            cell.check
                .as_ref()
                .is_some_and(|check| check.running.is_some_and(|(number, _)| number == session))
        });
        if let Some((index, _)) = mine {
            self.check_ended(index, well);
        }
        is_check
    }

    fn check_ended(&mut self, index: usize, well: bool) {
        let Some(check) = &mut self.cells[index].check else { return };
        if !check.ended(well, kernel::now()) {
            return;
        }
        let health = check.health;
        let text = serde_json::to_vec(&health).unwrap_or_default();
        let _ = sys::file::replace(&place::folder(&self.cells[index].key).join("health"), &text);
        let word = match health {
            Health::Healthy => "health_status: healthy",
            Health::Unhealthy => "health_status: unhealthy",
            Health::Starting => "health_status: starting",
        };
        if health == Health::Unhealthy {
            self.console.say(&format!("{}: unhealthy", self.cells[index].name));
        }
        self.publish(index, word, BTreeMap::new());
    }
}
