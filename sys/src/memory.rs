//! The C library's heap.

/// Gives what was freed back to the kernel (`malloc_trim(3)`): a program that does its
/// large work once need not stay as large.
pub fn give_back() {
    // SAFETY: the call takes a number and touches nothing but memory that is free.
    unsafe { libc::malloc_trim(0) };
}
