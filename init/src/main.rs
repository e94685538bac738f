//! PID 1 of a Skerry node: mounts, reads the configuration, keeps services alive,
//! reaps, powers off.
//!
//! `boot` is the list of steps from the kernel's first instruction here to the
//! first service; `event_loop` is everything after. It has one thread and never
//! exits; `crash` says what happens should it panic all the same.

#![cfg_attr(not(test), no_main)]

#[macro_use]
mod console;
mod boot;
mod clock;
mod command_line;
mod config;
mod control;
mod crash;
mod data;
mod disks;
mod early_mounts;
mod error;
mod event_loop;
mod exits;
mod format;
mod image;
mod modalias;
mod modules;
mod order;
mod poller;
mod power;
mod root;
mod service;
mod service_log;
mod shutdown;
mod supervisor;
mod uevent;
mod unmount;
mod volume;
mod watchdog;

#[cfg(not(test))]
sys::entry!(start);

#[cfg_attr(test, allow(dead_code, reason = "tests have a start of their own"))]
fn start() {
    if std::process::id() == 1 {
        crash::install_hook();
        boot::run();
    }
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next().as_deref().and_then(|word| word.to_str()), arguments.next()) {
        (Some(unmount::ARGUMENT), None) => return unmount::run(),
        (Some(service_log::ARGUMENT), None) => return service_log::run(),
        (Some(unmount::DETACH), Some(target)) => return unmount::detach(&target),
        _ => {}
    }
    eprintln!("init: this is PID 1 of a Skerry node and does nothing as any other process");
    std::process::exit(1);
}
