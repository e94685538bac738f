//! Our own programs: PID 1 for the initramfs, the others for the root. A node has
//! no dynamic linker, so each must be static.

use crate::elf::Elf;
use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::recipe::Program;
use std::path::{Path, PathBuf};

/// A program's file.
#[derive(Debug)]
pub struct Executable {
    /// The file's name.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub sha256: String,
}

/// The name of PID 1's file where Skerry is built; it is `/init` on a node.
pub const INIT: &str = "init";

/// Where the programs are: in the given folder, else beside this program.
pub fn folder(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let this =
        std::env::current_exe().map_err(|error| Error::io("find", Path::new("skerry-image"), &error))?;
    Ok(this.parent().unwrap_or(Path::new(".")).to_owned())
}

/// Reads PID 1 and the programs of the root.
pub fn read(folder: &Path, wanted: &[Program]) -> Result<(Executable, Vec<Executable>)> {
    let init = executable(folder, INIT)?;
    let others = wanted.iter().map(|program| executable(folder, program.name()));
    Ok((init, others.collect::<Result<_>>()?))
}

fn executable(folder: &Path, name: &'static str) -> Result<Executable> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|error| Error::io("read the program", &path, &error))?;
    check_static(&bytes).map_err(|words| Error::new(format!("{}: {words}", path.display())))?;
    Ok(Executable { name, sha256: sha256(&bytes), bytes })
}

/// Checks that a program starts without a dynamic linker.
pub fn check_static(program: &[u8]) -> std::result::Result<(), &'static str> {
    match Elf::new(program)?.is_dynamic() {
        Some(false) => Ok(()),
        Some(true) => Err("a dynamic program (PT_INTERP): nodes have no dynamic linker, link it statically"),
        None => Err("a program that is cut off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::example;

    #[test]
    fn a_dynamic_program_is_refused() {
        assert_eq!(check_static(&example(".x", b"", false)), Ok(()));
        assert!(check_static(&example(".x", b"", true)).unwrap_err().contains("no dynamic linker"));
        assert!(check_static(b"#!/bin/sh").is_err());
    }

    #[test]
    fn a_missing_program_is_named_by_its_path() {
        let error = read(Path::new("/nonexistent"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "read the program /nonexistent/init: no such file or directory");
    }
}
