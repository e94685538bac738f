//! `skerry`: images and containers as a person handles them.
//!
//! Images are files, which this program reads and writes itself. Containers are the
//! monitor's: each command asks it over its socket and shows the answer. So nothing of a
//! container depends on this program's life.

#[allow(rustdoc::broken_intra_doc_links, reason = "help texts: brackets mean what may be left out")]
mod arguments;
mod client;
mod commands;
mod detach;
mod error;
mod format;
mod human;
mod keeper;
mod line;
mod progress;
mod session;
mod table;
mod terminal;
mod time;
mod transfer;

use arguments::Arguments;
use clap::Parser;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::process::ExitCode;

fn main() -> ExitCode {
    // The console's prompt blocks what is meant for the commands that it runs.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    let arguments = Arguments::parse();
    match commands::perform(&arguments) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("skerry: {error}");
            error.status.into()
        }
    }
}
