//! `debian [COMMAND]...`: the machine of the engines' tests, by hand.
//!
//! Runs each command in it and prints what it said; without any, those of standard input, a line
//! each. The machine ends with this program, which exits as the last command did.

use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;
use tests::{Debian, Output, Result};

fn main() -> Result<ExitCode> {
    let commands: Vec<String> = std::env::args().skip(1).collect();
    let debian = Debian::boot()?;
    if commands.is_empty() {
        eprintln!("Debian is up; a command a line, Ctrl-D ends it");
        let lines = stdin().lock().lines().map_while(std::io::Result::ok);
        return run_all(&debian, lines);
    }
    run_all(&debian, commands.into_iter())
}

fn run_all(debian: &Debian, commands: impl Iterator<Item = String>) -> Result<ExitCode> {
    let mut last = 0;
    for command in commands {
        let Output { status, text } = debian.try_run(&command)?;
        print!("{text}");
        stdout().flush()?;
        if status != 0 {
            eprintln!("exit status {status}");
        }
        last = status;
    }
    Ok(ExitCode::from(u8::try_from(last).unwrap_or(u8::MAX)))
}
