//! Actions as seccomp(2) numbers them.

use crate::error::{Error, Result};
use spec::bundle::Action;

/// `SECCOMP_RET_KILL_PROCESS`
pub const KILL_PROCESS: u32 = 0x8000_0000;
/// `SECCOMP_RET_ERRNO` with ENOSYS.
pub const NO_SUCH_CALL: u32 = ERRNO | libc::ENOSYS as u32;

const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
/// `SECCOMP_RET_USER_NOTIF`
pub const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// Greatest error number that a system call can give.
const MAX_ERRNO: u32 = 4095;
/// Greatest message to a tracer.
const MAX_MESSAGE: u32 = 0xffff;

/// The filter's value for an action; `path` is where the profile has it.
///
/// # Errors
/// An error number that is too great or that the action cannot carry.
pub fn value(action: Action, number: Option<u32>, path: &str) -> Result<u32> {
    let carried = |base: u32, most: u32| match number.unwrap_or(libc::EPERM as u32) {
        number if number <= most => Ok(base | number),
        number => Err(Error(format!("{path}: error number {number} is above {most}"))),
    };
    let base = match action {
        Action::Errno => return carried(ERRNO, MAX_ERRNO),
        Action::Trace => return carried(TRACE, MAX_MESSAGE),
        Action::Kill | Action::KillThread => KILL_THREAD,
        Action::KillProcess => KILL_PROCESS,
        Action::Trap => TRAP,
        Action::Notify => NOTIFY,
        Action::Allow => ALLOW,
        Action::Log => LOG,
    };
    match number {
        Some(_) => Err(Error(format!("{path}: the action takes no error number"))),
        None => Ok(base),
    }
}

/// Whether a call that the profile could not know is treated like the others: a good
/// tracer or agent copes with one.
pub fn lets_through(value: u32) -> bool {
    matches!(value & 0xffff_0000, ALLOW | LOG | TRACE | NOTIFY)
}
