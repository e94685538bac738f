//! The event loop.

use super::Monitor;
use super::talk::Talk;
use crate::cells::Cell;
use crate::etc;
use crate::keeper::Keeper;
use crate::life::{State, Time};
use crate::log::Stream;
use crate::poller::Token;
use crate::{config, definition, image, kernel, place};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use spec::paths;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use sys::cause::cause;

/// What the monitor may open.
pub(super) const MOST_OPEN: u64 = 32 * 1024;

/// How long after PID 1 could not be asked for exits the next attempt is made.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

/// The monitor's whole life: it returns when it was asked to end and every
/// container is gone.
///
/// # Errors
/// What the monitor cannot do without.
pub fn run() -> Result<(), String> {
    let signals = signals().map_err(|error| format!("watch signals: {}", cause(&error)))?;
    // Two would start, log and remove the same containers.
    let root = Path::new(paths::MONITOR_ROOT);
    let _alone = sys::file::alone(root).map_err(|error| format!("{}: {}", root.display(), cause(&error)))?;
    set_child_subreaper(true).map_err(|error| format!("become a subreaper: {}", cause(&error.into())))?;
    // Some descriptors for each container.
    sys::process::may_open(MOST_OPEN);
    place::make_all()?;
    let node = config::read(Path::new(paths::CONFIG_LAYERS))?;
    let mut monitor = Monitor::recover(node.containers)?;
    monitor.watch(&signals).map_err(|error| format!("epoll: {}", cause(&error)))?;
    monitor.remove_old();
    monitor.follow_resolver();
    monitor.serve(&signals)
}

/// Signals come as events. SIGPIPE is an error of a write.
fn signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE] {
        set.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

impl Monitor {
    fn watch(&self, signals: &SignalFd) -> io::Result<()> {
        self.poller.add(signals.as_fd(), Token::Signals)?;
        if let Some(watch) = self.resolver.watch() {
            self.poller.add(watch, Token::Resolver)?;
        }
        if let Some(listener) = &self.listener {
            self.poller.add(listener.as_fd(), Token::Listener)?;
        }
        if let Some(log) = &self.kernel_log {
            self.poller.add(log.as_fd(), Token::KernelLog)?;
        }
        match &self.subscription {
            Some(subscription) => self.poller.add(subscription.as_fd(), Token::Subscription),
            None => Ok(()),
        }
    }

    fn serve(&mut self, signals: &SignalFd) -> Result<(), String> {
        // Pipes of which there is more to log than one turn took.
        let mut more: BTreeSet<(usize, Stream)> = BTreeSet::new();
        loop {
            // What has ended is taken in before anything is decided.
            let some_ended = self.reap_some();
            let due = [
                self.give_up(),
                self.sessions_due(),
                self.checks_due(),
                self.step_all(),
                self.log_overdue(),
                self.sweep(),
                self.write_again(),
                self.stats_due(),
                self.readers_due(),
                self.typists_due(),
                self.resolver_due(),
                self.subscription_due(),
            ];
            let absent = |state: &State| *state == State::Absent;
            if self.stopping && self.cells.iter().all(|(_, cell)| absent(&cell.observed.state)) {
                self.write_status();
                return Ok(());
            }
            let fed = self.serve_clients();
            more.extend(self.let_go());
            self.write_status();
            let soonest: Option<Time> = due.into_iter().flatten().min();
            let limit = soonest.map(|time| time.saturating_sub(kernel::now()));
            let limit = if more.is_empty() && !fed && !some_ended { limit } else { Some(Time::ZERO) };
            let events =
                self.poller.wait(limit).map_err(|error| format!("wait for events: {}", cause(&error)))?;
            for event in events {
                match event {
                    Token::Signals => self.signalled(signals),
                    Token::Subscription => self.read_subscription(),
                    Token::Resolver if self.resolver.changed() => self.follow_resolver(),
                    Token::Resolver => {}
                    Token::KernelLog => self.read_kernel_log(),
                    Token::Listener => self.accept(),
                    Token::Client(number) => self.client_ready(number),
                    Token::Adopted(index) => self.adopted_readable(index),
                    Token::Output(index, stream) => drop(more.insert((index, stream))),
                    Token::Input(index) => self.input_ready(index),
                    Token::SessionOutput(number, _) => self.pump(number),
                    Token::SessionInput(number) => self.session_input_ready(number),
                    Token::SessionAdopted(number) => self.session_adopted_ended(number),
                }
            }
            more.retain(|(index, stream)| self.log(*index, *stream));
        }
    }

    /// Gives clients what there is for them; says whether there is more at once.
    fn serve_clients(&mut self) -> bool {
        self.answer_waiting();
        self.feed_events();
        let grown = std::mem::take(&mut self.grown);
        let readers = self.clients.iter().filter(|(_, (_, talk))| match talk {
            Talk::Log(follow) => grown.contains(&follow.index) || self.is_settled(follow.index),
            _ => false,
        });
        let mut fed: BTreeSet<usize> = readers.map(|(number, _)| *number).collect();
        fed.extend(std::mem::take(&mut self.eager));
        for number in fed {
            if let Some((_, Talk::Session(session))) = self.clients.get(&number) {
                self.pump(*session);
            } else if self.feed_log(number) {
                self.eager.insert(number);
            }
        }
        self.settle_clients();
        !self.eager.is_empty()
    }

    /// It does not run, so its readers may be at their end.
    fn is_settled(&self, index: usize) -> bool {
        !matches!(self.known(index).map(|own| own.state), Some(State::Running { .. }))
    }

    fn signalled(&mut self, signals: &SignalFd) {
        while let Ok(Some(signal)) = signals.read_signal() {
            let signal = signal.ssi_signo.cast_signed();
            if [Signal::SIGTERM as i32, Signal::SIGINT as i32].contains(&signal) && !self.stopping {
                self.stopping = true;
                let count =
                    self.cells.iter().filter(|(_, cell)| cell.observed.state != State::Absent).count();
                if count > 0 {
                    self.console.say(&format!("monitor: stopping {count} containers"));
                }
            }
        }
    }

    fn read_subscription(&mut self) {
        let Some(subscription) = &self.subscription else { return };
        let (exits, more) = subscription.told();
        exits.iter().for_each(|exit| self.told(exit));
        if !more {
            self.subscription = None;
            self.subscribe_again();
        }
    }

    /// Tries again every second until PID 1 tells of exits; gives the time of the next attempt.
    fn subscription_due(&mut self) -> Option<Time> {
        if self.unsubscribed.is_some_and(|due| due <= kernel::now()) {
            self.subscribe_again();
        }
        self.unsubscribed
    }

    fn subscribe_again(&mut self) {
        let subscribed = self.subscribe();
        if let Err(reason) = &subscribed {
            self.console.say(&format!("monitor: {reason}"));
        }
        self.unsubscribed = subscribed.is_err().then(|| kernel::now() + SUBSCRIBE_AGAIN);
    }

    /// After PID 1 has hung up, for too many orphans had ended at once: the ring
    /// has what was not told.
    fn subscribe(&mut self) -> Result<(), String> {
        let named = |error: io::Error| format!("subscribe to exits: {}", cause(&error));
        let subscription = Keeper::connect(paths::INIT_SOCKET).and_then(Keeper::subscribe).map_err(named)?;
        let exits = self.keeper.as_ref().map_or(Ok(Vec::new()), Keeper::exits).map_err(named)?;
        self.poller.add(subscription.as_fd(), Token::Subscription).map_err(named)?;
        self.subscription = Some(subscription);
        exits.iter().for_each(|exit| self.told(exit));
        Ok(())
    }

    /// Containers that have the node's name servers are given those that it has by now.
    fn follow_resolver(&mut self) {
        let cells = self.cells.iter().map(|(_, cell)| cell);
        let running = cells.filter(|cell| cell.observed.state != State::Absent);
        let about = |cell| {
            let Cell { key, container, attached, .. }: &Cell = cell;
            Some((key, container.as_ref()?, attached.as_deref()))
        };
        let faults = etc::follow(running.filter_map(about), &self.resolver.faults);
        // Said once, however often it is tried.
        for fault in faults.iter().filter(|fault| !self.resolver.faults.contains(fault)) {
            self.console.say(&format!("monitor: {fault}"));
        }
        let again = self.resolver.watch().is_none() || !faults.is_empty();
        self.resolver.again = again.then(|| kernel::now() + etc::AGAIN);
        self.resolver.faults = faults;
    }

    /// Looks at the resolver's configuration when its time has come; gives the next time.
    fn resolver_due(&mut self) -> Option<Time> {
        if self.resolver.again.is_some_and(|again| again <= kernel::now()) {
            self.follow_resolver();
        }
        self.resolver.again
    }

    /// A process that is PID 1's child has ended; its pidfd stays readable, so
    /// it is watched no longer.
    fn adopted_readable(&mut self, index: usize) {
        if self.cells.get(index).is_some() {
            self.adopted_ended(index);
        }
    }

    /// Logs the unfinished lines that have waited long enough; gives the time
    /// when the next one has.
    fn log_overdue(&mut self) -> Option<Time> {
        for (index, stream) in self.outputs.overdue(kernel::now()) {
            self.log(index, stream);
        }
        self.outputs.due()
    }

    /// Begins to remove what containers wrote that are gone.
    pub(super) fn remove_old(&mut self) {
        if self.remover.is_some() {
            return;
        }
        // A definition that cannot be read, or whose name is another's, is somebody's container all the same.
        let (remover, faults) = match definition::keys() {
            Ok(defined) => {
                let known = self.cells.iter().map(|(_, cell)| &*cell.key);
                image::begin_removal(known.chain(defined.iter().map(|key| &**key)))
            }
            Err(reason) => (None, vec![reason]),
        };
        self.remover = remover;
        faults.iter().for_each(|fault| self.console.say(&format!("monitor: {fault}")));
    }
}
