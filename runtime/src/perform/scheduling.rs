//! When this process gets processors and disks, and where memory.

use crate::error::{Context, Error, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::io;
use sys::scheduling::{self, Attributes};

/// By sched_setattr(2).
pub fn scheduler(attributes: &Attributes) -> Result<()> {
    let words = || format!("process.scheduler: set {attributes:?}");
    match scheduling::set(attributes) {
        // Who has a deadline has every processor. In runc's words.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && attributes.deadline > 0 => {
            let why = "operation not permitted: process scheduler can't be used together with AllowedCPUs";
            Err(Error(format!("{}: {why}, nor without CAP_SYS_NICE", words())))
        }
        set => set.context(words),
    }
}

/// By ioprio_set(2).
pub fn io_priority(class: u32, priority: u32) -> Result<()> {
    scheduling::set_io_priority(class, priority)
        .context(|| format!("process.ioPriority: set class {class}, priority {priority}"))
}

/// By set_mempolicy(2).
pub fn memory(mode: u32, nodes: &[usize]) -> Result<()> {
    sys::memory::set_policy(mode, nodes)
        .context(|| format!("linux.memoryPolicy: set mode {mode:#x} with nodes {nodes:?}"))
}

/// By sched_setaffinity(2); no processors mean that nothing changes.
///
/// # Errors
/// `EINVAL` when none of them is there or the cpuset allows none.
pub fn affinity(name: &str, processors: &[usize]) -> Result<()> {
    if processors.is_empty() {
        return Ok(());
    }
    let words = || format!("process.execCPUAffinity.{name}: run on processors {processors:?}");
    let mut set = CpuSet::new();
    processors.iter().try_for_each(|&one| set.set(one)).context(words)?;
    sched_setaffinity(Pid::from_raw(0), &set).context(words)
}
