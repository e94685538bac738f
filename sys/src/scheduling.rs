//! When a process gets the processor and the disk.

use std::io;

/// What sched_setattr(2) sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_*`
    pub policy: u32,
    /// `SCHED_FLAG_*`
    pub flags: u64,
    /// Nice value of the policies that are not real-time.
    pub nice: i32,
    /// Static priority of `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// Nanoseconds of `SCHED_DEADLINE`.
    pub runtime: u64,
    /// Nanoseconds of `SCHED_DEADLINE`.
    pub deadline: u64,
    /// Nanoseconds of `SCHED_DEADLINE`.
    pub period: u64,
}

/// `struct sched_attr` of sched_setattr(2), as of Linux 5.3.
#[repr(C)]
#[derive(Default)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// `IOPRIO_WHO_PROCESS` of ioprio_set(2).
const WHO_PROCESS: i32 = 1;
/// `IOPRIO_CLASS_SHIFT`
const CLASS_SHIFT: u32 = 13;

/// Sets how this thread is scheduled (sched_setattr(2)).
///
/// # Errors
/// `EPERM` for a policy or a nice value that the caller may not have, `EINVAL` for
/// parameters that do not go with the policy, `EBUSY` when a deadline cannot be kept.
pub fn set(attributes: &Attributes) -> io::Result<()> {
    let mut attr = SchedAttr {
        size: size_of::<SchedAttr>() as u32,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime,
        deadline: attributes.deadline,
        period: attributes.period,
        ..SchedAttr::default()
    };
    // SAFETY: `attr` has the size that its first field tells and lives through the call; the
    // kernel writes to that field alone, when it knows another size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw mut attr, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets this thread run on every processor that its cpuset has, whatever who started it may
/// (sched_setaffinity(2)).
///
/// # Errors
/// Those of sched_setaffinity.
pub fn run_anywhere() -> io::Result<()> {
    // More than any kernel has: it reads as much as it knows.
    let all = [u64::MAX; 128];
    // SAFETY: the kernel reads no more than the size that is told, of memory that lives through the call.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&all), all.as_ptr().cast()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets this thread's I/O class, `IOPRIO_CLASS_*`, and its priority from 0, the best,
/// to 7 (ioprio_set(2)).
///
/// # Errors
/// `EPERM` for a class that the caller may not have, `EINVAL` for one that there is not.
pub fn set_io_priority(class: u32, priority: u32) -> io::Result<()> {
    let value = class << CLASS_SHIFT | priority;
    // SAFETY: the call takes integers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
