//! Health checks: made when they are due, and what they say (see [`crate::health`]).

use super::{Monitor, Work};
use crate::health::{Check, Known};
use crate::image::Image;
use crate::life::{Event, State, Time};
use crate::{kernel, place};
use nix::libc;
use spec::monitor::{Checked, Checks, Exec, Health};
use spec::node::{Container, Name};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use store::Healthcheck;

/// The exit status of a check that has none, as with Docker.
pub(super) const NO_STATUS: i32 = -1;

impl Monitor {
    /// A new instance: its check is the container's own or the image's.
    pub(super) fn arrange_check(&mut self, index: usize, container: &Container, image: &Image) {
        let own = Healthcheck::of(image.defaults.health.as_ref(), container.health.as_ref());
        let how = own.and_then(|own| own.check());
        let path = path(&self.cells[index].key);
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
        let State::Running { since, .. } = self.cells[index].observed.state else { return };
        let known = known(&self.cells[index].key);
        if let Some(check) = &mut self.cells[index].check {
            check.start(since, kernel::now(), known.as_ref());
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
                    let output = self.out_of_time(index, session);
                    self.check_ended(index, NO_STATUS, output);
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
            return self.check_ended(index, NO_STATUS, "the one before it cannot be ended".to_owned());
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
            Err(failure) => self.check_ended(index, NO_STATUS, failure.message),
        }
    }

    fn put_off(&mut self, index: usize) {
        if let Some(check) = &mut self.cells[index].check {
            check.put_off(kernel::now());
        }
    }

    /// What is told of a check that took too long, with what it has written until now.
    fn out_of_time(&mut self, index: usize, session: usize) -> String {
        let Some(check) = &self.cells[index].check else { return String::new() };
        let words = format!("Health check exceeded timeout ({})", check.how.timeout);
        match self.check_said(session) {
            said if said.is_empty() => words,
            said => format!("{words}: {said}"),
        }
    }

    fn check_said(&mut self, session: usize) -> String {
        let said = self.sessions.get_mut(&session).and_then(|session| session.said.as_mut());
        said.map(|said| said.text()).unwrap_or_default()
    }

    /// Whether a session was a check, which is over then: with its status, or without, and why.
    pub(super) fn end_check(&mut self, session: usize, exit: i32, why: Option<String>) -> bool {
        let is_check = self.sessions.get(&session).is_some_and(|session| session.check);
        let mine = self.cells.iter().find(|(_, cell)| {
            cell.check
                .as_ref()
                .is_some_and(|check| check.running.is_some_and(|(number, _)| number == session))
        });
        if let Some((index, _)) = mine {
            let output = why.unwrap_or_else(|| self.check_said(session));
            self.check_ended(index, exit, output);
        }
        is_check
    }

    fn check_ended(&mut self, index: usize, exit: i32, output: String) {
        let (now, end) = (kernel::now(), kernel::nanoseconds());
        let Some(check) = &mut self.cells[index].check else { return };
        let lasted = now.saturating_sub(check.began().unwrap_or(now));
        let start = end.saturating_sub(u64::try_from(lasted.as_nanos()).unwrap_or(0));
        let changed = check.ended(exit == 0, now);
        let (health, failures) = (check.health, check.failures);
        let key = &self.cells[index].key;
        let log = known(key).map(|known| known.checks.log).unwrap_or_default();
        let mut known = Known { health, checks: Checks { failures, log } };
        known.add(Checked { start, end, exit, output });
        let _ = sys::file::replace(&path(key), &serde_json::to_vec(&known).unwrap_or_default());
        if !changed {
            return;
        }
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

fn path(key: &Name) -> PathBuf {
    place::folder(key).join("health")
}

/// What is known of the instance that a container has now.
pub(super) fn known(key: &Name) -> Option<Known> {
    serde_json::from_slice(&fs::read(path(key)).ok()?).ok()
}
