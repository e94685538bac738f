//! What persons ask for: containers of their own, and what becomes of those and of
//! `node.toml`'s.

use super::Monitor;
use super::list::{EXPOSED, shorten};
use super::talk::{Outcome, Talk, Then, failure};
use super::waiting::What;
use crate::cells::Cell;
use crate::definition::{self, Definition};
use crate::image::Image;
use crate::life::{Event, How, State, Time};
use crate::log::{self, predecessor};
use crate::{bundle, device, kernel, network, place, record};
use nix::libc;
use spec::monitor::{COMMAND, Code, Create, Failure, Reply, Sandbox};
use spec::node::{Container, Name, Restart};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use sys::cause::cause;

/// How long after what was to go by itself could not be removed the next attempt is made.
const AGAIN: Duration = Duration::from_secs(5);

/// How many signals a program gets at once when it has started.
const MOST_EARLY: usize = 64;

/// Digits of an ID that name a container's folders.
const KEY: usize = 12;

impl Monitor {
    /// Takes on a container; it is on disk when this returns.
    pub(super) fn define(&mut self, create: Create) -> Outcome {
        refuse(&create)?;
        let Create { name, mut container, image: digest, remove, stdin_once, nameless, seccomp, sandbox } =
            create;
        let image = self.images.find_digest(&container.image, &digest);
        let image = image.map_err(|reason| failure(Code::NotFound, reason))?;
        let id = definition::new_id()
            .map_err(|error| failure(Code::Internal, format!("make an ID: {}", cause(&error))))?;
        let key = id[..KEY].parse().map_err(invalid)?;
        try_out(&key, &container, &image, sandbox.as_deref()).map_err(invalid)?;
        for other in container.others_mut() {
            // Its key, which no renaming changes.
            *other = self.cells[self.which(other)?].key.clone();
        }
        let name = self.free_name(name, &container.image, &id)?;
        if sandbox.is_none() {
            container.labels = with_images(container.labels, &image.defaults.labels);
        }
        let mut command = bundle::command(&container, &image.defaults);
        shorten(&mut command, COMMAND);
        let exposed = container.expose.iter().chain(&image.defaults.exposed);
        let exposed = exposed.take(EXPOSED).copied().collect();
        let mut cell = Cell::new(key);
        cell.name = name.clone();
        cell.definition = Some(Box::new(Definition {
            id: id.clone(),
            name: name.clone(),
            created: kernel::nanoseconds(),
            digest,
            remove,
            stdin_once,
            nameless,
            seccomp,
            wanted: false,
            started: false,
            last: None,
            sandbox,
            command,
            exposed,
        }));
        cell.observed.wanted = Some(false);
        cell.container = Some(container);
        self.admit(cell)?;
        Ok(Then::Reply(Reply::Created { id, name, warnings: Vec::new() }))
    }

    /// The name that was asked for, or one that is made up.
    fn free_name(&self, asked: Option<Name>, image: &str, id: &str) -> Result<Name, Failure> {
        match asked {
            Some(name) if self.cells.find(&name).is_some() => {
                let message = format!("create: container {:?} is there already; rm or rename it", &*name);
                Err(failure(Code::Exists, message))
            }
            Some(name) => Ok(name),
            None => Ok(self.made_up(image, id)),
        }
    }

    /// Writes a new container's record and definition, and takes it among the others.
    fn admit(&mut self, cell: Cell) -> Result<(), Failure> {
        let folder = place::folder(&cell.key);
        let record = record::write(&folder, &cell.observed)
            .map_err(|error| failure(Code::Internal, format!("create: write its record: {}", cause(&error))));
        let index = self.cells.insert(cell);
        if record.is_err() || !self.write_definition(index, true) {
            self.cells.remove(index);
            let _ = fs::remove_dir_all(folder);
            let message = format!("create: write {}", place::definitions().display());
            return Err(record.err().unwrap_or_else(|| failure(Code::Internal, message)));
        }
        self.stale = true;
        self.publish(index, "create", BTreeMap::new());
        Ok(())
    }

    /// The image's last word and some digits.
    fn made_up(&self, image: &str, id: &str) -> Name {
        let base = image.rsplit('/').next().unwrap_or(image);
        let word: String = base.chars().take_while(char::is_ascii_alphanumeric).take(40).collect();
        let names = (4..=16).map(|digits| format!("{word}-{}", &id[..digits]));
        let mut free =
            names.filter_map(|name| name.parse().ok()).filter(|name: &Name| self.cells.find(name).is_none());
        // 64 random bits: somebody else's name is not among them.
        free.next().unwrap_or_else(|| self.key_of(id))
    }

    fn key_of(&self, id: &str) -> Name {
        id[..KEY].parse().unwrap_or_else(|_| unreachable!("hexadecimal digits are a name"))
    }

    /// Keeps what a person wants: over a reboot if it is the person's own container. Who is to be down goes down
    /// though nothing can be written, for that may be what frees the disk; it is written when there is room.
    pub(super) fn want(&mut self, index: usize, event: &Event) -> Result<(), Failure> {
        let up = !matches!(event, Event::Wanted(false, _) | Event::Dismissed);
        let before = self.cells[index].definition.as_mut().map(|own| std::mem::replace(&mut own.wanted, up));
        if let Some(before) = before.filter(|before| *before != up)
            && !self.write_definition(index, true)
            && up
        {
            // What is not on the disk is still to be written when it is asked for again.
            if let Some(own) = &mut self.cells[index].definition {
                own.wanted = before;
            }
            let message = format!("write {}", place::definitions().display());
            return Err(failure(Code::Internal, message));
        }
        self.tell(index, event);
        Ok(())
    }

    pub(super) fn start(&mut self, index: usize) -> Outcome {
        let observed = &self.cells[index].observed;
        let runs = matches!(observed.state, State::Running { .. }) && !observed.renew;
        let what = What::Start(observed.starts, self.cells[index].ends);
        self.may_run(index)?;
        self.want(index, &Event::Wanted(true, How::ITS_OWN))?;
        if runs {
            return Ok(Then::Reply(Reply::Done));
        }
        Ok(Then::Talk(Talk::Waiting(self.waiting(index, what))))
    }

    /// Nothing keeps it down that a person could not change.
    pub(super) fn may_run(&self, index: usize) -> Result<(), Failure> {
        let cell = &self.cells[index];
        let reason = if self.stopping {
            "the node is stopping"
        } else if cell.damaged {
            "its definition cannot be read"
        } else if cell.removing || cell.container.is_none() {
            "it is being removed"
        } else if self.order.is_barred(&cell.key) {
            "its \"after\" keeps it down"
        } else {
            return Ok(());
        };
        Err(failure(Code::State, format!("start container {:?}: {reason}", &*cell.name)))
    }

    pub(super) fn stop(&mut self, index: usize, grace: Option<u64>, signal: Option<i32>) -> Outcome {
        self.ask_once_more(index, "stop", signal)?;
        // Its own grace counts again, whatever another stop has said that is under way.
        let own = self.cells[index].container.as_ref().map(|container| container.stop_grace.0);
        let grace = grace.map(Duration::from_secs).or(own);
        self.want(index, &Event::Wanted(false, How { signal, grace }))?;
        Ok(Then::Talk(Talk::Waiting(self.waiting(index, What::Stop))))
    }

    /// Who is being stopped already is sent the signal that another stop names.
    fn ask_once_more(&mut self, index: usize, verb: &str, signal: Option<i32>) -> Result<(), Failure> {
        let Some(signal) = signal else { return Ok(()) };
        if !(1..=64).contains(&signal) {
            let name = &*self.cells[index].name;
            let message = format!("{verb} container {name:?}: {signal} is not a signal");
            return Err(failure(Code::Invalid, message));
        }
        if let State::Stopping { process, .. } = self.cells[index].observed.state
            && kernel::signal(process, signal).is_ok()
        {
            self.publish(index, "kill", BTreeMap::from([("signal".to_owned(), signal.to_string())]));
        }
        Ok(())
    }

    pub(super) fn start_again(&mut self, index: usize, grace: Option<u64>, signal: Option<i32>) -> Outcome {
        self.may_run(index)?;
        self.ask_once_more(index, "restart", signal)?;
        let observed = &self.cells[index].observed;
        // The instance that runs ends first.
        let runs = matches!(observed.state, State::Running { .. } | State::Stopping { .. });
        let what = What::Start(observed.starts, self.cells[index].ends + u64::from(runs));
        let how = How { signal, grace: grace.map(Duration::from_secs) };
        self.want(index, &Event::Renewed(how))?;
        Ok(Then::Talk(Talk::Waiting(self.waiting(index, what))))
    }

    /// Who is killed stays down, as with Docker, and so does who ends after its stop signal. That is kept first: a
    /// monitor that comes back must not start it again.
    pub(super) fn send_signal(&mut self, index: usize, signal: i32) -> Outcome {
        let cell = &self.cells[index];
        let name = format!("kill container {:?}", &*cell.name);
        if !(1..=64).contains(&signal) {
            return Err(failure(Code::Invalid, format!("{name}: {signal} is not a signal")));
        }
        let process = match cell.observed.state {
            State::Running { process, .. } | State::Stopping { process, .. } => process,
            // Its program may run and write before `start` has said so.
            State::Created(_) if cell.observed.busy && cell.early.len() < MOST_EARLY => {
                self.cells[index].early.push(signal);
                return Ok(Then::Reply(Reply::Done));
            }
            _ => return Err(failure(Code::State, format!("{name}: it does not run"))),
        };
        let (own, stop) = (cell.definition.is_some(), cell.observed.stop.signal);
        if own && signal == libc::SIGKILL {
            self.want(index, &Event::Wanted(false, How::ITS_OWN))?;
        } else if own && signal == stop {
            self.want(index, &Event::Dismissed)?;
        }
        kernel::signal(process, signal)
            .map_err(|error| failure(Code::State, format!("{name}: {}", cause(&error))))?;
        let number = BTreeMap::from([("signal".to_owned(), signal.to_string())]);
        self.publish(index, "kill", number);
        Ok(Then::Reply(Reply::Done))
    }

    pub(super) fn pause(&mut self, index: usize, frozen: bool) -> Outcome {
        let cell = &self.cells[index];
        let verb = if frozen { "pause" } else { "unpause" };
        let name = format!("{verb} container {:?}", &*cell.name);
        let reason =
            match (matches!(cell.observed.state, State::Running { .. }), kernel::is_frozen(&cell.cgroup())) {
                (false, _) => "it does not run",
                (true, now) if now == frozen => {
                    if frozen {
                        "it is paused"
                    } else {
                        "it is not paused"
                    }
                }
                _ => "",
            };
        if !reason.is_empty() {
            return Err(failure(Code::State, format!("{name}: {reason}")));
        }
        kernel::freeze(&cell.cgroup(), frozen)
            .map_err(|error| failure(Code::Internal, format!("{name}: {}", cause(&error))))?;
        self.publish(index, verb, BTreeMap::new());
        Ok(Then::Reply(Reply::Done))
    }

    pub(super) fn rename(&mut self, index: usize, to: Name) -> Outcome {
        self.must_be_a_persons(index, "rename")?;
        if self.cells.find(&to).is_some() {
            let message = format!("rename: container {:?} is there already; rm or rename it", &*to);
            return Err(failure(Code::Exists, message));
        }
        let before = self.cells[index].name.clone();
        let put = |monitor: &mut Self, name: Name| {
            monitor.cells.rename(index, name.clone());
            if let Some(own) = &mut monitor.cells[index].definition {
                own.name = name;
            }
        };
        put(self, to);
        if !self.write_definition(index, true) {
            put(self, before);
            return Err(failure(Code::Internal, format!("rename: write {}", place::definitions().display())));
        }
        self.stale = true;
        self.publish(index, "rename", BTreeMap::from([("oldName".to_owned(), before.to_string())]));
        // By the new name it is found from now on.
        self.mend(index);
        Ok(Then::Reply(Reply::Done))
    }

    pub(super) fn remove(&mut self, index: usize, force: bool, volumes: bool) -> Outcome {
        // Nothing else becomes of one that is damaged.
        if !self.cells[index].damaged {
            self.must_be_a_persons(index, "remove")?;
        }
        if self.goes_on(index) && self.cells[index].observed.state != State::Ended {
            if !force {
                let message =
                    format!("remove container {:?}: it runs; stop it, or rm -f", &*self.cells[index].name);
                return Err(failure(Code::State, message));
            }
            self.want(index, &Event::Wanted(false, How::within(Duration::ZERO)))?;
        }
        let waiting = self.waiting(index, What::Removed(false));
        let cell = &mut self.cells[index];
        cell.removing = true;
        cell.with_volumes |= volumes;
        Ok(Then::Talk(Talk::Waiting(waiting)))
    }

    pub(super) fn must_be_a_persons(&self, index: usize, verb: &str) -> Result<(), Failure> {
        let cell = &self.cells[index];
        match cell.definition {
            Some(_) => Ok(()),
            None if cell.damaged => {
                let message = format!("{verb} container {:?}: its definition cannot be read", &*cell.name);
                Err(failure(Code::State, message))
            }
            None => {
                let message = format!("{verb} container {:?}: it belongs to node.toml", &*cell.name);
                Err(failure(Code::Configured, message))
            }
        }
    }

    /// Removes what has ended and is not to stay; gives the time when there is more to remove.
    pub(super) fn sweep(&mut self) -> Option<Time> {
        let (now, mut soonest) = (kernel::now(), None::<Time>);
        for index in self.cells.indices() {
            let cell = &self.cells[index];
            if cell.observed.state != State::Absent || cell.observed.busy {
                continue;
            }
            let over = cell.observed.last.is_some() && !self.goes_on(index) && !self.is_attached(index);
            let once = cell.definition.as_ref().is_some_and(|own| own.remove) && over;
            if once && now < cell.keep_until && !cell.removing {
                soonest = Some(soonest.map_or(cell.keep_until, |other| other.min(cell.keep_until)));
            } else if cell.removing || once || (cell.container.is_none() && !cell.damaged) {
                self.forget(index);
                // What could not be removed is tried again.
                let again = self.cells.get(index).map(|cell| cell.keep_until);
                soonest = soonest.into_iter().chain(again).min();
            }
        }
        soonest
    }

    /// Takes away all that is left of a container: the definition last of what counts.
    fn forget(&mut self, index: usize) {
        let cell = &self.cells[index];
        let (key, name) = (cell.key.clone(), cell.name.clone());
        let was_persons = cell.definition.is_some() || cell.damaged;
        if was_persons {
            let gone = remove_logs(&key);
            // Before its definition, without which nobody knows that they are its.
            let gone = gone.map(|()| self.put_nameless_aside(index)).and_then(|()| definition::remove(&key));
            if let Err(reason) = gone {
                self.console.say(&format!("{name}: not removed: {reason}"));
                let cell = &mut self.cells[index];
                (cell.removing, cell.with_volumes, cell.keep_until) = (false, false, kernel::now() + AGAIN);
                self.answer_not_removed(index, &format!("remove container {:?}: {reason}", &*name));
                return;
            }
        }
        let _ = fs::remove_dir_all(place::folder(&key));
        if was_persons {
            self.answer_removed(index);
            self.publish(index, "destroy", BTreeMap::new());
        }
        self.cells.remove(index);
        self.stale = true;
        self.remove_old();
    }
}

fn invalid(reason: String) -> Failure {
    failure(Code::Invalid, format!("create: {reason}"))
}

/// What is wrong in itself, whatever image and containers there are.
fn refuse(create: &Create) -> Result<(), Failure> {
    let Create { container, remove, seccomp, .. } = create;
    if *remove && container.restart != Restart::No {
        return Err(invalid("what is removed once it has ended cannot be restarted".to_owned()));
    }
    if !container.after.is_empty() {
        return Err(invalid("\"after\" is for the containers of node.toml".to_owned()));
    }
    container.check().map_err(invalid)?;
    let wrong = seccomp.as_ref().and_then(|own| own.check().err());
    wrong.map_or(Ok(()), |reason| Err(invalid(format!("seccomp: {reason}"))))
}

/// What can be told without the image's files is told before it is started.
fn try_out(
    key: &Name,
    container: &Container,
    image: &Image,
    sandbox: Option<&Sandbox>,
) -> Result<(), String> {
    let devices = device::of(container)?;
    let around =
        bundle::Surroundings { devices, sandbox: sandbox.cloned().map(Box::new), ..Default::default() };
    let probe = Container { user: None, group_add: Vec::new(), ..container.clone() };
    let defaults = bundle::Defaults { user: String::new(), ..image.defaults.clone() };
    bundle::config(key, &probe, &defaults, &around)?;
    network::way(key, key, container, &[], None).map(drop)
}

/// What a person said has the last word.
fn with_images(own: BTreeMap<String, String>, images: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    images.clone().into_iter().chain(own).collect()
}

fn remove_logs(key: &Name) -> Result<(), String> {
    let log = place::log(key);
    for path in [predecessor(&log), log, place::log_entry(key)] {
        log::remove(&path).map_err(|error| format!("remove {}: {}", path.display(), cause(&error)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_its_images_labels_but_for_what_is_said() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let image = labels(&[("maintainer", "a"), ("tier", "any")]);
        let own = labels(&[("tier", "front"), ("app", "b")]);
        let all = labels(&[("maintainer", "a"), ("tier", "front"), ("app", "b")]);
        assert_eq!(with_images(own, &image), all);
    }
}
