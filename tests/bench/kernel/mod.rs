//! The kernel of `make kernel` beside the packaged one: from its first instruction to PID 1's
//! first, what it leaves of memory, how little it boots in, and where its instructions go.

mod initcalls;
mod least;

use crate::guest::{Programs, folder};
use crate::machine::{PATIENCE, WORDS, numbers, repeated};
use crate::measurement::{Measurement, Table, Unit};
use ::tests::{Archive, Board, Failure, Image, Result, tuned_kernel};
use qemu::{Machine, Vm};
use std::fs;
use std::path::{Path, PathBuf};

/// Most instructions on a microvm, from the kernel's first to PID 1's.
const MOST: u64 = 120_000_000;
/// Greatest small kernel, in bytes.
const GREATEST: u64 = 7_500_000;
/// Most waiting before PID 1, in nanoseconds.
const WAITING: u64 = 10_000_000;

/// The forms of the kernel, and the packaged one.
struct Kernel {
    name: &'static str,
    file: PathBuf,
    /// Started by its PVH entry.
    pvh: bool,
}

/// What a boot came to when PID 1 began.
#[derive(Debug, PartialEq, Eq)]
struct First {
    /// Instructions since reset.
    instructions: u64,
    /// Bytes of memory.
    free: u64,
}

/// Measures all of it; nothing when the kernel is not built.
pub fn measure(guest: &Programs) -> Result<Vec<Table>> {
    let Ok(vmlinux) = tuned_kernel("vmlinux") else {
        println!("left out: the tuned kernel, which is not built (make kernel)");
        return Ok(Vec::new());
    };
    let packaged = Image::empty().build()?.join("vmlinuz");
    let kernel = |name, file, pvh| Kernel { name, file, pvh };
    let kernels = [
        kernel("fast vmlinux", vmlinux.clone(), true),
        kernel("fast bzImage", tuned_kernel("bzImage")?, false),
        kernel("small bzImage", tuned_kernel("bzImage-small")?, false),
        kernel("packaged bzImage", packaged, false),
    ];
    let initramfs = initramfs(guest)?;
    let mut tables =
        vec![boots(guest, &kernels, &initramfs)?, memory(&kernels, &initramfs)?, sizes(&kernels)?];
    tables.push(least::measure(&kernels, &initramfs)?);
    for board in [Board::Microvm, Board::Q35] {
        tables.push(initcalls::measure(board, &vmlinux, &initramfs)?);
    }
    Ok(tables)
}

fn initramfs(guest: &Programs) -> Result<PathBuf> {
    let path = folder().join("first.cpio");
    let archive = Archive::default().folder("/dev").file("/init", &guest.first)?;
    fs::write(&path, archive.finish())?;
    Ok(path)
}

fn name_of(board: Board) -> &'static str {
    match board {
        Board::Microvm => "microvm",
        Board::Q35 => "q35",
    }
}

fn machine(board: Board, kernel: &Path, initramfs: &Path, memory: u32, words: &str) -> Machine {
    let machine = Machine::new(board).memory(memory).counted().patience(PATIENCE);
    machine.kernel(kernel, initramfs, &format!("{WORDS}{words}"))
}

fn start(board: Board, kernel: &Path, initramfs: &Path, memory: u32, words: &str) -> Result<Vm> {
    Ok(machine(board, kernel, initramfs, memory, words).start()?)
}

/// Boots to PID 1.
fn first(board: Board, kernel: &Path, initramfs: &Path, memory: u32) -> Result<First> {
    let vm = start(board, kernel, initramfs, memory, "")?;
    let line = vm.console().wait_for("first: ")?;
    read(&line).ok_or_else(|| Failure::new(format!("{}: not a measurement: {line}", kernel.display())))
}

/// Nanoseconds before PID 1 in which nothing was executed.
fn waiting(guest: &Programs, board: Board, kernel: &Path, initramfs: &Path) -> Result<u64> {
    let told = folder().join("executed");
    let _ = fs::remove_file(&told);
    let plugin = format!("{},to={}", guest.executed.display(), told.display());
    let machine = machine(board, kernel, initramfs, 256, "").option("-plugin", &plugin);
    let vm = machine.start()?;
    let line = vm.console().wait_for("first: ")?;
    let elapsed = read(&line).ok_or_else(|| Failure::new(format!("not a measurement: {line}")))?.instructions;
    let executed: u64 = fs::read_to_string(&told)?.trim().parse()?;
    // A block of instructions that an interrupt has cut counts as executed.
    Ok(elapsed.saturating_sub(executed))
}

/// Reads `first: COUNTER FREE TOTAL`.
fn read(line: &str) -> Option<First> {
    let [instructions, free, _total, ..] = numbers(line, "first: ")[..] else { return None };
    Some(First { instructions, free })
}

/// When a kernel's first instruction runs on this machine, in instructions since reset.
fn entry(guest: &Programs, board: Board, kernel: &Kernel, initramfs: &Path) -> Result<u64> {
    let [pvh, bzimage] = &guest.entry;
    let vm = start(board, if kernel.pvh { pvh } else { bzimage }, initramfs, 256, "")?;
    let line = vm.console().wait_for("entry: ")?;
    numbers(&line, "entry: ").first().copied().ok_or_else(|| Failure::new(format!("not an entry: {line}")))
}

fn boots(guest: &Programs, kernels: &[Kernel], initramfs: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for board in [Board::Microvm, Board::Q35] {
        for kernel in kernels {
            let what = format!("{}, {}", name_of(board), kernel.name);
            let boot = || first(board, &kernel.file, initramfs, 256);
            let first = repeated(&what, boot, |first| first.instructions)?;
            let entry = entry(guest, board, kernel, initramfs)?;
            let own = first.instructions.saturating_sub(entry);
            let row = Measurement::new(what.clone(), Unit::Instructions, own);
            rows.push(match (board, kernel.pvh) {
                (Board::Microvm, true) => row.within("the bar", MOST),
                _ => row,
            });
            rows.push(Measurement::new(
                format!("{what}, since reset"),
                Unit::Instructions,
                first.instructions,
            ));
            if kernel.pvh {
                let waiting = waiting(guest, board, &kernel.file, initramfs)?;
                let waiting = Measurement::new(format!("{what}, waiting"), Unit::Time, waiting);
                rows.push(waiting.within("the bar", WAITING));
            }
        }
    }
    Ok(Table { name: "kernel", title: "From a kernel's first instruction to PID 1's", rows })
}

fn memory(kernels: &[Kernel], initramfs: &Path) -> Result<Table> {
    let mut rows = Vec::new();
    for memory in [64, 128, 256] {
        // The packaged one does not boot in 64 MiB.
        for kernel in
            kernels.iter().filter(|kernel| kernel.pvh || (memory > 64 && kernel.name.starts_with("packaged")))
        {
            let first = first(Board::Microvm, &kernel.file, initramfs, memory)?;
            rows.push(Measurement::new(format!("of {memory} MiB, {}", kernel.name), Unit::Size, first.free));
        }
    }
    Ok(Table { name: "kernel-memory", title: "Memory that is free when PID 1 begins, on a microvm", rows })
}

fn sizes(kernels: &[Kernel]) -> Result<Table> {
    let row = |kernel: &Kernel| {
        let row = Measurement::new(kernel.name, Unit::Memory, fs::metadata(&kernel.file)?.len());
        Ok(if kernel.name.starts_with("small") { row.within("the bar", GREATEST) } else { row })
    };
    Ok(Table {
        name: "kernel-sizes",
        title: "The kernel's file",
        rows: kernels.iter().map(row).collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_first_program_is_read() {
        let line = "first: 0000000000000010 0000000000000020 0000000000000030";
        assert_eq!(read(line), Some(First { instructions: 16, free: 32 }));
        assert_eq!(read("first: 10"), None);
    }
}
