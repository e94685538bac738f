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
    /// `/init` that tells when it began and how much memory there is.
    pub first: PathBuf,
    /// A plugin of QEMU's that tells how much was executed when it began.
    pub executed: PathBuf,
    /// A kernel that tells when it began, as an ELF file with a PVH entry and as a bzImage.
    pub entry: [PathBuf; 2],
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
    Ok(Programs {
        start_settled: compile("guest/start", "start-settled", &[&BARE[..], &["-DSETTLE=2"]].concat())?,
        start: compile("guest/start", "start", &[&BARE[..], &["-DSETTLE=0"]].concat())?,
        payload: compile("guest/payload", "payload", &BARE)?,
        page: compile("guest/page", "page", &BARE)?,
        first: compile("guest/first", "first", &BARE)?,
        executed: compile("kernel/executed", "executed.so", &["-O2", "-shared", "-fPIC"])?,
        entry: entry()?,
        floor: compile("guest/floor", "floor", &["-Os", "-static"])?,
    })
}

fn entry() -> Result<[PathBuf; 2]> {
    let source = repository().join("tests/bench/guest/entry.S");
    let (elf, object, image) = (folder().join("entry"), folder().join("entry.o"), folder().join("entry.bz"));
    let pvh = ["-DPVH", "-m32", "-static", "-nostdlib", "-Wl,-Ttext=0x200000", "-Wl,--build-id=none", "-o"];
    said(Command::new("gcc").args(pvh).arg(&elf).arg(&source))?;
    said(Command::new("gcc").args(["-c", "-o"]).arg(&object).arg(&source))?;
    said(Command::new("objcopy").args(["-O", "binary", "-j", ".text"]).arg(object).arg(&image))?;
    Ok([elf, image])
}

/// Compiles a C file of the benchmark.
pub fn compile(source: &str, name: &str, options: &[&str]) -> Result<PathBuf> {
    fs::create_dir_all(folder())?;
    let program = folder().join(name);
    let source = Path::new("tests/bench").join(source).with_extension("c");
    said(Command::new("gcc").args(options).arg("-o").arg(&program).arg(repository().join(source)))?;
    Ok(program)
}
