//! The one parent of a node's containers: it starts, logs and restarts them, and
//! may be killed and started again at any instruction without one of them
//! noticing. `docs/monitor.md` tells users and the next owner the same.
//!
//! | question | module |
//! |---|---|
//! | what is to be done next with a container | [`life`], [`order`] |
//! | what a container is | [`config`], [`definition`] |
//! | what is told to the runtime | [`bundle`], [`verb`] |
//! | what is told to the network | [`network`] |
//! | what a container stands on | [`image`], [`volume`], [`device`], [`etc`] |
//! | where output goes | [`log`], [`outputs`], [`say`] |
//! | who asks, and what is answered | [`client`], [`follow`], [`session`] |
//! | whether it is well | [`health`] |
//! | what outlives the monitor | [`record`], [`keeper`], [`place`] |
//! | what happens, in what order | [`node`], [`poller`] |
//!
//! It has one thread and waits in one place.

mod bundle;
mod cells;
mod client;
mod config;
mod damage;
mod definition;
mod device;
mod etc;
mod follow;
mod health;
mod image;
mod keeper;
mod kernel;
mod life;
mod log;
mod network;
mod node;
mod order;
mod outputs;
mod place;
mod poller;
mod puller;
mod record;
mod ring;
mod say;
mod session;
mod status;
mod verb;
mod volume;

use std::process::ExitCode;

const HELP: &str = "\
usage: skerry-monitor

Runs the containers of the node's configuration, /run/skerry/config.
TERM stops them, in reverse order, and ends it.

    --help       this text
    --version    its version
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("skerry-monitor: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<(), String> {
    use lexopt::Arg::Long;
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next().map_err(|error| error.to_string())? {
        None => node::run(),
        Some(Long("help")) => {
            print!("{HELP}");
            Ok(())
        }
        Some(Long("version")) => {
            println!("skerry-monitor {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        // The monitor's own helpers: they may take long, so they are other processes.
        Some(Long("remove")) => image::remove_old(),
        Some(Long("fill")) => {
            let words = arguments.raw_args().map_err(|error| error.to_string())?;
            volume::fill(&words.filter_map(|word| word.into_string().ok()).collect::<Vec<_>>())
        }
        Some(other) => Err(other.unexpected().to_string()),
    }
}
