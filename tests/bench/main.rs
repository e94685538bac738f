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
use std::path::Path;
use std::process::{Command, ExitCode};
use tests::{Image, Result, said};

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
    println!("{}", versions(&plain)?);
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

/// What the counts belong to: another kernel or another peer has others.
fn versions(image: &Path) -> Result<String> {
    let manifest = fs::read_to_string(image.join("manifest.toml"))?;
    let kernel = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap_or("unknown");
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", ", ${Package} ${Version}", "qemu-system-x86", "busybox-static", "runit"]);
    Ok(format!("kernel {}{}", kernel.trim_matches('"'), said(&mut query)?))
}
