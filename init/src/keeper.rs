//! `skerry-keeper`: PID 1's part for containers on any Linux.
//!
//! Where PID 1 is somebody else's, this small program keeps what must outlive the monitor: its
//! pipes and terminals, and the exit statuses of containers that end while there is no monitor,
//! whose processes come to it as their nearest subreaper (`PR_SET_CHILD_SUBREAPER` of
//! prctl(2)). It starts the monitor that lies beside it, and the network's service for containers, and
//! starts either again whenever it ends; TERM ends them, containers first. The sockets and folders are a node's (`spec::paths`).
//!
//! It is made of PID 1's own modules: the control socket, the store of descriptors, the ring of
//! exits, the supervision of services. What of them belongs to a whole machine is not called.
//!
//! Deliberately missing: the rest of the network's service, which would look after every network card
//! of the machine.

#![cfg_attr(not(test), no_main)]
#![allow(dead_code, reason = "the modules are PID 1's, which uses all of them")]

#[macro_use]
#[path = "keeper/console.rs"]
mod console;
mod clock;
mod control;
mod error;
mod exits;
mod order;
mod poller;
mod service;
mod service_log;
mod supervisor;

use control::{Around, Control};
use error::{Context, Error, Result};
use exits::Exits;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use poller::{Poller, Token};
use spec::node::Node;
use spec::paths;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::Duration;
use supervisor::{BuiltIn, Supervisor};
use sys::process::{peek_ended, reap};

/// How many are reaped before all else has its turn again.
const AT_ONCE: usize = 256;

const HELP: &str = "\
usage: skerry-keeper

Keeps containers on a machine whose PID 1 is not Skerry's: starts the skerry-monitor that lies
beside it, and keeps what must outlive that; starts skerry-network serve, for containers' ports
and names. TERM ends the containers, both programs and it.

    --help       this text
    --version    its version";

/// The monitor stops its containers in that time, each with a grace of its own.
const STOP_GRACE: Duration = Duration::from_secs(60);
const NETWORK_GRACE: Duration = Duration::from_secs(5);

#[cfg(not(test))]
sys::entry!(start);

fn start() {
    let status = match std::env::args().nth(1).as_deref() {
        None => match Keeper::start().and_then(|mut keeper| keeper.run()) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("skerry-keeper: {error}");
                1
            }
        },
        // As it starts itself.
        Some(service_log::ARGUMENT) => {
            service_log::run();
            0
        }
        Some("--help") => {
            println!("{HELP}");
            0
        }
        Some("--version") => {
            println!("skerry-keeper {}", env!("CARGO_PKG_VERSION"));
            0
        }
        Some(other) => {
            eprintln!("skerry-keeper: unexpected argument {other:?}");
            2
        }
    };
    std::process::exit(status);
}

/// Everything that it looks after.
struct Keeper {
    poller: Poller,
    signals: SignalFd,
    supervisor: Supervisor,
    control: Control,
    exits: Exits,
    some_ended: bool,
    stopping: bool,
    _lock: File,
}

impl Keeper {
    fn start() -> Result<Self> {
        // Who reads what it says may go before it does (SIGPIPE).
        let mask: SigSet =
            [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGPIPE]
                .into_iter()
                .collect();
        mask.thread_block().context(|| "block signals")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context(|| "open a signal descriptor")?;
        set_child_subreaper(true).context(|| "become a subreaper")?;
        // The disk in which somebody's first command was typed is not held.
        std::env::set_current_dir("/").context(|| "change to /")?;
        fs::create_dir_all(paths::CONFIG_LAYERS).context(|| format!("create {}", paths::CONFIG_LAYERS))?;
        let lock = alone()?;
        ["monitor", "network"].into_iter().for_each(make_cgroup);
        let poller = Poller::new()?;
        poller.add(&signals, Token::Signals)?;
        let control = Control::open(&poller)?;
        let own = [beside("network", &["serve"], NETWORK_GRACE)?, monitor()?];
        let supervisor = Supervisor::new(&Node::default(), &own)?;
        Ok(Self {
            poller,
            signals,
            supervisor,
            control,
            exits: Exits::default(),
            some_ended: false,
            stopping: false,
            _lock: lock,
        })
    }

    /// Returns when it was asked to end and every service has.
    fn run(&mut self) -> Result<()> {
        self.supervisor.start(&self.poller);
        loop {
            let deadline = if self.some_ended { Some(Duration::ZERO) } else { self.supervisor.deadline() };
            let timeout = deadline.map(|deadline| deadline.saturating_sub(console::now()));
            for token in self.poller.wait(timeout) {
                self.handle(token);
            }
            if self.some_ended {
                self.reap_some();
            }
            self.supervisor.tick(&self.poller);
            if self.stopping && !self.supervisor.stop(&self.poller) {
                let _ = fs::remove_file(paths::INIT_SOCKET);
                return Ok(());
            }
        }
    }

    fn handle(&mut self, token: Token) {
        match token {
            Token::Signals => self.take_signals(),
            Token::Control => self.control.accept(&self.poller),
            Token::Client(number) => {
                let status = || self.supervisor.status();
                // The machine's own PID 1 sees to its modules.
                let load = &mut |_: &[String]| {};
                let asked = self.control.serve(number, Around { exits: &self.exits, status: &status, load });
                self.stopping |= asked.is_some();
            }
            Token::Output(index) => self.supervisor.output(index),
            Token::Ready(index) => self.supervisor.ready(index, &self.poller),
            Token::Devices | Token::Button | Token::Console => {}
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match info.ssi_signo.cast_signed() {
                signal if signal == Signal::SIGCHLD as i32 => self.some_ended = true,
                _ => self.stopping = true,
            }
        }
    }

    /// The one place that reaps; so many that all else has its turn.
    fn reap_some(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(ended) = peek_ended() else {
                self.some_ended = false;
                return;
            };
            if self.supervisor.owns(ended.pid) {
                reap(ended.pid);
                self.supervisor.exited(ended, &self.poller);
            } else {
                let exit = self.exits.reap(ended);
                self.control.publish(&exit);
            }
        }
    }
}

/// The monitor that lies beside this program.
fn monitor() -> Result<BuiltIn> {
    let monitor = beside("monitor", &[], STOP_GRACE)?;
    let program = &*monitor.program;
    if !fs::exists(program).context(|| format!("look for {program}"))? {
        return Err(Error(format!("{program}: it is not there")));
    }
    Ok(monitor)
}

/// A program that lies beside this one, or is not there.
fn beside(name: &'static str, arguments: &'static [&'static str], stop_grace: Duration) -> Result<BuiltIn> {
    let own = std::env::current_exe().context(|| "find this program")?;
    let program = own.with_file_name(format!("skerry-{name}")).to_string_lossy().into_owned();
    Ok(BuiltIn { name, program: program.into(), arguments, stop_grace })
}

/// Makes sure that nobody else keeps containers here, as long as what it gives is open: of two that start at once one
/// alone goes on. A socket that nobody answers on was left by a keeper that was killed.
fn alone() -> Result<File> {
    let path = format!("{}/keeper.lock", paths::RUN);
    let lock = File::create(&path).context(|| format!("open {path}"))?;
    if lock.try_lock().is_err() {
        return Err(Error(format!("{path}: another keeper runs")));
    }
    let doing = || format!("connect to {}", paths::INIT_SOCKET);
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).context(doing)?;
    let address = UnixAddr::new(paths::INIT_SOCKET).context(doing)?;
    if connect(socket.as_raw_fd(), &address).is_ok() {
        return Err(Error(format!("{}: another keeper runs", paths::INIT_SOCKET)));
    }
    let _ = fs::remove_file(paths::INIT_SOCKET);
    Ok(lock)
}

/// A service that an earlier keeper left must not go on beside the new one. Its cgroup goes with
/// it, as the supervisor tells.
fn make_cgroup(name: &str) {
    let system = format!("{}/{}", paths::CGROUP, paths::SYSTEM_CGROUP);
    let own = format!("{system}/{name}");
    let _ = fs::create_dir_all(&system);
    let _ = fs::write(format!("{own}/cgroup.kill"), "1");
    for _ in 0..100 {
        match fs::remove_dir(&own) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return,
        }
    }
}
