//! `process`: what is set before its program runs, for a container's first
//! process and for one that `exec` adds.
//!
//! What needs privileges comes before they are given up. Capabilities are dropped
//! after the filter is loaded when the program may gain privileges (the kernel
//! wants `CAP_SYS_ADMIN` for the filter then), and before it when it may not.

use super::{Step, personality, refuse, scheduling};
use crate::error::Result;
use crate::seccomp;
use spec::bundle::{CAPABILITIES, Capabilities, Linux, Process, Seccomp};

/// A program as execve(2) takes it, not looked for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its arguments, the first being the path or the name to look for in `PATH`.
    pub args: Vec<String>,
    /// `NAME=value`
    pub env: Vec<String>,
}

/// setrlimit(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_*`
    pub resource: u32,
    /// In force.
    pub soft: u64,
    /// Ceiling.
    pub hard: u64,
}

/// Names of limits by their number.
const RLIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// The steps of a process that `exec` adds, once it is in the container.
///
/// # Errors
/// What the process asks for and cannot have, by its JSON path.
pub fn exec(process: &Process, linux: &Linux, preserve_fds: u32) -> Result<Vec<Step>> {
    refuse::check_process(process)?;
    let processors = scheduling::affinity(process)?.last;
    let mut steps = vec![Step::Session, Step::Undumpable];
    steps.extend((!processors.is_empty()).then_some(Step::Affinity(processors)));
    steps.extend(process.terminal.then(|| Step::Terminal { size: size(process), is_console: false }));
    steps.extend(personality::step(linux)?);
    steps.extend(before(process, preserve_fds)?);
    steps.extend(after(process, linux.seccomp.as_ref())?);
    Ok(steps)
}

/// The terminal's size at first.
pub(super) fn size(process: &Process) -> Option<(u16, u16)> {
    let most = |value: u64| u16::try_from(value).unwrap_or(u16::MAX);
    let size = process.console_size?;
    (size.height > 0 && size.width > 0).then(|| (most(size.height), most(size.width)))
}

/// What `create` still can say that it went wrong.
pub(super) fn before(process: &Process, preserve_fds: u32) -> Result<Vec<Step>> {
    let user = &process.user;
    let mut steps: Vec<Step> = rlimits(process)?.into_iter().map(Step::Rlimit).collect();
    steps.extend(scheduling::steps(process)?);
    steps.push(Step::Umask(user.umask.unwrap_or(0o022)));
    if !process.apparmor_profile.is_empty() {
        steps.push(Step::AppArmor(process.apparmor_profile.clone()));
    }
    let bounding = bits(process, |sets| &sets.bounding, "bounding")?;
    steps.extend([
        Step::Undumpable,
        Step::OwnOutputs(user.uid),
        Step::Bound(bounding),
        Step::User(user.clone()),
    ]);
    steps.push(Step::Folder(process.cwd.clone()));
    steps.push(Step::Find(Program { args: process.args.clone(), env: process.env.clone() }));
    if process.no_new_privileges {
        steps.push(Step::NoNewPrivileges);
    }
    steps.push(Step::CloseFrom(3 + preserve_fds));
    Ok(steps)
}

/// What comes last.
pub(super) fn after(process: &Process, seccomp: Option<&Seccomp>) -> Result<Vec<Step>> {
    let capabilities = capabilities(process)?;
    let mut steps = vec![capabilities];
    if let Some(profile) = seccomp {
        let filter = Step::Seccomp(seccomp::compile(profile)?);
        steps.insert(usize::from(process.no_new_privileges), filter);
    }
    steps.push(Step::Exec);
    Ok(steps)
}

fn capabilities(process: &Process) -> Result<Step> {
    let permitted = bits(process, |sets| &sets.permitted, "permitted")?;
    let effective = bits(process, |sets| &sets.effective, "effective")?;
    let inheritable = bits(process, |sets| &sets.inheritable, "inheritable")?;
    let ambient = bits(process, |sets| &sets.ambient, "ambient")?;
    let ambient = ambient & permitted & inheritable;
    Ok(Step::Capabilities { effective: effective & permitted, permitted, inheritable, ambient })
}

fn bits(process: &Process, set: impl Fn(&Capabilities) -> &Vec<String>, name: &str) -> Result<u64> {
    let Some(sets) = &process.capabilities else { return Ok(0) };
    capability_bits(set(sets), &format!("process.capabilities.{name}"))
}

/// A set of capabilities as bits.
///
/// # Errors
/// A name that Linux does not know, by its JSON path.
fn capability_bits(names: &[String], path: &str) -> Result<u64> {
    names.iter().enumerate().try_fold(0, |bits, (place, name)| {
        let known =
            name.strip_prefix("CAP_").and_then(|short| CAPABILITIES.iter().position(|known| *known == short));
        match known {
            Some(number) => Ok(bits | 1 << number),
            None => Err(refuse::at(&format!("{path}[{place}]"), &format!("{name:?} is not a capability"))),
        }
    })
}

fn rlimits(process: &Process) -> Result<Vec<Rlimit>> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for (place, limit) in process.rlimits.iter().enumerate() {
        let path = format!("process.rlimits[{place}]");
        let short = limit.kind.strip_prefix("RLIMIT_");
        let Some(number) = short.and_then(|short| RLIMITS.iter().position(|known| *known == short)) else {
            return Err(refuse::at(&format!("{path}.type"), &format!("{:?} is not a limit", limit.kind)));
        };
        if limit.soft > limit.hard {
            return Err(refuse::at(&format!("{path}.soft"), "is above the hard limit"));
        }
        if limits.iter().any(|other| other.resource == number as u32) {
            return Err(refuse::at(&format!("{path}.type"), &format!("{} is there twice", limit.kind)));
        }
        limits.push(Rlimit { resource: number as u32, soft: limit.soft, hard: limit.hard });
    }
    Ok(limits)
}
