//! The wall clock's discipline: the kernel slews it towards the true time. And how people here read it.

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

/// How many seconds the local time is ahead of UTC at a moment, in seconds since 1970 (localtime(3): `TZ`, `/etc/localtime`); 0
/// where nothing is known.
pub fn ahead(moment: i64) -> i64 {
    // SAFETY: tm holds integers and a pointer, which may be null.
    let mut local: libc::tm = unsafe { zeroed() };
    // SAFETY: both pointers are to values that live here, and the second one is written alone.
    let read = unsafe { libc::localtime_r(&raw const moment, &raw mut local) };
    if read.is_null() { 0 } else { local.tm_gmtoff }
}

fn adjust(request: &mut libc::timex) -> io::Result<()> {
    // SAFETY: the kernel reads and writes one timex, which `request` is, and
    // keeps no pointer to it.
    let result = unsafe { libc::adjtimex(request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
