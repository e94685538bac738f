//! Where memory comes from: the C library's heap, the nodes of a large machine.

use std::io;

/// Gives what was freed back to the kernel (`malloc_trim(3)`): a program that does its
/// large work once need not stay as large.
pub fn give_back() {
    // SAFETY: the call takes a number and touches nothing but memory that is free.
    unsafe { libc::malloc_trim(0) };
}

/// Bits of a mask of nodes: as many as a kernel can have (`MAX_NUMNODES`).
pub const MOST_NODES: usize = 1024;

/// Sets on which nodes this process's memory is taken, now and in what it becomes; `mode` is
/// `MPOL_*` with its flags (set_mempolicy(2)).
///
/// # Errors
/// `EINVAL` for nodes that are not there or do not go with the mode, `ENOSYS` in a kernel
/// without NUMA.
pub fn set_policy(mode: u32, nodes: &[usize]) -> io::Result<()> {
    let mut mask = [0_u64; MOST_NODES / 64];
    for node in nodes.iter().filter(|&&node| node < MOST_NODES) {
        mask[node / 64] |= 1 << (node % 64);
    }
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (mask.as_ptr(), MOST_NODES + 1) };
    // SAFETY: the kernel reads one bit less than it is told, all of which are in the mask, which
    // lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
