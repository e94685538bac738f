//! `skerry-image`: a recipe in, a bootable image out, byte for byte the same each time.
//!
//! No root, no Docker, no mounting. [`assemble`] is the road from one to the other; the
//! rest is one file a noun.

mod arguments;
mod assemble;
mod base;
mod cpio;
mod describe;
mod elf;
mod error;
mod ext4;
mod files;
mod hash;
mod images;
mod kernel;
mod manifest;
mod memory;
mod modules;
mod output;
mod parts;
mod programs;
mod progress;
mod recipe;
mod root;
mod tree;

use arguments::Command;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skerry-image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> error::Result<()> {
    match arguments::read(std::env::args_os().skip(1))? {
        Command::Help => progress::print(arguments::HELP),
        Command::Version => progress::print(concat!("skerry-image ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Build(build) => assemble::build(&build)?,
    }
    Ok(())
}
