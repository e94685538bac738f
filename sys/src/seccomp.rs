//! The filter of system calls of this process, seccomp(2).

use crate::packet::Instruction;
use libc::{sock_filter, sock_fprog};
use std::io;

/// Puts a filter on this process for good; needs `no_new_privs` or
/// `CAP_SYS_ADMIN` (`SECCOMP_SET_MODE_FILTER`).
///
/// # Errors
/// `EINVAL` when the kernel refuses the program or a flag, `EACCES`.
pub fn load(program: &[Instruction], flags: u32) -> io::Result<()> {
    set(program, flags).map(drop)
}

/// What the kernel gives: 0, or a descriptor where one was asked for.
pub(crate) fn set(program: &[Instruction], flags: u32) -> io::Result<i32> {
    let mut filter: Vec<sock_filter> = program
        .iter()
        .map(|step| sock_filter { code: step.code, jt: step.jump_true, jf: step.jump_false, k: step.operand })
        .collect();
    let length = u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = sock_fprog { len: length, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies `length` instructions of `filter` in the call and
    // keeps no pointer.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}
