//! The programs that run inside the machines, made of the C files in `guest/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Result, repository, said};

/// Where they are, once built.
#[derive(Debug)]
pub struct Programs {
    /// `/init` that waits until the kernel has come to rest, then becomes `/bench/init`.
    pub start_settled: PathBuf,
    /// `/init` that becomes `/bench/init` at once.
    pub start: PathBuf,
    /// The trivial service.
    pub payload: PathBuf,
    /// The service that waits for the node's web page.
    pub page: PathBuf,
    /// The least that a PID 1 can be.
    pub floor: PathBuf,
}

/// Without a C library: nothing of one runs before the first instruction.
const BARE: [&str; 7] = [
    "-Os",
    "-static",
    "-nostdlib",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-mgeneral-regs-only",
    "-Wl,--build-id=none",
];

/// Where `make bench` keeps what it makes.
pub fn folder() -> PathBuf {
    repository().join("target/bench")
}

/// Compiles all of them.
pub fn build() -> Result<Programs> {
    fs::create_dir_all(folder())?;
    Ok(Programs {
        start_settled: compile("start", "start-settled", &[&BARE[..], &["-DSETTLE=2"]].concat())?,
        start: compile("start", "start", &[&BARE[..], &["-DSETTLE=0"]].concat())?,
        payload: compile("payload", "payload", &BARE)?,
        page: compile("page", "page", &BARE)?,
        floor: compile("floor", "floor", &["-Os", "-static"])?,
    })
}

fn compile(source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
    let program = folder().join(name);
    let source = Path::new("tests/bench/guest").join(source).with_extension("c");
    said(Command::new("gcc").args(options).arg("-o").arg(&program).arg(repository().join(source)))?;
    Ok(program)
}
