//! The wall clock's discipline: the kernel slews it towards the true time.

use std::io;
use std::mem::zeroed;
use std::time::Duration;

/// Tells the kernel how far the wall clock is off (adjtimex(2), `ADJ_OFFSET`).
///
/// The kernel's loop then slews the clock and learns its frequency. `offset` is
/// in nanoseconds, what must be added to the clock, at most half a second either
/// way; `interval` the time until the next measurement. The clock counts as
/// synchronised from then on, so the kernel keeps the hardware clock in step.
///
/// # Errors
/// `EPERM` without `CAP_SYS_TIME`.
pub fn slew(offset: i64, interval: Duration) -> io::Result<()> {
    // SAFETY: timex holds integers alone, for which all bits zero is a value.
    let mut request: libc::timex = unsafe { zeroed() };
    request.modes = libc::ADJ_OFFSET
        | libc::ADJ_STATUS
        | libc::ADJ_NANO
        | libc::ADJ_TIMECONST
        | libc::ADJ_MAXERROR
        | libc::ADJ_ESTERROR;
    request.status = libc::STA_PLL;
    request.offset = offset;
    // The loop's time constant is the binary logarithm of the interval, less 4.
    request.constant = i64::from(interval.as_secs().max(16).ilog2().saturating_sub(4));
    adjust(&mut request)
}

/// Tells the kernel that the wall clock was just set right (adjtimex(2)).
///
/// # Errors
/// `EPERM` without `CAP_SYS_TIME`.
pub fn declare_synchronised() -> io::Result<()> {
    // SAFETY: timex holds integers alone, for which all bits zero is a value.
    let mut request: libc::timex = unsafe { zeroed() };
    request.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
    adjust(&mut request)
}

fn adjust(request: &mut libc::timex) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one timex, which `request` is, and
    // keeps no pointer to it.
    let result = unsafe { libc::adjtimex(request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
