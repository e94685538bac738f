//! Programs of a few instructions, made in memory.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::FromRawFd;

const HEADER: u64 = 64;
const PROGRAM_HEADER: u64 = 56;
/// Where it lies in its own memory.
const BASE: u64 = 0x40_0000;

/// The program's file (elf(5)): a header, one segment to be read and executed, the code.
pub(crate) fn program(code: &[u8]) -> Vec<u8> {
    let (start, size) = (HEADER + PROGRAM_HEADER, HEADER + PROGRAM_HEADER + code.len() as u64);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |file: &mut Vec<u8>, all: &[u16]| file.extend(all.iter().flat_map(|one| one.to_le_bytes()));
    let word = |file: &mut Vec<u8>, all: &[u32]| file.extend(all.iter().flat_map(|one| one.to_le_bytes()));
    let long = |file: &mut Vec<u8>, all: &[u64]| file.extend(all.iter().flat_map(|one| one.to_le_bytes()));
    // e_type ET_EXEC, e_machine EM_X86_64, e_version; e_entry, e_phoff, e_shoff; e_flags.
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    long(&mut file, &[BASE + start, HEADER, 0]);
    word(&mut file, &[0]);
    // e_ehsize, e_phentsize, e_phnum; no sections.
    half(&mut file, &[HEADER as u16, PROGRAM_HEADER as u16, 1, 0, 0, 0]);
    // p_type PT_LOAD, p_flags PF_R | PF_X; p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
    word(&mut file, &[1, 5]);
    long(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    file.extend(code);
    file
}

/// The program in memory (memfd_create(2)), close-on-exec.
///
/// # Errors
/// `EACCES` where the machine wants none (`vm.memfd_noexec`).
pub(crate) fn in_memory(name: &CStr, code: &[u8]) -> io::Result<File> {
    // SAFETY: the kernel reads the name, which ends in a zero byte.
    let number = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, for us alone.
    let mut file = unsafe { File::from_raw_fd(number) };
    file.write_all(&program(code))?;
    Ok(file)
}
