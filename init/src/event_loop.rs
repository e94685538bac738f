//! What PID 1 does once the node is up: wait, and do what is due.
//!
//! One thread, one place that waits, one place that reaps. Nothing here blocks;
//! time limits are the timeout of the one wait.

use crate::console::{self, now};
use crate::control::{Around, Control};
use crate::exits::Exits;
use crate::modules::Modules;
use crate::poller::{Poller, Token};
use crate::power::{self, Button};
use crate::shutdown::{Phase, Progress};
use crate::supervisor::Supervisor;
use crate::uevent::Socket;
use crate::unmount;
use crate::watchdog::Watchdog;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signalfd::SignalFd;
use spec::control::Shutdown;
use std::ffi::CString;
use std::fs::OpenOptions;
use std::os::fd::AsFd;
use std::time::Duration;
use sys::process::{Spawn, has_children, kill, peek_ended, reap, spawn};

/// How many are reaped before all else has its turn again: who makes orphans without end would keep
/// PID 1 from its clients and its watchdog.
const AT_ONCE: usize = 256;

/// Everything that PID 1 looks after.
pub struct Machine {
    /// What it waits for.
    pub poller: Poller,
    /// Signals to PID 1.
    pub signals: SignalFd,
    /// The services.
    pub supervisor: Supervisor,
    /// The control socket, when it could be opened.
    pub control: Option<Control>,
    /// Orphans' ends.
    pub exits: Exits,
    /// Whether there may be processes that have ended and are not reaped yet.
    pub some_ended: bool,
    /// Kernel modules for devices that come.
    pub modules: Modules,
    /// Devices that come.
    pub devices: Option<Socket>,
    /// The power button.
    pub button: Option<Button>,
    /// The armed watchdog.
    pub watchdog: Option<Watchdog>,
    /// The time that the watchdog is to be armed with.
    pub watchdog_timeout: Duration,
    /// The shutdown that has begun.
    pub progress: Option<Progress>,
    /// The process that unmounts, and whether it has ended.
    pub helper: Option<(i32, bool)>,
}

impl Machine {
    /// Never returns.
    pub fn run(&mut self) -> ! {
        let mut waits_for_console = false;
        loop {
            console::flush();
            let wanted = console::wants_to_write();
            if wanted != waits_for_console {
                console::with_device(|device| match wanted {
                    true => self.poller.add_for_output(device, Token::Console).unwrap_or_default(),
                    false => self.poller.remove(device),
                });
                waits_for_console = wanted;
            }
            for token in self.poller.wait(self.timeout()) {
                self.handle(token);
            }
            self.tick();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.some_ended {
            return Some(Duration::ZERO);
        }
        let progress = self.progress.as_ref().and_then(Progress::due);
        let watchdog = self.watchdog.as_ref().map(Watchdog::deadline);
        let next = [self.supervisor.deadline(), progress, watchdog].into_iter().flatten().min();
        next.map(|deadline| deadline.saturating_sub(now()))
    }

    fn handle(&mut self, token: Token) {
        match token {
            Token::Signals => self.take_signal(),
            Token::Control => self.with_control(|control, machine| control.accept(&machine.poller)),
            Token::Client(number) => self.serve(number),
            Token::Output(index) => self.supervisor.output(index),
            Token::Ready(index) => self.supervisor.ready(index, &self.poller),
            Token::Devices => self.take_devices(),
            Token::Button if self.button.as_ref().is_some_and(Button::pressed) => {
                say!("the power button was pressed");
                self.shut_down(Shutdown::PowerOff);
            }
            Token::Button | Token::Console => {}
        }
    }

    fn tick(&mut self) {
        if self.some_ended {
            self.reap_some();
        }
        self.supervisor.tick(&self.poller);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.tick();
        }
        self.go_down();
    }

    /// Takes one; the next is a turn of its own.
    fn take_signal(&mut self) {
        let Ok(Some(info)) = self.signals.read_signal() else { return };
        match power::asked_by(info.ssi_signo as i32) {
            Some(how) => self.shut_down(how),
            None => self.some_ended = true,
        }
    }

    /// The one place that reaps.
    fn reap_some(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(ended) = peek_ended() else {
                self.some_ended = false;
                return;
            };
            let helper = self.helper.as_mut().filter(|helper| helper.0 == ended.pid);
            if let Some(helper) = helper {
                helper.1 = true;
                reap(ended.pid);
            } else if self.supervisor.owns(ended.pid) {
                reap(ended.pid);
                self.supervisor.exited(ended, &self.poller);
            } else {
                let exit = self.exits.reap(ended);
                self.with_control(|control, _| control.publish(&exit));
            }
        }
    }

    fn serve(&mut self, number: u32) {
        let mut asked = None;
        self.with_control(|control, machine| {
            let status = || machine.supervisor.status();
            let load = &mut |names: &[String]| machine.modules.load_if_there(names);
            asked = control.serve(number, Around { exits: &machine.exits, status: &status, load });
        });
        if let Some(how) = asked {
            self.shut_down(how);
        }
    }

    fn with_control(&mut self, with: impl FnOnce(&mut Control, &mut Self)) {
        if let Some(mut control) = self.control.take() {
            with(&mut control, self);
            self.control = Some(control);
        }
    }

    fn take_devices(&mut self) {
        let events = self.devices.as_ref().map(Socket::drain).unwrap_or_default();
        let aliases: Vec<String> = events.iter().filter_map(|event| event.modalias.clone()).collect();
        if !aliases.is_empty() && self.modules.load_for(&aliases) > 0 {
            // What was loaded may have found more, which the next events tell.
            status!("modules: loaded for a device that came");
        }
        for event in events.iter().filter(|event| event.subsystem == "block" && event.action != "change") {
            if let Some(node) = event.node.as_ref().filter(|node| !node.starts_with("loop")) {
                status!("disk {node}: {}", if event.action == "add" { "attached" } else { "gone" });
            }
        }
        let has_watchdog = events.iter().any(|event| event.node.as_deref() == Some("watchdog"));
        if has_watchdog && self.watchdog.is_none() && self.progress.is_none() {
            self.arm_watchdog();
        }
    }

    /// Arms the watchdog, if there is one.
    pub fn arm_watchdog(&mut self) {
        match Watchdog::arm(self.watchdog_timeout) {
            Ok(watchdog) => self.watchdog = watchdog,
            Err(error) => say!("watchdog: {error}"),
        }
    }

    fn shut_down(&mut self, how: Shutdown) {
        if let Some(progress) = &mut self.progress {
            progress.hurry(how, now());
            say!("shutdown: hurrying, to {}", in_words(how));
            if progress.phase == Phase::Services {
                self.supervisor.kill(&self.poller);
            }
        } else {
            say!("shutdown: to {}", in_words(how));
            self.progress = Some(Progress::begin(how, now()));
        }
    }

    /// Drives a shutdown as far as it goes now.
    fn go_down(&mut self) {
        while let Some(mut progress) = self.progress {
            let done = match progress.phase {
                Phase::Services => !self.supervisor.stop(&self.poller),
                Phase::Terminate | Phase::Kill => !has_children(),
                Phase::Unmount => self.helper.is_none_or(|(_, ended)| ended),
                Phase::Off => true,
            };
            let Some((phase, late)) = progress.step(done, now()) else { return };
            if late {
                say!("shutdown: out of time; going on to {phase:?}");
            }
            self.progress = Some(progress);
            self.begin(phase, progress.how);
        }
    }

    fn begin(&mut self, phase: Phase, how: Shutdown) {
        match phase {
            Phase::Services => {}
            Phase::Terminate => {
                self.supervisor.close_logs();
                drop(kill(-1, nix::libc::SIGTERM));
            }
            Phase::Kill => {
                self.supervisor.kill(&self.poller);
                drop(kill(-1, nix::libc::SIGKILL));
            }
            Phase::Unmount => {
                self.with_control(|control, _| control.close_kept());
                self.control = None;
                self.helper = start_unmount().map(|pid| (pid, false));
            }
            Phase::Off => self.off(how),
        }
    }

    fn off(&mut self, how: Shutdown) {
        let stays = how == Shutdown::Reboot && self.watchdog.as_mut().is_some_and(Watchdog::outlast_reboot);
        if !stays && let Some(watchdog) = self.watchdog.take() {
            watchdog.disarm();
        }
        let left = unmount::left(&unmount::mounted());
        say!("skerry: {}", unmount::last_line(&left, in_words(how)));
        console::drain(Duration::from_secs(1));
        let _ = reboot(match how {
            Shutdown::PowerOff => RebootMode::RB_POWER_OFF,
            Shutdown::Reboot => RebootMode::RB_AUTOBOOT,
            Shutdown::Halt => RebootMode::RB_HALT_SYSTEM,
        });
        say!("skerry: the machine did not {}", in_words(how));
    }
}

fn in_words(how: Shutdown) -> &'static str {
    match how {
        Shutdown::PowerOff => "power off",
        Shutdown::Reboot => "reboot",
        Shutdown::Halt => "halt",
    }
}

/// Starts this program once more, to unmount; without it, PID 1 does it itself.
fn start_unmount() -> Option<i32> {
    let argv = [c"/proc/self/exe".to_owned(), CString::new(unmount::ARGUMENT).unwrap_or_default()];
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    let started = null.and_then(|null| {
        let descriptors = &[null.as_fd(); 3];
        spawn(&Spawn { argv: &argv, env: &[], descriptors, cgroup: None, oom_score_adj: None })
    });
    match started {
        Ok(pid) => Some(pid),
        Err(error) => {
            say!("start the process that unmounts: {}", sys::cause::cause(&error));
            unmount::run();
            None
        }
    }
}
