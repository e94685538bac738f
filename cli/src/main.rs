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
#[cfg(test)]
mod fake_monitor;
mod filter;
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
mod usage;

use arguments::Arguments;
use clap::FromArgMatches;
use clap::error::ErrorKind;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use std::process::ExitCode;

/// Help and the version are printed, and are the end.
fn parse() -> error::Result<Arguments> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let parsed = arguments::command().try_get_matches_from(&words).or_else(|wrong| match wrong.kind() {
        ErrorKind::TooManyValues => arguments::command_with_values().try_get_matches_from(&words),
        _ => Err(wrong),
    });
    parsed.and_then(|matches| Arguments::from_arg_matches(&matches)).map_err(|wrong| {
        if !wrong.use_stderr() {
            wrong.exit();
        }
        if wrong.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            commands::print_all(&wrong.render().to_string());
            std::process::exit(0);
        }
        let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        usage::wrong(&wrong, &arguments::command(), &words)
    })
}

fn main() -> ExitCode {
    // The console's prompt blocks what is meant for the commands that it runs.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    match parse().and_then(commands::perform) {
        Ok(status) => status.into(),
        Err(error) => {
            if !error.message.is_empty() {
                eprintln!("skerry: {error}");
            }
            error.status.into()
        }
    }
}
