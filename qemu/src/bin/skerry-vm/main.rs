//! `skerry-vm`: a node's image in a virtual machine, its console in a terminal.
//!
//! Ctrl-C presses the power button, so that the node stops its containers and
//! switches itself off; a second one presses it again, which hurries the node; a
//! third cuts the power. With `--interactive` every key, Ctrl-C too, goes to the
//! node's console, and Ctrl-] takes the part of Ctrl-C.

mod image;
mod options;
mod ports;
mod screen;
mod session;
mod terminal;

use options::{Asked, HELP, Run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = options::parse(std::env::args_os().skip(1)).and_then(|asked| match asked {
        Asked::Help => {
            print!("{HELP}");
            Ok(())
        }
        Asked::Run(run) => boot(&run),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skerry-vm: {error}");
            ExitCode::FAILURE
        }
    }
}

fn boot(run: &Run) -> Result<(), String> {
    let machine = image::machine(run)?;
    ports::check_free(&run.ports)?;
    session::run(&machine, run)
}
