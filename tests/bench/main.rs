//! `make bench`: what a boot and what a container costs, beside peers.
//!
//! Prints tables and writes `target/bench/NAME.json`. `docs/performance.md` tells
//! what each number means. Nothing here is a result: each is measured in this run,
//! and a count of instructions that another run of the same machine does not repeat is an
//! error. The command line names what is measured; nothing named means all but `pull`,
//! `worker`, `ready` and `services`.

mod containers;
mod engines;
mod guest;
mod kernel;
mod machine;
mod measurement;
mod page;
mod peers;
mod pid1;
mod pull;
mod road;
mod series;
mod services;
mod sizes;
mod worker;

use measurement::Table;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use tests::{Failure, Image, Result, said, tuned_kernel};

/// What can be named.
const ALL: [&str; 8] = ["boot", "kernel", "containers", "engines", "pull", "worker", "ready", "services"];

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

/// Measures what the command line names; whether every bar was met.
fn run() -> Result<bool> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = named.iter().find(|name| !ALL.contains(&name.as_str())) {
        return Err(Failure::new(format!("{unknown:?} is none of {}", ALL.join(", "))));
    }
    let wanted = |name: &str| named.is_empty() || named.iter().any(|one| one == name);
    let mut tables = Vec::new();
    if wanted("boot") {
        tables.extend(boot()?);
    }
    if wanted("kernel") {
        tables.extend(kernel::measure(&guest::build()?)?);
    }
    if wanted("containers") {
        tables.push(containers::measure()?);
    }
    if wanted("engines") {
        tables.push(engines::measure()?);
    }
    let named = |name: &str| named.iter().any(|one| one == name);
    if named("pull") {
        tables.push(pull::measure()?);
    }
    if named("worker") {
        tables.push(worker::measure()?);
    }
    if named("ready") {
        tables.push(worker::ready::measure()?);
    }
    if named("services") {
        tables.push(services::measure()?);
    }
    let folder = guest::folder();
    fs::create_dir_all(&folder)?;
    for table in &tables {
        println!("\n{table}");
        fs::write(folder.join(format!("{}.json", table.name)), table.json())?;
    }
    println!("\nalso in {}/*.json", folder.display());
    Ok(tables.iter().all(Table::met))
}

fn boot() -> Result<Vec<Table>> {
    let programs = guest::build()?;
    let plain = Image::empty().build()?;
    let small = tuned_kernel("bzImage-small").ok();
    let worker = small.map(|kernel| Image::empty().skerry().agent().kernel(kernel).build()).transpose()?;
    println!("{}", versions(&plain)?);
    let mut tables = vec![pid1::measure(&programs, &plain.join("vmlinuz"))?, page::measure(&programs)?];
    tables.extend(sizes::measure(&plain, worker.as_deref())?);
    Ok(tables)
}

/// What the counts belong to: another kernel or another peer has others.
fn versions(image: &Path) -> Result<String> {
    let manifest = fs::read_to_string(image.join("manifest.toml"))?;
    let kernel = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap_or("unknown");
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", ", ${Package} ${Version}", "qemu-system-x86", "busybox-static", "runit"]);
    Ok(format!("kernel {}{}", kernel.trim_matches('"'), said(&mut query)?))
}
