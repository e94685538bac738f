//! `make bench`: what a boot costs, in instructions, beside its peers.
//!
//! Prints a table and writes `target/bench/NAME.json`. `docs/performance.md` tells
//! what each number means. Nothing here is a result: each is measured in this run,
//! and a count that another run of the same machine does not repeat is an error.

mod archive;
mod guest;
mod machine;
mod measurement;
mod page;
mod peers;
mod pid1;
mod road;
mod sizes;

use measurement::Table;
use std::fs;
use std::process::ExitCode;
use tests::{Image, Result};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("bench: a bar was missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything; whether every bar was met.
fn run() -> Result<bool> {
    let programs = guest::build()?;
    let plain = Image::empty().build()?;
    let mut tables = vec![pid1::measure(&programs, &plain.join("vmlinuz"))?];
    tables.push(page::measure(&programs)?);
    tables.push(sizes::measure(&plain)?);
    let folder = guest::folder();
    for table in &tables {
        println!("\n{table}");
        fs::write(folder.join(format!("{}.json", table.name)), table.json())?;
    }
    println!("\nalso in {}/*.json", folder.display());
    Ok(tables.iter().all(Table::met))
}
