//! The event loop: waits for the kernel's notices, answers, a signal or the next
//! deadline, whichever comes first.
//!
//! The handful of descriptors changes with every step of a DHCP client, so they
//! are gathered anew for each poll(2) in place of an epoll set to be kept in step.

use crate::config;
use crate::containers::configured;
use crate::netlink::notices::Notices;
use crate::netlink::{address, advertisement, link};
use crate::now::Now;
use crate::outputs::Outputs;
use crate::random::Random;
use crate::say::say;
use crate::service::Service;
use crate::serving::Serving;
use crate::state::State;
use crate::time::clock::Clock;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use spec::node::{Bridge, Name};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;
use sys::cause::cause;
use sys::netlink::Netlink;

/// What a descriptor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signal,
    Notices,
    Dhcp(u32),
    Time,
    Containers,
}

struct Loop {
    signals: SignalFd,
    notices: Notices,
    service: Service,
    clock: Clock,
    outputs: Outputs,
    serving: Serving,
    /// Networks that the configuration wants, until they were made: around the node's own addresses,
    /// which come first.
    networks: Option<BTreeMap<Name, Bridge>>,
}

/// Looks after the network until TERM or INT comes. Addresses stay then: a
/// reboot is near, or the program that replaces this one takes them over.
///
/// # Errors
/// What the program cannot work without, in one line.
pub fn run() -> Result<(), String> {
    let _alone = alone()?;
    let mut the_loop = start()?;
    loop {
        the_loop.outputs.follow(&the_loop.service);
        if let Some(networks) = the_loop.networks.take_if(|_| the_loop.service.settled()) {
            settle(&networks);
        }
        the_loop.clock.follow(the_loop.service.time_sources());
        the_loop.serving.set_servers(the_loop.service.name_servers());
        let ready = the_loop.wait().map_err(failed("wait for events"))?;
        if ready.contains(&Source::Signal) {
            return Ok(());
        }
        ready.into_iter().for_each(|source| the_loop.take(source));
        let now = Now::read().boot;
        the_loop.service.time_out(now);
        the_loop.clock.time_out(now);
        the_loop.serving.time_out(now);
    }
}

/// Serves containers alone, until TERM or INT comes: on a machine whose interfaces others look after.
///
/// # Errors
/// What the program cannot work without, in one line.
pub fn serve() -> Result<(), String> {
    let _alone = alone()?;
    let signals = signals().map_err(|error| failed("take signals")(error.into()))?;
    let random = Random::from_kernel(Now::read().boot.as_nanos() as u64);
    let mut serving = Serving::open(random).map_err(failed("serve containers"))?;
    settle(&config::read(Path::new(spec::paths::CONFIG_LAYERS))?.networks);
    loop {
        let mut descriptors =
            [signals.as_fd(), serving.as_fd()].map(|one| PollFd::new(one, PollFlags::POLLIN));
        match poll(&mut descriptors, timeout(serving.deadline(), Now::read().boot)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(failed("wait for events")(error.into())),
        }
        let [asked_to_end, work] = descriptors.map(|descriptor| descriptor.any().unwrap_or(true));
        if asked_to_end {
            return Ok(());
        }
        let now = Now::read().boot;
        if work {
            serving.ready(now);
        }
        serving.time_out(now);
    }
}

/// Two would ask for the same leases and listen in each other's place.
fn alone() -> Result<File, String> {
    let folder = spec::paths::NETWORK_ROOT;
    sys::file::alone(Path::new(folder)).map_err(failed(folder))
}

/// Makes the networks that the configuration wants; what is wrong with one is said.
fn settle(networks: &BTreeMap<Name, Bridge>) {
    let faults = configured::settle(networks).unwrap_or_else(|reason| vec![reason]);
    faults.iter().for_each(|fault| say(format_args!("network: {fault}")));
}

fn failed(action: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{action}: {}", cause(&error))
}

fn start() -> Result<Loop, String> {
    let node = config::read(Path::new(spec::paths::CONFIG_LAYERS))?;
    let signals = signals().map_err(|error| failed("take signals")(error.into()))?;
    let kernel = Netlink::route().map_err(failed("open a netlink socket"))?;
    // Notices first, then the look at what is there: nothing falls in between.
    let notices = Notices::open().map_err(failed("listen to the kernel's notices"))?;
    let folder = Path::new(spec::paths::NETWORK_ROOT);
    let state = State::open(folder).map_err(failed(&format!("make {}", folder.display())))?;
    let now = Now::read();
    let mut random = Random::from_kernel(now.boot.as_nanos() as u64);
    let clock = Clock::new(random.fork(), config::clock_floor(Path::new(spec::paths::IMAGE_MANIFEST)));
    let networks = Some(node.networks.clone());
    let mut service = Service::new(node, kernel, state, random.fork(), now.boot);
    service.look(now.boot).map_err(failed("list interfaces"))?;
    if !service.has_interfaces() {
        say(format_args!("network: no interface yet"));
    }
    let serving = Serving::open(random).map_err(failed("serve containers"))?;
    Ok(Loop { signals, notices, service, clock, outputs: Outputs::default(), serving, networks })
}

fn signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

impl Loop {
    /// Waits until something can be read or is due.
    fn wait(&self) -> io::Result<Vec<Source>> {
        let sources: Vec<(Source, BorrowedFd<'_>)> =
            [(Source::Signal, self.signals.as_fd()), (Source::Notices, self.notices.as_fd())]
                .into_iter()
                .chain(self.service.sockets().map(|(index, socket)| (Source::Dhcp(index), socket)))
                .chain(self.clock.sockets().map(|socket| (Source::Time, socket)))
                .chain([(Source::Containers, self.serving.as_fd())])
                .collect();
        let mut descriptors: Vec<PollFd<'_>> =
            sources.iter().map(|&(_, descriptor)| PollFd::new(descriptor, PollFlags::POLLIN)).collect();
        match poll(&mut descriptors, timeout(self.deadline(), Now::read().boot)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = |descriptor: &PollFd<'_>| descriptor.any().unwrap_or(true);
        Ok(sources
            .iter()
            .zip(&descriptors)
            .filter(|(_, descriptor)| ready(descriptor))
            .map(|(&(source, _), _)| source)
            .collect())
    }

    fn deadline(&self) -> Option<Duration> {
        let outputs = self.outputs.deadline(Now::read().boot);
        let others = self.clock.deadline().into_iter().chain(self.serving.deadline()).chain(outputs);
        self.service.deadline().into_iter().chain(others).min()
    }

    fn take(&mut self, source: Source) {
        let now = Now::read();
        match source {
            Source::Signal => {}
            Source::Notices => self.read_notices(now),
            Source::Time => self.clock.receive(),
            Source::Containers => self.serving.ready(now.boot),
            Source::Dhcp(index) => self.service.receive(index, now.boot),
        }
    }

    fn read_notices(&mut self, now: Now) {
        loop {
            let service = &mut self.service;
            let result = self.notices.read(|kind, body| {
                link::parse(kind, body).into_iter().for_each(|notice| service.notice(notice, now.boot));
                address::parse(kind, body).into_iter().for_each(|notice| service.autoconfigured(notice));
                let advertised = advertisement::parse(kind, body);
                advertised.into_iter().for_each(|notice| service.advertised(notice, now.boot));
            });
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    // Too many at once; what was lost shows in the list.
                    if let Err(error) = self.service.look(now.boot) {
                        return say(format_args!("list interfaces: {}", cause(&error)));
                    }
                }
                Err(error) => return say(format_args!("read the kernel's notices: {}", cause(&error))),
            }
        }
    }
}

/// The time until a deadline, rounded up, so that it has passed when poll(2) returns.
fn timeout(deadline: Option<Duration>, now: Duration) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let milliseconds = deadline.saturating_sub(now).as_micros().div_ceil(1000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}
