//! `skerry-network`: the node's own interfaces.
//!
//! One small program that PID 1 keeps alive. It switches on every network card,
//! also those that come later, asks DHCP servers for IPv4 addresses or sets those
//! of the configuration, leaves IPv6 to the kernel's own autoconfiguration,
//! writes `/run/skerry/resolv.conf` and sets the host name when the
//! configuration gives none, and keeps the clock right. Nothing of the node waits
//! for it.
//!
//! ```text
//! run ─┬─ service ─┬── interface     which are ours, what each is given
//!      │           ├── dhcp          leases: a pure machine, packets, sockets
//!      │           ├── netlink       links, addresses, routes, advertisements
//!      │           ├── names         whom to ask for names and the time
//!      │           └── state         what outlives this program
//!      ├─ serving                    for containers: published ports relayed, names answered
//!      ├─ outputs                    resolv.conf, host name, "ready"
//!      └─ time                       SNTP: a pure machine, packets, the clock
//! ```
//!
//! With a verb (`containers`) it does one thing for a container and ends.
//!
//! All of it is this library, of which others see [`cluster`] alone: pods' addresses,
//! Services and policies, for the agent to call.
//!
//! It may be killed at any instruction: leases are written down before they are
//! used, the kernel itself takes an address away when its lease is over, and the
//! program that comes after takes over what it finds.

pub mod cluster;
mod config;
mod containers;
mod dhcp;
mod dns;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod interface;
mod names;
mod netlink;
mod now;
mod outputs;
mod random;
mod ranges;
mod run;
mod say;
mod service;
mod serving;
mod state;
mod time;

use std::process::ExitCode;

use containers::command;

/// The program.
pub fn main() -> ExitCode {
    let command = match command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprint!("skerry-network: {error}\n{}", command::USAGE);
            return ExitCode::from(2);
        }
    };
    match command.map_or_else(run::run, command::perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skerry-network: {error}");
            ExitCode::FAILURE
        }
    }
}
