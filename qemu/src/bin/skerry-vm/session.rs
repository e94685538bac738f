//! One run: console to the screen, keys to the console, signals to the power button.

use crate::options::{Port, Run};
use crate::ports;
use crate::screen::Screen;
use crate::terminal::{Foreground, Keys};
use nix::sys::signal::{SigSet, Signal};
use qemu::{Machine, Vm};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

/// What the run waits for.
enum Event {
    /// Ctrl-C, a signal, or nobody to show the console to.
    Stop,
    /// The machine has ended.
    Ended,
}

/// The key that stops the node in `--interactive`.
const CTRL_BRACKET: u8 = 0x1d;

/// Runs the machine until it ends.
pub fn run(machine: &Machine, run: &Run) -> Result<(), String> {
    // Blocked before any thread starts, so that only the one that waits gets them.
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    let unwanted = SigSet::from_iter([Signal::SIGTSTP, Signal::SIGTTOU]);
    for set in [&signals, &unwanted] {
        set.thread_block().map_err(|cause| format!("block signals: {cause}"))?;
    }
    let _foreground = Foreground::take();
    let vm = Arc::new(machine.start().map_err(|error| error.to_string())?);
    let screen = Arc::new(Screen::new());
    let over = Arc::new(AtomicBool::new(false));
    let (tell, events) = mpsc::channel();

    let keys = if run.interactive { Some(Keys::take()?) } else { None };
    if keys.is_some() {
        forward_keys(Arc::clone(&vm), tell.clone());
    }
    forward_signals(signals, tell.clone());
    for port in &run.ports {
        announce(*port, Arc::clone(&screen), Arc::clone(&over));
    }
    show_console(Arc::clone(&vm), Arc::clone(&screen), tell);

    let mut stops = 0;
    while let Ok(Event::Stop) = events.recv() {
        stops += 1;
        stop(&vm, &screen, stops);
    }
    over.store(true, Ordering::Relaxed);
    if stops > 2 { Ok(()) } else { vm.wait_off().map_err(|error| error.to_string()) }
}

fn stop(vm: &Vm, screen: &Screen, time: u32) {
    screen.line(match time {
        1 => "skerry-vm: switching the node off; once more to hurry it",
        2 => "skerry-vm: hurrying the node; once more to cut the power",
        _ => "skerry-vm: cutting the power",
    });
    match time {
        // A machine that has ended meanwhile needs no button.
        1 | 2 => drop(vm.power_button()),
        _ => vm.cut_power(),
    }
}

fn forward_signals(signals: SigSet, tell: Sender<Event>) {
    thread::spawn(move || while signals.wait().is_ok() && tell.send(Event::Stop).is_ok() {});
}

fn forward_keys(vm: Arc<Vm>, tell: Sender<Event>) {
    thread::spawn(move || {
        for key in std::io::stdin().lock().bytes().map_while(Result::ok) {
            let sent = match key {
                CTRL_BRACKET => tell.send(Event::Stop).is_ok(),
                key => vm.console().send([key]).is_ok(),
            };
            if !sent {
                return;
            }
        }
    });
}

fn show_console(vm: Arc<Vm>, screen: Arc<Screen>, tell: Sender<Event>) {
    thread::spawn(move || {
        let mut shown = 0;
        let mut readers = true;
        while let Some(bytes) = vm.console().bytes_from(shown) {
            shown += bytes.len();
            if readers && screen.show(&bytes).is_err() {
                readers = false;
                let _over = tell.send(Event::Stop);
            }
        }
        let _over = tell.send(Event::Ended);
    });
}

fn announce(port: Port, screen: Arc<Screen>, over: Arc<AtomicBool>) {
    thread::spawn(move || {
        if let Some(address) = ports::wait_for_answer(port.host, || over.load(Ordering::Relaxed)) {
            screen.line(&address);
        }
    });
}
